//! A terminal with the program in it, and a person in front.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::program;

/// How long to wait for what is to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal, and what was started in it. Whoever lets go of it hangs up.
pub(crate) struct Screen {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: Vec<u8>,
    /// How much of it was waited for.
    known: usize,
    /// The settings of the terminal before anything was started in it.
    pub(crate) first_settings: String,
}

impl Screen {
    /// Starts a command in a terminal of its own; it is to be one that makes the terminal its session's, such as `setsid --ctty`.
    pub(crate) fn start(mut command: Command) -> Screen {
        let pty = openpty(None, None).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        stty(&pty.slave, &["rows", "30", "cols", "90"]);
        let first_settings = stty(&pty.slave, &["-g"]);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Screen {
            master: pty.master.into(),
            slave: pty.slave,
            child,
            seen: Vec::new(),
            known: 0,
            first_settings,
        }
    }

    /// The settings of the terminal, in one word.
    pub(crate) fn settings(&self) -> String {
        stty(&self.slave, &["-g"])
    }

    /// Makes it larger or smaller.
    pub(crate) fn resize(&self, rows: u32, columns: u32) {
        stty(&self.slave, &["rows", &rows.to_string(), "cols", &columns.to_string()]);
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let new = &self.seen[self.known..];
            if let Some(at) = new.windows(text.len()).position(|part| part == text.as_bytes()) {
                self.known += at + text.len();
                return;
            }
            let more = self.read(end);
            assert!(more, "`{text}` was not shown; this was: {}", self.shown());
        }
    }

    /// Sends a signal to what was started.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Sends a signal to what that has started itself.
    pub(crate) fn signal_child(&self, signal: Signal) {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        kill(Pid::from_raw(children.trim().parse().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.read(Instant::now()) {}
                return status;
            }
            assert!(Instant::now() < end, "it did not end; this was shown: {}", self.shown());
            // It waits for its terminal, should that be full.
            self.read((Instant::now() + Duration::from_millis(20)).min(end));
        }
    }

    /// Its exit code, once it has ended.
    #[track_caller]
    pub(crate) fn code(&mut self) -> i32 {
        self.wait()
            .code()
            .unwrap_or_else(|| panic!("a signal ended it: {}", self.shown()))
    }

    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// What the terminal shows in the end: its lines, once everything that moves and empties has been done to them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown = self.shown();
        let (mut lines, mut row, mut column) = (vec![Vec::new()], 0_usize, 0_usize);
        let mut letters = shown.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\r' => column = 0,
                '\n' => {
                    row += 1;
                    lines.resize(lines.len().max(row + 1), Vec::new());
                }
                '\x1b' => {
                    assert_eq!(letters.next(), Some('['));
                    let mut count = String::new();
                    let end = letters.by_ref().find(|letter| {
                        count.extend(letter.is_ascii_digit().then_some(*letter));
                        letter.is_ascii_alphabetic()
                    });
                    match end {
                        Some('A') => row -= count.parse::<usize>().unwrap_or(1),
                        Some('J') => {
                            lines.truncate(row + 1);
                            lines[row].truncate(column);
                        }
                        Some('K') => lines[row].truncate(column),
                        other => panic!("what does {other:?} do?"),
                    }
                }
                letter => {
                    let line: &mut Vec<char> = &mut lines[row];
                    line.resize(line.len().max(column + 1), ' ');
                    line[column] = letter;
                    column += 1;
                }
            }
        }
        lines.into_iter().map(String::from_iter).collect()
    }

    /// Reads what is there, waiting for it; `false` if nothing came in time.
    fn read(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(i32::try_from(left).unwrap()).unwrap();
        if poll(&mut fds, limit).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        let length = self.master.read(&mut bytes).unwrap();
        self.seen.extend_from_slice(&bytes[..length]);
        true
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stty(terminal: &OwnedFd, words: &[&str]) -> String {
    let output = program("stty")
        .args(words)
        .stdin(terminal.try_clone().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
