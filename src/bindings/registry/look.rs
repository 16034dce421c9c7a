//! What is in registries: `registry::tags` and its like.

use rhai::{Dynamic, Map, export_module};
use serde_json::{Value, json};

use crate::bindings::options;
use crate::bindings::session::Session;
use crate::bindings::value::from_json;
use crate::error::Result;
use crate::host::{Asking, Host};
use crate::images::registry::Allowance;
use crate::model::Context;

/// Asks a registry something, as the options say.
pub(super) fn ask<T>(
    session: &Session,
    options: Map,
    what: impl FnOnce(&Host, &Context, &Asking) -> Result<T>,
) -> Result<T> {
    what(session.host()?, &session.context(), &options::parse(options)?)
}

fn texts(list: Vec<String>) -> rhai::Array {
    list.into_iter().map(Dynamic::from).collect()
}

fn values(list: &[Value]) -> rhai::Array {
    list.iter().map(from_json).collect()
}

fn allowance(found: Option<Allowance>) -> Dynamic {
    found.map_or(Dynamic::UNIT, |found| {
        from_json(&json!({
            "limit": found.limit,
            "remaining": found.remaining,
            "window": found.window,
            "source": found.source,
        }))
    })
}

/// What is in registries, looked at without bringing it here.
#[export_module(manifest)]
pub mod functions {
    use super::{allowance, ask, texts, values};
    use crate::bindings::prelude::*;
    use crate::bindings::value::from_json;

    /// The repositories of a registry, where it tells: many do not, Docker Hub among them. Throws `unsupported` then.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(registry::repos(server.addr), ["library/tools"]);
    /// ```
    #[rhai_fn(name = "repos", return_raw)]
    pub fn repos(ctx: NativeCallContext, host: &str) -> Scripted<Array> {
        repos_options(ctx, host, Map::new())
    }

    /// The repositories of a registry.
    ///
    /// Options, as of all functions that ask a registry: `tls_verify` (`false` takes any certificate, and plain HTTP; without it only
    /// registries on this machine are taken so), `username` and `password` (otherwise who `registry::login`, Docker or Podman
    /// logged in), `retries`; and `limit`, the most that is listed.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let names = registry::repos(server.addr, #{ tls_verify: false, limit: 100 });
    /// ```
    #[rhai_fn(name = "repos", return_raw)]
    pub fn repos_options(ctx: NativeCallContext, host: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(texts(asker.remote_repositories(ctx, host, asking)?))
            })
        })
    }

    /// The tags of a repository, in the registry's order; `semver::sort` and `sort_natural` make another of it.
    ///
    /// Throws `not_found` if there is no such repository.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let newest = registry::tags(server.addr + "/tools").sort_natural()[-1];
    /// assert::eq(newest, "latest");
    /// ```
    #[rhai_fn(name = "tags", return_raw)]
    pub fn tags(ctx: NativeCallContext, repo: &str) -> Scripted<Array> {
        tags_options(ctx, repo, Map::new())
    }

    /// The tags of a repository, in the registry's order. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let some = registry::tags(server.addr + "/tools", #{ limit: 10 });
    /// ```
    #[rhai_fn(name = "tags", return_raw)]
    pub fn tags_options(ctx: NativeCallContext, repo: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(texts(asker.remote_tags(ctx, repo, asking)?))
            })
        })
    }

    /// Whether a registry has an image of this name.
    ///
    /// Throws `unauthorized` where it says nothing to who asks.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let name = server.addr + "/team/app:1.2";
    /// if !registry::exists(name) { image::push("tools", name); }
    /// assert::ok(registry::exists(name));
    /// ```
    #[rhai_fn(name = "exists", return_raw)]
    pub fn exists(ctx: NativeCallContext, name: &str) -> Scripted<bool> {
        exists_options(ctx, name, Map::new())
    }

    /// Whether a registry has an image of this name. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::ok(registry::exists(server.addr + "/tools", #{ tls_verify: false }));
    /// ```
    #[rhai_fn(name = "exists", return_raw)]
    pub fn exists_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<bool> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(asker.remote_digest(ctx, name, asking)?.is_some())
            })
        })
    }

    /// The digest that a name stands for at its registry, by one question that Docker Hub does not count.
    ///
    /// Throws `not_found`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(registry::digest(server.addr + "/tools"), image::get("tools").digest);
    /// ```
    #[rhai_fn(name = "digest", return_raw)]
    pub fn digest(ctx: NativeCallContext, name: &str) -> Scripted<String> {
        digest_options(ctx, name, Map::new())
    }

    /// The digest that a name stands for at its registry. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// print(registry::digest(server.addr + "/tools", #{ tls_verify: false }));
    /// ```
    #[rhai_fn(name = "digest", return_raw)]
    pub fn digest_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<String> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                let found = asker.remote_digest(ctx, name, asking)?;
                let missing = || Error::not_found(format!("there is no `{name}` at its registry")).target(name);
                found.map(|digest| digest.to_string()).ok_or_else(missing)
            })
        })
    }

    /// The manifest or index of a name, as a map of what it says.
    ///
    /// Throws `not_found`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// for layer in registry::manifest(server.addr + "/tools").layers { print(`${layer.digest} ${layer.size}`); }
    /// ```
    #[rhai_fn(name = "manifest", return_raw)]
    pub fn manifest(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        manifest_options(ctx, name, Map::new())
    }

    /// The manifest or index of a name, as a map of what it says. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let manifest = registry::manifest(server.addr + "/tools", #{ retries: 10 });
    /// ```
    #[rhai_fn(name = "manifest", return_raw)]
    pub fn manifest_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(from_json(&asker.remote_manifest(ctx, name, asking)?))
            })
        })
    }

    /// What is known of an image at its registry, without bringing it here.
    ///
    /// A map of `name`, `digest`, `media_type`, `platforms` (of an image for several), and of the manifest for this machine
    /// `manifest_digest`, `id`, `created`, `os`, `architecture`, `labels`, `env`, `cmd`, `entrypoint`, `size` (bytes of the layers as
    /// they are there) and `layers` (maps of `digest`, `size` and `media_type`). Throws `not_found`, and `invalid` where it is not
    /// for this machine.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let there = registry::inspect(server.addr + "/tools");
    /// assert::eq(there.id, image::get("tools").id);
    /// ```
    #[rhai_fn(name = "inspect", return_raw)]
    pub fn inspect(ctx: NativeCallContext, name: &str) -> Scripted<Dynamic> {
        inspect_options(ctx, name, Map::new())
    }

    /// What is known of an image at its registry. Options: those of `registry::repos`, and `platform`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// print(registry::inspect(server.addr + "/tools", #{ platform: image::get("tools").platform }).size);
    /// ```
    #[rhai_fn(name = "inspect", return_raw)]
    pub fn inspect_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(from_json(&asker.remote_image(ctx, name, asking)?))
            })
        })
    }

    /// What says of itself that it is about an image, such as signatures and lists of contents: maps of `digest`, `mediaType`,
    /// `artifactType`, `size` and `annotations`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let signed = registry::referrers(server.addr + "/tools").len() > 0;
    /// assert::ok(!signed);
    /// ```
    #[rhai_fn(name = "referrers", return_raw)]
    pub fn referrers(ctx: NativeCallContext, name: &str) -> Scripted<Array> {
        referrers_options(ctx, name, Map::new())
    }

    /// What says of itself that it is about an image. Options: those of `registry::repos`, and `artifact_type`, for that alone.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let lists = registry::referrers(server.addr + "/tools", #{ artifact_type: "application/spdx+json" });
    /// ```
    #[rhai_fn(name = "referrers", return_raw)]
    pub fn referrers_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(values(&asker.remote_referrers(ctx, name, asking)?))
            })
        })
    }

    /// How many pulls a registry allows: a map of `limit`, `remaining`, `window` (seconds) and `source` (whom it counts for), or `()`
    /// where it does not say. Docker Hub says it, and does not count the question.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let left = registry::limits(server.addr);
    /// if left != () && left.remaining < 10 { log::warn(`${left.remaining} pulls are left`); }
    /// ```
    #[rhai_fn(name = "limits", return_raw)]
    pub fn limits(ctx: NativeCallContext, host: &str) -> Scripted<Dynamic> {
        limits_options(ctx, host, Map::new())
    }

    /// How many pulls a registry allows. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(registry::limits(server.addr, #{ tls_verify: false }), ());
    /// ```
    #[rhai_fn(name = "limits", return_raw)]
    pub fn limits_options(ctx: NativeCallContext, host: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(allowance(asker.remote_allowance(ctx, host, asking)?))
            })
        })
    }
}
