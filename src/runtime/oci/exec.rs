//! A further process in a container.

use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use oci_spec::runtime::{Capability, LinuxCapabilities, Process, Spec, User};

use super::config;
use super::container::{Place, Record, State, Status};
use super::create::{filter, set_oom_score, streams};
use super::gate::executable;
use super::listener::Asking;
use super::signals::Forwarded;
use super::start::{await_program, require};
use crate::error::{Context, Error, Result};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::channel::{Channel, Failure, Message};
use crate::runtime::enter::{self, Entered};
use crate::runtime::exit::NOT_STARTED;
use crate::runtime::init::Maker;
use crate::runtime::program::Program;
use crate::runtime::seccomp::Filter;
use crate::runtime::streams::Streams;
use crate::runtime::user::Who;
use crate::runtime::{IdMaps, bundle, id_maps, namespaces, program, spec, treatment};
use crate::sys::file;

/// What is to be run, and how.
#[derive(Debug, Clone, Default)]
pub struct Execution {
    /// A file with the `process` of a configuration, in place of what follows.
    pub process: Option<PathBuf>,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Where it starts; the container's own place unless given.
    pub cwd: Option<PathBuf>,
    /// Variables laid over the container's.
    pub env: Vec<String>,
    /// `UID` or `UID:GID`.
    pub user: Option<String>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// Capabilities besides the container's.
    pub caps: Vec<String>,
    /// A control group below the container's, in which it is to be.
    pub cgroup: Option<PathBuf>,
    /// Whether it can never gain rights.
    pub no_new_privileges: bool,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// A socket to which the master of its terminal is to be sent.
    pub console_socket: Option<PathBuf>,
    /// Whether it goes on without this process.
    pub detached: bool,
    /// Whether to run it in a paused container, where it waits.
    pub ignore_paused: bool,
    /// Where its number is to be written.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors of this process, from 3 on, it gets.
    pub preserve_fds: u32,
}

/// Runs a process in a container: its exit code, or 0 if it is detached; `detail` is told what only those want to know who look for a
/// fault. `conflict` unless the container runs.
pub fn exec(place: &Place, execution: &Execution, detail: &dyn Fn(&str)) -> Result<u8> {
    let record = place.record()?;
    let allowed: &[Status] = match execution.ignore_paused {
        true => &[Status::Created, Status::Running, Status::Paused],
        false => &[Status::Created, Status::Running],
    };
    require(place, record.status(place)?, allowed, "run a process in")?;
    let spec = place.spec()?;
    let process = process(&spec, execution)?;
    config::check_process(&process)?;
    if let Some(mask) = treatment::beginning(&process)? {
        // In the words of runc.
        detail(&format!("affinity: {mask}"));
    }
    let signals = match execution.detached {
        true => None,
        false => Some(Forwarded::block()?),
    };
    let made = make(place, &record, &spec, &process, execution)?;
    let begun = set_oom_score(made.pid, &process).and_then(|()| {
        let state = State::of(place, record, Status::Running);
        begin(&made, execution, &|number| {
            Asking {
                process: &made.child,
                pid: made.pid,
            }
            .introduce(&spec, &state, number)
        })
    });
    begun.inspect_err(|_| made.abandon())?;
    signals.map_or(Ok(0), |signals| signals.wait(&made.child))
}

/// What the configuration of the process is, from a file or from the container's with changes.
fn process(spec: &Spec, execution: &Execution) -> Result<Process> {
    if let Some(path) = &execution.process {
        let process =
            bundle::read_json::<Process>(path).map_err(|error| error.with_kind(crate::error::Kind::Invalid))?;
        return process.ok_or_else(|| Error::not_found(format!("there is no file `{}`", path.display())));
    }
    let mut process = spec::process_of(spec)?.clone();
    process.set_args(Some(execution.args.clone()));
    let env = spec::merge_environment(process.env().as_deref().unwrap_or_default(), &execution.env);
    process.set_env(Some(env));
    if let Some(cwd) = &execution.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(user) = &execution.user {
        process.set_user(parse_user(user, process.user())?);
    }
    if !execution.additional_gids.is_empty() {
        let mut user = process.user().clone();
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&execution.additional_gids);
        user.set_additional_gids(Some(groups));
        process.set_user(user);
    }
    if execution.no_new_privileges {
        process.set_no_new_privileges(Some(true));
    }
    let capabilities = add_capabilities(process.capabilities().clone(), &execution.caps)?;
    process.set_capabilities(capabilities);
    process.set_terminal(Some(execution.terminal));
    Ok(process)
}

/// `UID` or `UID:GID`: numbers, which are never taken for names (CVE-2026-30892).
fn parse_user(text: &str, before: &User) -> Result<User> {
    let refuse = || {
        Error::invalid(format!("`{}` is not a user", text.escape_debug()))
            .hint("write it as `UID` or `UID:GID`, in numbers")
    };
    let number = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|id| i32::try_from(*id).is_ok() && !text.starts_with('+'))
    };
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let mut user = before.clone();
    user.set_uid(number(uid).ok_or_else(refuse)?);
    if let Some(gid) = gid {
        user.set_gid(number(gid).ok_or_else(refuse)?);
    }
    Ok(user)
}

/// The container's and more. What is inherited stays as it is: it would outlive the change to another user (CVE-2022-29162).
fn add_capabilities(before: Option<LinuxCapabilities>, names: &[String]) -> Result<Option<LinuxCapabilities>> {
    if names.is_empty() {
        return Ok(before);
    }
    let more = names.iter().map(|name| {
        let known: crate::runtime::capabilities::Capability = name.parse()?;
        let name = known.name();
        name.trim_start_matches("CAP_")
            .parse::<Capability>()
            .map_err(|_| Error::internal(format!("unknown capability `{name}`")))
    });
    let more = more.collect::<Result<Vec<_>>>()?;
    let mut sets = before.unwrap_or_else(none);
    let with = |set: &Option<std::collections::HashSet<Capability>>| {
        Some(set.iter().flatten().chain(&more).copied().collect())
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding)
        .set_effective(effective)
        .set_permitted(permitted);
    Ok(Some(sets))
}

fn none() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(None)
        .set_effective(None)
        .set_permitted(None)
        .set_inheritable(None)
        .set_ambient(None);
    sets
}

/// The container's groups, or one below them.
fn cgroup(record: &Record, execution: &Execution) -> Result<Cgroup> {
    let below = execution.cgroup.as_deref().unwrap_or(Path::new(""));
    let below = below.strip_prefix("/").unwrap_or(below);
    let groups = Cgroup::open_at(&record.cgroup.join(below))?;
    match groups.paths().is_empty() {
        true => Err(Error::not_found(format!(
            "the container has no control group `{}`",
            below.display()
        ))),
        false => Ok(groups),
    }
}

/// The process, before it becomes the program.
fn make(place: &Place, record: &Record, spec: &Spec, process: &Process, execution: &Execution) -> Result<Entered> {
    let ended = || Error::conflict(format!("container `{}` has just ended", place.id)).target(&place.id);
    let init = record.init().ok_or_else(ended)?;
    let filter = filter(spec)?;
    let flags = namespaces::listed(spec);
    let streams = streams(process, execution.console_socket.as_deref())?;
    nix::sys::prctl::set_dumpable(false).during(|| "protect this process")?;
    crate::sys::process::note_ignored_signals();
    let maps = IdMaps::of(spec);
    if let Some(maps) = &maps {
        streams.hand_over(maps)?;
        program::raise_rlimits(process)?;
    }
    treatment::begin_on(process)?;
    enter::make(&cgroup(record, execution)?, &init, flags, |parent| {
        let entered = maps.as_ref().map_or(Ok(()), |_| id_maps::become_root());
        let prepared =
            entered.and_then(|()| prepare(spec, process, (filter, parent), execution.preserve_fds, &streams));
        let failure = match prepared {
            Ok(program) => program.become_it(|file| ready(parent, file)),
            Err(error) => Failure::new(&error, NOT_STARTED),
        };
        let code = failure.code;
        let _ = parent.send(&Message::Failed(failure));
        code
    })
}

fn prepare<'a>(
    spec: &Spec,
    process: &'a Process,
    (filter, maker): (Option<Filter>, &'a dyn Maker),
    kept: u32,
    streams: &Streams,
) -> Result<Program<'a>> {
    nix::unistd::setsid().during(|| "start a session")?;
    spec.linux().as_ref().map_or(Ok(()), treatment::of_container)?;
    treatment::stay_on(process)?;
    let root = file::open("/", OFlag::O_PATH).during(|| "open the root")?;
    let identity = Who::Numbered(process.user()).resolve(&root)?;
    streams.install(&root, identity.uid, false)?;
    Ok(Program {
        process,
        args: process.args().as_deref().unwrap_or_default(),
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().to_str().unwrap_or("/"),
        identity,
        capabilities: spec::capabilities(process)?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        filter,
        kept,
        maker: Some(maker),
    })
}

fn ready(parent: &Channel, file: &str) -> std::result::Result<(), (Error, i32)> {
    executable(Path::new(file))?;
    let go = || match parent
        .send(&Message::Started(0))
        .during(|| "tell the caller")
        .and_then(|()| parent.receive())?
    {
        Some(Message::Go(_)) => Ok(()),
        _ => Err(Error::cancelled("the caller went away")),
    };
    go().map_err(|error| (error, NOT_STARTED))
}

/// Writes down which process it is, and lets it go.
fn begin(made: &Entered, execution: &Execution, introduce: &dyn Fn(i32) -> Result<()>) -> Result<()> {
    loop {
        match made.setup.receive()? {
            Some(Message::Started(_)) => break,
            Some(Message::Listening(number)) => introduce(number).and_then(|()| made.setup.let_go())?,
            Some(Message::Failed(failure)) => return Err(failure.into_error()),
            _ => return Err(Error::internal("the process was killed before it ran")),
        }
    }
    if let Some(file) = &execution.pid_file {
        bundle::write(file, made.pid.to_string().as_bytes(), false)?;
    }
    made.setup.let_go()?;
    await_program(&made.setup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number() {
        let user = parse_user("7:8", &User::default()).unwrap();
        assert_eq!((user.uid(), user.gid()), (7, 8));
        assert_eq!(parse_user("7", &user).unwrap().gid(), 8);
        for text in [
            "",
            "root",
            "1:",
            ":1",
            "-1",
            "+1",
            "4294967296",
            "2147483648",
            "1:2:3",
            " 1",
        ] {
            assert!(parse_user(text, &User::default()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn added_capabilities_are_not_inherited() {
        let sets = add_capabilities(None, &["net_admin".to_owned()]).unwrap().unwrap();
        assert_eq!(sets.effective().iter().flatten().count(), 1);
        assert!(
            sets.inheritable()
                .iter()
                .flatten()
                .chain(sets.ambient().iter().flatten())
                .next()
                .is_none()
        );
        assert!(add_capabilities(None, &["nonsense".to_owned()]).is_err());
    }
}
