//! Blocks compressed side by side. What comes out of a block depends on the block alone, never on who worked on it or how many did.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use flate2::{Compress, Crc, FlushCompress};

use super::Compression;

/// At 3, zlib-rs packs a file system as small as other tools do by their default, in two thirds of the time its own takes.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;
/// More would only take memory: by then zstd is as fast as the hash it feeds.
const MOST_WORKERS: usize = 4;
/// What deflate can look back on.
const WINDOW: usize = 32 << 10;

/// A block and what it takes to compress it.
pub(super) struct Block {
    pub(super) bytes: Arc<Vec<u8>>,
    /// The block before, which gzip looks back on.
    pub(super) before: Arc<Vec<u8>>,
    pub(super) is_last: bool,
    pub(super) compression: Compression,
}

/// A compressed block.
#[derive(Default)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    /// The checksum of the plain bytes, for gzip.
    pub(super) checksum: Crc,
}

type Reply = Receiver<io::Result<Packed>>;

struct Job {
    block: Block,
    reply: SyncSender<io::Result<Packed>>,
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
    pub(super) fn submit(&self, block: Block) -> Reply {
        let (reply, outcome) = sync_channel(1);
        // A queue nobody reads any more drops the reply, which the receiver sees.
        let _ = self.queue.as_ref().map(|queue| queue.send(Job { block, reply }));
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
    gzip: Option<Compress>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Packer {
    fn work(mut self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = next else { return };
            let _ = job.reply.send(self.pack(&job.block));
        }
    }

    fn pack(&mut self, block: &Block) -> io::Result<Packed> {
        match block.compression {
            Compression::None => Ok(Packed {
                bytes: block.bytes.to_vec(),
                ..Packed::default()
            }),
            Compression::Gzip => self.deflate(block),
            Compression::Zstd => self.frame(block),
        }
    }

    /// A part of one deflate stream: it ends at a byte, and is compressed against the end of the block before.
    fn deflate(&mut self, block: &Block) -> io::Result<Packed> {
        let new = || Compress::new(flate2::Compression::new(GZIP_LEVEL), false);
        let compress = self.gzip.get_or_insert_with(new);
        compress.reset();
        let window = &block.before[block.before.len().saturating_sub(WINDOW)..];
        if !window.is_empty() {
            compress.set_dictionary(window)?;
        }
        let flush = if block.is_last {
            FlushCompress::Finish
        } else {
            FlushCompress::Sync
        };
        let mut bytes = Vec::with_capacity(block.bytes.len() / 2 + 64);
        loop {
            let rest = &block.bytes[usize::try_from(compress.total_in()).unwrap_or(usize::MAX)..];
            let status = compress.compress_vec(rest, &mut bytes, flush)?;
            let done = match block.is_last {
                true => status == flate2::Status::StreamEnd,
                // Room that is left says that the flush is out as well.
                false => compress.total_in() == block.bytes.len() as u64 && bytes.len() < bytes.capacity(),
            };
            if done {
                break;
            }
            bytes.reserve(block.bytes.len() / 4 + 64);
        }
        let mut checksum = Crc::new();
        checksum.update(&block.bytes);
        Ok(Packed { bytes, checksum })
    }

    /// A frame of its own.
    fn frame(&mut self, block: &Block) -> io::Result<Packed> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            empty => {
                let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                compressor.include_checksum(true)?;
                empty.insert(compressor)
            }
        };
        Ok(Packed {
            bytes: compressor.compress(&block.bytes)?,
            ..Packed::default()
        })
    }
}
