//! Where a script's words go and answers come from: a seam, so that natives print nothing themselves.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::model::Context;

/// The outside of a session: data on one side, talk on the other, and somebody who may answer.
pub trait Console: Send + Sync {
    /// Writes data, exactly as given.
    fn data(&self, text: &str) -> io::Result<()>;

    /// Writes bytes of a program, to standard error if that is where it wrote them.
    fn raw(&self, is_error: bool, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        match is_error {
            true => self.talk(text.trim_end_matches('\n')),
            false => self.data(&text)?,
        }
        Ok(())
    }

    /// Whether somebody types at a terminal.
    fn has_terminal(&self) -> bool {
        false
    }

    /// Whether data goes to a terminal.
    fn shows_data(&self) -> bool {
        false
    }

    /// A secret: typed after a question and not shown, or without one what is piped in. Errors: `invalid` where there is none.
    fn secret(&self, _ctx: &Context, _question: Option<&str>) -> Result<String> {
        Err(Error::invalid("there is nobody to ask for a password"))
    }

    /// Writes one line meant for a person: logs, questions, notes.
    fn talk(&self, line: &str);

    /// Tells an error to a program that wants an object; false where people read, who want words.
    fn tells(&self, _error: &Error) -> bool {
        false
    }

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
