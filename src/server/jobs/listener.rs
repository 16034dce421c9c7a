//! What happens, as the journal tells it, handed on to the jobs that wait for it.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;

use super::ears::Ears;
use crate::error::Result;
use crate::host::{Actors, Host};
use crate::runtime::{EventReader, Journal};

/// A reader of the journal.
pub(super) struct Listener {
    journal: Journal,
    reader: EventReader,
    actors: Actors,
}

impl Listener {
    /// One that begins where the first of these jobs has been seen to, and tells each what came since then.
    pub(super) fn new(host: &Host, heard: &HashMap<String, Timestamp>, ears: &mut Ears) -> Result<Listener> {
        let since = heard.values().min().copied().unwrap_or_else(Timestamp::now);
        let (journal, reader) = host.hear_events(since)?;
        let mut listener = Listener {
            journal,
            reader,
            actors: Actors::default(),
        };
        listener.pass_on(host, ears, |name, time| {
            heard.get(name).is_some_and(|heard| time > *heard)
        })?;
        Ok(listener)
    }

    /// Where the journal is.
    pub(super) fn place(&self) -> Result<&Path> {
        self.journal.place()
    }

    /// Tells the jobs what came since it was last asked.
    pub(super) fn listen(&mut self, host: &Host, ears: &mut Ears) -> Result<()> {
        self.pass_on(host, ears, |_, _| true)
    }

    fn pass_on(&mut self, host: &Host, ears: &mut Ears, is_new: impl Fn(&str, Timestamp) -> bool) -> Result<()> {
        for event in self.reader.read(&self.journal)? {
            let run = self.actors.of(&event);
            if !ears.wants(&event.kind, &event.action) {
                continue;
            }
            // What a job's run does is no reason to run it again, however many others lie between.
            let causes = host.causes_of(run)?;
            ears.hear(&event.kind, &event.action, event.time, |name| {
                is_new(name, event.time) && !causes.iter().any(|cause| cause == name)
            });
        }
        Ok(())
    }
}
