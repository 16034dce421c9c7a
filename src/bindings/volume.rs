//! `volume::` and `Volume`: directories that outlive the containers that use them.

use rhai::export_module;
use serde_json::json;

use super::object::Object;
use crate::host::Volume;
use crate::model::Context;

impl Object for Volume {
    const NAME: &'static str = "Volume";
    const COLUMNS: &'static [&'static str] = &["DRIVER", "VOLUME NAME"];

    fn text(&self) -> String {
        self.name().to_owned()
    }

    fn cells(&self) -> Vec<String> {
        vec!["local".to_owned(), self.name().to_owned()]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "name": self.name(),
            "path": self.path(),
            "created": self.created().to_string(),
            "labels": self.labels(),
            "size": self.size(&Context::new()).ok(),
            "used_by": self.used_by(),
            "anonymous": self.is_anonymous(),
        })
    }
}

/// Volumes: made, listed, removed.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::filter;
    use crate::bindings::options;
    use crate::bindings::prelude::*;
    use crate::bindings::report::Report;
    use crate::bindings::subject;
    use crate::bindings::value::or_unit;
    use crate::host::{Volume, VolumeOptions};

    /// Makes an empty volume, or gives the one that has the name already.
    ///
    /// ```rhai,images
    /// let v = volume::create("cache");
    /// container::run("tools", "echo kept > /cache/file", #{ volumes: ["cache:/cache"] });
    /// assert::eq(fs::read(v.path + "/file"), "kept\n");
    /// ```
    #[rhai_fn(name = "create", return_raw)]
    pub fn create(ctx: NativeCallContext, name: &str) -> Scripted<Volume> {
        create_options(ctx, name.into(), Map::new())
    }

    /// Makes an empty volume, or gives the one that has the name already; `()` in the place of the name gives one that nobody has.
    ///
    /// Throws `invalid` for what is no name, and `unsupported` for any of `driver_opts`: there is one driver, and it has none.
    ///
    /// Options: `labels` (a map), `driver_opts` (a map).
    ///
    /// ```rhai,images
    /// assert::eq(volume::create("data", #{ labels: #{ tier: "db" } }).labels.tier, "db");
    /// assert::eq(volume::create((), #{ labels: #{ tmp: "" } }).name.len(), 64);
    /// ```
    #[rhai_fn(name = "create", return_raw)]
    pub fn create_options(ctx: NativeCallContext, name: Dynamic, options: Map) -> Scripted<Volume> {
        native(&ctx, |session| {
            let options: VolumeOptions = options::parse(options)?;
            let name = if name.is_unit() {
                None
            } else {
                Some(subject::volume(&name)?)
            };
            session.host()?.create_volume(name.as_deref(), &options)
        })
    }

    /// The volume of a name. Throws `not_found`.
    ///
    /// ```rhai,images
    /// let v = volume::create("data");
    /// assert::eq(volume::get("data"), v);
    /// assert::throws("not_found", || volume::get("nosuch"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn get(ctx: NativeCallContext, volume: Dynamic) -> Scripted<Volume> {
        native(&ctx, |session| session.host()?.volume(&subject::volume(&volume)?))
    }

    /// The volume of a name; `()` when there is none.
    ///
    /// ```rhai,images
    /// assert::eq(volume::find("nosuch"), ());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find(ctx: NativeCallContext, volume: Dynamic) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            Ok(or_unit(session.host()?.find_volume(&subject::volume(&volume)?)?))
        })
    }

    /// Whether there is a volume of that name.
    ///
    /// ```rhai,images
    /// volume::create("data");
    /// assert::ok(volume::exists("data") && !volume::exists("nosuch"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn exists(ctx: NativeCallContext, volume: Dynamic) -> Scripted<bool> {
        native(&ctx, |session| {
            Ok(session.host()?.find_volume(&subject::volume(&volume)?)?.is_some())
        })
    }

    /// All volumes, by name.
    ///
    /// ```rhai,images
    /// volume::create("data");
    /// assert::eq(volume::list().map(|v| v.name), ["data"]);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_all(ctx: NativeCallContext) -> Scripted<Array> {
        list_filter(ctx, Map::new())
    }

    /// The volumes that fit a filter, by name.
    ///
    /// Filters, all of which must hold: `name` (a pattern or an array of them), `label`, `label_not`, `unused` (whether no container
    /// uses it), `older_than` (an age or a time), `keep` (patterns of names that never fit), `matching` (a closure that gets the volume
    /// and returns true or false); `all` is for `volume::prune`.
    ///
    /// ```rhai,images
    /// volume::create("data-1", #{ labels: #{ tier: "db" } });
    /// assert::eq(volume::list(#{ name: "data-*", label: "tier=db", unused: true }).len(), 1);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Array> {
        filter::listed::<Volume>(&ctx, filter)
    }

    /// Removes a volume with what is in it.
    ///
    /// Throws `in_use` while a container uses it, running or not; `not_found`; `denied` if it is protected.
    ///
    /// ```rhai,images
    /// volume::create("data");
    /// volume::remove("data");
    /// assert::ok(!volume::exists("data"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn remove(ctx: NativeCallContext, volume: Dynamic) -> Scripted<()> {
        native(&ctx, |session| {
            session.host()?.remove_volume(&subject::volume(&volume)?)
        })
    }

    /// Removes the volumes that nobody gave a name and no container uses.
    ///
    /// ```rhai,images
    /// volume::create((), #{});
    /// volume::create("data");
    /// assert::eq([volume::prune().removed.len(), volume::list().len()], [1, 1]);
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune(ctx: NativeCallContext) -> Scripted<Report> {
        prune_filter(ctx, Map::new())
    }

    /// Removes the volumes that no container uses and that fit a filter.
    ///
    /// Filters: as for `volume::list`; `all` also takes those that people gave a name. Every item of the report says why it went or
    /// stays.
    ///
    /// ```rhai,images
    /// volume::create("data");
    /// volume::create("db");
    /// assert::eq(volume::prune(#{ all: true, keep: "db" }).removed.map(|item| item.name), ["data"]);
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Report> {
        filter::pruned::<Volume>(&ctx, filter)
    }

    /// The volumes that `volume::prune()` would remove.
    ///
    /// ```rhai,images
    /// volume::create("data");
    /// assert::eq(volume::select(), []);
    /// ```
    #[rhai_fn(name = "select", return_raw)]
    pub fn select(ctx: NativeCallContext) -> Scripted<Array> {
        select_filter(ctx, Map::new())
    }

    /// The volumes that `volume::prune` would remove by the same filter.
    ///
    /// Filters: as for `volume::list`.
    ///
    /// ```rhai,images
    /// volume::create("data");
    /// assert::eq(volume::select(#{ all: true }).len(), 1);
    /// ```
    #[rhai_fn(name = "select", return_raw)]
    pub fn select_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Array> {
        filter::selected::<Volume>(&ctx, filter)
    }
}

/// What is known of a volume, and what can be done with it.
#[export_module(manifest)]
pub mod methods {
    use std::path::Path;

    use crate::bindings::amount::bytes;
    use crate::bindings::prelude::*;
    use crate::bindings::subject::texts;
    use crate::bindings::time::Time;
    use crate::bindings::value::list;
    use crate::host::Volume;

    /// The name.
    ///
    /// ```rhai,images
    /// assert::eq(volume::create("data").name, "data");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn name(this: &mut Volume) -> String {
        Volume::name(this).to_owned()
    }

    /// The directory its files are in.
    ///
    /// ```rhai,images
    /// assert::ok(fs::is_dir(volume::create("data").path));
    /// ```
    #[rhai_fn(get = "path", pure)]
    pub fn path(this: &mut Volume) -> String {
        Volume::path(this).display().to_string()
    }

    /// The labels, as a map.
    ///
    /// ```rhai,images
    /// assert::eq(volume::create("data").labels, #{});
    /// ```
    #[rhai_fn(get = "labels", pure)]
    pub fn labels(this: &mut Volume) -> Map {
        texts(Volume::labels(this))
    }

    /// When it was made.
    ///
    /// ```rhai,images
    /// assert::ok(time::now() - volume::create("data").created < 1.minutes);
    /// ```
    #[rhai_fn(get = "created", pure)]
    pub fn created(this: &mut Volume) -> Time {
        Time::new(Volume::created(this))
    }

    /// What its files take of the disk now, in bytes, as `du` counts them.
    ///
    /// ```rhai,images
    /// let v = volume::create("data");
    /// let empty = v.size;
    /// fs::write(v.path + "/file", "x");
    /// assert::ok(v.size > empty);
    /// ```
    #[rhai_fn(get = "size", return_raw, pure)]
    pub fn size(ctx: NativeCallContext, this: &mut Volume) -> Scripted<INT> {
        native(&ctx, |session| Ok(bytes(Volume::size(this, &session.context())?)))
    }

    /// The names of the containers that use it, running or not.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"], #{ name: "job", volumes: ["data:/data"] });
    /// assert::eq(volume::get("data").used_by, ["job"]);
    /// ```
    #[rhai_fn(get = "used_by", pure)]
    pub fn used_by(this: &mut Volume) -> Array {
        list(Volume::used_by(this).to_vec())
    }

    /// The volume as it is now. Throws `not_found` when it is gone.
    ///
    /// ```rhai,images
    /// let v = volume::create("data");
    /// container::create("tools", ["true"], #{ name: "job", volumes: ["data:/data"] });
    /// assert::eq(v.reload().used_by, ["job"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn reload(ctx: NativeCallContext, this: &mut Volume) -> Scripted<Volume> {
        native(&ctx, |session| session.host()?.volume(Volume::name(this)))
    }

    /// Removes it with what is in it.
    ///
    /// Throws `in_use` while a container uses it, running or not; `denied` if it is protected.
    ///
    /// ```rhai,images
    /// volume::create("data").remove();
    /// assert::ok(!volume::exists("data"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn remove(ctx: NativeCallContext, this: &mut Volume) -> Scripted<()> {
        native(&ctx, |_| Volume::remove(this))
    }

    /// Writes its files to a tarball, with owners and attributes; returns its size in bytes.
    ///
    /// An existing file is replaced once the new one is whole. `-` is standard output. Containers that use it go on meanwhile.
    ///
    /// ```rhai,images
    /// let v = volume::create("data");
    /// fs::write(v.path + "/file", "kept");
    /// let tar = fs::temp_dir() + "/data.tar";
    /// assert::ok(v.save(tar) > 0);
    /// let copy = volume::create("copy");
    /// copy.load(tar);
    /// assert::eq(fs::read(copy.path + "/file"), "kept");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn save(ctx: NativeCallContext, this: &mut Volume, path: &str) -> Scripted<INT> {
        native(&ctx, |session| {
            let saved = session.write_archive(path, || Volume::save(this, &session.context(), Path::new(path)))?;
            Ok(bytes(saved))
        })
    }

    /// Puts the files of a tarball, which may be compressed, over those that it has, with their owners and attributes.
    ///
    /// All of it is read before the first file comes. `-` is standard input. Throws `corrupt` for what is no tarball.
    ///
    /// ```rhai,images
    /// let v = volume::create("data");
    /// let tar = fs::temp_dir() + "/data.tar";
    /// v.save(tar);
    /// v.load(tar);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn load(ctx: NativeCallContext, this: &mut Volume, path: &str) -> Scripted<()> {
        native(&ctx, |session| Volume::load(this, &session.context(), Path::new(path)))
    }
}
