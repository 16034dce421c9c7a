//! How a container's run ended.

use std::os::fd::AsFd;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::settings::Settings;
use crate::sys::pidfd;

/// The code of a run whose own code nobody saw, as Docker has it after a restart of the machine.
pub(in crate::runtime) const LOST: i32 = 255;
/// The code of a run that failed in Hoist, before the program was reached.
pub(in crate::runtime) const NOT_STARTED: i32 = 125;
/// The code of a program that is there and cannot be executed (POSIX shell, 2.8.2).
pub(in crate::runtime) const NOT_EXECUTABLE: i32 = 126;
/// The code of a program that is not there.
pub(in crate::runtime) const NOT_FOUND: i32 = 127;

/// The cause of an error whose container was set up, but whose program could not be executed: a matter of the command, as its code
/// is, and not of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotExecuted {
    /// 126 if the program could not be executed, 127 if it was not found.
    pub code: i32,
}

impl NotExecuted {
    /// The cause of an error, if it is this one.
    pub fn of(error: &Error) -> Option<NotExecuted> {
        std::error::Error::source(error)?.downcast_ref().copied()
    }
}

impl std::fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the program could not be executed, which counts as code {}",
            self.code
        )
    }
}

impl std::error::Error for NotExecuted {}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The program's exit code; 128 + n if signal n ended it; 125 if the container could not be set up, 126 if the program could
    /// not be executed, 127 if it was not found; 255 if nobody saw the end.
    pub code: i32,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// Whether it ran longer than its `timeout` and was killed for it.
    pub timed_out: bool,
    /// When it was started.
    #[serde(with = "timestamp")]
    pub started: Timestamp,
    /// When it ended.
    #[serde(with = "timestamp")]
    pub finished: Timestamp,
    /// Why it did not start, or why its code is not known.
    pub error: Option<String>,
    /// How often the container had been started again by its restart policy, up to this run.
    #[serde(default)]
    pub restarts: u32,
}

impl Exit {
    /// How the last run ended, if it did.
    pub(in crate::runtime) fn read(bundle: &Bundle) -> Result<Option<Exit>> {
        match bundle::read_json(&bundle.exit())? {
            None => bundle::read_json(&bundle.exit_aside()),
            found => Ok(found),
        }
    }

    /// Writes it down. A container may fill the disk it is on, and its end shall be known all the same: then it is written
    /// where the state of its process is, which is commonly memory and holds until the machine restarts.
    pub(in crate::runtime) fn write(&self, bundle: &Bundle, durable: bool) -> Result<()> {
        bundle::write_json(&bundle.exit(), self, durable)
            .or_else(|_| bundle::write_json(&bundle.exit_aside(), self, false))
    }

    /// Tells those who listen to what happens.
    pub(in crate::runtime) fn tell(&self, bundle: &Bundle, settings: &Settings) {
        // What lasts may have got another name since.
        let now = match settings.volatile {
            true => None,
            false => Settings::read(bundle).ok(),
        };
        let attributes = &now.as_ref().unwrap_or(settings).attributes;
        if self.oom_killed {
            bundle.tell("oom", attributes, &[]);
        }
        let seconds = self.finished.duration_since(self.started).as_secs();
        let facts = [
            ("exitCode", self.code.to_string()),
            ("execDuration", seconds.to_string()),
        ];
        bundle.tell("die", attributes, &facts);
    }

    /// Forgets the last run.
    pub(in crate::runtime) fn clear(bundle: &Bundle) -> Result<()> {
        bundle::remove_file(&bundle.exit()).and_then(|()| bundle::remove_file(&bundle.exit_aside()))
    }

    /// A run that never reached its program, or whose end nobody saw.
    pub(in crate::runtime) fn failed(code: i32, started: Timestamp, error: &str) -> Exit {
        Exit {
            code,
            signal: None,
            oom_killed: false,
            timed_out: false,
            started,
            finished: Timestamp::now(),
            error: Some(error.to_owned()),
            restarts: 0,
        }
    }
}

/// Takes the status of a child that has ended, or waits for its end: its code as shells count, and the signal that ended it.
pub(in crate::runtime) fn reap(process: impl AsFd) -> Result<(i32, Option<i32>)> {
    Ok(code(pidfd::reap(process).during(|| "wait for a process")?))
}

/// A code as shells count, and the signal.
pub(in crate::runtime) fn code(end: pidfd::End) -> (i32, Option<i32>) {
    match end {
        pidfd::End::Code(code) => (code, None),
        pidfd::End::Signal(signal) => (128 + signal, Some(signal)),
    }
}

/// Times as RFC 3339 text.
pub(in crate::runtime) mod timestamp {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_finds_no_room_is_known_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle {
            id: "ab".repeat(32).parse().unwrap(),
            // There is no such directory, so nothing can be written to it.
            dir: dir.path().join("full"),
            run_dir: dir.path().into(),
        };
        assert_eq!(Exit::read(&bundle).unwrap(), None);
        let exit = Exit::failed(7, Timestamp::UNIX_EPOCH, "why");
        exit.write(&bundle, true).unwrap();
        assert_eq!(Exit::read(&bundle).unwrap(), Some(exit));
        Exit::clear(&bundle).unwrap();
        assert_eq!(Exit::read(&bundle).unwrap(), None);
    }
}
