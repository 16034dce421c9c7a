//! Beginning a run: the lock, and the record on disk before anything is done.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Job;
use super::history::{JobRun, Outcome};
use super::notices::Teller;
use super::triggers::Call;
use crate::config::{JobHeader, Overlap};
use crate::error::{Context as _, Error, Result};
use crate::host::{Host, make_dir};
use crate::model::{Context, Due, Missed, Slot};
use crate::runtime::{Holder, end_task};
use crate::store::{JobRow, RunRow, Tx};
use crate::sys::file::{self, Lock};

/// How long one who holds a lock may take to say so; others hold it for a moment.
const SAYING_SO: Duration = Duration::from_secs(5);

/// How long to wait between two looks at a lock, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Why a run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its time has come.
    Schedule,
    /// Its time had come while nobody was there.
    CatchUp,
    /// Somebody asked for it.
    Manual,
    /// Something happened, in the words of the header.
    Event(String),
}

impl Cause {
    /// The word for it.
    pub fn name(&self) -> &str {
        match self {
            Cause::Schedule => "schedule",
            Cause::CatchUp => "catch_up",
            Cause::Manual => "manual",
            Cause::Event(words) => words,
        }
    }

    pub(super) fn parse(text: &str) -> Cause {
        match text {
            "schedule" => Cause::Schedule,
            "catch_up" => Cause::CatchUp,
            "manual" => Cause::Manual,
            words => Cause::Event(words.to_owned()),
        }
    }
}

/// What became of the wish to run.
#[derive(Debug)]
pub enum Claim {
    /// It is written down and may begin.
    Begun(Box<Ticket>),
    /// Nothing is due.
    NotDue,
    /// The one before goes on, and this one is left out.
    Skipped(Box<JobRun>),
}

/// The right to run a job once: the lock, and the record.
#[derive(Debug)]
pub struct Ticket {
    pub(super) job: Job,
    pub(super) header: JobHeader,
    pub(super) row: RunRow,
    pub(super) lock: Lock,
    /// Runs before it that were found to have been cut off.
    pub(super) cut: Vec<RunRow>,
}

impl Ticket {
    /// The run's number.
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }
}

/// What is to be recorded with a run.
struct Wish {
    cause: Cause,
    /// What happened, in words.
    reason: Option<String>,
    /// The run that brought it about.
    origin: Option<i64>,
    /// The time it is of.
    slot: Option<Slot>,
    missed: Vec<(Cause, Missed)>,
    /// How far the job is seen to then, if this is about that.
    after: Option<JobRow>,
    /// Whether there is more to do than to note that, and what was missed.
    runs: bool,
}

impl Wish {
    /// To run for this reason, whatever is due.
    fn of(cause: Cause) -> Wish {
        Wish {
            cause,
            reason: None,
            origin: None,
            slot: None,
            missed: Vec::new(),
            after: None,
            runs: true,
        }
    }

    /// To see to what is due by the schedule.
    fn scheduled(job: &Job, due: &Due) -> Option<Wish> {
        let seen = due.seen()?;
        let is_late = due.run.is_some_and(|slot| slot.is_late);
        Some(Wish {
            slot: due.run,
            missed: due.missed.map(|missed| (Cause::Schedule, missed)).into_iter().collect(),
            after: Some(JobRow {
                seen,
                ..job.row.clone()
            }),
            runs: due.run.is_some(),
            ..Wish::of(if is_late { Cause::CatchUp } else { Cause::Schedule })
        })
    }

    /// To see to what happened, too: one run is for both.
    fn and(wish: Option<Wish>, job: &Job, call: Option<Call>) -> Option<Wish> {
        let Some(call) = call else { return wish };
        let is_scheduled = wish.as_ref().is_some_and(|wish| wish.runs);
        let mut wish = wish.unwrap_or_else(|| Wish {
            runs: false,
            ..Wish::of(call.cause.clone())
        });
        let after = wish.after.get_or_insert_with(|| job.row.clone());
        (after.heard, after.full) = (call.heard, call.full);
        wish.missed
            .extend(call.missed.map(|missed| (call.cause.clone(), missed)));
        if call.runs {
            wish.runs = true;
            wish.origin = call.origin;
            if !is_scheduled {
                (wish.cause, wish.reason) = (call.cause, call.reason);
            }
        }
        Some(wish)
    }
}

impl Host {
    /// Claims the run of a job that is due by its schedule or by what happened, as of `now`; what was missed is noted.
    ///
    /// Of several that ask at the same time, in whatever processes, one gets it. Errors: those of the header.
    pub fn claim_due(&self, ctx: &Context, name: &str, now: Timestamp) -> Result<Claim> {
        let job = self.job(name)?;
        let header = job.header()?.job;
        let happened = match job.enabled() {
            true => self.happened(&job, &header, now)?,
            false => return Ok(Claim::NotDue),
        };
        let due = |job: &Job| -> Option<Wish> {
            let table = job.timetable(&header);
            let wish = table.and_then(|table| Wish::scheduled(job, &table.look(job.seen(), now)));
            let wish = Wish::and(wish, job, self.call_of(job, &header, &happened, now));
            wish.filter(|_| job.enabled())
        };
        match due(&job) {
            None => Ok(Claim::NotDue),
            // Who runs now is not to be disturbed for what is only noted.
            Some(wish) if !wish.runs => self.pass_over(&job, &header, false, &due),
            Some(_) => self.claim(ctx, &job, header.clone(), due),
        }
    }

    /// Claims a run of a job for another reason. Errors: those of the header.
    pub fn claim_for(&self, ctx: &Context, name: &str, cause: &Cause) -> Result<Claim> {
        let job = self.job(name)?;
        let header = job.header()?.job;
        self.claim(ctx, &job, header, |_: &Job| Some(Wish::of(cause.clone())))
    }

    fn claim(&self, ctx: &Context, job: &Job, header: JobHeader, wish: impl Fn(&Job) -> Option<Wish>) -> Result<Claim> {
        let Some(lock) = self.lock_job(ctx, job, &header)? else {
            return self.pass_over(job, &header, true, &wish);
        };
        // As it is now: whoever held the lock may have seen to it.
        let job = self.job(job.name())?;
        let Some(wish) = wish(&job) else {
            return Ok(Claim::NotDue);
        };
        let mut cut = self.settle(&job)?;
        let (begun, missed) = self.store().write_durably(|tx| {
            let Some(missed) = note(tx, &job, &wish)? else {
                return Ok((None, None));
            };
            match wish.runs {
                true => Ok((Some(begin(tx, &job, &wish)?), None)),
                false => Ok((None, Some(missed))),
            }
        })?;
        let Some(row) = begun else {
            drop(lock);
            cut.extend(missed.into_iter().flatten());
            Teller::new(self, &job, &header).tell_all(cut);
            return Ok(Claim::NotDue);
        };
        Holder::own(row.id)?.write(&lock)?;
        Ok(Claim::Begun(Box::new(Ticket {
            job,
            header,
            row,
            lock,
            cut,
        })))
    }

    /// Notes what is due without running it: what was missed, and that a run is left out while the one before goes on.
    fn pass_over(
        &self,
        job: &Job,
        header: &JobHeader,
        is_busy: bool,
        wish: &impl Fn(&Job) -> Option<Wish>,
    ) -> Result<Claim> {
        let (skipped, missed) = self.store().write_durably(|tx| {
            let Some(row) = tx.job(job.name())? else {
                return Ok((None, None));
            };
            let job = Job { row };
            let Some(wish) = wish(&job).filter(|wish| is_busy || !wish.runs) else {
                return Ok((None, None));
            };
            let noted = note(tx, &job, &wish)?;
            if noted.is_none() || !wish.runs {
                return Ok((None, noted));
            }
            Ok((Some(leave_out(tx, &job, &wish, Outcome::Skipped)?), None))
        })?;
        Teller::new(self, job, header).tell_all(missed.unwrap_or_default());
        Ok(match skipped {
            Some(row) => Claim::Skipped(Box::new(self.seen_run(row))),
            None => Claim::NotDue,
        })
    }

    /// The lock of a job, by the header's way with runs that overlap; `None` if this one is to be left out.
    fn lock_job(&self, ctx: &Context, job: &Job, header: &JobHeader) -> Result<Option<Lock>> {
        let mut given_up = Instant::now() + SAYING_SO;
        let (mut replaced, mut look) = (None, LOOKS.0);
        loop {
            if let Some(lock) = self.try_lock_job(job)? {
                return Ok(Some(lock));
            }
            match (self.holder(job.name()), header.overlap) {
                (Some(_), Overlap::Skip) => return Ok(None),
                (Some(_), Overlap::Queue) => given_up = Instant::now() + SAYING_SO,
                (Some(holder), Overlap::Replace) => {
                    if replaced != Some(holder) {
                        self.mark_replaced(job.name(), holder.run)?;
                        holder.interrupt();
                        replaced = Some(holder);
                    }
                    given_up = Instant::now() + SAYING_SO;
                }
                // Held for a moment, or by a run whose watcher died and that is about to end.
                (None, _) if Instant::now() < given_up => {}
                (None, Overlap::Skip) => return Ok(None),
                (None, _) => {}
            }
            look = (look * 2).min(LOOKS.1);
            ctx.sleep(look)
                .during(|| format!("wait for the run of `{}` before", job.name()))?;
        }
    }

    /// The lock of a job, if nobody has it.
    pub(super) fn try_lock_job(&self, job: &Job) -> Result<Option<Lock>> {
        let what = || format!("lock the job `{}`", job.name());
        make_dir(&self.job_locks())?;
        let path = self.lock_of(job.name());
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .during(what)?;
            let Some(lock) = file::try_lock(file).during(what)? else {
                return Ok(None);
            };
            // One that went with its job meanwhile locks nothing.
            if is_same(&lock, &path) {
                return Ok(Some(lock));
            }
        }
    }

    pub(super) fn lock_of(&self, job: &str) -> PathBuf {
        self.job_locks().join(job)
    }

    /// Who runs a job now.
    pub(super) fn holder(&self, job: &str) -> Option<Holder> {
        Holder::read(&File::open(self.lock_of(job)).ok()?)
    }

    /// Says which run is ended for the next one.
    fn mark_replaced(&self, job: &str, run: i64) -> Result<()> {
        let path = self.job_locks().join(format!(".replaced-{job}"));
        std::fs::write(&path, run.to_string()).during(|| format!("write `{}`", path.display()))
    }

    /// Whether a run is ended for the next one.
    pub(super) fn is_replaced(&self, job: &str, run: i64) -> bool {
        let path = self.job_locks().join(format!(".replaced-{job}"));
        std::fs::read_to_string(path).is_ok_and(|text| text == run.to_string())
    }

    pub(super) fn busy(&self, job: &Job) -> Error {
        let who = match self.holder(job.name()) {
            Some(holder) => format!(" (run {}, process {})", holder.run, holder.pid()),
            None => String::new(),
        };
        Error::in_use(format!("the job `{}` runs{who}", job.name()))
            .target(job.name())
            .hint("wait for its end")
    }

    /// Records what a dead process left open, and ends what it left behind; to be called under the job's lock. Returns those runs.
    pub(super) fn settle(&self, job: &Job) -> Result<Vec<RunRow>> {
        let mut cut = Vec::new();
        for mut row in self.store().read(|tx| tx.open_runs(job.name()))? {
            end_task(&self.group_of(row.id))?;
            self.reap_containers(row.id);
            let report = self.take_report(&row);
            row.ended = Some(Timestamp::now());
            row.outcome = Some(Outcome::Interrupted.name().to_owned());
            row.effects = report.and_then(|report| serde_json::to_string(&report.effects).ok());
            self.store().write_durably(|tx| tx.update_run(&row))?;
            cut.push(row);
        }
        Ok(cut)
    }

    /// Records what dead processes left open of all jobs, and has those who are to know told beside this.
    pub fn settle_jobs(&self) -> Result<()> {
        for job in self.jobs()? {
            let is_open = !self.store().read(|tx| tx.open_runs(job.name()))?.is_empty();
            if is_open && let Some(_lock) = self.try_lock_job(&job)? {
                let cut = self.settle(&job)?;
                let header = job.header().map(|header| header.job).unwrap_or_default();
                let teller = Teller::new(self, &job, &header);
                let _ = std::thread::Builder::new().spawn(move || teller.tell_all(cut));
            }
        }
        Ok(())
    }

    /// The control group of a run: all stores of a machine have theirs in one place.
    pub(super) fn group_of(&self, run: i64) -> String {
        let root = self.config().root.to_string_lossy();
        let mut hasher = crate::model::Hasher::new();
        hasher.update(root.as_bytes());
        let digest = hasher.finish().to_string();
        let end = digest.len().saturating_sub(12);
        format!("run-{}-{run}", &digest[end..])
    }
}

/// Notes how far a job is seen to, and what was missed, of which it returns the records; `None` if another process has done so.
fn note(tx: &Tx, job: &Job, wish: &Wish) -> Result<Option<Vec<RunRow>>> {
    if let Some(after) = &wish.after
        && !tx.see_job(&job.row, after)?
    {
        return Ok(None);
    }
    let missed = wish.missed.iter().map(|(cause, missed)| {
        let mut row = RunRow {
            until: Some(missed.last),
            count: missed.count,
            ..row(job, cause, Some(missed.first), Some(Outcome::Missed))
        };
        row.id = tx.insert_run(&row)?;
        Ok(row)
    });
    missed.collect::<Result<_>>().map(Some)
}

fn begin(tx: &Tx, job: &Job, wish: &Wish) -> Result<RunRow> {
    let slot = wish.slot.map(|slot| slot.at);
    let mut row = RunRow {
        reason: wish.reason.clone(),
        origin: wish.origin,
        attempts: 1,
        ..row(job, &wish.cause, slot, None)
    };
    row.id = tx.insert_run(&row)?;
    Ok(row)
}

/// Notes a time that has no run. Of several in a row there is one record.
fn leave_out(tx: &Tx, job: &Job, wish: &Wish, outcome: Outcome) -> Result<RunRow> {
    let (at, cause) = (wish.slot.map(|slot| slot.at), &wish.cause);
    let last = tx.runs(Some(job.name()), 1)?.into_iter().next();
    let same = |last: &RunRow| {
        last.outcome.as_deref() == Some(outcome.name()) && last.cause == cause.name() && last.attempts == 0
    };
    if let Some(mut last) = last.filter(same) {
        last.count += 1;
        last.until = at.or(last.until);
        last.ended = Some(Timestamp::now());
        tx.update_run(&last)?;
        return Ok(last);
    }
    let mut row = RunRow {
        reason: wish.reason.clone(),
        ..row(job, cause, at, Some(outcome))
    };
    row.id = tx.insert_run(&row)?;
    Ok(row)
}

fn row(job: &Job, cause: &Cause, scheduled: Option<Timestamp>, outcome: Option<Outcome>) -> RunRow {
    let now = Timestamp::now();
    RunRow {
        id: 0,
        job: job.name().to_owned(),
        cause: cause.name().to_owned(),
        reason: None,
        origin: None,
        scheduled,
        until: None,
        count: 1,
        started: now,
        ended: outcome.map(|_| now),
        outcome: outcome.map(|outcome| outcome.name().to_owned()),
        code: None,
        attempts: 0,
        error: None,
        effects: None,
        notices: None,
    }
}

/// Whether what is locked is what has that name now.
fn is_same(lock: &File, path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (lock.metadata(), std::fs::metadata(path)) {
        (Ok(locked), Ok(named)) => (locked.dev(), locked.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
