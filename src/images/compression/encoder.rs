//! Streams compressed block by block, so that several processors work on one stream and equal input still gives equal output.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use flate2::Crc;

use super::Compression;
use super::pool::{Block, Packed, Pool};
use crate::error::{Context as _, Result};

/// Bytes compressed at once: the more, the better zstd's ratio; the fewer, the less memory. gzip does not care.
const GZIP_BLOCK: usize = 1 << 20;
const ZSTD_BLOCK: usize = 2 << 20;

/// No name and no time in the header, and an unknown system, so that the bytes depend on the data alone.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A writer that compresses; [`Encoder::finish`] writes what is left. gzip is one member, zstd one frame for each block.
pub(crate) struct Encoder<'a, W: Write> {
    out: W,
    blocks: Option<Blocks<'a>>,
}

/// The blocks of a stream on their way through the pool, in order.
struct Blocks<'a> {
    pool: &'a Pool,
    compression: Compression,
    size: usize,
    filling: Vec<u8>,
    before: Arc<Vec<u8>>,
    under_way: VecDeque<Receiver<io::Result<Packed>>>,
    checksum: Crc,
}

impl<'a, W: Write> Encoder<'a, W> {
    pub(crate) fn new(mut out: W, compression: Compression, pool: &'a Pool) -> Result<Encoder<'a, W>> {
        let size = match compression {
            Compression::None => return Ok(Encoder { out, blocks: None }),
            Compression::Gzip => GZIP_BLOCK,
            Compression::Zstd => ZSTD_BLOCK,
        };
        if compression == Compression::Gzip {
            out.write_all(&GZIP_HEADER).during(|| "start the compressed data")?;
        }
        let blocks = Blocks {
            pool,
            compression,
            size,
            filling: Vec::new(),
            before: Arc::default(),
            under_way: VecDeque::new(),
            checksum: Crc::new(),
        };
        Ok(Encoder {
            out,
            blocks: Some(blocks),
        })
    }

    pub(crate) fn finish(mut self) -> Result<W> {
        if let Some(blocks) = self.blocks {
            blocks.finish(&mut self.out).during(|| "finish the compressed data")?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Encoder<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.blocks {
            None => self.out.write(bytes),
            Some(blocks) => blocks.take(bytes, &mut self.out),
        }
    }

    /// What is not a whole block yet stays: where blocks end may depend on the data only.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Blocks<'_> {
    fn take(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<usize> {
        // A full block waits for the byte after it, which tells that it is not the last.
        if self.filling.len() == self.size && !bytes.is_empty() {
            self.submit(false);
            if self.under_way.len() >= self.pool.depth() {
                self.write_one(out)?;
            }
        }
        self.filling.reserve_exact(self.size - self.filling.len());
        let length = bytes.len().min(self.size - self.filling.len());
        self.filling.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn submit(&mut self, is_last: bool) {
        let bytes = Arc::new(std::mem::take(&mut self.filling));
        let before = std::mem::replace(&mut self.before, Arc::clone(&bytes));
        let block = Block {
            bytes,
            before,
            is_last,
            compression: self.compression,
        };
        self.under_way.push_back(self.pool.submit(block));
    }

    /// Writes the block that is next in order.
    fn write_one(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(next) = self.under_way.pop_front() else {
            return Ok(());
        };
        let packed = next.recv().map_err(|_| io::Error::other("a compressor died"))??;
        self.checksum.combine(&packed.checksum);
        out.write_all(&packed.bytes)
    }

    fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.submit(true);
        while !self.under_way.is_empty() {
            self.write_one(out)?;
        }
        if self.compression == Compression::Gzip {
            out.write_all(&self.checksum.sum().to_le_bytes())?;
            out.write_all(&self.checksum.amount().to_le_bytes())?;
        }
        Ok(())
    }
}
