//! Extended headers (POSIX pax(1), "pax Extended Header") with the records of GNU tar, star and libarchive.

use super::{Mtime, acl};
use crate::error::{Error, Result};
use crate::images::path_text;

/// What the extended headers before an entry say of it.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) mtime: Option<Mtime>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Names of attributes that came encoded, as they were written.
    encoded: Vec<Vec<u8>>,
    pub(crate) sparse: PaxSparse,
}

/// GNU's sparse records, formats 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").
#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    pub(crate) numbers: Vec<u64>,
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
}

impl Pax {
    /// Parses the records of one header; every malformed one is an error, for skipping it would let two readers see two archives.
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Pax> {
        let mut pax = Pax::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes)?;
            pax.take(key, value)?;
            bytes = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let path = |value: &[u8]| (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = path(value),
            b"linkpath" => self.link = path(value),
            b"size" => self.size = decimal(key, value)?,
            b"uid" => self.uid = decimal(key, value)?,
            b"gid" => self.gid = decimal(key, value)?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.name" => self.sparse.name = path(value),
            b"GNU.sparse.major" => self.sparse.major = decimal(key, value)?,
            b"GNU.sparse.minor" => self.sparse.minor = decimal(key, value)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.real_size = decimal(key, value)?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.numbers.extend(decimal::<u64>(key, value)?),
            b"GNU.sparse.map" => self.sparse.numbers = sparse_map(value)?,
            _ => self.take_xattr(key, value)?,
        }
        Ok(())
    }

    fn take_xattr(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            // bsdtar writes every attribute in both forms, and encodes the name in both.
            if !self.encoded.iter().any(|known| known == name) {
                self.set_xattr(name.to_vec(), value.to_vec());
            }
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let bad = || Error::corrupt(format!("the extended header `{}` is not base64", key.escape_ascii()));
            let decoded = path_text::decode(std::str::from_utf8(name).map_err(|_| bad())?);
            self.xattrs.retain(|(known, _)| known != name);
            self.encoded.push(name.to_vec());
            self.set_xattr(decoded, path_text::base64(value).ok_or_else(bad)?);
        } else if let Some(which) = key.strip_prefix(b"SCHILY.acl.") {
            return self.take_acl(which, value);
        }
        Ok(())
    }

    /// An access control list; those of other systems (`ace`) mean nothing here.
    fn take_acl(&mut self, which: &[u8], text: &[u8]) -> Result<()> {
        let name: &[u8] = match which {
            b"access" => b"system.posix_acl_access",
            b"default" => b"system.posix_acl_default",
            _ => return Ok(()),
        };
        if let Some(value) = acl::value(text)? {
            self.set_xattr(name.to_vec(), value);
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.xattrs.retain(|(known, _)| *known != name);
        self.xattrs.push((name, value));
    }
}

/// The first record's key and value, and what follows it: `LENGTH KEY=VALUE\n`.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let bad = || Error::corrupt("an extended header is malformed");
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or_else(bad)?;
    let length: usize = digits(&bytes[..blank]).ok_or_else(bad)?;
    let body = bytes.get(blank + 1..length).ok_or_else(bad)?;
    let body = body.strip_suffix(b"\n").ok_or_else(bad)?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    if key.is_empty() || key.contains(&0) || (is_name(key) && value.contains(&0)) {
        return Err(bad());
    }
    Ok((key, value, &bytes[length..]))
}

fn is_name(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"GNU.sparse.name")
}

fn digits<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let all_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all_digits)?.parse().ok()
}

/// A record's number; an empty value takes an earlier one back.
fn decimal<T: TryFrom<i64>>(key: &[u8], value: &[u8]) -> Result<Option<T>> {
    if value.is_empty() {
        return Ok(None);
    }
    let number = digits::<i64>(value).and_then(|number| T::try_from(number).ok());
    let bad = || {
        Error::corrupt(format!(
            "the extended header `{}` is not a number: `{}`",
            key.escape_ascii(),
            value.escape_ascii()
        ))
    };
    number.map(Some).ok_or_else(bad)
}

fn sparse_map(value: &[u8]) -> Result<Vec<u64>> {
    let bad = || Error::corrupt("a sparse map is not a list of numbers");
    let numbers = value.split(|byte| *byte == b',');
    numbers.map(|number| digits(number).ok_or_else(bad)).collect()
}

/// Seconds with a fraction, cut to nanoseconds: `-1.5` is 1.5 s before the epoch.
fn time(value: &[u8]) -> Result<Mtime> {
    let bad = || Error::corrupt(format!("the time `{}` is not a number", value.escape_ascii()));
    let (negative, rest) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let dot = rest.iter().position(|byte| *byte == b'.').unwrap_or(rest.len());
    let seconds: i128 = digits(&rest[..dot]).ok_or_else(bad)?;
    let fraction = rest.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let nanos = (0..9).fold(0u32, |nanos, at| {
        nanos * 10 + u32::from(fraction.get(at).map_or(0, |digit| digit - b'0'))
    });
    let (seconds, nanos) = match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    };
    let seconds = i64::try_from(seconds).map_err(|_| bad())?;
    Ok(Mtime { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let pax = Pax::parse(
            b"9 path=a\n20 mtime=-1.5000000\n27 SCHILY.xattr.user.a=\0\n\xff\n31 LIBARCHIVE.xattr.b%20c=aGk=\n",
        )
        .unwrap();
        assert_eq!(pax.path.unwrap(), b"a");
        assert_eq!(
            pax.mtime.unwrap(),
            Mtime {
                seconds: -2,
                nanos: 500_000_000
            }
        );
        assert_eq!(
            pax.xattrs,
            [
                (b"user.a".to_vec(), b"\0\n\xff".to_vec()),
                (b"b c".to_vec(), b"hi".to_vec())
            ]
        );
    }

    #[test]
    fn times_before_the_epoch_are_rounded_down_and_end_where_numbers_do() {
        for (text, seconds, nanos) in [
            ("-9223372036854775808", i64::MIN, 0),
            ("9223372036854775807.9999999999", i64::MAX, 999_999_999),
            ("-9223372036854775807.1", i64::MIN, 900_000_000),
            ("-0.000000001", -1, 999_999_999),
            ("-0", 0, 0),
        ] {
            assert_eq!(time(text.as_bytes()).unwrap(), Mtime { seconds, nanos }, "{text}");
        }
        for text in [
            "-9223372036854775808.1",
            "9223372036854775808",
            "--1",
            "-",
            "",
            ".5",
            "1.-5",
            "1e3",
        ] {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"9 path=a"[..],
            b"8 path=a\n",
            b"x path=a\n",
            b"99 path=a\n",
            b"7 =aaa\n",
            b"9 pathxa\n",
            b"11 path=a\0b\n",
            b"10 size=-1\n",
            b"11 mtime=x1\n",
            b"+9 path=a\n",
            b"0 path=a\n",
            b"5 a=\n\n",
        ] {
            assert!(Pax::parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
