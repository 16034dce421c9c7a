//! Shell-style patterns over names and paths.

use globset::{Glob, GlobMatcher};

use super::Words;
use crate::error::{Error, Result};

/// A compiled pattern: `*` and `?` within a name, `[a-z]`, `{a,b}`.
#[derive(Debug, Clone)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// Compiles a pattern in which `*` also crosses `/`, as Docker's `reference=` filter and shells' `case` do.
    pub fn new(text: &str) -> Result<Pattern> {
        let glob = Glob::new(text)
            .map_err(|cause| Error::invalid(format!("`{}` is not a pattern: {}", text.escape_debug(), cause.kind())))?;
        Ok(Pattern(glob.compile_matcher()))
    }

    /// Compiles each of the words; none gives none.
    pub fn each(words: Option<&Words>) -> Result<Vec<Pattern>> {
        let words = words.into_iter().flat_map(|words| &words.0);
        words.map(|text| Pattern::new(text)).collect()
    }

    /// Whether the whole text fits.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_cross_slashes_and_brackets_choose() {
        let pattern = Pattern::new("team/*:v[0-9]*").unwrap();
        assert!(pattern.matches("team/a/b:v1.2"));
        assert!(!pattern.matches("team/a:latest"));
        assert!(Pattern::new("a[").is_err());
    }
}
