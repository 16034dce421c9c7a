//! Watches a running process: carries its output on and its input to it, and ends it when its time is over or nobody listens any
//! more.
//!
//! One thread and one `poll`, on a descriptor of the process: no signal can be missed (a supervisor that waits for SIGCHLD can hang).

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context, Result};
use crate::runtime::channel::{Channel, LARGEST_OUTPUT, Message};
use crate::runtime::input::Input;
use crate::runtime::supervise::Hearers;
use crate::runtime::visitors::Visitors;
use crate::runtime::{Exit, Stream};
use crate::sys::pidfd;

/// The reading ends of a process's outputs.
pub(in crate::runtime) type Outputs = Vec<(Stream, File)>;

/// As much as a terminal holds for its reader (drivers/tty/tty_buffer.c).
const TERMINAL_SIZE: i32 = 64 << 10;

/// What else the process that watches sees to meanwhile.
pub(in crate::runtime) trait Errand {
    /// What wakes it.
    fn fds(&self) -> Vec<BorrowedFd<'_>>;
    /// When it has to be seen to at the latest.
    fn due(&self) -> Option<Instant>;
    /// Does what there is to do; there may be nothing.
    fn turn(&mut self);
}

/// Who started a process and sees what it writes. It is waited for if it does not read.
pub(in crate::runtime) struct Listener {
    pub(in crate::runtime) channel: Channel,
    /// Whether the process ends if it goes without taking leave.
    pub(in crate::runtime) is_needed: bool,
}

/// What to watch and where to carry it.
pub(in crate::runtime) struct Pump<'a> {
    /// The process; readable when it has ended.
    pub(in crate::runtime) process: BorrowedFd<'a>,
    /// What is left of its outputs.
    pub(in crate::runtime) outputs: Outputs,
    /// What it is to read, if that comes from here.
    pub(in crate::runtime) input: Option<Input>,
    /// Who gets to know what it writes.
    pub(in crate::runtime) hearers: Hearers,
    /// When it is to be ended.
    pub(in crate::runtime) deadline: Option<Instant>,
    /// Ends it.
    pub(in crate::runtime) kill: &'a dyn Fn(),
    /// What else there is to do.
    pub(in crate::runtime) errand: Option<&'a mut dyn Errand>,
}

/// What is to be told once a process has ended.
pub(in crate::runtime) struct Ended {
    /// Whether it was ended for its time.
    pub(in crate::runtime) timed_out: bool,
    listener: Option<Listener>,
    visitors: Option<Visitors>,
    /// What the listener has not seen yet.
    rest: Vec<(Stream, Vec<u8>)>,
}

impl Ended {
    /// Whether who started it has seen it through.
    pub(in crate::runtime) fn has_listener(&self) -> bool {
        self.listener.is_some()
    }

    /// Tells whoever listens how it ended, and waits for the one who started it to have read all before; returns the connection to it.
    pub(in crate::runtime) fn tell(self, exit: &Exit) -> Option<Channel> {
        let message = Message::Exited(exit.clone());
        if let Some(visitors) = self.visitors {
            visitors.part(&message);
        }
        let channel = self.listener?.channel;
        let rest = self.rest.into_iter();
        let mut messages = rest
            .map(|(stream, bytes)| Message::Output(stream, bytes))
            .chain([message]);
        let _ = messages.try_for_each(|message| channel.send(&message));
        Some(channel)
    }
}

impl Pump<'_> {
    /// Returns when the process has ended and all it wrote is carried on, but for what the listener has no room for.
    pub(in crate::runtime) fn run(mut self) -> Result<Ended> {
        for (_, output) in &self.outputs {
            fcntl(output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).during(|| "watch an output")?;
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
            if ready.listener {
                self.hear();
            }
            self.attend(&ready.visitors);
            if let Some(input) = &mut self.input {
                input.write();
            }
            if let Some(errand) = &mut self.errand {
                errand.turn();
            }
            self.carry(&mut pending);
            if ready.process {
                return Ok(self.finish(pending, timed_out));
            }
        }
    }

    fn wait(&self, full: bool) -> Result<Ready> {
        let mut fds = vec![PollFd::new(self.process, PollFlags::POLLIN)];
        let after = usize::from(self.hearers.listener.is_some());
        if let Some(listener) = &self.hearers.listener {
            let room = if full { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(listener.channel.as_fd(), self.attention() | room));
        }
        if let Some(visitors) = &self.hearers.visitors {
            // Whoever comes is let in, at the door.
            let wanted = std::iter::once(PollFlags::POLLIN).chain(std::iter::repeat(self.attention()));
            fds.extend(
                visitors
                    .watched()
                    .zip(wanted)
                    .map(|(fd, wanted)| PollFd::new(fd, wanted)),
            );
        }
        let visitors_end = fds.len();
        // As long as the listener has no room for what was read, no more is read: the program waits as it would on a pipe.
        if !full {
            fds.extend(
                self.outputs
                    .iter()
                    .map(|(_, output)| PollFd::new(output.as_fd(), PollFlags::POLLIN)),
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
        let wanted = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let is_heard = |fd: &PollFd| fd.revents().is_some_and(|events| events.intersects(wanted));
        Ok(Ready {
            process: is_heard(&fds[0]),
            listener: after == 1 && is_heard(&fds[1]),
            visitors: fds[1 + after..visitors_end].iter().map(is_heard).collect(),
        })
    }

    /// What to look out for with those who may type: nothing new as long as what they typed waits for the program.
    fn attention(&self) -> PollFlags {
        match self.input.as_ref().and_then(Input::needs_room) {
            Some(_) => PollFlags::empty(),
            None => PollFlags::POLLIN,
        }
    }

    /// Takes what the listener says.
    fn hear(&mut self) {
        let Some(listener) = &self.hearers.listener else { return };
        match listener.channel.receive() {
            Ok(Some(Message::Kill)) => self.lose_listener(),
            Ok(Some(Message::Leave)) => self.hearers.listener = None,
            Ok(Some(message)) => heed(self.process, &mut self.input, message),
            Ok(None) | Err(_) if listener.is_needed => self.lose_listener(),
            // It types no more.
            Ok(None) | Err(_) => {
                self.hearers.listener = None;
                heed(self.process, &mut self.input, Message::End);
            }
        }
    }

    fn lose_listener(&mut self) {
        self.hearers.listener = None;
        (self.kill)();
    }

    fn attend(&mut self, ready: &[bool]) {
        if let Some(visitors) = &mut self.hearers.visitors
            && ready.contains(&true)
        {
            visitors.attend(ready, |message| heed(self.process, &mut self.input, message));
        }
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
        let listener = self.hearers.listener.as_ref()?;
        match listener.channel.try_send_output(stream, &bytes) {
            Err(Errno::EAGAIN) => Some((stream, bytes)),
            // A listener that went is noticed by `poll`.
            _ => None,
        }
    }

    /// Keeps output, and shows it to those who are not waited for.
    fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(log) = &mut self.hearers.log {
            log.add(stream, bytes);
        }
        if let Some(visitors) = &mut self.hearers.visitors {
            visitors.show(stream, bytes);
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

    /// Keeps what is still in the outputs: the process is gone and writes no more.
    fn finish(mut self, pending: Option<(Stream, Vec<u8>)>, timed_out: bool) -> Ended {
        let mut rest = Vec::from_iter(pending);
        for at in 0..self.outputs.len() {
            let stream = self.outputs[at].0;
            // A process left behind may write for ever: only what the pipe can hold was written before the end.
            let mut left = fcntl(&self.outputs[at].1, FcntlArg::F_GETPIPE_SZ).unwrap_or(TERMINAL_SIZE);
            while left > 0
                && let Piece::Some(bytes) = self.read(at)
            {
                left -= i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                self.keep(stream, &bytes);
                rest.push((stream, bytes));
            }
        }
        let Hearers {
            listener,
            visitors,
            log,
        } = self.hearers;
        if let Some(log) = log {
            log.finish();
        }
        Ended {
            timed_out,
            listener,
            visitors,
            rest,
        }
    }
}

/// Does what somebody attached asks for.
fn heed(process: BorrowedFd<'_>, input: &mut Option<Input>, message: Message) {
    match (message, input) {
        (Message::Input(bytes), Some(input)) => input.take(&bytes),
        (Message::End, Some(input)) => input.done(),
        (Message::Resize(rows, columns), Some(input)) => input.resize(rows, columns),
        // One that has just ended takes none.
        (Message::Signal(number), _) => drop(pidfd::send_signal(process, number)),
        _ => {}
    }
}

struct Ready {
    process: bool,
    listener: bool,
    visitors: Vec<bool>,
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
