//! A container's `/dev`: a memory file system with the device nodes and links every program may expect (runtime-spec,
//! `config-linux.md#default-devices`). It is filled before it is attached, so nothing of the image is walked (CVE-2026-41579).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, makedev, minor, mkdirat, mknodat, stat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::Device;
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

/// Directories of `/dev` that something is mounted on.
const COVERED: [&str; 3] = ["pts", "shm", "mqueue"];

/// A device of the host, to be made in a container.
pub(super) struct Node {
    /// Below `/dev`.
    path: PathBuf,
    /// As the host's node has it: kind and permissions, device, owner.
    status: FileStat,
}

/// Errors: `invalid` for a place inside where no device can be made.
pub(super) fn check(device: &Device) -> Result<()> {
    let below = device.target.strip_prefix("/dev/").unwrap_or_default();
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    let first = below.split('/').next().unwrap_or_default();
    // A link in the way would lead out of `/dev`.
    let is_taken = NODES.iter().any(|node| node.0 == first) || LINKS.iter().any(|link| link.1 == first);
    match below.split('/').all(is_plain) && !is_taken && !COVERED.contains(&first) {
        true => Ok(()),
        false => Err(
            Error::invalid(format!("no device can be made at `{}`", device.target.escape_debug()))
                .hint("name a path below `/dev` that is none of those every container has"),
        ),
    }
}

/// Looks at the host's devices. Errors: `not_found`; `invalid` for what is no device.
pub(super) fn find(devices: &[Device]) -> Result<Vec<Node>> {
    let found = devices.iter().map(|device| {
        let status = stat(&device.source).during(|| format!("find the device `{}`", device.source.display()))?;
        let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
        if kind != SFlag::S_IFCHR && kind != SFlag::S_IFBLK {
            return Err(Error::invalid(format!("`{}` is no device", device.source.display())));
        }
        let path = device.target.strip_prefix("/dev/").unwrap_or_default();
        Ok(Node {
            path: path.into(),
            status,
        })
    });
    found.collect()
}

/// Makes a device with the permissions and the owner it has on the host.
fn make(dev: BorrowedFd<'_>, node: &Node) -> nix::Result<()> {
    let above: Vec<&Path> = node
        .path
        .ancestors()
        .skip(1)
        .filter(|path| *path != Path::new(""))
        .collect();
    for dir in above.into_iter().rev() {
        match mkdirat(dev, dir, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let (status, path) = (&node.status, node.path.as_path());
    let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
    mknodat(
        dev,
        path,
        kind,
        Mode::from_bits_truncate(status.st_mode & 0o777),
        status.st_rdev,
    )?;
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    fchownat(dev, path, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Fills an empty file system that is attached nowhere yet. Runs with a umask of zero.
pub(super) fn fill(dev: impl AsFd, more: &[Node]) -> Result<()> {
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
    for name in COVERED {
        mkdirat(dev, name, Mode::from_bits_truncate(0o755)).during(|| format!("make `/dev/{name}`"))?;
    }
    more.iter()
        .try_for_each(|node| make(dev, node).during(|| format!("make `/dev/{}`", node.path.display())))
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
