//! Replaces what differs from run to run in a text, so that the rest can be compared exactly.

use std::borrow::Cow;
use std::path::Path;

use regex::Regex;

/// Patterns and what is shown in their place, applied in order.
pub(crate) struct Filters(Vec<(Regex, String)>);

impl Filters {
    /// Digests, IDs, times, durations and sizes.
    pub(crate) fn new() -> Filters {
        let time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)";
        Filters(Vec::new())
            .with(r"sha256:[0-9a-f]{64}", "[DIGEST]")
            .with(r"\b[0-9a-f]{64}\b", "[ID]")
            .with(r"\b[0-9a-f]{12}\b", "[SHORT-ID]")
            .with(time, "[TIME]")
            .with(
                r"\b\d+ (seconds?|minutes?|hours?|days?|weeks?|months?|years?) ago\b",
                "[AGE]",
            )
            .with(r"\b\d+(\.\d+)?(ns|µs|us|ms|s)\b", "[DURATION]")
            .with(r"\b\d+(\.\d+)?(B|kB|MB|GB)\b", "[SIZE]")
    }

    /// Also this pattern.
    #[must_use]
    pub(crate) fn with(mut self, pattern: &str, shown: &str) -> Filters {
        self.0.push((Regex::new(pattern).unwrap(), shown.to_owned()));
        self
    }

    /// Also this path, before all others.
    #[must_use]
    pub(crate) fn path(mut self, path: &Path, shown: &str) -> Filters {
        let pattern = Regex::new(&regex::escape(path.to_str().unwrap())).unwrap();
        self.0.insert(0, (pattern, shown.to_owned()));
        self
    }

    /// The text with everything replaced, and without blanks at the ends of lines.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for (pattern, shown) in &self.0 {
            text = Cow::Owned(pattern.replace_all(&text, regex::NoExpand(shown)).into_owned());
        }
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}
