//! Reading a log, which may be in several files and be going on.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{LONGEST_TAG, LogLine, parse, part};
use crate::error::{Context, Error, Result};
use crate::model;
use crate::runtime::Bundle;
use crate::runtime::state::Record;

/// One of the files of a log.
pub(super) struct Part {
    reader: BufReader<File>,
    inode: u64,
    /// A line of which the end has not been written yet.
    begun: Vec<u8>,
}

impl Part {
    fn open(path: &Path) -> Result<Option<Part>> {
        let show = || format!("open `{}`", path.display());
        match File::open(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            file => {
                let file = file.during(show)?;
                Ok(Some(Part {
                    inode: file.metadata().during(show)?.ino(),
                    reader: BufReader::new(file),
                    begun: Vec::new(),
                }))
            }
        }
    }

    /// The next line, if all of it is written.
    fn line(&mut self, id: &str) -> Result<Option<LogLine>> {
        let read = self.reader.read_until(b'\n', &mut self.begun);
        read.during(|| format!("read the log of `{id}`"))?;
        if self.begun.last() != Some(&b'\n') {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.begun);
        let parsed = parse(&line[..line.len() - 1]);
        parsed.map(Some).ok_or_else(|| strange(id, &line))
    }

    /// The file, of which nothing was read yet.
    pub(super) fn into_file(self) -> File {
        self.reader.into_inner()
    }

    /// Goes to the end of what is written.
    fn skip(&mut self) -> std::io::Result<()> {
        let size = self.reader.seek(SeekFrom::End(0))?;
        if size > 0 {
            // The end of the last line, or what is there of it.
            self.reader.seek(SeekFrom::Start(size - 1))?;
            self.reader.read_until(b'\n', &mut Vec::new())?;
        }
        Ok(())
    }
}

pub(super) fn strange(id: &str, line: &[u8]) -> Error {
    let start = String::from_utf8_lossy(&line[..line.len().min(LONGEST_TAG)]);
    let start = start.trim_end().escape_debug().to_string();
    Error::corrupt(format!("failed to read the log of `{id}`: `{start}` is no log line"))
}

/// All files of a log, oldest first.
///
/// They are opened from the newest on: one that is set aside meanwhile is met a second time, and none is missed. One number may be
/// missing.
pub(super) fn parts(path: &Path) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let (mut number, mut missing) = (0, 0);
    while missing < 2 {
        match Part::open(&part(path, number))? {
            Some(part) if parts.iter().any(|known| known.inode == part.inode) => {}
            Some(part) => {
                parts.push(part);
                missing = 0;
            }
            None => missing += 1,
        }
        number += 1;
    }
    parts.reverse();
    Ok(parts)
}

/// The lines of a container's log, oldest first, those of earlier runs included. A container that wrote nothing has none.
///
/// A line that a crash cut short is left out; one that is no log line is `corrupt`.
pub fn logs(bundle: &Bundle) -> Result<impl Iterator<Item = Result<LogLine>> + Send + use<>> {
    let id = bundle.id.short().to_owned();
    let parts = parts(&bundle.log())?.into_iter();
    Ok(parts.flat_map(move |mut part| {
        let id = id.clone();
        std::iter::from_fn(move || part.line(&id).transpose())
    }))
}

/// Reads a log as it grows, until the container ends.
pub struct Follower {
    bundle: Bundle,
    watch: Option<Inotify>,
    /// The file being read.
    part: Option<Part>,
    /// Whether a newer file was there before this one was last read: then nothing comes to it any more.
    is_complete: bool,
    /// The supervisor, as long as it may write.
    writer: Option<OwnedFd>,
}

/// Starts to read the log of a container: from its first line, or from what is written `from_now` on.
pub fn follow(bundle: &Bundle, from_now: bool) -> Result<Follower> {
    let show = || format!("watch the log of `{}`", bundle.id.short());
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).during(show)?;
    let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    // Before the first look, so that nothing that comes after it is missed.
    let watch = match watch.add_watch(&bundle.dir, events) {
        Err(Errno::ENOENT) => None,
        added => added.during(show).map(|_| Some(watch))?,
    };
    let mut part = None;
    if from_now {
        part = parts(&bundle.log())?.pop();
        if let Some(part) = &mut part {
            part.skip().during(show)?;
        }
    }
    Ok(Follower {
        bundle: bundle.clone(),
        watch,
        part,
        is_complete: false,
        writer: Record::read(bundle)?.and_then(|record| record.supervisor.open()),
    })
}

impl Follower {
    /// The next line that is written already.
    pub fn written(&mut self) -> Result<Option<LogLine>> {
        loop {
            if let Some(part) = &mut self.part
                && let Some(line) = part.line(self.bundle.id.short())?
            {
                return Ok(Some(line));
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// The next line, waiting for it; `None` when the container has ended.
    pub fn next(&mut self, ctx: &model::Context) -> Result<Option<LogLine>> {
        loop {
            if let Some(line) = self.written()? {
                return Ok(Some(line));
            }
            if self.writer.is_none() {
                return Ok(None);
            }
            self.wait(ctx, None)?;
        }
    }

    /// Whether nothing more will be written.
    pub(in crate::runtime) fn is_over(&self) -> bool {
        self.writer.is_none()
    }

    /// At the end of a file: goes on to the newer one, if there is one. Whatever was written to this one before that one was there is
    /// read first.
    fn advance(&mut self) -> Result<bool> {
        let newest = std::fs::metadata(self.bundle.log()).ok().map(|status| status.ino());
        if newest.is_some() && newest == self.part.as_ref().map(|part| part.inode) {
            return Ok(false);
        }
        let mut parts = parts(&self.bundle.log())?;
        let own = self.part.as_ref().map(|part| part.inode);
        let at = parts.iter().position(|part| Some(part.inode) == own);
        // If this one is gone, so is what came between it and the oldest.
        let next = at.map_or(0, |at| at + 1);
        if next >= parts.len() {
            return Ok(false);
        }
        if self.part.is_some() && !self.is_complete {
            self.is_complete = true;
            return Ok(true);
        }
        self.is_complete = false;
        self.part = Some(parts.swap_remove(next));
        Ok(true)
    }

    /// Waits until something was written, the container has ended, or there is something to be read elsewhere.
    pub(in crate::runtime) fn wait(&mut self, ctx: &model::Context, other: Option<BorrowedFd<'_>>) -> Result<()> {
        ctx.check()?;
        let (Some(watch), Some(writer)) = (&self.watch, &self.writer) else {
            self.writer = None;
            return Ok(());
        };
        let mut fds = vec![
            PollFd::new(watch.as_fd(), PollFlags::POLLIN),
            PollFd::new(writer.as_fd(), PollFlags::POLLIN),
            PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN),
        ];
        fds.extend(other.map(|other| PollFd::new(other, PollFlags::POLLIN)));
        let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for a log"),
        }
        let has_ended = fds[1].revents().is_some_and(|events| !events.is_empty());
        let _ = watch.read_events();
        if has_ended {
            // It has written all it will.
            self.writer = None;
        }
        Ok(())
    }
}
