//! A process remembered across time: its number alone may have been given to another one since.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::sys::file;
use crate::sys::pidfd::{self, End};

/// `PF_FORKNOEXEC`: the process was forked and has executed nothing since (include/linux/sched.h).
const FORKED_ONLY: u64 = 0x40;

/// A process, told from every other one of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) struct Process {
    pub(in crate::runtime) pid: i32,
    /// When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub(in crate::runtime) start_time: u64,
}

impl Process {
    /// No process, until there is one.
    pub(in crate::runtime) const NONE: Process = Process { pid: 0, start_time: 0 };

    /// The process that has this number now.
    pub(in crate::runtime) fn current(pid: i32) -> Result<Process> {
        let start_time =
            start_time(pid).ok_or_else(|| Error::internal(format!("failed to examine process {pid}: it has ended")))?;
        Ok(Process { pid, start_time })
    }

    /// A descriptor for it; `None` if it has ended.
    pub(in crate::runtime) fn open(self) -> Option<OwnedFd> {
        let fd = pidfd::open(self.pid).ok()?;
        // Checked after opening: from now on the descriptor stays with the process that has this start time.
        (start_time(self.pid) == Some(self.start_time) && !has_ended(&fd)).then_some(fd)
    }

    pub(in crate::runtime) fn is_alive(self) -> bool {
        let Some(stat) = stat(self.pid).filter(|stat| number(stat, 22) == Some(self.start_time)) else {
            return false;
        };
        // The first thread of one that has ended may have others that have not.
        !matches!(letter(&stat), Some('Z' | 'X')) || self.open().is_some()
    }

    /// Whether it has become a program since it was made as a copy of another process, whose files and mounts it may still see.
    pub(in crate::runtime) fn has_executed(self) -> bool {
        stat(self.pid)
            .and_then(|stat| number(&stat, 9))
            .is_some_and(|flags| flags & FORKED_ONLY == 0)
    }
}

/// How a process that has ended did so, though it is no child of this one; `None` where the kernel does not tell.
pub(in crate::runtime) fn end_of(process: Process, fd: &OwnedFd) -> Option<End> {
    // Until its parent has taken the status, the process tells it itself; then, since Linux 6.15, the descriptor.
    let fields = stat(process.pid).filter(|stat| number(stat, 22) == Some(process.start_time));
    let status = fields.and_then(|stat| number(&stat, 52)?.try_into().ok());
    status.map(End::of_status).or_else(|| pidfd::end(fd))
}

/// Whether all threads of a process have ended.
pub(in crate::runtime) fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(process), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

fn start_time(pid: i32) -> Option<u64> {
    number(&stat(pid)?, 22)
}

fn stat(pid: i32) -> Option<String> {
    file::read_whole_text(format!("/proc/{pid}/stat").as_ref()).ok()
}

/// A number by its field in proc_pid_stat(5).
fn number(stat: &str, field: usize) -> Option<u64> {
    word(stat, field)?.parse().ok()
}

/// What the process is doing.
fn letter(stat: &str) -> Option<char> {
    word(stat, 3)?.chars().next()
}

fn word(stat: &str, field: usize) -> Option<&str> {
    // The name, in parentheses, may hold spaces and parentheses itself; after the last one come the fields from the third on.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    fields.nth(field - 3)
}

/// What tells this run of the machine from the ones before (random(4)).
pub(in crate::runtime) fn boot_id() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(id.clone());
    }
    let text = fs::read_to_string(FILE).during(|| format!("read `{FILE}`"))?;
    Ok(ID.get_or_init(|| text.trim().to_owned()).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_used_again_is_another_process() {
        let own = Process::current(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(
            !Process {
                start_time: own.start_time + 1,
                ..own
            }
            .is_alive()
        );
        assert!(!Process { pid: i32::MAX, ..own }.is_alive());
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a process to be looked at, started by the test"
    )]
    fn one_whose_status_nobody_has_taken_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = Process::current(i32::try_from(child.id()).unwrap()).unwrap();
        let fd = pidfd::open(process.pid).unwrap();
        while !has_ended(&fd) {
            std::thread::yield_now();
        }
        assert!(!process.is_alive());
        child.wait().unwrap();
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a process to be looked at, started by the test"
    )]
    fn a_copy_is_told_from_a_program() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        // The shell's copy of itself waits for input, and the shell for its copy.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; (read line <&3) & echo $!; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let copy = Process::current(line.trim().parse().unwrap()).unwrap();
        let program = Process::current(i32::try_from(shell.id()).unwrap()).unwrap();
        assert_eq!((program.has_executed(), copy.has_executed()), (true, false));
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}
