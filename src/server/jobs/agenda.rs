//! Which jobs are due at a moment, and when to look again: no clock, no store and no process of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::Timetable;

/// What is known of a job.
#[derive(Debug, Clone)]
struct Entry {
    table: Timetable,
    /// Up to when its schedule has been seen to, or is about to be.
    seen: Timestamp,
}

/// The jobs that run by themselves.
#[derive(Debug, Clone, Default)]
pub struct Agenda {
    entries: BTreeMap<String, Entry>,
}

impl Agenda {
    /// Takes a job over, or what is new about it.
    pub fn set(&mut self, name: &str, table: Timetable, seen: Timestamp) {
        self.entries.insert(name.to_owned(), Entry { table, seen });
    }

    /// Keeps those jobs alone.
    pub fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| is_wanted(name));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The jobs that are to be seen to at `now`, each told once.
    pub fn due(&mut self, now: Timestamp) -> Vec<String> {
        let mut names = Vec::new();
        for (name, entry) in &mut self.entries {
            if let Some(seen) = entry.table.look(entry.seen, now).seen() {
                entry.seen = seen;
                names.push(name.clone());
            }
        }
        names
    }

    /// When the next of them is due, and which.
    pub fn next(&self, now: Timestamp) -> Option<(Timestamp, &str)> {
        let times = self.entries.iter().filter_map(|(name, entry)| {
            let next = entry.table.look(entry.seen, now).next?;
            Some((next, name.as_str()))
        });
        times.min()
    }
}
