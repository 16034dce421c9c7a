//! A process of this program that runs a script by itself: with a control group of its own, ended with all it started.
//!
//! It holds the same lock as whoever started it: its standard input is the locked file, so the kernel lets go of the lock when the last of
//! the two has ended. What it starts gets other streams, as containers do.

use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::cgroup::{self, Cgroup};
use super::limits::Limits;
use super::process::Process;
use super::{events, launch, process};
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::Context;
use crate::sys::pidfd::{self, End};

/// How long a task that was asked to end may clean up.
const GRACE: Duration = Duration::from_secs(10);

/// The longest record of who holds a lock.
const RECORD: usize = 256;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEnd {
    /// By itself, with this exit code; `None` if a signal ended it.
    Own(Option<i32>),
    /// Its time was over.
    TimedOut,
    /// Whoever watched it was asked to end.
    Cancelled,
}

/// A task that runs.
#[derive(Debug)]
pub struct Task {
    child: Child,
    process: OwnedFd,
    output: PipeReader,
}

impl Task {
    /// Starts this program with these words; `lock` is a file that is locked.
    pub fn start(words: &[OsString], lock: &File) -> Result<Task> {
        let what = || "start the process of the run";
        let (output, writer) = std::io::pipe().during(what)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a run is this program once more, in a process that can be ended"
        )]
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("hoist")
            .args(words)
            // Ctrl-C at a terminal is for the one who watches, and passed on once.
            .process_group(0)
            .stdin(lock.try_clone().during(what)?)
            .stdout(writer.try_clone().during(what)?)
            .stderr(writer);
        let child = command.spawn().during(what)?;
        let process = pidfd::open(child.id().cast_signed()).during(what)?;
        Ok(Task { child, process, output })
    }

    /// Hands on what it writes until it ends. After `limit`, or when the context ends, it is asked to end, and killed ten seconds later.
    pub fn watch(&mut self, ctx: &Context, limit: Option<Duration>, mut take: impl FnMut(&[u8])) -> Result<TaskEnd> {
        let mut deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut asked = None;
        let mut is_open = true;
        loop {
            let (ended, readable, woken) = self.wait(ctx, asked.is_some(), is_open, deadline)?;
            if readable {
                is_open = self.read(&mut take);
                continue;
            }
            if ended {
                break;
            }
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match asked {
                None if woken || is_over || ctx.is_done() => {
                    asked = Some(if is_over { TaskEnd::TimedOut } else { TaskEnd::Cancelled });
                    let _ = pidfd::send_signal(&self.process, Signal::SIGTERM as i32);
                    deadline = Some(Instant::now() + GRACE);
                }
                Some(_) if is_over => {
                    let _ = pidfd::send_signal(&self.process, Signal::SIGKILL as i32);
                    deadline = None;
                }
                _ => {}
            }
        }
        let end = pidfd::reap(&self.process).during(|| "wait for the process of the run")?;
        let code = match end {
            End::Code(code) => Some(code),
            End::Signal(_) => None,
        };
        Ok(asked.unwrap_or(TaskEnd::Own(code)))
    }

    /// Waits for something to happen: whether it ended, wrote something, and whether the context ended.
    fn wait(
        &self,
        ctx: &Context,
        was_asked: bool,
        is_open: bool,
        deadline: Option<Instant>,
    ) -> Result<(bool, bool, bool)> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let own = ctx.remaining().filter(|_| !was_asked);
        let left = left.into_iter().chain(own).min();
        let left = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let wants = |wanted: bool| if wanted { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(self.process.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.output.as_fd(), wants(is_open)),
        ];
        if !was_asked {
            fds.push(PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN));
        }
        match poll(&mut fds, left) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for the process of the run"),
        }
        let is_set = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
        Ok((is_set(0), is_open && is_set(1), is_set(2)))
    }

    /// False at the end of what it writes.
    fn read(&mut self, take: &mut impl FnMut(&[u8])) -> bool {
        let mut bytes = [0; 8192];
        match self.output.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                take(&bytes[..length]);
                true
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // One that was watched to its end is gone, and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts this program with these words beside this process, for which [`ended_apart`] tells its end; it talks where this one does.
pub fn start_apart(words: &[OsString]) -> Result<i32> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a run is this program once more, in a process that can be ended"
    )]
    let mut command = Command::new("/proc/self/exe");
    command.arg0("hoist").args(words).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // What a service manager gave this process is for it alone (sd_notify(3)).
    for own in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
        command.env_remove(own);
    }
    let child = command.spawn().during(|| "start the process of a run")?;
    Ok(child.id().cast_signed())
}

/// A child that has ended, whoever's it was before its parent died: the first process of a container gets all of them.
pub fn ended_apart() -> Option<i32> {
    crate::sys::process::reap_any().map(|(pid, _)| pid)
}

/// Asks a child that was started apart to end.
pub fn interrupt_apart(pid: i32) {
    crate::sys::process::send(pid, Signal::SIGTERM as i32);
}

/// Puts this process, whatever threads it has, into a group of this name, and has it asked to end when the thread that started it does.
///
/// What it brings about is told as done by that run. Without the right to make groups it stays where it is.
pub fn join_task(name: &str, run: i64, run_root: &Path) -> Result<()> {
    events::act_for(run, run_root);
    // The one who started it may be dead already.
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM).during(|| "tie the run to who watches it")?;
    if nix::unistd::getppid() != parent {
        return Err(Error::cancelled("who watches the run is gone"));
    }
    let cgroup = match Cgroup::create(name, &Limits::default()) {
        Err(error) if error.kind() == Kind::Denied => return Ok(()),
        made => made?,
    };
    let pid = std::process::id().to_string();
    for path in cgroup.paths() {
        let joined = std::fs::write(path.join("cgroup.procs"), &pid);
        joined.during(|| format!("join control group `{}`", path.display()))?;
    }
    Ok(())
}

/// Ends what is left of a task in its group, and removes that. Supervisors of containers live on, beside this process: their containers
/// are to last.
pub fn end_task(name: &str) -> Result<()> {
    let cgroup = Cgroup::open(name)?;
    if cgroup.paths().is_empty() {
        return Ok(());
    }
    for pid in cgroup.pids()?.into_iter().filter(|pid| is_supervisor(*pid)) {
        cgroup::take_in(pid)?;
    }
    cgroup.kill_all()?;
    cgroup.remove()
}

fn is_supervisor(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).next() == Some(launch::SUPERVISOR.as_bytes())
}

/// Who holds the lock of a job: its process, and the number of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    process: Process,
    /// The run.
    pub run: i64,
}

impl Holder {
    /// This process, with a run.
    pub fn own(run: i64) -> Result<Holder> {
        let pid = std::process::id().cast_signed();
        Ok(Holder {
            process: Process::current(pid)?,
            run,
        })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Writes it down in the file that is locked.
    pub fn write(&self, file: &File) -> Result<()> {
        let boot = process::boot_id()?;
        let text = format!("{} {} {} {boot}\n", self.process.pid, self.process.start_time, self.run);
        let written = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
        written.during(|| "write down who holds the lock")
    }

    /// Who is written down there, if that process lives.
    pub fn read(file: &File) -> Option<Holder> {
        let mut bytes = [0; RECORD];
        let length = file.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes[..length]).ok()?;
        let mut words = text.split_whitespace();
        let process = Process {
            pid: words.next()?.parse().ok()?,
            start_time: words.next()?.parse().ok()?,
        };
        let run = words.next()?.parse().ok()?;
        let is_here = words.next()? == process::boot_id().ok()?;
        (is_here && process.is_alive()).then_some(Holder { process, run })
    }

    /// Asks it to end.
    pub fn interrupt(&self) {
        if let Some(process) = self.process.open() {
            let _ = pidfd::send_signal(process, Signal::SIGTERM as i32);
        }
    }
}
