//! Seeing to a run: its process, its log, its limit, its tries, and what is left behind.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::claim::Ticket;
use super::history::{JobRun, Outcome};
use super::notices::Teller;
use super::{Effects, Job};
use crate::error::{Context as _, Error, Result};
use crate::host::{Host, make_dir};
use crate::model::{Context, format_duration};
use crate::runtime::{Task, TaskEnd, end_task};
use crate::store::RunRow;

/// What a run says of itself at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What went wrong: kind, message, file, line, column, hint.
    pub error: Option<Value>,
    /// What it did.
    pub effects: Effects,
}

/// The log of a run, up to a size.
struct Log {
    file: File,
    room: u64,
    left_out: u64,
}

impl Log {
    fn write(&mut self, bytes: &[u8]) {
        let fitting = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes.len());
        // A log that cannot be written is no reason to end a run.
        let _ = self.file.write_all(&bytes[..fitting]);
        self.room -= fitting as u64;
        self.left_out += (bytes.len() - fitting) as u64;
    }

    fn close(mut self) {
        if self.left_out > 0 {
            let _ = writeln!(self.file, "\n[{} bytes more are left out]", self.left_out);
        }
    }
}

/// How a try ended.
struct Try {
    outcome: Outcome,
    code: Option<i64>,
    report: Report,
}

impl Ticket {
    /// Runs the job, again if it fails and its header says so, records how it ended, and tells those whom the header names, once the job is
    /// free again; `take` gets what it writes.
    pub fn watch(mut self, host: &Host, ctx: &Context, mut take: impl FnMut(&[u8])) -> Result<JobRun> {
        let teller = Teller::new(host, &self.job, &self.header);
        let beginning = teller.clone().begin(self.row.id, std::mem::take(&mut self.cut));
        let ran = self.tries(host, ctx, &mut take);
        let last = ran.unwrap_or_else(|error| Try {
            outcome: Outcome::Failed,
            code: None,
            report: Report {
                error: Some(told(error.kind().name(), error.message())),
                effects: Effects::default(),
            },
        });
        let run = self.end(host, last.outcome, last.code, last.report)?;
        let told = beginning.and_then(|thread| thread.join().ok());
        Ok(teller.tell(run, told.unwrap_or_default()))
    }

    /// Records how the run ended, and gives the job free.
    pub fn end(mut self, host: &Host, outcome: Outcome, code: Option<i64>, report: Report) -> Result<JobRun> {
        self.row.ended = Some(Timestamp::now());
        self.row.outcome = Some(outcome.name().to_owned());
        self.row.code = code;
        self.row.error = report.error.map(|error| error.to_string());
        self.row.effects = serde_json::to_string(&report.effects).ok();
        host.store().write_durably(|tx| tx.update_run(&self.row))?;
        // It is nobody's any more, before the lock is let go of.
        let _ = self.lock.set_len(0);
        host.forget_runs(self.job.name())?;
        Ok(host.seen_run(self.row))
    }

    fn tries(&mut self, host: &Host, ctx: &Context, take: &mut dyn FnMut(&[u8])) -> Result<Try> {
        let mut log = host.open_log(&self.row)?;
        let mut effects = Effects::default();
        loop {
            let mut last = self.one(host, ctx, &mut |bytes| {
                log.write(bytes);
                take(bytes);
            })?;
            effects = effects.and(last.report.effects);
            last.report.effects = effects;
            let is_retried = last.outcome == Outcome::Failed || last.outcome == Outcome::Timeout;
            if !is_retried || self.row.attempts > self.header.retries.times {
                log.close();
                return Ok(last);
            }
            let wait = self.header.retries.wait_before(self.row.attempts);
            let said = format!("[{}; again in {}]\n", last.outcome.name(), format_duration(wait));
            log.write(said.as_bytes());
            if ctx.sleep(wait).is_err() {
                log.close();
                return Ok(last);
            }
            self.row.attempts += 1;
            host.store().write(|tx| tx.update_run(&self.row))?;
        }
    }

    fn one(&self, host: &Host, ctx: &Context, take: &mut dyn FnMut(&[u8])) -> Result<Try> {
        let mut task = Task::start(&host.words_of(self.row.id), &self.lock)?;
        let end = task.watch(ctx, self.header.timeout, take)?;
        end_task(&host.group_of(self.row.id))?;
        host.reap_containers(self.row.id);
        let mut report = host.take_report(&self.row).unwrap_or_default();
        let (outcome, code) = match end {
            TaskEnd::Own(Some(0)) => (Outcome::Ok, Some(0)),
            TaskEnd::Own(code) => (Outcome::Failed, code.map(i64::from)),
            TaskEnd::TimedOut => (Outcome::Timeout, None),
            TaskEnd::Cancelled if host.is_replaced(self.job.name(), self.row.id) => (Outcome::Replaced, None),
            TaskEnd::Cancelled => (Outcome::Cancelled, None),
        };
        if outcome != Outcome::Ok {
            report.error = self.explain(outcome, code, report.error);
        }
        Ok(Try { outcome, code, report })
    }

    /// What went wrong, where the script itself could not say.
    fn explain(&self, outcome: Outcome, code: Option<i64>, said: Option<Value>) -> Option<Value> {
        let told = |kind: &str, message: String| Some(told(kind, &message));
        match (outcome, code) {
            (Outcome::Timeout, _) => {
                let limit = format_duration(self.header.timeout.unwrap_or_default());
                told("timeout", format!("it took longer than {limit}"))
            }
            (Outcome::Replaced, _) => told("cancelled", "it was ended for the next run".to_owned()),
            (Outcome::Cancelled, _) => told("cancelled", "it was asked to end".to_owned()),
            (_, None) => told("internal", "its process was killed".to_owned()),
            (_, Some(code)) => said.or_else(|| told("exit_status", format!("it ended with code {code}"))),
        }
    }
}

/// What went wrong, as an object.
fn told(kind: &str, message: &str) -> Value {
    json!({ "kind": kind, "message": message })
}

impl Host {
    fn open_log(&self, row: &RunRow) -> Result<Log> {
        make_dir(&self.logs_of(&row.job))?;
        let path = self.log_of(&row.job, row.id);
        let file = File::options().append(true).create(true).open(&path);
        Ok(Log {
            file: file.during(|| format!("open the log `{}`", path.display()))?,
            room: self.config().jobs.log_size,
            left_out: 0,
        })
    }

    /// The words by which this program is the process of a run.
    fn words_of(&self, run: i64) -> Vec<OsString> {
        let own = ["__run".to_owned(), run.to_string()].map(OsString::from);
        self.config().flags.iter().cloned().chain(own).collect()
    }

    /// The words by which this program runs a job that is due, as of `now`.
    pub fn words_for_due(&self, name: &str, now: Timestamp) -> Vec<OsString> {
        let at = format!("--at={now}");
        let own = ["jobs", "run", "--scheduled", "--silent", &at, "--", name].map(OsString::from);
        self.config().flags.iter().cloned().chain(own).collect()
    }

    /// Becomes the process of a run, and returns its job.
    ///
    /// Errors: `conflict` unless that run goes on.
    pub fn own_run(&self, run: i64) -> Result<Job> {
        let row = self.store().read(|tx| tx.run(run))?;
        let open = row.filter(|row| row.outcome.is_none());
        let open = open.ok_or_else(|| Error::conflict(format!("run {run} does not go on")))?;
        crate::runtime::join_task(&self.group_of(run), run, &self.config().run_root)?;
        self.job(&open.job)
    }

    /// Says how the run that this process is ended.
    pub fn report_run(&self, job: &str, run: i64, report: &Report) -> Result<()> {
        let (path, what) = (self.report_of(job, run), || "say how the run ended");
        let text = serde_json::to_vec(report).map_err(std::io::Error::from).during(what)?;
        let aside = path.with_extension("part");
        std::fs::write(&aside, text).during(what)?;
        std::fs::rename(&aside, &path).during(what)
    }

    /// What a run said at its end, which is kept in its record from then on.
    pub(super) fn take_report(&self, row: &RunRow) -> Option<Report> {
        let path = self.report_of(&row.job, row.id);
        let text = std::fs::read(&path).ok()?;
        let _ = std::fs::remove_file(&path);
        serde_json::from_slice(&text).ok()
    }
}
