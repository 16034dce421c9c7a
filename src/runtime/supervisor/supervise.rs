//! The supervisor: one small process with one thread for each container. It sets the container up, keeps its log, ends it in time
//! and writes down how it ended. It outlives the caller if the container is detached from it.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use oci_spec::runtime::Spec;

use crate::error::{Context, Error, Result};
use crate::runtime::adopt::{self, PipeId};
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::cgroup::{Cgroup, Mark};
use crate::runtime::channel::{Channel, Failure, Message};
use crate::runtime::exit::{self, Exit};
use crate::runtime::guard::Guard;
use crate::runtime::id_maps::Users;
use crate::runtime::init::Init;
use crate::runtime::lifetime::Lifetime;
use crate::runtime::logs::Log;
use crate::runtime::namespaces::Namespaces;
use crate::runtime::probe::Prober;
use crate::runtime::process::{self, Process};
use crate::runtime::pump::{Ended, Errand, Listener, Pump};
use crate::runtime::seccomp::{Filter, Profile};
use crate::runtime::settings::Settings;
use crate::runtime::state::{Boot, Record};
use crate::runtime::streams::Ends;
use crate::runtime::user::Who;
use crate::runtime::visitors::Visitors;
use crate::runtime::{
    Contents, Seccomp, Signal, mounts, namespaces, overlay, program, restart, secrets, spec, state, streams,
};
use crate::sys::process::Arguments;
use crate::sys::{self, clone, file, pidfd};

/// What a helper's caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum Manner {
    /// The end, which comes with its own.
    Attached,
    /// The start.
    Detached,
    /// The end, as long as it likes: it talks with the program, and may go away.
    InFront,
    /// A supervisor that takes over from one that was killed.
    Adopting,
}

impl Manner {
    const ALL: [Manner; 4] = [Manner::Attached, Manner::Detached, Manner::InFront, Manner::Adopting];

    pub(in crate::runtime) fn name(self) -> &'static str {
        match self {
            Manner::Attached => "attached",
            Manner::Detached => "detached",
            Manner::InFront => "in-front",
            Manner::Adopting => "adopting",
        }
    }
}

/// A helper's command line and its connection to the caller.
pub(in crate::runtime) struct Assignment {
    pub(in crate::runtime) bundle: Bundle,
    pub(in crate::runtime) manner: Manner,
    pub(in crate::runtime) caller: Channel,
}

impl Assignment {
    /// Reads the command line.
    pub(in crate::runtime) fn accept(caller: OwnedFd, args: Vec<OsString>) -> Result<Assignment> {
        let [dir, run_dir, id, manner] = <[OsString; 4]>::try_from(args).map_err(|_| misused())?;
        let manner = Manner::ALL.into_iter().find(|known| manner == known.name());
        let (Some(id), Some(manner)) = (id.to_str(), manner) else {
            return Err(misused());
        };
        let bundle = Bundle {
            id: id.parse()?,
            dir: dir.into(),
            run_dir: run_dir.into(),
        };
        Ok(Assignment {
            bundle,
            manner,
            caller: Channel::from_fd(caller),
        })
    }
}

/// Takes the connection to the caller out of the way of standard output, and leaves what else the caller has but its two other streams.
pub(in crate::runtime) fn part_from_caller() -> Result<OwnedFd> {
    // What the caller had open is not for a process that may outlive it; none of this process's values owns one of them yet.
    sys::process::close_from(3).during(|| "let go of what the caller had open")?;
    let stdout = std::io::stdout();
    let caller = stdout.as_fd().try_clone_to_owned().during(|| "take the connection")?;
    nix::unistd::dup2_stdout(null()?).during(|| "let go of standard output")?;
    nix::unistd::chdir("/").during(|| "part from the caller")?;
    // Not dumpable: a container's process can neither trace nor open a helper that enters it (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).during(|| "part from the caller")?;
    start_session()?;
    sys::process::note_ignored_signals();
    Ok(caller)
}

/// What a person types at the caller's terminal is not for a helper.
pub(in crate::runtime) fn start_session() -> Result<()> {
    nix::unistd::setsid().during(|| "part from the caller").map(drop)
}

fn misused() -> Error {
    Error::invalid("this name of the program is for its own use")
}

pub(in crate::runtime) fn null() -> Result<OwnedFd> {
    file::open("/dev/null", OFlag::O_RDWR).during(|| "open `/dev/null`")
}

/// The supervisor's whole life; returns its exit code.
pub(in crate::runtime) fn main(caller: OwnedFd, args: Vec<OsString>) -> u8 {
    let Ok(assignment) = Assignment::accept(caller, args) else {
        return 2;
    };
    let Assignment { bundle, manner, caller } = assignment;
    let done = match manner {
        Manner::Adopting => adopt::take_over(&bundle, caller),
        manner => supervise(&bundle, caller, manner),
    };
    match done {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn supervise(bundle: &Bundle, caller: Channel, manner: Manner) -> Result<()> {
    let prepared = prepare(bundle).and_then(|(lock, mut spec, mut settings)| {
        if manner == Manner::InFront {
            hear_size(&caller, &mut spec)?;
        }
        // Who waits for the end has said all that is to be read.
        settings.interactive = manner != Manner::Attached && (settings.interactive || spec::terminal(&spec).is_some());
        // Before anything runs: a log that cannot be kept is a reason not to start, and none to lose what has started. Output that its
        // listener has seen, of a container that is gone once it ended, is kept nowhere.
        let hearers = match manner == Manner::Attached && settings.volatile {
            true => Hearers::default(),
            false => Hearers::expect(bundle, &settings)?,
        };
        Ok((lock, spec, settings, hearers))
    });
    let (_lock, spec, settings, hearers) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&caller, &Failure::new(&error, exit::NOT_STARTED)),
    };
    let started = Timestamp::now();
    let mut running = match Running::start(bundle, &spec, &settings, Some(&caller), None) {
        Ok(running) => running,
        Err(failure) => {
            let exit = Exit::failed(failure.code, started, failure.message());
            let written = exit.write(bundle, !settings.volatile);
            return refuse(&caller, &failure).and(written);
        }
    };
    let _ = caller.send(&Message::Started(running.process.child.pid));
    let listener = (manner != Manner::Detached).then(|| Listener {
        channel: caller,
        is_needed: manner == Manner::Attached,
    });
    let exit = running.watch(bundle, &settings, Hearers { listener, ..hearers })?;
    let (spec, settings) = (&spec, &settings);
    let lifetime = Lifetime { bundle, spec, settings };
    match manner {
        // It ends with its caller.
        Manner::Attached => lifetime.conclude(Some(running), &exit),
        _ => lifetime.after(Some(running), exit),
    }
}

/// Who in front of a program has a terminal says first how large it is.
fn hear_size(caller: &Channel, spec: &mut Spec) -> Result<()> {
    match caller.receive()? {
        Some(Message::Resize(rows, columns)) => spec::set_terminal(spec, rows, columns),
        Some(_) => {}
        None => return Err(gone()),
    }
    Ok(())
}

fn gone() -> Error {
    Error::cancelled("the caller went away before the container was started")
}

/// Who gets to know what a program writes.
#[derive(Default)]
pub(in crate::runtime) struct Hearers {
    pub(in crate::runtime) listener: Option<Listener>,
    pub(in crate::runtime) visitors: Option<Visitors>,
    pub(in crate::runtime) log: Option<Log>,
}

impl Hearers {
    /// Those of a run that nobody started in front.
    pub(in crate::runtime) fn expect(bundle: &Bundle, settings: &Settings) -> Result<Hearers> {
        Ok(Hearers {
            listener: None,
            visitors: settings.interactive.then(|| Visitors::expect(bundle)).transpose()?,
            log: Some(Log::open(&bundle.log(), settings.log)?),
        })
    }
}

pub(in crate::runtime) fn refuse(caller: &Channel, failure: &Failure) -> Result<()> {
    caller
        .send(&Message::Failed(failure.clone()))
        .during(|| "tell the caller")
}

/// Locks the container, reads what it is to be, and clears away what its last run left.
fn prepare(bundle: &Bundle) -> Result<(nix::fcntl::Flock<fs::File>, Spec, Settings)> {
    let lock = state::lock(bundle)?;
    if Record::read(bundle)?.is_some_and(|record| record.init.is_alive()) {
        return Err(Error::conflict(format!(
            "container `{}` is running without a supervisor",
            bundle.id.short()
        ))
        .hint("stop it first"));
    }
    let (spec, mut settings) = (spec::read(bundle)?, Settings::read(bundle)?);
    settings.contents = Contents::receive(&settings.secrets)?;
    bundle::remove_file(&bundle.state_file())?;
    Exit::clear(bundle)?;
    restart::allow(bundle, &settings)?;
    match fs::create_dir(bundle.mount_point()) {
        Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(cause).during(|| format!("make `{}`", bundle.mount_point().display()));
        }
        _ => {}
    }
    Ok((lock, spec, settings))
}

/// A container that has been started.
pub(in crate::runtime) struct Running {
    pub(in crate::runtime) process: Spawned,
    pub(in crate::runtime) cgroup: Cgroup,
    /// Whether the end of the first process leaves others running.
    pub(in crate::runtime) outlive_first: bool,
    pub(in crate::runtime) began: Instant,
    pub(in crate::runtime) started: Timestamp,
    pub(in crate::runtime) restarts: u32,
    /// The first process, if another supervisor made it.
    pub(in crate::runtime) adopted: Option<Process>,
    /// What is to be told to those who listened, once it has ended.
    pub(in crate::runtime) ended: Option<Ended>,
    /// Who was told, and waits for the rest.
    pub(in crate::runtime) told: Option<Channel>,
}

/// A container's first process and what belongs to it.
pub(in crate::runtime) struct Spawned {
    pub(in crate::runtime) child: clone::Child,
    /// Keeps the overlay from being torn down in the first process's last moments, which everybody waits for.
    pub(in crate::runtime) root: Option<OwnedFd>,
    /// Keeps all its mounts from that.
    pub(in crate::runtime) mounts: Option<OwnedFd>,
    pub(in crate::runtime) ends: Option<Ends>,
}

impl Running {
    /// Starts a run. `caller` waits for it; or it follows the run that ended as `previous` says.
    pub(in crate::runtime) fn start(
        bundle: &Bundle,
        spec: &Spec,
        settings: &Settings,
        caller: Option<&Channel>,
        previous: Option<&Exit>,
    ) -> std::result::Result<Running, Failure> {
        let started = Timestamp::now();
        let not_started = |error: Error| Failure::new(&error, exit::NOT_STARTED);
        let began = Instant::now();
        let mut namespaces = Namespaces::open(bundle, spec, &settings.joins).map_err(not_started)?;
        namespaces.take_prepared();
        let outlive_first = namespaces.outlive_first();
        if outlive_first {
            // Their supervisor may have been killed.
            let left = Cgroup::open(bundle.id.as_str()).and_then(|cgroup| cgroup.kill_all());
            left.map_err(not_started)?;
        }
        let cgroup = Cgroup::create(bundle.id.as_str(), &settings.limits).map_err(not_started)?;
        if let Some(mark) = bundle.run_dir.parent().and_then(|dir| Mark::of(dir).ok()) {
            cgroup.mark(&mark);
        }
        let launched = Guard::put(spec, settings, &cgroup)
            .and_then(|guard| spawn(bundle, spec, settings, &namespaces, &cgroup, &guard))
            .map_err(not_started)
            .and_then(|(process, setup)| {
                let run = Run { started, previous };
                launch(bundle, settings, &process, &cgroup, &setup, caller, &run).map(|()| process)
            });
        match launched {
            Ok(process) => {
                bundle.tell("start", &settings.attributes, &[]);
                Ok(Running {
                    process,
                    cgroup,
                    outlive_first,
                    began,
                    started,
                    restarts: previous.map_or(0, |exit| exit.restarts + 1),
                    adopted: None,
                    ended: None,
                    told: None,
                })
            }
            Err(failure) => {
                let _ = cgroup.kill_all().and_then(|()| cgroup.remove());
                Err(failure)
            }
        }
    }

    /// Returns when the container has ended: how.
    pub(in crate::runtime) fn watch(&mut self, bundle: &Bundle, settings: &Settings, hearers: Hearers) -> Result<Exit> {
        let check = settings.health.as_ref();
        let mut prober = check.map(|check| Prober::new(bundle, check, self.started));
        let child = &self.process.child;
        self.process.mounts = namespaces::mounts_of(child.pid);
        // One that was killed before it became the program may have nothing that can be watched.
        let ends = self.process.ends.take().map(Ends::connect);
        let (mut input, outputs) = ends.and_then(Result::ok).unwrap_or_default();
        if let Some(input) = &mut input {
            input.lasts = hearers.listener.is_none();
        }
        let pump = Pump {
            process: child.pidfd.as_fd(),
            outputs,
            input,
            hearers,
            deadline: settings.timeout.and_then(|limit| self.began.checked_add(limit)),
            kill: &|| kill(child, &self.cgroup),
            errand: prober.as_mut().map(|prober| prober as &mut dyn Errand),
        };
        let ended = pump.run()?;
        if let Some(prober) = prober {
            prober.end();
        }
        let seen = match self.adopted {
            None => Some(exit::reap(&child.pidfd)?),
            Some(process) => process::end_of(process, &child.pidfd).map(exit::code),
        };
        let (code, signal) = seen.unwrap_or((exit::LOST, None));
        if self.outlive_first {
            // Should it fail, removing the groups will say so, after the end is told.
            let _ = self.cgroup.kill_all();
        }
        let oom_killed = self.cgroup.oom_kills() > 0;
        let timed_out = ended.timed_out;
        self.ended = Some(ended);
        let exit = Exit {
            code,
            signal,
            oom_killed,
            timed_out,
            started: self.started,
            finished: Timestamp::now(),
            error: seen.is_none().then(|| adopt::UNSEEN.to_owned()),
            restarts: self.restarts,
        };
        exit.tell(bundle, settings);
        Ok(exit)
    }

    /// Whether the one who started it in front has seen it through.
    pub(in crate::runtime) fn was_seen_through(&self) -> bool {
        self.ended.as_ref().is_some_and(Ended::has_listener)
    }

    /// Tells those who listen how it ended.
    pub(in crate::runtime) fn tell(&mut self, exit: &Exit) {
        if let Some(ended) = self.ended.take() {
            self.told = ended.tell(exit);
        }
    }

    /// Tells those who listen how it ended, and clears up after the run: whoever lets go of the mounts last waits for them to be torn
    /// down.
    pub(in crate::runtime) fn tidy(mut self, exit: &Exit) -> Result<()> {
        self.tell(exit);
        self.cgroup.remove()?;
        if let Some(told) = self.told {
            let _ = told.send(&Message::Tidied);
        }
        drop((self.process.root, self.process.mounts));
        Ok(())
    }
}

/// Which of a container's runs it is.
struct Run<'a> {
    started: Timestamp,
    /// How the one before ended, if a restart policy wants this one.
    previous: Option<&'a Exit>,
}

/// Ends the first process, and so the container. A frozen one dies once it is let go.
fn kill(child: &clone::Child, cgroup: &Cgroup) {
    let _ = pidfd::send_signal(&child.pidfd, Signal::KILL.number());
    let _ = cgroup.thaw();
}

/// Records the process, lets it go, and waits until it has become the program; if not, it is gone.
fn launch(
    bundle: &Bundle,
    settings: &Settings,
    process: &Spawned,
    cgroup: &Cgroup,
    setup: &Channel,
    caller: Option<&Channel>,
    run: &Run<'_>,
) -> std::result::Result<(), Failure> {
    let result = record(bundle, settings, process, run, false)
        .and_then(|()| run.check(bundle))
        .and_then(|()| setup.let_go())
        .and_then(|()| await_program(setup, caller));
    let result = match result {
        // Nothing that can be seen from outside tells when it has let go of the host.
        Ok(None) if settings.init => record(bundle, settings, process, run, true).map(|()| None),
        result => result,
    };
    let failure = match result {
        Ok(None) => return Ok(()),
        Ok(Some(failure)) => failure,
        Err(error) => Failure::new(&error, exit::NOT_STARTED),
    };
    kill(&process.child, cgroup);
    let _ = exit::reap(&process.child.pidfd);
    Err(failure)
}

/// Makes all that must be made on the host, and the first process; the channel leads to it.
fn spawn(
    bundle: &Bundle,
    spec: &Spec,
    settings: &Settings,
    namespaces: &Namespaces,
    cgroup: &Cgroup,
    guard: &Guard,
) -> Result<(Spawned, Channel)> {
    let users = Users::of(spec)?;
    let shift = users.as_ref().map(|users| users.shift.as_fd());
    let (upper, work) = (bundle.upper(), bundle.work());
    let root = overlay::mount(
        &settings.lower,
        &upper,
        &work,
        settings.volatile,
        guard.attributes,
        shift,
    )?;
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut sources = mounts::open_sources(mounts, &guard.nodes, guard.attributes, users.as_ref())?;
    for (mount, source) in mounts.iter().zip(&mut sources) {
        if secrets::is_mount(mount) {
            *source = Some(secrets::make(&settings.secrets, &settings.contents, users.as_ref())?);
        }
    }
    let (streams, ends) = streams::make(spec::terminal(spec), settings.interactive)?;
    let maps = users.as_ref().map(|users| &users.maps);
    if let Some(maps) = maps {
        streams.hand_over(maps)?;
        program::raise_rlimits(spec::process_of(spec)?)?;
    }
    let (setup, parent) = Channel::pair()?;
    let mount_point = bundle.mount_point();
    // The namespace of control groups is made after joining them.
    let flags = namespaces.new - CloneFlags::CLONE_NEWCGROUP;
    namespaces.join_processes()?;
    let init = Init {
        spec,
        user: Who::Named(&settings.user),
        secrets: &settings.secrets,
        namespaces,
        root: &root,
        mount_point: &mount_point,
        sources,
        in_turn: false,
        cgroup,
        filter: filter(&settings.seccomp, spec)?,
        streams,
        no_pivot: false,
        kept: 0,
        has_users: maps.is_some(),
        maker: &parent,
        stays: settings.init.then(Arguments::find).flatten(),
    };
    let child = clone::clone(flags, cgroup.clone_into_fd(), || {
        sys::process::close(setup.as_fd());
        init.run()
    });
    let child = child.during(|| "make the container's first process");
    let child = child.map_err(|error| namespaces.blame(error))?;
    if let Some(maps) = maps {
        let mapped = maps.write(child.pid).and_then(|()| setup.let_go());
        mapped.inspect_err(|_| {
            kill(&child, cgroup);
            let _ = exit::reap(&child.pidfd);
        })?;
    }
    // What it reads is its own: this process would keep the other end from noticing that it is gone.
    nix::unistd::dup2_stdin(null()?).during(|| "let go of standard input")?;
    Ok((
        Spawned {
            child,
            root: Some(root),
            mounts: None,
            ends: Some(ends),
        },
        setup,
    ))
}

pub(in crate::runtime) fn filter(seccomp: &Seccomp, spec: &Spec) -> Result<Option<Filter>> {
    let capabilities = spec::capabilities(spec::process_of(spec)?)?.bounding;
    match seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => Filter::docker_default(capabilities).map(Some),
        Seccomp::Profile(json) => Profile::parse(json.as_bytes())?.compile(capabilities).map(Some),
    }
}

/// Writes down which process it is, before it becomes the program: whoever finds it running finds the record.
fn record(bundle: &Bundle, settings: &Settings, process: &Spawned, run: &Run<'_>, stands_by: bool) -> Result<()> {
    let own = i32::try_from(std::process::id()).map_err(|_| Error::internal("a process number out of range"))?;
    let boot_id = process::boot_id()?;
    if !settings.volatile {
        bundle::write_json(
            &bundle.boot(),
            &Boot {
                boot_id: boot_id.clone(),
                started: run.started,
            },
            false,
        )?;
    }
    let record = Record {
        init: Process::current(process.child.pid)?,
        supervisor: Process::current(own)?,
        boot_id,
        started: run.started,
        previous: run.previous.cloned(),
        stands_by,
        outputs: match settings.volatile {
            // It ends with its caller.
            true => Vec::new(),
            false => process.ends.as_ref().map(PipeId::of).unwrap_or_default(),
        },
    };
    bundle::write_json(&bundle.state_file(), &record, false)
}

impl Run<'_> {
    /// That nobody has stopped the container in the meantime: whoever did so before it was recorded did not see it.
    fn check(&self, bundle: &Bundle) -> Result<()> {
        match self.previous {
            Some(_) if restart::is_stopped(bundle) => Err(Error::cancelled("the container was stopped")),
            _ => Ok(()),
        }
    }
}

/// Waits until the process has become the program, which closes its end, or says why it could not; ends early if the caller goes.
pub(in crate::runtime) fn await_program(setup: &Channel, caller: Option<&Channel>) -> Result<Option<Failure>> {
    let mut heeded = PollFlags::POLLIN;
    loop {
        let mut fds = vec![PollFd::new(setup.as_fd(), PollFlags::POLLIN)];
        fds.extend(caller.map(|caller| PollFd::new(caller.as_fd(), heeded)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for the container's first process"),
        }
        if fds[0].revents().is_some_and(|events| !events.is_empty()) {
            return match setup.receive()? {
                Some(Message::Failed(failure)) => Ok(Some(failure)),
                Some(_) => continue,
                // Closed by `execve`; or the process was killed on its way there, which its exit status will tell.
                None => Ok(None),
            };
        }
        let called = fds.get(1).and_then(PollFd::revents);
        if called.is_some_and(|events| !events.is_empty()) {
            if caller.is_some_and(Channel::is_given_up) {
                return Err(gone());
            }
            // It types already. That it goes is noticed all the same.
            heeded = PollFlags::empty();
        }
    }
}
