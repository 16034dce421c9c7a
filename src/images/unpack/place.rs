//! Putting one entry into its directory, whatever stood there before.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{linkat, symlinkat};

use super::parents::Parent;
use super::writers::{self, SMALL, SmallFile};
use super::{Attributes, Unpack, normal, refused, shown, split};
use crate::error::{Context as _, Error, Result};
use crate::images::archive::{Entry, Input, Kind, Reader};
use crate::images::links::DEEPEST;
use crate::images::overlay;
use crate::images::tree::{join, remove_below};
use crate::model::Context;
use crate::sys::file::{self, kind_of, status_at};

/// Bytes of the longest name a file system of Linux takes (limits.h).
const NAME_MAX: usize = 255;

impl Unpack<'_> {
    /// Puts an entry at a normal path that is not the root.
    pub(super) fn place<R: Input>(
        &mut self,
        ctx: &Context,
        entry: Entry,
        path: &[u8],
        reader: &mut Reader<'_, R>,
    ) -> Result<()> {
        let (above, name) = split(path);
        let dir = self.parent(above)?;
        let path = &join(&dir.path, name);
        let key = self.writers.key(dir.inode, name);
        if entry.kind == Kind::Regular && entry.sparse.is_none() && entry.size <= SMALL && !self.places.contains(&key) {
            return self.hand_on(key, dir, &entry, path, reader);
        }
        if self.writers.has(key) {
            self.settle()?;
        }
        match entry.kind {
            Kind::Directory => return self.directory(&dir, &entry, path),
            Kind::Hardlink => return self.link(&dir, entry, path),
            // The kernel takes this device for a whiteout, so it is one.
            Kind::Character if entry.device == (0, 0) => {
                return self.whiteout(above, &super::whiteout::Hidden::Name(name));
            }
            _ => {}
        }
        let made = match self.create(&dir, name, &entry) {
            Err(Errno::EEXIST) => {
                self.clear(dir.as_fd(), path)?;
                self.create(&dir, name, &entry)
            }
            other => other,
        };
        let made = made.map_err(|cause| refused(cause, "make", path))?;
        if entry.kind == Kind::Symlink {
            self.note_place(dir.inode, name);
        }
        match made {
            Some(open) => self.fill(ctx, &File::from(open), &entry, path, reader),
            None => Attributes::of(&entry).set_on_path(dir.as_fd(), path, entry.kind == Kind::Symlink),
        }
    }

    /// Leaves a small file to the writers.
    fn hand_on<R: Input>(
        &mut self,
        key: u64,
        parent: Arc<Parent>,
        entry: &Entry,
        path: &[u8],
        reader: &mut Reader<'_, R>,
    ) -> Result<()> {
        if self.writers.has(key) || self.writers.are_busy() {
            self.settle()?;
        }
        let file = SmallFile {
            parent,
            path: path.to_vec(),
            attributes: Attributes::of(entry),
            data: whole(reader)?,
        };
        self.writers.add(key, file)
    }

    /// Waits for the files under way. Where the name of one was taken, by what is neither a directory nor a link, it takes its place.
    pub(super) fn settle(&mut self) -> Result<()> {
        for file in self.writers.wait()? {
            self.clear(file.parent.as_fd(), &file.path)?;
            if !writers::write(&file, self.writers.birth())? {
                return Err(Error::internal(format!("`{}` came back", shown(&file.path))));
            }
        }
        Ok(())
    }

    /// Notes a name under which there is a directory or a link: what it leads to matters for the paths through it.
    pub(super) fn note_place(&mut self, parent: u64, name: &[u8]) {
        let key = self.writers.key(parent, name);
        self.places.insert(key);
    }

    /// Makes what is no directory and no hard link; a regular file is given open.
    fn create(&self, dir: &Arc<Parent>, name: &[u8], entry: &Entry) -> nix::Result<Option<OwnedFd>> {
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let node = |kind: SFlag| {
            let (major, minor) = entry.device;
            mknodat(
                dir.as_fd(),
                name,
                kind,
                private,
                makedev(u64::from(major), u64::from(minor)),
            )
            .map(|()| None)
        };
        match entry.kind {
            Kind::Symlink => symlinkat(entry.link.as_slice(), dir.as_fd(), name).map(|()| None),
            Kind::Character => node(SFlag::S_IFCHR),
            Kind::Block => node(SFlag::S_IFBLK),
            Kind::Fifo => node(SFlag::S_IFIFO),
            Kind::Regular | Kind::Directory | Kind::Hardlink => Attributes::of(entry)
                .create(dir.as_fd(), name, self.writers.birth())
                .map(Some),
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
        Attributes::of(entry).set_on_new(file.as_fd(), path, self.writers.birth())
    }

    /// A directory over a directory keeps what is in it; over anything else it takes its place.
    fn directory(&mut self, dir: &Arc<Parent>, entry: &Entry, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        let mut was_hidden = false;
        match mkdirat(dir.as_fd(), name, Mode::S_IRWXU) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                let status = status_at(dir.as_fd(), name).during(|| format!("look at `{}`", shown(path)))?;
                if kind_of(&status) != SFlag::S_IFDIR {
                    was_hidden = overlay::is_whiteout(&status);
                    self.clear(dir.as_fd(), path)?;
                    mkdirat(dir.as_fd(), name, Mode::S_IRWXU).map_err(|cause| refused(cause, "make", path))?;
                }
            }
            Err(cause) => return Err(refused(cause, "make", path)),
        }
        if was_hidden {
            self.make_opaque(path)?;
        }
        let status = status_at(dir.as_fd(), name).during(|| format!("look at `{}`", shown(path)))?;
        self.note_place(dir.inode, name);
        self.implied.remove(path);
        self.directories
            .insert(path.to_vec(), Attributes::of(entry).only_for(status.st_ino));
        Ok(())
    }

    /// Removes what stands at `path`.
    pub(super) fn clear(&mut self, dir: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        // Files may be under way to what goes.
        self.settle()?;
        let (_, name) = split(path);
        self.parents.forget();
        file::remove_tree_at(dir, OsStr::from_bytes(name)).during(|| format!("replace `{}`", shown(path)))?;
        self.forget(path);
        Ok(())
    }

    /// Forgets what was noted of a path and of all below it.
    fn forget(&mut self, path: &[u8]) {
        self.directories.remove(path);
        remove_below(&mut self.directories, path);
        self.links.remove(path);
        remove_below(&mut self.links, path);
        self.implied.remove(path);
        let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
        let below: Vec<_> = self.implied.range(first..end).cloned().collect();
        for path in below {
            self.implied.remove(&path);
        }
    }

    fn link(&mut self, dir: &Arc<Parent>, entry: Entry, path: &[u8]) -> Result<()> {
        if !self.try_link(dir, &entry, path)? {
            // A layer below may have the target, and then it is too late to find that the name is none.
            if split(path).1.len() > NAME_MAX {
                return Err(refused(Errno::ENAMETOOLONG, "make", path));
            }
            // What is there by then came later, and stays.
            if has(dir, split(path).1) {
                self.clear(dir.as_fd(), path)?;
            }
            self.links.insert(path.to_vec(), entry);
        }
        Ok(())
    }

    /// Makes a hard link; false if its target is not there (yet).
    fn try_link(&mut self, dir: &Arc<Parent>, entry: &Entry, path: &[u8]) -> Result<bool> {
        self.settle()?;
        let target = normal(&entry.link).map_err(|error| error.during(format_args!("link `{}`", shown(path))))?;
        let (target_parent, target_name) = split(&target);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let source = match file::open_in_root(self.root.as_fd(), target_parent, flags) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => return Ok(false),
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
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => return Ok(false),
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
        if overlay::is_whiteout(&wanted) {
            return Ok(false);
        }
        if let Ok(present) = status_at(dir.as_fd(), name) {
            if present.st_ino == wanted.st_ino {
                return Ok(true);
            }
            self.clear(dir.as_fd(), path)?;
        }
        linkat(&source, target_name, dir.as_fd(), name, AtFlags::empty())
            .map_err(|cause| refused(cause, "make", path))?;
        self.note_place(dir.inode, name);
        Ok(true)
    }

    /// Makes the links whose targets came after them; those whose target never came are kept for where the layers meet.
    pub(super) fn late_links(&mut self, ctx: &Context) -> Result<()> {
        // Links to links: as long as one succeeds, another may.
        for _ in 0..=DEEPEST {
            let before = self.links.len();
            self.links = self.some_late_links(ctx)?;
            if self.links.is_empty() || self.links.len() == before {
                return Ok(());
            }
        }
        Err(Error::corrupt(format!(
            "hard links of the layer lead to each other through more than {DEEPEST} others"
        )))
    }

    /// Makes those whose targets are there by now, and gives the others.
    fn some_late_links(&mut self, ctx: &Context) -> Result<BTreeMap<Vec<u8>, Entry>> {
        let mut missing = BTreeMap::new();
        for (path, entry) in std::mem::take(&mut self.links) {
            ctx.check()?;
            let (above, name) = split(&path);
            let dir = self.parent(above)?;
            if !has(&dir, name) && !self.try_link(&dir, &entry, &path)? {
                missing.insert(path, entry);
            }
        }
        Ok(missing)
    }
}

/// Whether the layer itself has something of this name in a directory.
fn has(dir: &Parent, name: &[u8]) -> bool {
    status_at(dir.as_fd(), name).is_ok_and(|status| !overlay::is_whiteout(&status))
}

/// What is left of an entry's stored bytes.
fn whole<R: Input>(reader: &mut Reader<'_, R>) -> Result<Vec<u8>> {
    let mut data = Vec::with_capacity(usize::try_from(reader.remaining()).unwrap_or(0));
    loop {
        let chunk = reader.chunk()?;
        let length = chunk.len();
        if length == 0 {
            return Ok(data);
        }
        data.extend_from_slice(chunk);
        reader.advance(length);
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
