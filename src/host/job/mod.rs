//! Scripts that run by themselves. What they are to do, and when, is in their headers; the store knows where they are, up to when their
//! schedules have been seen to, and what became of each run.
//!
//! Whoever drives them (a person, systemd, cron, the scheduler) does the same: claim a run under the job's lock, which the kernel lets
//! go of however its holder ends, write it down durably, and only then begin.

mod claim;
mod effects;
mod history;
mod kept;
mod metrics;
mod notices;
mod timers;
mod triggers;
mod watch;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Host, make_dir};
use crate::config::{Header, JobHeader, variable};
use crate::error::{Context as _, Error, Result};
use crate::model::{Schedule, Timetable, share_of, suggest};
use crate::store::JobRow;

pub use claim::{Cause, Claim, Ticket};
pub use effects::Effects;
pub use history::{JobRun, Outcome};
pub use notices::Told;
pub use timers::TimerUnit;
pub use triggers::Actors;
pub use watch::Report as RunReport;

/// The longest name of a job.
const LONGEST_NAME: usize = 63;

/// No script larger than this is looked at.
const LARGEST: u64 = 16 << 20;

/// A job. What its header says is read when it is asked for: the file may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    row: JobRow,
}

impl Job {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// The script, an absolute path.
    pub fn file(&self) -> &Path {
        Path::new(&self.row.file)
    }

    /// Whether it runs by itself.
    pub fn enabled(&self) -> bool {
        self.row.enabled
    }

    /// When it was added.
    pub fn added(&self) -> Timestamp {
        self.row.added
    }

    /// Up to when its schedule has been seen to.
    pub fn seen(&self) -> Timestamp {
        self.row.seen
    }

    /// Up to when what happened has been seen to.
    pub fn heard(&self) -> Timestamp {
        self.row.heard
    }

    /// What its header says. Errors: `not_found` and what reading a file can bring, `invalid` for a header that is wrong.
    pub fn header(&self) -> Result<Header> {
        header_of(self.file())
    }

    /// The arguments it is run with.
    pub fn args(&self, header: &JobHeader) -> Vec<String> {
        let own = self
            .row
            .args
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        own.unwrap_or_else(|| header.args.clone())
    }

    /// When it is due, by what its header says; `None` if nothing but an order starts it.
    pub fn timetable(&self, header: &JobHeader) -> Option<Timetable> {
        let schedule: Schedule = header.schedule.clone()?;
        let share = share_of(header.jitter, machine(), self.name());
        Some(Timetable::new(schedule, share, header.catch_up))
    }
}

impl Host {
    /// Makes a job of a script: under its file's name, unless another is given, and with the header's arguments, unless others are.
    ///
    /// Errors: `already_exists` for the name, `invalid` for it and for the header, `not_found` for the file.
    pub fn add_job(&self, file: &Path, name: Option<&str>, args: Option<&[String]>) -> Result<Job> {
        let file = std::fs::canonicalize(file).during(|| format!("add the job `{}`", file.display()))?;
        header_of(&file)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => name_of(&file),
        };
        check_name(&name)?;
        let now = Timestamp::now();
        let row = JobRow {
            name,
            file: text_of(&file)?,
            args: args.map(|args| serde_json::Value::from(args).to_string()),
            enabled: true,
            added: now,
            seen: now,
            heard: now,
            full: None,
        };
        if !self.store().write_durably(|tx| tx.insert_job(&row))? {
            return Err(Error::already_exists(format!("there is a job `{}` already", row.name))
                .target(row.name)
                .hint("remove that one, or give this one another name by `--name`"));
        }
        self.planned("job::add", &row.name, &row.file);
        self.tell_jobs();
        Ok(Job { row })
    }

    /// Every job, by name.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let rows = self.store().read(|tx| tx.jobs())?;
        Ok(rows.into_iter().map(|row| Job { row }).collect())
    }

    /// The job of this name. Errors: `not_found`, with the nearest name.
    pub fn job(&self, name: &str) -> Result<Job> {
        let row = self.store().read(|tx| tx.job(name))?;
        row.map(|row| Job { row }).ok_or_else(|| self.no_job(name))
    }

    fn no_job(&self, name: &str) -> Error {
        let error = Error::not_found(format!("there is no job `{}`", name.escape_debug())).target(name);
        let known = self.jobs().unwrap_or_default();
        match suggest(name, known.iter().map(Job::name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`hoist jobs list` lists them; `hoist jobs add FILE` makes one of a script"),
        }
    }

    /// Removes a job with its history. Errors: `not_found`; `in_use` while it runs.
    pub fn remove_job(&self, name: &str) -> Result<()> {
        let job = self.job(name)?;
        if self.planned("job::remove", name, "") {
            return self.store().write(|tx| tx.delete_job(name)).map(drop);
        }
        let Some(lock) = self.try_lock_job(&job)? else {
            return Err(self.busy(&job));
        };
        self.store().write_durably(|tx| tx.delete_job(name))?;
        self.remove_logs(name);
        let _ = std::fs::remove_file(self.lock_of(name));
        drop(lock);
        self.tell_jobs();
        Ok(())
    }

    /// Lets a job run by itself, from now on, or no more; what runs goes on. Errors: `not_found`.
    pub fn enable_job(&self, name: &str, enabled: bool) -> Result<Job> {
        self.job(name)?;
        let now = Timestamp::now();
        self.store().write_durably(|tx| tx.enable_job(name, enabled, now))?;
        self.planned(if enabled { "job::resume" } else { "job::pause" }, name, "");
        self.tell_jobs();
        self.job(name)
    }

    /// Where locks of jobs are, and the mark of changes.
    fn job_locks(&self) -> PathBuf {
        self.config().run_root.join("jobs")
    }

    /// A file that is written when jobs come, go or change; it is there.
    pub fn job_mark(&self) -> Result<PathBuf> {
        make_dir(&self.job_locks())?;
        let mark = self.job_locks().join(".changed");
        let made = std::fs::File::options().append(true).create(true).open(&mark);
        made.during(|| format!("make `{}`", mark.display()))?;
        Ok(mark)
    }

    /// Has schedulers look at the jobs anew; one that cannot be told looks within a minute.
    fn tell_jobs(&self) {
        if self.plan().is_none() {
            let _ = self.job_mark();
        }
    }
}

/// What the header of a file says.
fn header_of(file: &Path) -> Result<Header> {
    let name = file.display().to_string();
    let what = || format!("read the script `{name}`");
    let facts = std::fs::metadata(file).during(what)?;
    if !facts.is_file() || facts.len() > LARGEST {
        return Err(Error::invalid(format!("it is no file of at most {LARGEST} bytes"))).during(what);
    }
    let code = std::fs::read_to_string(file).during(what)?;
    Header::read(&name, &code)
}

fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.into_owned()
}

fn text_of(file: &Path) -> Result<String> {
    let text = file.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::invalid(format!("the path `{}` is not valid UTF-8", file.display())))
}

/// A name is a file's, too, and part of the name of a control group.
fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_fine = name.bytes().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    match is_fine && name.len() <= LONGEST_NAME {
        true => Ok(()),
        false => Err(
            Error::invalid(format!("`{}` cannot name a job", name.escape_debug())).hint(format!(
                "a name is at most {LONGEST_NAME} letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
            )),
        ),
    }
}

/// What tells this machine from others (machine-id(5)), so that each waits a share of its own.
fn machine() -> &'static str {
    static MACHINE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    MACHINE.get_or_init(|| {
        let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        match id.trim() {
            "" => variable("HOSTNAME").unwrap_or_default(),
            id => id.to_owned(),
        }
    })
}
