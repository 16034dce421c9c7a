//! Names for containers: 64 random hexadecimal digits, and words a person can remember.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `bytes` random bytes as hexadecimal digits, from the kernel's generator.
pub fn random_hex(bytes: usize) -> Result<String> {
    use fmt::Write as _;
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|cause| Error::internal(format!("failed to read random bytes: {cause}")))?;
    Ok(random.iter().fold(String::with_capacity(bytes * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    }))
}

/// A container's id: 64 lower-case hexadecimal digits, safe as a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// A new random id.
    pub fn generate() -> Result<ContainerId> {
        random_hex(32).map(ContainerId)
    }

    /// The first twelve digits, as lists show them and as the default host name.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = Error;
    fn from_str(text: &str) -> Result<ContainerId> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(ContainerId(text.to_owned()));
        }
        Err(Error::invalid(format!(
            "`{}` is not a container id",
            text.escape_debug()
        )))
    }
}

impl TryFrom<String> for ContainerId {
    type Error = Error;
    fn try_from(text: String) -> Result<ContainerId> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ADJECTIVES: [&str; 32] = [
    "able", "amber", "bold", "brave", "brisk", "calm", "clever", "crisp", "deft", "eager", "early", "fair", "fond",
    "gentle", "glad", "keen", "kind", "lively", "lucid", "merry", "mild", "neat", "nimble", "proud", "quick", "quiet",
    "sharp", "steady", "swift", "tidy", "vivid", "warm",
];
const NOUNS: [&str; 32] = [
    "anchor", "badger", "beacon", "bridge", "canal", "cedar", "comet", "cove", "crane", "delta", "falcon", "fjord",
    "harbor", "heron", "island", "jetty", "lagoon", "lantern", "maple", "meadow", "otter", "pier", "pulley", "quay",
    "raven", "reef", "river", "sparrow", "summit", "tiller", "willow", "winch",
];

/// A container's name: letters, digits, `_`, `.` and `-`, starting with a letter or digit, as Podman has it (Docker wants two).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// Two random words; `attempt` above zero adds a number, for when the plain pair is taken.
    pub fn generate(attempt: u32) -> Result<ContainerName> {
        let mut random = [0; 3];
        getrandom::fill(&mut random)
            .map_err(|cause| Error::internal(format!("failed to read random bytes: {cause}")))?;
        let words = format!(
            "{}_{}",
            ADJECTIVES[usize::from(random[0]) % ADJECTIVES.len()],
            NOUNS[usize::from(random[1]) % NOUNS.len()]
        );
        Ok(ContainerName(match attempt {
            0 => words,
            _ => format!("{words}{}", u32::from(random[2]) + 256 * (attempt - 1)),
        }))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = Error;
    fn from_str(text: &str) -> Result<ContainerName> {
        let first_ok = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_ok = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if first_ok && rest_ok && (1..=128).contains(&text.len()) {
            return Ok(ContainerName(text.to_owned()));
        }
        Err(Error::invalid(format!("`{}` is not a name", text.escape_debug()))
            .hint("a name is 1 to 128 letters, digits, `_`, `.` or `-`, and starts with a letter or digit"))
    }
}

impl TryFrom<String> for ContainerName {
    type Error = Error;
    fn try_from(text: String) -> Result<ContainerName> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> String {
        name.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_and_ids_are_valid() {
        let id = ContainerId::generate().unwrap();
        assert_eq!(id.as_str().parse::<ContainerId>().unwrap(), id);
        for attempt in 0..3 {
            let name = ContainerName::generate(attempt).unwrap();
            assert_eq!(name.as_str().parse::<ContainerName>().unwrap(), name);
        }
    }

    #[test]
    fn names_cannot_become_paths_or_commands() {
        for text in [
            "",
            "../x",
            ".a",
            "-a",
            "a/b",
            "a b",
            "a\nb",
            "a;b",
            "a\0",
            "é1",
            &"a".repeat(129),
        ] {
            assert!(text.parse::<ContainerName>().is_err(), "{text:?}");
        }
    }
}
