//! Compressed streams, told by their first bytes and not by what a document says of them, and bounded in what they may become.

mod decoder;
mod encoder;
mod pool;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::str::FromStr;

use crate::error::{Context as _, Error, Result};
use crate::model::unknown;

pub(crate) use decoder::{decode, decoder};
pub(crate) use encoder::Encoder;
pub(crate) use pool::Pool;

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
    Bzip2,
}

/// As many bytes as it takes to tell encodings apart.
const MAGIC: usize = 6;

impl Encoding {
    pub(crate) fn of(start: &[u8]) -> Encoding {
        match start {
            [0x1f, 0x8b, 8, ..] => Encoding::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Encoding::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Encoding::Xz,
            // A block's first two bytes, or those of the end of a stream that has none.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => {
                Encoding::Bzip2
            }
            _ => Encoding::Plain,
        }
    }

    /// Whether a layer's media type may stand for this; a type that says nothing of compression may.
    pub(crate) fn agrees_with(self, media_type: &str) -> bool {
        match media_type.rsplit(['.', '+']).next() {
            Some("tar") => self == Encoding::Plain,
            Some("gzip") => self == Encoding::Gzip,
            Some("zstd") => self == Encoding::Zstd,
            _ => true,
        }
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Encoding::Plain => "plain tar",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Xz => "xz",
            Encoding::Bzip2 => "bzip2",
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
    let encoding = Encoding::of(&start);
    Ok((encoding, io::Cursor::new(start).chain(input)))
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
        _ => Error::corrupt(format!("the compressed data is damaged: {cause}")).source(cause),
    }
}
