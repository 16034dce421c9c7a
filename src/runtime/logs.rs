//! A container's log: one line for each line it wrote, tagged with time, stream and whether the line was whole. The form is the
//! one the Kubernetes container runtime interface prescribes: `2026-01-02T03:04:05.678901234Z stdout F text`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::{Bundle, Stream};
use crate::error::{Context, Error, Result};

/// A longer line is cut into parts of this size.
const LONGEST_LINE: usize = 16 << 10;
/// What a stored line can have before its text.
const LONGEST_TAG: usize = 64;

/// Writes a log.
pub(super) struct Log {
    file: File,
    /// What came after the last newline, for each stream.
    rest: [Vec<u8>; 2],
}

impl Log {
    pub(super) fn open(path: &Path) -> Result<Log> {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        Ok(Log {
            file: file.during(|| format!("open `{}`", path.display()))?,
            rest: Default::default(),
        })
    }

    /// Adds output. A full disk loses log lines and not the container.
    pub(super) fn add(&mut self, stream: Stream, bytes: &[u8]) {
        let mut lines = Vec::with_capacity(bytes.len() + LONGEST_TAG);
        let time = Timestamp::now();
        let rest = &mut self.rest[stream as usize];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            let whole = rest.last() == Some(&b'\n');
            while rest.len() > LONGEST_LINE + usize::from(whole) {
                let tail = rest.split_off(LONGEST_LINE);
                push(&mut lines, time, stream, false, rest);
                *rest = tail;
            }
            if whole {
                rest.pop();
                push(&mut lines, time, stream, true, rest);
                rest.clear();
            }
        }
        let _ = self.file.write_all(&lines);
    }

    /// Writes what came after the last newline.
    pub(super) fn finish(mut self) {
        let time = Timestamp::now();
        let mut lines = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.rest[stream as usize]);
            if !rest.is_empty() {
                push(&mut lines, time, stream, false, &rest);
            }
        }
        let _ = self.file.write_all(&lines);
    }
}

fn push(lines: &mut Vec<u8>, time: Timestamp, stream: Stream, whole: bool, text: &[u8]) {
    let (stream, tag) = (name(stream), if whole { 'F' } else { 'P' });
    write!(lines, "{time:.9} {stream} {tag} ").expect("writing to memory does not fail");
    lines.extend_from_slice(text);
    lines.push(b'\n');
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

/// One line of a log, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read from the container.
    pub time: Timestamp,
    /// Which output it was written to.
    pub stream: Stream,
    /// What was written, without the newline.
    pub text: Vec<u8>,
    /// Whether the line goes on in the next part, or ended without a newline.
    pub partial: bool,
}

/// The lines of a container's log, oldest first, those of earlier runs included. A container that wrote nothing has none.
///
/// A line that a crash cut short is left out; one that is no log line is `corrupt`.
pub fn logs(bundle: &Bundle) -> Result<impl Iterator<Item = Result<LogLine>> + Send + use<>> {
    let path = bundle.log();
    let reader = match File::open(&path) {
        Ok(file) => Some(BufReader::new(file)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
        Err(cause) => return Err(cause).during(|| format!("open `{}`", path.display())),
    };
    let id = bundle.id.short().to_owned();
    Ok(reader
        .into_iter()
        .flat_map(move |reader| Lines { reader, id: id.clone() }))
}

struct Lines {
    reader: BufReader<File>,
    id: String,
}

impl Iterator for Lines {
    type Item = Result<LogLine>;

    fn next(&mut self) -> Option<Result<LogLine>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Err(cause) => return Some(Err(cause).during(|| format!("read the log of `{}`", self.id))),
            // The end, or a line that is still being written.
            Ok(_) if line.pop() != Some(b'\n') => return None,
            Ok(_) => {}
        }
        Some(parse(&line).ok_or_else(|| {
            let start = String::from_utf8_lossy(&line[..line.len().min(LONGEST_TAG)])
                .escape_debug()
                .to_string();
            Error::corrupt(format!(
                "failed to read the log of `{}`: `{start}` is no log line",
                self.id
            ))
        }))
    }
}

fn parse(line: &[u8]) -> Option<LogLine> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = match parts.next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(LogLine {
        time,
        stream,
        text: parts.next()?.to_vec(),
        partial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writes: &[(Stream, &[u8])]) -> (tempfile::TempDir, Bundle) {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle {
            id: "ab".repeat(32).parse().unwrap(),
            dir: dir.path().into(),
            run_dir: dir.path().into(),
        };
        let mut log = Log::open(&bundle.log()).unwrap();
        for (stream, bytes) in writes {
            log.add(*stream, bytes);
        }
        log.finish();
        (dir, bundle)
    }

    fn texts(bundle: &Bundle) -> Vec<(Stream, String, bool)> {
        let lines = logs(bundle).unwrap().map(Result::unwrap);
        lines
            .map(|line| {
                (
                    line.stream,
                    String::from_utf8_lossy(&line.text).into_owned(),
                    line.partial,
                )
            })
            .collect()
    }

    #[test]
    fn lines_are_joined_across_writes_and_streams_do_not_mix() {
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let (_dir, bundle) = written(&[(out, b"on"), (err, b"x\n"), (out, b"e\n\ntw"), (out, b"o")]);
        let expected = [
            (err, "x", false),
            (out, "one", false),
            (out, "", false),
            (out, "two", true),
        ]
        .map(|(s, t, p)| (s, t.to_owned(), p));
        assert_eq!(texts(&bundle), expected);
    }

    #[test]
    fn long_lines_are_cut_and_can_be_joined_again() {
        for length in [LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 3 * LONGEST_LINE] {
            let mut line = vec![b'a'; length];
            line.push(b'\n');
            let (_dir, bundle) = written(&[(Stream::Stdout, &line)]);
            let lines = texts(&bundle);
            assert_eq!(lines.iter().map(|line| line.1.len()).sum::<usize>(), length);
            assert!(lines.iter().all(|line| line.1.len() <= LONGEST_LINE));
            let (last, before) = lines.split_last().unwrap();
            assert!(!last.2 && before.iter().all(|line| line.2), "{length}");
        }
    }

    #[test]
    fn a_line_cut_by_a_crash_is_left_out_and_a_strange_one_is_told() {
        let (_dir, bundle) = written(&[(Stream::Stdout, b"one\n")]);
        let mut file = std::fs::OpenOptions::new().append(true).open(bundle.log()).unwrap();
        file.write_all(b"2026-01-01T00:00:00Z stdout F cu").unwrap();
        assert_eq!(texts(&bundle).len(), 1);
        file.write_all(b"\nnonsense\n").unwrap();
        let last = logs(&bundle).unwrap().last().unwrap();
        assert_eq!(last.unwrap_err().kind(), crate::error::Kind::Corrupt);
    }
}
