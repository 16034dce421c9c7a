//! The functions of `container::`.

use rhai::{Dynamic, Map, export_module};

use crate::bindings::options;
use crate::bindings::run::Run;
use crate::bindings::session::Session;
use crate::bindings::stream::Passthrough;
use crate::bindings::subject;
use crate::error::Result;
use crate::host::{Container, ContainerOptions, Sink};
use crate::model::Command;

/// A command run to its end, its output passed through if the options ask for it.
fn run_to_end(session: &Session, image: &Dynamic, command: Option<Command>, given: &Map) -> Result<Run> {
    let options: ContainerOptions = options::parse(given.clone())?;
    let through = Passthrough::new(session);
    let sink = |is_error: bool, bytes: &[u8]| through.take(is_error, bytes);
    let image = subject::image(image)?;
    let sink: Sink<'_> = if options.stream { Some(&sink) } else { None };
    let (host, ctx) = (session.host()?, session.context());
    let run = match session.stage() {
        Some(world) => {
            let player = world.player("container::run", given);
            host.play_run(&ctx, &image, command, &options, sink, &player)
        }
        None => host.run_container(&ctx, &image, command, &options, sink),
    };
    Ok(Run::new(session, run?, options.check))
}

fn detach(session: &Session, image: &Dynamic, command: Option<Command>, given: &Map) -> Result<Container> {
    let options = options::parse(given.clone())?;
    let image = subject::image(image)?;
    let (host, ctx) = (session.host()?, session.context());
    match session.stage() {
        Some(world) => {
            let player = world.player("container::run_detached", given);
            host.play_detached(&ctx, &image, command, &options, &player)
        }
        None => host.run_container_detached(&ctx, &image, command, &options),
    }
}

fn make(session: &Session, image: &Dynamic, command: Option<Command>, options: Map) -> Result<Container> {
    let options = options::parse(options)?;
    let image = subject::image(image)?;
    session
        .host()?
        .create_container(&session.context(), &image, command, &options)
}

/// Containers: run, left running, listed, removed.
#[export_module(manifest)]
pub mod functions {
    use super::{detach, make, run_to_end};
    use crate::bindings::filter;
    use crate::bindings::prelude::*;
    use crate::bindings::report::Report;
    use crate::bindings::run::Run;
    use crate::bindings::subject;
    use crate::bindings::subject::command_or_options;
    use crate::bindings::value::or_unit;
    use crate::host::Container;

    /// Runs the command of an image in a new container to its end, removes the container, and returns the `Run`.
    ///
    /// Throws `not_found` when there is no such image or program, and `exit_status` when the exit code is not 0.
    ///
    /// ```rhai,images
    /// image::from_host("greeter", ["/bin/echo"], #{ cmd: ["echo", "hello"] });
    /// assert::eq(container::run("greeter").text(), "hello");
    /// ```
    #[rhai_fn(name = "run", return_raw)]
    pub fn run(ctx: NativeCallContext, image: Dynamic) -> Scripted<Run> {
        native(&ctx, |session| run_to_end(session, &image, None, &Map::new()))
    }

    /// Runs a command in a new container to its end, removes the container, and returns the `Run`.
    ///
    /// The command is an array of words, or one string, which the shell of the image runs. A map in its place is the options.
    /// Throws `not_found` when there is no such image or program, and `exit_status` when the exit code is not 0.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hello"]).text(), "hello");
    /// assert::eq(container::run("tools", "echo hello | cat").text(), "hello");
    /// ```
    #[rhai_fn(name = "run", return_raw)]
    pub fn run_command(ctx: NativeCallContext, image: Dynamic, command: Dynamic) -> Scripted<Run> {
        native(&ctx, |session| {
            let (command, options) = command_or_options(command)?;
            run_to_end(session, &image, command, &options)
        })
    }

    /// Runs a command in a new container to its end and returns the `Run`.
    ///
    /// Options of the run: `check` (default `true`: throw `exit_status` when the exit code is not 0), `keep` (do not remove the
    /// container afterwards), `stream` (pass output through as it comes), `stdin` (text or a blob), `timeout` (throws `timeout`),
    /// `pull` (`"missing"`, `"always"`, `"newer"`: when a registry is asked for the image, as `image::pull` does; without it none is),
    /// `platform` (such as `"linux/amd64"`: throws `not_found` where the image is for another one, unless `pull` brings it).
    ///
    /// Options of the container: `tty`, `interactive`, `name`, `hostname`, `env` (a map, or an array of `NAME=value`), `env_file`, `workdir`, `user`,
    /// `entrypoint`, `labels`, `volumes` (`/host/path:/path:ro` or `volume:/path`), `mounts`, `tmpfs`, `secrets`, `devices`, `device_cgroup_rules`, `network` (`"none"`, the
    /// default, `"host"` or `"container:NAME"`), `pid` and `ipc` (`"private"`, the default, `"host"` or `"container:NAME"`), `uts`
    /// and `cgroupns` (`"private"`, the default, or `"host"`), `userns`, `add_hosts`, `dns` (addresses of name servers), `memory`, `memory_swap`, `memory_reservation`, `cpus`,
    /// `cpu_shares`, `cpuset_cpus`, `pids_limit`, `blkio_weight`, `ulimits` (`#{ nofile: 1024 }`, or `"SOFT:HARD"` as the value),
    /// `sysctls` (a map; those of its own namespaces), `shm_size`, `privileged`, `cap_add`, `cap_drop`, `read_only`, `seccomp` (`"default"`,
    /// `"unconfined"`, or the path of a profile), `no_new_privileges`, `security_opt`, `stop_signal`, `stop_timeout`, `log`.
    ///
    /// With `init: true` the first process is a small one of Hoist's that takes the status of processes nobody waits for, passes signals
    /// on to the command, and ends as it does; `init_binary` names a program of this machine to be it, such as `tini`.
    ///
    /// With `"container:NAME"` the container shares the namespace of another one, which must run when this one is started: the
    /// network comes with its host name and `/etc/hosts`, `ipc` with `/dev/shm`. The name or id is looked up once; at every start
    /// the namespace is the one that container has then. A container whose `pid` is shared ends with the one it shares it with;
    /// its own end kills its processes, and no others.
    ///
    /// A profile says in Docker's JSON which system calls are refused. It is checked when the container is made, and kept: every
    /// start and `exec` is under it, whatever becomes of the file. It has to allow `execve`, and unless `no_new_privileges` is
    /// set, the calls that change user and capabilities before it. `security_opt` says the same in the words of
    /// `docker run --security-opt`: `["seccomp=/path/profile.json", "no-new-privileges", "apparmor=PROFILE"]`. An AppArmor profile is one
    /// that the kernel has loaded; unless one is named the container has none of its own.
    ///
    /// A device is `"/dev/host"` or `"/dev/host:/dev/inside"`: it is made below the container's `/dev` with the permissions and the
    /// owner it has on the host. `:r`, `:w` or `:rw` behind it allows no more than that: not to write or read, nor to make further
    /// nodes of it (`m`). A directory of devices gives all that are in it. Other devices of the host can neither be opened nor made
    /// nodes of, wherever a node is, unless a rule of `device_cgroup_rules` says so: a kind, numbers or `*`, and letters of `rwm`,
    /// such as `"c 10:200 rw"` or, for making any node, `"a *:* m"`.
    ///
    /// With `tty: true` the command has a terminal of 24 rows and 80 columns, and `TERM=xterm`: what it writes to standard output
    /// and standard error is one stream, `stdout`, with the line ends of a terminal (`"\r\n"`), and holds what is typed as well.
    /// `stdin` is typed into it. With `interactive: true` what a detached container reads stays open until it ends; otherwise it
    /// reads nothing.
    ///
    /// `secrets` are files only the container sees: in `/run/secrets`, in memory, readable by its user alone. A map gives names and what
    /// is in them, as text or blob; that is written nowhere, and known to this script alone: it can start the container, and start it
    /// again, while another script gets `conflict`. An array names files of the host, as `"/path/NAME"` or `"NAME=/path"`, which are
    /// read at each start. At most 500 KiB each.
    ///
    /// `userns: "auto"` gives the container users of its own: its root and 65535 more are, on the host, numbers that no other container
    /// has (of `hoist` in `/etc/subuid` and `/etc/subgid`, or from 524288 on), who own nothing there. Its files are kept as any
    /// container's. A volume belongs to whoever is root inside; a directory of the host shows the host's owners, so that its root can
    /// write only what anybody can, unless `idmap` is behind it (`/host:/path:idmap`): then what is root's is its root's.
    /// `#{ uid: "0:100000:65536", gid: … }` says which numbers, as `INSIDE:HOST:COUNT`, one or an array. `"host"` is the default.
    /// Namespaces of the host or of other containers cannot be shared then.
    ///
    /// With `privileged: true` a container may do nearly all that the program that starts it may: it has every capability but those in
    /// `cap_drop`, all devices of the host, no system call filter unless an option names one, and the kernel's files in `/proc`,
    /// `/sys` and `/sys/fs/cgroup` are neither hidden nor write-protected. Use it for what you would run without a container.
    ///
    /// `log` says how much of what the container writes is kept: `#{ max_size: 10.mib, max_files: 3 }`, by default five files of 20
    /// MiB. A file that has its size is set aside, and the oldest goes; with a size of 0 nothing ever does.
    ///
    /// `mounts` says what `volumes` and `tmpfs` do, as `docker run --mount`: `"type=bind,source=/host/path,target=/path,readonly"`, or
    /// `#{ type: "bind", source: "/host/path", target: "/path", read_only: true }`. Types are `volume` (the default), `bind` (with
    /// `idmap`) and `tmpfs` (with `size` and `mode`).
    ///
    /// A new named volume starts as what the image has at its path.
    ///
    /// With `check: false` a program that is not there gives the code 127, one that cannot be executed 126, with the reason in
    /// `stderr`.
    ///
    /// ```rhai,images
    /// let run = container::run("tools", ["cat"], #{ stdin: "hello", memory: 64.mib, timeout: 1.minutes });
    /// assert::eq(run.stdout, "hello");
    /// ```
    #[rhai_fn(name = "run", return_raw)]
    pub fn run_options(ctx: NativeCallContext, image: Dynamic, command: Dynamic, options: Map) -> Scripted<Run> {
        native(&ctx, |session| {
            run_to_end(session, &image, subject::command(&command)?, &options)
        })
    }

    /// Starts the command of an image in a new container, which goes on after the script.
    ///
    /// ```rhai,images
    /// image::from_host("sleeper", ["/bin/sleep"], #{ cmd: ["sleep", "60"] });
    /// let c = container::run_detached("sleeper");
    /// assert::ok(c.running);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "run_detached", return_raw)]
    pub fn run_detached(ctx: NativeCallContext, image: Dynamic) -> Scripted<Container> {
        native(&ctx, |session| detach(session, &image, None, &Map::new()))
    }

    /// Starts a command in a new container, which goes on after the script.
    ///
    /// The command is an array of words, or one string, which the shell of the image runs. A map in its place is the options.
    /// Throws `not_found` when there is no such image or program.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// assert::eq(c.status, "running");
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "run_detached", return_raw)]
    pub fn run_detached_command(ctx: NativeCallContext, image: Dynamic, command: Dynamic) -> Scripted<Container> {
        native(&ctx, |session| {
            let (command, options) = command_or_options(command)?;
            detach(session, &image, command, &options)
        })
    }

    /// Starts a command in a new container, which goes on after the script.
    ///
    /// Options: those of the container that `container::run` lists, `timeout`, `rm` (remove the container once it has ended; how it
    /// ended is then nowhere to be found), and `restart`: when a command that ended is started again.
    /// `"no"`, `"on-failure"` (its code was not 0), `"on-failure:5"` (five times at most), `"always"`, or `"unless-stopped"`. It waits
    /// 100 milliseconds first, twice as long each time up to a minute, and anew after a run of ten seconds; meanwhile the container is
    /// `restarting`. One that is stopped stays so; `system::boot` starts it again
    /// under `"always"`.
    ///
    /// `health` is a map of `cmd` (an array of words, or a line for the shell), `interval` (30 seconds), `timeout` (30 seconds), `retries`
    /// (3), `start_period` (none) and `start_interval` (5 seconds); what is left out is as the image's health check has it. The command
    /// is run inside again and again: as often as `retries` says its code was not 0, or it took longer than `timeout`, and the
    /// container is `unhealthy`; once it was 0, `healthy`. Failures within `start_period` do not count, unless one has succeeded.
    /// `health: "none"` does without the image's check.
    ///
    /// Throws `already_exists` when the name is taken.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"], #{ name: "web", labels: #{ tier: "front" } });
    /// assert::eq(container::get("web").labels.tier, "front");
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "run_detached", return_raw)]
    pub fn run_detached_options(
        ctx: NativeCallContext,
        image: Dynamic,
        command: Dynamic,
        options: Map,
    ) -> Scripted<Container> {
        native(&ctx, |session| {
            detach(session, &image, subject::command(&command)?, &options)
        })
    }

    /// Makes a container of an image, to be started later.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools").status, "created");
    /// ```
    #[rhai_fn(name = "create", return_raw)]
    pub fn create(ctx: NativeCallContext, image: Dynamic) -> Scripted<Container> {
        native(&ctx, |session| make(session, &image, None, Map::new()))
    }

    /// Makes a container with a command, to be started later.
    ///
    /// The command is an array of words, or one string, which the shell of the image runs. A map in its place is the options.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", "echo hello");
    /// c.start();
    /// c.wait();
    /// assert::eq(c.logs(), "hello\n");
    /// ```
    #[rhai_fn(name = "create", return_raw)]
    pub fn create_command(ctx: NativeCallContext, image: Dynamic, command: Dynamic) -> Scripted<Container> {
        native(&ctx, |session| {
            let (command, options) = command_or_options(command)?;
            make(session, &image, command, options)
        })
    }

    /// Makes a container with a command, to be started later.
    ///
    /// Options: those of the container that `container::run` lists. Throws `already_exists` when the name is taken.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"], #{ name: "job" });
    /// assert::throws("already_exists", || container::create("tools", ["true"], #{ name: "job" }));
    /// ```
    #[rhai_fn(name = "create", return_raw)]
    pub fn create_options(
        ctx: NativeCallContext,
        image: Dynamic,
        command: Dynamic,
        options: Map,
    ) -> Scripted<Container> {
        native(&ctx, |session| {
            make(session, &image, subject::command(&command)?, options)
        })
    }

    /// The running containers, newest first.
    ///
    /// ```rhai,images
    /// assert::eq(container::list(), []);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_running(ctx: NativeCallContext) -> Scripted<Array> {
        list_filter(ctx, Map::new())
    }

    /// The containers that fit a filter, newest first.
    ///
    /// Filters, all of which must hold: `all` (not only running ones), `status` (one or an array), `name` (a pattern or an array of
    /// them), `ancestor` (an image), `label`, `exited` (a code), `network`, `volume`, `older_than` (an age or a time), `keep`
    /// (patterns of names that never fit), `matching` (a closure that gets the container and returns true or false).
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"], #{ name: "job-1" });
    /// assert::eq(container::list(#{ all: true, name: "job-*" }).len(), 1);
    /// ```
    #[rhai_fn(name = "list", return_raw)]
    pub fn list_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Array> {
        filter::listed::<Container>(&ctx, filter)
    }

    /// The container of that name, id, or start of an id.
    ///
    /// Throws `not_found`, and `invalid` when several ids start so.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"], #{ name: "job" });
    /// assert::eq(container::get("job"), c);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn get(ctx: NativeCallContext, container: Dynamic) -> Scripted<Container> {
        native(&ctx, |session| {
            session.host()?.container(&subject::container(&container)?)
        })
    }

    /// The container of that name, id, or start of an id; `()` when there is none.
    ///
    /// ```rhai,images
    /// assert::eq(container::find("no-such-container"), ());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find(ctx: NativeCallContext, container: Dynamic) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            let found = session.host()?.find_container(&subject::container(&container)?)?;
            Ok(or_unit(found))
        })
    }

    /// Whether there is a container of that name, id, or start of an id.
    ///
    /// ```rhai,images
    /// assert::ok(!container::exists("no-such-container"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn exists(ctx: NativeCallContext, container: Dynamic) -> Scripted<bool> {
        native(&ctx, |session| {
            let found = session.host()?.find_container(&subject::container(&container)?)?;
            Ok(found.is_some())
        })
    }

    /// Removes the containers that have ended or were never started.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"]);
    /// assert::eq(container::prune().removed[0].reason, "created");
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune(ctx: NativeCallContext) -> Scripted<Report> {
        prune_filter(ctx, Map::new())
    }

    /// Removes the containers that have ended or were never started and that fit a filter.
    ///
    /// Filters: as for `container::list`. Every item of the report says why it went or stays.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"], #{ name: "keep-me" });
    /// assert::eq(container::prune(#{ keep: "keep-*" }).removed, []);
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Report> {
        filter::pruned::<Container>(&ctx, filter)
    }

    /// The containers that `container::prune()` would remove.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"]);
    /// assert::eq(container::select().len(), 1);
    /// ```
    #[rhai_fn(name = "select", return_raw)]
    pub fn select(ctx: NativeCallContext) -> Scripted<Array> {
        select_filter(ctx, Map::new())
    }

    /// The containers that `container::prune` would remove by the same filter.
    ///
    /// Filters: as for `container::list`.
    ///
    /// ```rhai,images
    /// container::create("tools", ["true"]);
    /// assert::eq(container::select(#{ older_than: 1.days }), []);
    /// ```
    #[rhai_fn(name = "select", return_raw)]
    pub fn select_filter(ctx: NativeCallContext, filter: Map) -> Scripted<Array> {
        filter::selected::<Container>(&ctx, filter)
    }
}
