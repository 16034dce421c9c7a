//! Whiteouts: `.wh.` names become the overlay file system's own marks (OCI image-spec, layer.md, "Whiteouts").

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Unpack, shown, split};
use crate::error::{Context as _, Error, Result};
use crate::images::overlay;
use crate::sys::file::{kind_of, open_in_root, set_xattr, status_at};

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
        match hidden {
            Hidden::All => {
                self.parent(parent)?;
                self.make_opaque(parent)
            }
            Hidden::Name(name) => {
                let path = if parent.is_empty() {
                    name.to_vec()
                } else {
                    [parent, b"/", name].concat()
                };
                self.hide(parent, name, path)
            }
        }
    }

    /// Hides a name of the layers below; what this layer itself has under the name stays, whichever came first.
    fn hide(&mut self, parent: &[u8], name: &[u8], path: Vec<u8>) -> Result<()> {
        let dir = self.parent(parent)?;
        if self.writers.has(self.writers.key(dir.inode, name)) {
            self.settle()?;
        }
        let what = || format!("hide `{}`", shown(&path));
        match status_at(dir.as_fd(), name) {
            Err(Errno::ENOENT) => {
                mknodat(dir.as_fd(), name, SFlag::S_IFCHR, Mode::empty(), 0).during(what)?;
                self.whiteouts.insert(path);
                Ok(())
            }
            Ok(status) if kind_of(&status) == SFlag::S_IFDIR => self.make_opaque(&path),
            Ok(_) => Ok(()),
            Err(cause) => Err(cause).during(what),
        }
    }

    /// Makes a directory hide all of the layers below it.
    pub(super) fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        let what = || format!("make `{}` opaque", shown(path));
        let dir = open_in_root(self.root.as_fd(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY).during(what)?;
        set_xattr(dir.as_fd(), overlay::OPAQUE.to_bytes(), b"y").during(what)?;
        self.any_opaque = true;
        Ok(())
    }

    /// Takes a whiteout away because the layer itself has something under its name.
    pub(super) fn unhide(&mut self, dir: impl AsFd, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
            .during(|| format!("replace the whiteout of `{}`", shown(path)))?;
        self.whiteouts.remove(path);
        Ok(())
    }

    /// Drops whiteouts in opaque directories: they hide nothing more, and the kernel would list their names.
    pub(super) fn drop_hidden_whiteouts(&mut self) -> Result<()> {
        if !self.any_opaque {
            return Ok(());
        }
        for path in std::mem::take(&mut self.whiteouts) {
            let (parent, name) = split(&path);
            let dir = match open_in_root(self.root.as_fd(), parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                // The directory was replaced later in the stream, and the whiteout went with it.
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                other => other.during(|| format!("open `{}` of the layer", shown(parent)))?,
            };
            let is_whiteout = status_at(dir.as_fd(), name).is_ok_and(|status| overlay::is_whiteout(&status));
            if is_whiteout && overlay::is_opaque(dir.as_fd())? {
                unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)
                    .during(|| format!("drop the whiteout of `{}`", shown(&path)))?;
            }
        }
        Ok(())
    }
}
