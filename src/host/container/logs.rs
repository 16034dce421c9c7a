//! What a container wrote.

use jiff::Timestamp;
use serde::Deserialize;

use super::Container;
use crate::error::Result;
use crate::model::{Moment, unknown};
use crate::runtime::{self, LogLine, Stream};

/// Options of a container's `logs`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// The last so many lines only.
    pub tail: Option<u64>,
    /// Lines written since then.
    pub since: Option<Moment>,
    /// Lines written until then.
    pub until: Option<Moment>,
    /// `stdout`, `stderr` or `all` (the default).
    pub stream: Option<String>,
    /// Put each line's time before it.
    pub timestamps: bool,
}

impl Container {
    /// What it wrote so far, in the order of writing; bytes that are no text are replaced.
    pub fn logs(&self, options: &LogOptions) -> Result<String> {
        let stream = match options.stream.as_deref() {
            None | Some("all") => None,
            Some("stdout") => Some(Stream::Stdout),
            Some("stderr") => Some(Stream::Stderr),
            Some(other) => return Err(unknown("stream", other, &["stdout", "stderr", "all"])),
        };
        let now = Timestamp::now();
        let (since, until) = (
            options.since.map(|m| m.resolve(now)),
            options.until.map(|m| m.resolve(now)),
        );
        let wanted = |line: &LogLine| {
            let in_time = since.is_none_or(|since| line.time >= since) && until.is_none_or(|until| line.time <= until);
            in_time && stream.is_none_or(|stream| line.stream == stream)
        };
        let lines = runtime::logs(&self.bundle())?.filter(|line| line.as_ref().map_or(true, wanted));
        let lines = lines.collect::<Result<Vec<_>>>()?;
        let tail = options
            .tail
            .and_then(|tail| usize::try_from(tail).ok())
            .unwrap_or(usize::MAX);
        Ok(text(&lines[lines.len().saturating_sub(tail)..], options.timestamps))
    }
}

fn text(lines: &[LogLine], timestamps: bool) -> String {
    let mut bytes = Vec::new();
    let mut at_start = true;
    for line in lines {
        if timestamps && at_start {
            bytes.extend_from_slice(line.time.to_string().as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(&line.text);
        at_start = !line.partial;
        if at_start {
            bytes.push(b'\n');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
