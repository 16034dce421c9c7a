//! Long results, a screen at a time: by the person's own `$PAGER`, or by what is here.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use unicode_width::UnicodeWidthStr;

use crate::config::variable;
use crate::error::{Context as _, Result};
use crate::model::Context;
use crate::sys::pty;

/// Goes back to the start of the line, and empties it (ECMA-48, `EL`).
const CLEAR: &str = "\r\x1b[K";

/// What shows a screen at a time.
pub(super) struct Pager {
    /// The person's own, as a shell command.
    own: Option<String>,
}

impl Pager {
    /// A pager, if somebody sits at a terminal that can go back in a line.
    pub(super) fn new() -> Option<Pager> {
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let is_dumb = variable("TERM").is_none_or(|kind| kind == "dumb");
        (is_terminal && !is_dumb).then(|| Pager { own: variable("PAGER") })
    }

    /// Shows a text if it is longer than the screen; `false` if it is not, and is left to be printed.
    pub(super) fn show(&self, ctx: &Context, text: &str) -> Result<bool> {
        let Some(size) = pty::size(io::stdout()) else {
            return Ok(false);
        };
        let (rows, columns) = (usize::from(size.rows), usize::from(size.columns));
        if rows < 3 || height(text, columns) < rows {
            return Ok(false);
        }
        match &self.own {
            Some(command) => by_command(command, text)?,
            None => by_keys(ctx, Pages::new(text, rows, columns)).during(|| "show a page")?,
        }
        Ok(true)
    }
}

/// How many lines of a screen a text takes.
fn height(text: &str, columns: usize) -> usize {
    text.lines().map(|line| rows_of(line, columns)).sum()
}

fn rows_of(line: &str, columns: usize) -> usize {
    line.width().div_ceil(columns.max(1)).max(1)
}

fn by_command(command: &str, text: &str) -> Result<()> {
    let what = || format!("run the pager `{command}`");
    #[expect(clippy::disallowed_methods, reason = "people read with a program of their choice")]
    let mut shell = Command::new("/bin/sh");
    let mut child = shell.args(["-c", command]).stdin(Stdio::piped()).spawn().during(what)?;
    if let Some(mut input) = child.stdin.take() {
        // Whoever has read enough leaves before the end.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().during(what)?;
    Ok(())
}

fn by_keys(ctx: &Context, mut pages: Pages<'_>) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut more = pages.next(usize::MAX);
    loop {
        out.write_all(more.as_bytes()).during(|| "write to the terminal")?;
        if pages.is_over() {
            return Ok(());
        }
        write!(out, "{}", pages.question()).during(|| "write to the terminal")?;
        out.flush().during(|| "write to the terminal")?;
        let keys = pty::read_key(io::stdin(), ctx.wake_fd()?).during(|| "read a key")?;
        write!(out, "{CLEAR}").during(|| "write to the terminal")?;
        match keys.as_deref() {
            Some(keys) if !is_enough(keys) => more = step(keys).map_or_else(String::new, |lines| pages.next(lines)),
            // Enough, or interrupted.
            _ => return Ok(()),
        }
    }
}

fn is_enough(keys: &[u8]) -> bool {
    matches!(keys, b"q" | b"Q" | b"\x1b" | b"\x03" | b"\x04" | b"")
}

/// How many lines further a key leads; `usize::MAX` for a screen.
fn step(keys: &[u8]) -> Option<usize> {
    match keys {
        b" " | b"f" | b"\x1b[6~" => Some(usize::MAX),
        b"\r" | b"\n" | b"j" | b"\x1b[B" | b"\x1bOB" => Some(1),
        _ => None,
    }
}

/// A text by screens.
struct Pages<'a> {
    lines: Vec<&'a str>,
    at: usize,
    rows: usize,
    columns: usize,
}

impl Pages<'_> {
    fn new(text: &str, rows: usize, columns: usize) -> Pages<'_> {
        Pages {
            lines: text.lines().collect(),
            at: 0,
            rows,
            columns,
        }
    }

    /// The next lines: at most so many, and as many as fit above the question.
    fn next(&mut self, most: usize) -> String {
        let (mut text, mut free) = (String::new(), self.rows - 1);
        for line in self.lines[self.at..].iter().take(most) {
            let rows = rows_of(line, self.columns);
            if rows > free && !text.is_empty() {
                break;
            }
            free = free.saturating_sub(rows);
            text.push_str(line);
            text.push('\n');
            self.at += 1;
        }
        text
    }

    fn is_over(&self) -> bool {
        self.at == self.lines.len()
    }

    fn question(&self) -> String {
        let question = format!("-- {} of {} lines: Space, Enter, or q --", self.at, self.lines.len());
        question.chars().take(self.columns - 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fit_the_screen_and_end_with_the_text() {
        let text: String = (1..=10).map(|number| format!("{number}\n")).collect();
        let mut pages = Pages::new(&text, 4, 80);
        assert_eq!(pages.next(usize::MAX), "1\n2\n3\n");
        assert_eq!(pages.question(), "-- 3 of 10 lines: Space, Enter, or q --");
        assert_eq!(pages.next(1), "4\n");
        assert_eq!(pages.next(usize::MAX), "5\n6\n7\n");
        assert_eq!(pages.next(usize::MAX), "8\n9\n10\n");
        assert!(pages.is_over());
    }

    #[test]
    fn wide_lines_take_the_rows_that_they_wrap_to() {
        let wide = "x".repeat(25);
        assert_eq!(height(&format!("{wide}\n\nx\n"), 10), 5);
        let text = format!("a\n{wide}\nb\n");
        let mut pages = Pages::new(&text, 4, 10);
        assert_eq!(pages.next(usize::MAX), "a\n");
        assert_eq!(pages.next(usize::MAX), format!("{wide}\n"));
        // One that is larger than the screen is shown all the same.
        let mut pages = Pages::new(&wide, 3, 5);
        assert_eq!(pages.next(usize::MAX), format!("{wide}\n"));
    }

    #[test]
    fn keys_lead_on_or_out() {
        assert_eq!(step(b" "), Some(usize::MAX));
        assert_eq!(step(b"\x1b[B"), Some(1));
        assert_eq!(step(b"x"), None);
        assert!(is_enough(b"q") && !is_enough(b"x"));
    }
}
