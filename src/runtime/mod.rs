//! From a resolved request and a root filesystem to a process, and all that can be done with it. It knows files, numbers and the
//! kernel; no images, no names and no store.
//!
//! A container is a [`Bundle`] of files. [`create`] writes it, [`start`] or [`run`] launch a supervisor process that sets the
//! container up and sees to it until it ends; everything else is done to the files, the processes and the control groups
//! directly. What a container is doing is never stored: [`state`] looks it up.

pub mod cgroup;
mod errand;
mod lacks;
pub mod limits;
mod logs;
mod machine;
pub mod oci;
mod overlay;
mod record;
mod script;
pub mod seccomp;
mod supervisor;
mod task;
mod terminal;
mod tree;
mod waker;

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use nix::unistd::{Gid, Uid};

// Wherever in here they are asked for, they go by their own names.
use record::{bundle, changes, create, delete, events, exit, request, settings, spec, state, update};
use supervisor::{
    adopt, channel, guard, health, launch, lifetime, nursery, probe, pump, restart, supervise, visitors, wait,
};
use task::{
    enter, exec, id_maps, init, kill, namespaces, process, processes, program, reaper, rlimits, signal, sysctls,
    treatment, user,
};
use terminal::{console, conversation, detach_keys, input, raw, streams};
use tree::{cgroup_view, copy_up, devices, mount_options, mount_points, mounts, rootfs, secrets, transfer};

pub use bundle::Bundle;
pub use cgroup::{Access, Pressure, Rule, Stats, check_limits};
pub use channel::Stream;
pub use conversation::{Conversation, Outcome};
pub use create::create;
pub use delete::{delete, delete_after, try_delete};
pub use detach_keys::DetachKeys;
pub use errand::{Errand, find_program};
pub use events::{Event, Journal, RUN_FACT, Reader as EventReader};
pub use exec::{exec, exec_detached, exec_in_front};
pub use exit::{Exit, NotExecuted};
pub use health::{Health, HealthCheck, HealthStatus, ProbeResult, health};
pub use id_maps::{IdMaps, IdRange};
pub use kill::{kill, pause, stop, unpause};
pub use lacks::{Lack, lacks};
pub use launch::{Output, Remains, Sink, Stdin, await_ending, seal_self, set_executable};
pub use logs::{Follower, LogBounds, LogLine, follow, logs, logs_backward};
pub use machine::{Machine, machine};
pub use mount_points::make_mount_points;
pub use namespaces::host_name;
pub use processes::{ProcessFacts, processes};
pub use request::{Bind, Device, ExecRequest, Namespace, NetworkMode, Request, Seccomp, Tmpfs};
pub use restart::{RestartPolicy, runs_at_boot};
pub use rlimits::Rlimit;
pub use script::{Holder, Task, TaskEnd, end_task, ended_apart, interrupt_apart, join_task, start_apart};
pub use secrets::{Contents, Secret};
pub use signal::Signal;
pub use spec::protected_paths;
pub use state::{Act, State, Status, state};
pub use task::{apparmor, capabilities};
pub use tree::files;
pub use update::{set_attributes, set_restart, stats, update};
pub use wait::{Until, until, wait};
pub use waker::{Waker, Woken, monotonic};

use crate::error::{Context, Result};
use crate::model;
use crate::sys::mount::Attributes;

/// What this process is to be, by the name it was started under: `None` is the command line, for everybody else. Otherwise it has
/// been one of the runtime's helpers, and this is its exit code. To be called before any thread is started.
pub fn entry(mut args: impl Iterator<Item = OsString>) -> Option<u8> {
    let role = args.next()?.to_str().and_then(role)?;
    Some(match supervise::part_from_caller() {
        Ok(caller) => role(caller, args.collect()),
        Err(_) => 2,
    })
}

/// The whole life of a helper: it is given the connection to its caller and its words, and returns its exit code.
type Role = fn(OwnedFd, Vec<OsString>) -> u8;

fn role(name: &str) -> Option<Role> {
    match name {
        launch::SUPERVISOR => Some(supervise::main),
        launch::EXEC => Some(exec::main),
        nursery::NURSERY => Some(nursery::main),
        _ => None,
    }
}

/// Starts a container and returns once its program runs; it goes on without this process.
///
/// `conflict` if it runs already. If the program cannot be run, the error says why and the container has ended with code 125, 126
/// or 127.
pub fn start(ctx: &model::Context, bundle: &Bundle, secrets: &Contents) -> Result<()> {
    launchable(ctx, bundle)?;
    let (role, mode) = (launch::SUPERVISOR, supervise::Manner::Detached);
    launch::Helper::spawn(role, bundle, mode, Stdin::Null, secrets.pass()?.as_ref())?.detach(ctx)
}

/// Starts a container and returns when it has ended, with what may still be there of it: to be waited for, or to be removed with it.
///
/// If the context ends first, or this process does, the container is killed.
pub fn run(
    ctx: &model::Context,
    bundle: &Bundle,
    secrets: &Contents,
    stdin: Stdin,
    output: Output<'_>,
) -> Result<(Exit, Remains)> {
    launchable(ctx, bundle)?;
    let (role, mode) = (launch::SUPERVISOR, supervise::Manner::Attached);
    launch::Helper::spawn(role, bundle, mode, stdin, secrets.pass()?.as_ref())?.attach(ctx, output)
}

/// Starts a container and talks with its program, as long as both like: if the person leaves, or this process ends, it goes on.
pub fn run_in_front(
    ctx: &model::Context,
    bundle: &Bundle,
    secrets: &Contents,
    conversation: &Conversation,
) -> Result<Outcome> {
    launchable(ctx, bundle)?;
    let mode = supervise::Manner::InFront;
    let helper = launch::Helper::spawn(launch::SUPERVISOR, bundle, mode, Stdin::Null, secrets.pass()?.as_ref())?;
    helper.say(&match conversation.size() {
        Some((rows, columns)) => channel::Message::Resize(rows, columns),
        None => channel::Message::Go(0),
    });
    // A supervisor with a restart policy has more to do.
    let goes_on = settings::Settings::read(bundle)?.restart != RestartPolicy::No;
    helper.converse(ctx, conversation, goes_on)
}

/// Talks with the program of a container that runs, beside whoever else does. `conflict` unless it runs.
///
/// One that has neither a terminal nor input that is kept open reads nothing: there, what it writes is shown, line by line.
/// `unsupported` if even that goes to one listener alone.
pub fn attach(ctx: &model::Context, bundle: &Bundle, conversation: &Conversation) -> Result<Outcome> {
    state::check(bundle, Act::Attach)?;
    match visitors::visit(bundle)? {
        Some(channel) => conversation.hold(ctx, &channel, true),
        None if bundle.log().exists() => conversation.overhear(ctx, bundle),
        None => Err(crate::error::Error::unsupported(format!(
            "container `{}` cannot be attached to: what it writes goes to the one who runs it",
            bundle.id.short()
        ))
        .target(bundle.id.as_str())),
    }
}

fn launchable(ctx: &model::Context, bundle: &Bundle) -> Result<()> {
    ctx.check()?;
    let state = state::check(bundle, Act::Start)?;
    match state.status.is_alive() {
        true => Err(
            crate::error::Error::conflict(format!("container `{}` is already running", bundle.id.short()))
                .target(bundle.id.as_str()),
        ),
        // The last run's supervisor may still be tidying up behind it.
        false => wait::until_unsupervised(ctx, bundle),
    }
}

/// A place (`O_PATH`) from which a container's files are seen as it sees them itself, its volumes included while it runs.
/// Resolve paths from it by `openat2` with `RESOLVE_IN_ROOT` only: links in it are the container's.
///
/// Of a container that does not run, it is a mount that is attached nowhere and ends with the descriptor.
pub fn root(bundle: &Bundle) -> Result<OwnedFd> {
    let state = state(bundle)?;
    if let Some(pid) = state.pid
        && let Some(init) = kill::program(bundle)?
    {
        let show = || format!("open the root of container `{}`", bundle.id.short());
        let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(
            format!("/proc/{pid}/root").as_str(),
            flags,
            nix::sys::stat::Mode::empty(),
        );
        // If it ended meanwhile, the number may have been another's when the path was opened.
        if !process::has_ended(&init) {
            return root.during(show);
        }
    }
    wait::until_unsupervised(&model::Context::new(), bundle)?;
    let settings = settings::Settings::read(bundle)?;
    let (upper, work) = (bundle.upper(), bundle.work());
    overlay::mount(
        &settings.lower,
        &upper,
        &work,
        settings.volatile,
        Attributes::NO_DEV,
        None,
    )
}

/// Who the container's root is where its files are seen by [`root`].
pub fn root_owner(bundle: &Bundle) -> Result<(Uid, Gid)> {
    let nobody_else = (Uid::from_raw(0), Gid::from_raw(0));
    Ok(match state(bundle)?.pid {
        None => nobody_else,
        Some(_) => IdMaps::of(&spec::read(bundle)?).map_or(nobody_else, |maps| maps.root()),
    })
}

/// The directories below the container's own, topmost first.
pub fn lowers(bundle: &Bundle) -> Result<Vec<std::path::PathBuf>> {
    Ok(settings::Settings::read(bundle)?.lower)
}

/// That what a container is started by can be read. Errors: `corrupt`, `not_found`.
pub fn readable(bundle: &Bundle) -> Result<()> {
    settings::Settings::read(bundle)?;
    let config = bundle::read_json::<oci_spec::runtime::Spec>(&bundle.config())?;
    bundle::required(config, bundle).map(drop)
}
