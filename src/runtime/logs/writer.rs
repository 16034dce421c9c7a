//! Writing a log, and beginning it anew when it has grown.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{LONGEST_LINE, LONGEST_TAG, LogBounds, part, push};
use crate::error::{Context, Result};
use crate::runtime::Stream;

/// Writes a log.
pub(in crate::runtime) struct Log {
    path: PathBuf,
    file: File,
    /// How many bytes the file has.
    size: u64,
    bounds: LogBounds,
    /// What came after the last newline, for each stream.
    rest: [Vec<u8>; 2],
}

impl Log {
    /// Opens the log of a container, to go on after what earlier runs wrote.
    pub(in crate::runtime) fn open(path: &Path, bounds: LogBounds) -> Result<Log> {
        let opened = match create(path) {
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => resume(path),
            created => created.map(|file| (file, 0)),
        };
        let (file, size) = opened.during(|| format!("open `{}`", path.display()))?;
        Ok(Log {
            path: path.to_owned(),
            file,
            size,
            bounds,
            rest: Default::default(),
        })
    }

    /// Adds output. A full disk loses log lines and not the container.
    pub(in crate::runtime) fn add(&mut self, stream: Stream, bytes: &[u8]) {
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
        let _ = self.write(&lines);
    }

    /// Writes what came after the last newline.
    pub(in crate::runtime) fn finish(mut self) {
        let time = Timestamp::now();
        let mut lines = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.rest[stream as usize]);
            if !rest.is_empty() {
                push(&mut lines, time, stream, false, &rest);
            }
        }
        let _ = self.write(&lines);
    }

    /// Writes whole lines, each to a file that has room for it.
    fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            let fitting = match self.bounds.max_size {
                0 => lines.len(),
                most => fitting(lines, most.saturating_sub(self.size)),
            };
            if fitting == 0 && self.size > 0 {
                self.begin_anew()?;
                continue;
            }
            // A line longer than a file may be is in one of its own.
            let length = if fitting == 0 { first_line(lines) } else { fitting };
            let (now, later) = lines.split_at(length);
            self.file
                .write_all(now)
                .inspect_err(|_| drop(self.file.set_len(self.size)))?;
            self.size += now.len() as u64;
            lines = later;
        }
        Ok(())
    }

    /// Sets the file aside as the latest of the older ones. Killed at any point, all lines are still there in order: at most one number
    /// is missing, and that is the first to be filled.
    fn begin_anew(&mut self) -> io::Result<()> {
        let last = self.bounds.max_files.saturating_sub(1);
        if self.path.exists() {
            if last == 0 {
                fs::remove_file(&self.path)?;
            } else {
                let free = (1..last).find(|number| !part(&self.path, *number).exists());
                for number in (0..free.unwrap_or(last)).rev() {
                    fs::rename(part(&self.path, number), part(&self.path, number + 1))?;
                }
            }
        }
        self.file = create(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

/// Opens a log that is there. A line that a crash cut short goes: what comes next would be taken for its rest.
fn resume(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    let mut end = size;
    let mut byte = [0];
    while end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        end -= 1;
    }
    if end < size {
        file.set_len(end)?;
    }
    Ok((file, end))
}

/// How many bytes of whole lines there is room for.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    let end = lines[..room].iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |at| at + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(lines.len(), |at| at + 1)
}
