//! What changes at registries: `registry::tag`, `registry::delete`, `registry::delete_tag`.

use rhai::{Dynamic, Map, export_module};
use serde_json::json;

use crate::bindings::options;
use crate::bindings::session::Session;
use crate::bindings::value::from_json;
use crate::error::Result;
use crate::images::registry::Copied;

fn copy_to(session: &Session, from: &str, to: &str, options: Map) -> Result<Dynamic> {
    let options = options::parse(options)?;
    let copy = |ctx: &crate::model::Context| session.host()?.copy_image(ctx, from, to, &options);
    session.watched("copy", to, copy).map(|made| copied(&made))
}

pub(super) fn copied(copied: &Copied) -> Dynamic {
    from_json(&json!({
        "digest": copied.digest,
        "unchanged": copied.unchanged,
        "manifests": copied.manifests,
        "moved": copied.moved.sent,
        "mounted": copied.moved.mounted,
        "saved": copied.moved.mounted + copied.moved.present,
    }))
}

/// What changes at registries.
#[export_module(manifest)]
pub mod functions {
    use super::super::look::ask;
    use crate::bindings::options;
    use crate::bindings::prelude::*;

    /// Has a further tag stand for what a name stands for, within its repository, and returns the new name. No layer moves.
    ///
    /// A tag that is there moves. Throws `not_found`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// registry::tag(server.addr + "/tools:latest", "1.2");
    /// assert::eq(registry::tags(server.addr + "/tools"), ["1.2", "latest"]);
    /// ```
    #[rhai_fn(name = "tag", return_raw)]
    pub fn tag(ctx: NativeCallContext, name: &str, tag: &str) -> Scripted<String> {
        tag_options(ctx, name, tag, Map::new())
    }

    /// Has a further tag stand for what a name stands for. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// registry::tag(server.addr + "/tools:latest", "stable", #{ retries: 10 });
    /// ```
    #[rhai_fn(name = "tag", return_raw)]
    pub fn tag_options(ctx: NativeCallContext, name: &str, tag: &str, options: Map) -> Scripted<String> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                Ok(asker.remote_tag(ctx, name, tag, asking)?.familiar())
            })
        })
    }

    /// Removes an image from its registry by its digest, and with it every tag that stands for it.
    ///
    /// Throws `invalid` for a name without a digest: `registry::delete_tag` takes a single tag away. Throws `not_found`, and
    /// `unsupported` where the registry removes nothing.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let app = server.addr + "/team/app";
    /// image::push("tools", app + ":old");
    /// registry::delete(app + "@" + registry::digest(app + ":old"));
    /// assert::ok(!registry::exists(app + ":old"));
    /// ```
    #[rhai_fn(name = "delete", return_raw)]
    pub fn delete(ctx: NativeCallContext, name: &str) -> Scripted<()> {
        delete_options(ctx, name, Map::new())
    }

    /// Removes an image from its registry by its digest. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let app = server.addr + "/team/app";
    /// image::push("tools", app + ":old");
    /// registry::delete(app + "@" + registry::digest(app + ":old"), #{ tls_verify: false });
    /// ```
    #[rhai_fn(name = "delete", return_raw)]
    pub fn delete_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                asker.remote_delete(ctx, name, asking)
            })
        })
    }

    /// Takes a tag away at its registry. Other tags of the same image stay, whatever the registry can do: where it knows no deletion
    /// of tags, the tag is moved to a manifest of its own first, and that is removed.
    ///
    /// Throws `not_found`, and `unsupported` where the registry removes nothing; the tag is what it was then.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let app = server.addr + "/team/app";
    /// for tag in ["1", "pr-7"] { image::push("tools", app + ":" + tag); }
    /// for tag in registry::tags(app).filter(|tag| tag.starts_with("pr-")) { registry::delete_tag(app + ":" + tag); }
    /// assert::eq(registry::tags(app), ["1"]);
    /// ```
    #[rhai_fn(name = "delete_tag", return_raw)]
    pub fn delete_tag(ctx: NativeCallContext, name: &str) -> Scripted<()> {
        delete_tag_options(ctx, name, Map::new())
    }

    /// Takes a tag away at its registry. Options: those of `registry::repos`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// image::push("tools", server.addr + "/team/app:old");
    /// registry::delete_tag(server.addr + "/team/app:old", #{ tls_verify: false });
    /// ```
    #[rhai_fn(name = "delete_tag", return_raw)]
    pub fn delete_tag_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            ask(session, options, |asker, ctx, asking| {
                asker.remote_delete_tag(ctx, name, asking)
            })
        })
    }

    /// Has a name stand for what another stands for with changes, and returns a map of `digest`, `unchanged`, `manifests`, `moved`,
    /// `mounted` and `saved`, as `registry::copy` does. Layers that stay are left where they are, or mounted: what is written anew are
    /// configurations and manifests. Of an image for several platforms all are changed; what attests to what it was does not go along.
    ///
    /// Options: `labels`, `env` and `annotations` (maps: those are set, others stay), `cmd` (the default command), `rebase`
    /// (`#{from, to}`: the layers of the one image, which must be its lowest, are replaced by those of the other; annotations tell the new
    /// base), `squash` (`true`: one layer of all, the one thing that reads layers), `tls_verify`, `retries`. Names are those of
    /// registries, or `"oci-dir:PATH:NAME"`. The same changes of the same image give the same digest.
    ///
    /// Throws `conflict` if the image does not stand on the old base, `unsupported` for what is no image, and what registries say.
    ///
    /// ```rhai,no_run
    /// let app = "ghcr.io/team/app:1";
    /// registry::mutate(app, "ghcr.io/team/app:1-patched", #{ rebase: #{ from: "debian:12.1", to: "debian:12.2" } });
    /// registry::mutate(app, app, #{ labels: #{ stage: "production" }, env: #{ DEBUG: 0 } });
    /// ```
    #[rhai_fn(name = "mutate", return_raw)]
    pub fn mutate(ctx: NativeCallContext, name: &str, to: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            let options = options::parse(options)?;
            let made = session.host()?.mutate_image(&session.context(), name, to, &options)?;
            Ok(super::copied(&made))
        })
    }

    /// Copies an image from one registry to another, or to or from an OCI layout (`"oci-dir:PATH:NAME"`), for all its platforms and
    /// byte for byte: its digest stays. Nothing is unpacked, and nothing comes into the store.
    ///
    /// Either side may also be an archive as `docker save` writes it (`"docker-archive:PATH:NAME"`; without a name, the only image in
    /// it). It holds an image for one platform, this machine's or that of `platforms`, and no manifest, so that the digest at a
    /// registry is another one; the image's id stays. Layers go to a registry compressed. An archive that is there is replaced.
    ///
    /// Returns a map of `digest`, `unchanged` (it was there: one question on each side told so), `manifests` (that were set), `moved`
    /// (bytes), `mounted` (bytes that the registry took from another of its repositories) and `saved` (those, and what was there
    /// already). Who you are to either side, `registry::login` says. Throws `not_found`, and what registries say.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let copied = registry::copy(server.addr + "/tools", server.addr + "/mirror/tools:1");
    /// assert::eq(copied.digest, image::get("tools").digest);
    /// print(`${format_bytes(copied.moved)} moved, ${format_bytes(copied.saved)} saved`);
    /// ```
    #[rhai_fn(name = "copy", return_raw)]
    pub fn copy(ctx: NativeCallContext, from: &str, to: &str) -> Scripted<Dynamic> {
        native(&ctx, |session| super::copy_to(session, from, to, Map::new()))
    }

    /// Copies an image from one registry, layout or archive to another.
    ///
    /// Options: `platforms` (an array: of one of them alone comes its manifest, of several a new index), `referrers` (also what says of
    /// itself that it is about the image, such as signatures and lists of contents), `digest_tags` (also tags made of its digest, as
    /// `sha256-….sig`), `force` (look for every part, though the destination's name stands for the same), `tls_verify`, `retries`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let layout = fs::temp_dir() + "/backup";
    /// registry::copy(server.addr + "/tools", "oci-dir:" + layout + ":1", #{ referrers: true });
    /// assert::ok(fs::exists(layout + "/index.json"));
    /// ```
    #[rhai_fn(name = "copy", return_raw)]
    pub fn copy_options(ctx: NativeCallContext, from: &str, to: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| super::copy_to(session, from, to, options))
    }
}
