//! `registry::serve`.

use rhai::{Map, export_module};

use super::Server;
use crate::bindings::options;
use crate::bindings::session::Session;
use crate::error::Result;
use crate::server::registry::RegistryOptions;

fn start(session: &Session, options: Map) -> Result<Server> {
    let options: RegistryOptions = options::parse(options)?;
    if let Some(plan) = session.plan() {
        let server = Server::planned(&options);
        plan.record("registry::serve", &server.address(), "");
        return Ok(server);
    }
    let teller = session.clone();
    let tell = move |text: &str| teller.log(crate::bindings::Level::Warn, text);
    let server = crate::server::registry::serve(session.host()?, &options, tell)?;
    for warning in server.warnings() {
        session.log(crate::bindings::Level::Warn, warning);
    }
    session.keep_server(server.clone());
    Ok(Server::from(server))
}

/// The store as a registry.
#[export_module(manifest)]
pub mod functions {
    use super::start;
    use crate::bindings::options;
    use crate::bindings::prelude::*;
    use crate::bindings::registry::Server;
    use crate::bindings::report::Report;
    use crate::host::UntaggedFilter;

    /// Serves the images of the store as a registry, for reading, at `127.0.0.1:5000` until the script ends.
    ///
    /// Throws `already_exists` or `conflict` when something else listens there.
    ///
    /// ```rhai,images,throws=invalid
    /// registry::serve(#{ listen: "nowhere" });
    /// ```
    #[rhai_fn(name = "serve", return_raw)]
    pub fn serve(ctx: NativeCallContext) -> Scripted<Server> {
        native(&ctx, |session| start(session, Map::new()))
    }

    /// Removes manifests that were pushed to the registry served here and that nothing leads to any more, with the blobs that only they name.
    ///
    /// That is: no tag stands for them, no index lists them, they refer to nothing that is there, and they are no image, which
    /// `image::prune` is for. Returns a report with a reason for each. Options: `older_than` (a day: what was pushed since stays, for
    /// an index comes after what it lists), `repository` (patterns: only of these).
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// image::push("tools", server.addr + "/team/app:1");
    /// registry::delete_tag(server.addr + "/team/app:1");
    /// let report = registry::prune(#{ older_than: 0.seconds, repository: "team/*" });
    /// assert::ok(report.kept[0].reason.starts_with("belongs to the image"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn prune(ctx: NativeCallContext, options: Map) -> Scripted<Report> {
        native(&ctx, |session| {
            let filter: UntaggedFilter = options::parse(options)?;
            Ok(session.host()?.prune_untagged(&filter)?.into())
        })
    }

    /// Serves the images of the store as a registry, until the script ends or the server is stopped.
    ///
    /// The repository in an address is what one would write for the image: `debian`, `library/debian` and `docker.io/library/debian` are
    /// the same, and `ghcr.io/team/app` is the image of that name. Nothing is copied for it. What is pushed is in `image::list` at
    /// once if it is an image for this machine; images for others, indexes and artifacts are kept as they came, and go when their
    /// manifest is deleted, or with the image they belong to.
    ///
    /// Options: `listen` (an address and a port, `127.0.0.1:5000` by default; port 0 is any that is free), `write` (default `false`:
    /// take pushes), `delete` (default `false`: take deletions), `auth` (a file of users, as `htpasswd -B` writes it; it is read again
    /// when it changes), `tls` (`#{ cert, key }`, PEM files), `quota` (how much all that was pushed may be), `expiry` (24 hours: how
    /// long an upload is kept that nobody goes on with, and a blob that no manifest came to name).
    ///
    /// With `proxy` it stands before another registry, such as `"docker.io"`, and hands out what that has in place of the store's images:
    /// `debian` is `docker.io/library/debian` then. What a client wants is fetched once, verified, handed on while it comes, and kept;
    /// `registry::cached` tells of it, `registry::prune_cache` removes of it, and `quota` is how much is kept. What a tag stands for is
    /// asked again after `ttl` (a minute by default); where the registry gives no answer, what is kept is handed out with a header
    /// `Warning`, and that is logged. Who we are there is what `registry::login`, Docker or Podman keep, and no client hears of it.
    ///
    /// Throws `invalid` for a bad address, certificate or file of users, and `not_found` when there is no such file.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, quota: 10.gib });
    /// assert::ok(server.url.starts_with("http://127.0.0.1:"));
    /// server.stop();
    /// ```
    #[rhai_fn(name = "serve", return_raw)]
    pub fn serve_options(ctx: NativeCallContext, options: Map) -> Scripted<Server> {
        native(&ctx, |session| start(session, options))
    }
}
