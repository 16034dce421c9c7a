//! What happened that a job waits for: events of the journal, and disks that fill up.
//!
//! Whoever asks whether a job is due reads the journal for himself, from where the last one came to: so events are handled once, whoever
//! drives the job, and those that came while nobody was there are found as long as the journal has them.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::Job;
use super::claim::Cause;
use crate::config::JobHeader;
use crate::error::Result;
use crate::host::Host;
use crate::model::{Batch, Missed, Trigger, is_full_anew};
use crate::runtime::{Event, EventReader, Journal, RUN_FACT};
use crate::sys::file;

/// A clock that was set back: what is this old is looked at again.
const SET_BACK: SignedDuration = SignedDuration::from_mins(2);

/// How many runs a chain of causes has at most.
const LONGEST_CHAIN: usize = 64;

/// Disks that are full, by the names of their triggers, and when that had the job run last, in microseconds since 1970.
type Full = BTreeMap<String, i64>;

/// An event that a job waits for.
#[derive(Debug, Clone)]
pub(super) struct Occurrence {
    /// By its place in the header.
    trigger: usize,
    time: Timestamp,
    /// What it happened to.
    target: String,
    /// The run that brought it about.
    run: Option<i64>,
}

/// What is to be done about what happened.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) cause: Cause,
    /// What happened, in words.
    pub(super) reason: Option<String>,
    pub(super) origin: Option<i64>,
    /// Whether there is to be a run.
    pub(super) runs: bool,
    pub(super) missed: Option<Missed>,
    /// Up to when it is then seen to.
    pub(super) heard: Timestamp,
    /// Which disks are full then, and since when that is known.
    pub(super) full: Option<String>,
}

impl Host {
    /// Events of the journal from a time on, and those to come.
    pub fn hear_events(&self, since: Timestamp) -> Result<(Journal, EventReader)> {
        let journal = Journal::of(&self.config().run_root);
        journal.place()?;
        let reader = EventReader::new(&journal, Some(since))?;
        Ok((journal, reader))
    }

    /// The jobs whose runs brought an event about: the one of that run, the one whose run had that one begin, and so on.
    pub fn causes_of(&self, run: Option<i64>) -> Result<Vec<String>> {
        let (mut next, mut jobs) = (run, Vec::new());
        while let Some(id) = next.filter(|_| jobs.len() < LONGEST_CHAIN) {
            let Some(row) = self.store().read(|tx| tx.run(id))? else {
                break;
            };
            jobs.push(row.job);
            next = row.origin;
        }
        Ok(jobs)
    }

    /// Whether a disk that a job waits for has become full, or is so no more, since it was last asked.
    pub fn has_disk_news(&self, job: &Job, triggers: &[Trigger], now: Timestamp) -> bool {
        let before = fired(job);
        let (after, full) = self.look_at_disks(&before, triggers, now);
        full.is_some() || after != before
    }

    /// What happened since a job was last seen to. What its own runs brought about is not among it.
    pub(super) fn happened(&self, job: &Job, header: &JobHeader, now: Timestamp) -> Result<Vec<Occurrence>> {
        if header.on.iter().all(|trigger| trigger.disk().is_some()) {
            return Ok(Vec::new());
        }
        let (mut found, mut actors) = (Vec::new(), Actors::default());
        for event in Journal::of(&self.config().run_root).after(heard(job, now))? {
            let run = actors.of(&event);
            let fits = |trigger: &Trigger| trigger.fits(&event.kind, &event.action);
            let Some(trigger) = header.on.iter().position(fits) else {
                continue;
            };
            if !self.causes_of(run)?.iter().any(|name| name == job.name()) {
                found.push(Occurrence {
                    trigger,
                    time: event.time,
                    target: target(&event),
                    run,
                });
            }
        }
        Ok(found)
    }

    /// What is to be done at `now` about what happened, and about disks; `None` if nothing is.
    pub(super) fn call_of(
        &self,
        job: &Job,
        header: &JobHeader,
        happened: &[Occurrence],
        now: Timestamp,
    ) -> Option<Call> {
        let before = fired(job);
        let (after, disk) = self.look_at_disks(&before, &header.on, now);
        let full = (!after.is_empty())
            .then(|| serde_json::to_string(&after).ok())
            .flatten();
        let call = disk.map(|(cause, reason)| Call {
            cause: Cause::Event(cause),
            reason: Some(reason),
            origin: None,
            runs: true,
            missed: None,
            heard: job.row.heard,
            full: full.clone(),
        });
        let call = call.or_else(|| events_due(job, header, happened, now));
        match call {
            Some(call) => Some(Call { full, ..call }),
            None if after != before => Some(Call {
                cause: Cause::Schedule,
                reason: None,
                origin: None,
                runs: false,
                missed: None,
                heard: job.row.heard,
                full,
            }),
            None => None,
        }
    }

    /// Which disks are full, and the first for which there is to be a run, with how full it is.
    fn look_at_disks(&self, before: &Full, triggers: &[Trigger], now: Timestamp) -> (Full, Option<(String, String)>) {
        let (mut after, mut due) = (Full::new(), None);
        for trigger in triggers {
            let Some((share, path)) = trigger.disk() else { continue };
            let (name, path) = (
                trigger.name(),
                path.map_or(self.config().root.as_path(), |path| path.as_path()),
            );
            let before = before.get(&name).copied();
            // A disk that cannot be looked at is as it was.
            let Some(used) = used(path) else {
                after.extend(before.map(|time| (name, time)));
                continue;
            };
            if used <= f64::from(share) {
                continue;
            }
            let fired = before.and_then(|time| Timestamp::from_microsecond(time).ok());
            if is_full_anew(fired, now) {
                let reason = format!("{used:.1} % of the disk of `{}` are in use", path.display());
                due.get_or_insert((name.clone(), reason));
                after.insert(name, now.as_microsecond());
            } else {
                after.extend(before.map(|time| (name, time)));
            }
        }
        (after, due)
    }
}

/// Which runs of jobs bring events about.
#[derive(Debug, Default)]
pub struct Actors {
    /// Containers that a run made, or sent a signal to, by their ids: their end is its doing.
    touched: BTreeMap<String, i64>,
}

impl Actors {
    /// The run that brought an event about; to be asked of one event after the other.
    pub fn of(&mut self, event: &Event) -> Option<i64> {
        let own = event.attributes.get(RUN_FACT).and_then(|run| run.parse().ok());
        match (event.kind.as_str(), event.action.as_str(), own) {
            ("container", "create" | "kill", Some(run)) => drop(self.touched.insert(event.id.clone(), run)),
            ("container", "die", _) => return self.touched.remove(&event.id).or(own),
            ("container", "destroy", _) => drop(self.touched.remove(&event.id)),
            _ => {}
        }
        own
    }
}

/// Up to when a job's events have been seen to. A clock that was set back loses none of those that come now.
fn heard(job: &Job, now: Timestamp) -> Timestamp {
    match job.row.heard > now {
        true => now.checked_sub(SET_BACK).unwrap_or(Timestamp::MIN),
        false => job.row.heard,
    }
}

fn fired(job: &Job) -> Full {
    let text = job.row.full.as_deref().unwrap_or("{}");
    serde_json::from_str(text).unwrap_or_default()
}

/// The share of a disk, in percent, that is in use, as df(1) tells it.
fn used(path: &Path) -> Option<f64> {
    let (total, free) = file::disk(path).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than a few digits")]
    let share = total.saturating_sub(free) as f64 * 100.0 / total.max(1) as f64;
    Some(share)
}

/// What is to be done about events. Of several triggers that are due, the one that the header names first is told of.
fn events_due(job: &Job, header: &JobHeader, happened: &[Occurrence], now: Timestamp) -> Option<Call> {
    let heard = heard(job, now);
    let due = header.on.iter().enumerate().filter_map(|(place, trigger)| {
        let is_new = |one: &&Occurrence| one.trigger == place && one.time > heard && one.time <= now;
        let new: Vec<&Occurrence> = happened.iter().filter(is_new).collect();
        let batch = new.iter().fold(None, |batch, one| Some(Batch::with(batch, one.time)))?;
        (trigger.due(&batch) <= now).then_some((trigger, batch, new))
    });
    let due: Vec<_> = due.collect();
    let on_time = due.iter().find(|(trigger, batch, _)| !trigger.is_late(batch, now));
    let (trigger, batch, events) = on_time.or_else(|| due.first())?;
    let runs = on_time.is_some() || header.catch_up;
    let last = events.iter().max_by_key(|one| one.time)?;
    let mut reason = match batch.count {
        1 => last.target.clone(),
        count => format!("{count} times, last {}", last.target),
    };
    if on_time.is_none() {
        reason.push_str(", while nobody was there");
    }
    Some(Call {
        cause: Cause::Event(trigger.name()),
        reason: Some(reason),
        origin: events.iter().rev().find_map(|one| one.run),
        runs,
        missed: (!runs).then_some(Missed {
            first: batch.first,
            last: batch.last,
            count: batch.count,
        }),
        // A run that begins after an event is for it, whatever others it is for. Times are kept in microseconds.
        heard: match runs {
            true => now.max(Timestamp::now()),
            false => batch.last.checked_add(SignedDuration::from_micros(1)).unwrap_or(now),
        },
        full: None,
    })
}

/// What an event happened to: a name, or the beginning of an id.
fn target(event: &Event) -> String {
    let name = event.attributes.get("name").cloned();
    name.unwrap_or_else(|| event.id.chars().take(19).collect())
}
