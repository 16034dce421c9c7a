//! What became of runs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::claim::Cause;
use super::{Effects, Job, Told};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::store::RunRow;

/// How a run ended, or that it never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It goes on.
    Running,
    /// With exit code 0.
    Ok,
    /// With another one.
    Failed,
    /// Its time was over.
    Timeout,
    /// It was asked to end.
    Cancelled,
    /// It was ended for the next one.
    Replaced,
    /// Its process, or the machine, died.
    Interrupted,
    /// Nobody was there to begin it.
    Missed,
    /// The one before went on.
    Skipped,
}

impl Outcome {
    const NAMES: [(&str, Outcome); 9] = [
        ("running", Outcome::Running),
        ("ok", Outcome::Ok),
        ("failed", Outcome::Failed),
        ("timeout", Outcome::Timeout),
        ("cancelled", Outcome::Cancelled),
        ("replaced", Outcome::Replaced),
        ("interrupted", Outcome::Interrupted),
        ("missed", Outcome::Missed),
        ("skipped", Outcome::Skipped),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        let mut names = Outcome::NAMES.iter();
        names.find(|(_, one)| *one == self).map_or("failed", |(name, _)| name)
    }

    pub(super) fn parse(text: &str) -> Outcome {
        let found = Outcome::NAMES.iter().find(|(name, _)| *name == text);
        found.map_or(Outcome::Failed, |(_, one)| *one)
    }
}

/// A run, or what became of a time that had none.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRun {
    pub(super) row: RunRow,
    outcome: Outcome,
}

impl JobRun {
    /// Its number.
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.row.job
    }

    /// Why it began.
    pub fn cause(&self) -> Cause {
        Cause::parse(&self.row.cause)
    }

    /// What happened that it began for, in words.
    pub fn reason(&self) -> Option<&str> {
        self.row.reason.as_deref()
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The time of the schedule that it is of; of several the first.
    pub fn scheduled(&self) -> Option<Timestamp> {
        self.row.scheduled
    }

    /// How many times of the schedule it stands for.
    pub fn count(&self) -> u32 {
        self.row.count
    }

    /// The last of those times.
    pub fn until(&self) -> Option<Timestamp> {
        self.row.until
    }

    /// When it began; of one that never did, when that was noted.
    pub fn started(&self) -> Timestamp {
        self.row.started
    }

    /// When it ended.
    pub fn ended(&self) -> Option<Timestamp> {
        self.row.ended
    }

    /// How long it took.
    pub fn duration(&self) -> Option<Duration> {
        let span = self.row.ended?.duration_since(self.row.started);
        Some(Duration::try_from(span).unwrap_or_default()).filter(|_| self.has_begun())
    }

    /// The exit code.
    pub fn code(&self) -> Option<i64> {
        self.row.code
    }

    /// How often it was tried; never, if it never began.
    pub fn attempts(&self) -> u32 {
        self.row.attempts
    }

    /// Whether it ever began.
    pub fn has_begun(&self) -> bool {
        self.row.attempts > 0
    }

    /// What went wrong: an object of `kind`, `message`, `file`, `line`, `column` and `hint`.
    pub fn error(&self) -> Option<Value> {
        serde_json::from_str(self.row.error.as_deref()?).ok()
    }

    /// `ok`, `failed (3)`, `missed 30 times`.
    pub fn result(&self) -> String {
        let word = self.outcome.name();
        match (self.outcome, self.code(), self.count()) {
            (Outcome::Failed, Some(code), _) => format!("{word} ({code})"),
            (Outcome::Missed | Outcome::Skipped, _, count @ 2..) => format!("{word} {count} times"),
            _ => word.to_owned(),
        }
    }

    /// Who was told of it, or could not be.
    pub fn notices(&self) -> Vec<Told> {
        let text = self.row.notices.as_deref().unwrap_or("[]");
        serde_json::from_str(text).unwrap_or_default()
    }

    /// What it did.
    pub fn effects(&self) -> Effects {
        let text = self.row.effects.as_deref().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }
}

impl Host {
    /// The last runs of a job, or of all, the newest first. Errors: `not_found` for the job.
    pub fn job_runs(&self, job: Option<&str>, limit: u32) -> Result<Vec<JobRun>> {
        job.map(|name| self.job(name)).transpose()?;
        let rows = self.store().read(|tx| tx.runs(job, limit))?;
        Ok(rows.into_iter().map(|row| self.seen_run(row)).collect())
    }

    /// The last run of a job that began.
    pub fn last_job_run(&self, job: &Job) -> Result<Option<JobRun>> {
        let row = self.store().read(|tx| tx.last_run(job.name()))?;
        Ok(row.map(|row| self.seen_run(row)))
    }

    /// A run by its number, or the last one of a job. Errors: `not_found`.
    pub fn job_run(&self, job: &str, id: Option<i64>) -> Result<JobRun> {
        let known = self.job(job)?;
        let found = match id {
            Some(id) => self.store().read(|tx| tx.run(id))?.map(|row| self.seen_run(row)),
            None => self.last_job_run(&known)?,
        };
        found.filter(|run| run.job() == job).ok_or_else(|| {
            let error = match id {
                Some(id) => Error::not_found(format!("the job `{job}` has no run {id}")),
                None => Error::not_found(format!("the job `{job}` has not run yet")),
            };
            error
                .target(job)
                .hint(format!("`hoist jobs history {job}` lists its runs"))
        })
    }

    /// A run as it is: one that is not said to have ended goes on only while its process lives.
    pub(super) fn seen_run(&self, row: RunRow) -> JobRun {
        let outcome = match &row.outcome {
            Some(word) => Outcome::parse(word),
            None if self.holder(&row.job).is_some_and(|holder| holder.run == row.id) => Outcome::Running,
            None => Outcome::Interrupted,
        };
        JobRun { row, outcome }
    }

    /// What a run wrote. Errors: `not_found` if that was never kept, or is not kept any more.
    pub fn job_log(&self, run: &JobRun) -> Result<Vec<u8>> {
        let path = self.log_of(run.job(), run.id());
        std::fs::read(&path).map_err(|cause| {
            let gone = Error::not_found(format!("run {} of `{}` has no log", run.id(), run.job())).source(cause);
            match run.has_begun() {
                true => gone,
                false => gone.hint(format!("it never began: it was {}", run.outcome().name())),
            }
        })
    }

    /// Where the logs of a job are, a directory for each run.
    pub(super) fn logs_of(&self, job: &str) -> PathBuf {
        self.config().root.join("jobs").join(job)
    }

    /// What a run has written.
    pub(super) fn log_of(&self, job: &str, run: i64) -> PathBuf {
        self.logs_of(job).join(format!("{run}.log"))
    }

    /// Where a run says how it ended.
    pub(super) fn report_of(&self, job: &str, run: i64) -> PathBuf {
        self.logs_of(job).join(format!("{run}.json"))
    }

    pub(super) fn remove_logs(&self, job: &str) {
        // What cannot be removed is in nobody's way.
        let _ = std::fs::remove_dir_all(self.logs_of(job));
    }

    /// Forgets runs that are older, or more, than the settings keep, with their logs.
    pub(super) fn forget_runs(&self, job: &str) -> Result<()> {
        let keep = &self.config().jobs;
        let age = jiff::SignedDuration::try_from(keep.keep_for).unwrap_or(jiff::SignedDuration::MAX);
        let from = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN);
        let forgotten = self.store().write(|tx| tx.forget_runs(job, keep.keep, from))?;
        for run in forgotten {
            let _ = std::fs::remove_file(self.log_of(job, run));
        }
        Ok(())
    }
}
