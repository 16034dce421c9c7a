//! The getters of `Image`: facts of the moment the image was got.

use rhai::export_module;

/// What is known of an image.
#[export_module(manifest)]
pub mod getters {
    use super::super::environment;
    use crate::bindings::amount::bytes;
    use crate::bindings::duration::Duration;
    use crate::bindings::prelude::*;
    use crate::bindings::subject::texts;
    use crate::bindings::time::Time;
    use crate::bindings::value::{list, or_unit};
    use crate::host::Image;

    /// The image id: the digest of its configuration.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").id.starts_with("sha256:"));
    /// ```
    #[rhai_fn(get = "id", pure)]
    pub fn id(this: &mut Image) -> String {
        this.id().to_string()
    }

    /// The first twelve digits of the id.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").short_id.len(), 12);
    /// ```
    #[rhai_fn(get = "short_id", pure)]
    pub fn short_id(this: &mut Image) -> String {
        this.id().short().to_owned()
    }

    /// The digest of the manifest.
    ///
    /// ```rhai,images
    /// assert::eq(image::get(image::get("tools").digest), image::get("tools"));
    /// ```
    #[rhai_fn(get = "digest", pure)]
    pub fn digest(this: &mut Image) -> String {
        this.digest().to_string()
    }

    /// The names of the image, sorted; an empty array for one without a name.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").tags, ["tools:latest"]);
    /// ```
    #[rhai_fn(get = "tags", pure)]
    pub fn tags(this: &mut Image) -> Array {
        list(this.tags())
    }

    /// The first name of the image, or `<none>`.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").name, "tools:latest");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn name(this: &mut Image) -> String {
        this.name()
    }

    /// The number of bytes of all layers, unpacked.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").size > 100.kib);
    /// ```
    #[rhai_fn(get = "size", pure)]
    pub fn size(this: &mut Image) -> INT {
        bytes(this.size())
    }

    /// The number of bytes of those layers that no other image has.
    ///
    /// ```rhai,images
    /// let img = image::get("tools");
    /// assert::eq(img.unique_size, img.size);
    /// ```
    #[rhai_fn(get = "unique_size", return_raw, pure)]
    pub fn unique_size(ctx: NativeCallContext, this: &mut Image) -> Scripted<INT> {
        native(&ctx, |_| Ok(bytes(this.unique_size()?)))
    }

    /// When the image was made, by its own account; `()` when it does not say.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").created <= time::now());
    /// ```
    #[rhai_fn(get = "created", pure)]
    pub fn created(this: &mut Image) -> Dynamic {
        or_unit(this.created().map(Time::new))
    }

    /// When the image was added, run, saved or pushed last.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").last_used.age < 1.hours);
    /// ```
    #[rhai_fn(get = "last_used", pure)]
    pub fn last_used(this: &mut Image) -> Time {
        Time::new(this.last_used())
    }

    /// The labels.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").labels, #{});
    /// ```
    #[rhai_fn(get = "labels", pure)]
    pub fn labels(this: &mut Image) -> Map {
        texts(this.labels())
    }

    /// The environment variables that containers of the image start with.
    ///
    /// ```rhai,images
    /// image::from_host("tools:env", ["/bin/true"], #{ env: #{ LANG: "C" } });
    /// assert::eq(image::get("tools:env").env.LANG, "C");
    /// ```
    #[rhai_fn(get = "env", return_raw, pure)]
    pub fn env(ctx: NativeCallContext, this: &mut Image) -> Scripted<Map> {
        native(&ctx, |_| Ok(texts(environment(&this.config()?.config))))
    }

    /// The default command or arguments, as an array of words; `()` when there is none.
    ///
    /// ```rhai,images
    /// image::from_host("tools:cmd", ["/bin/echo"], #{ cmd: ["echo", "hi"] });
    /// assert::eq(image::get("tools:cmd").cmd, ["echo", "hi"]);
    /// ```
    #[rhai_fn(get = "cmd", return_raw, pure)]
    pub fn cmd(ctx: NativeCallContext, this: &mut Image) -> Scripted<Dynamic> {
        native(&ctx, |_| Ok(or_unit(this.config()?.config.cmd.map(list))))
    }

    /// The command's leading words, as an array; `()` when there are none.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").entrypoint, ());
    /// ```
    #[rhai_fn(get = "entrypoint", return_raw, pure)]
    pub fn entrypoint(ctx: NativeCallContext, this: &mut Image) -> Scripted<Dynamic> {
        native(&ctx, |_| Ok(or_unit(this.config()?.config.entrypoint.map(list))))
    }

    /// The directory that commands start in; empty for `/`.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").workdir, "");
    /// ```
    #[rhai_fn(get = "workdir", return_raw, pure)]
    pub fn workdir(ctx: NativeCallContext, this: &mut Image) -> Scripted<String> {
        native(&ctx, |_| Ok(this.config()?.config.working_dir))
    }

    /// The user that commands run as; empty for root.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").user, "");
    /// ```
    #[rhai_fn(get = "user", return_raw, pure)]
    pub fn user(ctx: NativeCallContext, this: &mut Image) -> Scripted<String> {
        native(&ctx, |_| Ok(this.config()?.config.user))
    }

    /// The ports the image says it serves, such as `80/tcp`.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").exposed_ports, []);
    /// ```
    #[rhai_fn(get = "exposed_ports", return_raw, pure)]
    pub fn exposed_ports(ctx: NativeCallContext, this: &mut Image) -> Scripted<Array> {
        native(&ctx, |_| Ok(list(this.config()?.config.exposed_ports.into_keys())))
    }

    /// The directories that become volumes of their own.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").volumes, []);
    /// ```
    #[rhai_fn(get = "volumes", return_raw, pure)]
    pub fn volumes(ctx: NativeCallContext, this: &mut Image) -> Scripted<Array> {
        native(&ctx, |_| Ok(list(this.config()?.config.volumes.into_keys())))
    }

    /// The digests of the uncompressed layers, lowest first.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").layers.len(), 1);
    /// ```
    #[rhai_fn(get = "layers", return_raw, pure)]
    pub fn layers(ctx: NativeCallContext, this: &mut Image) -> Scripted<Array> {
        native(&ctx, |_| Ok(list(this.layers()?.iter().map(ToString::to_string))))
    }

    /// The processor architecture the image is for, such as `amd64`.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").platform.ends_with(image::get("tools").architecture));
    /// ```
    #[rhai_fn(get = "architecture", pure)]
    pub fn architecture(this: &mut Image) -> String {
        this.platform().architecture
    }

    /// The operating system the image is for.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").os, "linux");
    /// ```
    #[rhai_fn(get = "os", pure)]
    pub fn os(this: &mut Image) -> String {
        this.platform().os
    }

    /// The operating system, architecture and variant, such as `linux/amd64`.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").platform.starts_with("linux/"));
    /// ```
    #[rhai_fn(get = "platform", pure)]
    pub fn platform(this: &mut Image) -> String {
        this.platform().to_string()
    }

    /// The id of the image it was made from, when that happened here; otherwise `()`.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").parent, ());
    /// ```
    #[rhai_fn(get = "parent", pure)]
    pub fn parent(this: &mut Image) -> Dynamic {
        or_unit(this.parent().map(ToString::to_string))
    }

    /// How long ago the image was made; by the time it was added where it does not say.
    ///
    /// ```rhai,images
    /// assert::ok(image::get("tools").age < 1.days);
    /// ```
    #[rhai_fn(get = "age", pure)]
    pub fn age(this: &mut Image) -> Duration {
        this.age().into()
    }

    /// Whether the image has no name and no other image is made from it.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").dangling, false);
    /// ```
    #[rhai_fn(get = "dangling", pure)]
    pub fn dangling(this: &mut Image) -> bool {
        this.dangling()
    }

    /// Whether the image has no name, but other images are made from it.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").intermediate, false);
    /// ```
    #[rhai_fn(get = "intermediate", pure)]
    pub fn intermediate(this: &mut Image) -> bool {
        this.intermediate()
    }

    /// The names of the containers made from the image.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"], #{ name: "web" });
    /// assert::eq(image::get("tools").used_by, ["web"]);
    /// ```
    #[rhai_fn(get = "used_by", pure)]
    pub fn used_by(this: &mut Image) -> Array {
        list(this.used_by().iter().cloned())
    }
}
