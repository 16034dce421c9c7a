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
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let report = registry::mirror(server.addr + "/tools", server.addr + "/mirror/tools");
    /// assert::eq(report.kept.map(|item| item.reason), ["copied"]);
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
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// image::tag("tools", "tools:12-slim");
    /// let report = registry::mirror(server.addr + "/tools", server.addr + "/mirror/tools", #{
    ///     tags: ["12*", "latest"], matching: |tag| !tag.contains("slim"), delete_extra: true,
    /// });
    /// assert::eq(registry::tags(server.addr + "/mirror/tools"), ["latest"]);
    /// ```
    #[rhai_fn(name = "mirror", return_raw)]
    pub fn mirror_options(ctx: NativeCallContext, from: &str, to: &str, options: Map) -> Scripted<Report> {
        filtered(&ctx, options, |session, options: &MirrorOptions, matching| {
            let report = session.watched("mirror", to, |ctx| {
                session.host()?.mirror(ctx, from, to, options, matching)
            })?;
            Ok(report.into())
        })
    }
}
