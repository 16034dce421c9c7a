//! Who is told what became of a job's runs: `slack:env:SLACK_URL always`.

use std::fmt;

use super::job::split_words;
use crate::error::{Error, Result};
use crate::model::Address;

/// Somebody who is told what became of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Who.
    pub address: Address,
    /// Of each run; of one with another result than the one before without this.
    pub always: bool,
}

impl Notify {
    /// Addresses, with `always` or `change` after them. Errors: `invalid`.
    pub(super) fn parse(text: &str) -> Result<Vec<Notify>> {
        let mut words = split_words(text)?;
        let when = words.pop_if(|word| ["always", "change"].contains(&word.as_str()));
        if words.is_empty() {
            return Err(Error::invalid("it names nobody")
                .hint("such as `slack:env:SLACK_URL`, or `mail:ops@example.org always`"));
        }
        let all = words.iter().map(|word| {
            let address: Address = word.parse()?;
            let is_ping = matches!(address, Address::Ping(_));
            if is_ping && when.as_deref() == Some("change") {
                return Err(Error::invalid("who watches for pings gets them at each run")
                    .hint("write the others in a line of their own"));
            }
            Ok(Notify {
                always: is_ping || when.as_deref() == Some("always"),
                address,
            })
        });
        all.collect()
    }
}

impl fmt::Display for Notify {
    /// Who is told, and when, without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.always {
            "at each run"
        } else {
            "when the result changes"
        };
        write!(f, "{} {when}", self.address)
    }
}
