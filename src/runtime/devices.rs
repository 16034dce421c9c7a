//! A container's `/dev`: a memory file system with the device nodes and links every program may expect (runtime-spec,
//! `config-linux.md#default-devices`). It is filled before it is attached, so nothing of the image is walked (CVE-2026-41579).

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, major, makedev, minor, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use crate::error::{Context, Error, Result};

const NODES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Fills an empty file system that is attached nowhere yet. Runs with a umask of zero.
pub(super) fn fill(dev: impl AsFd) -> Result<()> {
    let dev = dev.as_fd();
    for (name, major, minor) in NODES {
        let mode = Mode::from_bits_truncate(0o666);
        mknodat(dev, name, SFlag::S_IFCHR, mode, makedev(major, minor)).during(|| format!("make `/dev/{name}`"))?;
    }
    // `tty` belongs to group 5 wherever there is one; its number is the same in all distributions.
    fchownat(
        dev,
        "tty",
        Some(Uid::from_raw(0)),
        Some(Gid::from_raw(5)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )
    .during(|| "give `/dev/tty` to its group")?;
    for (target, name) in LINKS {
        symlinkat(target, dev, name).during(|| format!("make `/dev/{name}`"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(dev, name, Mode::from_bits_truncate(0o755)).during(|| format!("make `/dev/{name}`"))?;
    }
    Ok(())
}

/// The null device in a `/dev` just filled, after a look that it is the one: it will hide paths (CVE-2025-31133).
pub(super) fn null(dev: impl AsFd) -> Result<OwnedFd> {
    let null = openat(
        dev,
        "null",
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .during(|| "open `/dev/null`")?;
    let status = fstat(&null).during(|| "examine `/dev/null`")?;
    let is_device = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
    if is_device && (major(status.st_rdev), minor(status.st_rdev)) == (1, 3) {
        return Ok(null);
    }
    Err(Error::denied("failed to open `/dev/null`: it is not the null device"))
}
