//! The last steps of a process before it becomes the container's program: user, capabilities, system call filter, `execve`.
//!
//! The order is what makes it safe; each step names what it must come before or after.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::resource::{getrlimit, setrlimit};
use nix::sys::stat::{Mode, SFlag, umask};
use nix::unistd::{AccessFlags, Gid, Uid, access, faccessat};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Process};

use crate::error::{Context, Error, Kind, Result};
use crate::runtime::apparmor;
use crate::runtime::capabilities::{CapSet, Sets};
use crate::runtime::channel::Failure;
use crate::runtime::exit::{NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED};
use crate::runtime::init::Maker;
use crate::runtime::rlimits::shown;
use crate::runtime::seccomp::Filter;
use crate::runtime::treatment;
use crate::runtime::user::Identity;
use crate::sys::{capability, process};

/// What a process may do to files it makes, unless its configuration says otherwise.
const UMASK: u32 = 0o022;

/// A program to become.
pub(in crate::runtime) struct Program<'a> {
    /// How it is configured, but for what follows.
    pub(in crate::runtime) process: &'a Process,
    pub(in crate::runtime) args: &'a [String],
    pub(in crate::runtime) env: Vec<String>,
    pub(in crate::runtime) cwd: &'a str,
    pub(in crate::runtime) identity: Identity,
    pub(in crate::runtime) capabilities: Sets,
    pub(in crate::runtime) no_new_privileges: bool,
    pub(in crate::runtime) filter: Option<Filter>,
    /// How many descriptors it keeps besides the standard streams.
    pub(in crate::runtime) kept: u32,
    /// Who is told where the filter asks, if it may.
    pub(in crate::runtime) maker: Option<&'a dyn Maker>,
}

/// The three standard streams of the program.
pub(in crate::runtime) struct Stdio<'a> {
    pub(in crate::runtime) stdin: BorrowedFd<'a>,
    pub(in crate::runtime) stdout: BorrowedFd<'a>,
    pub(in crate::runtime) stderr: BorrowedFd<'a>,
}

impl Stdio<'_> {
    /// Gives them to a user and a group.
    pub(in crate::runtime) fn hand_over(&self, (uid, gid): (Uid, Gid)) -> Result<()> {
        self.chown(Some(uid), Some(gid))
    }

    fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
        for stream in [self.stdin, self.stdout, self.stderr] {
            let status = nix::sys::stat::fstat(stream).during(|| "examine a standard stream")?;
            // Only what was made for this program: the host's files and devices stay whose they are.
            if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO {
                nix::unistd::fchown(stream, uid, gid).during(|| "hand over a standard stream")?;
            }
        }
        Ok(())
    }

    /// Makes them descriptors 0, 1 and 2, and lets the program's user open them again by `/dev/stdout`.
    pub(in crate::runtime) fn install(&self, owner: u32) -> Result<()> {
        self.chown(Some(Uid::from_raw(owner)), None)?;
        let result = nix::unistd::dup2_stdin(self.stdin)
            .and_then(|()| nix::unistd::dup2_stdout(self.stdout))
            .and_then(|()| nix::unistd::dup2_stderr(self.stderr));
        result.during(|| "hand over the standard streams")
    }
}

impl Program<'_> {
    /// Becomes the program; returns only if that failed. `last` is called when all is ready, with the program's file.
    pub(in crate::runtime) fn become_it(
        mut self,
        last: impl FnOnce(&str) -> std::result::Result<(), (Error, i32)>,
    ) -> Failure {
        if let Err(error) = self.prepare() {
            return Failure::new(&error, NOT_STARTED);
        }
        let found = find(&self.args[0], &self.env).and_then(|path| {
            self.ask().map_err(|error| (error, NOT_STARTED))?;
            last(&path).map(|()| path)
        });
        let path = match found {
            Ok(path) => path,
            Err((error, code)) => return Failure::new(&error, code),
        };
        match self.execute(&path) {
            Ok(never) => match never {},
            Err(error) => {
                let code = if error.kind() == Kind::NotFound {
                    NOT_FOUND
                } else {
                    NOT_EXECUTABLE
                };
                Failure::new(&error, code)
            }
        }
    }

    /// Has this process be as confined as the program is, without becoming it.
    pub(in crate::runtime) fn confine(mut self) -> Result<()> {
        if self.identity.uid != 0 {
            // What `execve` leaves to any user but root (capabilities(7)).
            self.capabilities.permitted = self.capabilities.ambient;
            self.capabilities.effective = self.capabilities.ambient;
        }
        self.prepare()?;
        self.give_up_privileges()?;
        self.load_filter()
    }

    fn prepare(&mut self) -> Result<()> {
        set_rlimits(self.process.rlimits().as_deref().unwrap_or_default())?;
        // Before the filter, which refuses the call: the keys of whoever started this are not the container's.
        process::leave_session_keyring().during(|| "leave the session keyring")?;
        if let Some(profile) = self
            .process
            .apparmor_profile()
            .as_deref()
            .filter(|name| !name.is_empty())
        {
            apparmor::of_next_program(profile)?;
        }
        // Before any filter is loaded: one may be older than this call.
        process::close_on_exec_from(3 + self.kept).during(|| "close what is not for the program")?;
        let entered = enter(self.cwd);
        if entered.is_ok() {
            // Before the filter, which may know nothing of it.
            check_cwd()?;
        }
        if !self.no_new_privileges {
            // Loading a filter without no_new_privs needs CAP_SYS_ADMIN, which is about to go.
            self.load_filter()?;
        }
        treatment::of_process(self.process)?;
        let held = capability::Sets::get().during(|| "read the capabilities")?;
        let held = CapSet::from_bits(held.permitted);
        capability::limit_bounding(self.capabilities.bounding.bits()).during(|| "limit the capabilities")?;
        capability::keep_over_setuid(true).during(|| "keep capabilities")?;
        self.become_user()?;
        match entered {
            Ok(()) => {}
            // A directory that only its owner may enter, on a file system that does not obey root.
            Err(Errno::EACCES) => {
                enter(self.cwd).during(|| format!("enter the directory `{}`", self.cwd))?;
                check_cwd()?;
            }
            Err(errno) => return Err(errno).during(|| format!("enter the directory `{}`", self.cwd)),
        }
        capability::keep_over_setuid(false).during(|| "keep no capabilities")?;
        set_capabilities(&self.capabilities, held).during(|| "set the capabilities")?;
        umask(Mode::from_bits_truncate(self.process.user().umask().unwrap_or(UMASK)));
        self.set_home();
        Ok(())
    }

    /// Loads a filter that asks somebody now, and not at the end: who that is must be known when a container is created.
    fn ask(&mut self) -> Result<()> {
        match self.filter.as_ref().is_some_and(Filter::asks) {
            true => self.give_up_privileges().and_then(|()| self.load_filter()),
            false => Ok(()),
        }
    }

    fn give_up_privileges(&self) -> Result<()> {
        match self.no_new_privileges {
            true => nix::sys::prctl::set_no_new_privs().during(|| "give up new privileges"),
            false => Ok(()),
        }
    }

    fn load_filter(&mut self) -> Result<()> {
        let Some(filter) = self.filter.take() else {
            return Ok(());
        };
        match (filter.load()?, self.maker) {
            (None, _) => Ok(()),
            (Some(listener), Some(maker)) => maker.listening(&listener),
            (Some(_), None) => Err(Error::internal("a filter asks, and nobody can be told")),
        }
    }

    fn become_user(&self) -> Result<()> {
        let Identity { uid, gid, groups, .. } = &self.identity;
        process::become_user(*uid, *gid, groups).during(|| format!("become user {uid}, group {gid}"))
    }

    fn set_home(&mut self) {
        if !self.env.iter().any(|variable| variable.starts_with("HOME=")) {
            let home = self.identity.home.as_deref().unwrap_or("/");
            self.env.push(format!("HOME={home}"));
        }
    }

    fn execute(mut self, path: &str) -> Result<std::convert::Infallible> {
        let show = || format!("run `{}`", self.args[0].escape_debug());
        let words = |list: &[String]| {
            list.iter()
                .map(|word| CString::new(word.as_str()))
                .collect::<std::result::Result<Vec<_>, _>>()
        };
        let no_zero = |_| Error::invalid("an argument or variable has a zero byte in it");
        let (args, env) = (words(self.args).map_err(no_zero)?, words(&self.env).map_err(no_zero)?);
        let path = CString::new(path).map_err(no_zero)?;
        self.give_up_privileges()?;
        process::reset_signals().during(show)?;
        self.load_filter()?;
        let errno = match nix::unistd::execve(&path, &args, &env) {
            Ok(never) => match never {},
            Err(errno) => errno,
        };
        let error =
            Err::<std::convert::Infallible, _>(errno).during(|| format!("run `{}`", self.args[0].escape_debug()));
        error.map_err(|error| match errno {
            Errno::ENOENT if path.to_bytes().contains(&b'/') && exists(&path) => {
                error.hint("the file is there: its interpreter or dynamic loader is missing")
            }
            Errno::ENOEXEC => error.hint("it is no program for this machine, or a script without `#!`"),
            _ => error,
        })
    }
}

/// What is asked for, as far as this process had it itself: `held` in its permitted set.
fn set_capabilities(asked: &Sets, held: CapSet) -> nix::Result<()> {
    let permitted = asked.permitted.intersection(held);
    let inheritable = asked.inheritable.intersection(held);
    capability::Sets {
        effective: asked.effective.intersection(permitted).bits(),
        permitted: permitted.bits(),
        inheritable: inheritable.bits(),
    }
    .apply()?;
    // The kernel asks of each that it is in both.
    capability::set_ambient(asked.ambient.intersection(permitted).intersection(inheritable).bits())
}

fn exists(path: &CString) -> bool {
    faccessat(AT_FDCWD, path.as_c_str(), AccessFlags::F_OK, AtFlags::empty()).is_ok()
}

fn enter(cwd: &str) -> nix::Result<()> {
    nix::unistd::chdir(cwd)
}

/// Refuses a working directory outside of the root, which a descriptor left open could lead to (CVE-2024-21626).
fn check_cwd() -> Result<()> {
    match nix::unistd::getcwd() {
        Ok(path) if path.is_absolute() => Ok(()),
        _ => Err(Error::denied("the working directory is not inside the container")),
    }
}

/// The program's file: as named if the name has a slash, else the first executable one in `PATH`. Runs as the program's user.
fn find(name: &str, env: &[String]) -> std::result::Result<String, (Error, i32)> {
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    let path = env
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or_default();
    let mut seen = false;
    for dir in path.split(':') {
        let candidate = format!("{}/{name}", if dir.is_empty() { "." } else { dir });
        let is_file = std::fs::metadata(&candidate).is_ok_and(|status| status.is_file());
        // By real ids, which are those of its user by now: to ask by effective ones is a newer call than some filters know.
        if is_file && access(candidate.as_str(), AccessFlags::X_OK).is_ok() {
            return Ok(candidate);
        }
        seen |= is_file;
    }
    let show = format!("run `{}`", name.escape_debug());
    if seen {
        return Err((Error::denied("permission denied").during(show), NOT_EXECUTABLE));
    }
    let error = Error::not_found("there is no such program in the container")
        .during(show)
        .target(name);
    Err((error.hint(format!("it was looked for in `{path}`")), NOT_FOUND))
}

fn set_rlimits(limits: &[PosixRlimit]) -> Result<()> {
    let mut limits = limits.iter();
    limits.try_for_each(|limit| set_rlimit(limit.typ(), limit.soft(), limit.hard()))
}

fn set_rlimit(typ: PosixRlimitType, soft: u64, hard: u64) -> Result<()> {
    let resource = resource(typ);
    let set = setrlimit(resource, soft, hard);
    let set = set.during(|| format!("set the limit `{typ}` to {}:{}", shown(soft), shown(hard)));
    set.map_err(|error| match getrlimit(resource) {
        Ok((_, most)) if hard > most => error.hint(format!(
            "the hard limit here is {}: to go above needs CAP_SYS_RESOURCE",
            shown(most)
        )),
        _ => error,
    })
}

/// Raises the hard limits of this process to those a process is to have: one in a user namespace could not, and keeps what it was
/// born with.
pub(in crate::runtime) fn raise_rlimits(process: &Process) -> Result<()> {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    limits.iter().try_for_each(|limit| {
        let (resource, hard) = (resource(limit.typ()), limit.hard());
        let (soft, most) = getrlimit(resource).during(|| format!("read the limit `{}`", limit.typ()))?;
        match hard > most {
            true => set_rlimit(limit.typ(), soft, hard),
            false => Ok(()),
        }
    })
}

fn resource(typ: PosixRlimitType) -> nix::sys::resource::Resource {
    use nix::sys::resource::Resource;
    match typ {
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
    }
}

/// The streams as descriptors that outlive the call.
pub(in crate::runtime) fn stdio<'a>(stdin: &'a impl AsFd, stdout: &'a impl AsFd, stderr: &'a impl AsFd) -> Stdio<'a> {
    Stdio {
        stdin: stdin.as_fd(),
        stdout: stdout.as_fd(),
        stderr: stderr.as_fd(),
    }
}
