//! `image::search`.

use rhai::{Array, export_module};
use serde_json::json;

use crate::bindings::session::Session;
use crate::bindings::value::from_json;
use crate::error::Result;
use crate::host::SearchOptions;

/// What a search finds, as maps.
pub fn found(session: &Session, term: &str, options: &SearchOptions) -> Result<Array> {
    let hits = session.host()?.search_images(&session.context(), term, options)?;
    Ok(hits.iter().map(|hit| from_json(&json!(hit))).collect())
}

/// `image::search`.
#[export_module(manifest)]
pub mod functions {
    use super::found;
    use crate::bindings::options;
    use crate::bindings::prelude::*;

    /// Images of Docker Hub that a word is found in, as `docker search` does: an array of maps of `name`, `description`, `stars` and
    /// `official`.
    ///
    /// Another registry may stand before the word, as in `"quay.io/podman"`. `name` is what `image::pull` takes.
    ///
    /// ```rhai,no_run
    /// for hit in image::search("postgres") { print(`${hit.name}: ${hit.stars} stars, ${hit.description}`); }
    /// ```
    #[rhai_fn(name = "search", return_raw)]
    pub fn search(ctx: NativeCallContext, term: &str) -> Scripted<Array> {
        search_options(ctx, term, Map::new())
    }

    /// Images of a registry that a word is found in.
    ///
    /// Options: `registry` (a host, Docker Hub by default), `limit` (25 by default; one question to Docker Hub finds 100 at most),
    /// `tls_verify`, `username`, `password`, `retries`. A registry without a search of its own is asked for the list of its
    /// repositories: of those only the names are known. Throws `unsupported` where it has no such list either.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let hits = image::search("tool", #{ registry: server.addr, limit: 5 });
    /// assert::eq(hits.map(|hit| hit.name), [server.addr + "/library/tools"]);
    /// ```
    #[rhai_fn(name = "search", return_raw)]
    pub fn search_options(ctx: NativeCallContext, term: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| found(session, term, &options::parse(options)?))
    }
}
