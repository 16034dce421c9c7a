//! Tar streams: read whole, read in pieces, written again.

use std::io::{self, BufRead, Read};

use super::limits;
use crate::error::{Kind as ErrorKind, Result};
use crate::images::archive::{Entry, Input, Kind, Pax, Reader, Writer};
use crate::images::limits::Limits;
use crate::images::path_text;
use crate::model::Context;

/// Bytes of a tar block.
const BLOCK: usize = 512;
/// The largest sparse file that is written out in full.
const EXPANDED: u64 = 1 << 16;

/// As they are, and with the checksums put right, which no fuzzer hits by chance.
pub(super) fn run(bytes: &[u8]) -> bool {
    let as_it_is = check(bytes);
    check(&mended(bytes)) || as_it_is
}

/// Extended headers, and the texts of paths.
pub(super) fn pax(bytes: &[u8]) -> bool {
    assert_eq!(path_text::decode(&path_text::encode(bytes)), bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        path_text::decode(text);
    }
    path_text::base64(bytes);
    Pax::parse(bytes).is_ok()
}

/// The same with a true checksum in every block that could be a header.
pub(in crate::images) fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    for (number, block) in mended.chunks_exact_mut(BLOCK).enumerate() {
        if number == 0 || block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
    mended
}

/// The entries of a stream with their contents, sparse ones in full; `None` if it cannot be read.
pub(in crate::images) fn entries(bytes: &[u8], limits: &Limits) -> Option<Vec<(Entry, Vec<u8>)>> {
    let (entries, end) = read(bytes, limits);
    end.ok()?;
    entries.into_iter().map(plain).collect()
}

/// What reading gave: entries with their stored bytes, and how it ended.
type Reading = (Vec<(Entry, Vec<u8>)>, std::result::Result<bool, ErrorKind>);

fn check(bytes: &[u8]) -> bool {
    let limits = limits();
    let whole = read(bytes, &limits);
    let step = 1 + bytes.len() % 700;
    assert_eq!(read(Pieces { bytes, step }, &limits), whole, "in pieces of {step}");
    let (entries, end) = whole;
    assert!(entries.len() as u64 <= limits.entries);
    entries
        .iter()
        .for_each(|(entry, data)| check_entry(entry, data, &limits));
    let is_accepted = end.is_ok() && !entries.is_empty();
    if is_accepted {
        check_rewritten(entries);
    }
    is_accepted
}

fn read(input: impl Input, limits: &Limits) -> Reading {
    let mut reader = Reader::new(input, limits);
    let mut all = Vec::new();
    let end = read_into(&mut all, &mut reader).map_err(|error| error.kind());
    (all, end.map(|()| reader.has_end_marker()))
}

fn read_into<R: Input>(all: &mut Vec<(Entry, Vec<u8>)>, reader: &mut Reader<'_, R>) -> Result<()> {
    let ctx = Context::new();
    while let Some(entry) = reader.next(&ctx)? {
        let mut data = Vec::new();
        loop {
            let step = reader.chunk()?;
            data.extend_from_slice(step);
            match step.len() {
                0 => break,
                length => reader.advance(length),
            }
        }
        all.push((entry, data));
    }
    Ok(())
}

fn check_entry(entry: &Entry, data: &[u8], limits: &Limits) {
    assert!(entry.path.len() <= limits.path && entry.link.len() <= limits.path);
    assert!(!entry.path.contains(&0) && !entry.link.contains(&0), "{entry:?}");
    assert!(entry.mode <= 0o7777 && entry.uid != u32::MAX && entry.gid != u32::MAX);
    assert!(entry.kind == Kind::Regular || (entry.size == 0 && data.is_empty()));
    let Some(map) = &entry.sparse else {
        assert_eq!(data.len() as u64, entry.size);
        return;
    };
    assert!(map.len() <= limits.sparse_segments);
    let stored: u64 = map.iter().map(|segment| segment.length).sum();
    assert_eq!(data.len() as u64, stored);
    let ends = map.iter().map(|segment| segment.offset + segment.length);
    assert!(ends.max().is_none_or(|end| end <= entry.size));
}

/// What was accepted is written and read as the same again, sparse files as plain ones.
fn check_rewritten(entries: Vec<(Entry, Vec<u8>)>) {
    let entries: Vec<_> = entries.into_iter().filter_map(plain).collect();
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in &entries {
        writer.entry(entry).expect("memory takes all");
        writer.data(data).expect("memory takes all");
    }
    let bytes = writer.finish().expect("memory takes all");
    let limits = Limits::default();
    assert_eq!(read(bytes.as_slice(), &limits), (entries, Ok(true)));
}

fn plain((entry, data): (Entry, Vec<u8>)) -> Option<(Entry, Vec<u8>)> {
    let Some(map) = entry.sparse else {
        return Some((entry, data));
    };
    let mut whole = vec![0; usize::try_from(entry.size.min(EXPANDED + 1)).unwrap_or(0)];
    let mut at = 0;
    for segment in map.iter().filter(|_| entry.size <= EXPANDED) {
        let (offset, length) = (
            usize::try_from(segment.offset).ok()?,
            usize::try_from(segment.length).ok()?,
        );
        whole[offset..offset + length].copy_from_slice(&data[at..at + length]);
        at += length;
    }
    (entry.size <= EXPANDED).then_some((Entry { sparse: None, ..entry }, whole))
}

/// Bytes that come a few at a time.
struct Pieces<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.bytes[..self.step.min(self.bytes.len())])
    }

    fn consume(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
    }
}

impl Input for Pieces<'_> {}
