//! Owner, permissions, extended attributes and times, in the order in which none undoes another: owner, attributes, mode, time.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use crate::images::archive::{Entry, Kind, Mtime};
use crate::images::overlay;
use crate::sys::file;

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

    /// The same, for this directory alone.
    pub(super) fn of_inode(entry: &Entry, inode: u64) -> Attributes {
        Attributes {
            inode: Some(inode),
            ..Attributes::of(entry)
        }
    }

    /// Sets those of the directory at `path`, which must be there without passing a link.
    pub(super) fn set_on_directory(&self, root: BorrowedFd<'_>, path: &[u8]) -> nix::Result<()> {
        use std::os::fd::AsFd as _;
        let dir = match file::open_no_links(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            // Replaced by something else later in the stream.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => other?,
        };
        let same = self
            .inode
            .is_none_or(|inode| nix::sys::stat::fstat(&dir).is_ok_and(|status| status.st_ino == inode));
        if !same {
            return Ok(());
        }
        self.set_on_open(dir.as_fd())
    }

    /// Sets those of an open file or directory.
    pub(super) fn set_on_open(&self, fd: BorrowedFd<'_>) -> nix::Result<()> {
        fchown(fd, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        self.set_xattrs(fd)?;
        fchmod(fd, Mode::from_bits_truncate(self.mode))?;
        file::set_mtime(fd, self.mtime.seconds, self.mtime.nanos)
    }

    /// Sets those of something that must not be opened: a device, a FIFO or, without mode, a link.
    pub(super) fn set_on_path(&self, dir: BorrowedFd<'_>, name: &[u8], is_link: bool) -> nix::Result<()> {
        use std::os::fd::AsFd as _;
        let node = file::open_no_links(dir, name, OFlag::O_PATH)?;
        file::change_owner(node.as_fd(), self.uid, self.gid)?;
        self.set_xattrs(node.as_fd())?;
        if !is_link {
            file::change_mode(node.as_fd(), self.mode)?;
        }
        file::set_mtime_at(dir, name, self.mtime.seconds, self.mtime.nanos)
    }

    fn set_xattrs(&self, fd: BorrowedFd<'_>) -> nix::Result<()> {
        for (name, value) in self.xattrs.iter().filter(|(name, _)| overlay::may_travel(name)) {
            match file::set_xattr(fd, name, value) {
                // The file system has none, or none of this sort for this type of file; the file is of use without.
                Err(Errno::EOPNOTSUPP | Errno::EPERM) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
