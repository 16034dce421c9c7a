//! Reading tar as a stream: a state machine over blocks, with bounds on all it keeps.

use std::io::{BufRead, BufReader, Seek, SeekFrom};

use super::header::{BLOCK, Header, gnu_sparse_extension};
use super::pax::Pax;
use super::sparse::{self, Segment};
use super::{Entry, Kind};
use crate::error::{Error, Result};
use crate::images::compression::read_error;
use crate::images::limits::{self, Limits};
use crate::model::Context;

/// Buffered bytes that can be passed over.
pub(crate) trait Input: BufRead {
    /// Passes over bytes; returns how many, fewer only at the end.
    fn pass(&mut self, count: u64) -> std::io::Result<u64> {
        let mut left = count;
        while left > 0 {
            let available = self.fill_buf()?.len() as u64;
            if available == 0 {
                break;
            }
            let step = available.min(left);
            self.consume(usize::try_from(step).expect("no more than a buffer"));
            left -= step;
        }
        Ok(count - left)
    }
}

impl Input for &[u8] {}

/// A seekable file is not read where it is passed over.
impl Input for BufReader<std::fs::File> {
    fn pass(&mut self, count: u64) -> std::io::Result<u64> {
        let at = self.stream_position()?;
        let end = self.get_ref().metadata()?.len();
        let step = count.min(end.saturating_sub(at));
        match i64::try_from(step) {
            Ok(step) => self.seek_relative(step)?,
            Err(_) => drop(self.seek(SeekFrom::Start(at + step))?),
        }
        Ok(step)
    }
}

/// A tar stream.
pub(crate) struct Reader<'a, R> {
    input: R,
    limits: &'a Limits,
    /// Bytes read and passed over so far.
    offset: u64,
    /// Stored bytes of the current entry still unread, and the padding after them.
    remaining: u64,
    padding: u64,
    entries: u64,
    end_marker: bool,
}

/// Headers that came before the entry they describe.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    bytes: u64,
}

impl<'a, R: Input> Reader<'a, R> {
    /// A reader of a stream that starts with a header.
    pub(crate) fn new(input: R, limits: &'a Limits) -> Reader<'a, R> {
        Reader {
            input,
            limits,
            offset: 0,
            remaining: 0,
            padding: 0,
            entries: 0,
            end_marker: false,
        }
    }

    /// Where in the stream the next unread byte is.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Stored bytes of the current entry still unread.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Whether the stream ended with the two zero blocks that POSIX asks for.
    pub(crate) fn has_end_marker(&self) -> bool {
        self.end_marker
    }

    /// The stream, after the archive's end.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// The next entry; what is left of the current one's data is passed over. Errors: `corrupt`, `unsupported`, or what reading gave.
    pub(crate) fn next(&mut self, ctx: &Context) -> Result<Option<Entry>> {
        let start = self.offset;
        self.advance_entry(ctx).map_err(|error| match error.kind() {
            crate::error::Kind::Corrupt => error.during(format_args!("read the archive near byte {start}")),
            _ => error,
        })
    }

    fn advance_entry(&mut self, ctx: &Context) -> Result<Option<Entry>> {
        self.pass(self.remaining + self.padding)?;
        (self.remaining, self.padding) = (0, 0);
        let mut pending = Pending::default();
        loop {
            ctx.check()?;
            let Some(header) = self.header()? else {
                return if pending.bytes == 0 {
                    Ok(None)
                } else {
                    Err(Error::corrupt("an extended header has no entry"))
                };
            };
            match header.type_flag() {
                b'x' => pending.pax = Some(Pax::parse(&self.metadata(&header, &mut pending.bytes)?)?),
                b'g' => drop(Pax::parse(&self.metadata(&header, &mut 0)?)?),
                b'L' => pending.gnu_path = Some(cut(self.metadata(&header, &mut pending.bytes)?)),
                b'K' => pending.gnu_link = Some(cut(self.metadata(&header, &mut pending.bytes)?)),
                _ => return self.entry(&header, pending).map(Some),
            }
        }
    }

    /// The next header; `None` at the end of the archive or of the stream.
    fn header(&mut self) -> Result<Option<Header>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().any(|byte| *byte != 0) {
            return Header::new(block).map(Some);
        }
        match self.block()? {
            None => Ok(None),
            Some(block) if block.iter().all(|byte| *byte == 0) => {
                self.end_marker = true;
                Ok(None)
            }
            Some(_) => Err(Error::corrupt("a lone zero block stands between entries")),
        }
    }

    /// One block; `None` if the stream is at its end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let available = self.input.fill_buf().map_err(read_error)?;
            if available.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(truncated()) };
            }
            let step = available.len().min(BLOCK - filled);
            block[filled..filled + step].copy_from_slice(&available[..step]);
            self.consume(step);
            filled += step;
        }
        Ok(Some(block))
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.offset += count as u64;
    }

    fn pass(&mut self, count: u64) -> Result<()> {
        let passed = self.input.pass(count).map_err(read_error)?;
        self.offset += passed;
        if passed == count { Ok(()) } else { Err(truncated()) }
    }

    /// The data of an extended header.
    fn metadata(&mut self, header: &Header, total: &mut u64) -> Result<Vec<u8>> {
        let size = header.size()?;
        *total += size.max(1);
        if size.max(*total) > self.limits.entry_metadata {
            return Err(limits::exceeded(
                "an entry's extended header",
                "entry_metadata",
                self.limits.entry_metadata,
            ));
        }
        self.start_data(size);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        loop {
            let step = self.chunk()?;
            let length = step.len();
            if length == 0 {
                break;
            }
            bytes.extend_from_slice(step);
            self.advance(length);
        }
        self.pass(self.padding)?;
        self.padding = 0;
        Ok(bytes)
    }

    fn start_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    /// Stored bytes of the current entry that are at hand; empty at its end. Follow it with [`Reader::advance`].
    pub(crate) fn chunk(&mut self) -> Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let available = self.input.fill_buf().map_err(read_error)?;
        if available.is_empty() {
            return Err(truncated());
        }
        let step = (available.len() as u64).min(self.remaining);
        Ok(&available[..usize::try_from(step).expect("no more than a buffer")])
    }

    /// Marks bytes of the last chunk as read.
    pub(crate) fn advance(&mut self, count: usize) {
        self.consume(count);
        self.remaining -= count as u64;
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(limits::exceeded(
                "the archive's number of entries",
                "entries",
                self.limits.entries,
            ));
        }
        let mut pax = pending.pax.unwrap_or_default();
        let path = pending
            .gnu_path
            .or(pax.sparse.name.take())
            .or(pax.path.take())
            .unwrap_or_else(|| header.path());
        let link = pending.gnu_link.or(pax.link.take()).unwrap_or_else(|| header.link());
        self.check_name(&path)?;
        self.check_name(&link)?;
        let kind = header.kind(&path)?;
        let stored = if kind == Kind::Regular {
            pax.size.map_or_else(|| header.size(), Ok)?
        } else {
            0
        };
        self.start_data(stored);
        let (size, sparse) = self.sparse(header, &pax, kind, stored)?;
        let device = header.device()?;
        Ok(Entry {
            kind,
            mode: header.mode()?,
            uid: owner(pax.uid.map_or_else(|| header.uid(), Ok)?, &path)?,
            gid: owner(pax.gid.map_or_else(|| header.gid(), Ok)?, &path)?,
            mtime: pax.mtime.map_or_else(|| header.mtime(), Ok)?,
            device: if matches!(kind, Kind::Character | Kind::Block) {
                device_number(device, &path)?
            } else {
                (0, 0)
            },
            size,
            sparse,
            xattrs: pax.xattrs,
            path,
            link,
        })
    }

    fn check_name(&self, name: &[u8]) -> Result<()> {
        if name.len() > self.limits.path {
            return Err(limits::exceeded(
                "the length of a path in the archive",
                "path",
                self.limits.path,
            ));
        }
        Ok(())
    }

    fn sparse(&mut self, header: &Header, pax: &Pax, kind: Kind, stored: u64) -> Result<(u64, Option<Vec<Segment>>)> {
        if kind != Kind::Regular {
            return Ok((0, None));
        }
        let (pairs, size) = if header.type_flag() == b'S' {
            self.old_gnu_map(header)?
        } else if pax.sparse.major.is_some_and(|major| major > 0) {
            // What others take for a plain file must not be a sparse one here.
            if (pax.sparse.major, pax.sparse.minor) != (Some(1), Some(0)) {
                return Err(Error::corrupt("a sparse file has an unknown format"));
            }
            (self.map_in_data()?, pax.sparse.real_size.unwrap_or(stored))
        } else if let Some(size) = pax.sparse.real_size {
            sparse::check_count(pax.sparse.numbers.len() / 2, self.limits)?;
            (sparse::pairs(&pax.sparse.numbers)?, size)
        } else {
            return Ok((stored, None));
        };
        let map = sparse::map(pairs, size, self.remaining, self.limits)?;
        Ok((size, Some(map)))
    }

    fn old_gnu_map(&mut self, header: &Header) -> Result<(Vec<(u64, u64)>, u64)> {
        let (mut pairs, mut more, size) = header.gnu_sparse()?;
        while more {
            let block = self.block()?.ok_or_else(truncated)?;
            let (next, another) = gnu_sparse_extension(&block)?;
            pairs.extend(next);
            more = another;
            sparse::check_count(pairs.len(), self.limits)?;
        }
        Ok((pairs, size))
    }

    /// Format 1.0 keeps the map before the data: a count, then offset and length in turn, one number a line, in whole blocks.
    fn map_in_data(&mut self) -> Result<Vec<(u64, u64)>> {
        let bad = || Error::corrupt("a sparse map is malformed");
        let (mut numbers, mut wanted, mut current) = (Vec::new(), None, None::<u64>);
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if self.remaining < BLOCK as u64 {
                return Err(bad());
            }
            let block = self.block()?.ok_or_else(truncated)?;
            self.remaining -= BLOCK as u64;
            for byte in block {
                match byte {
                    b'0'..=b'9' => {
                        let digit = u64::from(byte - b'0');
                        current = Some(
                            current
                                .unwrap_or(0)
                                .checked_mul(10)
                                .and_then(|n| n.checked_add(digit))
                                .ok_or_else(bad)?,
                        );
                    }
                    b'\n' => {
                        let number = current.take().ok_or_else(bad)?;
                        if wanted.is_none() {
                            let count = usize::try_from(number).map_err(|_| bad())?;
                            sparse::check_count(count, self.limits)?;
                            wanted = Some(count * 2);
                        } else {
                            numbers.push(number);
                        }
                        if wanted == Some(numbers.len()) {
                            break;
                        }
                    }
                    _ => return Err(bad()),
                }
            }
        }
        sparse::pairs(&numbers)
    }
}

fn truncated() -> Error {
    Error::corrupt("the archive ends in the middle of an entry")
}

/// GNU long names end with NUL.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn owner(number: i64, path: &[u8]) -> Result<u32> {
    // The highest number means "leave as it is" to chown(2).
    u32::try_from(number).ok().filter(|id| *id != u32::MAX).ok_or_else(|| {
        Error::corrupt(format!(
            "the owner {number} of `{}` is not a user or group id",
            path.escape_ascii()
        ))
    })
}

/// Linux has twelve bits for a major and twenty for a minor number.
fn device_number((major, minor): (i64, i64), path: &[u8]) -> Result<(u32, u32)> {
    let fit = |number: i64, bits: u32| u32::try_from(number).ok().filter(|n| *n < 1 << bits);
    fit(major, 12).zip(fit(minor, 20)).ok_or_else(|| {
        Error::corrupt(format!(
            "the device number {major}:{minor} of `{}` is out of range",
            path.escape_ascii()
        ))
    })
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
