//! Which jobs are to be asked for what happened, and when: no clock, no store and no journal of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{Batch, Trigger};

/// What one job waits for, and what of it has come.
#[derive(Debug, Clone)]
struct Ear {
    triggers: Vec<Trigger>,
    /// For each trigger.
    batches: Vec<Option<Batch>>,
    /// Whether somebody is seeing to them.
    is_asked: bool,
}

/// The jobs that wait for events.
#[derive(Debug, Clone, Default)]
pub(super) struct Ears {
    jobs: BTreeMap<String, Ear>,
}

impl Ears {
    /// Takes a job over, or what is new about it: what came up to `heard` has been seen to, the rest is to be asked for once more.
    pub(super) fn set(&mut self, name: &str, triggers: &[Trigger], heard: Timestamp) {
        match self.jobs.get_mut(name) {
            Some(ear) if ear.triggers == triggers => {
                let is_asked = std::mem::take(&mut ear.is_asked);
                let is_seen = |batch: &Batch| is_asked && batch.last <= heard;
                ear.batches
                    .iter_mut()
                    .for_each(|batch| *batch = batch.filter(|batch| !is_seen(batch)));
            }
            _ => {
                let ear = Ear {
                    triggers: triggers.to_vec(),
                    batches: vec![None; triggers.len()],
                    is_asked: false,
                };
                self.jobs.insert(name.to_owned(), ear);
            }
        }
    }

    /// Keeps those jobs alone.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.jobs.retain(|name, _| is_wanted(name));
    }

    /// Whether no job waits for an event of the journal.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a job waits for an event of this kind and action.
    pub(super) fn wants(&self, kind: &str, action: &str) -> bool {
        let mut triggers = self.jobs.values().flat_map(|ear| &ear.triggers);
        triggers.any(|trigger| trigger.fits(kind, action))
    }

    /// Takes note of an event, for the jobs that `concerns` it.
    pub(super) fn hear(&mut self, kind: &str, action: &str, time: Timestamp, concerns: impl Fn(&str) -> bool) {
        for (name, ear) in &mut self.jobs {
            let Some(at) = ear.triggers.iter().position(|trigger| trigger.fits(kind, action)) else {
                continue;
            };
            if !concerns(name) {
                continue;
            }
            // What somebody is seeing to is no part of what comes now.
            if std::mem::take(&mut ear.is_asked) {
                ear.batches.fill(None);
            }
            ear.batches[at] = Some(Batch::with(ear.batches[at], time));
        }
    }

    /// The jobs that are to be asked at `now`, each told once.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<String> {
        let is_due = |ear: &Ear| ear.next().is_some_and(|time| time <= now);
        let due = self.jobs.iter_mut().filter(|(_, ear)| is_due(ear));
        due.map(|(name, ear)| {
            ear.is_asked = true;
            name.clone()
        })
        .collect()
    }

    /// When the next of them is to be asked.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.jobs.values().filter_map(Ear::next).min()
    }
}

impl Ear {
    fn next(&self) -> Option<Timestamp> {
        let batches = self.triggers.iter().zip(&self.batches);
        let times = batches.filter_map(|(trigger, batch)| batch.as_ref().map(|batch| trigger.due(batch)));
        times.min().filter(|_| !self.is_asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ears(line: &str) -> Ears {
        let mut ears = Ears::default();
        ears.set("job", &Trigger::parse_line(line).unwrap(), at(0));
        ears
    }

    #[test]
    fn events_that_come_together_are_asked_for_once() {
        let mut ears = ears("image.pull debounce 10s");
        let pull = |ears: &mut Ears, second| ears.hear("image", "pull", at(second), |_| true);
        pull(&mut ears, 100);
        pull(&mut ears, 105);
        ears.hear("image", "tag", at(106), |_| true);
        ears.hear("image", "pull", at(107), |name| name != "job");
        assert_eq!((ears.next(), ears.due(at(114))), (Some(at(115)), Vec::new()));
        assert_eq!(ears.due(at(115)), ["job"]);
        assert_eq!((ears.next(), ears.due(at(999))), (None, Vec::new()));
        // What comes while it is seen to is a matter of its own.
        pull(&mut ears, 120);
        assert_eq!(ears.next(), Some(at(130)));
    }

    #[test]
    fn what_nobody_saw_to_is_asked_for_again() {
        let (mut ears, triggers) = (ears("image.pull"), Trigger::parse_line("image.pull").unwrap());
        ears.hear("image", "pull", at(100), |_| true);
        assert_eq!(ears.due(at(100)), ["job"]);
        ears.set("job", &triggers, at(50));
        assert_eq!(ears.due(at(160)), ["job"]);
        ears.set("job", &triggers, at(160));
        assert_eq!((ears.next(), ears.due(at(999))), (None, Vec::new()));
    }
}
