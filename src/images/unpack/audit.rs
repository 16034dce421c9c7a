//! Whether a tree is what a stream says, found by reading both and writing nothing.
//!
//! Layers may say one thing in many ways: twice, through links, by a whiteout and a file of one name. Where a stream does, or where
//! the tree differs, the answer is "not sure", and unpacking the stream once more tells. So a yes can be relied on, and the rules of
//! unpacking are written down in one place.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat, major, minor};

use super::whiteout::{self, Hidden};
use super::{normal, split};
use crate::error::{Context as _, Result};
use crate::images::archive::{Entry, Input, Kind, Reader};
use crate::images::content::{Record, hiding_paths, implied_paths};
use crate::images::{overlay, tree};
use crate::model::Context;
use crate::sys::file::{self, kind_of, open_no_links, status_at};

/// Whether the tree at `root` and its record are surely what the stream says.
pub(crate) fn agrees<R: Input>(
    ctx: &Context,
    reader: &mut Reader<'_, R>,
    root: BorrowedFd<'_>,
    record: &Record,
) -> Result<bool> {
    let mut audit = Audit {
        root,
        top: Entry::new(Vec::new(), Kind::Directory, 0o755),
        seen: BTreeSet::new(),
        opaque: BTreeSet::new(),
        size: 0,
    };
    while let Some(entry) = reader.next(ctx)? {
        if !audit.entry(ctx, entry, reader)? {
            return Ok(false);
        }
    }
    Ok(audit.size == record.size && audit.top()? && audit.rest(ctx, record)?)
}

struct Audit<'a> {
    root: BorrowedFd<'a>,
    /// What the stream says of the root directory.
    top: Entry,
    /// The paths the stream named, each of which was found.
    seen: BTreeSet<Vec<u8>>,
    opaque: BTreeSet<Vec<u8>>,
    size: u64,
}

impl Audit<'_> {
    fn entry<R: Input>(&mut self, ctx: &Context, entry: Entry, reader: &mut Reader<'_, R>) -> Result<bool> {
        let path = normal(&entry.path)?;
        if path.is_empty() {
            self.top = entry;
            return Ok(self.top.kind == Kind::Directory);
        }
        if whiteout::is_private(&path) {
            return Ok(true);
        }
        let (parent, name) = split(&path);
        match whiteout::target(&path, name)? {
            Some(Hidden::All) => {
                self.opaque.insert(parent.to_vec());
                return Ok(true);
            }
            Some(Hidden::Name(name)) => return self.whiteout(tree::join(parent, name)),
            None if entry.kind == Kind::Character && entry.device == (0, 0) => return self.whiteout(path),
            None => {}
        }
        self.size = self.size.saturating_add(entry.size);
        let found = self.status(&path)?;
        let same = match &found {
            Some(status) => self.is(&path, &entry, status)?,
            None => false,
        };
        let same = same && (entry.kind != Kind::Regular || self.holds(ctx, &path, &entry, reader)?);
        Ok(self.seen.insert(path) && same)
    }

    fn whiteout(&mut self, path: Vec<u8>) -> Result<bool> {
        let status = self.status(&path)?;
        Ok(status.is_some_and(|status| overlay::is_whiteout(&status)) && self.seen.insert(path))
    }

    /// What is at a path that leads through no link.
    fn status(&self, path: &[u8]) -> Result<Option<FileStat>> {
        let (parent, name) = split(path);
        let dir = open_no_links(self.root, parent, OFlag::O_PATH | OFlag::O_DIRECTORY);
        let status = dir.and_then(|dir| overlay::mark_or(dir.as_fd(), name, status_at(dir.as_fd(), name)?));
        match status {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            other => other.map(Some).during(|| format!("look at `{}`", path.escape_ascii())),
        }
    }

    /// Whether what is at a path is what an entry says, but for the content of files.
    fn is(&self, path: &[u8], entry: &Entry, status: &FileStat) -> Result<bool> {
        if entry.kind == Kind::Hardlink {
            let target = self.status(&normal(&entry.link)?)?;
            let is_it = |target: FileStat| (target.st_dev, target.st_ino) == (status.st_dev, status.st_ino);
            return Ok(kind_of(status) != SFlag::S_IFDIR && target.is_some_and(is_it));
        }
        if kind_of(status) != kind(entry) || !has_attributes(entry, status) {
            return Ok(false);
        }
        if entry.kind == Kind::Symlink && tree::link_target(self.root, path)? != entry.link {
            return Ok(false);
        }
        let node =
            open_no_links(self.root, path, OFlag::O_PATH).during(|| format!("open `{}`", path.escape_ascii()))?;
        has_xattrs(entry, node.as_fd())
    }

    /// Whether a regular file holds the bytes that come now. Of sparse ones that is not known.
    fn holds<R: Input>(&self, ctx: &Context, path: &[u8], entry: &Entry, reader: &mut Reader<'_, R>) -> Result<bool> {
        if entry.sparse.is_some() {
            return Ok(false);
        }
        let what = || format!("read `{}`", path.escape_ascii());
        let mut file = File::from(open_no_links(self.root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK).during(what)?);
        let mut buffer = vec![0; 1 << 16];
        loop {
            ctx.check()?;
            let chunk = reader.chunk()?;
            let step = chunk.len().min(buffer.len());
            if step == 0 {
                return Ok(true);
            }
            match file.read_exact(&mut buffer[..step]) {
                Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                other => other.during(what)?,
            }
            if buffer[..step] != chunk[..step] {
                return Ok(false);
            }
            reader.advance(step);
        }
    }

    fn top(&self) -> Result<bool> {
        let status = fstat(self.root).during(|| "look at the layer's root")?;
        Ok(has_attributes(&self.top, &status) && has_xattrs(&self.top, self.root)?)
    }

    /// Whether there is nothing but what was named, the directories that implies, and the marks of opaque ones.
    fn rest(&self, ctx: &Context, record: &Record) -> Result<bool> {
        let mut implied: BTreeSet<Vec<u8>> = implied_paths(record).into_iter().collect();
        let plain = Entry::new(Vec::new(), Kind::Directory, 0o755);
        let mut hiding = BTreeSet::new();
        let mut same = overlay::is_opaque(self.root)? == self.opaque.contains(&Vec::new());
        tree::walk(ctx, self.root, &mut |node| {
            let known = self.seen.contains(&node.path);
            if overlay::is_whiteout(&node.status) {
                hiding.insert(split(&node.path).0.to_vec());
            }
            same &= known || (implied.remove(&node.path) && node.is_dir() && has_attributes(&plain, &node.status));
            if same && node.is_dir() {
                same = tree::is_opaque_at(self.root, &node.path)? == self.opaque.contains(&node.path);
            }
            Ok(same)
        })?;
        Ok(same && implied.is_empty() && hiding == hiding_paths(record))
    }
}

fn kind(entry: &Entry) -> SFlag {
    match entry.kind {
        Kind::Regular | Kind::Hardlink => SFlag::S_IFREG,
        Kind::Symlink => SFlag::S_IFLNK,
        Kind::Character => SFlag::S_IFCHR,
        Kind::Block => SFlag::S_IFBLK,
        Kind::Directory => SFlag::S_IFDIR,
        Kind::Fifo => SFlag::S_IFIFO,
    }
}

/// Owner, mode, time, and what else the kind has: size, device.
fn has_attributes(entry: &Entry, status: &FileStat) -> bool {
    let is_device = matches!(entry.kind, Kind::Character | Kind::Block);
    let device = (u64::from(entry.device.0), u64::from(entry.device.1));
    let time = (entry.mtime.seconds, i64::from(entry.mtime.nanos));
    (status.st_uid, status.st_gid) == (entry.uid, entry.gid)
        && (entry.kind == Kind::Symlink || status.st_mode & 0o7777 == entry.mode & 0o7777)
        && (status.st_mtime, status.st_mtime_nsec) == time
        && (entry.kind != Kind::Regular || u64::try_from(status.st_size) == Ok(entry.size))
        && (!is_device || (major(status.st_rdev), minor(status.st_rdev)) == device)
}

fn has_xattrs(entry: &Entry, node: BorrowedFd<'_>) -> Result<bool> {
    if entry.xattrs.is_empty() && file::xattr_names(node).is_ok_and(|names| names.is_empty()) {
        return Ok(true);
    }
    let travels = |(name, _): &&(Vec<u8>, Vec<u8>)| overlay::may_travel(name);
    let mut wanted: Vec<_> = entry.xattrs.iter().filter(travels).cloned().collect();
    wanted.sort();
    Ok(tree::xattrs(node)? == wanted)
}
