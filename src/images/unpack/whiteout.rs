//! Whiteouts: `.wh.` names become the overlay file system's own marks (OCI image-spec, layer.md, "Whiteouts").

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::parents::Parent;
use super::{Unpack, refused, shown, split};
use crate::error::{Context as _, Error, Result};
use crate::images::overlay;
use crate::images::tree::{is_opaque_at, join, opaque_above};
use crate::model::Context;
use crate::sys::file::{kind_of, open_no_links, set_xattr, status_at};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a whiteout hides.
pub(super) enum Hidden<'a> {
    /// One name of the layers below.
    Name(&'a [u8]),
    /// All of the directory in the layers below.
    All,
}

/// Whether a path belongs to the aufs bookkeeping (`.wh..wh.plnk`, `.wh..wh.aufs`), which is no content.
pub(super) fn is_private(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    parts.any(|part| part.starts_with(b".wh..wh.") && part != OPAQUE)
}

/// What the last name of a path hides, if it is a whiteout. Errors: `corrupt` for one that hides nothing a directory can hold, and for
/// a path that leads through one.
pub(super) fn target<'a>(path: &[u8], name: &'a [u8]) -> Result<Option<Hidden<'a>>> {
    let (parent, _) = split(path);
    if parent.split(|byte| *byte == b'/').any(|part| part.starts_with(PREFIX)) {
        return Err(Error::corrupt(format!(
            "the layer has something below the whiteout in `{}`",
            shown(path)
        )));
    }
    if name == OPAQUE {
        return Ok(Some(Hidden::All));
    }
    match name.strip_prefix(PREFIX) {
        None => Ok(None),
        Some(b"" | b"." | b"..") => Err(Error::corrupt(format!("the whiteout `{}` hides no name", shown(path)))),
        Some(hidden) => Ok(Some(Hidden::Name(hidden))),
    }
}

impl Unpack<'_> {
    /// Puts a whiteout into a directory.
    pub(super) fn whiteout(&mut self, parent: &[u8], hidden: &Hidden<'_>) -> Result<()> {
        let parent = self.parent(parent)?;
        match hidden {
            Hidden::All => self.make_opaque(&parent.path),
            Hidden::Name(name) => self.hide(&parent, name),
        }
    }

    /// Hides a name of the layers below; what this layer itself has under the name stays, whichever came first.
    fn hide(&mut self, parent: &Parent, name: &[u8]) -> Result<()> {
        if self.writers.has(self.writers.key(parent.inode, name)) {
            self.settle()?;
        }
        let path = join(&parent.path, name);
        let what = || format!("hide `{}`", shown(&path));
        match status_at(parent.as_fd(), name) {
            Err(Errno::ENOENT) => {
                mknodat(parent.as_fd(), name, SFlag::S_IFCHR, Mode::empty(), 0).during(what)?;
                let names = self.whiteouts.entry(parent.path.clone()).or_default();
                names.insert(name.to_vec());
                Ok(())
            }
            Ok(status) if kind_of(&status) == SFlag::S_IFDIR => self.make_opaque(&path),
            Ok(_) => Ok(()),
            Err(cause) => Err(refused(cause, "hide", &path)),
        }
    }

    /// Makes a directory hide all of the layers below it.
    pub(super) fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        let what = || format!("make `{}` opaque", shown(path));
        let dir = open_no_links(self.root.as_fd(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY).during(what)?;
        set_xattr(dir.as_fd(), overlay::OPAQUE.to_bytes(), b"y").during(what)?;
        self.any_opaque = true;
        Ok(())
    }

    /// Drops whiteouts in and below opaque directories: they hide nothing more, and the kernel would list their names. Gives the
    /// directories in which there are others.
    pub(super) fn settle_whiteouts(&mut self, ctx: &Context) -> Result<Vec<Vec<u8>>> {
        let mut hiding = Vec::new();
        for (path, names) in std::mem::take(&mut self.whiteouts) {
            ctx.check()?;
            let what = || format!("look at the whiteouts in `{}`", shown(&path));
            let dir = match open_no_links(self.root.as_fd(), &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                // Replaced by something else later in the stream.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                other => other.during(what)?,
            };
            let is_there =
                |name: &&Vec<u8>| status_at(dir.as_fd(), name).is_ok_and(|status| overlay::is_whiteout(&status));
            let mut left = names.iter().filter(is_there).peekable();
            if left.peek().is_some() && !self.is_below_opaque(&path)? {
                hiding.push(path);
                continue;
            }
            for name in left {
                unlinkat(&dir, name.as_slice(), UnlinkatFlags::NoRemoveDir)
                    .during(|| format!("drop the whiteout of `{}`", shown(&join(&path, name))))?;
            }
        }
        Ok(hiding)
    }

    /// Whether a directory is opaque, or in one that is.
    fn is_below_opaque(&self, path: &[u8]) -> Result<bool> {
        let root = self.root.as_fd();
        Ok(self.any_opaque && (is_opaque_at(root, b"")? || opaque_above(root, path)?))
    }
}
