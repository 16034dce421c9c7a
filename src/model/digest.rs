//! A content digest, `sha256:…` or `sha512:…` (OCI image-spec, descriptor.md, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{Error, Result};

/// A digest that is known to be well formed, so that it can safely become part of a path (CVE-2024-3727).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The SHA-256 digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of bytes in memory by the same algorithm as this one.
    #[must_use]
    pub fn same_of(&self, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::like(self);
        hasher.update(bytes);
        hasher.finish()
    }

    /// A digest from its hexadecimal digits: 64 for SHA-256, 128 for SHA-512.
    pub fn from_hex(hex: &str) -> Result<Digest> {
        let algorithm = if hex.len() == 128 { "sha512" } else { "sha256" };
        format!("{algorithm}:{hex}").parse()
    }

    /// The algorithm: `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        &self.0[..6]
    }

    /// The hexadecimal digits after the colon.
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }

    /// The first twelve digits, as lists show them.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// The whole digest with its algorithm.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        let length = match text.get(..7) {
            Some("sha256:") => 64,
            Some("sha512:") => 128,
            _ => 0,
        };
        let hex = text.get(7..).unwrap_or_default();
        let is_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if length == 0 || hex.len() != length || !is_hex {
            return Err(Error::invalid(format!("`{}` is not a digest", text.escape_debug())).hint(
                "a digest is `sha256:` and 64 lower-case hexadecimal digits, or `sha512:` and 128; there is no other algorithm",
            ));
        }
        Ok(Digest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;
    fn try_from(text: String) -> Result<Digest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A digest computed over a stream.
#[derive(Clone)]
pub struct Hasher(Algorithm);

#[derive(Clone)]
enum Algorithm {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher(Algorithm::Sha256(sha2::Sha256::new()))
    }
}

impl Hasher {
    /// SHA-256 that has seen nothing.
    pub fn new() -> Hasher {
        Hasher::default()
    }

    /// SHA-512 that has seen nothing.
    pub fn sha512() -> Hasher {
        Hasher(Algorithm::Sha512(sha2::Sha512::new()))
    }

    /// The algorithm of a digest, which has seen nothing.
    pub fn like(digest: &Digest) -> Hasher {
        match digest.algorithm() {
            "sha512" => Hasher::sha512(),
            _ => Hasher::default(),
        }
    }

    /// Feeds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Algorithm::Sha256(state) => state.update(bytes),
            Algorithm::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes fed.
    pub fn finish(self) -> Digest {
        use fmt::Write as _;
        let (algorithm, bytes) = match self.0 {
            Algorithm::Sha256(state) => ("sha256", state.finalize().to_vec()),
            Algorithm::Sha512(state) => ("sha512", state.finalize().to_vec()),
        };
        let mut text = format!("{algorithm}:");
        for byte in bytes {
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        Digest(text)
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_published_one() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(empty.parse::<Digest>().unwrap().short(), "e3b0c44298fc");
    }

    #[test]
    fn both_algorithms_are_the_published_ones() {
        let hex = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                   47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        let empty: Digest = format!("sha512:{hex}").parse().unwrap();
        assert_eq!(empty.same_of(b""), empty);
        assert_eq!(Digest::from_hex(hex).unwrap(), empty);
        assert_eq!((empty.algorithm(), empty.short()), ("sha512", &hex[..12]));
        let other = "blake3:00".parse::<Digest>().unwrap_err();
        assert!(other.way_out().unwrap().contains("sha512"), "{other}");
    }

    #[test]
    fn what_could_become_a_path_is_no_digest() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let dots = format!("sha256:{}{}", "../".repeat(21), "a");
        for text in ["", "sha256:", "sha256:../../x", "md5:00", "sha256", "é", &upper, &dots] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
