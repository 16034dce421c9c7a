//! One tar header block: v7, ustar, GNU and star (POSIX pax(1), GNU tar manual "Basic Tar Format").

use super::{Kind, Mtime};
use crate::error::{Error, Result};

/// Bytes of a tar block.
pub(crate) const BLOCK: usize = 512;

/// A header's bytes with its checksum verified.
pub(crate) struct Header([u8; BLOCK]);

/// Which extension of the header block is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl Header {
    /// Checks a block that is not all zero. Errors: `corrupt` if its checksum is wrong.
    pub(crate) fn new(block: [u8; BLOCK]) -> Result<Header> {
        let stated = number(&block[148..156], "checksum")?;
        // Some tars of old took bytes for signed.
        if stated == sum(&block, i64::from) || stated == sum(&block, |byte| i64::from(byte.cast_signed())) {
            return Ok(Header(block));
        }
        Err(Error::corrupt("a header's checksum is wrong"))
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    fn dialect(&self) -> Dialect {
        match (&self.0[257..263], &self.0[263..265]) {
            (b"ustar\0", _) if &self.0[508..512] == b"tar\0" => Dialect::Star,
            (b"ustar\0", _) => Dialect::Ustar,
            (b"ustar ", b" \0") => Dialect::Gnu,
            _ => Dialect::V7,
        }
    }

    /// The path, with the ustar or star prefix before it.
    pub(crate) fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.0[345..500]),
            Dialect::Star => text(&self.0[345..476]),
            Dialect::Gnu | Dialect::V7 => &[],
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(crate) fn mode(&self) -> Result<u32> {
        // Some writers put the file type into the upper bits; only permissions count.
        Ok((number(&self.0[100..108], "mode")? & 0o7777) as u32)
    }

    pub(crate) fn uid(&self) -> Result<i64> {
        number(&self.0[108..116], "uid")
    }

    pub(crate) fn gid(&self) -> Result<i64> {
        number(&self.0[116..124], "gid")
    }

    pub(crate) fn size(&self) -> Result<u64> {
        size(number(&self.0[124..136], "size")?)
    }

    pub(crate) fn mtime(&self) -> Result<Mtime> {
        Ok(Mtime {
            seconds: number(&self.0[136..148], "mtime")?,
            nanos: 0,
        })
    }

    /// Device numbers; a v7 header has none.
    pub(crate) fn device(&self) -> Result<(i64, i64)> {
        if self.dialect() == Dialect::V7 {
            return Ok((0, 0));
        }
        Ok((
            number(&self.0[329..337], "device major")?,
            number(&self.0[337..345], "device minor")?,
        ))
    }

    /// What the entry is. Errors: `unsupported` for types no layer may have.
    pub(crate) fn kind(&self, path: &[u8]) -> Result<Kind> {
        Ok(match self.type_flag() {
            // v7 has no type for directories, only the slash.
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let path = path.escape_ascii();
                return Err(Error::unsupported(format!(
                    "the archive entry `{path}` has the unknown type `{}`",
                    other.escape_ascii()
                )));
            }
        })
    }

    /// The four sparse segments of an old GNU header, whether more blocks follow, and the file's real size.
    pub(crate) fn gnu_sparse(&self) -> Result<(Pairs, bool, u64)> {
        if self.dialect() != Dialect::Gnu {
            return Err(Error::corrupt("a sparse entry has no GNU header"));
        }
        let segments = sparse_segments(&self.0[386..482])?;
        Ok((
            segments,
            self.0[482] != 0,
            size(number(&self.0[483..495], "real size")?)?,
        ))
    }
}

/// Offsets and lengths.
type Pairs = Vec<(u64, u64)>;

/// The 21 segments of a GNU sparse extension block, and whether another block follows.
pub(crate) fn gnu_sparse_extension(block: &[u8; BLOCK]) -> Result<(Pairs, bool)> {
    Ok((sparse_segments(&block[..504])?, block[504] != 0))
}

fn sparse_segments(bytes: &[u8]) -> Result<Pairs> {
    let used = bytes.chunks_exact(24).take_while(|segment| segment[0] != 0);
    used.map(|segment| {
        Ok((
            size(number(&segment[..12], "offset")?)?,
            size(number(&segment[12..], "length")?)?,
        ))
    })
    .collect()
}

fn size(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::corrupt("a header has a negative size"))
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// What the bytes of a block add up to, its own checksum taken for blanks.
fn sum(block: &[u8; BLOCK], worth: impl Fn(u8) -> i64) -> i64 {
    let of = |part: &[u8]| part.iter().map(|byte| worth(*byte)).sum::<i64>();
    of(&block[..148]) + of(b"        ") + of(&block[156..])
}

/// A number field: octal digits between blanks, or base-256 where the first bit is set.
fn number(field: &[u8], what: &str) -> Result<i64> {
    let bad = || Error::corrupt(format!("a header's {what} `{}` is not a number", field.escape_ascii()));
    if field[0] & 0x80 != 0 {
        return base256(field).ok_or_else(bad);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    if !digits[end..].iter().all(blank) {
        return Err(bad());
    }
    let value = digits[..end].iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    });
    value.ok_or_else(bad)
}

/// Two's complement, highest byte first; the first bit only marks the encoding, the second is the sign.
fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] | 0x80 } else { field[0] & 0x7f };
    let start = if negative { -1i128 } else { 0 };
    let bytes = std::iter::once(first).chain(field[1..].iter().copied());
    let value = bytes.fold(start, |value, byte| value << 8 | i128::from(byte));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_added_up_signed_or_not() {
        let mut block = [0; BLOCK];
        block[0] = 0xe9;
        for (stated, is_taken) in [(b"0000751\0", true), (b"0000351\0", true), (b"0000752\0", false)] {
            block[148..156].copy_from_slice(stated);
            assert_eq!(Header::new(block).is_ok(), is_taken, "{}", stated.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_read_as_tar_writes_them() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"77777777777\0", 0o77_777_777_777),
            (b"\x80\0\0\0\0\0\0\x2a", 42),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\x80\0\0\0", 0x8000_0000),
        ] {
            assert_eq!(number(field, "x").unwrap(), value, "{}", field.escape_ascii());
        }
        for field in [
            &b"0x\0\0\0\0\0\0"[..],
            b"12 34\0\0\0",
            b"8\0\0\0\0\0\0\0",
            b"-1\0\0\0\0\0\0",
            &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(number(field, "x").is_err(), "{}", field.escape_ascii());
        }
    }
}
