//! Telling people what became of runs: those whom the header names, once the run is written down and its job is free again.
//!
//! What fails here is kept with the run, and changes nothing about it.

use std::io::Write as _;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Job;
use super::history::{JobRun, Outcome};
use crate::config::{JobHeader, Notify};
use crate::error::Result;
use crate::host::{Host, Notice, Outside, Sign};
use crate::model::{Address, ByteSize, Context, format_duration};
use crate::runtime::host_name;
use crate::store::RunRow;

/// How long telling all of them may take, tries and all.
const LIMIT: Duration = Duration::from_secs(20);

/// How far back a result to compare with is looked for.
const LOOKED_AT: u32 = 100;

/// What became of telling somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who, without what is secret.
    pub to: String,
    /// Why they were not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Who tells of the runs of a job.
#[derive(Clone)]
pub(super) struct Teller {
    host: Host,
    job: Job,
    notify: Vec<Notify>,
}

impl Teller {
    pub(super) fn new(host: &Host, job: &Job, header: &JobHeader) -> Teller {
        Teller {
            host: host.clone(),
            job: job.clone(),
            notify: header.notify.clone(),
        }
    }

    /// Tells of runs that were cut off before, and then those who watch that this one begins: beside the run, which waits for nobody.
    pub(super) fn begin(self, run: i64, cut: Vec<RunRow>) -> Option<std::thread::JoinHandle<Vec<Told>>> {
        let is_ping = |notify: &Notify| matches!(notify.address, Address::Ping(_));
        if !self.notify.iter().any(is_ping) && cut.is_empty() {
            return None;
        }
        let work = move || {
            self.tell_all(cut);
            let notice = Notice {
                subject: format!("{}: run {run} begins", self.title()),
                sign: Sign::Start,
                ..Notice::default()
            };
            let mut told = self.send(self.notify.iter().filter(|notify| is_ping(notify)), &notice);
            // That it was told to begin is of no use to know afterwards.
            told.retain(|told| told.error.is_some());
            told
        };
        std::thread::Builder::new().spawn(work).ok()
    }

    /// Tells of runs that nobody saw to their end, or that never began.
    pub(super) fn tell_all(&self, rows: Vec<RunRow>) {
        for row in rows {
            self.tell(self.host.seen_run(row), Vec::new());
        }
    }

    /// Tells what became of a run, and keeps with it whom; `told` are those who were told before.
    pub(super) fn tell(&self, mut run: JobRun, mut told: Vec<Told>) -> JobRun {
        if self.notify.is_empty() {
            return run;
        }
        let before = self.verdict_before(run.id()).unwrap_or_default();
        let is_news = verdict(run.outcome()).is_some_and(|good| before.map_or(!good, |before| before != good));
        let has_begun = run.has_begun();
        let is_for = |notify: &&Notify| match notify.address {
            // Silence is how they learn that a run did not begin.
            Address::Ping(_) => has_begun,
            _ => notify.always || is_news,
        };
        told.extend(self.send(self.notify.iter().filter(is_for), &self.notice(&run, before)));
        if !told.is_empty() {
            self.note(&run, &told);
            let text = serde_json::to_string(&told).unwrap_or_default();
            // The run is what it is, whether that can be kept or not.
            let _ = self.host.store().write(|tx| tx.set_notices(run.id(), &text));
            run.row.notices = Some(text);
        }
        run
    }

    /// Sends something to all of these at the same time.
    fn send<'n>(&self, to: impl Iterator<Item = &'n Notify>, notice: &Notice) -> Vec<Told> {
        let to: Vec<&Notify> = to.collect();
        if to.is_empty() {
            return Vec::new();
        }
        let outside = Outside::default();
        let ctx = Context::new().with_timeout(LIMIT);
        let sendmail = self.host.config().jobs.sendmail.as_deref();
        std::thread::scope(|scope| {
            let threads: Vec<_> = to
                .into_iter()
                .map(|notify| {
                    let (outside, ctx) = (&outside, &ctx);
                    scope.spawn(move || Told {
                        to: notify.address.to_string(),
                        error: outside
                            .tell(ctx, &notify.address, notice, sendmail)
                            .err()
                            .map(|error| error.to_string()),
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        })
    }

    /// Notes in the run's log who was told.
    fn note(&self, run: &JobRun, told: &[Told]) {
        let path = self.host.log_of(run.job(), run.id());
        let Ok(mut log) = std::fs::File::options().append(true).open(path) else {
            return;
        };
        for Told { to, error } in told {
            let _ = match error {
                None => writeln!(log, "[told {to}]"),
                Some(error) => writeln!(log, "[{to} could not be told: {error}]"),
            };
        }
    }

    /// Whether the last result before a run was good; `None` if there was none.
    fn verdict_before(&self, run: i64) -> Result<Option<bool>> {
        let rows = self
            .host
            .store()
            .read(|tx| tx.runs_before(self.job.name(), run, LOOKED_AT))?;
        let mut made_up = false;
        for row in rows {
            let outcome = row.outcome.as_deref().map_or(Outcome::Interrupted, Outcome::parse);
            // What was missed before a run that made up for it was told to nobody.
            let counts = !(made_up && outcome == Outcome::Missed);
            if let Some(good) = verdict(outcome).filter(|_| counts) {
                return Ok(Some(good));
            }
            made_up = row.cause == super::Cause::CatchUp.name();
        }
        Ok(None)
    }

    /// `nightly on web1`.
    fn title(&self) -> String {
        let machine = host_name().unwrap_or_default();
        format!("{} on {machine}", self.job.name())
    }

    fn notice(&self, run: &JobRun, before: Option<bool>) -> Notice {
        let good = run.outcome() == Outcome::Ok;
        let again = if good && before == Some(false) { " again" } else { "" };
        Notice {
            subject: format!("{}: {}{again}", self.title(), run.result()),
            text: self.text(run),
            facts: facts(run),
            sign: if good { Sign::Success } else { Sign::Fail },
        }
    }

    fn text(&self, run: &JobRun) -> String {
        let zone = TimeZone::system();
        let mut lines = Vec::new();
        if let Some(error) = run.error() {
            lines.push(error_line(&error));
        }
        let began = run.started().to_zoned(zone).strftime("%a %Y-%m-%d %H:%M:%S %:z");
        match run.duration() {
            Some(took) => lines.push(format!(
                "run {} by {}{}, {began}, took {}",
                run.id(),
                run.cause().name(),
                run.reason().map(|reason| format!(" ({reason})")).unwrap_or_default(),
                format_duration(took)
            )),
            None => lines.push(format!("noted {began}")),
        }
        let effects = run.effects();
        let counts = [
            (effects.images_removed, "images removed"),
            (effects.images_pulled, "images pulled"),
            (effects.tags_deleted, "tags deleted"),
            (effects.containers_created, "containers made"),
            (effects.containers_removed, "containers removed"),
        ];
        let mut did: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if effects.reclaimed > 0 {
            did.push(format!("{} reclaimed", ByteSize(effects.reclaimed)));
        }
        if !did.is_empty() {
            lines.push(did.join(", "));
        }
        if run.has_begun() {
            lines.push(format!("what it wrote: hoist jobs logs {} {}", run.job(), run.id()));
        }
        lines.join("\n") + "\n"
    }
}

/// Whether a result is good; `None` where somebody had it so, or nothing was run for another's sake.
fn verdict(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Ok => Some(true),
        Outcome::Failed | Outcome::Timeout | Outcome::Interrupted | Outcome::Missed => Some(false),
        Outcome::Running | Outcome::Cancelled | Outcome::Replaced | Outcome::Skipped => None,
    }
}

/// `nightly.rhai:5: there is no image …`.
fn error_line(error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or_default();
    match (error["file"].as_str(), error["line"].as_u64()) {
        (Some(file), Some(line)) => format!("{file}:{line}: {message}"),
        _ => message.to_owned(),
    }
}

/// What a program that is told may want to know.
fn facts(run: &JobRun) -> serde_json::Map<String, Value> {
    let facts = json!({
        "job": run.job(),
        "machine": host_name().unwrap_or_default(),
        "run": run.id(),
        "outcome": run.outcome().name(),
        "trigger": run.cause().name(),
        "reason": run.reason(),
        "scheduled": run.scheduled().map(|time| time.to_string()),
        "count": run.count(),
        "started": run.started().to_string(),
        "ended": run.ended().map(|time| time.to_string()),
        "seconds": run.duration().map(|took| took.as_secs_f64()),
        "code": run.code(),
        "attempts": run.attempts(),
        "error": run.error(),
        "reclaimed": run.effects().reclaimed,
        "effects": run.effects(),
    });
    match facts {
        Value::Object(facts) => facts,
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_had_so_is_no_result() {
        for (outcome, good) in [
            (Outcome::Ok, Some(true)),
            (Outcome::Interrupted, Some(false)),
            (Outcome::Missed, Some(false)),
            (Outcome::Replaced, None),
            (Outcome::Skipped, None),
        ] {
            assert_eq!(verdict(outcome), good, "{outcome:?}");
        }
    }
}
