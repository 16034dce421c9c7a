//! What a container is doing: never a stored word, always looked up from what the kernel vouches for.

use std::fs::File;
use std::time::Duration;

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg, OFlag};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::model;
use crate::runtime::adopt::{self, PipeId};
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::cgroup;
use crate::runtime::changes::Changes;
use crate::runtime::exit::{self, Exit};
use crate::runtime::launch;
use crate::runtime::process::{self, Process};
use crate::runtime::restart::{self, Pause};
use crate::sys::file;

/// What a container is doing, in Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was never started.
    #[default]
    Created,
    /// It ended and is about to be started again.
    Restarting,
    /// It runs.
    Running,
    /// Its processes are stopped in their tracks.
    Paused,
    /// It ended.
    Exited,
    /// It is gone, and how it ended is not known.
    Dead,
    /// It is being removed.
    Removing,
}

/// What one may want to do to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// Run its program.
    Start,
    /// Ask it to end.
    Stop,
    /// Send it a signal.
    Kill,
    /// Stop it if it runs, and start it.
    Restart,
    /// Stop its processes in their tracks.
    Pause,
    /// Let them go on.
    Unpause,
    /// Run a further process in it.
    Exec,
    /// Talk with its program.
    Attach,
    /// Remove it.
    Remove,
}

impl Status {
    /// All there are.
    pub const ALL: [Status; 7] = [
        Status::Created,
        Status::Restarting,
        Status::Running,
        Status::Paused,
        Status::Exited,
        Status::Dead,
        Status::Removing,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Restarting => "restarting",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Exited => "exited",
            Status::Dead => "dead",
            Status::Removing => "removing",
        }
    }

    /// Whether an act is allowed in this state; if not, a `conflict` that says what is in the way.
    pub fn may(self, act: Act) -> Result<()> {
        if self.allows(act) {
            return Ok(());
        }
        let error = Error::conflict(format!("cannot {} a container that is {self}", act.verb()));
        Err(match self {
            Status::Running if act == Act::Remove => error.hint("stop it first, or remove it by force"),
            Status::Paused => error.hint("unpause it first"),
            Status::Created | Status::Exited | Status::Dead => error.hint("start it first"),
            _ => error,
        })
    }

    /// The one table of moves, as Docker has it.
    fn allows(self, act: Act) -> bool {
        use Act::{Attach, Exec, Kill, Pause, Remove, Restart, Start, Stop, Unpause};
        let allowed: &[Act] = match self {
            Status::Created | Status::Exited | Status::Dead => &[Start, Stop, Restart, Remove],
            Status::Restarting => &[Stop, Kill, Restart],
            Status::Running => &[Start, Stop, Kill, Restart, Pause, Exec, Attach],
            Status::Paused => &[Stop, Kill, Unpause],
            Status::Removing => &[Remove],
        };
        allowed.contains(&act)
    }

    /// Whether it has processes.
    pub fn is_alive(self) -> bool {
        matches!(self, Status::Running | Status::Paused)
    }
}

impl std::str::FromStr for Status {
    type Err = Error;

    /// Reads the word for a state; an unknown one is `invalid`, with the nearest as hint.
    fn from_str(text: &str) -> Result<Status> {
        let known = Status::ALL.into_iter().find(|status| status.name() == text);
        known.ok_or_else(|| crate::model::unknown("status", text, &Status::ALL.map(Status::name)))
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.verb())
    }
}

impl Act {
    fn verb(self) -> &'static str {
        match self {
            Act::Start => "start",
            Act::Stop => "stop",
            Act::Kill => "kill",
            Act::Restart => "restart",
            Act::Pause => "pause",
            Act::Unpause => "unpause",
            Act::Exec => "run a command in",
            Act::Attach => "attach to",
            Act::Remove => "remove",
        }
    }
}

/// What is known of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// What it is doing.
    pub status: Status,
    /// Its first process, as the host numbers it, while it is alive.
    pub pid: Option<i32>,
    /// When it was last started.
    pub started: Option<Timestamp>,
    /// How the last run ended, once it did.
    pub exit: Option<Exit>,
    /// How the run before this one ended, if a restart policy started this one.
    pub previous: Option<Exit>,
    /// How often its restart policy has started it again since a person did.
    pub restarts: u32,
}

impl State {
    fn bare(status: Status) -> State {
        State {
            status,
            ..State::default()
        }
    }

    fn ended(status: Status, exit: Exit) -> State {
        State {
            status,
            started: Some(exit.started),
            restarts: exit.restarts,
            exit: Some(exit),
            ..State::default()
        }
    }
}

/// Which processes a container's last run has, as its supervisor wrote it down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::runtime) struct Record {
    pub(in crate::runtime) init: Process,
    pub(in crate::runtime) supervisor: Process,
    pub(in crate::runtime) boot_id: String,
    #[serde(with = "exit::timestamp")]
    pub(in crate::runtime) started: Timestamp,
    /// How the run before ended, if a restart policy started this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::runtime) previous: Option<Exit>,
    /// Whether the first process, which stays a copy of its supervisor, has the program run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::runtime) stands_by: bool,
    /// The pipes its output goes to, for a supervisor that takes over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::runtime) outputs: Vec<PipeId>,
}

impl Record {
    /// How often a restart policy has started the container again.
    pub(in crate::runtime) fn restarts(&self) -> u32 {
        self.previous.as_ref().map_or(0, |exit| exit.restarts + 1)
    }

    /// Whether its first process has let go of all that is the host's.
    pub(in crate::runtime) fn is_inside(&self) -> bool {
        self.stands_by || self.init.has_executed()
    }

    /// What was written down after this run, if its container is paused before the next.
    pub(in crate::runtime) fn pause(&self, bundle: &Bundle) -> Result<Option<Pause>> {
        Ok(Pause::read(bundle)?.filter(|pause| pause.exit.started == self.started))
    }

    pub(in crate::runtime) fn read(bundle: &Bundle) -> Result<Option<Record>> {
        bundle::read_json(&bundle.state_file())
    }
}

/// In which life of the machine a container was started; outlives it, unlike the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::runtime) struct Boot {
    pub(in crate::runtime) boot_id: String,
    #[serde(with = "exit::timestamp")]
    pub(in crate::runtime) started: Timestamp,
}

impl Boot {
    /// It is not worth waiting for the disk at each start: where a power cut tore it, there was another life of the machine.
    fn read(bundle: &Bundle) -> Result<Option<Boot>> {
        match bundle::read_json(&bundle.boot()) {
            Err(error) if error.kind() == Kind::Corrupt => {
                let written = std::fs::metadata(bundle.boot()).and_then(|facts| facts.modified());
                let started = written.ok().and_then(|time| Timestamp::try_from(time).ok());
                Ok(Some(Boot {
                    boot_id: String::new(),
                    started: started.unwrap_or_default(),
                }))
            }
            other => other,
        }
    }
}

/// How long a supervisor may take to write down the end of its container until the container counts as still running.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a container is doing. `not_found` if there is none.
///
/// After a restart of the machine a container that ran is `exited`; if its supervisor was killed it is `running` for as long as
/// its first process lives, and `dead` from then on.
pub fn state(bundle: &Bundle) -> Result<State> {
    launch::reap();
    if bundle.removing().exists() {
        return Ok(State::bare(Status::Removing));
    }
    let boot_id = process::boot_id()?;
    // What most of them do, where there are many, is known from the fewest files.
    let record = Record::read(bundle).unwrap_or_default();
    if let Some(record) = record.filter(|one| one.boot_id == boot_id && one.init.is_alive()) {
        return Ok(alive(bundle, &record));
    }
    if !bundle.config().exists() {
        return bundle::required(None, bundle);
    }
    if let Some(exit) = Exit::read(bundle)? {
        return Ok(State::ended(Status::Exited, exit));
    }
    if let Some(boot) = Boot::read(bundle)?.filter(|boot| boot.boot_id != boot_id) {
        return Ok(State::ended(
            Status::Exited,
            Exit::failed(exit::LOST, boot.started, "the machine was restarted"),
        ));
    }
    match Record::read(bundle)? {
        None => Ok(State::bare(Status::Created)),
        Some(record) if record.boot_id != boot_id => {
            let exit = Exit::failed(exit::LOST, record.started, "the machine was restarted");
            Ok(State::ended(Status::Exited, exit))
        }
        Some(record) => of_record(bundle, &record),
    }
}

fn of_record(bundle: &Bundle, record: &Record) -> Result<State> {
    if !record.init.is_alive()
        && let Some(state) = of_end(bundle, record)?
    {
        return Ok(state);
    }
    Ok(alive(bundle, record))
}

fn alive(bundle: &Bundle, record: &Record) -> State {
    let frozen = cgroup::is_frozen(bundle.id.as_str()).unwrap_or(false);
    let status = if frozen { Status::Paused } else { Status::Running };
    State {
        status,
        pid: Some(record.init.pid),
        started: Some(record.started),
        exit: None,
        restarts: record.restarts(),
        previous: record.previous.clone(),
    }
}

/// What became of a container whose first process has ended; `None` if nobody says in time.
fn of_end(bundle: &Bundle, record: &Record) -> Result<Option<State>> {
    let ctx = model::Context::new().with_timeout(PATIENCE);
    let changes = Changes::of(bundle);
    loop {
        let supervisor = record.supervisor.open();
        if let Some(exit) = Exit::read(bundle)? {
            return Ok(Some(State::ended(Status::Exited, exit)));
        }
        if let Some(pause) = record.pause(bundle)? {
            return after_pause(bundle, record, pause);
        }
        let Some(supervisor) = supervisor else {
            let exit = Exit::failed(exit::LOST, record.started, adopt::UNSEEN);
            return Ok(Some(State::ended(Status::Dead, exit)));
        };
        // The supervisor is about to write how it ended.
        match changes.wait(&ctx, Some(&supervisor)) {
            Err(error) if error.kind() == Kind::Timeout => return Ok(None),
            waited => waited?,
        }
    }
}

/// The pause may be over by now.
fn after_pause(bundle: &Bundle, record: &Record, pause: Pause) -> Result<Option<State>> {
    match Record::read(bundle)? {
        Some(now) if now.started != record.started => of_record(bundle, &now).map(Some),
        _ if record.supervisor.is_alive() || !restart::is_stopped(bundle) => {
            Ok(Some(State::ended(Status::Restarting, pause.exit)))
        }
        _ => Ok(Some(State::ended(Status::Exited, pause.exit))),
    }
}

/// The state, if it allows the act; else `conflict`. A container whose supervisor was killed has a new one then.
pub(in crate::runtime) fn check(bundle: &Bundle, act: Act) -> Result<State> {
    let state = state(bundle)?;
    state
        .status
        .may(act)
        .map_err(|error| error.target(bundle.id.as_str()))?;
    if act != Act::Start {
        adopt::ensure(&model::Context::new(), bundle, state.status)?;
    }
    Ok(state)
}

/// Takes the lock that a supervisor holds for as long as it lives; the kernel lets go of it, however the holder ends.
pub(in crate::runtime) fn lock(bundle: &Bundle) -> Result<Flock<File>> {
    let path = bundle.lock();
    let show = || format!("lock `{}`", path.display());
    let open = || file::open_or_make(&path, OFlag::O_WRONLY, 0o600);
    let file = open().or_else(|cause| match cause.kind() {
        // What is kept there is gone after a restart of the machine.
        std::io::ErrorKind::NotFound => bundle.make_run_dir().and_then(|()| open()),
        _ => Err(cause),
    });
    let file = file.during(show)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => {
            Error::conflict(format!("container `{}` already has a supervisor", bundle.id.short()))
                .target(bundle.id.as_str())
        }
        errno => Err::<(), _>(errno).during(show).expect_err("made from an error"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(dir: &tempfile::TempDir) -> Bundle {
        let id = crate::model::ContainerId::generate().unwrap();
        let bundle = Bundle {
            id,
            dir: dir.path().join("dir"),
            run_dir: dir.path().join("run"),
        };
        std::fs::create_dir(&bundle.dir).unwrap();
        std::fs::create_dir(&bundle.run_dir).unwrap();
        std::fs::write(bundle.config(), "{}").unwrap();
        bundle
    }

    fn record(init: i32, boot_id: &str) -> Record {
        let own = Process::current(i32::try_from(std::process::id()).unwrap()).unwrap();
        let gone = Process { pid: i32::MAX, ..own };
        Record {
            init: Process { pid: init, ..own },
            supervisor: gone,
            boot_id: boot_id.to_owned(),
            started: Timestamp::UNIX_EPOCH,
            previous: None,
            stands_by: false,
            outputs: Vec::new(),
        }
    }

    #[test]
    fn the_state_is_what_the_kernel_vouches_for() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(&dir);
        let status = || state(&bundle).unwrap().status;
        assert_eq!(status(), Status::Created);
        let write = |record| bundle::write_json(&bundle.state_file(), &record, false).unwrap();
        let boot_id = process::boot_id().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        write(record(own, &boot_id));
        // The supervisor is gone and the first process lives.
        assert_eq!(status(), Status::Running);
        write(record(i32::MAX, &boot_id));
        assert_eq!(status(), Status::Dead);
        assert_eq!(state(&bundle).unwrap().exit.unwrap().code, exit::LOST);
        write(record(own, "another"));
        assert_eq!(status(), Status::Exited);
        let boot = Boot {
            boot_id: "another".to_owned(),
            started: Timestamp::UNIX_EPOCH,
        };
        bundle::write_json(&bundle.boot(), &boot, false).unwrap();
        std::fs::remove_file(bundle.state_file()).unwrap();
        assert_eq!(status(), Status::Exited);
        // As a power cut may leave it.
        std::fs::write(bundle.boot(), "").unwrap();
        assert_eq!(status(), Status::Exited);
        std::fs::write(bundle.removing(), "").unwrap();
        assert_eq!(status(), Status::Removing);
        std::fs::remove_file(bundle.removing()).unwrap();
        std::fs::remove_file(bundle.config()).unwrap();
        assert_eq!(state(&bundle).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_wrong_move_says_what_is_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(&dir);
        let error = check(&bundle, Act::Pause).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(error.message(), "cannot pause a container that is created");
        assert!(check(&bundle, Act::Start).is_ok());
    }

    #[test]
    fn one_supervisor_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle(&dir);
        let held = lock(&bundle).unwrap();
        assert_eq!(lock(&bundle).unwrap_err().kind(), Kind::Conflict);
        drop(held);
        lock(&bundle).unwrap();
    }
}
