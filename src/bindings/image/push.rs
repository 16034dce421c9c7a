//! `image::push`, and `push` of an `Image`.

use rhai::{Array, Dynamic, Map, export_module};
use serde_json::json;

use crate::bindings::session::Session;
use crate::bindings::value::from_json;
use crate::bindings::{options, subject};
use crate::error::{Error, Result};
use crate::host::PushedImage;

/// Pushes, and tells what came of it: a map, or under `all_tags` an array of them.
fn push_to(session: &Session, source: &Dynamic, dest: Option<&str>, options: Map) -> Result<Dynamic> {
    let options: crate::host::PushOptions = options::parse(options)?;
    let source = subject::image(source)?;
    let mut pushed = session.watched("push", dest.unwrap_or(&source), |ctx| {
        session.host()?.push_image(ctx, &source, dest, &options)
    })?;
    if options.all_tags {
        return Ok(Dynamic::from(pushed.iter().map(map).collect::<Array>()));
    }
    let one = pushed.pop().ok_or_else(|| Error::internal("a push without an image"))?;
    Ok(map(&one))
}

fn map(pushed: &PushedImage) -> Dynamic {
    from_json(&json!({
        "reference": pushed.reference.familiar(),
        "digest": pushed.digest,
        "size": pushed.size,
        "sent": pushed.moved.sent,
        "mounted": pushed.moved.mounted,
        "present": pushed.moved.present,
    }))
}

/// `image::push`.
#[export_module(manifest)]
pub mod functions {
    use super::push_to;
    use crate::bindings::prelude::*;

    /// Sends an image to a registry under its own name, and returns a map of `reference`, `digest`, `size` (bytes of manifest,
    /// configuration and layers as they are there), and of these `sent`, `mounted` (taken by the registry from another of its
    /// repositories) and `present`.
    ///
    /// An image that came from a registry goes byte for byte as it came, digest and all. Layers that are not compressed, such as
    /// those of images made here, are compressed on their way. Throws `unauthorized` and `denied`, `network`, `rate_limited`; and
    /// `invalid` where it has no name, or several.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let name = server.addr + "/team/app:1";
    /// image::tag("tools", name);
    /// assert::eq(image::push(name).digest, registry::digest(name));
    /// ```
    #[rhai_fn(name = "push", return_raw)]
    pub fn push(ctx: NativeCallContext, image: Dynamic) -> Scripted<Dynamic> {
        native(&ctx, |session| push_to(session, &image, None, Map::new()))
    }

    /// Sends an image to a registry under another name; or, where the second argument is a map, with those options under its own.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let there = image::push("tools", server.addr + "/team/app:1");
    /// print(`${there.reference}@${there.digest}: ${format_bytes(there.sent)} sent`);
    /// ```
    #[rhai_fn(name = "push", return_raw)]
    pub fn push_dest(ctx: NativeCallContext, image: Dynamic, dest: Dynamic) -> Scripted<Dynamic> {
        native(&ctx, |session| match dest.read_lock::<Map>() {
            Some(options) => push_to(session, &image, None, options.clone()),
            None => push_to(session, &image, Some(&super::name(&dest)?), Map::new()),
        })
    }

    /// Sends an image to a registry under another name.
    ///
    /// Options: `compression` (of layers that are not compressed: `"gzip"`, the default, `"zstd"`, or `"none"`), `force_compression`
    /// (those that are compressed otherwise become that, too), `all_tags` (the names are those of repositories, whose every tag goes;
    /// an array of maps is returned), `retries`, `timeout`, `tls_verify` (`false` takes any certificate, and plain HTTP; without it
    /// only registries on this machine are taken so), `username` and `password` (otherwise who `registry::login`, Docker or Podman
    /// logged in).
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// image::push("tools", server.addr + "/team/app", #{ all_tags: true, compression: "zstd", timeout: 10.minutes });
    /// ```
    #[rhai_fn(name = "push", return_raw)]
    pub fn push_options(ctx: NativeCallContext, image: Dynamic, dest: &str, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| push_to(session, &image, Some(dest), options))
    }
}

/// `push` of an `Image`.
#[export_module(manifest)]
pub mod methods {
    use super::push_to;
    use crate::bindings::prelude::*;
    use crate::host::Image;

    /// Sends the image to a registry under its own name, as `image::push` does.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let image = image::tag("tools", server.addr + "/team/app:1");
    /// image::untag("tools");
    /// assert::eq(image.push().reference, server.addr + "/team/app:1");
    /// ```
    #[rhai_fn(name = "push", return_raw, pure)]
    pub fn push(ctx: NativeCallContext, this: &mut Image) -> Scripted<Dynamic> {
        let image = Dynamic::from(this.clone());
        native(&ctx, |session| push_to(session, &image, None, Map::new()))
    }

    /// Sends the image to a registry under another name; or, where the argument is a map, with those options under its own.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// image::get("tools").push(server.addr + "/team/app:1");
    /// assert::ok(registry::exists(server.addr + "/team/app:1"));
    /// ```
    #[rhai_fn(name = "push", return_raw, pure)]
    pub fn push_dest(ctx: NativeCallContext, this: &mut Image, dest: Dynamic) -> Scripted<Dynamic> {
        let image = Dynamic::from(this.clone());
        native(&ctx, |session| match dest.read_lock::<Map>() {
            Some(options) => push_to(session, &image, None, options.clone()),
            None => push_to(session, &image, Some(&super::name(&dest)?), Map::new()),
        })
    }

    /// Sends the image to a registry under another name. Options: those of `image::push`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// image::get("tools").push(server.addr + "/team/app:1", #{ compression: "zstd" });
    /// ```
    #[rhai_fn(name = "push", return_raw, pure)]
    pub fn push_options(ctx: NativeCallContext, this: &mut Image, dest: &str, options: Map) -> Scripted<Dynamic> {
        let image = Dynamic::from(this.clone());
        native(&ctx, |session| push_to(session, &image, Some(dest), options))
    }
}

/// A name to push to.
fn name(value: &Dynamic) -> Result<String> {
    let text = value.clone().into_string();
    text.map_err(|_| Error::invalid("the second argument of `push` is a name, or a map of options"))
}
