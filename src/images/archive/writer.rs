//! Writing tar: ustar, with pax records for what does not fit. Equal entries give equal bytes.

use std::io::Write;

use super::header::BLOCK;
use super::{Entry, Kind, Mtime};
use crate::error::{Context as _, Result};

const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// A tar stream being written.
pub(crate) struct Writer<W> {
    out: W,
    padding: usize,
    /// What it does, for errors.
    doing: String,
}

impl<W: Write> Writer<W> {
    /// A writer at the start of an archive.
    pub(crate) fn new(out: W) -> Writer<W> {
        Writer::doing(out, "write the archive".to_owned())
    }

    /// The same with words for what it does, such as ``write `/tmp/a.tar` ``.
    pub(crate) fn doing(out: W, doing: String) -> Writer<W> {
        Writer { out, padding: 0, doing }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).during(|| &self.doing)
    }

    /// Starts an entry; exactly `entry.size` bytes of data must follow for a regular file, none for others.
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.pad()?;
        let mut header = ustar(entry);
        let records = records(entry, &mut header);
        if !records.is_empty() {
            self.pax(entry, &records)?;
        }
        self.put(&seal(header))?;
        self.expect(if entry.kind == Kind::Regular { entry.size } else { 0 });
        Ok(())
    }

    /// Writes data of the current entry.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.put(bytes)
    }

    /// What the archive is written to, for data of the current entry that goes there by another way.
    pub(crate) fn output(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the archive with its two zero blocks.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.pad()?;
        self.put(&[ZEROS, ZEROS].concat())?;
        Ok(self.out)
    }

    fn expect(&mut self, size: u64) {
        let over = (size % BLOCK as u64) as usize;
        self.padding = (BLOCK - over) % BLOCK;
    }

    fn pad(&mut self) -> Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.put(&ZEROS[..padding])
    }

    fn pax(&mut self, entry: &Entry, records: &[u8]) -> Result<()> {
        let name = entry
            .path
            .split(|byte| *byte == b'/')
            .rfind(|part| !part.is_empty())
            .unwrap_or(b".");
        let mut path = [b"PaxHeaders.0/", name].concat();
        path.truncate(100);
        let mut header = ustar(&Entry {
            size: records.len() as u64,
            ..Entry::new(path, Kind::Regular, 0o644)
        });
        header[156] = b'x';
        self.put(&seal(header))?;
        self.put(records)?;
        self.expect(records.len() as u64);
        self.pad()
    }
}

type Block = [u8; BLOCK];

fn ustar(entry: &Entry) -> Block {
    let mut header = ZEROS;
    if let Some((prefix, name)) = split_path(&entry.path) {
        header[..name.len()].copy_from_slice(name);
        header[345..345 + prefix.len()].copy_from_slice(prefix);
    }
    if entry.link.len() <= 100 {
        header[157..157 + entry.link.len()].copy_from_slice(&entry.link);
    }
    header[156] = match entry.kind {
        Kind::Regular => b'0',
        Kind::Hardlink => b'1',
        Kind::Symlink => b'2',
        Kind::Character => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    octal(&mut header[100..108], u64::from(entry.mode & 0o7777));
    header[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut header[124..136], 0);
    octal(&mut header[329..337], u64::from(entry.device.0));
    octal(&mut header[337..345], u64::from(entry.device.1));
    octal(&mut header[108..116], 0);
    octal(&mut header[116..124], 0);
    octal(&mut header[136..148], 0);
    octal(&mut header[124..136], entry.size);
    header
}

/// Fills the number fields and gives the pax records for what does not fit into the header.
fn records(entry: &Entry, header: &mut Block) -> Vec<u8> {
    let mut records = Vec::new();
    if split_path(&entry.path).is_none() {
        record(&mut records, b"path", &entry.path);
        let start = &entry.path[..100];
        header[..100].copy_from_slice(start);
    }
    if entry.link.len() > 100 {
        record(&mut records, b"linkpath", &entry.link);
        header[157..257].copy_from_slice(&entry.link[..100]);
    }
    let numbers = [
        (124..136, entry.size, "size"),
        (108..116, u64::from(entry.uid), "uid"),
        (116..124, u64::from(entry.gid), "gid"),
    ];
    for (field, number, key) in numbers {
        if !octal(&mut header[field], number) {
            record(&mut records, key.as_bytes(), number.to_string().as_bytes());
        }
    }
    let Mtime { seconds, nanos } = entry.mtime;
    let fits = u64::try_from(seconds).is_ok_and(|seconds| octal(&mut header[136..148], seconds));
    if !fits || nanos != 0 {
        record(&mut records, b"mtime", time_text(entry.mtime).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

fn time_text(Mtime { seconds, nanos }: Mtime) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let (sign, total) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    let (seconds, nanos) = (total / 1_000_000_000, total % 1_000_000_000);
    if nanos == 0 {
        format!("{sign}{seconds}")
    } else {
        format!("{sign}{seconds}.{nanos:09}")
    }
}

/// A number with a final NUL; false, and zeros, if it is too large for the field.
fn octal(field: &mut [u8], number: u64) -> bool {
    let digits = field.len() - 1;
    let fits = u32::try_from(3 * digits).is_ok_and(|bits| number.checked_shr(bits).unwrap_or(0) == 0);
    let mut rest = if fits { number } else { 0 };
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    fits
}

/// The path as prefix and name of a ustar header; `None` if it does not fit.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let at = (1..path.len() - 1).rev().find(|at| path[*at] == b'/' && *at <= 155)?;
    let name = &path[at + 1..];
    (name.len() <= 100).then_some((&path[..at], name))
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn seal(mut header: Block) -> Block {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header[148..155], sum);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in 0..1200 {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'a'; length]);
            let stated: usize = String::from_utf8_lossy(&records)
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(stated, records.len());
        }
    }

    #[test]
    fn numbers_fill_their_field_or_are_refused() {
        let written = |number| {
            let mut field = [b'x'; 8];
            (octal(&mut field, number), field)
        };
        assert_eq!(written(0o644), (true, *b"0000644x"));
        assert_eq!(written(0o7_777_777), (true, *b"7777777x"));
        for number in [0o10_000_000, 1 << 24, u64::MAX] {
            assert_eq!(written(number), (false, *b"0000000x"));
        }
        assert!(octal(&mut [0; 25], u64::MAX));
    }

    #[test]
    fn times_before_the_epoch_have_a_sign() {
        assert_eq!(
            time_text(Mtime {
                seconds: -2,
                nanos: 500_000_000
            }),
            "-1.500000000"
        );
        assert_eq!(time_text(Mtime { seconds: 7, nanos: 0 }), "7");
    }
}
