//! Where a script's words go and answers come from: a seam, so that natives print nothing themselves.

use std::io;
use std::sync::{Mutex, PoisonError};

/// The outside of a session: data on one side, talk on the other, and somebody who may answer.
pub trait Console: Send + Sync {
    /// Writes data, exactly as given.
    fn data(&self, text: &str) -> io::Result<()>;

    /// Writes one line meant for a person: logs, questions, notes.
    fn talk(&self, line: &str);

    /// Shows how far things are, in lines that the next ones replace and that nothing keeps; no lines take them away.
    fn status(&self, _lines: &[String]) {}

    /// Whether somebody sees those lines.
    fn has_status(&self) -> bool {
        false
    }

    /// Asks a person and returns the line answered; `None` when nobody is there to answer.
    fn ask(&self, question: &str) -> io::Result<Option<String>>;
}

/// A console that keeps what it is given, for sessions without a terminal. Nobody answers questions.
#[derive(Debug, Default)]
pub struct Recorder {
    data: Mutex<String>,
    talk: Mutex<Vec<String>>,
}

impl Recorder {
    /// The data written so far.
    pub fn data(&self) -> String {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines said so far.
    pub fn talk(&self) -> Vec<String> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Console for Recorder {
    fn data(&self, text: &str) -> io::Result<()> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn talk(&self, line: &str) {
        self.talk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.to_owned());
    }

    fn ask(&self, _question: &str) -> io::Result<Option<String>> {
        Ok(None)
    }
}

/// How values are shown: the `--format` flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Columns for a person.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per row.
    JsonLines,
}

/// How much is said: `--log-level`. The order is that of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Everything, for finding faults.
    Trace,
    /// What goes on.
    #[default]
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

impl Level {
    /// The name, as in the log and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}
