//! Directories that entries go into: found within the root, made where the stream left them out, kept open while in use.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use std::os::unix::ffi::OsStrExt;

use super::{Attributes, Unpack, refused, shown, split};
use crate::error::{Context as _, Error, Result};
use crate::images::overlay;
use crate::images::tree::LINKS;
use crate::sys::file::{kind_of, open_no_links, status_at};

/// Flags for a directory that is only a starting point.
const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY);
/// Directories kept open.
const OPEN: usize = 64;

/// An open directory, and what tells it from others whatever path led to it.
pub(super) struct Parent {
    pub(super) fd: OwnedFd,
    pub(super) inode: u64,
    /// Where it is, links resolved: what is noted of paths is noted under this one.
    pub(super) path: Vec<u8>,
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Open directories by the path they were asked for.
#[derive(Default)]
pub(super) struct Parents(HashMap<Vec<u8>, Arc<Parent>>);

impl Parents {
    /// Forgets all, for something that is no plain file was removed and paths may now lead elsewhere.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Unpack<'_> {
    /// The directory at `path`, made if it is missing.
    pub(super) fn parent(&mut self, path: &[u8]) -> Result<Arc<Parent>> {
        if let Some(open) = self.parents.0.get(path) {
            return Ok(Arc::clone(open));
        }
        let (fd, real) = match open_no_links(self.root.as_fd(), path, DIRECTORY) {
            Ok(fd) => (fd, path.to_vec()),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => self.make_parents(path)?,
            Err(cause) => return Err(refused(cause, "open the directory", path)),
        };
        if self.parents.0.len() >= OPEN {
            self.parents.0.clear();
        }
        let inode = fstat(&fd)
            .during(|| format!("look at the directory `{}` of the layer", shown(path)))?
            .st_ino;
        let open = Arc::new(Parent { fd, inode, path: real });
        self.parents.0.insert(path.to_vec(), Arc::clone(&open));
        Ok(open)
    }

    /// Walks a path part by part as the kernel would within the root, and makes what is missing.
    fn make_parents(&mut self, path: &[u8]) -> Result<(OwnedFd, Vec<u8>)> {
        // A file under way may be what is in the way.
        self.settle()?;
        let mut waiting: Vec<Vec<u8>> = parts_reversed(path);
        let mut resolved: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(part) = waiting.pop() {
            if part == b".." {
                resolved.pop();
                continue;
            }
            let here = resolved.join(&b'/');
            let dir = open_no_links(self.root.as_fd(), &here, DIRECTORY)
                .during(|| format!("open `{}` of the layer", shown(&here)))?;
            resolved.push(part);
            let so_far = resolved.join(&b'/');
            if let Some(link) = self.step(&dir, &so_far)? {
                links += 1;
                if links > LINKS {
                    return Err(Error::corrupt(format!(
                        "the path `{}` has too many symbolic links",
                        shown(path)
                    )));
                }
                resolved.pop();
                if link.starts_with(b"/") {
                    resolved.clear();
                }
                waiting.extend(parts_reversed(&link));
            }
        }
        let real = resolved.join(&b'/');
        let dir = open_no_links(self.root.as_fd(), &real, DIRECTORY);
        Ok((dir.during(|| format!("open `{}` of the layer", shown(&real)))?, real))
    }

    /// Sees that the last part of `path` exists in `dir`; gives the target if it is a link.
    fn step(&mut self, dir: &OwnedFd, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let (_, name) = split(path);
        let what = || format!("make the directory `{}` of the layer", shown(path));
        match status_at(dir.as_fd(), name) {
            Ok(status) if kind_of(&status) == SFlag::S_IFDIR => Ok(None),
            Ok(status) if kind_of(&status) == SFlag::S_IFLNK => {
                let link = readlinkat(dir, name).during(what)?;
                Ok(Some(link.as_bytes().to_vec()))
            }
            // What lay below was whited out, and now something comes into its place: a fresh directory.
            Ok(status) if overlay::is_whiteout(&status) => {
                self.clear(dir.as_fd(), path)?;
                self.imply(dir, path)?;
                self.make_opaque(path)?;
                Ok(None)
            }
            Ok(_) => Err(Error::corrupt(format!(
                "the layer has something below `{}`, which is not a directory",
                shown(path)
            ))),
            Err(Errno::ENOENT) => self.imply(dir, path).map(|()| None),
            Err(cause) => Err(cause).during(what),
        }
    }

    fn imply(&mut self, dir: &OwnedFd, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        let what = || format!("make the directory `{}` of the layer", shown(path));
        mkdirat(dir, name, Mode::S_IRWXU).map_err(|cause| refused(cause, "make the directory", path))?;
        self.note_place(fstat(dir).during(what)?.st_ino, name);
        let inode = status_at(dir.as_fd(), name).during(what)?.st_ino;
        self.directories
            .insert(path.to_vec(), Attributes::plain_directory().only_for(inode));
        self.implied.insert(path.to_vec());
        Ok(())
    }
}

fn parts_reversed(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."));
    parts.rev().map(<[u8]>::to_vec).collect()
}
