//! `system::`: the store as a whole.

use rhai::{Dynamic, FnPtr, INT, Map, NativeCallContext, export_module};

use super::amount::bytes;
use super::closure;
use super::failure::{Scripted, throw};
use super::options;
use super::session::Session;
use super::time::Time;
use super::value::from_serde;
use crate::error::Result;
use crate::host::{CheckOptions, EventQuery, Host, REBUILD};
use crate::runtime::Event;

fn check(session: &Session, options: Map) -> Result<Dynamic> {
    let options: CheckOptions = options::parse(options)?;
    let (ctx, config) = (session.context(), &session.settings().config);
    let checked = match session.host() {
        Ok(host) => host.check(&ctx, options),
        Err(error) if error.way_out() == Some(REBUILD) => Host::check_unopened(&ctx, config, &error, options),
        Err(error) => Err(error),
    };
    from_serde(&checked?)
}

fn boot(session: &Session) -> Result<Dynamic> {
    from_serde(&session.host()?.boot(&session.context())?)
}

/// An event as a map.
fn event(event: Event) -> Dynamic {
    let attributes = event
        .attributes
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    let actor = Map::from([
        ("id".into(), event.id.into()),
        ("attributes".into(), attributes.collect::<Map>().into()),
    ]);
    Dynamic::from(Map::from([
        ("type".into(), event.kind.into()),
        ("action".into(), event.action.into()),
        ("actor".into(), actor.into()),
        ("time".into(), Dynamic::from(Time::new(event.time))),
    ]))
}

/// What the closure throws ends the call and is thrown as it is.
fn events(ctx: &NativeCallContext, options: Map, take: &FnPtr) -> Scripted<INT> {
    let session = Session::of(ctx);
    let fail = |error| throw(ctx, &session, error);
    let query: EventQuery = options::parse(options).map_err(fail)?;
    let mut thrown = None;
    let host = session.host().map_err(fail)?;
    let told = host.events(&session.context(), &query, |happened| {
        match closure::call(ctx, take, (event(happened),)) {
            Ok(answer) => Ok(answer.as_bool().unwrap_or(true)),
            Err(error) => {
                thrown = Some(error);
                Ok(false)
            }
        }
    });
    match thrown {
        Some(error) => Err(error),
        None => Ok(bytes(told.map_err(fail)?)),
    }
}

fn info(session: &Session) -> Result<Dynamic> {
    from_serde(&session.host()?.info()?)
}

fn df(session: &Session) -> Result<Dynamic> {
    from_serde(&session.host()?.usage(&session.context())?)
}

fn disk(session: &Session) -> Result<Dynamic> {
    from_serde(&session.host()?.disk()?)
}

/// The store as a whole.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;

    /// Looks whether all that is stored is still what it was: images, layers, containers, volumes, the database itself.
    ///
    /// Returns a map of `ok` and `problems`, an array of maps of `kind`, `object`, `detail`, `repaired` and `hint`. Nothing is
    /// changed. What other processes do meanwhile is no problem. The kinds are
    ///
    /// - `database`: SQLite finds its file damaged, or cannot read it at all;
    /// - `blob_missing`, `blob_size`, `blob_changed`: a blob is not there, is longer or shorter than it should be, has other bytes;
    /// - `layer_missing`, `layer_changed`, `layer_record`: an unpacked layer is not there, differs from its blob in a file's content,
    ///   owner, mode, time, attributes or links, or has no true record;
    /// - `layer_unreadable`, `image_row`: what describes an image does not fit together;
    /// - `size`: a row states another size than there is;
    /// - `orphan`, `stray`: content that nothing needs, and files that are no content;
    /// - `container_missing`, `container_unreadable`, `container_image`, `container_layer`, `container_orphan`: a container without
    ///   directory, without readable settings, without image, without a directory it is stacked on, a directory without container;
    /// - `volume_missing`, `volume_orphan`: a volume without directory, a directory without volume;
    /// - `mount`, `run_state`, `control_group`: something mounted, process state, or control groups with what runs in them, that
    ///   belong to no container of this store;
    /// - `layout`, `index`: what other tools read is missing or does not fit the images' names.
    ///
    /// ```rhai,no_run
    /// let check = system::check();
    /// assert::ok(check.ok);
    /// assert::eq(check.problems, []);
    /// ```
    #[rhai_fn(name = "check", return_raw)]
    pub fn check_all(ctx: NativeCallContext) -> Scripted<Dynamic> {
        native(&ctx, |session| super::check(session, Map::new()))
    }

    /// Starts the containers that are to run after the machine was restarted, as `hoist system boot` does: those whose restart policy
    /// is `always`, and those under `unless-stopped` that nobody stopped. What runs goes on.
    ///
    /// Returns a map of `ok`, whether all of them run now, and `containers`, an array of maps of `id`, `name`, `started` and `error`,
    /// one for each that did not run.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"], #{ name: "web", restart: "always" });
    /// c.stop(#{ timeout: 0.seconds });
    /// assert::eq(system::boot().containers[0].name, "web");
    /// assert::ok(c.reload().running);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn boot(ctx: NativeCallContext) -> Scripted<Dynamic> {
        native(&ctx, super::boot)
    }

    /// What the store takes of the disk, in allocated bytes as `du` counts them: each file once, however many names it has.
    ///
    /// Returns a map of `images`, `containers` and `volumes`, each a map of `count`, `active` (images that containers use, containers
    /// that run, volumes that containers use), `size` and `reclaimable` (what would be free without those that are not active); of
    /// `other` (the database, work under way) and `total`. For images also `unique` and `shared`, what one image alone and what
    /// several need, `trash`, what was removed and can be brought back, and `blobs` and `layers`, what is packed and what is unpacked.
    ///
    /// ```rhai,images
    /// let df = system::df();
    /// assert::eq(df.images.count, 1);
    /// assert::eq(df.images.size, df.images.blobs + df.images.layers);
    /// assert::ok(df.total > image::get("tools").size);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn df(ctx: NativeCallContext) -> Scripted<Dynamic> {
        native(&ctx, super::df)
    }

    /// The disk that the store is on: a map of `total`, the bytes it has but for those kept for an administrator, and `free`, those of
    /// them that nobody uses.
    ///
    /// ```rhai
    /// let disk = system::disk();
    /// assert::ok(disk.free > 0 && disk.free <= disk.total);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn disk(ctx: NativeCallContext) -> Scripted<Dynamic> {
        native(&ctx, super::disk)
    }

    /// Calls a closure with what happens to containers, images and volumes, until it returns `false`; returns how often it did.
    ///
    /// ```rhai,no_run
    /// system::events(|e| { print(`${e.time} ${e.type} ${e.action} ${e.actor.attributes.name}`); e.action != "die" });
    /// ```
    #[rhai_fn(name = "events", return_raw)]
    pub fn events(ctx: NativeCallContext, take: FnPtr) -> Scripted<INT> {
        super::events(&ctx, Map::new(), &take)
    }

    /// Calls a closure with what happened and happens to containers, images and volumes, oldest first, until it returns `false`; returns
    /// how often it was called.
    ///
    /// An event is a map of `type` (`"container"`, `"image"`, `"volume"`), `action`, `actor` (a map of `id` and `attributes`, such as
    /// `name`, `image`, `exitCode` and the labels) and `time`, in Docker's words: `create`, `start`, `die`, `oom`, `kill`, `stop`,
    /// `restart`, `pause`, `unpause`, `rename`, `update`, `commit`, `destroy`, `health_status: healthy`, `exec_create: …`,
    /// `exec_start: …`, `exec_die`, `tag`, `untag`, `load`, `save`, `import`, `delete`, `prune`. Probes of a health check
    /// are not told. Some ten thousand are kept, until the machine is restarted.
    ///
    /// Options: `since` (a time, or a duration ago; without it only what is to come), `until` (then, or up to now if it is past),
    /// `timeout` (how long to listen; it is no error), `filter`: a map of `type`, `event`, `container`, `image`, `volume` and
    /// `label`, each a text or an array.
    ///
    /// ```rhai,images
    /// container::run("tools", ["true"], #{ name: "job" });
    /// let actions = [];
    /// system::events(#{ since: 1.minutes, until: time::now(), filter: #{ container: "job" } }, |e| actions.push(e.action));
    /// assert::eq(actions, ["create", "start", "die", "destroy"]);
    /// ```
    #[rhai_fn(name = "events", return_raw)]
    pub fn events_options(ctx: NativeCallContext, options: Map, take: FnPtr) -> Scripted<INT> {
        super::events(&ctx, options, &take)
    }

    /// What there is and what it runs on: the facts of `docker info`.
    ///
    /// Returns a map of `version`; `containers` (a map of `total` and a count for each state), `images` and `volumes` (counts);
    /// `storage_driver`, `backing_filesystem`, `root`, `run_root`; `cgroup_driver`, `cgroup_version` (`"v1"`, `"v2"`, `"hybrid"` or
    /// `"none"`), `controllers`; `kernel`, `os`, `os_type`, `architecture`, `cpus`, `memory` (bytes), `hostname`; `security_options`; and
    /// `degraded`: an array of maps of `feature` and `reason`, what containers cannot have on this machine and why.
    ///
    /// ```rhai,images
    /// let info = system::info();
    /// assert::eq(info.images, 1);
    /// for lack in info.degraded { print(`${lack.feature}: ${lack.reason}`); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn info(ctx: NativeCallContext) -> Scripted<Dynamic> {
        native(&ctx, super::info)
    }

    /// Looks for damage as `check()` does, and puts right what can be.
    ///
    /// Options: `repair` (default `false`): make a damaged database anew from what can still be read of it and from the store's files
    /// (the damaged one is kept as `hoist.db-damaged-…`), unpack damaged layers again, write records, manifests, sizes and the index anew, remove
    /// what nothing needs, unmount what was left mounted, end what runs for a container that is gone; an image whose content cannot be had back loses its names. `quick` (default
    /// `false`): look at presence and sizes only, not at every byte.
    ///
    /// `ok` is true once nothing is wrong any more. A problem that was not repaired has a `hint`.
    ///
    /// ```rhai,images
    /// for problem in system::check(#{repair: true}).problems {
    ///     print(`${problem.kind} ${problem.object}: ${problem.detail}`);
    /// }
    /// ```
    #[rhai_fn(name = "check", return_raw)]
    pub fn check_with(ctx: NativeCallContext, options: Map) -> Scripted<Dynamic> {
        native(&ctx, |session| super::check(session, options))
    }
}
