//! Reading a log from its end: what came last is known without reading what came before.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::reader::{parts, strange};
use super::{LogLine, parse};
use crate::error::{Context, Result};
use crate::runtime::Bundle;

/// As many bytes are read at once; longer than a line can be.
const BLOCK: u64 = 64 << 10;

/// One file of a log, read from its end.
struct Backward {
    file: File,
    /// What is before it has not been read yet.
    start: u64,
    /// What has been read and not been handed on: whole lines, but for the first and, before any line was, for the last.
    read: Vec<u8>,
    is_whole: bool,
}

impl Backward {
    fn new(file: File) -> std::io::Result<Backward> {
        Ok(Backward {
            start: file.metadata()?.len(),
            file,
            read: Vec::new(),
            is_whole: false,
        })
    }

    /// The line before those it has returned, with the newline at its end. A last one that is not written to its end is none.
    fn line(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            let kept = self.read.len() - usize::from(self.is_whole && !self.read.is_empty());
            let newline = self.read[..kept].iter().rposition(|byte| *byte == b'\n');
            let line = newline.map_or(0, |at| at + 1);
            match (self.is_whole, newline) {
                (false, Some(_)) => {
                    self.read.truncate(line);
                    self.is_whole = true;
                }
                (true, Some(_)) => return Ok(Some(self.read.split_off(line))),
                _ if self.start > 0 => self.read_block()?,
                (true, None) if !self.read.is_empty() => return Ok(Some(std::mem::take(&mut self.read))),
                _ => return Ok(None),
            }
        }
    }

    fn read_block(&mut self) -> std::io::Result<()> {
        let length = self.start.min(BLOCK);
        self.start -= length;
        let mut read = vec![0; usize::try_from(length).unwrap_or_default()];
        self.file.read_exact_at(&mut read, self.start)?;
        read.append(&mut self.read);
        self.read = read;
        Ok(())
    }
}

/// The lines of a container's log, newest first; otherwise as [`logs`](super::logs).
pub fn logs_backward(bundle: &Bundle) -> Result<impl Iterator<Item = Result<LogLine>> + Send + use<>> {
    let id = bundle.id.short().to_owned();
    let show = |id: &str| format!("read the log of `{id}`");
    let files = parts(&bundle.log())?
        .into_iter()
        .rev()
        .map(|part| Backward::new(part.into_file()));
    let files = files.collect::<std::io::Result<Vec<_>>>().during(|| show(&id))?;
    Ok(files.into_iter().flat_map(move |mut file| {
        let id = id.clone();
        std::iter::from_fn(move || match file.line().during(|| show(&id)) {
            Ok(None) => None,
            Ok(Some(line)) => Some(parse(&line[..line.len() - 1]).ok_or_else(|| strange(&id, &line))),
            Err(error) => Some(Err(error)),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(content: &[u8]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut file = Backward::new(file).unwrap();
        let all = std::iter::from_fn(|| file.line().unwrap());
        all.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_come_from_the_last_that_is_whole() {
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"begun"), [""; 0]);
        assert_eq!(lines(b"a\n"), ["a\n"]);
        assert_eq!(lines(b"a\n\nbc\nbegun"), ["bc\n", "\n", "a\n"]);
        // Over the borders of blocks, wherever they fall.
        for odd in [0, 1, 7, 99] {
            let text: Vec<String> = (0..30_000)
                .map(|number| format!("{}{number}\n", "x".repeat(odd)))
                .collect();
            let mut seen = lines(text.concat().as_bytes());
            seen.reverse();
            assert_eq!(seen, text);
        }
    }
}
