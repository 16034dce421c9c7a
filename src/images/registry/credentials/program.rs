//! Programs that people keep secrets in: run, asked, and waited for, with words that go through memory alone.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use crate::sys::pidfd;

/// How long a program may take; it may have to ask a person.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most a program may say.
const MOST_BYTES: u64 = 1 << 16;

/// What a program said.
pub(crate) struct Said {
    /// Whether it ended with code 0.
    pub(crate) is_success: bool,
    /// How it ended, for people.
    pub(crate) status: String,
    /// What it wrote to standard output.
    pub(crate) words: String,
}

/// Runs a program, from PATH if it is a name alone, with some input or none. What it writes to standard error is seen by the person.
///
/// Errors: `not_found`, `timeout` after a minute, `cancelled`.
pub(crate) fn ask(ctx: &Context, named: &str, program: &Path, words: &[&str], input: Option<&[u8]>) -> Result<Said> {
    let what = || format!("run {named}");
    let said = in_memory(&[]).during(what)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "people keep their credentials in programs of their own"
    )]
    let mut command = Command::new(program);
    let stdin = input.map(|input| in_memory(input).during(what)).transpose()?;
    command
        .args(words)
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::from(said.try_clone().during(what)?))
        // Talk of a helper that asks for a passphrase.
        .stderr(Stdio::inherit());
    let mut child = command.spawn().during(what)?;
    if let Err(error) = wait(ctx, named, &child) {
        let _ = child.kill().and_then(|()| child.wait());
        return Err(error);
    }
    let status = child.wait().during(what)?;
    Ok(Said {
        is_success: status.success(),
        status: status.to_string(),
        words: written(said).during(what)?,
    })
}

/// Waits for its end, which a child process of its own that lives on does not delay.
fn wait(ctx: &Context, named: &str, child: &Child) -> Result<()> {
    let what = || format!("wait for {named}");
    let process = pidfd::open(child.id().cast_signed()).during(what)?;
    let end = Instant::now() + PATIENCE;
    loop {
        ctx.check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let limit = PATIENCE.as_secs();
            return Err(Error::timeout(format!("{named} took more than {limit} s")));
        }
        let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
        let limit = if limit.is_none() { left } else { limit.min(left) };
        let mut fds = [process.as_fd(), ctx.wake_fd()?].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, limit) {
            Ok(_) if fds[0].any().unwrap_or(true) => return Ok(()),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(what),
        }
    }
}

/// A file that is on no disk, for words that are to leave no trace. One without words takes so many and no more.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let fd = memfd_create(c"hoist-credential", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    if bytes.is_empty() {
        file.set_len(MOST_BYTES)?;
        fcntl(
            &file,
            FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK),
        )?;
    }
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// What was written to such a file, before the zeros it had from the start.
fn written(mut file: File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end_matches('\0').to_owned())
}
