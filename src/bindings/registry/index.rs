//! `registry::index` and `Index`: images for several platforms under one name.

use rhai::{Dynamic, Map, export_module};
use serde_json::json;

use super::acts::copied;
use crate::bindings::object::Object;
use crate::bindings::session::Session;
use crate::bindings::{options, subject};
use crate::error::{Error, Result};
use crate::host::{EntryOptions, Image, Index};
use crate::model::ByteSize;

fn open(session: &Session, name: &str, options: Map) -> Result<Index> {
    session
        .host()?
        .index(&session.context(), name, &options::parse(options)?)
}

fn add_to(session: &Session, index: &Index, what: &Dynamic, options: Map) -> Result<Index> {
    let (host, ctx): (_, _) = (session.host()?, session.context());
    let options: EntryOptions = options::parse(options)?;
    let text = subject::image(what)?;
    match what.is::<Image>() {
        true => host.add_image_to_index(&ctx, index, &text, &options)?,
        false => host.add_to_index(&ctx, index, &text, &options)?,
    }
    Ok(index.clone())
}

fn push_to(session: &Session, index: &Index, dest: Option<&str>, options: Map) -> Result<Dynamic> {
    let options = options::parse(options)?;
    let pushed = session.host()?.push_index(&session.context(), index, dest, &options)?;
    Ok(copied(&pushed))
}

/// A name to push to.
fn name(value: &Dynamic) -> Result<String> {
    let text = value.clone().into_string();
    text.map_err(|_| Error::invalid("the argument of `push` is a name, or a map of options"))
}

impl Object for Index {
    const NAME: &'static str = "Index";
    const COLUMNS: &'static [&'static str] = &["NAME", "PLATFORM", "DIGEST", "SIZE"];

    fn text(&self) -> String {
        self.name().familiar()
    }

    fn debug(&self) -> String {
        format!("Index({}, {})", self.name().familiar(), self.platforms().join(", "))
    }

    fn cells(&self) -> Vec<String> {
        let platforms = self.platforms().join(", ");
        let digest = self.digest().short().to_owned();
        vec![self.name().familiar(), platforms, digest, String::new()]
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let name = self.name().familiar();
        let entries = self.manifests().into_iter();
        let row = |entry: serde_json::Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let digest = text("digest");
            let short = digest
                .split(':')
                .nth(1)
                .and_then(|hex| hex.get(..12))
                .unwrap_or(&digest);
            let size = ByteSize(entry["size"].as_u64().unwrap_or(0)).to_string();
            vec![name.clone(), text("platform"), short.to_owned(), size]
        };
        entries.map(row).collect()
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name().familiar(),
            "digest": self.digest(),
            "media_type": self.media_type(),
            "annotations": self.annotations(),
            "platforms": self.platforms(),
            "manifests": self.manifests(),
        })
    }
}

/// Images for several platforms under one name.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;
    use crate::host::Index;

    /// The index that a name at a registry stands for: what it lists, for which platforms, and by `add`, `remove` and `push` another one
    /// in its place. Nothing changes there before `push`.
    ///
    /// Throws `not_found`, and `invalid` where the name stands for an image: an index is begun by `create`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true, delete: true });
    /// let app = server.addr + "/team/app:1";
    /// registry::index(app, #{ create: true }).add(image::get("tools")).push();
    /// assert::eq(registry::index(app).platforms, ["linux/amd64"]);
    /// ```
    #[rhai_fn(name = "index", return_raw)]
    pub fn index(ctx: NativeCallContext, name: &str) -> Scripted<Index> {
        native(&ctx, |session| super::open(session, name, Map::new()))
    }

    /// The index that a name at a registry stands for, or one that begins.
    ///
    /// Options: `create` (`true`: it begins empty, whatever the name stands for), `format` (what one that begins is written as: `"oci"`,
    /// the default, or `"docker"`, a manifest list), `tls_verify`, `retries`.
    ///
    /// ```rhai,no_run
    /// let app = "ghcr.io/team/app";
    /// let index = registry::index(app + ":1.2", #{ create: true });
    /// for arch in ["amd64", "arm64"] { index.add(`${app}:1.2-${arch}`); }
    /// index.annotate(#{ "org.opencontainers.image.version": "1.2" });
    /// print(`${index.push().digest} is for ${index.platforms}`);
    /// ```
    #[rhai_fn(name = "index", return_raw)]
    pub fn index_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Index> {
        native(&ctx, |session| super::open(session, name, options))
    }
}

/// An index at a registry, as it is to be.
#[export_module(manifest)]
pub mod methods {
    use super::{add_to, push_to};
    use crate::bindings::prelude::*;
    use crate::bindings::value::{from_json, from_serde};
    use crate::error::Result;
    use crate::host::Index;
    use crate::model::Pairs;

    /// The name it is read from, and pushed to.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// assert::eq(registry::index(server.addr + "/app:1", #{ create: true }).name, server.addr + "/app:1");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn name(this: &mut Index) -> String {
        this.name().familiar()
    }

    /// The digest it has as it is now: known before it is pushed, the same after.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/app:1", #{ create: true }).add(image::get("tools"));
    /// assert::eq(index.push().digest, index.digest);
    /// ```
    #[rhai_fn(get = "digest", pure)]
    pub fn digest(this: &mut Index) -> String {
        this.digest().to_string()
    }

    /// Its media type: that of an OCI index, or of Docker's manifest lists.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/app:1", #{ create: true });
    /// assert::eq(index.media_type, "application/vnd.oci.image.index.v1+json");
    /// ```
    #[rhai_fn(get = "media_type", pure)]
    pub fn media_type(this: &mut Index) -> String {
        this.media_type()
    }

    /// What it lists, in its order: maps of `digest`, `media_type`, `size` (of the manifest), `platform` (`()` for what is for none),
    /// `artifact_type` and `annotations`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/app:1", #{ create: true }).add(image::get("tools"));
    /// assert::eq(index.manifests.map(|entry| entry.platform), ["linux/amd64"]);
    /// ```
    #[rhai_fn(get = "manifests", pure)]
    pub fn manifests(this: &mut Index) -> Array {
        this.manifests().iter().map(from_json).collect()
    }

    /// The platforms that its images are for, as text: `linux/amd64`, `linux/arm/v7`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/app:1", #{ create: true }).add(image::get("tools"));
    /// assert::ok("linux/amd64" in index.platforms);
    /// ```
    #[rhai_fn(get = "platforms", pure)]
    pub fn platforms(this: &mut Index) -> Array {
        this.platforms().into_iter().map(Dynamic::from).collect()
    }

    /// What is said of it, as a map.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/app:1", #{ create: true }).annotate(#{ team: "blue" });
    /// assert::eq(index.annotations, #{ team: "blue" });
    /// ```
    #[rhai_fn(get = "annotations", return_raw, pure)]
    pub fn annotations(ctx: NativeCallContext, this: &mut Index) -> Scripted<Dynamic> {
        let found = this.annotations();
        native(&ctx, |_| from_serde(&found))
    }

    /// Lists an image, and gives the index: a name at a registry, `"oci-dir:PATH:NAME"`, or an `Image` of the store.
    ///
    /// What it is for its configuration says. It takes the place of what the index lists for the same platform. Of a name that stands
    /// for an index all images are added, with what attests to them. Images from elsewhere come along with `push`: mounted where the
    /// registry can, copied where it cannot. Throws `not_found`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// image::push("tools", server.addr + "/build/tools:amd64");
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true });
    /// index.add(server.addr + "/build/tools:amd64").push();
    /// assert::ok(registry::exists(server.addr + "/tools:1"));
    /// ```
    #[rhai_fn(name = "add", return_raw, pure)]
    pub fn add(ctx: NativeCallContext, this: &mut Index, image: Dynamic) -> Scripted<Index> {
        let index = this.clone();
        native(&ctx, |session| add_to(session, &index, &image, Map::new()))
    }

    /// Lists an image, and gives the index.
    ///
    /// Options: `platform` (of a name that stands for an index, the image for this one; otherwise what the image is for, whatever its
    /// configuration says), `annotations` (a map: what is said of it where it is listed), `nested` (`true`: an index as one entry),
    /// `tls_verify` (of the registry it is at).
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true });
    /// index.add(image::get("tools"), #{ platform: "linux/arm/v7", annotations: #{ tested: "no" } });
    /// assert::eq(index.manifests[0].annotations.tested, "no");
    /// ```
    #[rhai_fn(name = "add", return_raw, pure)]
    pub fn add_options(ctx: NativeCallContext, this: &mut Index, image: Dynamic, options: Map) -> Scripted<Index> {
        let index = this.clone();
        native(&ctx, |session| add_to(session, &index, &image, options))
    }

    /// Lists no longer what is for a platform (`"linux/arm64"`), or has a digest, nor what attests to it; and gives the index.
    ///
    /// Throws `not_found` if it lists no such thing. The image itself stays at the registry.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true }).add(image::get("tools"));
    /// index.add(image::get("tools"), #{ platform: "linux/arm64" }).remove("linux/arm64");
    /// assert::eq(index.platforms, []);
    /// ```
    #[rhai_fn(name = "remove", return_raw, pure)]
    pub fn remove(ctx: NativeCallContext, this: &mut Index, what: &str) -> Scripted<Index> {
        let index = this.clone();
        native(&ctx, |_| index.remove(what).map(|()| index))
    }

    /// Says something of the index itself, and gives it: keys with values; others stay. Throws `unsupported` for Docker's format.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true });
    /// index.annotate(#{ "org.opencontainers.image.version": "1" });
    /// assert::eq(index.annotations.len(), 1);
    /// ```
    #[rhai_fn(name = "annotate", return_raw, pure)]
    pub fn annotate(ctx: NativeCallContext, this: &mut Index, annotations: Map) -> Scripted<Index> {
        let index = this.clone();
        native(&ctx, |_| {
            let pairs: Result<Pairs> = crate::bindings::options::parse(annotations);
            index.annotate(&pairs?).map(|()| index)
        })
    }

    /// Sets the index at its registry under its name, after all that it lists, and returns a map of `digest`, `unchanged`, `manifests`,
    /// `moved`, `mounted` and `saved`, as `registry::copy` does.
    ///
    /// Throws `conflict` where the name stands for something else than when it was looked at: nobody's work is lost. Throws what
    /// registries say; the name means then what it meant before.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true }).add(image::get("tools"));
    /// index.push();
    /// assert::ok(index.push().unchanged);
    /// ```
    #[rhai_fn(name = "push", return_raw, pure)]
    pub fn push(ctx: NativeCallContext, this: &mut Index) -> Scripted<Dynamic> {
        let index = this.clone();
        native(&ctx, |session| push_to(session, &index, None, Map::new()))
    }

    /// Sets the index under another name, at the same registry or another; or, where the argument is a map, with those options under its
    /// own.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true }).add(image::get("tools"));
    /// index.push(server.addr + "/tools:stable");
    /// assert::ok(registry::exists(server.addr + "/tools:stable"));
    /// ```
    #[rhai_fn(name = "push", return_raw, pure)]
    pub fn push_dest(ctx: NativeCallContext, this: &mut Index, dest: Dynamic) -> Scripted<Dynamic> {
        let index = this.clone();
        native(&ctx, |session| match dest.read_lock::<Map>() {
            Some(options) => push_to(session, &index, None, options.clone()),
            None => push_to(session, &index, Some(&super::name(&dest)?), Map::new()),
        })
    }

    /// Sets the index under another name.
    ///
    /// Options: `referrers` (also what says of itself that it is about the images, such as signatures), `force` (also where the name has
    /// moved since it was looked at), `tls_verify`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0", write: true });
    /// let index = registry::index(server.addr + "/tools:1", #{ create: true }).add(image::get("tools"));
    /// index.push(server.addr + "/tools:stable", #{ referrers: true });
    /// ```
    #[rhai_fn(name = "push", return_raw, pure)]
    pub fn push_options(ctx: NativeCallContext, this: &mut Index, dest: &str, options: Map) -> Scripted<Dynamic> {
        let index = this.clone();
        native(&ctx, |session| push_to(session, &index, Some(dest), options))
    }
}
