//! Where archives come from: files, directories, and streams whose bytes may be long in coming.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context as _, Result};
use crate::model::Context;

/// Where bytes come from.
pub enum Source<'a> {
    /// A file, or a directory that is an OCI layout.
    Path(&'a Path),
    /// Standard input.
    Standard,
    /// A stream.
    Reader(Box<dyn Read + Send + 'a>),
}

impl<'a> Source<'a> {
    /// The file at `path`; `-` is standard input.
    pub fn named(path: &'a Path) -> Source<'a> {
        match path.as_os_str().as_encoded_bytes() {
            b"-" => Source::Standard,
            _ => Source::Path(path),
        }
    }
}

/// A file on disk, or what has to be waited for.
pub(crate) enum Opened<'a> {
    File(File),
    Stream(Box<dyn Read + Send + 'a>),
}

/// Opens a file, or a pipe or device, whose writer need not be there yet.
pub(crate) fn open<'a>(ctx: &'a Context, path: &Path) -> Result<Opened<'a>> {
    let what = || format!("open `{}`", path.display());
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .during(what)?;
    match file.metadata().during(what)?.is_file() {
        true => Ok(Opened::File(file)),
        false => Ok(Opened::Stream(Box::new(Patient { ctx, file }))),
    }
}

/// Standard input, as it is and without the buffer that a poll does not see.
pub(crate) fn standard(ctx: &Context) -> Result<Box<dyn Read + Send + '_>> {
    let own = io::stdin().as_fd().try_clone_to_owned();
    let file = File::from(own.during(|| "open the standard input")?);
    Ok(Box::new(Patient { ctx, file }))
}

/// A stream that is waited for only as long as the operation may last.
struct Patient<'a> {
    ctx: &'a Context,
    file: File,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ctx.check().map_err(io::Error::other)?;
            let wake = self.ctx.wake_fd().map_err(io::Error::other)?;
            let mut fds = [self.file.as_fd(), wake].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let limit = PollTimeout::try_from(self.ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, limit) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(cause) => return Err(cause.into()),
            }
            if !fds[0].any().unwrap_or(true) {
                continue;
            }
            match self.file.read(buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::Kind;
    use crate::images::compression::read_error;

    /// CVE-2021-20291: whoever waits for a layer that never comes can be stopped.
    #[test]
    fn s29_a_stream_that_never_comes_is_waited_for_as_long_as_it_may() {
        let temp = tempfile::tempdir().unwrap();
        let fifo = temp.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let ctx = Context::new().with_timeout(std::time::Duration::from_millis(50));
        let Opened::Stream(mut stream) = open(&ctx, &fifo).unwrap() else {
            panic!("a pipe is no file");
        };
        // First nobody writes, then somebody who stops in the middle.
        let error = read_error(stream.read(&mut [0; 9]).unwrap_err());
        assert_eq!(error.kind(), Kind::Timeout);
        let ctx = Context::new();
        let Opened::Stream(mut stream) = open(&ctx, &fifo).unwrap() else {
            panic!("a pipe is no file");
        };
        let mut writer = File::options().write(true).open(&fifo).unwrap();
        writer.write_all(b"start").unwrap();
        let mut buffer = [0; 9];
        assert_eq!(stream.read(&mut buffer).unwrap(), 5);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || read_error(stream.read(&mut buffer).unwrap_err()).kind());
            ctx.cancel();
            assert_eq!(waiting.join().unwrap(), Kind::Cancelled);
        });
    }
}
