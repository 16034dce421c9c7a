//! Programs of this machine, run for a script: seen to from their start to their end, and with all they have started if they are to
//! end early.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::events;
use crate::error::{Context as _, Error, Result};
use crate::model::{self, random_hex};
use crate::sys::{pidfd, process};

/// What a program that is to end has to put things in order, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// By which what a program has started is known wherever it goes.
const MARK: &str = "HOIST_ERRAND";

/// What is to be run.
#[derive(Debug, Clone, Default)]
pub struct Errand {
    /// The program, as it is to be found.
    pub program: PathBuf,
    /// What it is called, and its arguments.
    pub words: Vec<String>,
    /// Variables over those of this process.
    pub env: Vec<(String, String)>,
    /// Whether it has those variables alone.
    pub clear_env: bool,
    /// The directory that it starts in.
    pub dir: Option<PathBuf>,
    /// What it reads.
    pub stdin: Vec<u8>,
}

/// Takes what a program writes; the flag is true for standard error. Where it fails, the program is ended.
pub(super) type Listener<'a> = dyn FnMut(bool, &[u8]) -> Result<()> + 'a;

impl Errand {
    /// Runs it to its end, hands on what it writes, and gives its code: 128 + n after signal n.
    ///
    /// It has no terminal. What it leaves running goes on, unless the context ends first: then all of it is told to end, and killed two seconds
    /// later. Errors: `not_found`, `denied`, `timeout`, `cancelled`, those of the listener.
    pub fn run(&self, ctx: &model::Context, output: &mut Listener<'_>) -> Result<i32> {
        let what = || format!("run `{}`", self.program.display());
        let mark = random_hex(16)?;
        let mut child = self.command(&mark).spawn().during(what)?;
        match self.attend(ctx, &mut child, output) {
            Ok(()) => Ok(code(&child.wait().during(what)?)),
            Err(error) => {
                Tree::of(&child, &mark).end(&mut child);
                Err(error)
            }
        }
    }

    fn command(&self, mark: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "it is what the script is there for")]
        let mut command = Command::new(&self.program);
        if self.clear_env {
            command.env_clear();
        }
        command
            .args(self.words.iter().skip(1))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env(MARK, mark)
            .envs(events::acting().map(|run| (events::ACTING_VARIABLE, run)))
            .stdin(if self.stdin.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        process::in_new_session(&mut command);
        command
    }

    /// Feeds and hears it until it ends. What a process of its own that lives on may still write is not waited for.
    fn attend(&self, ctx: &model::Context, child: &mut Child, output: &mut Listener<'_>) -> Result<()> {
        let what = || format!("wait for `{}`", self.program.display());
        let end = pidfd::open(child.id().cast_signed()).during(what)?;
        let mut input = Feed::new(child.stdin.take(), &self.stdin).during(what)?;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let mut heard = [Ear::new(stdout).during(what)?, Ear::new(stderr).during(what)?];
        loop {
            ctx.check()?;
            let has_ended = wait(ctx, end.as_fd(), &input, &heard).during(what)?;
            input.go_on();
            for (is_error, ear) in [false, true].into_iter().zip(&mut heard) {
                ear.hear(&mut |bytes| output(is_error, bytes))?;
            }
            if has_ended {
                return Ok(());
            }
        }
    }
}

/// Waits until there is something to do; whether the program has ended.
fn wait(ctx: &model::Context, end: BorrowedFd<'_>, input: &Feed, heard: &[Ear; 2]) -> Result<bool> {
    let mut fds = vec![
        PollFd::new(end, PollFlags::POLLIN),
        PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN),
    ];
    let ears = heard.iter().filter_map(|ear| ear.0.as_ref());
    fds.extend(ears.map(|file| PollFd::new(file.as_fd(), PollFlags::POLLIN)));
    fds.extend(
        input
            .pipe
            .as_ref()
            .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)),
    );
    let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, limit) {
        Ok(_) => Ok(fds[0].any().unwrap_or(true)),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno).during(|| "wait"),
    }
}

fn never_block(file: &File) -> std::io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    fcntl(file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// What a program reads, as far as it has read it.
struct Feed<'a> {
    pipe: Option<File>,
    left: &'a [u8],
}

impl<'a> Feed<'a> {
    fn new(pipe: Option<impl Into<OwnedFd>>, bytes: &'a [u8]) -> std::io::Result<Feed<'a>> {
        let pipe = pipe.map(|pipe| File::from(pipe.into()));
        pipe.as_ref().map_or(Ok(()), never_block)?;
        Ok(Feed { pipe, left: bytes })
    }

    /// Writes what the pipe takes. A program need not read all of it.
    fn go_on(&mut self) {
        while let Some(pipe) = &mut self.pipe {
            match pipe.write(self.left) {
                Ok(count) if count < self.left.len() => self.left = &self.left[count..],
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                _ => self.pipe = None,
            }
        }
    }
}

/// One of a program's outputs, until its end.
struct Ear(Option<File>);

impl Ear {
    fn new(pipe: Option<OwnedFd>) -> std::io::Result<Ear> {
        let pipe = pipe.map(File::from);
        pipe.as_ref().map_or(Ok(()), never_block)?;
        Ok(Ear(pipe))
    }

    /// Takes what there is now, or so much of it that others have their turn.
    fn hear(&mut self, output: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        const TURNS: usize = 16;
        let mut memory = vec![0; 64 << 10];
        for _ in 0..TURNS {
            let Some(pipe) = &mut self.0 else { break };
            match pipe.read(&mut memory) {
                Ok(0) => self.0 = None,
                Ok(count) => output(&memory[..count])?,
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => self.0 = None,
            }
        }
        Ok(())
    }
}

fn code(status: &std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A program and all it has started: its children and theirs, those in its session, and those that carry its mark wherever they went.
struct Tree {
    root: i32,
    mark: Vec<u8>,
}

impl Tree {
    fn of(child: &Child, mark: &str) -> Tree {
        Tree {
            root: child.id().cast_signed(),
            mark: format!("{MARK}={mark}").into_bytes(),
        }
    }

    /// Tells all to end, and kills what is left after a while.
    fn end(&self, child: &mut Child) {
        self.send(Signal::SIGTERM);
        let end = Instant::now() + GRACE;
        if let Ok(process) = pidfd::open(self.root) {
            let left =
                || PollTimeout::try_from(end.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO);
            let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            while poll(&mut fds, left()) == Err(nix::errno::Errno::EINTR) {}
        }
        // What is started while others are killed is found the next time.
        for _ in 0..16 {
            if self.send(Signal::SIGKILL) == 0 {
                break;
            }
        }
        // Its number is its own until here.
        let _ = child.kill().and_then(|()| child.wait());
    }

    /// Sends a signal to all that live; how many those are.
    fn send(&self, signal: Signal) -> usize {
        let all = self.members();
        all.iter()
            .filter(|pid| kill(Pid::from_raw(**pid), signal).is_ok())
            .count()
    }

    fn members(&self) -> HashSet<i32> {
        let all: HashMap<i32, Relation> = numbers().filter_map(|pid| Some((pid, Relation::of(pid)?))).collect();
        let mut found: HashSet<i32> = all
            .iter()
            .filter(|(pid, relation)| **pid == self.root || relation.session == self.root || self.marks(**pid))
            .map(|(pid, _)| *pid)
            .collect();
        loop {
            let more: Vec<i32> = all
                .iter()
                .filter(|(pid, relation)| !found.contains(pid) && found.contains(&relation.parent))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                found.retain(|pid| all.get(pid).is_some_and(|relation| relation.lives));
                return found;
            }
            found.extend(more);
        }
    }

    fn marks(&self, pid: i32) -> bool {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|setting| setting == self.mark)
    }
}

/// The processes that there are.
fn numbers() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Where a process belongs (proc_pid_stat(5)).
struct Relation {
    parent: i32,
    session: i32,
    lives: bool,
}

impl Relation {
    fn of(pid: i32) -> Option<Relation> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let lives = !["Z", "X"].contains(&fields.next()?);
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Relation { parent, session, lives })
    }
}

/// The program of a name: as it is with a slash in it, else the first in the directories of PATH. `not_found`, with the name alone.
pub fn find_program(name: &str, path: Option<&str>) -> Result<PathBuf> {
    let is_program =
        |path: &PathBuf| path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut places = std::env::split_paths(path).map(|dir| dir.join(name));
    let found = places.find(is_program).filter(|_| !name.is_empty());
    found.ok_or_else(|| Error::not_found(format!("there is no program `{name}` on this machine")).target(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn shell(line: &str) -> Errand {
        Errand {
            program: PathBuf::from("/bin/sh"),
            words: ["sh", "-c", line].map(str::to_owned).to_vec(),
            ..Errand::default()
        }
    }

    fn heard(errand: &Errand) -> (i32, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = errand.run(&model::Context::new(), &mut |is_error, bytes| {
            if is_error { &mut err } else { &mut out }.extend_from_slice(bytes);
            Ok(())
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code.unwrap(), text(out), text(err))
    }

    #[test]
    fn what_it_writes_comes_apart_and_its_code_with_it() {
        assert_eq!(
            heard(&shell("echo a; echo b >&2; exit 3")),
            (3, "a\n".to_owned(), "b\n".to_owned())
        );
        assert_eq!(heard(&shell("kill -9 $$")).0, 137);
        let big = Errand {
            stdin: vec![b'x'; 1 << 20],
            env: vec![("WORD".to_owned(), "w".to_owned())],
            ..shell("wc -c; echo $WORD; tty")
        };
        assert_eq!(heard(&big).1, "1048576\nw\nnot a tty\n");
        // Nobody reads: that is no failure.
        assert_eq!(
            heard(&Errand {
                stdin: vec![b'x'; 1 << 20],
                ..shell("true")
            })
            .0,
            0
        );
    }

    #[test]
    fn what_it_leaves_running_is_not_waited_for() {
        let began = Instant::now();
        let (code, out, _) = heard(&shell("echo a; sleep 60 & echo $!"));
        assert!(code == 0 && began.elapsed() < Duration::from_secs(30));
        let pid: i32 = out.lines().last().unwrap().parse().unwrap();
        assert_eq!(kill(Pid::from_raw(pid), Signal::SIGKILL), Ok(()), "it goes on");
    }

    #[test]
    fn all_it_has_started_ends_with_it() {
        let ctx = model::Context::new();
        let mut pids = String::new();
        // One in its session, one in a session of its own whose parent has ended, and one that is told to end and does not.
        let line =
            "sleep 600 & echo $!; setsid sh -c 'sleep 600 & echo $!'; trap '' TERM; echo $$; while :; do sleep 1; done";
        let ended = shell(line).run(&ctx, &mut |_, bytes| {
            pids.push_str(std::str::from_utf8(bytes).unwrap());
            if pids.lines().count() == 3 {
                ctx.cancel();
            }
            Ok(())
        });
        assert_eq!(ended.unwrap_err().kind(), Kind::Cancelled);
        for pid in pids.lines().map(|line| line.parse().unwrap()) {
            assert!(
                Relation::of(pid).is_none_or(|relation| !relation.lives),
                "{pid}: {pids}"
            );
        }
    }

    #[test]
    fn it_ends_when_nobody_takes_what_it_writes() {
        let mut taken = 0;
        let ended = shell("while :; do echo yes; done").run(&model::Context::new(), &mut |_, bytes| {
            taken += bytes.len();
            if taken > 1 << 20 {
                Err(Error::invalid("enough"))
            } else {
                Ok(())
            }
        });
        assert_eq!(ended.unwrap_err().message(), "enough");
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert_eq!(
            find_program("sh", Some("/nowhere:/bin")).unwrap(),
            PathBuf::from("/bin/sh")
        );
        assert_eq!(find_program("./x", None).unwrap(), PathBuf::from("./x"));
        assert_eq!(find_program("nosuch", None).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(find_program("", None).unwrap_err().kind(), Kind::NotFound);
    }
}
