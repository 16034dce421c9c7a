//! Standard output for data, standard error for talk, and the person at the keyboard.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::bindings::{Console, table};
use crate::error::Error;
use crate::host::Plan;

/// The terminal, or whatever the standard streams are connected to.
#[derive(Default)]
pub(super) struct Terminal {}

impl Terminal {
    /// `error: …`, then `help: …`.
    pub(super) fn error(&self, error: &Error) {
        self.talk(&format!("error: {error}"));
        if let Some(hint) = error.way_out() {
            self.talk(&format!("help: {hint}"));
        }
    }

    /// What a dry run would have done.
    pub(super) fn show_plan(&self, plan: &Plan) {
        let actions = plan.actions();
        if actions.is_empty() {
            self.talk("dry run: nothing would be changed");
            return;
        }
        self.talk("dry run: nothing was changed; this would be done:");
        self.talk(table::show_plan(&actions).trim_end());
    }
}

impl Console for Terminal {
    fn data(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    fn talk(&self, line: &str) {
        // There is nobody left to tell that standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    fn ask(&self, question: &str) -> io::Result<Option<String>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        write!(io::stderr().lock(), "{question}")?;
        let mut answer = String::new();
        stdin.lock().read_line(&mut answer)?;
        Ok(Some(answer))
    }
}
