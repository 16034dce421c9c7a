//! Writing into a queue of chunks, which another thread reads.

use std::io::{self, Write};
use std::sync::Arc;

use crate::images::pipe::{CHUNK, Feed};

/// Fills chunks and hands them on.
pub(super) struct Inlet {
    feed: Feed,
    filling: Vec<u8>,
}

impl Inlet {
    pub(super) fn new(feed: Feed) -> Inlet {
        Inlet {
            feed,
            filling: Vec::with_capacity(CHUNK),
        }
    }

    /// Hands on the last chunk, and that it is the last.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.feed.end();
        Ok(())
    }
}

impl Write for Inlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filling.len() == CHUNK {
            self.flush()?;
        }
        let length = bytes.len().min(CHUNK - self.filling.len());
        self.filling.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let full = std::mem::replace(&mut self.filling, Vec::with_capacity(CHUNK));
        match full.is_empty() || self.feed.send(Arc::new(full)) {
            true => Ok(()),
            // The reader says why it is gone.
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
