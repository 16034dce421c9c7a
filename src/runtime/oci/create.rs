//! Making a container: all but its program runs.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use oci_spec::runtime::{Hooks, LinuxResources, Spec};

use super::config::Config;
use super::container::{Place, Record, State, Status};
use super::gate::{self, Gate};
use super::listener::Asking;
use super::signals::Forwarded;
use super::time::TimeNamespace;
use super::{delete, hooks, start};
use crate::error::{Context, Error, Result};
use crate::runtime::cgroup::{self, Cgroup};
use crate::runtime::channel::{Channel, Message};
use crate::runtime::id_maps::{IdMaps, Users};
use crate::runtime::init::Init;
use crate::runtime::mount_options::Options;
use crate::runtime::namespaces::{NEW_TIME, Namespaces};
use crate::runtime::process::{self, Process};
use crate::runtime::seccomp::{Filter, Profile};
use crate::runtime::streams::Streams;
use crate::runtime::user::Who;
use crate::runtime::{bundle, console, devices, exit, mounts, program, spec};
use crate::sys::clone::{self, Child};
use crate::sys::mount::{self, Attributes, Propagation};
use crate::sys::pty::Size;
use crate::sys::{self, file, pidfd};

/// How a container is to be made.
#[derive(Debug, Clone, Default)]
pub struct Creation {
    /// The directory with its `config.json`.
    pub bundle: PathBuf,
    /// Where the number of its first process is to be written.
    pub pid_file: Option<PathBuf>,
    /// A socket to which the master of its terminal is to be sent.
    pub console_socket: Option<PathBuf>,
    /// How many descriptors of this process, from 3 on, its program gets.
    pub preserve_fds: u32,
    /// Whether its root is moved to the top instead of pivoted to, as a root in a RAM disk needs.
    pub no_pivot: bool,
    /// Whether it keeps the session keyring of this process.
    pub no_new_keyring: bool,
}

/// Makes a container whose program waits for [`start`](super::start()). What it asks for in vain is passed to `warn`.
///
/// Errors: `already_exists`; `invalid` and `unsupported` for its configuration.
pub fn create(place: &Place, creation: &Creation, warn: &dyn Fn(&str)) -> Result<()> {
    let config = Config::read(&creation.bundle, &place.id)?;
    config.warning.iter().for_each(|warning| warn(warning));
    place.make()?;
    let door = gate::open(place);
    let made = door.and_then(|door| Made::make(place, &config, creation, Some(door)));
    match made {
        Ok(_) => Ok(()),
        Err(error) => Err(abandon(place, &config, error)),
    }
}

/// Makes and starts a container. Unless it is `detached`, returns with its exit code when it has ended, and removes it then unless
/// it is to be `kept`; signals to this process go to the container. What it asks for in vain is passed to `warn`.
pub fn run(place: &Place, creation: &Creation, detached: bool, kept: bool, warn: &dyn Fn(&str)) -> Result<u8> {
    let config = Config::read(&creation.bundle, &place.id)?;
    config.warning.iter().for_each(|warning| warn(warning));
    let signals = match detached {
        true => None,
        false => Some(Forwarded::block()?),
    };
    place.make()?;
    let made = Made::make(place, &config, creation, None).and_then(|made| made.begin(place, &config).map(|()| made));
    let made = made.map_err(|error| abandon(place, &config, error))?;
    let Some(signals) = signals else { return Ok(0) };
    let code = signals.wait(&made.child.pidfd)?;
    if !made.record.owns_pids {
        made.record.cgroup()?.kill_all()?;
    }
    if !kept {
        delete(place, true)?;
    }
    Ok(code)
}

/// Takes away what there is of a container that could not be made, or not be started; returns the error.
fn abandon(place: &Place, config: &Config, error: Error) -> Error {
    // The first error says more than one of clearing up after it.
    if place.record().is_ok() {
        let _ = delete(place, true);
    } else {
        let _ = Cgroup::open_at(&Config::cgroup(&config.spec)).and_then(|cgroup| cgroup.remove());
        let _ = place.remove();
    }
    error
}

/// A container whose first process has nothing left to do but to become the program.
struct Made {
    child: Child,
    record: Record,
    setup: Channel,
}

impl Made {
    fn make(place: &Place, config: &Config, creation: &Creation, door: Option<OwnedFd>) -> Result<Made> {
        let spec = &config.spec;
        bundle::write_json(&place.config(), spec, false)?;
        let path = Config::cgroup(spec);
        let cgroup = Cgroup::create_at(&path, resources(spec))?;
        restrict_devices(spec, &cgroup)?;
        delegate(spec, &cgroup)?;
        let (setup, theirs) = Channel::pair()?;
        let record = Record {
            version: spec.version().clone(),
            bundle: config.bundle.clone(),
            rootfs: config.rootfs.clone(),
            created: Timestamp::now(),
            init: Process::NONE,
            boot_id: process::boot_id()?,
            cgroup: path,
            owns_pids: config.owns_pids(),
            annotations: spec.annotations().clone().map(BTreeMap::from_iter).unwrap_or_default(),
        };
        let keyring = (!creation.no_new_keyring)
            .then(|| CString::new(format!("_ses.{}", place.id)))
            .transpose();
        let keyring = keyring.map_err(|_| Error::internal("an id with a zero byte"))?;
        let gate = Gate::new(
            spec,
            State::of(place, record.clone(), Status::Creating),
            theirs,
            door,
            keyring,
        );
        let child = spawn(config, creation, &cgroup, &gate, &setup)?;
        drop(gate);
        let mut made = Made { child, record, setup };
        if let Err(error) = made.settle(place, config, creation) {
            let _ = pidfd::send_signal(&made.child.pidfd, nix::libc::SIGKILL);
            let _ = exit::reap(&made.child.pidfd);
            return Err(error);
        }
        Ok(made)
    }

    /// Writes down which process it is, and does what is to be done outside until it is ready.
    fn settle(&mut self, place: &Place, config: &Config, creation: &Creation) -> Result<()> {
        self.record.init = Process::current(self.child.pid)?;
        place.write(&self.record)?;
        set_oom_score(self.child.pid, spec::process_of(&config.spec)?)?;
        loop {
            match self.setup.receive()? {
                Some(Message::Go(_)) => {
                    self.run_hooks(place, config)?;
                    self.setup.let_go()?;
                }
                Some(Message::Started(_)) => break,
                Some(Message::Listening(number)) => {
                    self.introduce(place, config, number)?;
                    self.setup.let_go()?;
                }
                Some(Message::Failed(failure)) => return Err(failure.into_error()),
                Some(_) => {}
                None => return Err(Error::internal("the container's first process was killed")),
            }
        }
        match &creation.pid_file {
            Some(file) => bundle::write(file, self.child.pid.to_string().as_bytes(), false),
            None => Ok(()),
        }
    }

    fn run_hooks(&self, place: &Place, config: &Config) -> Result<()> {
        let state = State::of(place, self.record.clone(), Status::Creating);
        let prestart = Config::hooks(&config.spec, Hooks::prestart);
        hooks::run("prestart", prestart, &state, None)?;
        hooks::run(
            "createRuntime",
            Config::hooks(&config.spec, Hooks::create_runtime),
            &state,
            None,
        )
    }

    /// Hands the filter of the first process to who is asked about calls.
    fn introduce(&self, place: &Place, config: &Config, number: i32) -> Result<()> {
        let state = State::of(place, self.record.clone(), Status::Creating);
        let (process, pid) = (&self.child.pidfd, self.child.pid);
        Asking { process, pid }.introduce(&config.spec, &state, number)
    }

    /// Lets the first process become the program.
    fn begin(&self, place: &Place, config: &Config) -> Result<()> {
        self.setup.let_go()?;
        start::await_program(&self.setup)?;
        let state = State::of(place, self.record.clone(), Status::Running);
        hooks::run("poststart", Config::hooks(&config.spec, Hooks::poststart), &state, None)
    }
}

/// How soon the kernel kills a process when memory is short (proc_pid_oom_score_adj(5)).
pub(super) fn set_oom_score(pid: i32, process: &oci_spec::runtime::Process) -> Result<()> {
    let Some(score) = process.oom_score_adj() else {
        return Ok(());
    };
    let path = format!("/proc/{pid}/oom_score_adj");
    let set = std::fs::write(&path, score.to_string()).during(|| format!("set `oomScoreAdj` to {score}"));
    set.or_else(|error| match std::fs::read_to_string(&path) {
        // To lower it needs CAP_SYS_RESOURCE; what it is already needs nothing.
        Ok(current) if current.trim() == score.to_string() => Ok(()),
        Ok(current) => Err(error.hint(format!(
            "it is {} here: to go below needs CAP_SYS_RESOURCE",
            current.trim()
        ))),
        Err(_) => Err(error),
    })
}

/// Gives a container that may write to control groups of its own those of v2 (runtime-spec, `config-linux.md#cgroup-ownership`).
fn delegate(spec: &Spec, groups: &Cgroup) -> Result<()> {
    let mounts = spec.mounts().iter().flatten();
    let mut shown = mounts.filter(|mount| matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2")));
    let is_open = shown.any(|mount| !Options::of(mount).own.set.has(Attributes::READ_ONLY));
    let is_own = Namespaces::of(spec)?.new.contains(CloneFlags::CLONE_NEWCGROUP);
    let inside = spec::process_of(spec)?.user().uid();
    let uid = IdMaps::of(spec).map_or(Some(inside), |maps| maps.uid(inside));
    match uid.filter(|uid| is_open && is_own && *uid != 0) {
        None => Ok(()),
        Some(uid) => groups.delegate(uid),
    }
}

/// Has the rules of a configuration kept, if it has any; what every container may use is allowed in any case.
fn restrict_devices(spec: &Spec, groups: &Cgroup) -> Result<()> {
    let mut rules = cgroup::device_rules(spec)?;
    if rules.is_empty() {
        return Ok(());
    }
    rules.extend(cgroup::common_devices().into_iter().filter(|rule| rule.allow));
    match groups.restrict_devices(&rules)? {
        true => Ok(()),
        false => Err(Error::unsupported("rules about devices cannot be kept here").hint(
            "mount the control group controller `devices`, or let this process load programs of type `BPF_CGROUP_DEVICE`",
        )),
    }
}

/// What the process reads and writes: that of this process, or a terminal whose master goes to whoever listens at a socket.
pub(super) fn streams(process: &oci_spec::runtime::Process, console: Option<&Path>) -> Result<Streams> {
    match (process.terminal().unwrap_or(false), console) {
        (false, None) => Ok(Streams::Inherited),
        (true, Some(path)) => {
            let show = || format!("connect to the console socket `{}`", path.display());
            UnixStream::connect(path)
                .during(show)
                .map(|stream| Streams::Terminal(stream.into(), size(process)))
        }
        (true, None) => Err(
            Error::invalid("`process.terminal` is true, and nobody takes the terminal")
                .hint("name a socket by `--console-socket`, or set `process.terminal` to false"),
        ),
        (false, Some(_)) => Err(
            Error::invalid("there is a console socket, and `process.terminal` is false")
                .hint("leave `--console-socket` out, or set `process.terminal` to true"),
        ),
    }
}

/// The size its terminal is to have, where that is said.
fn size(process: &oci_spec::runtime::Process) -> Size {
    let cells = |count: u64| u16::try_from(count).ok().filter(|count| *count > 0);
    let asked = process.console_size();
    let asked = asked.and_then(|asked| cells(asked.height()).zip(cells(asked.width())));
    asked.map_or(console::USUAL_SIZE, |(rows, columns)| Size { rows, columns })
}

fn resources(spec: &Spec) -> Option<&LinuxResources> {
    spec.linux().as_ref().and_then(|linux| linux.resources().as_ref())
}

/// What a configuration says about system calls, if anything.
pub(super) fn profile(spec: &Spec) -> Result<Option<Profile>> {
    let Some(seccomp) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else {
        return Ok(None);
    };
    let json = serde_json::to_vec(seccomp)
        .map_err(|cause| Error::internal(format!("failed to pass a seccomp profile on: {cause}")))?;
    Profile::parse_notifying(&json)
        .during(|| "read `linux.seccomp`")
        .map(Some)
}

/// The filter of a configuration, if it has one.
pub(super) fn filter(spec: &Spec) -> Result<Option<Filter>> {
    let capabilities = spec::capabilities(spec::process_of(spec)?)?.bounding;
    let compile = |profile: Profile| profile.compile(capabilities).during(|| "compile `linux.seccomp`");
    profile(spec)?.map(compile).transpose()
}

/// Opens all that is on the host, and makes the first process.
fn spawn(config: &Config, creation: &Creation, cgroup: &Cgroup, gate: &Gate<'_>, setup: &Channel) -> Result<Child> {
    let spec = &config.spec;
    let process = spec::process_of(spec)?;
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let namespaces = Namespaces::of(spec)?;
    let root = open_root(config)?;
    let linux = spec.linux().as_ref();
    let nodes = devices::listed(linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default())?;
    let users = Users::of(spec)?;
    if users.is_none() && namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
        return Err(Error::invalid(
            "a user namespace needs `linux.uidMappings` and `linux.gidMappings`",
        ));
    }
    let sources = mounts::open_sources(mounts, &nodes, Attributes::NONE, users.as_ref())?;
    let streams = streams(process, creation.console_socket.as_deref())?;
    let maps = users.as_ref().map(|users| &users.maps);
    if let Some(maps) = maps {
        streams.hand_over(maps)?;
        program::raise_rlimits(process)?;
    }
    namespaces.join_processes()?;
    let init = Init {
        spec,
        user: Who::Numbered(process.user()),
        secrets: &[],
        namespaces: &namespaces,
        root: &root,
        mount_point: &config.rootfs,
        sources,
        in_turn: true,
        cgroup,
        filter: filter(spec)?,
        streams,
        no_pivot: creation.no_pivot,
        kept: creation.preserve_fds,
        has_users: maps.is_some(),
        maker: gate,
        stays: None,
    };
    let flags = namespaces.new - CloneFlags::CLONE_NEWCGROUP - NEW_TIME;
    // A process of the container can neither trace nor open the one that becomes its first (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).during(|| "protect this process")?;
    sys::process::note_ignored_signals();
    let time = TimeNamespace::make(spec, namespaces.new)?;
    let child = clone::clone(flags, cgroup.clone_into_fd(), || {
        // The other end is the creator's alone: its end is to be noticed.
        sys::process::close(setup.as_fd());
        init.run()
    });
    time.map_or(Ok(()), TimeNamespace::leave)?;
    let child = child.during(|| "make the container's first process")?;
    if let Some(maps) = maps {
        let mapped = maps.write(child.pid).and_then(|()| setup.let_go());
        mapped.inspect_err(|_| {
            let _ = pidfd::send_signal(&child.pidfd, nix::libc::SIGKILL);
            let _ = exit::reap(&child.pidfd);
        })?;
    }
    Ok(child)
}

/// A copy of the root with all that is mounted in it, attached nowhere.
fn open_root(config: &Config) -> Result<OwnedFd> {
    let rootfs = &config.rootfs;
    let show = || format!("open the root `{}`", rootfs.display());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let place = file::open(rootfs, flags).during(show)?;
    let root = mount::copy(&place, true).during(show)?;
    let linux = config.spec.linux().as_ref();
    let asked = linux
        .and_then(|linux| linux.rootfs_propagation().as_deref())
        .unwrap_or_default();
    // One that is to take from the host must not be parted from it now.
    let propagation = match asked {
        "slave" | "rslave" | "shared" | "rshared" => Propagation::Slave,
        _ => Propagation::Private,
    };
    mount::change(&root, Attributes::NONE, Some(propagation), true).during(show)?;
    Ok(root)
}
