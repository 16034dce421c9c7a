//! What a program printed and how it ended, and what tests ask of it.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::PATIENCE;

/// What a program left behind. Text that is not UTF-8 shows as `\u{fffd}`.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
    what: String,
}

impl Output {
    /// Runs the command to its end with `stdin`, and kills it, failing the test, when it takes for ever.
    pub(crate) fn of(mut command: Command, stdin: Option<Vec<u8>>) -> Output {
        let what = describe(&command);
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start `{what}`: {error}"));
        let pid = Pid::from_raw(child.id().cast_signed());
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
            // A program may leave its input unread.
            thread::spawn(move || pipe.write_all(&text));
        }
        let (done, wait) = mpsc::channel();
        thread::spawn(move || done.send(child.wait_with_output()));
        let ended = wait.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = kill(pid, Signal::SIGKILL);
            panic!("`{what}` did not end, or something it started holds its output open, after {PATIENCE:?}")
        });
        let ended = ended.unwrap_or_else(|error| panic!("failed to wait for `{what}`: {error}"));
        Output {
            stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
            status: ended.status,
            what,
        }
    }

    /// Itself, if the program ended with 0.
    #[track_caller]
    pub(crate) fn success(self) -> Output {
        assert!(self.status.success(), "{}", self.report("it should have succeeded"));
        self
    }

    /// Itself, if the program ended with this exit code.
    #[track_caller]
    pub(crate) fn fails_with(self, code: i32) -> Output {
        assert!(
            self.status.code() == Some(code),
            "{}",
            self.report(&format!("it should have ended with {code}"))
        );
        self
    }

    /// Itself, if this is all that was printed on the standard output; surrounding blank lines do not count.
    #[track_caller]
    pub(crate) fn stdout_is(self, expected: &str) -> Output {
        assert_same(
            self.stdout.trim(),
            expected.trim(),
            &self.report("it printed something else"),
        );
        self
    }

    /// Itself, if this is all that was printed on the standard error; surrounding blank lines do not count.
    #[track_caller]
    pub(crate) fn stderr_is(self, expected: &str) -> Output {
        assert_same(
            self.stderr.trim(),
            expected.trim(),
            &self.report("it complained otherwise"),
        );
        self
    }

    /// Itself, if the standard error has each of the parts.
    #[track_caller]
    pub(crate) fn stderr_has(self, parts: &[&str]) -> Output {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{}",
                self.report(&format!("its errors should mention `{part}`"))
            );
        }
        self
    }

    /// Itself, if the standard output has each of the parts.
    #[track_caller]
    pub(crate) fn stdout_has(self, parts: &[&str]) -> Output {
        for part in parts {
            assert!(
                self.stdout.contains(part),
                "{}",
                self.report(&format!("its errors should mention `{part}`"))
            );
        }
        self
    }

    /// The standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}", self.report(&format!("it is not JSON: {error}"))))
    }

    /// The standard output without the line ends around it.
    pub(crate) fn text(&self) -> &str {
        self.stdout.trim()
    }

    fn report(&self, complaint: &str) -> String {
        let Output {
            stdout,
            stderr,
            status,
            what,
        } = self;
        format!("{complaint}: `{what}`\nended with {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n---")
    }
}

/// Fails, showing the first line that differs, unless both texts are the same.
#[track_caller]
pub(crate) fn assert_same(actual: &str, expected: &str, about: &str) {
    if actual == expected {
        return;
    }
    let line = actual.lines().zip(expected.lines()).take_while(|(a, e)| a == e).count();
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    panic!(
        "{about}\n--- expected\n{expected}\n--- line {} differs\nexpected: {}\n  actual: {}",
        line + 1,
        at(expected),
        at(actual)
    );
}

/// Reads all of a stream that is known to end.
pub(crate) fn read_all(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
