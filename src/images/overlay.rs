//! The marks of the overlay file system in a directory tree (kernel, filesystems/overlayfs.rst, "whiteouts and opaque directories").

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::sys::stat::{FileStat, SFlag};

use crate::error::{Context as _, Result};
use crate::sys::file::{kind_of, xattr};

/// The attribute of a directory that hides all of the layers below it.
pub(crate) const OPAQUE: &CStr = c"trusted.overlay.opaque";
/// The same where the overlay is mounted by an unprivileged user.
const USER_OPAQUE: &CStr = c"user.overlay.opaque";

/// Whether a directory hides all of the layers below it.
pub(crate) fn is_opaque(dir: BorrowedFd<'_>) -> Result<bool> {
    for name in [OPAQUE, USER_OPAQUE] {
        if xattr(dir, name)
            .during(|| "read whether a directory is opaque")?
            .as_deref()
            == Some(b"y")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a status is that of a whiteout.
pub(crate) fn is_whiteout(status: &FileStat) -> bool {
    kind_of(status) == SFlag::S_IFCHR && status.st_rdev == 0
}

/// Whether a layer may carry an extended attribute: what belongs to the kernel's own bookkeeping or to the host's policy may not.
pub(crate) fn may_travel(name: &[u8]) -> bool {
    let known: [&[u8]; 3] = [
        b"security.capability",
        b"system.posix_acl_access",
        b"system.posix_acl_default",
    ];
    known.contains(&name) || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}
