//! `registry::login` and `registry::logout`.

use rhai::{Dynamic, Map, export_module};
use serde::Deserialize;

use crate::bindings::session::Session;
use crate::bindings::{options, secret};
use crate::error::Result;

/// Options of `registry::login`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::bindings) struct LoginOptions {
    tls_verify: Option<bool>,
}

fn login_as(session: &Session, host: &str, user: &str, password: &Dynamic, options: Map) -> Result<()> {
    let LoginOptions { tls_verify } = options::parse(options)?;
    let password = secret::given(password)?;
    session
        .host()?
        .login(&session.context(), host, user, password, tls_verify)?;
    Ok(())
}

/// Who we are to registries.
#[export_module(manifest)]
pub mod functions {
    use super::login_as;
    use crate::bindings::prelude::*;

    /// Shows a name and a password to a registry and, if it takes them, keeps them as `docker login` and `podman login` do, so that
    /// all of them know who you are there.
    ///
    /// They are kept in the file that knows the registry already, else in Docker's `config.json`, which every tool reads, or in the
    /// helper it names. `REGISTRY_AUTH_FILE` names another file. `host` may have a path, as `ghcr.io/team`: then they are for those
    /// repositories alone. The password is text, or better a `Secret`. The name `"<token>"` goes with an identity token. Throws `unauthorized` if the registry does not take
    /// them.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let file = fs::temp_file();
    /// fs::write(file, "secret");
    /// registry::login(server.addr, "me", secret::file(file));
    /// ```
    #[rhai_fn(name = "login", return_raw)]
    pub fn login(ctx: NativeCallContext, host: &str, user: &str, password: Dynamic) -> Scripted<()> {
        login_options(ctx, host, user, password, Map::new())
    }

    /// Shows a name and a password to a registry and, if it takes them, keeps them.
    ///
    /// Options: `tls_verify` (`false` takes any certificate, and plain HTTP; without it only registries on this machine are taken so).
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let file = fs::temp_file();
    /// fs::write(file, "secret\n");
    /// registry::login(server.addr, "me", fs::read(file).trimmed(), #{ tls_verify: false });
    /// ```
    #[rhai_fn(name = "login", return_raw)]
    pub fn login_options(
        ctx: NativeCallContext,
        host: &str,
        user: &str,
        password: Dynamic,
        options: Map,
    ) -> Scripted<()> {
        native(&ctx, |session| login_as(session, host, user, &password, options))
    }

    /// Forgets who you are to a registry, wherever it is kept: every file and helper that Docker or Podman would ask.
    ///
    /// Returns whether there was anything to forget.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// registry::login(server.addr, "me", "secret");
    /// assert::ok(registry::logout(server.addr));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn logout(ctx: NativeCallContext, host: &str) -> Scripted<bool> {
        native(&ctx, |session| {
            let erased = session.host()?.logout(&session.context(), host)?;
            Ok(!erased.is_empty())
        })
    }
}
