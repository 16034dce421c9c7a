//! Standard output for data, standard error for talk, and the person at the keyboard.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use crate::bindings::{Console, table};
use crate::config::variable;
use crate::error::{Context as _, Error, Result};
use crate::host::Plan;
use crate::model::{Context, Secret};
use crate::sys::pty;

/// The terminal, or whatever the standard streams are connected to.
#[derive(Default)]
pub(super) struct Terminal {
    /// Whether the last line is one that the next replaces.
    has_line: Mutex<bool>,
}

/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// Goes back to the start of the line, and empties it (ECMA-48, `EL`).
const CLEAR: &str = "\r\x1b[K";

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

    /// Asks for what is not to be shown; `None` where there is nobody to ask.
    pub(super) fn ask_secret(&self, ctx: &Context, question: &str) -> Result<Option<Secret>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let ask = || drop(write!(io::stderr().lock(), "{question}"));
        let line = pty::read_hidden(&stdin, ctx.wake_fd()?, ask).during(|| "read what is typed");
        self.talk("");
        ctx.check()?;
        line?.map(secret).transpose()
    }

    /// What standard input has, without the end of its line.
    pub(super) fn piped_secret(&self) -> Result<Secret> {
        let mut bytes = Vec::new();
        let input = io::stdin().lock().take(MOST_SECRET).read_to_end(&mut bytes);
        input.during(|| "read the standard input")?;
        secret(bytes)
    }
}

/// The longest password or token.
const MOST_SECRET: u64 = 64 << 10;

fn secret(bytes: Vec<u8>) -> Result<Secret> {
    let text = String::from_utf8(bytes).map_err(|_| Error::invalid("the password is no text in UTF-8"))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
}

impl Console for Terminal {
    fn data(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    fn talk(&self, line: &str) {
        self.status("");
        // There is nobody left to tell that standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    fn status(&self, line: &str) {
        let mut has_line = self.has_line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.is_empty() || *has_line {
            // A line that is longer would stay when the next one comes.
            let width = pty::size(io::stderr().as_fd())
                .map_or(USUAL_WIDTH, |size| usize::from(size.columns))
                .max(2)
                - 1;
            let shown: String = line.chars().take(width).collect();
            let _ = write!(io::stderr().lock(), "{CLEAR}{shown}");
        }
        *has_line = !line.is_empty();
    }

    fn has_status(&self) -> bool {
        io::stderr().is_terminal() && variable("TERM").is_some_and(|kind| kind != "dumb")
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
