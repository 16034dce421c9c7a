//! The marks of the overlay file system in a directory tree (kernel, filesystems/overlayfs.rst, "whiteouts and opaque directories").
//!
//! Overlays are mounted without `userxattr`: their marks are `trusted.overlay.*`, and `user.overlay.*` are attributes like others, by
//! which an overlay that a container mounts without privileges marks what is in it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag};

use crate::error::{Context as _, Result};
use crate::sys::file::{kind_of, open_no_links, xattr};

/// The attribute of a directory that hides all of the layers below it.
pub(crate) const OPAQUE: &CStr = c"trusted.overlay.opaque";

/// Whether a directory hides all of the layers below it.
pub(crate) fn is_opaque(dir: BorrowedFd<'_>) -> Result<bool> {
    let mark = xattr(dir, OPAQUE).during(|| "read whether a directory is opaque")?;
    Ok(mark.as_deref() == Some(b"y"))
}

/// The attribute that makes an empty file a whiteout (Linux 6.7).
const WHITEOUT: &CStr = c"trusted.overlay.whiteout";

/// The status of something in a directory of an overlay, in which a whiteout is the device whatever form it has. What looks names up
/// asks no mark of the directory for the other form, unlike what lists them, and so does this.
pub(crate) fn mark_or(dir: BorrowedFd<'_>, name: &[u8], mut status: FileStat) -> nix::Result<FileStat> {
    if kind_of(&status) != SFlag::S_IFREG || status.st_size != 0 {
        return Ok(status);
    }
    let file = open_no_links(dir, name, OFlag::O_PATH)?;
    if xattr(file.as_fd(), WHITEOUT)?.is_some() {
        (status.st_mode, status.st_rdev) = (SFlag::S_IFCHR.bits(), 0);
    }
    Ok(status)
}

/// Whether a status is that of a whiteout.
pub(crate) fn is_whiteout(status: &FileStat) -> bool {
    kind_of(status) == SFlag::S_IFCHR && status.st_rdev == 0
}

/// Whether a layer may carry an extended attribute: what belongs to the kernel's own bookkeeping or to the host's policy may not. So
/// no `trusted.*` does, neither a mark nor what the kernel escapes to keep it from being one (`trusted.overlay.overlay.*`).
pub(crate) fn may_travel(name: &[u8]) -> bool {
    let known: [&[u8]; 3] = [
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ];
    known.contains(&name) || name.starts_with(b"user.")
}
