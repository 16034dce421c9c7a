//! `registry::cached` and `registry::prune_cache`.

use rhai::{Dynamic, Map, export_module};

use crate::bindings::amount::bytes;
use crate::bindings::time::Time;
use crate::host::CachedManifest;

fn map(kept: CachedManifest) -> Dynamic {
    let names: rhai::Array = kept.names.into_iter().map(Dynamic::from).collect();
    let fields = [
        ("repository", Dynamic::from(kept.repository)),
        ("names", Dynamic::from(names)),
        ("digest", Dynamic::from(kept.digest.to_string())),
        ("media_type", Dynamic::from(kept.media_type)),
        ("size", Dynamic::from(bytes(kept.size))),
        ("used", Dynamic::from(Time::new(kept.used))),
    ];
    let map: Map = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Dynamic::from(map)
}

/// What is kept of other registries.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::options;
    use crate::bindings::prelude::*;
    use crate::bindings::report::Report;
    use crate::host::CacheFilter;

    /// What `registry::serve` with `proxy` keeps of other registries, those first that no client wanted for longest.
    ///
    /// Each is a manifest, as a map of `repository`, `names` (the tags that stood for it when its registry was asked last), `digest`,
    /// `media_type`, `size` (bytes of it and of those of its blobs that are here) and `used` (when a client wanted it last, give or
    /// take an hour).
    ///
    /// ```rhai,images
    /// let ours = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let proxy = registry::serve(#{ listen: "127.0.0.1:0", proxy: ours.addr });
    /// image::pull(proxy.addr + "/tools");
    /// assert::eq(registry::cached()[0].names, [ours.addr + "/tools:latest"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn cached(ctx: NativeCallContext) -> Scripted<Array> {
        native(&ctx, |session| {
            let kept = session.host()?.cached()?;
            Ok(kept.into_iter().map(super::map).collect())
        })
    }

    /// Removes of what is kept of other registries; it is fetched again when a client wants it. Returns a report with a reason for each.
    ///
    /// Options, of which there must be one: `not_used_for` (what no client wanted for this long, give or take an hour), `total_at_most`
    /// (those that were not wanted for longest, until this size is left), `reference` (patterns of names). Images are not touched.
    ///
    /// ```rhai,images
    /// let ours = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let proxy = registry::serve(#{ listen: "127.0.0.1:0", proxy: ours.addr });
    /// image::pull(proxy.addr + "/tools");
    /// assert::eq(registry::prune_cache(#{ not_used_for: 30.days, total_at_most: 50.gib }).removed, []);
    /// assert::eq(registry::prune_cache(#{ reference: "*/tools:*" }).removed.len(), 1);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn prune_cache(ctx: NativeCallContext, options: Map) -> Scripted<Report> {
        native(&ctx, |session| {
            let filter: CacheFilter = options::parse(options)?;
            Ok(session.host()?.prune_cache(&filter)?.into())
        })
    }
}
