//! `semver::`: versions as tags carry them, compared by Semantic Versioning 2.0.0.

use rhai::export_module;

use crate::model::parse_version;

/// Versions: parsed, compared, sorted, and matched with requirements.
#[export_module(manifest)]
pub mod functions {
    use super::parse_version;
    use crate::bindings::prelude::*;

    /// The parts of a version: `#{major, minor, patch, pre, build}`.
    ///
    /// Throws `invalid` when the text is not a version. A leading `v` and missing parts are allowed.
    ///
    /// ```rhai
    /// assert::eq(semver::parse("v1.2-rc.1"), #{ major: 1, minor: 2, patch: 0, pre: "rc.1", build: "" });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext, text: &str) -> Scripted<Map> {
        native(&ctx, |_| {
            let version = parse_version(text)?;
            let number = |part: u64| Dynamic::from(INT::try_from(part).unwrap_or(INT::MAX));
            let fields = [
                ("major", number(version.major)),
                ("minor", number(version.minor)),
                ("patch", number(version.patch)),
                ("pre", version.pre.as_str().to_owned().into()),
                ("build", version.build.as_str().to_owned().into()),
            ];
            Ok(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
        })
    }

    /// Whether the text is a version.
    ///
    /// ```rhai
    /// assert::eq(["1.2.3", "v2", "latest"].filter(|t| semver::is_valid(t)), ["1.2.3", "v2"]);
    /// ```
    pub fn is_valid(text: &str) -> bool {
        parse_version(text).is_ok()
    }

    /// -1, 0 or 1, as the first version is older than, equal to, or newer than the second.
    ///
    /// ```rhai
    /// assert::eq(semver::compare("1.10.0", "1.9.0"), 1);
    /// assert::eq(semver::compare("1.0.0-rc.1", "1.0.0"), -1);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn compare(ctx: NativeCallContext, left: &str, right: &str) -> Scripted<INT> {
        native(&ctx, |_| {
            Ok(parse_version(left)?.cmp_precedence(&parse_version(right)?) as INT)
        })
    }

    /// Whether a version satisfies a requirement such as `>=1.2, <2`, `^1.2` or `~1.2.3`.
    ///
    /// A pre-release satisfies only a requirement that names one of the same version.
    ///
    /// ```rhai
    /// assert::ok(semver::satisfies("v1.4.0", ">=1.2, <2"));
    /// assert::ok(!semver::satisfies("2.0.0", "^1.2"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn satisfies(ctx: NativeCallContext, version: &str, requirement: &str) -> Scripted<bool> {
        native(&ctx, |_| {
            let wanted = semver::VersionReq::parse(requirement).map_err(|cause| {
                Error::invalid(format!("`{requirement}` is not a requirement on versions: {cause}")).target(requirement)
            })?;
            Ok(wanted.matches(&parse_version(version)?))
        })
    }

    /// The versions, oldest first.
    ///
    /// Throws `invalid` when one is not a version.
    ///
    /// ```rhai
    /// assert::eq(semver::sort(["1.10", "v1.9.1", "1.9.0"]), ["1.9.0", "v1.9.1", "1.10"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sort(ctx: NativeCallContext, versions: Array) -> Scripted<Array> {
        native(&ctx, |_| {
            let parsed = versions
                .into_iter()
                .map(|text| Ok((parse_version(&text.to_string())?, text)));
            let mut parsed = parsed.collect::<Result<Vec<_>>>()?;
            parsed.sort_by(|(left, _), (right, _)| left.cmp_precedence(right));
            Ok(parsed.into_iter().map(|(_, text)| text).collect())
        })
    }
}
