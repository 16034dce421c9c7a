//! A blob that is handed on while it comes: one thread fetches it, any number read what is here by now.
//!
//! The last byte that a reader wants is handed out once the whole blob has been verified and kept: who reads of a wrong one, or of one
//! that breaks off, gets an error and never all that was asked for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::compression::read_error;
use super::content::{Content, check_digest};
use super::incoming::Arrived;
use super::manifest::Descriptor;
use super::partial::Partial;
use super::registry::{Download, Registry, Traffic};
use crate::error::{Error, Kind, Result};
use crate::model::{Context, Digest};

/// Bytes fetched at once.
const PIECE: usize = 256 << 10;

/// A blob on its way to many.
pub struct Relay {
    digest: Digest,
    size: u64,
    file: OnceLock<File>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Default)]
struct Progress {
    /// Bytes that are in the file.
    here: u64,
    end: Option<std::result::Result<(), (Kind, String)>>,
}

/// A blob that has come in whole; nobody else fetches it before this is gone.
pub struct Relayed {
    /// What there is to publish.
    pub arrived: Arrived,
    _partial: Partial,
}

impl Relay {
    /// A blob of so many bytes of which nothing is here yet. Somebody has to [`Relay::fetch`] it, and to say how that [ended](Relay::end).
    pub fn new(digest: &Digest, size: u64) -> Relay {
        Relay {
            digest: digest.clone(),
            size,
            file: OnceLock::new(),
            progress: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings it here, going on from what an earlier try left. Errors: those of the registry; `corrupt` and `no_space`, and nothing of it is kept then.
    pub fn fetch(&self, ctx: &Context, content: &Content, registry: &Registry, repository: &str) -> Result<Relayed> {
        let partial = content.relayed_partial(ctx, &self.digest)?;
        let had = match partial.len()? {
            had if had <= self.size => had,
            _ => {
                partial.clear()?;
                0
            }
        };
        match self.stream(ctx, &partial, had, (registry, repository)) {
            Ok(arrived) => Ok(Relayed {
                arrived,
                _partial: partial,
            }),
            Err(error) => {
                // Nobody shall go on from what is wrong, and a full disk gets back what it gave.
                if matches!(error.kind(), Kind::Corrupt | Kind::NoSpace) {
                    partial.clear()?;
                }
                Err(error)
            }
        }
    }

    fn stream(
        &self,
        ctx: &Context,
        partial: &Partial,
        had: u64,
        (registry, repository): (&Registry, &str),
    ) -> Result<Arrived> {
        let (described, traffic) = (
            Descriptor::new("", self.digest.clone(), self.size),
            Arc::new(Traffic::default()),
        );
        let mut sink = partial.sink(had)?;
        let _ = self.file.set(partial.reader(0)?.into_inner());
        let rest = Download::new(ctx, registry, repository, &described, had, &traffic);
        let (mut input, mut buffer) = (partial.reader(had)?.chain(rest), vec![0; PIECE]);
        loop {
            ctx.check()?;
            let length = match input.read(&mut buffer).map_err(read_error)? {
                0 => break,
                length => length,
            };
            sink.write(&buffer[..length])?;
            self.progress().here = sink.written();
            self.moved.notify_all();
        }
        let (path, digest, size) = sink.finish();
        check_digest(
            &digest,
            &self.digest,
            &format!("the blob that `{}` sent", registry.name()),
        )?;
        let path = path.ok_or_else(|| Error::internal("a part is a file"))?;
        Ok(Arrived { path, digest, size })
    }

    /// Says how it ended: only now the last bytes are handed out, or nothing more.
    pub fn end(&self, outcome: &Result<()>) {
        let end = match outcome {
            Ok(()) => Ok(()),
            Err(error) => Err((error.kind(), error.message().to_owned())),
        };
        self.progress().end.get_or_insert(end);
        self.moved.notify_all();
    }

    /// Waits until there is something to read, so that what cannot be had at all is known before anything is promised.
    ///
    /// Errors: why nothing came.
    pub fn begun(&self) -> Result<()> {
        self.past(0, self.size).map(drop)
    }

    /// Waits until more than this is here; gives how much may be handed out to one who wants no more than `until`.
    fn past(&self, at: u64, until: u64) -> Result<u64> {
        let mut progress = self.progress();
        loop {
            match &progress.end {
                Some(Ok(())) => return Ok(until),
                Some(Err((kind, message))) => return Err(Error::new(*kind, message.clone())),
                None => {}
            }
            let out = progress.here.min(until.saturating_sub(1));
            if out > at {
                return Ok(out);
            }
            progress = self.moved.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The bytes of a relayed blob, from some place on.
pub struct Follower {
    relay: Arc<Relay>,
    at: u64,
    /// Bytes that are still wanted.
    left: u64,
}

impl Follower {
    /// So many bytes from a place on.
    pub fn new(relay: &Arc<Relay>, from: u64, length: u64) -> Follower {
        Follower {
            relay: relay.clone(),
            at: from,
            left: length.min(relay.size.saturating_sub(from)),
        }
    }
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let out = self
            .relay
            .past(self.at, self.at + self.left)
            .map_err(io::Error::other)?;
        let most = out.saturating_sub(self.at);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
        let file = self.relay.file.get().ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = file.read_at(&mut buffer[..most], self.at)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

impl Content {
    /// Makes a relayed blob visible, and lasting; it must be held.
    pub fn publish_relayed(&self, relayed: Relayed) -> Result<()> {
        let Relayed { arrived, _partial } = relayed;
        self.publish_arrived(&[arrived])
    }
}
