//! Putting one entry into its directory, whatever stood there before.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{linkat, symlinkat};

use super::{Attributes, Unpack, normal, refused, shown, split};
use crate::error::{Context as _, Error, Result};
use crate::images::archive::{Entry, Input, Kind, Reader};
use crate::model::Context;
use crate::sys::file::{self, kind_of, status_at};

impl Unpack<'_> {
    /// Puts an entry at a normal path that is not the root.
    pub(super) fn place<R: Input>(
        &mut self,
        ctx: &Context,
        entry: Entry,
        path: &[u8],
        reader: &mut Reader<'_, R>,
    ) -> Result<()> {
        let (parent, name) = split(path);
        let dir = self.parent(parent)?;
        match entry.kind {
            Kind::Directory => return self.directory(&dir, &entry, path),
            Kind::Hardlink => return self.link(&dir, entry, path),
            // The kernel takes this device for a whiteout, so it is one.
            Kind::Character if entry.device == (0, 0) => {
                return self.whiteout(parent, &super::whiteout::Hidden::Name(name));
            }
            _ => {}
        }
        let made = match self.create(&dir, name, &entry) {
            Err(Errno::EEXIST) => {
                self.clear(&dir, path)?;
                self.create(&dir, name, &entry)
            }
            other => other,
        };
        let made = made.map_err(|cause| refused(cause, "make", path))?;
        match made {
            Some(open) => self.fill(ctx, &File::from(open), &entry, path, reader),
            None => Attributes::of(&entry).set_on_path(dir.as_fd(), path, entry.kind == Kind::Symlink),
        }
    }

    /// Makes what is no directory and no hard link; a regular file is given open.
    fn create(&self, dir: &Rc<OwnedFd>, name: &[u8], entry: &Entry) -> nix::Result<Option<OwnedFd>> {
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let node = |kind: SFlag| {
            let (major, minor) = entry.device;
            mknodat(&**dir, name, kind, private, makedev(u64::from(major), u64::from(minor))).map(|()| None)
        };
        match entry.kind {
            Kind::Symlink => symlinkat(entry.link.as_slice(), &**dir, name).map(|()| None),
            Kind::Character => node(SFlag::S_IFCHR),
            Kind::Block => node(SFlag::S_IFBLK),
            Kind::Fifo => node(SFlag::S_IFIFO),
            Kind::Regular | Kind::Directory | Kind::Hardlink => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                openat(&**dir, name, flags, private).map(Some)
            }
        }
    }

    fn fill<R: Input>(
        &mut self,
        ctx: &Context,
        mut file: &File,
        entry: &Entry,
        path: &[u8],
        reader: &mut Reader<'_, R>,
    ) -> Result<()> {
        match &entry.sparse {
            None => copy(ctx, reader, file, u64::MAX, path)?,
            Some(map) => {
                for segment in map {
                    file.seek(SeekFrom::Start(segment.offset))
                        .during(|| format!("write `{}`", shown(path)))?;
                    copy(ctx, reader, file, segment.length, path)?;
                }
                file.set_len(entry.size).during(|| format!("write `{}`", shown(path)))?;
            }
        }
        Attributes::of(entry).set_on_open(file.as_fd(), path)
    }

    /// A directory over a directory keeps what is in it; over anything else it takes its place.
    fn directory(&mut self, dir: &Rc<OwnedFd>, entry: &Entry, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        let mut was_hidden = false;
        match mkdirat(&**dir, name, Mode::S_IRWXU) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let status = status_at(dir.as_fd(), name).during(|| format!("look at `{}`", shown(path)))?;
                if kind_of(&status) != SFlag::S_IFDIR {
                    was_hidden = self.whiteouts.contains(path);
                    self.clear(dir, path)?;
                    mkdirat(&**dir, name, Mode::S_IRWXU).map_err(|cause| refused(cause, "make", path))?;
                }
            }
            Err(cause) => return Err(refused(cause, "make", path)),
        }
        if was_hidden {
            self.make_opaque(path)?;
        }
        let status = status_at(dir.as_fd(), name).during(|| format!("look at `{}`", shown(path)))?;
        self.implied.remove(path);
        self.directories
            .insert(path.to_vec(), Attributes::of_inode(entry, status.st_ino));
        Ok(())
    }

    /// Removes what stands at `path`.
    fn clear(&mut self, dir: &Rc<OwnedFd>, path: &[u8]) -> Result<()> {
        if self.whiteouts.contains(path) {
            return self.unhide(dir, path);
        }
        let (_, name) = split(path);
        self.parents.forget();
        file::remove_tree_at(dir.as_fd(), OsStr::from_bytes(name)).during(|| format!("replace `{}`", shown(path)))?;
        let below = |known: &[u8]| known == path || (known.starts_with(path) && known.get(path.len()) == Some(&b'/'));
        self.directories.retain(|known, _| !below(known));
        self.implied.retain(|known| !below(known));
        self.whiteouts.retain(|known| !below(known));
        Ok(())
    }

    fn link(&mut self, dir: &Rc<OwnedFd>, entry: Entry, path: &[u8]) -> Result<()> {
        if !self.try_link(dir, &entry, path)? {
            self.links.push((entry, path.to_vec()));
        }
        Ok(())
    }

    /// Makes a hard link; false if its target is not there (yet).
    fn try_link(&mut self, dir: &Rc<OwnedFd>, entry: &Entry, path: &[u8]) -> Result<bool> {
        let target = normal(&entry.link).map_err(|error| error.during(format_args!("link `{}`", shown(path))))?;
        let (target_parent, target_name) = split(&target);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let source = match file::open_in_root(self.root.as_fd(), target_parent, flags) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(false),
            other => other.during(|| {
                format!(
                    "find `{}`, the target of the hard link `{}`",
                    shown(&target),
                    shown(path)
                )
            })?,
        };
        let (_, name) = split(path);
        let wanted = match status_at(source.as_fd(), if target_name.is_empty() { b"." } else { target_name }) {
            Err(Errno::ENOENT) => return Ok(false),
            other => other.during(|| format!("look at `{}`", shown(&target)))?,
        };
        if kind_of(&wanted) == SFlag::S_IFDIR {
            return Err(Error::corrupt(format!(
                "the hard link `{}` leads to the directory `{}`",
                shown(path),
                shown(&target)
            )));
        }
        // A link to a name this layer only hides has no target here.
        if self.whiteouts.contains(&target) {
            return Ok(false);
        }
        if let Ok(present) = status_at(dir.as_fd(), name) {
            if present.st_ino == wanted.st_ino {
                return Ok(true);
            }
            self.clear(dir, path)?;
        }
        linkat(&source, target_name, &**dir, name, AtFlags::empty()).map_err(|cause| refused(cause, "make", path))?;
        Ok(true)
    }

    /// Makes the links whose targets came after them. Errors: `corrupt` for those whose target never came.
    pub(super) fn late_links(&mut self, ctx: &Context) -> Result<()> {
        let mut links = std::mem::take(&mut self.links);
        loop {
            let before = links.len();
            let mut missing = Vec::new();
            for (entry, path) in links {
                ctx.check()?;
                let dir = self.parent(split(&path).0)?;
                if !self.try_link(&dir, &entry, &path)? {
                    missing.push((entry, path));
                }
            }
            let Some((entry, path)) = missing.first() else {
                return Ok(());
            };
            // Links to links: as long as one succeeds, another may.
            if missing.len() == before {
                return Err(Error::corrupt(format!(
                    "the hard link `{}` leads to `{}`, which the layer does not have",
                    shown(path),
                    shown(&entry.link)
                )));
            }
            links = missing;
        }
    }
}

/// Copies up to `length` stored bytes from the stream.
fn copy<R: Input>(ctx: &Context, reader: &mut Reader<'_, R>, mut file: &File, length: u64, path: &[u8]) -> Result<()> {
    let mut left = length;
    loop {
        let chunk = reader.chunk()?;
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        if step == 0 {
            return Ok(());
        }
        file.write_all(&chunk[..step])
            .during(|| format!("write `{}`", shown(path)))?;
        reader.advance(step);
        left -= step as u64;
        ctx.check()?;
    }
}
