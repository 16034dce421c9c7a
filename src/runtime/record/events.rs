//! What happens to containers, images and volumes: a journal that whoever acts adds a line to, and whoever wants to know reads.
//!
//! A line is added by one write to a file opened for appending, so that writers need not know of each other. A file that has grown
//! large is set aside, in the place of the one before: history is bounded. It is kept where the state of processes is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::{Deserialize, Serialize};

use crate::config::variable;
use crate::error::{Context, Kind, Result};
use crate::model;
use crate::runtime::exit;
use crate::sys::file;

/// A file larger than this is set aside. Two of them hold some ten thousand events.
const LARGEST: u64 = 2 << 20;

/// The fact of an event that says which run of a job brought it about; containers that a run makes have a label of that name.
pub const RUN_FACT: &str = "hoist.run";

/// The variable by which programs that a run starts know for which run they act: its number, and the run root of its store.
pub(in crate::runtime) const ACTING_VARIABLE: &str = "HOIST_ACTING_RUN";

/// The run of a job that this process acts for, as in the variable.
static ACTING: OnceLock<Option<String>> = OnceLock::new();

/// Has all events of this process say that this run, of the store with this run root, brought them about.
pub(in crate::runtime) fn act_for(run: i64, run_root: &Path) {
    let _ = ACTING.set(Some(format!("{run}:{}", run_root.display())));
}

/// The run that this process acts for, and the run root of its store: by itself, or since a run has started it.
pub(in crate::runtime) fn acting() -> Option<&'static str> {
    ACTING.get_or_init(|| variable(ACTING_VARIABLE)).as_deref()
}

/// Something that happened, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    #[serde(with = "exit::timestamp")]
    pub time: Timestamp,
    /// To what kind of thing: `container`, `image` or `volume`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What, such as `start`.
    pub action: String,
    /// The id, or the name of what has none.
    pub id: String,
    /// Facts of the thing and of what happened.
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// Something that happens now.
    pub fn now(kind: &str, action: impl Into<String>, id: impl Into<String>) -> Event {
        Event {
            time: Timestamp::now(),
            kind: kind.to_owned(),
            action: action.into(),
            id: id.into(),
            attributes: BTreeMap::new(),
        }
    }

    /// With this fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Event {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

/// The journal of a store.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// The one below this run root.
    pub fn of(run_root: &Path) -> Journal {
        Journal {
            dir: run_root.join("events"),
        }
    }

    fn current(&self) -> PathBuf {
        self.dir.join("journal")
    }

    fn aside(&self) -> PathBuf {
        self.dir.join("journal.1")
    }

    /// Adds an event. What happened has happened, whether it can be told or not.
    pub fn add(&self, event: &Event) {
        let _ = self.try_add(event);
    }

    fn try_add(&self, event: &Event) -> std::io::Result<()> {
        let mut line = match self.actor() {
            Some(run) => serde_json::to_vec(&event.clone().with(RUN_FACT, run))?,
            None => serde_json::to_vec(event)?,
        };
        line.push(b'\n');
        let path = self.current();
        let open = || file::open_or_make(&path, OFlag::O_WRONLY | OFlag::O_APPEND, 0o600);
        let mut file = match open() {
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&self.dir)?;
                open()?
            }
            opened => opened?,
        };
        // One write: what is added at the same time comes before or after, never between.
        let length = file.write(&line)?;
        if length < line.len() {
            return Err(ErrorKind::WriteZero.into());
        }
        match file.metadata()?.len() > LARGEST {
            true => self.set_aside(file),
            false => Ok(()),
        }
    }

    /// The run of this store that this process acts for.
    fn actor(&self) -> Option<&'static str> {
        let (run, run_root) = acting()?.split_once(':')?;
        (self.dir.parent() == Some(Path::new(run_root))).then_some(run)
    }

    /// Of several that find it large, one sets it aside.
    fn set_aside(&self, file: File) -> std::io::Result<()> {
        let own = file.metadata()?.ino();
        let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            return Ok(());
        };
        match fs::metadata(self.current())?.ino() == own {
            true => fs::rename(self.current(), self.aside()),
            false => Ok(()),
        }
    }

    /// Hands over the events from `since` on, those to come too, until `take` returns false or the context ends with a timeout.
    /// Without `since`, those to come only. Other ends of the context are errors.
    pub fn follow(
        &self,
        ctx: &model::Context,
        since: Option<Timestamp>,
        mut take: impl FnMut(Event) -> Result<bool>,
    ) -> Result<()> {
        self.place()?;
        let inotify = self.watch()?;
        let mut reader = Reader::new(self, since)?;
        loop {
            for event in reader.read(self)? {
                if !take(event)? {
                    return Ok(());
                }
            }
            match wait(ctx, &inotify) {
                Err(error) if error.kind() == Kind::Timeout => return Ok(()),
                waited => waited?,
            }
        }
    }

    /// The events after a time, oldest first. Errors: those of reading the files.
    pub fn after(&self, time: Timestamp) -> Result<Vec<Event>> {
        let mut events = Reader::new(self, Some(time))?.read(self)?;
        events.retain(|event| event.time > time);
        Ok(events)
    }

    /// Where it is; made if it is not there.
    pub fn place(&self) -> Result<&Path> {
        fs::create_dir_all(&self.dir).during(|| format!("make `{}`", self.dir.display()))?;
        Ok(&self.dir)
    }

    fn watch(&self) -> Result<Inotify> {
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .and_then(|inotify| inotify.add_watch(&self.dir, flags).map(|_| inotify));
        inotify.during(|| format!("watch `{}`", self.dir.display()))
    }
}

fn wait(ctx: &model::Context, inotify: &Inotify) -> Result<()> {
    ctx.check()?;
    let mut fds = [
        PollFd::new(inotify.as_fd(), PollFlags::POLLIN),
        PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN),
    ];
    let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, limit) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno).during(|| "wait for events"),
    }
    let _ = inotify.read_events();
    ctx.check()
}

/// Reads the files of a journal as they grow.
#[derive(Debug)]
pub struct Reader {
    /// Oldest first. One that was set aside may get a last line from a writer that had it open.
    files: Vec<Source>,
    since: Option<Timestamp>,
}

#[derive(Debug)]
struct Source {
    file: File,
    inode: u64,
    /// What came after the last whole line.
    rest: Vec<u8>,
}

impl Reader {
    /// One of the events from `since` on; without it of those to come.
    pub fn new(journal: &Journal, since: Option<Timestamp>) -> Result<Reader> {
        let mut reader = Reader {
            files: Vec::new(),
            since: Some(since.unwrap_or_else(Timestamp::now)),
        };
        if since.is_some() {
            reader.open(&journal.aside())?;
            reader.open(&journal.current())?;
            return Ok(reader);
        }
        // What is there has happened.
        reader.open(&journal.current())?;
        reader.lines()?;
        Ok(reader)
    }

    fn open(&mut self, path: &Path) -> Result<()> {
        let show = || format!("open `{}`", path.display());
        let file = match File::open(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.during(show)?,
        };
        let inode = file.metadata().during(show)?.ino();
        if !self.files.iter().any(|source| source.inode == inode) {
            let rest = Vec::new();
            self.files.push(Source { file, inode, rest });
        }
        Ok(())
    }

    /// What has been added since it was last asked. Errors: those of reading the files.
    pub fn read(&mut self, journal: &Journal) -> Result<Vec<Event>> {
        // What was set aside is read to its end before the one that took its place.
        let mut lines = self.lines()?;
        self.open(&journal.current())?;
        lines.extend(self.lines()?);
        let excess = self.files.len().saturating_sub(2);
        self.files.drain(..excess);
        let events = lines
            .iter()
            .filter_map(|line| serde_json::from_slice::<Event>(line).ok());
        Ok(events
            .filter(|event| self.since.is_none_or(|since| event.time >= since))
            .collect())
    }

    fn lines(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        for source in &mut self.files {
            source.file.read_to_end(&mut source.rest).during(|| "read the events")?;
            let whole = source
                .rest
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1);
            let whole: Vec<u8> = source.rest.drain(..whole).collect();
            lines.extend(whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn collect(journal: &Journal, since: Option<Timestamp>, most: usize, limit: Duration) -> Vec<String> {
        let ctx = model::Context::new().with_timeout(limit);
        let mut ids = Vec::new();
        journal
            .follow(&ctx, since, |event| {
                ids.push(event.id);
                Ok(ids.len() < most)
            })
            .unwrap();
        ids
    }

    #[test]
    fn what_many_write_at_once_is_read_whole_and_a_reader_is_woken() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path());
        let (writers, each) = (4, 200);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let since = Some(Timestamp::UNIX_EPOCH);
                collect(&journal, since, writers * each, Duration::from_secs(60))
            });
            for writer in 0..writers {
                let journal = &journal;
                scope.spawn(move || {
                    for number in 0..each {
                        let event = Event::now("container", "start", format!("{writer}-{number}"));
                        journal.add(&event.with("name", "x".repeat(300)));
                    }
                });
            }
            let mut seen = reader.join().unwrap();
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), writers * each);
        });
    }

    #[test]
    fn history_is_bounded_and_goes_on_over_the_change_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path());
        let add = |number: usize| {
            let event = Event::now("image", "tag", number.to_string());
            journal.add(&event.with("name", "x".repeat(64 << 10)));
        };
        let follower = Reader::new(&journal, Some(Timestamp::UNIX_EPOCH));
        let mut follower = follower.unwrap();
        let mut followed = Vec::new();
        for number in 0..100 {
            add(number);
            followed.extend(follower.read(&journal).unwrap().into_iter().map(|event| event.id));
        }
        let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(followed, all);
        let kept = collect(&journal, Some(Timestamp::UNIX_EPOCH), usize::MAX, Duration::ZERO);
        assert!(kept.len() < 80 && kept.len() > 32, "{}", kept.len());
        assert!(all.ends_with(&kept));
        let size = |path: PathBuf| fs::metadata(path).unwrap().len();
        assert!(size(journal.current()) + size(journal.aside()) < 3 * LARGEST);
        // Without a beginning, what was before is not told.
        assert!(collect(&journal, None, 1, Duration::ZERO).is_empty());
    }

    #[test]
    fn a_line_cut_short_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path());
        fs::create_dir(&journal.dir).unwrap();
        let line = serde_json::to_string(&Event::now("volume", "create", "v")).unwrap();
        fs::write(journal.current(), &line[..20]).unwrap();
        let mut reader = Reader::new(&journal, Some(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(reader.read(&journal).unwrap(), []);
        let mut file = File::options().append(true).open(journal.current()).unwrap();
        file.write_all(format!("{}\nnonsense\n", &line[20..]).as_bytes())
            .unwrap();
        assert_eq!(reader.read(&journal).unwrap().len(), 1);
    }
}
