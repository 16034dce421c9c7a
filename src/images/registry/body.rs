//! What a request carries.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use crate::error::Result;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Bytes handed on at once, by which is seen that a slow transfer moves.
const PIECE: usize = 16 << 10;
/// Chunks that may wait.
const DEPTH: usize = 4;

/// A stream to send; each call starts it anew.
pub type Opener = Arc<dyn Fn() -> Result<Box<dyn Read + Send>> + Send + Sync>;

/// What a request carries. All forms can be sent again.
#[derive(Clone, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A stream, with its length where that is known.
    Stream(Opener, Option<u64>),
}

impl Body {
    /// How many bytes a stream has, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Body::Stream(_, length) => *length,
            Body::Empty | Body::Bytes(_) => None,
        }
    }

    /// Starts to send it; `moved` counts what has gone.
    pub(super) fn start(&self, moved: &Arc<AtomicU64>) -> Result<Option<reqwest::Body>> {
        match self {
            Body::Empty => Ok(None),
            Body::Bytes(bytes) => Ok(Some(bytes.clone().into())),
            Body::Stream(open, length) => {
                let (sender, chunks) = mpsc::channel(DEPTH);
                let mut reader = open()?;
                tokio::task::spawn_blocking(move || feed(&mut *reader, &sender));
                let moved = Arc::clone(moved);
                Ok(Some(reqwest::Body::wrap(Stream {
                    chunks,
                    rest: Bytes::new(),
                    left: *length,
                    moved,
                })))
            }
        }
    }
}

/// Reads a stream to its end, or until nobody wants more.
fn feed(reader: &mut dyn Read, chunks: &mpsc::Sender<std::io::Result<Bytes>>) {
    loop {
        let mut memory = vec![0; CHUNK];
        let read = match reader.read(&mut memory) {
            Ok(0) => return,
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other,
        };
        let is_over = read.is_err();
        let chunk = read.map(|length| {
            memory.truncate(length);
            Bytes::from(memory)
        });
        if chunks.blocking_send(chunk).is_err() || is_over {
            return;
        }
    }
}

struct Stream {
    chunks: mpsc::Receiver<std::io::Result<Bytes>>,
    /// What was read and is to be handed on.
    rest: Bytes,
    left: Option<u64>,
    moved: Arc<AtomicU64>,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        while self.rest.is_empty() {
            match ready!(self.chunks.poll_recv(task)) {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(cause)) => return Poll::Ready(Some(Err(cause))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.moved.fetch_add(length as u64, Ordering::Relaxed);
        self.left = self.left.map(|left| left.saturating_sub(length as u64));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
