//! Amounts of bytes as people write and read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// A number of bytes. Parses `512m` and `1GiB` (powers of 1024, as `docker run -m` does) and `10GB` (powers of 1000);
/// prints as `docker images` does: `170MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct ByteSize(pub u64);

const SI: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Bytes in one unit: a bare letter or `…iB` is binary, `…B` is decimal.
fn unit(name: &str) -> Option<u64> {
    let (letters, base): (&str, u64) = match name {
        "" | "b" => return Some(1),
        name if name.len() == 1 => (name, 1024),
        name if name.ends_with("ib") => (&name[..name.len() - 2], 1024),
        name if name.ends_with('b') => (&name[..name.len() - 1], 1000),
        _ => return None,
    };
    let power = ["", "k", "m", "g", "t", "p", "e"].iter().position(|l| *l == letters)?;
    base.checked_pow(u32::try_from(power).ok()?)
}

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<ByteSize> {
        let invalid = || {
            Error::invalid(format!("`{}` is not a size", text.escape_debug()))
                .hint("a size is a number with a unit, such as `512m`, `1.5GiB` or `10GB`")
        };
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(lower.len());
        let number: f64 = lower[..digits].parse().map_err(|_| invalid())?;
        let unit = unit(lower[digits..].trim()).ok_or_else(invalid)?;
        let bytes = number * unit as f64;
        if !bytes.is_finite() || bytes >= i64::MAX as f64 {
            return Err(invalid());
        }
        Ok(ByteSize(bytes.round() as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut power = 0;
        while value >= 999.5 && power + 1 < SI.len() {
            value /= 1000.0;
            power += 1;
        }
        let unit = SI[power];
        match value {
            _ if power == 0 => write!(f, "{}{unit}", self.0),
            v if v < 9.995 => write!(f, "{v:.2}{unit}"),
            v if v < 99.95 => write!(f, "{v:.1}{unit}"),
            v => write!(f, "{v:.0}{unit}"),
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<ByteSize, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: bytes as a number, or text such as `512m`")
            }
            fn visit_i64<E: serde::de::Error>(self, n: i64) -> std::result::Result<ByteSize, E> {
                let n = u64::try_from(n).map_err(|_| E::custom(format!("a size cannot be negative, got {n}")))?;
                Ok(ByteSize(n))
            }
            fn visit_u64<E: serde::de::Error>(self, n: u64) -> std::result::Result<ByteSize, E> {
                Ok(ByteSize(n))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_letters_are_binary_and_b_is_decimal() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("100b", 100),
            ("1k", 1024),
            ("512m", 512 << 20),
            ("1g", 1 << 30),
            ("10GB", 10_000_000_000),
            ("1.5GiB", 3 << 29),
            ("1 MB", 1_000_000),
            ("4kib", 4096),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
        }
        for text in ["", "m", "-1", "1x", "1.2.3m", "10zb", "1e99g", "99999999999g", "1é"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn prints_as_docker_does() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (1_980_000, "1.98MB"),
            (170_400_000, "170MB"),
            (999_999, "1.00MB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
