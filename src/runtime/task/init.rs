//! The first process of a container, from its birth in new namespaces until it becomes the container's program.
//!
//! The order of the steps is that of the OCI runtimes in use; it runs in a copy of the supervisor, which has one thread.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, umask};
use oci_spec::runtime::Spec;

use crate::error::{Context, Error, Result};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::channel::{Channel, Failure, Message};
use crate::runtime::exit::NOT_STARTED;
use crate::runtime::mounts::{self, Mounted};
use crate::runtime::namespaces::Namespaces;
use crate::runtime::program::Program;
use crate::runtime::seccomp::Filter;
use crate::runtime::streams::Streams;
use crate::runtime::user::{Identity, Who};
use crate::runtime::{Secret, cgroup_view, id_maps, mount_options, reaper, rootfs, secrets, spec, treatment};
use crate::sys::mount::{self, Attributes};
use crate::sys::process::Arguments;
use crate::sys::{file, network, process};

/// Whoever made the first process and waits for it.
pub(in crate::runtime) trait Maker {
    /// The user namespace has its maps. `false` if nobody wants the process any more.
    fn mapped(&self) -> Result<bool>;

    /// All is mounted, and the root is still the host's.
    fn mounted(&self) -> Result<()> {
        Ok(())
    }

    /// All is made but for the user and the rights of the process. `false` if nobody wants it any more.
    fn made(&self) -> Result<bool>;

    /// The next thing is the program, in this file. An error has the exit code that it counts as.
    fn ready(&self, file: &str) -> std::result::Result<(), (Error, i32)> {
        let _ = file;
        Ok(())
    }

    /// System calls of this process wait for answers at this descriptor from now on. Returns when whoever gives them has it.
    fn listening(&self, descriptor: &OwnedFd) -> Result<()> {
        let _ = descriptor;
        Err(Error::internal("a filter asks, and nobody was named who answers"))
    }

    /// It will not become the program.
    fn failed(&self, failure: Failure);
}

impl Maker for Channel {
    fn mapped(&self) -> Result<bool> {
        Ok(self.receive()?.is_some())
    }

    /// Waits until the supervisor has recorded this process.
    fn made(&self) -> Result<bool> {
        Ok(self.receive()?.is_some())
    }

    fn listening(&self, descriptor: &OwnedFd) -> Result<()> {
        let number = descriptor.as_raw_fd();
        self.send_plainly(&Message::Listening(number))
            .during(|| "tell who answers system calls")?;
        match self.receive()? {
            Some(Message::Go(_)) => Ok(()),
            _ => Err(Error::cancelled("nobody was found to answer system calls")),
        }
    }

    fn failed(&self, failure: Failure) {
        let _ = self.send(&Message::Failed(failure));
    }
}

/// All that the first process needs; what is on the host was opened before.
pub(in crate::runtime) struct Init<'a> {
    pub(in crate::runtime) spec: &'a Spec,
    pub(in crate::runtime) user: Who<'a>,
    pub(in crate::runtime) secrets: &'a [Secret],
    pub(in crate::runtime) namespaces: &'a Namespaces,
    /// The root's mount, attached nowhere.
    pub(in crate::runtime) root: &'a OwnedFd,
    pub(in crate::runtime) mount_point: &'a Path,
    pub(in crate::runtime) sources: Vec<Option<OwnedFd>>,
    /// Whether bind mounts are to be listed in the order of the configuration: engines look at it, and it takes some calls for each.
    pub(in crate::runtime) in_turn: bool,
    pub(in crate::runtime) cgroup: &'a Cgroup,
    pub(in crate::runtime) filter: Option<Filter>,
    pub(in crate::runtime) streams: Streams,
    /// Whether the root is moved to the top, as one in a RAM disk must be, which cannot be pivoted to.
    pub(in crate::runtime) no_pivot: bool,
    /// How many descriptors the program keeps besides the standard streams.
    pub(in crate::runtime) kept: u32,
    /// Whether it is in a user namespace just made, in which it is nobody until its maker has said who is who.
    pub(in crate::runtime) has_users: bool,
    pub(in crate::runtime) maker: &'a dyn Maker,
    /// Where this process's arguments are, if it is to stay what it is and stand by the program.
    pub(in crate::runtime) stays: Option<Arguments>,
}

impl Init<'_> {
    /// Becomes the program; if that fails, tells its maker why and returns the exit code.
    pub(in crate::runtime) fn run(mut self) -> i32 {
        let (maker, stays) = (self.maker, self.stays);
        let failure = match self.set_up() {
            Ok(Some(program)) if stays.is_some() => return reaper::run(program, maker, stays.as_ref()),
            Ok(Some(program)) => program.become_it(|file| maker.ready(file)),
            Ok(None) => return NOT_STARTED,
            Err(error) => Failure::new(&error, NOT_STARTED),
        };
        let code = failure.code;
        maker.failed(failure);
        code
    }

    fn set_up(&mut self) -> Result<Option<Program<'_>>> {
        if self.has_users && !self.maker.mapped()? {
            return Ok(None);
        }
        self.enter_cgroup()?;
        self.join_namespaces()?;
        nix::unistd::setsid().during(|| "start a session")?;
        umask(Mode::empty());
        if self.namespaces.new.contains(CloneFlags::CLONE_NEWNET) {
            network::bring_loopback_up().during(|| "bring the loopback interface up")?;
        }
        self.build_root()?;
        if self.has_users {
            // What belongs to the host's root was opened. From here on files are made, by who is to own them.
            id_maps::become_root()?;
        }
        let mounted = self.mount()?;
        self.maker.mounted()?;
        match self.no_pivot {
            true => move_to_top(self.root.as_fd())?,
            false => pivot(self.root.as_fd())?,
        }
        let process = spec::process_of(self.spec)?;
        let cwd = process
            .cwd()
            .to_str()
            .ok_or_else(|| Error::invalid("the working directory is no text"))?;
        self.finish_root(&mounted, process.cwd())?;
        if let Some(name) = self.spec.hostname() {
            nix::unistd::sethostname(name).during(|| format!("set the host name `{name}`"))?;
        }
        if let Some(name) = self.spec.domainname() {
            process::set_domain_name(name).during(|| format!("set the domain name `{name}`"))?;
        }
        self.spec.linux().as_ref().map_or(Ok(()), treatment::of_container)?;
        let identity = self.user.resolve(self.root)?;
        self.hand_over_secrets(&identity)?;
        self.streams.install(self.root, identity.uid, true)?;
        if !self.maker.made()? {
            return Ok(None);
        }
        Ok(Some(Program {
            process,
            args: process.args().as_deref().unwrap_or_default(),
            env: process.env().clone().unwrap_or_default(),
            cwd,
            identity,
            capabilities: spec::capabilities(process)?,
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            filter: self.filter.take(),
            kept: self.kept,
            maker: Some(self.maker),
        }))
    }

    /// Joins the control groups first: a namespace of them shows the groups its first process was in when it was made.
    fn enter_cgroup(&self) -> Result<()> {
        self.cgroup.join_self()?;
        if self.namespaces.new.contains(CloneFlags::CLONE_NEWCGROUP) {
            nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).during(|| "make a cgroup namespace")?;
        }
        Ok(())
    }

    /// Joins those of other containers, and takes along what goes with them.
    fn join_namespaces(&mut self) -> Result<()> {
        self.namespaces.join()?;
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        let sources = &mut self.sources;
        self.namespaces
            .among_mounts_of_ipc_owner(|| mounts::open_joined(mounts, sources))
            .map(drop)
    }

    fn build_root(&self) -> Result<()> {
        // What is mounted from here on must not show on the host, while what the host unmounts must not stay busy here.
        let none = None::<&str>;
        let parted = nix::mount::mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none);
        parted.during(|| "part from the host's mounts").map_err(|error| {
            match parted {
            // Of a chroot: its root cannot be pivoted away from either (pivot_root(2)).
            Err(nix::errno::Errno::EINVAL) => error.hint(
                "`/` is not a mount point, as in a chroot: enter that root by `pivot_root`, or run Hoist outside of it",
            ),
            _ => error,
        }
        })?;
        let place =
            file::open(self.mount_point, OFlag::O_PATH).during(|| format!("open `{}`", self.mount_point.display()))?;
        mount::attach(self.root, &place).during(|| "mount the container's root")
    }

    /// Makes all mounts below the root, by place.
    fn mount(&self) -> Result<Mounted> {
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        let sysctl = |proc: BorrowedFd<'_>| self.set_sysctls(proc);
        let is_own = self.namespaces.include(CloneFlags::CLONE_NEWCGROUP);
        let cgroup =
            |place: BorrowedFd<'_>, access| cgroup_view::attach(&self.cgroup.container_mounts(), is_own, place, access);
        mounts::mount_all(self.root.as_fd(), mounts, &self.sources, &sysctl, &cgroup, self.in_turn)
    }

    fn hand_over_secrets(&self, identity: &Identity) -> Result<()> {
        let mounts = self.spec.mounts().as_deref().unwrap_or_default();
        let mut made = mounts
            .iter()
            .zip(&self.sources)
            .filter(|(mount, _)| secrets::is_mount(mount));
        made.try_for_each(|(_, dir)| match dir {
            Some(dir) => secrets::hand_over(dir, self.secrets, identity),
            None => Ok(()),
        })
    }

    /// What is done inside: parts of the mounts are hidden or protected.
    fn finish_root(&self, mounted: &Mounted, cwd: &Path) -> Result<()> {
        if let Some(linux) = self.spec.linux() {
            mounts::make_read_only(linux.readonly_paths().as_deref().unwrap_or_default())?;
            mounts::mask(
                linux.masked_paths().as_deref().unwrap_or_default(),
                mounted.null.as_ref(),
            )?;
        }
        rootfs::make_dir(self.root, cwd).during(|| format!("make the working directory `{}`", cwd.display()))?;
        if self
            .spec
            .root()
            .as_ref()
            .is_some_and(|root| root.readonly() == Some(true))
        {
            mount::change(self.root, Attributes::READ_ONLY, None, false).during(|| "make the root read-only")?;
        }
        let linux = self.spec.linux().as_ref();
        match linux.and_then(|linux| linux.rootfs_propagation().as_deref()) {
            None | Some("") => Ok(()),
            Some(name) => {
                let (propagation, deep) = mount_options::propagation(name)?;
                let show = || format!("set `linux.rootfsPropagation` to `{name}`");
                mount::change(self.root, Attributes::NONE, Some(propagation), deep).during(show)
            }
        }
    }

    /// Writes kernel settings through a `/proc` of this process's own, before the image can lay anything over it (CVE-2025-52881).
    fn set_sysctls(&self, proc: BorrowedFd<'_>) -> Result<()> {
        let settings = self.spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
        settings.into_iter().flatten().try_for_each(|(key, value)| {
            let path = format!("sys/{}", key.replace('.', "/"));
            write_below(proc, &path, value).during(|| format!("set the kernel setting `{key}` to `{value}`"))
        })
    }
}

fn write_below(proc: BorrowedFd<'_>, path: &str, value: &str) -> nix::Result<()> {
    let resolution = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let file = openat2(
        proc,
        path,
        OpenHow::new()
            .flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC)
            .resolve(resolution),
    )?;
    match nix::unistd::write(&file, value.as_bytes())? {
        length if length == value.len() => Ok(()),
        _ => Err(Errno::EIO),
    }
}

/// Lays a mounted directory over the root. What was mounted there stays below, so what tells of the host goes first.
fn move_to_top(root: BorrowedFd<'_>) -> Result<()> {
    for place in ["/proc", "/sys"] {
        while nix::mount::umount2(place, MntFlags::MNT_DETACH).is_ok() {}
    }
    let none = None::<&str>;
    nix::unistd::fchdir(root)
        .and_then(|()| nix::mount::mount(Some("."), "/", none, MsFlags::MS_MOVE, none))
        .and_then(|()| nix::unistd::chroot("."))
        .and_then(|()| nix::unistd::chdir("/"))
        .during(|| "move the root to the top")
}

/// Makes a mounted directory the root of this process's mounts and lets go of the old one (pivot_root(2), "pivot_root(".", ".")").
fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    nix::unistd::fchdir(root)
        .and_then(|()| nix::unistd::pivot_root(".", "."))
        .and_then(|()| nix::mount::umount2(".", MntFlags::MNT_DETACH))
        .and_then(|()| nix::unistd::chdir("/"))
        .during(|| "change the root")
}
