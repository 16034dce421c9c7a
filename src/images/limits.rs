//! What is said when an image costs more than its settings allow.

use crate::error::{Error, Kind};

pub use crate::config::Limits;

/// The error for something that exceeds the limit called `setting`.
pub(crate) fn exceeded(what: impl std::fmt::Display, setting: &str, limit: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::Corrupt,
        format!("{what} exceeds the limit `{setting}` of {limit}"),
    )
    .hint(format!(
        "limits protect this machine from hostile input: if this is what you expect, raise it with `--limit {setting}=VALUE`, or \
         under `[limits]` in the settings file"
    ))
}
