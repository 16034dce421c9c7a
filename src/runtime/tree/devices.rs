//! A container's `/dev`: a memory file system with the device nodes and links every program may expect (runtime-spec,
//! `config-linux.md#default-devices`). It is filled before it is attached, so nothing of the image is walked (CVE-2026-41579), and
//! by the supervisor, which may make nodes that the container may not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, lstat, major, makedev, minor, mkdirat, mknodat, stat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use crate::error::{Context, Error, Result};
use crate::runtime::cgroup::{Access, DeviceKind, Devices, Rule};
use crate::runtime::{Device, IdMaps};

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

/// Of a whole directory of devices, these are left where they are, as Docker does: each container has its own.
const OWN: [&str; 6] = ["console", "fd", "lxc", "mqueue", "pts", "shm"];

/// How deep a directory of devices is looked into.
const DEEPEST: usize = 8;

/// A device of the host, to be made in a container.
pub(in crate::runtime) struct Node {
    /// Below `/dev`.
    path: PathBuf,
    /// Kind and permissions.
    mode: u32,
    device: u64,
    uid: u32,
    gid: u32,
    access: Access,
}

impl Node {
    /// That the container may use it.
    pub(in crate::runtime) fn rule(&self) -> Rule {
        let kind = match kind(self.mode) {
            SFlag::S_IFBLK => DeviceKind::Block,
            _ => DeviceKind::Character,
        };
        // The kernel's device numbers have 12 and 20 bits (linux/kdev_t.h).
        let number = |number: u64| u32::try_from(number).ok();
        let devices = Devices {
            kind: Some(kind),
            major: number(major(self.device)),
            minor: number(minor(self.device)),
        };
        let access = self.access;
        Rule {
            allow: true,
            devices,
            access,
        }
    }
}

fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

/// The devices an OCI configuration lists. Errors: `invalid` for one outside of `/dev`.
pub(in crate::runtime) fn listed(devices: &[LinuxDevice]) -> Result<Vec<Node>> {
    let nodes = devices.iter().map(|device| {
        let path = device.path();
        let refuse = |why: &str| Error::invalid(format!("the device `{}` cannot be made: {why}", path.display()));
        let below = path.strip_prefix("/dev").map_err(|_| refuse("it is not in `/dev`"))?;
        if !below.components().all(|part| matches!(part, Component::Normal(_))) || below == Path::new("") {
            return Err(refuse("its path is not plain"));
        }
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
            LinuxDeviceType::B => SFlag::S_IFBLK,
            LinuxDeviceType::P => SFlag::S_IFIFO,
            LinuxDeviceType::A => return Err(refuse("it is of no type")),
        };
        let number = |number: i64| u64::try_from(number).map_err(|_| refuse("its numbers are out of range"));
        Ok(Node {
            path: below.to_owned(),
            mode: kind.bits() | device.file_mode().unwrap_or(0o666) & 0o7777,
            device: makedev(number(device.major())?, number(device.minor())?),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
            access: Access::ALL,
        })
    });
    nodes.collect()
}

impl Device {
    /// All devices the host has, in the same places.
    pub fn all() -> Device {
        Device {
            source: "/dev".into(),
            target: "/dev".to_owned(),
            access: Access::ALL,
        }
    }
}

/// Errors: `invalid` for a place inside where no device can be made.
pub(in crate::runtime) fn check(device: &Device) -> Result<()> {
    // The whole of the host's is laid beside what the container has.
    if device.target == "/dev" && device.source == Path::new("/dev") {
        return Ok(());
    }
    let below = device.target.strip_prefix("/dev/").unwrap_or_default();
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    let first = below.split('/').next().unwrap_or_default();
    // A link in the way would lead out of `/dev`.
    match below.split('/').all(is_plain) && !is_taken(first) {
        true => Ok(()),
        false => Err(
            Error::invalid(format!("no device can be made at `{}`", device.target.escape_debug()))
                .hint("name a path below `/dev` that is none of those every container has"),
        ),
    }
}

fn is_taken(name: &str) -> bool {
    NODES.iter().any(|node| node.0 == name) || LINKS.iter().any(|link| link.1 == name) || COVERED.contains(&name)
}

/// Looks at the host's devices. Errors: `not_found`; `invalid` for what is no device and has none in it.
pub(in crate::runtime) fn find(devices: &[Device]) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for device in devices {
        let status = stat(&device.source).during(|| format!("find the device `{}`", device.source.display()))?;
        let path = Path::new(device.target.strip_prefix("/dev").unwrap_or_default());
        let path = path.strip_prefix("/").unwrap_or(path);
        let before = nodes.len();
        match kind(status.st_mode) {
            SFlag::S_IFCHR | SFlag::S_IFBLK => nodes.push(node(path, &status, device.access)),
            SFlag::S_IFDIR => collect(&mut nodes, &device.source, path, device.access, DEEPEST)?,
            _ => {}
        }
        if nodes.len() == before {
            return Err(Error::invalid(format!("`{}` is no device", device.source.display())));
        }
    }
    Ok(nodes)
}

/// As the host has it.
fn node(path: &Path, status: &FileStat, access: Access) -> Node {
    Node {
        path: path.to_owned(),
        mode: kind(status.st_mode).bits() | status.st_mode & 0o777,
        device: status.st_rdev,
        uid: status.st_uid,
        gid: status.st_gid,
        access,
    }
}

/// The devices in a directory of the host and below it. What comes and goes meanwhile is no fault.
fn collect(nodes: &mut Vec<Node>, dir: &Path, path: &Path, access: Access, depth: usize) -> Result<()> {
    let entries = std::fs::read_dir(dir).during(|| format!("list the devices in `{}`", dir.display()))?;
    for entry in entries.flatten() {
        let (name, source) = (entry.file_name(), entry.path());
        let at_top = path == Path::new("") && name.to_str().is_some_and(|name| is_taken(name) || OWN.contains(&name));
        let Some(status) = lstat(&source).ok().filter(|_| !at_top) else {
            continue;
        };
        match kind(status.st_mode) {
            SFlag::S_IFCHR | SFlag::S_IFBLK => nodes.push(node(&path.join(name), &status, access)),
            SFlag::S_IFDIR if depth > 0 => collect(nodes, &source, &path.join(name), access, depth - 1)?,
            _ => {}
        }
    }
    Ok(())
}

/// Makes a device.
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
    let path = node.path.as_path();
    let mode = Mode::from_bits_truncate(node.mode & 0o7777);
    let make = || mknodat(dev, path, kind(node.mode), mode, node.device);
    match make() {
        // Of several for one path the last counts.
        Err(Errno::EEXIST) => unlinkat(dev, path, UnlinkatFlags::NoRemoveDir).and_then(|()| make())?,
        made => made?,
    }
    let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
    fchownat(dev, path, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// Fills an empty file system that is attached nowhere yet. With a user namespace, all belongs to who is the owner there.
pub(in crate::runtime) fn fill(dev: impl AsFd, more: &[Node], maps: Option<&IdMaps>) -> Result<()> {
    let before = umask(Mode::empty());
    let filled = fill_whole(dev.as_fd(), more);
    umask(before);
    filled?;
    maps.map_or(Ok(()), |maps| {
        hand_over(dev.as_fd(), maps, more).during(|| "give `/dev` to its owners")
    })
}

fn hand_over(dev: BorrowedFd<'_>, maps: &IdMaps, more: &[Node]) -> nix::Result<()> {
    let (uid, gid) = maps.root();
    let chown =
        |path: &Path, uid: Uid, gid: Gid| fchownat(dev, path, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW);
    chown(Path::new("."), uid, gid)?;
    let names = NODES
        .iter()
        .map(|node| node.0)
        .chain(LINKS.iter().map(|link| link.1))
        .chain(COVERED);
    let mut others = names.filter(|name| *name != "tty");
    others.try_for_each(|name| chown(Path::new(name), uid, gid))?;
    chown(Path::new("tty"), uid, maps.gid(5).map_or(gid, Gid::from_raw))?;
    more.iter().try_for_each(|node| {
        for above in node.path.ancestors().skip(1).filter(|path| *path != Path::new("")) {
            chown(above, uid, gid)?;
        }
        let owner = maps.uid(node.uid).map_or(uid, Uid::from_raw);
        let group = maps.gid(node.gid).map_or(gid, Gid::from_raw);
        chown(&node.path, owner, group)
    })
}

fn fill_whole(dev: BorrowedFd<'_>, more: &[Node]) -> Result<()> {
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
pub(in crate::runtime) fn null(dev: impl AsFd) -> Result<OwnedFd> {
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
