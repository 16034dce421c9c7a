//! Compressed streams, told by their first bytes and not by what a document says of them, and bounded in what they may become.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::{self, Limits};
use crate::error::{Context as _, Error, Result};
use crate::model::unknown;

/// How layers or archives are compressed when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl FromStr for Compression {
    type Err = Error;

    /// Errors: `invalid`, with the valid names.
    fn from_str(text: &str) -> Result<Compression> {
        match text {
            "none" => Ok(Compression::None),
            "gzip" | "gz" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            _ => Err(unknown("compression", text, &["none", "gzip", "zstd"])),
        }
    }
}

/// What a stream's first bytes say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Zstd,
    Xz,
}

/// As many bytes as it takes to tell encodings apart.
const MAGIC: usize = 6;

impl Encoding {
    pub(crate) fn of(start: &[u8]) -> Result<Encoding> {
        Ok(match start {
            [0x1f, 0x8b, 8, ..] => Encoding::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Encoding::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Encoding::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41] => {
                return Err(
                    Error::unsupported("bzip2 archives cannot be read").hint("recompress it with gzip, zstd or xz")
                );
            }
            _ => Encoding::Plain,
        })
    }
}

/// A stream with its first bytes looked at and put back.
pub(crate) type Peeked<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// Tells a stream's encoding.
pub(crate) fn peek<R: Read>(mut input: R) -> Result<(Encoding, Peeked<R>)> {
    let mut start = Vec::with_capacity(MAGIC);
    input
        .by_ref()
        .take(MAGIC as u64)
        .read_to_end(&mut start)
        .map_err(read_error)?;
    let encoding = Encoding::of(&start)?;
    Ok((encoding, io::Cursor::new(start).chain(input)))
}

/// The uncompressed bytes of a stream, whatever its encoding.
pub(crate) fn decoder<'a, R: Read + Send + 'a>(input: R, limits: &Limits) -> Result<Box<dyn Read + Send + 'a>> {
    let (encoding, input) = peek(input)?;
    decode(encoding, input, limits)
}

/// The uncompressed bytes of a stream with this encoding.
pub(crate) fn decode<'a, R: Read + Send + 'a>(
    encoding: Encoding,
    input: R,
    limits: &Limits,
) -> Result<Box<dyn Read + Send + 'a>> {
    if encoding == Encoding::Plain {
        return Ok(Box::new(input));
    }
    let eaten = Arc::new(AtomicU64::new(0));
    let input = BufReader::with_capacity(
        1 << 17,
        Counted {
            input,
            count: Arc::clone(&eaten),
        },
    );
    let output: Box<dyn Read + Send + 'a> = match encoding {
        Encoding::Gzip => Box::new(Gzip::new(input)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).during(|| "start the zstd decoder")?;
            decoder
                .window_log_max(limits.zstd_window_log)
                .during(|| "bound the zstd decoder")?;
            Box::new(decoder)
        }
        _ => {
            let kib = u32::try_from(limits.xz_memory >> 10).unwrap_or(u32::MAX);
            Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, kib))
        }
    };
    Ok(Box::new(Bounded {
        output,
        eaten,
        made: 0,
        ratio: limits.ratio,
        floor: limits.ratio_floor,
    }))
}

/// The error for a read that failed: ours if it came through an adapter of ours, `corrupt` for damaged data, else the kernel's.
pub(crate) fn read_error(cause: io::Error) -> Error {
    let cause = match cause.downcast::<Error>() {
        Ok(own) => return own,
        Err(cause) => cause,
    };
    match (cause.kind(), cause.raw_os_error()) {
        (_, Some(_)) => Err::<(), _>(cause)
            .during(|| "read the archive")
            .expect_err("made of an error"),
        (io::ErrorKind::OutOfMemory, _) => {
            Error::corrupt(format!("the compressed data asks for too much memory: {cause}"))
        }
        _ => Error::corrupt(format!("the compressed data is damaged: {cause}")).source(cause),
    }
}

struct Counted<R> {
    input: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        self.count.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Refuses to go on where far more comes out than went in.
struct Bounded<R> {
    output: R,
    eaten: Arc<AtomicU64>,
    made: u64,
    ratio: u64,
    floor: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.output.read(buffer)?;
        self.made += length as u64;
        let allowed = self.eaten.load(Ordering::Relaxed).saturating_mul(self.ratio);
        if self.made > self.floor && self.made > allowed {
            return Err(io::Error::other(limits::exceeded(
                "the archive's compression",
                "ratio",
                format!("{} to 1", self.ratio),
            )));
        }
        Ok(length)
    }
}

/// gzip with several members and zeros after the last, as tape-minded writers leave them.
struct Gzip<R: BufRead> {
    member: Option<flate2::bufread::GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    fn new(input: R) -> Gzip<R> {
        Gzip {
            member: Some(flate2::bufread::GzDecoder::new(input)),
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            self.member = self
                .member
                .take()
                .map(|member| member.into_inner())
                .map(next_member)
                .transpose()?
                .flatten();
        }
        Ok(0)
    }
}

/// The member that follows, if one does; the rest must be zeros.
fn next_member<R: BufRead>(mut input: R) -> io::Result<Option<flate2::bufread::GzDecoder<R>>> {
    let mut zeros = false;
    loop {
        let available = input.fill_buf()?;
        let Some(first) = available.first() else {
            return Ok(None);
        };
        if *first != 0 && !zeros {
            return Ok(Some(flate2::bufread::GzDecoder::new(input)));
        }
        if available.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something that is no gzip member follows the last one",
            ));
        }
        zeros = true;
        let length = available.len();
        input.consume(length);
    }
}

/// A writer that compresses; [`Encoder::finish`] writes what is left. Equal input gives equal output.
pub(crate) enum Encoder<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    pub(crate) fn new(out: W, compression: Compression) -> Result<Encoder<W>> {
        Ok(match compression {
            Compression::None => Encoder::Plain(out),
            // No name and no time in the header, and an unknown system, so that the bytes depend on the data alone.
            Compression::Gzip => Encoder::Gzip(
                flate2::GzBuilder::new()
                    .operating_system(255)
                    .write(out, flate2::Compression::new(6)),
            ),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, 3).during(|| "start the zstd encoder")?;
                encoder.include_checksum(true).during(|| "set up the zstd encoder")?;
                Encoder::Zstd(encoder)
            }
        })
    }

    pub(crate) fn finish(self) -> Result<W> {
        let out = match self {
            Encoder::Plain(out) => Ok(out),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        };
        out.during(|| "finish the compressed data")
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Plain(out) => out.write(bytes),
            Encoder::Gzip(out) => out.write(bytes),
            Encoder::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Plain(out) => out.flush(),
            Encoder::Gzip(out) => out.flush(),
            Encoder::Zstd(out) => out.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), compression).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(bytes, limits)?.read_to_end(&mut out).map_err(read_error)?;
        Ok(out)
    }

    #[test]
    fn every_encoding_is_told_and_comes_back() {
        let text = b"some text ".repeat(10_000);
        let all = [Compression::None, Compression::Gzip, Compression::Zstd].map(|c| packed(&text, c));
        for bytes in all {
            assert!(unpacked(&bytes, &Limits::default()).unwrap() == text);
            if bytes.len() < text.len() {
                assert_eq!(
                    unpacked(&bytes[..bytes.len() / 2], &Limits::default())
                        .unwrap_err()
                        .kind(),
                    crate::error::Kind::Corrupt
                );
            }
        }
        assert_eq!(
            unpacked(b"BZh91AY&SY", &Limits::default()).unwrap_err().kind(),
            crate::error::Kind::Unsupported
        );
    }

    #[test]
    fn xz_is_read_and_its_damage_seen() {
        let mut xz = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x07\x78\x7a\x20\x74\x65\x78\x74\x0a\x00\x87\x26\xb6\x89\x1d\xfd\x75\xcb\x00\x01\x20\x08\xbb\x19\xd9\xbb\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a".to_vec();
        assert_eq!(unpacked(&xz, &Limits::default()).unwrap(), b"xz text\n");
        xz[30] ^= 1;
        assert_eq!(
            unpacked(&xz, &Limits::default()).unwrap_err().kind(),
            crate::error::Kind::Corrupt
        );
    }

    #[test]
    fn members_frames_and_trailing_zeros_are_all_read() {
        let (one, two) = (packed(b"one ", Compression::Gzip), packed(b"two", Compression::Gzip));
        let zeros = vec![0; 200_000];
        assert_eq!(
            unpacked(&[one.clone(), two.clone(), zeros.clone()].concat(), &Limits::default()).unwrap(),
            b"one two"
        );
        for bad in [[one.clone(), b"junk".to_vec()].concat(), [one, zeros, two].concat()] {
            assert_eq!(
                unpacked(&bad, &Limits::default()).unwrap_err().kind(),
                crate::error::Kind::Corrupt
            );
        }
        let frames = [
            packed(b"one ", Compression::Zstd),
            b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec(),
            packed(b"two", Compression::Zstd),
        ];
        assert_eq!(unpacked(&frames.concat(), &Limits::default()).unwrap(), b"one two");
    }

    #[test]
    fn bombs_are_refused_by_ratio_and_by_window() {
        let zeros = vec![0; 10 << 20];
        let limits = Limits {
            ratio: 100,
            ratio_floor: 1 << 20,
            ..Limits::default()
        };
        for compression in [Compression::Gzip, Compression::Zstd] {
            let error = unpacked(&packed(&zeros, compression), &limits).unwrap_err();
            assert!(error.message().contains("`ratio`"), "{error}");
        }
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(28).unwrap();
        wide.write_all(&zeros).unwrap();
        assert_eq!(
            unpacked(&wide.finish().unwrap(), &Limits::default())
                .unwrap_err()
                .kind(),
            crate::error::Kind::Corrupt
        );
    }
}
