//! Watches a running process: carries its output on, and ends it when its time is over or nobody listens any more.
//!
//! One thread and one `poll`, on a descriptor of the process: no signal can be missed (a supervisor that waits for SIGCHLD can hang).

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Stream;
use super::channel::{Channel, LARGEST_OUTPUT, Message};
use super::input::Input;
use super::logs::Log;
use crate::error::{Context, Result};

/// The reading ends of a process's outputs.
pub(super) type Outputs = Vec<(Stream, File)>;

/// As much as a terminal holds for its reader (drivers/tty/tty_buffer.c).
const TERMINAL_SIZE: i32 = 64 << 10;

/// What else the process that watches sees to meanwhile.
pub(super) trait Errand {
    /// What wakes it.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;
    /// When it has to be seen to at the latest.
    fn due(&self) -> Option<Instant>;
    /// Does what there is to do; there may be nothing.
    fn turn(&mut self);
}

/// What to watch and where to carry it.
pub(super) struct Pump<'a> {
    /// The process; readable when it has ended.
    pub(super) process: BorrowedFd<'a>,
    /// What is left of its outputs.
    pub(super) outputs: Outputs,
    /// What it is to read, if that comes from here.
    pub(super) input: Option<Input>,
    /// Who started it and listens; if that one goes, the process ends.
    pub(super) listener: Option<&'a Channel>,
    /// Where its output is kept.
    pub(super) log: Option<Log>,
    /// When it is to be ended.
    pub(super) deadline: Option<Instant>,
    /// Ends it.
    pub(super) kill: &'a dyn Fn(),
    /// What else there is to do.
    pub(super) errand: Option<&'a mut dyn Errand>,
}

impl Pump<'_> {
    /// Returns when the process has ended and all it wrote is carried on: whether it was ended for its time.
    pub(super) fn run(mut self) -> Result<bool> {
        for (_, pipe) in &self.outputs {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).during(|| "watch a pipe")?;
        }
        if let Some(input) = &self.input {
            input.prepare()?;
        }
        let mut timed_out = false;
        let mut pending = None;
        loop {
            let ready = self.wait(pending.is_some())?;
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                timed_out = true;
                self.deadline = None;
                (self.kill)();
            }
            if ready.listener && !self.hear() {
                self.listener = None;
                (self.kill)();
            }
            if let Some(input) = &mut self.input {
                input.write();
            }
            if let Some(errand) = &mut self.errand {
                errand.turn();
            }
            self.carry(&mut pending);
            if ready.process {
                self.drain(pending);
                return Ok(timed_out);
            }
        }
    }

    fn wait(&self, full: bool) -> Result<Ready> {
        let mut fds = vec![PollFd::new(self.process, PollFlags::POLLIN)];
        if let Some(listener) = self.listener {
            let room = if full { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN | room));
        }
        // As long as the listener has no room for what was read, no more is read: the program waits as it would on a pipe.
        if !full {
            fds.extend(
                self.outputs
                    .iter()
                    .map(|(_, pipe)| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)),
            );
        }
        let input = self.input.as_ref().and_then(Input::needs_room);
        fds.extend(input.map(|to| PollFd::new(to, PollFlags::POLLOUT)));
        let errand = self.errand.as_deref();
        let its_fds = errand.map_or_else(Vec::new, Errand::fds);
        fds.extend(its_fds.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let soonest = [self.deadline, errand.and_then(Errand::due)]
            .into_iter()
            .flatten()
            .min();
        match poll(&mut fds, timeout(soonest)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "watch a process"),
        }
        let heard = |at: usize| {
            let wanted = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
            fds.get(at)
                .and_then(PollFd::revents)
                .is_some_and(|events| events.intersects(wanted))
        };
        Ok(Ready {
            process: heard(0),
            listener: self.listener.is_some() && heard(1),
        })
    }

    /// Whether the listener is still there and content.
    fn hear(&self) -> bool {
        let message = self.listener.map(Channel::receive);
        !matches!(message, Some(Ok(None | Some(Message::Kill)) | Err(_)))
    }

    /// Carries on one piece of each output, unless there is no room.
    fn carry(&mut self, pending: &mut Option<(Stream, Vec<u8>)>) {
        if let Some((stream, bytes)) = pending.take() {
            *pending = self.offer(stream, bytes);
        }
        let mut at = 0;
        while at < self.outputs.len() && pending.is_none() {
            let stream = self.outputs[at].0;
            match self.read(at) {
                Piece::Some(bytes) => {
                    self.keep(stream, &bytes);
                    *pending = self.offer(stream, bytes);
                    at += 1;
                }
                Piece::None => at += 1,
                Piece::End => drop(self.outputs.remove(at)),
            }
        }
    }

    /// Hands output to the listener; gives it back if there is no room.
    fn offer(&mut self, stream: Stream, bytes: Vec<u8>) -> Option<(Stream, Vec<u8>)> {
        match self.listener?.try_send_output(stream, &bytes) {
            Err(Errno::EAGAIN) => Some((stream, bytes)),
            // A listener that went is noticed by `poll`.
            _ => None,
        }
    }

    fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.add(stream, bytes);
        }
    }

    fn read(&mut self, at: usize) -> Piece {
        let mut bytes = vec![0; LARGEST_OUTPUT];
        match self.outputs[at].1.read(&mut bytes) {
            Ok(0) => Piece::End,
            Ok(length) => {
                bytes.truncate(length);
                Piece::Some(bytes)
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Piece::None,
            Err(_) => Piece::End,
        }
    }

    /// Carries on what is still in the pipes, waiting for room: the process is gone and writes no more.
    fn drain(mut self, pending: Option<(Stream, Vec<u8>)>) {
        let send = |listener: Option<&Channel>, stream, bytes| {
            listener.is_some_and(|listener| listener.send(&Message::Output(stream, bytes)).is_ok())
        };
        if let Some((stream, bytes)) = pending {
            send(self.listener, stream, bytes);
        }
        for at in 0..self.outputs.len() {
            let stream = self.outputs[at].0;
            // A process left behind may write for ever: only what the pipe can hold was written before the end.
            let mut left = fcntl(&self.outputs[at].1, FcntlArg::F_GETPIPE_SZ).unwrap_or(TERMINAL_SIZE);
            while left > 0
                && let Piece::Some(bytes) = self.read(at)
            {
                left -= i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                self.keep(stream, &bytes);
                send(self.listener, stream, bytes);
            }
        }
        if let Some(log) = self.log {
            log.finish();
        }
    }
}

struct Ready {
    process: bool,
    listener: bool,
}

enum Piece {
    Some(Vec<u8>),
    /// Nothing now.
    None,
    /// Nothing ever.
    End,
}

/// How long to wait at most, rounded up so that the deadline is over when the wait is.
fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else {
        return PollTimeout::NONE;
    };
    let left = deadline
        .saturating_duration_since(Instant::now())
        .as_micros()
        .div_ceil(1000);
    i32::try_from(left)
        .ok()
        .and_then(|left| PollTimeout::try_from(left).ok())
        .unwrap_or(PollTimeout::MAX)
}
