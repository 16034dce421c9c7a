//! Taking over a container whose supervisor was killed.
//!
//! The new supervisor is not the parent of the first process: it watches it by descriptor, and asks the kernel how it ended. Output
//! goes on to the log if the program still has its pipes open; what it wrote meanwhile met a pipe that nobody reads (`SIGPIPE`).

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fstat};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::model;
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::channel::{Channel, Failure, Message, Stream};
use crate::runtime::exit::{self, Exit};
use crate::runtime::launch::{self, Helper, Stdin};
use crate::runtime::lifetime::Lifetime;
use crate::runtime::logs::Log;
use crate::runtime::process::{self, Process};
use crate::runtime::restart::Pause;
use crate::runtime::settings::Settings;
use crate::runtime::state::{Record, Status};
use crate::runtime::streams::Ends;
use crate::runtime::supervise::{self, Hearers, Manner, Running, Spawned};
use crate::runtime::{RestartPolicy, namespaces, restart, spec, state};
use crate::sys::clone::Child;

/// Why the code of a run is not known.
pub(in crate::runtime) const UNSEEN: &str = "the supervisor was killed, so nobody saw the end";

/// Which pipe one of the program's outputs is, so that it is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) struct PipeId {
    stream: Stream,
    device: u64,
    inode: u64,
}

impl PipeId {
    /// Those of the pipes a supervisor reads.
    pub(in crate::runtime) fn of(ends: &Ends) -> Vec<PipeId> {
        // A terminal hangs up with its supervisor, and the programs on it end.
        let Ends::Pipes { outputs, .. } = ends else {
            return Vec::new();
        };
        let known = outputs.iter().filter_map(|(stream, pipe)| {
            let facts = fstat(pipe).ok()?;
            let (stream, device, inode) = (*stream, facts.st_dev, facts.st_ino);
            Some(PipeId { stream, device, inode })
        });
        known.collect()
    }

    /// A reading end of it, if it is still what the process has in its place.
    fn reopen(self, pid: i32) -> Option<File> {
        let number = match self.stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        // The program may have put anything there, and opening a device can do harm: looked at first, then opened as what it is.
        let place = nix::fcntl::open(
            format!("/proc/{pid}/fd/{number}").as_str(),
            OFlag::O_PATH | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let place = place.ok()?;
        let facts = fstat(&place).ok()?;
        if (facts.st_dev, facts.st_ino) != (self.device, self.inode) {
            return None;
        }
        let path = format!("/proc/self/fd/{}", place.as_raw_fd());
        File::open(path).ok()
    }
}

/// Sees to it that a container that is not over has a supervisor. Returns whether it lacked one.
pub(in crate::runtime) fn ensure(ctx: &model::Context, bundle: &Bundle, status: Status) -> Result<bool> {
    let is_over = !matches!(
        status,
        Status::Running | Status::Paused | Status::Restarting | Status::Dead
    );
    if is_over || !is_orphan(bundle)? || (status == Status::Dead && !is_wanted(bundle)?) {
        return Ok(false);
    }
    let helper = Helper::spawn(launch::SUPERVISOR, bundle, Manner::Adopting, Stdin::Null, None)?;
    match helper.detach(ctx) {
        // Somebody else has done it, or it has just ended.
        Err(error) if error.kind() == Kind::Conflict => Ok(true),
        result => result.map(|()| true),
    }
}

fn is_orphan(bundle: &Bundle) -> Result<bool> {
    let record = Record::read(bundle)?;
    Ok(record.is_some_and(|record| !record.supervisor.is_alive()))
}

/// Whether a container whose end nobody saw may be started again.
fn is_wanted(bundle: &Bundle) -> Result<bool> {
    Ok(Settings::read(bundle)?.restart != RestartPolicy::No && !restart::is_stopped(bundle))
}

/// The new supervisor's life.
pub(in crate::runtime) fn take_over(bundle: &Bundle, caller: Channel) -> Result<()> {
    let taken = state::lock(bundle).and_then(|lock| Ok((lock, Orphan::take(bundle)?)));
    let (_lock, orphan) = match taken {
        Ok(taken) => taken,
        Err(error) => return supervise::refuse(&caller, &Failure::new(&error, exit::NOT_STARTED)),
    };
    let _ = caller.send(&Message::Started(orphan.record.init.pid));
    drop(caller);
    orphan.see_to(bundle)
}

/// A container without a supervisor.
struct Orphan {
    record: Record,
    /// What was to come after its last run.
    pause: Option<Pause>,
    /// Its first process, if it is alive.
    init: Option<OwnedFd>,
    spec: Spec,
    settings: Settings,
}

impl Orphan {
    /// Writes down that this process is its supervisor now. `conflict` if there is nothing to supervise.
    fn take(bundle: &Bundle) -> Result<Orphan> {
        let over = || Error::conflict(format!("container `{}` has ended", bundle.id.short()));
        let before = Record::read(bundle)?.ok_or_else(over)?;
        if Exit::read(bundle)?.is_some() || before.boot_id != process::boot_id()? {
            return Err(over());
        }
        let own = i32::try_from(std::process::id()).map_err(|_| Error::internal("a process number out of range"))?;
        let supervisor = Process::current(own)?;
        let record = Record { supervisor, ..before };
        let orphan = Orphan {
            init: record.init.open(),
            pause: record.pause(bundle)?,
            spec: spec::read(bundle)?,
            settings: Settings::read(bundle)?,
            record,
        };
        bundle::write_json(&bundle.state_file(), &orphan.record, false)?;
        Ok(orphan)
    }

    fn see_to(self, bundle: &Bundle) -> Result<()> {
        let (spec, settings) = (&self.spec, &self.settings);
        let lifetime = Lifetime { bundle, spec, settings };
        match (self.init, self.pause) {
            (Some(init), _) => {
                let outputs = &self.record.outputs;
                let reopened = outputs
                    .iter()
                    .filter_map(|pipe| Some((pipe.stream, pipe.reopen(self.record.init.pid)?)));
                let process = Spawned {
                    ends: Some(Ends::Pipes {
                        input: None,
                        outputs: reopened.collect(),
                    }),
                    child: Child {
                        pid: self.record.init.pid,
                        pidfd: init,
                    },
                    root: None,
                    mounts: None,
                };
                let mut running = Running {
                    process,
                    cgroup: Cgroup::open(bundle.id.as_str())?,
                    outlive_first: namespaces::outlives_first(spec),
                    began: began(self.record.started),
                    started: self.record.started,
                    restarts: self.record.restarts(),
                    adopted: Some(self.record.init),
                    ended: None,
                    told: None,
                };
                let hearers = Hearers {
                    log: Log::open(&bundle.log(), settings.log).ok(),
                    ..Hearers::default()
                };
                let exit = running.watch(bundle, settings, hearers)?;
                lifetime.after(Some(running), exit)
            }
            (None, Some(pause)) => lifetime.after(None, pause.exit),
            (None, None) => {
                let cgroup = Cgroup::open(bundle.id.as_str())?;
                cgroup.kill_all().and_then(|()| cgroup.remove())?;
                let exit = Exit::failed(exit::LOST, self.record.started, UNSEEN);
                let restarts = self.record.restarts();
                let exit = Exit { restarts, ..exit };
                exit.tell(bundle, settings);
                lifetime.after(None, exit)
            }
        }
    }
}

/// When a run began by the clock that deadlines are counted in.
fn began(started: Timestamp) -> Instant {
    let age = Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default();
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}
