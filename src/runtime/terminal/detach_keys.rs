//! The keys by which a person parts from a program that has the terminal.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Keys that are typed one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    /// Ctrl-P, Ctrl-Q.
    fn default() -> DetachKeys {
        DetachKeys(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = Error;

    /// Reads keys in Docker's form: `ctrl-p,ctrl-q`, or letters as they are. Without any, there is no parting.
    fn from_str(text: &str) -> Result<DetachKeys> {
        let parts = text.split(',').filter(|_| !text.is_empty());
        let keys = parts.map(|part| key(part).ok_or_else(|| not_a_key(part)));
        keys.collect::<Result<_>>().map(DetachKeys)
    }
}

fn key(text: &str) -> Option<u8> {
    match (text.as_bytes(), text.strip_prefix("ctrl-").map(str::as_bytes)) {
        (&[letter @ 0x20..=0x7e], _) => Some(letter),
        (_, Some(&[letter @ (b'@'..=b'_' | b'a'..=b'z')])) => Some(letter & 0x1f),
        _ => None,
    }
}

fn not_a_key(text: &str) -> Error {
    Error::invalid(format!("`{}` is not a key", text.escape_debug()))
        .target(text)
        .hint("a key is a letter, or `ctrl-` and one of `a` to `z`, `@`, `[`, `\\`, `]`, `^`, `_`; several are parted by commas")
}

impl DetachKeys {
    /// Watches for them.
    pub(in crate::runtime) fn matcher(&self) -> Matcher<'_> {
        Matcher { keys: &self.0, at: 0 }
    }
}

/// Watches what is typed.
pub(in crate::runtime) struct Matcher<'a> {
    keys: &'a [u8],
    /// How many of the keys have come.
    at: usize,
}

impl Matcher<'_> {
    /// What of it is for the program, and whether the keys are complete. What may be their beginning is held back.
    pub(in crate::runtime) fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.at) != Some(byte) {
                passed.extend_from_slice(&self.keys[..self.at]);
                self.at = 0;
            }
            match self.keys.get(self.at) == Some(byte) {
                true => self.at += 1,
                false => passed.push(*byte),
            }
            if self.at == self.keys.len() && self.at > 0 {
                return (passed, true);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_writes_them() {
        assert_eq!("ctrl-p,ctrl-q".parse::<DetachKeys>().unwrap(), DetachKeys::default());
        assert_eq!("a,ctrl-@,ctrl-[".parse::<DetachKeys>().unwrap().0, [b'a', 0, 0x1b]);
        assert!("".parse::<DetachKeys>().unwrap().0.is_empty());
        for text in ["ctrl-", "ctrl-1", "ab", ",", "ctrl-p,", "ü"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_only_begins_like_the_keys_is_typed() {
        let keys: DetachKeys = "a,b".parse().unwrap();
        let mut matcher = keys.matcher();
        assert_eq!(matcher.take(b"xa"), (b"x".to_vec(), false));
        assert_eq!(matcher.take(b"ac"), (b"aac".to_vec(), false));
        assert_eq!(matcher.take(b"xa"), (b"x".to_vec(), false));
        assert_eq!(matcher.take(b"b rest"), (Vec::new(), true));
        let none: DetachKeys = "".parse().unwrap();
        assert_eq!(none.matcher().take(b"any"), (b"any".to_vec(), false));
    }
}
