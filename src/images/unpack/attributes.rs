//! Owner, permissions, extended attributes and times, in the order in which none undoes another: owner, attributes, mode, access
//! control list, time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use super::{refused, shown, split};
use crate::error::{Error, Result};
use crate::images::archive::{Entry, Kind, Mtime};
use crate::images::overlay;
use crate::sys::{file, process};

/// What the kernel gives a new file by itself, so that it need not be set again.
pub(super) struct Birth {
    uid: u32,
    gid: u32,
    /// Bits that are taken away; `None` where more decides than that.
    umask: Option<u32>,
}

impl Birth {
    /// That of files made in directories that were made below `root`, whose group and rules new directories inherit (inode(7), acl(5)).
    pub(super) fn below(root: BorrowedFd<'_>) -> Birth {
        let status = nix::sys::stat::fstat(root);
        let is_plain = status.is_ok_and(|status| status.st_mode & Mode::S_ISGID.bits() == 0)
            && matches!(
                file::xattr(root, c"system.posix_acl_default"),
                Ok(None) | Err(Errno::EOPNOTSUPP)
            );
        Birth {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            umask: is_plain.then(process::umask).flatten(),
        }
    }
}

/// The attribute that is the mode in more words.
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// What an entry says of a file besides its content.
pub(super) struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Mtime,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The directory they belong to, once it exists: another under the same path must not get them.
    inode: Option<u64>,
}

impl Attributes {
    /// Those of a directory that no entry names: 0755, root, 1970.
    pub(super) fn plain_directory() -> Attributes {
        Attributes::of(&Entry::new(Vec::new(), Kind::Directory, 0o755))
    }

    pub(super) fn of(entry: &Entry) -> Attributes {
        Attributes {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: entry.xattrs.clone(),
            inode: None,
        }
    }

    /// The same, for the directory with this inode alone.
    pub(super) fn only_for(self, inode: u64) -> Attributes {
        Attributes {
            inode: Some(inode),
            ..self
        }
    }

    /// Sets those of the directory at `path`, unless another is there by now.
    pub(super) fn set_on_directory(&self, root: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        let dir = match file::open_no_links(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            // Replaced by something else later in the stream.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => other.map_err(|cause| refused(cause, "open", path))?,
        };
        let same = self
            .inode
            .is_none_or(|inode| nix::sys::stat::fstat(&dir).is_ok_and(|status| status.st_ino == inode));
        if !same {
            return Ok(());
        }
        self.set_on_open(dir.as_fd(), path)
    }

    /// Whether a file made with the mode has all of these but the time.
    fn are_innate(&self, birth: &Birth) -> bool {
        (self.uid, self.gid) == (birth.uid, birth.gid)
            && self.mode & !0o777 == 0
            && self.xattrs.is_empty()
            && birth.umask.is_some_and(|umask| self.mode & umask == 0)
    }

    /// Makes a regular file, open to be written; nobody else may read it before it has its owner.
    pub(super) fn create(&self, dir: BorrowedFd<'_>, name: &[u8], birth: &Birth) -> nix::Result<OwnedFd> {
        let mode = if self.are_innate(birth) { self.mode } else { 0o600 };
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(dir, name, flags, Mode::from_bits_truncate(mode))
    }

    /// Sets those of a file that was made by [`Attributes::create`].
    pub(super) fn set_on_new(&self, fd: BorrowedFd<'_>, path: &[u8], birth: &Birth) -> Result<()> {
        if !self.are_innate(birth) {
            return self.set_on_open(fd, path);
        }
        file::set_mtime(fd, self.mtime.seconds, self.mtime.nanos)
            .map_err(|cause| refused(cause, "set the attributes of", path))
    }

    /// Sets those of an open file or directory at `path`.
    pub(super) fn set_on_open(&self, fd: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        let owned = fchown(fd, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
        owned.map_err(|cause| self.not_owned(cause, path))?;
        let set = || {
            self.set_xattrs(fd)?;
            fchmod(fd, Mode::from_bits_truncate(self.mode))?;
            self.set_access_list(fd)?;
            file::set_mtime(fd, self.mtime.seconds, self.mtime.nanos)
        };
        set().map_err(|cause| refused(cause, "set the attributes of", path))
    }

    /// Sets those of something in `dir` that must not be opened: a device, a FIFO or, without mode, a link.
    pub(super) fn set_on_path(&self, dir: BorrowedFd<'_>, path: &[u8], is_link: bool) -> Result<()> {
        let (_, name) = split(path);
        let node = file::open_no_links(dir, name, OFlag::O_PATH).map_err(|cause| refused(cause, "open", path))?;
        let owned = file::change_owner(node.as_fd(), self.uid, self.gid);
        owned.map_err(|cause| self.not_owned(cause, path))?;
        let set = || {
            self.set_xattrs(node.as_fd())?;
            if !is_link {
                file::change_mode(node.as_fd(), self.mode)?;
                self.set_access_list(node.as_fd())?;
            }
            file::set_mtime_at(dir, name, self.mtime.seconds, self.mtime.nanos)
        };
        set().map_err(|cause| refused(cause, "set the attributes of", path))
    }

    fn not_owned(&self, cause: Errno, path: &[u8]) -> Error {
        let (uid, gid) = (self.uid, self.gid);
        match cause {
            Errno::EINVAL => Error::unsupported(format!(
                "`{}` belongs to {uid}:{gid}, which this user namespace does not have",
                shown(path)
            ))
            .hint("run as root, or give the user more ids in /etc/subuid and /etc/subgid"),
            cause => refused(cause, "set the owner of", path),
        }
    }

    fn set_xattrs(&self, fd: BorrowedFd<'_>) -> nix::Result<()> {
        let early = self.xattrs.iter().filter(|(name, _)| name != ACCESS_LIST);
        set_those(fd, early.filter(|(name, _)| overlay::may_travel(name)))
    }

    /// After the mode, whose group bits would overwrite the list's mask.
    fn set_access_list(&self, fd: BorrowedFd<'_>) -> nix::Result<()> {
        set_those(fd, self.xattrs.iter().filter(|(name, _)| name == ACCESS_LIST))
    }
}

fn set_those<'a>(fd: BorrowedFd<'_>, xattrs: impl Iterator<Item = &'a (Vec<u8>, Vec<u8>)>) -> nix::Result<()> {
    for (name, value) in xattrs {
        match file::set_xattr(fd, name, value) {
            // The file system has none, or none of this sort for this type of file; the file is of use without.
            Err(Errno::EOPNOTSUPP | Errno::EPERM) => {}
            other => other?,
        }
    }
    Ok(())
}
