//! A terminal of a container's own: made inside, on its own devpts, and never found by a path that the container may have laid
//! something over (CVE-2025-52565).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, fstat, major, minor};
use nix::sys::statfs::{DEVPTS_SUPER_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, fchown};

use crate::error::{Context, Error, Result};
use crate::runtime::rootfs;
use crate::sys::{mount, pty};

/// The size a terminal has that nobody has told one.
pub(in crate::runtime) const USUAL_SIZE: pty::Size = pty::Size { rows: 24, columns: 80 };

/// A terminal: the end that is looked at, and the one a program has as its standard streams.
pub(in crate::runtime) struct Console {
    pub(in crate::runtime) master: OwnedFd,
    pub(in crate::runtime) slave: File,
}

/// Makes a terminal below an open root, which is this process's own.
pub(in crate::runtime) fn open(root: &OwnedFd, size: pty::Size) -> Result<Console> {
    let show = || "make a terminal";
    let pts = rootfs::open_plain_dir(root, Path::new("/dev/pts")).during(show)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV);
    // Looked at before it is opened: opening what an image put in its place could do anything.
    let is_devpts = fstatfs(&pts).during(show)?.filesystem_type() == DEVPTS_SUPER_MAGIC;
    if !is_devpts {
        return Err(Error::denied(
            "failed to make a terminal: something else is mounted on `/dev/pts`",
        ));
    }
    let master = openat2(&pts, "ptmx", how).during(show)?;
    let device = fstat(&master).during(show)?.st_rdev;
    if (major(device), minor(device)) != (5, 2) {
        return Err(Error::denied(
            "failed to make a terminal: `/dev/pts/ptmx` is another device",
        ));
    }
    pty::unlock(&master).during(show)?;
    let slave = pty::open_peer(&master).during(show)?;
    pty::set_size(&master, size).during(show)?;
    Ok(Console { master, slave })
}

impl Console {
    /// Shows the terminal as `/dev/console`, for which there is a place below the root.
    pub(in crate::runtime) fn show_as_console(&self, root: &OwnedFd) -> Result<()> {
        let show = || "make `/dev/console`";
        let dev = rootfs::open_plain_dir(root, Path::new("/dev")).during(show)?;
        let make = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        match nix::fcntl::openat(&dev, "console", make, Mode::from_bits_truncate(0o600)) {
            Ok(_) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno).during(show),
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let place = nix::fcntl::openat(&dev, "console", flags, Mode::empty()).during(show)?;
        let copy = mount::copy(&self.slave, false).during(show)?;
        mount::attach(&copy, &place).during(show)
    }

    /// Makes it the terminal of this process's session and its three standard streams; the program's user owns it.
    pub(in crate::runtime) fn install(&self, owner: u32) -> Result<()> {
        // The group stays `tty`, as the mount of `/dev/pts` says.
        fchown(&self.slave, Some(Uid::from_raw(owner)), None::<Gid>)
            .and_then(|()| pty::make_controlling(&self.slave))
            .and_then(|()| nix::unistd::dup2_stdin(&self.slave))
            .and_then(|()| nix::unistd::dup2_stdout(&self.slave))
            .and_then(|()| nix::unistd::dup2_stderr(&self.slave))
            .during(|| "hand over the terminal")
    }
}
