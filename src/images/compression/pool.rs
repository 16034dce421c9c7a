//! Blocks compressed side by side. What comes out of a block depends on the block alone, never on who worked on it or how many did.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionError, CompressionLvl, Compressor};

use super::Compression;

/// At 1, libdeflate packs a file system within two hundredths of what zlib makes of it by default, in a quarter of the time.
const GZIP_LEVEL: i32 = 1;
const ZSTD_LEVEL: i32 = 3;
/// More would only take memory: by then zstd is as fast as the hash it feeds.
const MOST_WORKERS: usize = 4;

/// A block, compressed.
pub(super) struct Packed {
    pub(super) bytes: io::Result<Vec<u8>>,
    /// The block's memory, for the next one.
    pub(super) block: Vec<u8>,
}

struct Job {
    block: Vec<u8>,
    compression: Compression,
    reply: SyncSender<Packed>,
}

/// Threads that compress, shared by all streams that are written at once.
pub(crate) struct Pool {
    queue: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// As many threads as there are processors, within reason.
    pub(crate) fn new() -> Pool {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Pool::of(processors.min(MOST_WORKERS))
    }

    pub(super) fn of(workers: usize) -> Pool {
        let (queue, jobs) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let work = |jobs: Arc<Mutex<Receiver<Job>>>| move || Packer::default().work(&jobs);
        Pool {
            queue: Some(queue),
            workers: (0..workers)
                .map(|_| std::thread::spawn(work(Arc::clone(&jobs))))
                .collect(),
        }
    }

    /// Blocks one stream may have under way.
    pub(super) fn depth(&self) -> usize {
        self.workers.len() + 1
    }

    /// Has a block compressed; the outcome is received when it is done.
    pub(super) fn submit(&self, block: Vec<u8>, compression: Compression) -> Receiver<Packed> {
        let (reply, outcome) = sync_channel(1);
        let job = Job {
            block,
            compression,
            reply,
        };
        // A queue nobody reads any more drops the reply, which the receiver sees.
        let _ = self.queue.as_ref().map(|queue| queue.send(job));
        outcome
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// One worker's compressors, kept from block to block.
#[derive(Default)]
struct Packer {
    gzip: Option<Compressor>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    out: Vec<u8>,
}

impl Packer {
    fn work(mut self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            let block = job.block;
            let bytes = match job.compression {
                Compression::None => Ok(block.clone()),
                Compression::Gzip => self.member(&block),
                Compression::Zstd => self.frame(&block),
            };
            let _ = job.reply.send(Packed { bytes, block });
        }
    }

    /// A gzip member: no name and no time in its header, and an unknown system, so that the bytes depend on the data alone.
    fn member(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let compressor = match &mut self.gzip {
            Some(compressor) => compressor,
            empty => {
                let level = CompressionLvl::new(GZIP_LEVEL).map_err(|_| io::Error::other("no such level of gzip"))?;
                empty.insert(Compressor::new(level))
            }
        };
        let bound = compressor.gzip_compress_bound(block.len());
        self.out.resize(bound.max(self.out.len()), 0);
        let length = compressor
            .gzip_compress(block, &mut self.out)
            .map_err(|CompressionError::InsufficientSpace| io::Error::other("gzip outgrew its bound"))?;
        Ok(self.out[..length].to_vec())
    }

    /// A zstd frame.
    fn frame(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            empty => {
                let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                compressor.include_checksum(true)?;
                empty.insert(compressor)
            }
        };
        self.out
            .resize(zstd::zstd_safe::compress_bound(block.len()).max(self.out.len()), 0);
        let length = compressor.compress_to_buffer(block, self.out.as_mut_slice())?;
        Ok(self.out[..length].to_vec())
    }
}
