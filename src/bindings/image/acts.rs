//! The methods of `Image`.

use rhai::export_module;

/// What can be done with an image.
#[export_module(manifest)]
pub mod methods {
    use super::super::namespace::{history_of, save_to, untag_from};
    use crate::bindings::prelude::*;
    use crate::bindings::report::Report;
    use crate::bindings::saved::Saved;
    use crate::bindings::{options, value};
    use crate::host::Image;

    /// Gives the image a further name and returns it with its names as they are then.
    ///
    /// A name that is in use moves; an image that loses its last name so becomes dangling. Throws `invalid` for a bad name.
    ///
    /// ```rhai,images
    /// let img = image::get("tools").tag("team/tools:1.0");
    /// assert::eq(img.tags, ["tools:latest", "team/tools:1.0"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn tag(ctx: NativeCallContext, this: &mut Image, name: &str) -> Scripted<Image> {
        native(&ctx, |session| session.host()?.tag_image(this.id().as_str(), name))
    }

    /// Takes one of its names away; the image stays, dangling when that was the last one.
    ///
    /// Throws `not_found` when the image has no such name.
    ///
    /// ```rhai,images
    /// let img = image::tag("tools", "tools:old");
    /// img.untag("tools:old");
    /// assert::ok(!image::exists("tools:old"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn untag(ctx: NativeCallContext, this: &mut Image, name: &str) -> Scripted<()> {
        native(&ctx, |session| untag_from(session, this, name))
    }

    /// Removes the image with all its names.
    ///
    /// Throws `in_use` while a container uses it or another image is made from it.
    ///
    /// ```rhai,images
    /// image::get("tools").remove();
    /// assert::ok(!image::exists("tools"));
    /// ```
    #[rhai_fn(name = "remove", return_raw, pure)]
    pub fn remove(ctx: NativeCallContext, this: &mut Image) -> Scripted<Report> {
        remove_options(ctx, this, Map::new())
    }

    /// Removes the image with all its names.
    ///
    /// Options: `force` (take its names even while a container uses it; the image itself stays until the container is gone), `trash`
    /// (default `true`: it can be brought back by `system::undo` for a while, if the disk has room),
    /// `prune_parents` (default `true`: unnamed parents go with their last child).
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"]);
    /// let report = image::get("tools").remove(#{ force: true });
    /// assert::eq(report.kept.len(), 1);
    /// ```
    #[rhai_fn(name = "remove", return_raw, pure)]
    pub fn remove_options(ctx: NativeCallContext, this: &mut Image, options: Map) -> Scripted<Report> {
        native(&ctx, |session| {
            let report = session
                .host()?
                .remove_image(this.id().as_str(), &options::parse(options)?)?;
            Ok(report.into())
        })
    }

    /// Writes the image with all its names to an archive and returns a `Saved`.
    ///
    /// ```rhai,images
    /// let saved = image::get("tools").save(fs::temp_dir() + "/tools.tar");
    /// assert::eq(saved.size, fs::size(saved.path));
    /// ```
    #[rhai_fn(name = "save", return_raw, pure)]
    pub fn save(ctx: NativeCallContext, this: &mut Image, path: &str) -> Scripted<Saved> {
        save_options(ctx, this, path, Map::new())
    }

    /// Writes the image with all its names to an archive or a directory and returns a `Saved`.
    ///
    /// Options: as for `image::save`.
    ///
    /// ```rhai,images
    /// let dir = fs::temp_dir() + "/layout";
    /// image::get("tools").save(dir, #{ format: "oci-dir" });
    /// assert::ok(fs::exists(dir + "/index.json"));
    /// ```
    #[rhai_fn(name = "save", return_raw, pure)]
    pub fn save_options(ctx: NativeCallContext, this: &mut Image, path: &str, options: Map) -> Scripted<Saved> {
        native(&ctx, |session| {
            save_to(session, &[this.id().to_string()], path, options)
        })
    }

    /// How the image came to be, newest step first, as maps of `id`, `created`, `created_by`, `comment`, `author`, `size` and
    /// `empty_layer`, as `image::history` tells it.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").history().len(), 1);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn history(ctx: NativeCallContext, this: &mut Image) -> Scripted<Array> {
        native(&ctx, |_| history_of(this))
    }

    /// All that is known of the image, in Docker's field names.
    ///
    /// ```rhai,images
    /// assert::eq(image::get("tools").inspect().RepoTags, ["tools:latest"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn inspect(ctx: NativeCallContext, this: &mut Image) -> Scripted<Dynamic> {
        native(&ctx, |_| Ok(value::from_json(&this.inspect()?)))
    }

    /// Reads the facts again, and returns the image with them.
    ///
    /// Throws `not_found` once the image is removed.
    ///
    /// ```rhai,images
    /// let img = image::get("tools");
    /// image::tag(img, "tools:2");
    /// assert::eq(img.reload().tags.len(), 2);
    /// assert::eq(img.tags.len(), 2);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn reload(ctx: NativeCallContext, this: &mut Image) -> Scripted<Image> {
        native(&ctx, |_| {
            *this = this.reload()?;
            Ok(this.clone())
        })
    }
}
