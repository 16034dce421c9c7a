//! `registry::mirror`.

use rhai::export_module;

/// A repository kept as another one is.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::filter::filtered;
    use crate::bindings::prelude::*;
    use crate::bindings::report::Report;
    use crate::host::MirrorOptions;

    /// Has a repository have all tags of another, as `registry::copy` does for one, and returns a report: `kept` has each tag with
    /// the reason `"copied"` or `"unchanged"` and the bytes that moved, `errors` those that failed.
    ///
    /// What is there already costs one question on each side.
    ///
    /// ```rhai,no_run
    /// let report = registry::mirror("library/busybox", "registry.lan:5000/mirror/busybox");
    /// if report.errors.len() > 0 { exit(4); }
    /// ```
    #[rhai_fn(name = "mirror", return_raw)]
    pub fn mirror(ctx: NativeCallContext, from: &str, to: &str) -> Scripted<Report> {
        mirror_options(ctx, from, to, Map::new())
    }

    /// Has a repository have some tags of another.
    ///
    /// Options: `tags` (patterns), `semver` (`">=1.2, <2"`), `matching` (a closure that gets the tag and returns true or false) and
    /// `keep_last` (the newest so many versions) choose, and all that are given must hold; under `semver` and `keep_last` tags that
    /// are no versions do not count. `platforms`, `referrers` and `digest_tags` are those of `registry::copy`. `delete_extra` takes
    /// tags away at the destination that were not chosen; they are in `removed`, and nothing is deleted if nothing was chosen:
    /// `invalid` is thrown then. `jobs` (tags at once, default 3), `tls_verify`, `retries`.
    ///
    /// ```rhai,no_run
    /// let report = registry::mirror("library/debian", "registry.lan:5000/debian", #{
    ///     tags: ["12*", "13*"], matching: |tag| !tag.contains("slim"), platforms: ["linux/amd64"], delete_extra: true,
    /// });
    /// print(report.kept.filter(|item| item.reason == "copied").len());
    /// ```
    #[rhai_fn(name = "mirror", return_raw)]
    pub fn mirror_options(ctx: NativeCallContext, from: &str, to: &str, options: Map) -> Scripted<Report> {
        filtered(&ctx, options, |session, options: &MirrorOptions, matching| {
            let report = session
                .host()?
                .mirror(&session.context(), from, to, options, matching)?;
            Ok(report.into())
        })
    }
}
