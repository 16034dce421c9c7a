//! A process that waits for another one's end, and passes on the signals it gets.

use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Context, Result};
use crate::runtime::exit;
use crate::sys::pidfd;

/// Signals that are read, one by one, instead of being taken.
pub(super) struct Forwarded(SignalFd);

impl Forwarded {
    /// From now on.
    pub(super) fn block() -> Result<Forwarded> {
        let mut signals = SigSet::all();
        // What the kernel tells this process alone.
        for kept in [Signal::SIGCHLD, Signal::SIGPIPE, Signal::SIGTTIN, Signal::SIGTTOU] {
            signals.remove(kept);
        }
        let show = || "wait for signals";
        signals.thread_block().during(show)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&signals, flags).during(show).map(Forwarded)
    }

    /// Waits for the end of a child: its exit code as shells count.
    pub(super) fn wait(&self, child: &OwnedFd) -> Result<u8> {
        loop {
            let mut fds = [
                PollFd::new(child.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno).during(|| "wait for the container"),
            }
            let has_ended = fds[0].revents().is_some_and(|events| !events.is_empty());
            if has_ended {
                let (code, _) = exit::reap(child)?;
                return Ok(u8::try_from(code).unwrap_or(u8::MAX));
            }
            self.pass_on(child)?;
        }
    }

    fn pass_on(&self, child: &OwnedFd) -> Result<()> {
        while let Some(signal) = self.0.read_signal().during(|| "read a signal")? {
            let number = signal.ssi_signo.cast_signed();
            // One that has just ended does not mind.
            let _ = pidfd::send_signal(child, number);
        }
        Ok(())
    }
}
