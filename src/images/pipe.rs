//! Stages of work that run side by side and hand on chunks of bytes, with bounded queues between them.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::archive::Input;
use super::compression::read_error;
use crate::error::{Error, Result};
use crate::model::{Context, Digest, Hasher};

/// Bytes handed on at once: large enough that a queue's locks cost nothing, small enough to stay in the processor's cache.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait between two stages.
const DEPTH: usize = 8;

/// Bytes that went into a queue. Their memory goes back to where they came from: fresh memory would cost a fault for each page.
struct Chunk {
    memory: Vec<u8>,
    length: usize,
    home: Sender<Vec<u8>>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // Where nobody wants it any more it is freed.
        let _ = self.home.send(std::mem::take(&mut self.memory));
    }
}

impl std::ops::Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

/// The writing end of a queue. Dropping it without [`Feed::end`] tells the reader that the writer failed.
pub(crate) struct Feed {
    queue: SyncSender<Option<Arc<Chunk>>>,
    home: Sender<Vec<u8>>,
    spare: Receiver<Vec<u8>>,
}

/// The reading end: a buffered stream that can hash what passes.
pub(crate) struct Stream {
    receiver: Receiver<Option<Arc<Chunk>>>,
    chunk: Option<Arc<Chunk>>,
    at: usize,
    ended: bool,
    hasher: Option<Hasher>,
}

/// A queue of chunks; with a hasher, the reading end computes a digest.
pub(crate) fn queue(hasher: Option<Hasher>) -> (Feed, Stream) {
    let (queue, receiver) = sync_channel(DEPTH);
    let (home, spare) = channel();
    let stream = Stream {
        receiver,
        chunk: None,
        at: 0,
        ended: false,
        hasher,
    };
    (Feed { queue, home, spare }, stream)
}

impl Feed {
    /// Memory for a chunk: that of one nobody looks at any more, if there is any.
    fn memory(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_else(|_| vec![0; CHUNK])
    }

    /// Hands on the first bytes of what [`Feed::memory`] gave, and gives them to the caller too; nothing if nobody reads any more.
    fn send(&self, memory: Vec<u8>, length: usize) -> Option<Arc<Chunk>> {
        let home = self.home.clone();
        let chunk = Arc::new(Chunk { memory, length, home });
        self.queue.send(Some(Arc::clone(&chunk))).ok().map(|()| chunk)
    }

    /// Tells the reader that this was all.
    fn end(self) {
        let _ = self.queue.send(None);
    }
}

/// Writing into a queue of chunks.
pub(crate) struct Inlet {
    feed: Feed,
    memory: Vec<u8>,
    length: usize,
}

impl Inlet {
    pub(crate) fn new(feed: Feed) -> Inlet {
        Inlet {
            memory: feed.memory(),
            feed,
            length: 0,
        }
    }

    /// Hands on the last chunk, and that it is the last.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.feed.end();
        Ok(())
    }
}

impl Write for Inlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length == CHUNK {
            self.flush()?;
        }
        let length = bytes.len().min(CHUNK - self.length);
        self.memory[self.length..self.length + length].copy_from_slice(&bytes[..length]);
        self.length += length;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let length = std::mem::take(&mut self.length);
        if length == 0 {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.memory, self.feed.memory());
        // Where nobody reads any more, the reader says why.
        self.feed
            .send(full, length)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads a source to its end in chunks, hands each on and then does `also` with it. Stops early, without error, when the reader has gone:
/// the reader knows why.
pub(crate) fn pump(
    ctx: &Context,
    source: &mut dyn Read,
    feed: Feed,
    mut also: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    loop {
        ctx.check()?;
        let mut memory = feed.memory();
        let length = fill(source, &mut memory)?;
        if length == 0 {
            feed.end();
            return Ok(());
        }
        let Some(chunk) = feed.send(memory, length) else {
            return Ok(());
        };
        also(&chunk)?;
    }
}

/// Reads a whole chunk, a shorter one only at the end.
fn fill(source: &mut dyn Read, memory: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < memory.len() {
        match source.read(&mut memory[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(read_error(cause)),
        }
    }
    Ok(length)
}

impl Stream {
    /// Reads what is left, and gives the digest of all that came.
    pub(crate) fn drain(mut self, ctx: &Context) -> Result<Option<Digest>> {
        loop {
            ctx.check()?;
            let length = self.fill_buf().map_err(read_error)?.len();
            if length == 0 {
                return Ok(self.hasher.map(Hasher::finish));
            }
            self.consume(length);
        }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.chunk = None;
        match self.receiver.recv() {
            Ok(Some(chunk)) => {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&chunk);
                }
                (self.chunk, self.at) = (Some(chunk), 0);
            }
            Ok(None) => self.ended = true,
            Err(_) => return Err(io::Error::other(upstream())),
        }
        Ok(())
    }
}

const UPSTREAM: &str = "the stage before stopped";

/// The stage before failed and reports why itself; this text is never shown.
pub(crate) fn upstream() -> Error {
    Error::internal(UPSTREAM)
}

/// The same of the stage after.
pub(crate) fn downstream() -> Error {
    Error::internal("the stage after stopped")
}

/// The error that says most: a stage that only lost its source has nothing to say.
pub(crate) fn first_cause<T>(upstream: Result<()>, downstream: Result<T>) -> Result<T> {
    match downstream {
        Err(error) if error.message().ends_with(UPSTREAM) => Err(upstream.err().unwrap_or(error)),
        Err(error) => Err(error),
        Ok(value) => upstream.map(|()| value),
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.as_ref().is_none_or(|chunk| self.at == chunk.length) && !self.ended {
            self.refill()?;
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk[self.at..]))
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Input for Stream {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_is_hashed() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let (feed, mut stream) = queue(Some(Hasher::new()));
        let ctx = Context::new();
        std::thread::scope(|scope| {
            let pump = scope.spawn(|| pump(&ctx, &mut bytes.as_slice(), feed, |_| Ok(())));
            let mut start = vec![0; 1_000_000];
            stream.read_exact(&mut start).unwrap();
            assert!(start == bytes[..1_000_000]);
            assert_eq!(stream.drain(&ctx).unwrap().unwrap(), Digest::of(&bytes));
            pump.join().unwrap().unwrap();
        });
    }

    #[test]
    fn neither_end_waits_for_one_that_is_gone() {
        let ctx = Context::new();
        let (feed, stream) = queue(None);
        drop(stream);
        pump(&ctx, &mut io::repeat(0), feed, |_| Ok(())).unwrap();
        let (feed, stream) = queue(None);
        let failed = pump(&ctx, &mut &[0u8; 10][..], feed, |_| Err(Error::no_space("full")));
        let error = first_cause(failed, stream.drain(&ctx)).unwrap_err();
        assert_eq!(error.message(), "full");
    }
}
