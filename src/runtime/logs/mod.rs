//! A container's log: one line for each line it wrote, tagged with time, stream and whether the line was whole. The form is the
//! one the Kubernetes container runtime interface prescribes: `2026-01-02T03:04:05.678901234Z stdout F text`.
//!
//! A log that has grown to its size is set aside as `log.1`, and what was that as `log.2`; the oldest goes.

mod backward;
mod reader;
mod writer;

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Stream;

pub use backward::logs_backward;
pub use reader::{Follower, follow, logs};
pub(super) use writer::Log;

/// A longer line is cut into parts of this size.
const LONGEST_LINE: usize = 16 << 10;
/// What a stored line can have before its text.
const LONGEST_TAG: usize = 64;

/// How much of what a container writes is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBounds {
    /// The bytes a file of the log may have; 0 for as many as come.
    pub max_size: u64,
    /// How many files there may be, that which is written included; at least 1.
    pub max_files: u32,
}

impl Default for LogBounds {
    /// As much as Docker's driver `local` keeps: five files of 20 MB.
    fn default() -> LogBounds {
        LogBounds {
            max_size: 20 << 20,
            max_files: 5,
        }
    }
}

/// The file of this number: 0 is the one being written, the others are older the higher.
fn part(path: &Path, number: u32) -> PathBuf {
    match number {
        0 => path.to_owned(),
        number => path.with_extension(number.to_string()),
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
    use crate::runtime::Bundle;

    const UNBOUNDED: LogBounds = LogBounds {
        max_size: 0,
        max_files: 1,
    };

    fn bundle() -> (tempfile::TempDir, Bundle) {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle {
            id: "ab".repeat(32).parse().unwrap(),
            dir: dir.path().into(),
            run_dir: dir.path().into(),
        };
        (dir, bundle)
    }

    fn written(writes: &[(Stream, &[u8])]) -> (tempfile::TempDir, Bundle) {
        let (dir, bundle) = bundle();
        let mut log = Log::open(&bundle.log(), UNBOUNDED).unwrap();
        for (stream, bytes) in writes {
            log.add(*stream, bytes);
        }
        log.finish();
        (dir, bundle)
    }

    fn texts(bundle: &Bundle) -> Vec<(Stream, String, bool)> {
        let lines = logs(bundle).unwrap().map(Result::unwrap);
        let text = |line: &LogLine| String::from_utf8_lossy(&line.text).into_owned();
        lines.map(|line| (line.stream, text(&line), line.partial)).collect()
    }

    fn numbers(bundle: &Bundle) -> Vec<u32> {
        texts(bundle)
            .iter()
            .map(|line| line.1.trim().parse().unwrap())
            .collect()
    }

    /// A line of 100 bytes in the file, with a number.
    fn line(number: u32) -> Vec<u8> {
        let mut lines = Vec::new();
        push(&mut lines, Timestamp::UNIX_EPOCH, Stream::Stdout, true, b"");
        format!("{number:>width$}\n", width = 100 - lines.len()).into_bytes()
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
        let append = |bytes: &[u8]| {
            let mut file = std::fs::OpenOptions::new().append(true).open(bundle.log()).unwrap();
            file.write_all(bytes).unwrap();
        };
        append(b"2026-01-01T00:00:00Z stdout F cu");
        assert_eq!(texts(&bundle).len(), 1);
        // What is written after it is not taken for its rest.
        let mut log = Log::open(&bundle.log(), UNBOUNDED).unwrap();
        log.add(Stream::Stdout, b"two\n");
        let found: Vec<String> = texts(&bundle).into_iter().map(|line| line.1).collect();
        assert_eq!(found, ["one", "two"]);
        append(b"nonsense\n");
        let last = logs(&bundle).unwrap().last().unwrap();
        assert_eq!(last.unwrap_err().kind(), crate::error::Kind::Corrupt);
    }

    #[test]
    fn a_log_keeps_its_bounds_and_the_newest_lines() {
        for (max_files, kept) in [(1, 5), (2, 15), (3, 25), (9, 45)] {
            let (_dir, bundle) = bundle();
            let bounds = LogBounds {
                max_size: 1000,
                max_files,
            };
            let mut log = Log::open(&bundle.log(), bounds).unwrap();
            // By lines, and several at once; another run goes on where this one was.
            (0..20).for_each(|number| log.add(Stream::Stdout, &line(number)));
            log.add(Stream::Stdout, &(20..32).flat_map(line).collect::<Vec<u8>>());
            log.finish();
            let mut log = Log::open(&bundle.log(), bounds).unwrap();
            (32..45).for_each(|number| log.add(Stream::Stdout, &line(number)));
            assert_eq!(
                numbers(&bundle),
                (45 - kept..45).collect::<Vec<_>>(),
                "{max_files} files"
            );
            let files = std::fs::read_dir(&bundle.dir).unwrap().map(Result::unwrap);
            let sizes: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
            assert!(
                sizes.len() <= max_files as usize && sizes.iter().all(|size| *size <= 1000),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn a_line_longer_than_a_file_has_one_of_its_own() {
        let (_dir, bundle) = bundle();
        let bounds = LogBounds {
            max_size: 10,
            max_files: 3,
        };
        let mut log = Log::open(&bundle.log(), bounds).unwrap();
        (0..4).for_each(|number| log.add(Stream::Stdout, &line(number)));
        assert_eq!(numbers(&bundle), [1, 2, 3]);
    }

    #[test]
    fn a_kill_between_any_two_steps_of_setting_aside_loses_nothing() {
        let bounds = LogBounds {
            max_size: 100,
            max_files: 4,
        };
        // The files as they are after so many renames, before the new one is there.
        for renames in 0..=3 {
            let (_dir, bundle) = bundle();
            let mut log = Log::open(&bundle.log(), bounds).unwrap();
            (0..3).for_each(|number| log.add(Stream::Stdout, &line(number)));
            drop(log);
            for number in (0..3).rev().take(renames) {
                std::fs::rename(part(&bundle.log(), number), part(&bundle.log(), number + 1)).unwrap();
            }
            assert_eq!(numbers(&bundle), [0, 1, 2], "{renames}");
            let mut log = Log::open(&bundle.log(), bounds).unwrap();
            log.add(Stream::Stdout, &line(3));
            assert_eq!(numbers(&bundle), [0, 1, 2, 3], "{renames}");
            log.add(Stream::Stdout, &line(4));
            assert_eq!(numbers(&bundle), [1, 2, 3, 4], "{renames}");
        }
    }

    #[test]
    fn a_follower_misses_nothing_while_files_are_set_aside() {
        let (_dir, bundle) = bundle();
        let bounds = LogBounds {
            max_size: 300,
            max_files: 4,
        };
        let mut log = Log::open(&bundle.log(), bounds).unwrap();
        let mut follower = follow(&bundle, false).unwrap();
        let mut seen = Vec::new();
        let mut next = 0;
        // As many at a time as the files hold, and fewer.
        for count in [0, 1, 2, 3, 4, 5, 9, 1, 7, 0, 3] {
            for number in next..next + count {
                log.add(Stream::Stdout, &line(number));
            }
            next += count;
            while let Some(line) = follower.written().unwrap() {
                seen.push(String::from_utf8(line.text).unwrap().trim().parse::<u32>().unwrap());
            }
        }
        assert_eq!(seen, (0..next).collect::<Vec<_>>());
        // One that comes later begins with what is written then.
        let mut late = follow(&bundle, true).unwrap();
        assert!(late.written().unwrap().is_none());
        log.add(Stream::Stdout, &line(next));
        assert!(late.written().unwrap().is_some() && late.written().unwrap().is_none());
    }

    #[test]
    fn a_line_is_followed_once_it_is_whole() {
        let (_dir, bundle) = bundle();
        let mut follower = follow(&bundle, false).unwrap();
        let mut file = std::fs::File::create(bundle.log()).unwrap();
        for (bytes, is_whole) in [
            (b"2026-01-01T00:00:00Z std".as_slice(), false),
            (b"out F x", false),
            (b"\n", true),
        ] {
            file.write_all(bytes).unwrap();
            assert_eq!(follower.written().unwrap().is_some(), is_whole);
        }
    }
}
