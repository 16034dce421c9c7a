//! Standard output for data, standard error for talk, and the person at the keyboard.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use unicode_width::UnicodeWidthChar;

use crate::bindings::{Console, table};
use crate::config::variable;
use crate::error::{Context as _, Error, Result};
use crate::host::Plan;
use crate::model::{Context, Secret};
use crate::script::Diagnostic;
use crate::script::runner::Finished;
use crate::sys::pty;

/// The terminal, or whatever the standard streams are connected to.
#[derive(Default)]
pub(super) struct Terminal {
    shown: Mutex<Shown>,
    /// Whether errors are told as JSON.
    is_json: bool,
}

/// What tells how far things are, below all that stays.
#[derive(Default)]
struct Shown {
    lines: Vec<String>,
    /// How many of them the terminal has now.
    drawn: usize,
    /// Whether what was written last has no end yet, or waits for an answer: nothing may come below it.
    is_held: bool,
}

/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// Rows of such a terminal.
const USUAL_HEIGHT: usize = 24;

impl Shown {
    /// Takes the lines off the terminal: up to the first of them, and empty from there (ECMA-48, `CUU` and `ED`).
    fn erase(&mut self) {
        if self.drawn > 0 {
            let _ = write!(io::stderr().lock(), "\r\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    fn draw(&mut self) {
        if self.is_held {
            return;
        }
        let size = pty::size(io::stderr().as_fd());
        let columns = size.map_or(USUAL_WIDTH, |size| usize::from(size.columns)).max(2) - 1;
        let rows = size.map_or(USUAL_HEIGHT, |size| usize::from(size.rows)).max(2) - 1;
        // One that is longer would take a second row, and stay when the next one comes.
        let lines = self.lines.iter().take(rows);
        let text: String = lines.clone().map(|line| format!("{}\n", cut(line, columns))).collect();
        let _ = io::stderr().lock().write_all(text.as_bytes());
        self.drawn = lines.count();
    }
}

/// As much of a line as fits.
fn cut(line: &str, columns: usize) -> String {
    let mut free = columns;
    let letters = line.chars().filter(|letter| !letter.is_control());
    let fitting = letters.take_while(|letter| {
        let width = letter.width().unwrap_or(0);
        let fits = width <= free;
        free = free.saturating_sub(width);
        fits
    });
    fitting.collect()
}

impl Terminal {
    /// The terminal, with errors as text or as JSON.
    pub(super) fn new(is_json: bool) -> Terminal {
        Terminal {
            is_json,
            ..Terminal::default()
        }
    }

    /// How a script failed, if it did.
    pub(super) fn report(&self, finished: &Finished) {
        match (&finished.diagnostic, &finished.report) {
            (Some(diagnostic), _) if self.is_json => self.talk(&diagnostic.json().to_string()),
            (_, Some(report)) => self.talk(report),
            _ => {}
        }
    }

    /// `error: …`, then `help: …`.
    pub(super) fn error(&self, error: &Error) {
        if self.is_json {
            return self.talk(&Diagnostic::error(error).json().to_string());
        }
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

impl Terminal {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console for Terminal {
    fn data(&self, text: &str) -> io::Result<()> {
        let mut shown = self.shown();
        shown.erase();
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        if !shown.lines.is_empty() && !text.is_empty() {
            shown.is_held = !text.ends_with('\n') && stdout.is_terminal();
            shown.draw();
        }
        Ok(())
    }

    fn raw(&self, is_error: bool, bytes: &[u8]) -> io::Result<()> {
        if is_error {
            return io::stderr().lock().write_all(bytes);
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    fn has_terminal(&self) -> bool {
        io::stdin().is_terminal()
    }

    fn shows_data(&self) -> bool {
        io::stdout().is_terminal()
    }

    fn secret(&self, ctx: &Context, question: Option<&str>) -> Result<String> {
        let secret = match question {
            None => self.piped_secret()?,
            Some(question) => self.ask_secret(ctx, question)?.ok_or_else(|| {
                Error::invalid("there is nobody to ask for the password")
                    .hint("write it to standard input, and say `--password-stdin`")
            })?,
        };
        Ok(secret.expose().to_owned())
    }

    fn tells(&self, error: &Error) -> bool {
        if self.is_json {
            self.error(error);
        }
        self.is_json
    }

    fn talk(&self, line: &str) {
        let mut shown = self.shown();
        shown.erase();
        // There is nobody left to tell that standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{line}");
        shown.is_held = false;
        shown.draw();
    }

    fn status(&self, lines: &[String]) {
        let mut shown = self.shown();
        shown.erase();
        lines.clone_into(&mut shown.lines);
        shown.draw();
    }

    fn has_status(&self) -> bool {
        io::stderr().is_terminal() && variable("TERM").is_some_and(|kind| kind != "dumb")
    }

    fn ask(&self, question: &str) -> io::Result<Option<String>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        {
            let mut shown = self.shown();
            shown.erase();
            shown.is_held = true;
            write!(io::stderr().lock(), "{question}")?;
        }
        let mut answer = String::new();
        let read = stdin.lock().read_line(&mut answer);
        let mut shown = self.shown();
        shown.is_held = false;
        shown.draw();
        read.map(|_| Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn lines_are_cut_to_what_fits() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("日本語", 5), "日本");
        assert_eq!(cut("a\x1b[2Jb", 9), "a[2Jb");
    }
}
