//! Starts the processes that stand between a caller with threads and a container: this program once more, under another name.
//!
//! A process with threads cannot safely be copied, so the copy is a fresh one that has a single thread. It is run from a mount
//! that cannot be written to: a container that gets hold of it by `/proc/PID/exe` cannot change the program (CVE-2019-5736).

use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::error::{Context, Error, Result};
use crate::model;
use crate::runtime::channel::{Channel, Message};
use crate::runtime::supervise::Manner;
use crate::runtime::{Bundle, Conversation, Exit, Outcome, Stream, nursery};
use crate::sys::file;
use crate::sys::mount::{self, Attributes};
use crate::sys::pidfd;

/// The name under which the program supervises a container.
pub(in crate::runtime) const SUPERVISOR: &str = "hoist-supervisor";
/// The name under which the program runs a further process in a container.
pub(in crate::runtime) const EXEC: &str = "hoist-exec";

static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
static SEALED: OnceLock<Option<OwnedFd>> = OnceLock::new();
/// Helpers that outlive the call that started them, to be reaped when they end.
static LEFT: Mutex<Option<Left>> = Mutex::new(None);

/// Supervisors of runs that are over: they let go of what they have, the oldest first.
static ENDING: Mutex<VecDeque<OwnedFd>> = Mutex::new(VecDeque::new());
/// As many of them may take their time.
const MOST_ENDING: usize = 2;

/// Sets the program that is run as supervisor, once, before the first container is started; by default it is this one.
pub fn set_executable(path: impl Into<PathBuf>) {
    let _ = EXECUTABLE.set(path.into());
}

/// What a container's program reads.
#[derive(Debug)]
pub enum Stdin {
    /// Nothing.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this process reads.
    Inherit,
}

/// Takes output, piece by piece.
pub type Sink<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// Where the output of a container's program goes.
pub struct Output<'a> {
    /// Takes each piece of standard output.
    pub stdout: Sink<'a>,
    /// Takes each piece of standard error.
    pub stderr: Sink<'a>,
}

/// A process that supervises, and the connection to it.
pub(in crate::runtime) struct Helper {
    child: OwnedFd,
    channel: Channel,
}

impl Helper {
    /// Starts a helper for a container. `third` becomes its standard error; the connection its standard output.
    pub(in crate::runtime) fn spawn(
        role: &str,
        bundle: &Bundle,
        manner: Manner,
        stdin: Stdin,
        third: Option<&File>,
    ) -> Result<Helper> {
        reap();
        let (channel, theirs) = Channel::pair()?;
        let own = std::io::stdin();
        let stdin = match stdin {
            Stdin::Null => None,
            Stdin::Inherit => Some(own.as_fd().try_clone_to_owned().during(|| "pass standard input on")?),
            Stdin::Bytes(bytes) => Some(in_memory(&bytes)?.into()),
        };
        let words: [&OsStr; 5] = [
            role.as_ref(),
            bundle.dir.as_ref(),
            bundle.run_dir.as_ref(),
            bundle.id.as_str().as_ref(),
            manner.name().as_ref(),
        ];
        let streams = [
            stdin.as_ref().map(OwnedFd::as_fd),
            Some(theirs.as_fd()),
            third.map(File::as_fd),
        ];
        let child = nursery::make(&words, streams).unwrap_or_else(|| execute(&words, streams));
        let child = child.during(|| format!("start the supervisor of `{}`", bundle.id.short()))?;
        Ok(Helper { child, channel })
    }

    /// Waits until the program runs or could not be started, then leaves the helper to itself.
    pub(in crate::runtime) fn detach(self, ctx: &model::Context) -> Result<()> {
        let result = self.listen(ctx, None);
        self.leave();
        result.map(drop)
    }

    /// Waits until the program has ended. If the context ends first, the program is killed. After an error nothing is left of the helper.
    pub(in crate::runtime) fn attach(self, ctx: &model::Context, output: Output<'_>) -> Result<(Exit, Remains)> {
        match self.listen(ctx, Some(output)) {
            Ok(Some(exit)) => Ok((exit, Remains(Some(self)))),
            other => {
                let _ = pidfd::reap(&self.child);
                other.and(Err(Error::internal("the supervisor ended before the container")))
            }
        }
    }

    /// Talks with the program until one of the two sides ends it. If that is the program, its helper ends too, unless it `goes_on`.
    pub(in crate::runtime) fn converse(
        self,
        ctx: &model::Context,
        conversation: &Conversation,
        goes_on: bool,
    ) -> Result<Outcome> {
        let result = conversation.hold(ctx, &self.channel, false);
        match result {
            Ok(Outcome::Ended(_)) if goes_on => self.leave(),
            Ok(Outcome::Left(_)) => self.leave(),
            _ => drop(pidfd::reap(&self.child)),
        }
        result
    }

    fn leave(self) {
        leave(self.child);
    }

    /// Says something to the supervisor before it has asked.
    pub(in crate::runtime) fn say(&self, message: &Message) {
        // One that is gone already has said why, or will be missed.
        let _ = self.channel.send(message);
    }

    /// Returns at the exit, or without an output at the start.
    fn listen(&self, ctx: &model::Context, mut output: Option<Output<'_>>) -> Result<Option<Exit>> {
        let mut ended = None;
        loop {
            if ended.is_none() {
                ended = self.wait(ctx)?;
                if ended.is_some() {
                    let _ = self.channel.send(&Message::Kill);
                }
            }
            match (self.channel.receive()?, &mut output) {
                (Some(Message::Output(stream, bytes)), Some(output)) if ended.is_none() => match stream {
                    Stream::Stdout => (output.stdout)(&bytes),
                    Stream::Stderr => (output.stderr)(&bytes),
                },
                (Some(Message::Started(_)), None) if ended.is_none() => return Ok(None),
                (Some(Message::Exited(exit)), _) => return ended.map_or(Ok(Some(exit)), Err),
                (Some(Message::Failed(failure)), _) => return Err(ended.unwrap_or_else(|| failure.into_error())),
                (None, _) => return Err(ended.unwrap_or_else(|| Error::internal("the supervisor was killed"))),
                (Some(_), _) => {}
            }
        }
    }

    /// Waits for a message, or for the end of the context, which it returns.
    fn wait(&self, ctx: &model::Context) -> Result<Option<Error>> {
        loop {
            if let Err(ended) = ctx.check() {
                return Ok(Some(ended));
            }
            let mut fds = [
                PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
                PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN),
            ];
            let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, limit) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno).during(|| "wait for the supervisor"),
            }
            if fds[0].revents().is_some_and(|events| !events.is_empty()) {
                return Ok(None);
            }
        }
    }
}

/// What may still be there of a run that has ended: its supervisor, which tidies up.
#[must_use]
pub struct Remains(Option<Helper>);

impl Remains {
    /// Returns when nothing is.
    pub fn wait(mut self) {
        if let Some(helper) = self.0.take() {
            let _ = pidfd::reap(&helper.child);
        }
    }

    /// Waits until nothing is but the supervisor itself, which ends; false if that cannot be said.
    pub(in crate::runtime) fn are_tidied(&self) -> bool {
        let Some(helper) = &self.0 else { return false };
        loop {
            match helper.channel.receive_from(helper.child.as_fd()) {
                Ok(Some(Message::Tidied)) => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if let Some(helper) = self.0.take() {
            let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
            ending.push_back(helper.child);
            if ending.len() > MOST_ENDING
                && let Some(oldest) = ending.pop_front()
            {
                let _ = pidfd::reap(oldest);
            }
        }
    }
}

/// Waits for supervisors that are about to end.
pub fn await_ending() {
    let ending = std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner));
    for child in ending {
        let _ = pidfd::reap(child);
    }
}

/// Starts this program under another name, with these streams and no others: a child of this process.
pub(in crate::runtime) fn execute(words: &[&OsStr], streams: nursery::Streams<'_>) -> Result<OwnedFd> {
    let stdio = |stream: Option<BorrowedFd<'_>>| -> std::io::Result<Stdio> {
        Ok(match stream {
            Some(stream) => stream.try_clone_to_owned()?.into(),
            None => Stdio::null(),
        })
    };
    let [stdin, stdout, stderr] = streams;
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the launcher that all processes come from"
    )]
    let mut command = Command::new(executable());
    let (name, args) = words
        .split_first()
        .ok_or_else(|| Error::internal("a helper without a name"))?;
    command.arg0(name).args(args).env_clear();
    let started = || -> std::io::Result<Child> {
        command
            .stdin(stdio(stdin)?)
            .stdout(stdio(stdout)?)
            .stderr(stdio(stderr)?);
        command.spawn()
    };
    let child = { started }().during(|| "start a process")?;
    let pid = i32::try_from(child.id()).map_err(|_| Error::internal("a process number out of range"))?;
    pidfd::open(pid).during(|| "find a process just made")
}

/// Children by a number of each, and who tells which of them have ended: there may be thousands.
struct Left {
    children: HashMap<u64, OwnedFd>,
    ends: Epoll,
    next: u64,
}

impl Left {
    fn new() -> nix::Result<Left> {
        Ok(Left {
            children: HashMap::new(),
            ends: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            next: 0,
        })
    }

    fn add(&mut self, child: OwnedFd) -> nix::Result<()> {
        self.ends.add(&child, EpollEvent::new(EpollFlags::EPOLLIN, self.next))?;
        self.children.insert(self.next, child);
        self.next += 1;
        Ok(())
    }

    /// Takes the status of those that have ended.
    fn reap(&mut self) {
        let mut ended = [EpollEvent::empty(); 64];
        while let Ok(found @ 1..) = self.ends.wait(&mut ended, EpollTimeout::ZERO) {
            for child in ended[..found]
                .iter()
                .filter_map(|end| self.children.remove(&end.data()))
            {
                let _ = pidfd::reap(&child);
                // Closing alone would not do while a process that is being made has the descriptor, too.
                let _ = self.ends.delete(&child);
            }
        }
    }
}

/// Lets a child live without anybody waiting for its end.
pub(in crate::runtime) fn leave(child: OwnedFd) {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    if left.is_none() {
        *left = Left::new().ok();
    }
    // One that cannot be watched is a zombie between its end and that of this process, and does no harm.
    let _ = left.as_mut().map(|left| left.add(child));
}

/// Starts this program with arguments of its own, for which nobody waits.
pub(in crate::runtime) fn let_go(args: &[String]) -> Result<()> {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the launcher that all processes come from"
    )]
    let child = Command::new("/proc/self/exe")
        .arg0("hoist")
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.during(|| "start what comes after a container").map(drop)
}

/// Takes the status of helpers that ended, so that none stays behind as a zombie for as long as this process lives.
pub(in crate::runtime) fn reap() {
    if let Some(left) = LEFT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        left.reap();
    }
}

/// A file in memory with this content, read from its start.
pub(in crate::runtime) fn in_memory(bytes: &[u8]) -> Result<File> {
    let fd = memfd_create("hoist", MFdFlags::MFD_CLOEXEC).during(|| "make a file in memory")?;
    let mut file = File::from(fd);
    file.write_all(bytes)
        .and_then(|()| file.rewind())
        .during(|| "write a file in memory")?;
    Ok(file)
}

/// Has this process run from a mount that cannot be written to, by starting the program anew if need be: a container that gets hold
/// of it by `/proc/PID/exe` cannot change it (CVE-2019-5736). Returns where it does already, or where no such mount can be made.
pub fn seal_self() -> Result<()> {
    let show = || "run the program from a mount that cannot be written to";
    let is_sealed = statvfs("/proc/self/exe")
        .during(show)?
        .flags()
        .contains(FsFlags::ST_RDONLY);
    let path = executable();
    if is_sealed || path == Path::new("/proc/self/exe") {
        return Ok(());
    }
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL);
    let args = std::env::args_os()
        .map(|word| text(&word))
        .collect::<nix::Result<Vec<_>>>()
        .during(show)?;
    let path = text(path.as_os_str()).during(show)?;
    nix::unistd::execv(&path, &args)
        .during(show)
        .map(|never| match never {})
}

fn executable() -> PathBuf {
    let path = EXECUTABLE.get().map_or(Path::new("/proc/self/exe"), PathBuf::as_path);
    match SEALED.get_or_init(|| seal(path).ok()) {
        Some(sealed) => PathBuf::from(format!("/proc/self/fd/{}", sealed.as_raw_fd())),
        // Only an administrator can make a mount; without one there is no container either.
        None => path.to_owned(),
    }
}

fn seal(path: &Path) -> nix::Result<OwnedFd> {
    let file = file::open(path, OFlag::O_PATH)?;
    let copy = mount::copy(&file, false)?;
    mount::change(&copy, Attributes::READ_ONLY, Some(mount::Propagation::Private), false)?;
    Ok(copy)
}
