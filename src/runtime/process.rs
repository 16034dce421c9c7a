//! A process remembered across time: its number alone may have been given to another one since.

use std::fs;
use std::os::fd::OwnedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::sys::pidfd;

/// A process, told from every other one of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub(super) start_time: u64,
}

impl Process {
    /// The process that has this number now.
    pub(super) fn current(pid: i32) -> Result<Process> {
        let start_time =
            start_time(pid).ok_or_else(|| Error::internal(format!("failed to examine process {pid}: it has ended")))?;
        Ok(Process { pid, start_time })
    }

    /// A descriptor for it; `None` if it has ended.
    pub(super) fn open(self) -> Option<OwnedFd> {
        let fd = pidfd::open(self.pid).ok()?;
        // Checked after opening: from now on the descriptor stays with the process that has this start time.
        (start_time(self.pid) == Some(self.start_time) && !has_ended(&fd)).then_some(fd)
    }

    pub(super) fn is_alive(self) -> bool {
        self.open().is_some()
    }
}

/// Whether all threads of a process have ended.
pub(super) fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(process), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces and parentheses itself; after the last one come the fields from the third on.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// What tells this run of the machine from the ones before (random(4)).
pub(super) fn boot_id() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(FILE)
        .during(|| format!("read `{FILE}`"))?
        .trim()
        .to_owned())
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
}
