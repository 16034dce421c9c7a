//! The mount API by file descriptors: `fsopen`, `fsconfig`, `fsmount`, `open_tree`, `mount_setattr` and `move_mount` (Linux 5.2 and
//! 5.12). A mount made here is attached to a place that was opened before, so no path is walked twice.

use std::ffi::{CStr, CString, OsString};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MntFlags;

const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const EMPTY_PATH: libc::c_uint = libc::AT_EMPTY_PATH as libc::c_uint;
const RECURSIVE: libc::c_uint = 0x8000;
/// The longest value of an option: `fsconfig` copies 256 bytes with the terminator (fs/fsopen.c).
pub const LONGEST_VALUE: usize = 255;

/// The most directories an overlay takes below its upper one (`OVL_MAX_STACK`, fs/overlayfs/params.h).
pub const DEEPEST_STACK: usize = 500;

/// Attributes of a mount, as `mount_setattr(2)` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(u64);

impl Attributes {
    /// None.
    pub const NONE: Attributes = Attributes(0);
    /// `MOUNT_ATTR_RDONLY`.
    pub const READ_ONLY: Attributes = Attributes(0x1);
    /// `MOUNT_ATTR_NOSUID`.
    pub const NO_SUID: Attributes = Attributes(0x2);
    /// `MOUNT_ATTR_NODEV`.
    pub const NO_DEV: Attributes = Attributes(0x4);
    /// `MOUNT_ATTR_NOEXEC`.
    pub const NO_EXEC: Attributes = Attributes(0x8);
    /// `MOUNT_ATTR_NOATIME`.
    pub const NO_ATIME: Attributes = Attributes(0x10);
    /// `MOUNT_ATTR_STRICTATIME`.
    pub const STRICT_ATIME: Attributes = Attributes(0x20);
    /// `MOUNT_ATTR_NODIRATIME`.
    pub const NO_DIR_ATIME: Attributes = Attributes(0x80);

    /// All that say when access times are written.
    pub const ATIME: Attributes = Attributes(0x70);
    /// `MOUNT_ATTR_NOSYMFOLLOW`.
    pub const NO_SYM_FOLLOW: Attributes = Attributes(0x20_0000);

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Attributes) -> Attributes {
        Attributes(self.0 & !other.0)
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Attributes) -> Attributes {
        Attributes(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn has(self, other: Attributes) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a mount passes on to, and takes from, its copies (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Nothing either way.
    Private,
    /// It takes from the original and gives nothing.
    Slave,
    /// It takes and gives.
    Shared,
    /// Nothing, and no copies can be made.
    Unbindable,
}

/// A filesystem being configured, before it is mounted.
#[derive(Debug)]
pub struct Filesystem(OwnedFd);

impl Filesystem {
    /// Starts to configure a filesystem of the given type. `ENODEV` where the kernel has no such type.
    pub fn open(kind: &str) -> nix::Result<Filesystem> {
        let kind = text(kind)?;
        // SAFETY: the type is a terminated string; the call touches no other memory.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
        owned(fd).map(Filesystem)
    }

    /// Sets an option to a value of at most [`LONGEST_VALUE`] bytes.
    pub fn set(&self, key: &str, value: &str) -> nix::Result<()> {
        self.config(FSCONFIG_SET_STRING, Some(&text(key)?), Some(&text(value)?))
    }

    /// Sets an option that has no value.
    pub fn flag(&self, key: &str) -> nix::Result<()> {
        self.config(FSCONFIG_SET_FLAG, Some(&text(key)?), None)
    }

    /// Makes the superblock and a mount of it that is attached nowhere; it is gone when the descriptor and its copies are.
    pub fn mount(&self, attributes: Attributes) -> nix::Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: the descriptor is open for as long as `self`; the call touches no memory of this process.
        owned(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attributes.0) })
    }

    /// What the filesystem said about the last failure, such as `overlay: upper fs is read-only`.
    pub fn complaint(&self) -> Option<String> {
        let mut message = [0; 512];
        let mut last = None;
        let mut file = std::fs::File::from(self.0.try_clone().ok()?);
        while let Ok(length @ 1..) = file.read(&mut message) {
            let line = String::from_utf8_lossy(&message[..length]);
            last = line.strip_prefix("e ").map(|line| line.trim_end().to_owned()).or(last);
        }
        last
    }

    fn config(&self, command: libc::c_uint, key: Option<&CStr>, value: Option<&CStr>) -> nix::Result<()> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: key and value are terminated strings that outlive the call, or null where the command takes none.
        let result = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                command,
                pointer(key),
                pointer(value),
                0 as libc::c_int,
            )
        };
        Errno::result(result).map(drop)
    }
}

/// Whether the kernel only collects the options of a filesystem, as a text for later, and so takes any (fs/fs_context.c, `legacy`).
pub fn takes_any_option(kind: &str) -> nix::Result<bool> {
    match Filesystem::open(kind)?.flag("no-such-option") {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A copy of the mount at an open place (a bind mount), attached nowhere yet; with all mounts below it when `recursive`.
pub fn copy(place: impl AsFd, recursive: bool) -> nix::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | EMPTY_PATH | if recursive { RECURSIVE } else { 0 };
    // SAFETY: the path is an empty terminated string and the descriptor is open during the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, place.as_fd().as_raw_fd(), c"".as_ptr(), flags) })
}

/// Attaches a mount that is attached nowhere to an open place, on top of what is mounted there.
pub fn attach(mount: impl AsFd, place: impl AsFd) -> nix::Result<()> {
    move_mount(mount.as_fd(), place.as_fd(), c"", MOVE_MOUNT_T_EMPTY_PATH)
}

/// The same on `name` in a directory that nobody else changes; a link there is not followed.
pub fn attach_at(mount: impl AsFd, dir: impl AsFd, name: &str) -> nix::Result<()> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    move_mount(mount.as_fd(), dir.as_fd(), &name, 0)
}

fn move_mount(mount: BorrowedFd<'_>, place: BorrowedFd<'_>, name: &CStr, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: both paths are terminated strings that outlive the call, and both descriptors are open during it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            place.as_raw_fd(),
            name.as_ptr(),
            flags | MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(result).map(drop)
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Adds attributes to a mount, and sets its propagation where one is given; with all mounts below it when `recursive`.
pub fn change(mount: impl AsFd, set: Attributes, propagation: Option<Propagation>, recursive: bool) -> nix::Result<()> {
    exchange(mount, set, Attributes::NONE, propagation, recursive)
}

/// The same, taking other attributes away.
pub fn exchange(
    mount: impl AsFd,
    set: Attributes,
    clear: Attributes,
    propagation: Option<Propagation>,
    recursive: bool,
) -> nix::Result<()> {
    // The access time attributes are an enumeration: to set one, the kernel asks that the field is cleared (mount_setattr(2)).
    const ATIME: u64 = Attributes::ATIME.0;
    let attr = MountAttr {
        set: set.0,
        clear: clear.0 & !ATIME | if (set.0 | clear.0) & ATIME != 0 { ATIME } else { 0 },
        propagation: match propagation {
            None => 0,
            Some(Propagation::Private) => libc::MS_PRIVATE,
            Some(Propagation::Slave) => libc::MS_SLAVE,
            Some(Propagation::Shared) => libc::MS_SHARED,
            Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
        },
        user_namespace: 0,
    };
    let flags = EMPTY_PATH | if recursive { RECURSIVE } else { 0 };
    // SAFETY: the structure has the kernel's layout and the size passed, and outlives the call; the path is empty.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Has a mount that is attached nowhere show the owners of its files as a user namespace maps them (`MOUNT_ATTR_IDMAP`); with all
/// mounts below it when `recursive`.
pub fn shift_ids(mount: impl AsFd, namespace: impl AsFd, recursive: bool) -> nix::Result<()> {
    const IDMAP: u64 = 0x10_0000;
    let attr = MountAttr {
        set: IDMAP,
        clear: 0,
        propagation: 0,
        user_namespace: u64::try_from(namespace.as_fd().as_raw_fd()).expect("a borrowed descriptor is not negative"),
    };
    // SAFETY: the structure has the kernel's layout and the size passed, and outlives the call; the path is empty.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            EMPTY_PATH | if recursive { RECURSIVE } else { 0 },
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Where something is mounted, as this process sees it, in the order in which it was mounted (proc(5), `mountinfo`).
pub fn places() -> std::io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let lines = table.split(|byte| *byte == b'\n');
    let places = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    Ok(places
        .map(|place| PathBuf::from(OsString::from_vec(unescaped(place))))
        .collect())
}

/// A field of the table, in which the kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let digits = field
            .get(at + 1..at + 4)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits
            .filter(|_| field[at] == b'\\')
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(field[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    bytes
}

/// Takes the mount at a path away, at once for names and for its users when they are done with it.
pub fn detach(place: &Path) -> nix::Result<()> {
    nix::mount::umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
}

fn text(text: &str) -> nix::Result<CString> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

fn owned(fd: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(fd)?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it. Descriptors fit in `c_int`.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_their_real_names() {
        assert!(places().unwrap().contains(&PathBuf::from("/proc")));
        assert_eq!(unescaped(br"/a\040b\134c\9"), b"/a b\\c\\9");
    }
}
