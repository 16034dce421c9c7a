//! Versions as tags carry them (Semantic Versioning 2.0.0).

use semver::Version;

use crate::error::{Error, Result};

/// A version, with the liberties tags take: a leading `v`, and parts left out (`1.2` is `1.2.0`).
pub fn parse_version(text: &str) -> Result<Version> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let core = bare.find(['-', '+']).unwrap_or(bare.len());
    let missing = 2usize.saturating_sub(bare[..core].matches('.').count());
    let full = format!("{}{}{}", &bare[..core], ".0".repeat(missing), &bare[core..]);
    Version::parse(&full).map_err(|cause| {
        Error::invalid(format!("`{}` is not a version: {cause}", text.escape_debug()))
            .target(text)
            .hint("a version is `MAJOR.MINOR.PATCH`, with an optional leading `v` and `-PRE`; filter by `semver::is_valid`")
    })
}
