//! What a program is to read and has not taken yet.

use std::fs::File;
use std::io::{ErrorKind, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::{Context, Result};
use crate::sys::pty;

/// What a terminal takes for the end of its input (`VEOF`, termios(3)), unless a program has changed it.
const END: u8 = 4;

/// A program's standard input, to be written to.
pub(in crate::runtime) struct Input {
    /// Gone once the program reads no more, or is to read the end.
    to: Option<File>,
    /// That of a terminal, kept from hanging up.
    peer: Option<File>,
    waiting: Vec<u8>,
    /// Whether it ends after what is waiting.
    ends: bool,
    /// Whether it goes on when one of those who type is done.
    pub(in crate::runtime) lasts: bool,
}

impl Input {
    /// That of a program that reads a pipe.
    pub(in crate::runtime) fn pipe(to: PipeWriter) -> Input {
        Input {
            to: Some(OwnedFd::from(to).into()),
            peer: None,
            waiting: Vec::new(),
            ends: false,
            lasts: true,
        }
    }

    /// That of a program that reads a terminal, with what is typed into it from the start.
    pub(in crate::runtime) fn terminal(master: File, peer: File, typed: Vec<u8>) -> Input {
        Input {
            to: Some(master),
            peer: Some(peer),
            waiting: typed,
            ends: false,
            lasts: true,
        }
    }

    /// Takes what somebody typed.
    pub(in crate::runtime) fn take(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// One of those who type is done. A terminal has no end but the key for it.
    pub(in crate::runtime) fn done(&mut self) {
        self.ends |= !self.lasts && self.peer.is_none();
    }

    /// Tells a terminal its size.
    pub(in crate::runtime) fn resize(&self, rows: u16, columns: u16) {
        if let (Some(to), Some(_)) = (&self.to, &self.peer) {
            // It is gone when it takes none.
            let _ = pty::set_size(to, pty::Size { rows, columns });
        }
    }

    /// Has a terminal's program read the end after what is waiting.
    pub(in crate::runtime) fn type_end(&mut self) {
        match self.waiting.last() {
            None | Some(b'\n') => self.waiting.push(END),
            // The first only ends the line.
            Some(_) => self.waiting.extend([END, END]),
        }
    }

    /// Has writes return when there is no room.
    pub(in crate::runtime) fn prepare(&self) -> Result<()> {
        let Some(to) = &self.to else { return Ok(()) };
        fcntl(to, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .during(|| "watch standard input")
            .map(drop)
    }

    /// What to wait for room in, if anything waits for it.
    pub(in crate::runtime) fn needs_room(&self) -> Option<BorrowedFd<'_>> {
        let to = self.to.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some(to.as_fd())
    }

    /// Writes as much as there is room for.
    pub(in crate::runtime) fn write(&mut self) {
        while let (Some(to), false) = (&mut self.to, self.waiting.is_empty()) {
            match to.write(&self.waiting) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                // It reads no more.
                Err(_) => self.waiting.clear(),
            }
        }
        if self.ends {
            self.to = None;
        }
    }
}
