//! Streams compressed block by block, so that several processors work on one stream and equal input still gives equal output.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::Receiver;

use super::Compression;
use super::pool::{Packed, Pool};
use crate::error::{Context as _, Result};

/// Bytes compressed at once: the more, the better the ratio; the fewer, the less memory.
const GZIP_BLOCK: usize = 1 << 20;
const ZSTD_BLOCK: usize = 2 << 20;

/// A writer that compresses; [`Encoder::finish`] writes what is left. Each block is a gzip member or a zstd frame of
/// its own, as eStargz has it too: whoever reads images reads those (RFC 1952, 2.2; RFC 8878, 3).
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
    is_empty: bool,
    under_way: VecDeque<Receiver<Packed>>,
    /// Memory of blocks that are done: fresh memory would cost a fault for each page.
    spare: Vec<Vec<u8>>,
}

impl<'a, W: Write> Encoder<'a, W> {
    pub(crate) fn new(out: W, compression: Compression, pool: &'a Pool) -> Encoder<'a, W> {
        let size = match compression {
            Compression::None => return Encoder { out, blocks: None },
            Compression::Gzip => GZIP_BLOCK,
            Compression::Zstd => ZSTD_BLOCK,
        };
        let blocks = Blocks {
            pool,
            compression,
            size,
            filling: Vec::new(),
            is_empty: true,
            under_way: VecDeque::new(),
            spare: Vec::new(),
        };
        Encoder {
            out,
            blocks: Some(blocks),
        }
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
        self.filling.reserve_exact(self.size - self.filling.len());
        let length = bytes.len().min(self.size - self.filling.len());
        self.filling.extend_from_slice(&bytes[..length]);
        if self.filling.len() == self.size {
            self.submit();
            if self.under_way.len() >= self.pool.depth() {
                self.write_one(out)?;
            }
        }
        Ok(length)
    }

    fn submit(&mut self) {
        let block = std::mem::replace(&mut self.filling, self.spare.pop().unwrap_or_default());
        self.is_empty = false;
        self.under_way.push_back(self.pool.submit(block, self.compression));
    }

    /// Writes the block that is next in order.
    fn write_one(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(next) = self.under_way.pop_front() else {
            return Ok(());
        };
        let mut packed = next.recv().map_err(|_| io::Error::other("a compressor died"))?;
        out.write_all(&packed.bytes?)?;
        packed.block.clear();
        self.spare.push(packed.block);
        Ok(())
    }

    fn finish(mut self, out: &mut dyn Write) -> io::Result<()> {
        // A stream of nothing is a block of nothing.
        if !self.filling.is_empty() || self.is_empty {
            self.submit();
        }
        while !self.under_way.is_empty() {
            self.write_one(out)?;
        }
        Ok(())
    }
}
