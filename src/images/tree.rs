//! Directory trees as lists of nodes: walked in order, looked up through the layers of an overlay, merged into one view.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag};

use super::content::open_dir;
use super::overlay;
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::Context;
use crate::sys::file::{self, kind_of, open_no_links, status_at};

/// As many links as the kernel follows in one path (path_resolution(7)).
pub(crate) const LINKS: usize = 40;

/// Something in a tree: its path relative to the root, and its status.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) path: Vec<u8>,
    pub(crate) status: FileStat,
}

impl Node {
    pub(crate) fn kind(&self) -> SFlag {
        kind_of(&self.status)
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == SFlag::S_IFDIR
    }

    /// Bytes of a regular file, else 0.
    pub(crate) fn size(&self) -> u64 {
        if self.kind() == SFlag::S_IFREG {
            u64::try_from(self.status.st_size).unwrap_or(0)
        } else {
            0
        }
    }
}

/// Visits all below `root` but not the root itself, parents before children and siblings in order of their bytes; a subtree is passed
/// over where the visit of its directory gives false. What vanishes meanwhile is left out.
pub(crate) fn walk(ctx: &Context, root: BorrowedFd<'_>, visit: &mut dyn FnMut(&Node) -> Result<bool>) -> Result<()> {
    // Names waiting in reverse order: one open directory however deep the tree is.
    let mut waiting = Vec::new();
    list(root, b"", &mut waiting)?;
    let mut parent = OpenParent::default();
    while let Some(path) = waiting.pop() {
        ctx.check()?;
        let status = match parent.status(root, &path) {
            Err(Errno::ENOENT) => continue,
            other => other.during(|| format!("look at `{}`", path.escape_ascii()))?,
        };
        let node = Node { path, status };
        if visit(&node)? && node.is_dir() {
            list(root, &node.path, &mut waiting)?;
        }
    }
    Ok(())
}

/// The same of a directory of an overlay: a whiteout is a device whatever form it has.
pub(crate) fn walk_marked(
    ctx: &Context,
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Node) -> Result<bool>,
) -> Result<()> {
    walk(ctx, root, &mut |node| {
        let path = node.path.clone();
        match overlay::mark_or(root, &path, node.status) {
            Err(Errno::ENOENT) => Ok(true),
            other => {
                let status = other.during(|| format!("look at `{}`", path.escape_ascii()))?;
                visit(&Node { path, status })
            }
        }
    })
}

/// The directory that was looked into last, for siblings mostly follow each other.
#[derive(Default)]
struct OpenParent(Option<(Vec<u8>, OwnedFd)>);

impl OpenParent {
    fn status(&mut self, root: BorrowedFd<'_>, path: &[u8]) -> nix::Result<FileStat> {
        let (parent, name) = split(path);
        if self.0.as_ref().is_none_or(|(open, _)| open != parent) {
            let dir = open_no_links(root, parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
            self.0 = Some((parent.to_vec(), dir));
        }
        let (_, dir) = self.0.as_ref().expect("opened above");
        status_at(dir.as_fd(), name)
    }
}

fn list(root: BorrowedFd<'_>, path: &[u8], waiting: &mut Vec<Vec<u8>>) -> Result<()> {
    let what = || format!("list `{}`", path.escape_ascii());
    let dir = match open_no_links(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        other => other.during(what)?,
    };
    let names = file::names(dir.as_fd()).during(what)?;
    waiting.extend(names.iter().rev().map(|name| join(path, name.to_bytes())));
    Ok(())
}

/// A path and a name below it.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}

/// Parent and last name of a path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// A path from the root, as people see it.
pub(crate) fn absolute(path: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(path))
}

/// The target of a symbolic link below `root`.
pub(crate) fn link_target(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<u8>> {
    let (parent, name) = split(path);
    let dir = open_no_links(root, parent, OFlag::O_PATH | OFlag::O_DIRECTORY);
    let target = dir
        .and_then(|dir| readlinkat(dir, name))
        .during(|| format!("read the link `{}`", path.escape_ascii()))?;
    Ok(target.as_bytes().to_vec())
}

/// The extended attributes of a file or directory that a layer may carry, in order.
pub(crate) fn xattrs(fd: BorrowedFd<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = file::xattr_names(fd).during(|| "list extended attributes")?;
    let mut all = Vec::new();
    for name in names.into_iter().filter(|name| overlay::may_travel(name.to_bytes())) {
        if let Some(value) = file::xattr(fd, &name).during(|| "read an extended attribute")? {
            all.push((name.into_bytes(), value));
        }
    }
    Ok(all)
}

/// The directories of an overlay, topmost first, as one tree.
pub(crate) struct Layers {
    dirs: Vec<PathBuf>,
    /// Those that are open, of which there are few however many layers there are.
    open: RefCell<HashMap<usize, Rc<OwnedFd>>>,
}

/// Layers kept open.
const OPEN: usize = 64;

/// What one layer says of a path.
pub(crate) enum Answer {
    /// It has it.
    Here(FileStat),
    /// It hides it from those below.
    Hidden,
    /// That the layers below know.
    Below,
}

impl Layers {
    /// Errors: `not_found` for one that is not there.
    pub(crate) fn open(dirs: &[PathBuf]) -> Result<Layers> {
        let mut open = HashMap::new();
        for (place, dir) in dirs.iter().enumerate() {
            let dir = open_dir(dir)?;
            if place < OPEN {
                open.insert(place, Rc::new(dir));
            }
        }
        let (dirs, open) = (dirs.to_vec(), RefCell::new(open));
        Ok(Layers { dirs, open })
    }

    /// A single directory, which stays open, as an overlay of its own.
    pub(crate) fn reopen(dir: BorrowedFd<'_>) -> Result<Layers> {
        let dir = dir.try_clone_to_owned().during(|| "open a directory again")?;
        Ok(Layers {
            dirs: vec![PathBuf::new()],
            open: RefCell::new(HashMap::from([(0, Rc::new(dir))])),
        })
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.dirs.len()
    }

    /// A layer's directory, by its place from the top.
    pub(crate) fn root(&self, layer: usize) -> Result<Rc<OwnedFd>> {
        let mut open = self.open.borrow_mut();
        if let Some(dir) = open.get(&layer) {
            return Ok(Rc::clone(dir));
        }
        let dir = Rc::new(open_dir(&self.dirs[layer])?);
        if open.len() >= OPEN {
            open.clear();
        }
        open.insert(layer, Rc::clone(&dir));
        Ok(dir)
    }

    /// What a layer alone says of a path.
    pub(crate) fn ask(&self, layer: usize, path: &[u8]) -> Result<Answer> {
        ask(self.root(layer)?.as_fd(), path)
    }

    /// What a path is in the merged tree, and in which layer it lies; `None` if it is not there.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<(usize, Node)>> {
        self.find_from(0, path)
    }

    /// The same to the layer at `place`, which sees none above it.
    fn find_from(&self, place: usize, path: &[u8]) -> Result<Option<(usize, Node)>> {
        self.find_some(place, path, 1).map(|mut found| found.pop())
    }

    /// A path as the layer at `place` and those below show it, with the links in its parents followed as by a process whose root this
    /// is; its last part need not be there, and is not followed. `None` if a parent is no directory.
    pub(crate) fn real(&self, place: usize, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let parts = |path: &[u8]| {
            path.split(|byte| *byte == b'/')
                .rev()
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        };
        let (parent, name) = split(path);
        let (mut waiting, mut real, mut links) = (parts(parent), Vec::new(), 0);
        while let Some(part) = waiting.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    real.truncate(split(&real).0.len());
                    continue;
                }
                _ => {}
            }
            let next = join(&real, &part);
            match self.find_from(place, &next)? {
                Some((_, node)) if node.is_dir() => real = next,
                Some((layer, node)) if node.kind() == SFlag::S_IFLNK && links < LINKS => {
                    links += 1;
                    let target = link_target(self.root(layer)?.as_fd(), &next)?;
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    waiting.extend(parts(&target));
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(join(&real, name)))
    }

    /// What every layer has at a path, topmost first, down to one that hides it from those below.
    pub(crate) fn find_all(&self, path: &[u8]) -> Result<Vec<(usize, Node)>> {
        self.find_some(0, path, usize::MAX)
    }

    fn find_some(&self, first: usize, path: &[u8], count: usize) -> Result<Vec<(usize, Node)>> {
        let mut found = Vec::new();
        for place in first..self.dirs.len() {
            match self.ask(place, path)? {
                Answer::Here(status) => found.push((
                    place,
                    Node {
                        path: path.to_vec(),
                        status,
                    },
                )),
                Answer::Hidden => break,
                Answer::Below => {}
            }
            if found.len() >= count {
                break;
            }
        }
        Ok(found)
    }
}

/// Removes what lies below a path from paths in order.
pub(crate) fn remove_below<T>(all: &mut BTreeMap<Vec<u8>, T>, path: &[u8]) {
    let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
    let below: Vec<Vec<u8>> = all.range(first..end).map(|(path, _)| path.clone()).collect();
    for path in below {
        all.remove(&path);
    }
}

/// Whether the directory at a path hides what layers below have there.
pub(crate) fn is_opaque_at(root: BorrowedFd<'_>, path: &[u8]) -> Result<bool> {
    let dir = open_no_links(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
    match dir {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
        other => overlay::is_opaque(other.during(|| format!("open `{}`", path.escape_ascii()))?.as_fd()),
    }
}

/// What a layer alone says of a path.
fn ask(root: BorrowedFd<'_>, path: &[u8]) -> Result<Answer> {
    let parts: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    let mut so_far = Vec::new();
    let look = |error: Errno, path: &[u8]| Err(error).during(|| format!("look at `{}`", path.escape_ascii()));
    for (at, part) in parts.iter().enumerate() {
        let dir = match open_no_links(root, &so_far, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(dir) => dir,
            Err(error) => return look(error, &so_far),
        };
        let status = status_at(dir.as_fd(), part).and_then(|status| overlay::mark_or(dir.as_fd(), part, status));
        let status = match status {
            Ok(status) => status,
            // Nothing has a name longer than names can be.
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => {
                // This directory or one further up may hide all below it.
                return if opaque_above(root, &so_far)? {
                    Ok(Answer::Hidden)
                } else {
                    Ok(Answer::Below)
                };
            }
            Err(error) => return look(error, path),
        };
        so_far = join(&so_far, part);
        let last = at + 1 == parts.len();
        match kind_of(&status) {
            _ if overlay::is_whiteout(&status) => return Ok(Answer::Hidden),
            _ if last => return Ok(Answer::Here(status)),
            SFlag::S_IFDIR => {}
            _ => return Ok(Answer::Hidden),
        }
    }
    match nix::sys::stat::fstat(root) {
        Ok(status) => Ok(Answer::Here(status)),
        Err(error) => look(error, path),
    }
}

/// Whether a directory below the root is opaque, or in one that is.
pub(crate) fn opaque_above(root: BorrowedFd<'_>, path: &[u8]) -> Result<bool> {
    let mut path = path;
    while !path.is_empty() {
        if is_opaque_at(root, path)? {
            return Ok(true);
        }
        path = split(path).0;
    }
    Ok(false)
}

/// Whether two nodes of the same path are alike in all a layer carries: type, owner, mode, size, device, and for files the content.
pub(crate) fn same(ctx: &Context, a: (BorrowedFd<'_>, &Node), b: (BorrowedFd<'_>, &Node)) -> Result<bool> {
    let facts = |node: &Node| {
        let status = &node.status;
        (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            node.size(),
            if node.is_dir() { 0 } else { status.st_rdev },
        )
    };
    if facts(a.1) != facts(b.1) {
        return Ok(false);
    }
    match a.1.kind() {
        SFlag::S_IFLNK => Ok(link_target(a.0, &a.1.path)? == link_target(b.0, &b.1.path)?),
        SFlag::S_IFREG | SFlag::S_IFDIR => same_open(ctx, a, b),
        _ => Ok(true),
    }
}

fn same_open(ctx: &Context, a: (BorrowedFd<'_>, &Node), b: (BorrowedFd<'_>, &Node)) -> Result<bool> {
    let open = |(root, node): (BorrowedFd<'_>, &Node)| {
        let opened = open_no_links(root, &node.path, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        opened.during(|| format!("open `{}`", node.path.escape_ascii()))
    };
    let (first, second) = (open(a)?, open(b)?);
    if xattrs(first.as_fd())? != xattrs(second.as_fd())? {
        return Ok(false);
    }
    if a.1.is_dir() || (a.1.status.st_dev, a.1.status.st_ino) == (b.1.status.st_dev, b.1.status.st_ino) {
        return Ok(true);
    }
    same_bytes(ctx, first.into(), second.into())
}

fn same_bytes(ctx: &Context, mut a: std::fs::File, mut b: std::fs::File) -> Result<bool> {
    use std::io::Read as _;
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        ctx.check()?;
        let length = a.read(&mut left).during(|| "compare files")?;
        let fits = match b.read_exact(&mut right[..length]) {
            Err(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => false,
            other => other
                .during(|| "compare files")
                .map(|()| left[..length] == right[..length])?,
        };
        if length == 0 || !fits {
            return Ok(fits);
        }
    }
}

/// The error for a tree that changed so that it cannot be told truthfully.
pub(crate) fn changed(path: &[u8]) -> Error {
    Error::new(
        Kind::Conflict,
        format!("`{}` changed while it was read", path.escape_ascii()),
    )
    .hint("pause or stop the container first")
}
