//! The functions of `image::`.

use std::path::Path;

use rhai::{Array, Dynamic, Map, export_module};
use serde::Deserialize;
use serde_json::json;

use crate::bindings::console::Level;
use crate::bindings::options;
use crate::bindings::saved::Saved;
use crate::bindings::session::Session;
use crate::bindings::time::Time;
use crate::bindings::value::{from_json, or_unit};
use crate::error::{Error, Result};
use crate::host::{BroughtIn, Image};
use crate::images::{Change, ChangeKind, Entry};
use crate::model::{Digest, Reference};

/// The options of `image::load`.
#[derive(Deserialize)]
#[serde(default)]
pub(in crate::bindings) struct LoadOptions {
    tags: bool,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions { tags: true }
    }
}

/// Facts that JSON can hold, and one that it cannot.
fn map(facts: &serde_json::Value, name: &str, value: Dynamic) -> Dynamic {
    let mut map = from_json(facts).try_cast::<Map>().unwrap_or_default();
    map.insert(name.into(), value);
    map.into()
}

/// The steps of an image's history.
pub(super) fn history_of(image: &Image) -> Result<Array> {
    let steps = image.history()?;
    let created = |text: &Option<String>| or_unit(text.as_deref().and_then(|text| Time::parse(text).ok()));
    let step = |step: &crate::images::History| {
        let facts = json!({
            "id": step.id.as_ref().map_or("<missing>", Digest::as_str),
            "created_by": step.created_by,
            "comment": step.comment,
            "author": step.author,
            "size": step.size,
            "empty_layer": step.empty_layer,
        });
        map(&facts, "created", created(&step.created))
    };
    Ok(steps.iter().map(step).collect())
}

/// Saves images and tells what was written.
pub(super) fn save_to(session: &Session, images: &[String], path: &str, options: Map) -> Result<Saved> {
    let options = options::parse(options)?;
    let host = session.host()?;
    let save = || {
        session.watched("save", path, |ctx| {
            host.save_images(ctx, images, Path::new(path), &options)
        })
    };
    let saved = session.write_archive(path, save)?;
    let rebuilt: Vec<&str> = saved.rebuilt.iter().map(Digest::as_str).collect();
    if !rebuilt.is_empty() {
        let list = rebuilt.join(", ");
        session.log(
            Level::Warn,
            &format!("made again from their files, for their blobs were dropped: {list}"),
        );
    }
    Ok(saved.into())
}

/// Says which names a load set, for an archive may set any: louder where one meant another image before.
fn tell(session: &Session, brought: &BroughtIn) {
    brought
        .warnings
        .iter()
        .for_each(|warning| session.log(Level::Warn, warning));
    for tag in &brought.tags {
        let level = if tag.before.is_some() { Level::Warn } else { Level::Info };
        session.log(level, &tag.to_string());
    }
}

/// Takes a name away, if it is this image's.
pub(super) fn untag_from(session: &Session, image: &Image, name: &str) -> Result<()> {
    let reference: Reference = name.parse()?;
    if !image.reload()?.references().contains(&reference) {
        let text = format!("image `{image}` has no name `{}`", reference.familiar());
        return Err(Error::not_found(text).target(name));
    }
    session.host()?.untag_image(name)
}

fn entry(entry: &Entry) -> Dynamic {
    let facts = json!({
        "path": entry.path.display().to_string(),
        "kind": entry.kind,
        "size": entry.size,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
        "link": entry.link.as_ref().map(|link| link.display().to_string()),
        "layer": entry.layer.as_str(),
    });
    map(&facts, "mtime", or_unit(Time::from_unix(entry.mtime).ok()))
}

/// A difference as a map of `kind`, `path` and `size`.
pub(in crate::bindings) fn change(change: &Change) -> Dynamic {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
    };
    from_json(&json!({ "kind": kind, "path": change.path.display().to_string(), "size": change.size }))
}

/// Images: brought in, listed, named, saved, removed.
#[export_module(manifest)]
pub mod functions {
    use std::path::Path;

    use super::{LoadOptions, change, entry, history_of, save_to, tell};
    use crate::bindings::filter;
    use crate::bindings::image::transfer::pull_from;
    use crate::bindings::prelude::*;
    use crate::bindings::report::Report;
    use crate::bindings::value::{from_json, list, or_unit};
    use crate::bindings::{options, subject};
    use crate::host::Image;

    /// The images at the top level, newest first: all but intermediate ones.
    ///
    /// ```rhai,images
    /// assert::eq(image::list().map(|i| i.name), ["tools:latest"]);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_all(ctx: NativeCallContext) -> Scripted<Array> {
        list_filter(ctx, Map::new())
    }

    /// The images that fit a filter, newest first.
    ///
    /// Filters, all of which must hold: `dangling`, `unused`, `intermediate` (true or false), `reference` (a pattern or an array of
    /// them), `label`, `label_not`, `older_than`, `newer_than` (an age or a time), `not_used_for`, `larger_than`, `platform`,
    /// `keep_last` (the newest so many of each group do not fit) with `per` (`"repo"`, the default, or `"label:KEY"`), `keep`
    /// (patterns of names that never fit), `free_at_least`, `total_at_most` (the least recently used, until that is reached),
    /// `matching` (a closure that gets the image and returns true or false), `all` (intermediate images, too).
    ///
    /// ```rhai,images
    /// image::tag("tools", "team/app:1.0");
    /// let found = image::list(#{ reference: "team/*", matching: |i| i.size > 10.kib });
    /// assert::eq(found.len(), 1);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Array> {
        filter::listed::<Image>(&ctx, filter)
    }

    /// The image of that name, id, start of an id, or digest.
    ///
    /// Throws `not_found`, and `invalid` when it is none of these or several ids start so.
    ///
    /// ```rhai,images
    /// let img = image::get("tools");
    /// assert::eq(image::get(img.short_id), img);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn get(ctx: NativeCallContext, image: Dynamic) -> Scripted<Image> {
        native(&ctx, |session| session.host()?.image(&subject::image(&image)?))
    }

    /// The image of that name, id, start of an id, or digest; `()` when there is none.
    ///
    /// Throws `invalid` when it is none of these or several ids start so.
    ///
    /// ```rhai,images
    /// assert::eq(image::find("no/such:image"), ());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find(ctx: NativeCallContext, image: Dynamic) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            Ok(or_unit(session.host()?.find_image(&subject::image(&image)?)?))
        })
    }

    /// Whether there is an image of that name, id, start of an id, or digest.
    ///
    /// ```rhai,images
    /// assert::ok(image::exists("tools"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn exists(ctx: NativeCallContext, image: Dynamic) -> Scripted<bool> {
        native(&ctx, |session| {
            Ok(session.host()?.find_image(&subject::image(&image)?)?.is_some())
        })
    }

    /// Brings in every image of an archive or OCI layout, with its names, and returns them.
    ///
    /// The format and a compression by gzip, zstd, xz or bzip2 are detected. A path of `-` is standard input. A layout whose name for
    /// an image is a tag alone, such as `latest`, says nothing of the repository: the image comes in without a name. Every name that
    /// is set is logged, with a warning where it meant another image before. Of an image for several platforms comes the one that suits
    /// this machine best. Throws
    /// `not_found`, and `corrupt` when a digest does not match; nothing is left behind then.
    ///
    /// ```rhai,images
    /// let saved = image::save("tools", fs::temp_dir() + "/tools.tar");
    /// image::remove("tools");
    /// assert::eq(image::load(saved.path)[0].name, "tools:latest");
    /// ```
    #[rhai_fn(name = "load", return_raw)]
    pub fn load(ctx: NativeCallContext, path: &str) -> Scripted<Array> {
        load_options(ctx, path, Map::new())
    }

    /// Brings in every image of an archive or OCI layout and returns them.
    ///
    /// Options: `tags` (default `true`: set the names the archive gives; with `false` every name stays what it is).
    ///
    /// ```rhai,images
    /// let saved = image::save("tools", fs::temp_dir() + "/tools.tar");
    /// image::remove("tools");
    /// assert::eq(image::load(saved.path, #{ tags: false })[0].tags, []);
    /// ```
    #[rhai_fn(name = "load", return_raw)]
    pub fn load_options(ctx: NativeCallContext, path: &str, options: Map) -> Scripted<Array> {
        native(&ctx, |session| {
            let LoadOptions { tags } = options::parse(options)?;
            let load = |ctx: &crate::model::Context| session.host()?.load_images(ctx, Path::new(path), tags);
            let brought = session.watched("load", path, load)?;
            tell(session, &brought);
            Ok(list(brought.images))
        })
    }

    /// Brings an image from a registry, if it is not here, and returns it.
    ///
    /// A name without a registry is Docker Hub's. A registry on this machine's loopback may speak plain HTTP, any other has to have a
    /// valid certificate. What is here already is not fetched, a layer as little as a whole image, and nothing is visible before all of it
    /// is here. A pull that was interrupted goes on where it was. Of an image for several platforms comes the one that suits this machine
    /// best. Throws `not_found`, `unauthorized`, `denied`, `rate_limited`, `network`, `corrupt` and `no_space`.
    ///
    /// ```rhai,throws=network
    /// image::pull("localhost:1/team/app:1.0"); // Nobody listens there.
    /// ```
    #[rhai_fn(name = "pull", return_raw)]
    pub fn pull(ctx: NativeCallContext, image: &str) -> Scripted<Image> {
        pull_options(ctx, image, Map::new())
    }

    /// Brings an image from a registry and returns it.
    ///
    /// Options: `policy` (`"missing"`, the default: where it is not here; `"always"`: the registry is asked, and what is here already is not
    /// fetched again; `"newer"`: the same, but where there is no answer the image that is here will do; `"never"`), `platform` (such as
    /// `"linux/arm64"`), `all_tags` (default `false`: every tag of the repository; the image of the name is returned, or the last one),
    /// `unpack` (default `true`; `false`: layers stay packed, checked all the same, and are unpacked when a container, or a look at their
    /// files, first needs them), `retries` (default 4: of what fails and may work in a moment), `timeout`, `tls_verify` (`false`: whatever
    /// certificate, or plain HTTP), `username` and `password`. An image that is asked for by digest gets that as its name.
    ///
    /// ```rhai,throws=network
    /// image::pull("localhost:1/team/app:1.0", #{ policy: "always", timeout: 1.minutes, retries: 0 });
    /// ```
    #[rhai_fn(name = "pull", return_raw)]
    pub fn pull_options(ctx: NativeCallContext, image: &str, options: Map) -> Scripted<Image> {
        native(&ctx, |session| pull_from(session, image, &options::parse(options)?))
    }

    /// Writes an image, or an array of images, to an archive that Docker and Podman load, and returns a `Saved` with its `path`,
    /// `size` and `sha256`.
    ///
    /// A name goes along alone; an id or an `Image` brings all its names. An existing file is replaced once the new one is whole.
    /// A path of `-` is standard output, for `hoist eval 'image::save("app", "-")' | ssh host hoist eval 'image::load("-")'`: what is
    /// printed from then on, the value of the expression included, goes to standard error. Throws `invalid` when that is a terminal,
    /// and `conflict` when it carries something already.
    ///
    /// ```rhai,images
    /// let saved = image::save("tools", fs::temp_dir() + "/tools.tar");
    /// assert::eq(hash::sha256_file(saved.path), saved.sha256);
    /// ```
    #[rhai_fn(name = "save", return_raw)]
    pub fn save(ctx: NativeCallContext, images: Dynamic, path: &str) -> Scripted<Saved> {
        save_options(ctx, images, path, Map::new())
    }

    /// Writes an image, or an array of images, to an archive or a directory and returns a `Saved`.
    ///
    /// Options: `format` (`"docker"`, the default, which is a valid OCI layout, too; `"oci-archive"`; `"oci-dir"`), `compression`
    /// (`"gzip"`, `"zstd"` or `"none"`: of the whole file for `"docker"`, of the layers otherwise; by default layers stay as they are
    /// stored). All processors compress, and the same images give the same bytes on however many.
    ///
    /// `rebuilt` has the diff ids of layers whose blobs were dropped (the setting `blobs` of the store): they are made again from their
    /// files, uncompressed unless `compression` says otherwise. The image's id stays the same, its manifest does not where a dropped
    /// blob was compressed.
    ///
    /// ```rhai,images
    /// let path = fs::temp_dir() + "/tools.tar.gz";
    /// image::save(["tools", image::get("tools")], path, #{ compression: "gzip" });
    /// assert::eq(fs::read_blob(path)[0], 0x1f);
    /// ```
    #[rhai_fn(name = "save", return_raw)]
    pub fn save_options(ctx: NativeCallContext, images: Dynamic, path: &str, options: Map) -> Scripted<Saved> {
        native(&ctx, |session| {
            save_to(session, &subject::images(&images)?, path, options)
        })
    }

    /// Makes an image of a tarball of a root file system, such as `export_tar` writes.
    ///
    /// A path of `-` is standard input. Throws `not_found`, `corrupt`, and `invalid` for a bad name.
    ///
    /// ```rhai,images
    /// let path = fs::temp_dir() + "/root.tar";
    /// container::create("tools", ["true"]).export_tar(path);
    /// assert::eq(image::import_tar(path, "copy").name, "copy:latest");
    /// ```
    #[rhai_fn(name = "import_tar", return_raw)]
    pub fn import_tar(ctx: NativeCallContext, path: &str, name: &str) -> Scripted<Image> {
        import_tar_options(ctx, path, name, Map::new())
    }

    /// Makes an image of a tarball of a root file system, such as `export_tar` writes.
    ///
    /// Options: `changes` (lines of a Dockerfile: `CMD`, `ENV`, `LABEL`, …), `message` (a remark for the history), `platform`
    /// (default: this machine's).
    ///
    /// ```rhai,images
    /// let path = fs::temp_dir() + "/root.tar";
    /// container::create("tools", ["true"]).export_tar(path);
    /// let img = image::import_tar(path, "copy", #{ changes: [`CMD ["echo", "hi"]`] });
    /// assert::eq(container::run(img).text(), "hi");
    /// ```
    #[rhai_fn(name = "import_tar", return_raw)]
    pub fn import_tar_options(ctx: NativeCallContext, path: &str, name: &str, options: Map) -> Scripted<Image> {
        native(&ctx, |session| {
            let options = options::parse(options)?;
            session.watched("import", name, |ctx| {
                session.host()?.import_image(ctx, Path::new(path), name, &options)
            })
        })
    }

    /// Makes a small image of programs of this machine and the shared libraries they need.
    ///
    /// The first program is the default command. Throws `not_found` naming the program or library that is missing.
    ///
    /// ```rhai,images
    /// let img = image::from_host("greeter", ["/bin/sh", "/bin/echo"]);
    /// assert::eq(container::run(img, "echo hello").text(), "hello");
    /// ```
    #[rhai_fn(name = "from_host", return_raw)]
    pub fn from_host(ctx: NativeCallContext, name: &str, programs: Array) -> Scripted<Image> {
        from_host_options(ctx, name, programs, Map::new())
    }

    /// Makes a small image of programs of this machine and the shared libraries they need.
    ///
    /// Options: `cmd` (the default command), `env`, `labels`.
    ///
    /// ```rhai,images
    /// let img = image::from_host("greeter", ["/bin/echo"], #{ cmd: ["echo", "hello"], labels: #{ demo: "yes" } });
    /// assert::eq(container::run(img).text(), "hello");
    /// ```
    #[rhai_fn(name = "from_host", return_raw)]
    pub fn from_host_options(ctx: NativeCallContext, name: &str, programs: Array, options: Map) -> Scripted<Image> {
        native(&ctx, |session| {
            let programs = subject::paths(&programs)?;
            session
                .host()?
                .image_from_host(&session.context(), name, &programs, &options::parse(options)?)
        })
    }

    /// Points a name at an image and returns the image.
    ///
    /// A name that is in use moves; an image that loses its last name so becomes dangling. Throws `not_found`, and `invalid` for a
    /// bad name.
    ///
    /// ```rhai,images
    /// image::tag("tools", "team/tools:1.0");
    /// assert::eq(image::get("team/tools:1.0"), image::get("tools"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn tag(ctx: NativeCallContext, image: Dynamic, name: &str) -> Scripted<Image> {
        native(&ctx, |session| {
            session.host()?.tag_image(&subject::image(&image)?, name)
        })
    }

    /// Takes a name away; its image stays, dangling when that was the last one.
    ///
    /// Throws `not_found` when there is no such name.
    ///
    /// ```rhai,images
    /// image::tag("tools", "tools:old");
    /// image::untag("tools:old");
    /// assert::ok(!image::exists("tools:old"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn untag(ctx: NativeCallContext, name: &str) -> Scripted<()> {
        native(&ctx, |session| session.host()?.untag_image(name))
    }

    /// Removes an image: a name among several loses that name only; the last name, an id or an `Image` removes it with all names.
    ///
    /// Throws `not_found`, and `in_use` while a container uses it or another image is made from it.
    ///
    /// ```rhai,images
    /// image::tag("tools", "tools:old");
    /// image::remove("tools:old");
    /// assert::ok(image::exists("tools"));
    /// ```
    #[rhai_fn(name = "remove", return_raw)]
    pub fn remove(ctx: NativeCallContext, image: Dynamic) -> Scripted<Report> {
        remove_options(ctx, image, Map::new())
    }

    /// Removes an image: a name among several loses that name only; the last name, an id or an `Image` removes it with all names.
    ///
    /// Options: `force` (take its names even while a container uses it; the image itself stays until the container is gone),
    /// `prune_parents` (default `true`: unnamed parents go with their last child), `trash` (default `true`: it can be brought back by
    /// `system::undo` for a while, if the disk has room).
    ///
    /// ```rhai,images
    /// let report = image::remove("tools", #{ prune_parents: false });
    /// assert::eq(report.removed[0].name, "tools:latest");
    /// ```
    #[rhai_fn(name = "remove", return_raw)]
    pub fn remove_options(ctx: NativeCallContext, image: Dynamic, options: Map) -> Scripted<Report> {
        native(&ctx, |session| {
            let image = subject::image(&image)?;
            let report = session.host()?.remove_image(&image, &options::parse(options)?)?;
            Ok(report.into())
        })
    }

    /// Removes the dangling images: those without a name that nothing needs.
    ///
    /// ```rhai,images
    /// image::untag("tools");
    /// assert::eq(image::prune().removed.len(), 1);
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune(ctx: NativeCallContext) -> Scripted<Report> {
        prune_filter(ctx, Map::new())
    }

    /// Removes the images that fit a filter and that no container, no other image and no running operation needs.
    ///
    /// Filters: as for `image::list`; and `trash` (default `true`: what goes can be brought back by `system::undo` for a while, if the
    /// disk has room; never so with `free_at_least` and `total_at_most`, which empty the trash first). Every item of the report says why
    /// it went or stays.
    ///
    /// ```rhai,images
    /// image::from_host("app:1.0", ["/bin/true"]);
    /// image::from_host("app:1.1", ["/bin/false"]);
    /// let report = image::prune(#{ reference: "app", keep_last: 1 });
    /// assert::eq(report.removed.map(|i| i.name), ["app:1.0"]);
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Report> {
        filter::pruned::<Image>(&ctx, filter)
    }

    /// The images that `image::prune()` would remove.
    ///
    /// ```rhai,images
    /// assert::eq(image::select(), []);
    /// ```
    #[rhai_fn(name = "select", return_raw)]
    pub fn select(ctx: NativeCallContext) -> Scripted<Array> {
        select_filter(ctx, Map::new())
    }

    /// The images that `image::prune` would remove by the same filter.
    ///
    /// Filters: as for `image::list`.
    ///
    /// ```rhai,images
    /// assert::eq(image::select(#{ unused: true, older_than: 30.days }), []);
    /// ```
    #[rhai_fn(name = "select", return_raw)]
    pub fn select_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Array> {
        filter::selected::<Image>(&ctx, filter)
    }

    /// How an image came to be, newest step first, as maps of `id`, `created`, `created_by`, `comment`, `author`, `size` and
    /// `empty_layer`. The `id` is that of the image itself, then of the images it was committed from, and `<missing>` where there is
    /// none, as with Docker.
    ///
    /// ```rhai,images
    /// assert::ok(image::history("tools")[0].size > 0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn history(ctx: NativeCallContext, image: Dynamic) -> Scripted<Array> {
        native(&ctx, |session| {
            history_of(&session.host()?.image(&subject::image(&image)?)?)
        })
    }

    /// All that is known of an image, in Docker's field names.
    ///
    /// ```rhai,images
    /// assert::eq(image::inspect("tools").Os, "linux");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn inspect(ctx: NativeCallContext, image: Dynamic) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            let image = session.host()?.image(&subject::image(&image)?)?;
            Ok(from_json(&image.inspect()?))
        })
    }

    /// What differs between the files of two images, as maps of `kind` (`added`, `changed` or `deleted`), `path` and `size`.
    ///
    /// ```rhai,images
    /// let base = image::from_host("base", ["/bin/sh", "/bin/echo"]);
    /// let c = container::run_detached(base, "echo hi > /greeting");
    /// c.wait();
    /// let changes = image::diff(base, c.commit("changed"));
    /// assert::ok(changes.some(|change| change.path == "/greeting" && change.kind == "added"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn diff(ctx: NativeCallContext, before: Dynamic, after: Dynamic) -> Scripted<Array> {
        native(&ctx, |session| {
            let (before, after) = (subject::image(&before)?, subject::image(&after)?);
            let changes = session.host()?.image_diff(&session.context(), &before, &after)?;
            Ok(changes.iter().map(change).collect())
        })
    }

    /// The files of an image whose whole path fits a pattern, layers merged, as maps of `path`, `kind`, `size`, `mode`, `uid`, `gid`,
    /// `mtime`, `link` and `layer`.
    ///
    /// ```rhai,images
    /// let found = image::files("tools", "*/bin/sleep");
    /// assert::eq(found.map(|file| file.kind), ["file"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn files(ctx: NativeCallContext, image: Dynamic, pattern: &str) -> Scripted<Array> {
        native(&ctx, |session| {
            let image = subject::image(&image)?;
            let files = session.host()?.image_files(&session.context(), &image, pattern)?;
            Ok(files.iter().map(entry).collect())
        })
    }
}
