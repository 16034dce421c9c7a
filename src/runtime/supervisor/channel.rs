//! What caller, supervisor and the process being set up tell each other: whole messages over a socket that hangs up with its owner.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, sendmsg};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::runtime::Exit;
use crate::runtime::exit::{self, NotExecuted};
use crate::sys::socket;

/// The most bytes of output in one message; with its tag it fits a socket buffer several times.
pub(in crate::runtime) const LARGEST_OUTPUT: usize = 64 << 10;

/// The most letters of an error that travel: whatever it quotes, it fits one message.
const LONGEST_TEXT: usize = 4096;

/// Which of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why something was not started, as it travels between processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) struct Failure {
    kind: String,
    message: String,
    hint: Option<String>,
    /// The exit code this counts as: 125, 126 or 127.
    pub(in crate::runtime) code: i32,
}

impl Failure {
    pub(in crate::runtime) fn new(error: &Error, code: i32) -> Failure {
        Failure {
            kind: error.kind().name().to_owned(),
            message: shortened(error.message()),
            hint: error.way_out().map(shortened),
            code,
        }
    }

    pub(in crate::runtime) fn message(&self) -> &str {
        &self.message
    }

    pub(in crate::runtime) fn into_error(self) -> Error {
        let error = Error::new(Kind::parse(&self.kind).unwrap_or(Kind::Internal), self.message);
        let error = match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        };
        match self.code {
            exit::NOT_EXECUTABLE | exit::NOT_FOUND => error.source(NotExecuted { code: self.code }),
            _ => error,
        }
    }
}

/// The start and the end of a text that is too long: an error quotes in the middle.
fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    let half = LONGEST_TEXT / 2;
    let (start, end) = (
        text.floor_char_boundary(half),
        text.ceil_char_boundary(text.len() - half),
    );
    format!("{}…{}", &text[..start], &text[end..])
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::runtime) enum Message {
    /// The program runs.
    Started(i32),
    /// It could not be started.
    Failed(Failure),
    /// It ended.
    Exited(Exit),
    /// After that: nothing is left of its run but the supervisor itself.
    Tidied,
    /// To the process being set up: all is recorded, run the program. To its parent: this is the process's number.
    Go(i32),
    /// This descriptor of mine is where system calls are read and answered.
    Listening(i32),
    /// To the supervisor: end the program now.
    Kill,
    /// To the supervisor: go on without me.
    Leave,
    /// To the supervisor: send the program a signal of this number.
    Signal(i32),
    /// To the supervisor: the program's terminal has so many rows and columns.
    Resize(u16, u16),
    /// To the supervisor: nothing more is to be read.
    End,
    /// To the supervisor: what the program is to read.
    #[serde(skip)]
    Input(Vec<u8>),
    /// What it wrote.
    #[serde(skip)]
    Output(Stream, Vec<u8>),
}

/// One end of a connection.
#[derive(Debug)]
pub(in crate::runtime) struct Channel(OwnedFd);

/// Longer than a message of one word.
const LONGEST_WORD: usize = 64;

const JSON: u8 = b'{';
const STDOUT: u8 = b'o';
const STDERR: u8 = b'e';
const STDIN: u8 = b'i';

impl Channel {
    /// Two connected ends, which an `execve` closes.
    pub(in crate::runtime) fn pair() -> Result<(Channel, Channel)> {
        let (a, b) = socket::pair().during(|| "make a socket pair")?;
        Ok((Channel(a), Channel(b)))
    }

    /// The end that was handed to this process.
    pub(in crate::runtime) fn from_fd(fd: OwnedFd) -> Channel {
        Channel(fd)
    }

    /// Sends, waiting for room. `EPIPE` if the other end is gone.
    pub(in crate::runtime) fn send(&self, message: &Message) -> nix::Result<()> {
        self.send_by(message, MsgFlags::empty())
    }

    /// Sends if there is room; `EAGAIN` if not.
    pub(in crate::runtime) fn try_send(&self, message: &Message) -> nix::Result<()> {
        self.send_by(message, MsgFlags::MSG_DONTWAIT)
    }

    fn send_by(&self, message: &Message, flags: MsgFlags) -> nix::Result<()> {
        match message {
            Message::Output(stream, bytes) => self.write(tag(*stream), bytes, flags),
            Message::Input(bytes) => self.write(STDIN, bytes, flags),
            other => self.write(JSON, &serde_json::to_vec(other).map_err(|_| Errno::EINVAL)?, flags),
        }
    }

    /// Sends output if there is room; `EAGAIN` if not.
    pub(in crate::runtime) fn try_send_output(&self, stream: Stream, bytes: &[u8]) -> nix::Result<()> {
        self.write(tag(stream), bytes, MsgFlags::MSG_DONTWAIT)
    }

    fn write(&self, tag: u8, body: &[u8], flags: MsgFlags) -> nix::Result<()> {
        let parts = [IoSlice::new(std::slice::from_ref(&tag)), IoSlice::new(body)];
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &parts, &[], flags | MsgFlags::MSG_NOSIGNAL, None) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Sends by `write(2)` alone, which is all that some filters are known to let pass.
    pub(in crate::runtime) fn send_plainly(&self, message: &Message) -> nix::Result<()> {
        let mut whole = vec![JSON];
        serde_json::to_writer(&mut whole, message).map_err(|_| Errno::EINVAL)?;
        nix::unistd::write(&self.0, &whole).map(drop)
    }

    /// Has the other end go on. If it is gone already, it has said why.
    pub(in crate::runtime) fn let_go(&self) -> Result<()> {
        match self.send(&Message::Go(0)) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            result => result.during(|| "let the container's process go"),
        }
    }

    /// The next message, waiting for it as long as a process is there; `None` if it is gone, whoever else has the other end.
    pub(in crate::runtime) fn receive_from(&self, sender: BorrowedFd<'_>) -> Result<Option<Message>> {
        let ready = |limit| {
            let mut fds = [
                PollFd::new(self.as_fd(), PollFlags::POLLIN),
                PollFd::new(sender, PollFlags::POLLIN),
            ];
            match poll(&mut fds, limit) {
                Ok(_) | Err(Errno::EINTR) => Ok(fds.map(|fd| fd.any().unwrap_or(false))),
                Err(errno) => Err(errno).during(|| "wait for a process"),
            }
        };
        loop {
            match ready(PollTimeout::NONE)? {
                [true, _] => return self.receive(),
                // It may have sent something between the looks at the one and the other.
                [false, true] if !ready(PollTimeout::ZERO)?[0] => return Ok(None),
                _ => {}
            }
        }
    }

    /// Whether the other end is gone or wants the end; what else it has said is left to be received.
    pub(in crate::runtime) fn is_given_up(&self) -> bool {
        let mut buffer = [0; LONGEST_WORD];
        match recv(
            self.0.as_raw_fd(),
            &mut buffer,
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(0) => true,
            Ok(length) if buffer[0] == JSON => {
                matches!(serde_json::from_slice(&buffer[1..length]), Ok(Message::Kill))
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => false,
            Err(_) => true,
        }
    }

    /// The next message, waiting for it; `None` if the other end is gone.
    pub(in crate::runtime) fn receive(&self) -> Result<Option<Message>> {
        let mut buffer = vec![0; LARGEST_OUTPUT + 1];
        let length = loop {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // The other end went without reading all that was sent to it. That is told once, and what it sent before comes next.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                result => break result.during(|| "read from the supervisor")?,
            }
        };
        buffer.truncate(length);
        match buffer.first() {
            None => Ok(None),
            Some(&STDOUT) => Ok(Some(Message::Output(Stream::Stdout, buffer.split_off(1)))),
            Some(&STDERR) => Ok(Some(Message::Output(Stream::Stderr, buffer.split_off(1)))),
            Some(&STDIN) => Ok(Some(Message::Input(buffer.split_off(1)))),
            Some(_) => serde_json::from_slice(&buffer[1..])
                .map(Some)
                .map_err(|cause| Error::internal(format!("failed to read from the supervisor: {cause}"))),
        }
    }
}

fn tag(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_until_the_other_end_is_gone() {
        let (a, b) = Channel::pair().unwrap();
        let failure = Failure::new(&Error::not_found("no `x`").hint("make one"), 127);
        let bytes = vec![0xff; LARGEST_OUTPUT];
        let sent = [
            Message::Started(7),
            Message::Output(Stream::Stderr, Vec::new()),
            Message::Output(Stream::Stdout, bytes),
            Message::Failed(failure.clone()),
            Message::Input(vec![b'{', 4]),
            Message::Resize(24, 80),
        ];
        for message in &sent {
            a.send(message).unwrap();
            assert_eq!(b.receive().unwrap().as_ref(), Some(message));
        }
        // Of any length, with letters that JSON writes as six each.
        let long = Failure::new(&Error::not_found(format!("no `{}`", "\u{1}é".repeat(100_000))), 125);
        a.send(&Message::Failed(long.clone())).unwrap();
        assert_eq!(b.receive().unwrap(), Some(Message::Failed(long)));
        for (message, gives_up) in [
            (Message::End, false),
            (Message::Input(vec![b'x'; 99]), false),
            (Message::Kill, true),
        ] {
            assert!(!b.is_given_up());
            a.send(&message).unwrap();
            assert_eq!(b.is_given_up(), gives_up);
            assert_eq!(b.receive().unwrap(), Some(message));
        }
        // What was sent before the end is read, though the other end left something unread.
        a.send(&sent[0]).unwrap();
        b.send(&Message::Kill).unwrap();
        drop(a);
        assert_eq!(b.receive().unwrap().as_ref(), Some(&sent[0]));
        assert_eq!(b.receive().unwrap(), None);
        assert!(b.is_given_up());
        assert_eq!(b.send(&Message::Kill).unwrap_err(), Errno::EPIPE);
        let error = failure.into_error();
        assert_eq!((error.kind(), error.way_out()), (Kind::NotFound, Some("make one")));
    }
}
