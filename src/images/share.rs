//! A file of one layer under a name in another: the same inode where the file system allows it, for layers are never written to.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fchmod};
use nix::unistd::{Gid, Uid, fchown, linkat};

use super::tree::{self, Node};
use crate::error::{Context as _, Result};
use crate::sys::file::{open_no_links, set_mtime, set_xattr};

/// Gives the node below `from`, which is no directory, the name `path` below `to`. It is a copy where an inode has as many names as it
/// can have, or lies on another file system.
pub(super) fn share(from: BorrowedFd<'_>, node: &Node, to: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
    let what = || {
        format!(
            "link `{}` to `{}` of a layer below",
            path.escape_ascii(),
            node.path.escape_ascii()
        )
    };
    let ((old_parent, old), (parent, name)) = (tree::split(&node.path), tree::split(path));
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let source = open_no_links(from, old_parent, flags).during(what)?;
    let target = open_no_links(to, parent, flags).during(what)?;
    match linkat(&source, old, &target, name, AtFlags::empty()) {
        Err(Errno::EMLINK | Errno::EXDEV) if node.kind() == SFlag::S_IFREG => {
            copy((source.as_fd(), old), (target.as_fd(), name), node).during(what)
        }
        other => other.during(what),
    }
}

fn copy(from: (BorrowedFd<'_>, &[u8]), to: (BorrowedFd<'_>, &[u8]), node: &Node) -> Result<()> {
    let what = || format!("copy `{}`", node.path.escape_ascii());
    let source = open_no_links(from.0, from.1, OFlag::O_RDONLY).during(what)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = openat(to.0, to.1, flags, Mode::S_IRUSR | Mode::S_IWUSR).during(what)?;
    let mut target = std::fs::File::from(target);
    std::io::copy(&mut std::fs::File::from(source.try_clone().during(what)?), &mut target).during(what)?;
    copy_attributes(source.as_fd(), target.as_fd(), node).during(what)
}

/// Gives an open file or directory what another, which the node tells of, has: owner, extended attributes, mode, time.
pub(super) fn copy_attributes(source: BorrowedFd<'_>, target: BorrowedFd<'_>, node: &Node) -> Result<()> {
    let what = || format!("copy the attributes of `{}`", node.path.escape_ascii());
    let status = &node.status;
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    fchown(target, Some(uid), Some(gid)).during(what)?;
    for (name, value) in tree::xattrs(source)? {
        set_xattr(target, &name, &value).during(what)?;
    }
    fchmod(target, Mode::from_bits_truncate(status.st_mode & 0o7777)).during(what)?;
    let nanos = u32::try_from(status.st_mtime_nsec).unwrap_or(0);
    set_mtime(target, status.st_mtime, nanos).during(what)
}
