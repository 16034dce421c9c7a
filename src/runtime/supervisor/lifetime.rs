//! The runs of a container that was left to its supervisor, one after the other, as its restart policy wants them.

use jiff::Timestamp;
use oci_spec::runtime::Spec;

use crate::error::{Error, Result};
use crate::runtime::bundle::Bundle;
use crate::runtime::exit::{self, Exit};
use crate::runtime::launch;
use crate::runtime::restart::{self, BackOff};
use crate::runtime::settings::Settings;
use crate::runtime::supervise::{Hearers, Running};

/// A container whose supervisor goes on from run to run.
pub(in crate::runtime) struct Lifetime<'a> {
    pub(in crate::runtime) bundle: &'a Bundle,
    pub(in crate::runtime) spec: &'a Spec,
    pub(in crate::runtime) settings: &'a Settings,
}

impl Lifetime<'_> {
    /// Goes on after the end of a run; returns once the container has ended for good.
    pub(in crate::runtime) fn after(&self, run: Option<Running>, end: Exit) -> Result<()> {
        let mut back_off = BackOff::default();
        let (mut running, mut exit) = (run, end);
        loop {
            // What cannot be tidied up now is told by the next start.
            let tidy = || drop(running.take().map(|run| run.tidy(&exit)));
            let again = match restart::pause(self.bundle, &exit, &mut back_off, tidy) {
                Ok(again) => again,
                Err(error) => {
                    exit.error.get_or_insert(format!("failed to start it again: {error}"));
                    false
                }
            };
            if !again {
                return self.conclude(running, &exit);
            }
            let (next, ended) = self.run_again(exit);
            (running, exit) = (next, ended);
            if running.is_none() {
                return self.conclude(None, &exit);
            }
        }
    }

    /// One more run, to its end; without one, what there is to say of the last instead.
    fn run_again(&self, last: Exit) -> (Option<Running>, Exit) {
        let (started, restarts) = (Timestamp::now(), last.restarts + 1);
        let failed = |code: i32, message: &str| {
            let exit = Exit::failed(code, started, message);
            Exit { restarts, ..exit }
        };
        let hearers = match Hearers::expect(self.bundle, self.settings) {
            Ok(hearers) => hearers,
            Err(error) => return (None, failed(exit::NOT_STARTED, error.message())),
        };
        let next = Running::start(self.bundle, self.spec, self.settings, None, Some(&last));
        match next {
            Ok(mut running) => {
                let watched = running.watch(self.bundle, self.settings, hearers);
                let lost = |error: Error| failed(exit::LOST, error.message());
                (Some(running), watched.unwrap_or_else(lost))
            }
            // Stopped by a person at the last moment.
            Err(_) if restart::is_stopped(self.bundle) => (None, last),
            Err(failure) => (None, failed(failure.code, failure.message())),
        }
    }

    /// Writes down how it ended, then tidies up.
    pub(in crate::runtime) fn conclude(&self, mut running: Option<Running>, exit: &Exit) -> Result<()> {
        let is_seen_through = running.as_ref().is_some_and(Running::was_seen_through);
        // Who waits for the end of what is gone with it looks at no file.
        if let (true, Some(run)) = (self.settings.volatile, &mut running) {
            run.tell(exit);
        }
        let written = exit.write(self.bundle, !self.settings.volatile);
        let tidied = running.map_or(Ok(()), |run| run.tidy(exit));
        match self.settings.after.is_empty() || is_seen_through {
            true => tidied.and(written),
            false => tidied.and(written).and(launch::let_go(&self.settings.after)),
        }
    }
}
