//! From a directory tree to a tar stream: the same tree gives the same bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, major, minor};

use super::archive::{Entry, Kind, Mtime, Writer};
use super::output::Output;
use super::tree::{self, Node};
use crate::error::{Context as _, Result};
use crate::model::Context;
use crate::sys::file::open_no_links;

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries, directories included.
    pub entries: u64,
    /// Bytes of file contents.
    pub bytes: u64,
    /// Sockets, which a tar cannot hold, as absolute paths.
    pub skipped: Vec<PathBuf>,
}

/// Writes a directory tree as a tarball to `dest`, which appears whole or not at all: extended attributes as pax records, owners as
/// numbers, times in whole seconds, names in order. A file there is replaced; `-` is standard output. Gives its bytes.
///
/// The tree is walked by descriptor from `root`, following no link. Sockets are left out. The caller sees that no foreign file system
/// is mounted within.
pub fn export(ctx: &Context, root: BorrowedFd<'_>, dest: &Path) -> Result<u64> {
    let root = open_no_links(root, b"", OFlag::O_RDONLY | OFlag::O_DIRECTORY).during(|| "open the tree")?;
    let output = Output::open(dest)?;
    let (size, _) = output.fill(ctx, None, |mut inlet| {
        write_tree(ctx, root.as_fd(), &mut inlet)?;
        inlet.end().during(|| "write the archive")
    })?;
    Ok(size)
}

fn write_tree(ctx: &Context, root: BorrowedFd<'_>, out: &mut dyn Write) -> Result<Stats> {
    let mut packer = Packer::new(out);
    packer.root(root)?;
    tree::walk(ctx, root, &mut |node| packer.node(ctx, root, node).map(|()| true))?;
    packer.finish()
}

/// A tar stream made of nodes.
pub(crate) struct Packer<W: Write> {
    writer: Writer<W>,
    /// Files with several names, by device and inode, and the name that came first.
    links: HashMap<(u64, u64), Vec<u8>>,
    stats: Stats,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(out: W) -> Packer<W> {
        Packer {
            writer: Writer::new(out),
            links: HashMap::new(),
            stats: Stats::default(),
            buffer: vec![0; 1 << 17],
        }
    }

    /// Writes an entry that has no data.
    pub(crate) fn bare(&mut self, entry: &Entry) -> Result<()> {
        self.stats.entries += 1;
        self.writer.entry(entry)
    }

    /// Writes the root directory as `./`.
    pub(crate) fn root(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        let status = nix::sys::stat::fstat(root).during(|| "look at the tree's root")?;
        let mut entry = entry_of(
            &Node {
                path: b".".to_vec(),
                status,
            },
            Kind::Directory,
        );
        entry.xattrs = tree::xattrs(root)?;
        self.bare(&entry)
    }

    /// Writes what a path is, below the root it was found in.
    pub(crate) fn node(&mut self, ctx: &Context, root: BorrowedFd<'_>, node: &Node) -> Result<()> {
        let Some(kind) = kind_of(node) else {
            self.stats.skipped.push(tree::absolute(&node.path));
            return Ok(());
        };
        if let Some(first) = self.first_name(node) {
            let entry = Entry {
                link: first,
                size: 0,
                ..entry_of(node, Kind::Hardlink)
            };
            return self.bare(&entry);
        }
        let mut entry = entry_of(node, kind);
        match kind {
            Kind::Regular => return self.file(ctx, root, node, entry),
            Kind::Directory => {
                let dir = open_no_links(root, &node.path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
                entry.xattrs = tree::xattrs(dir.during(|| format!("open `{}`", node.path.escape_ascii()))?.as_fd())?;
            }
            Kind::Symlink => entry.link = tree::link_target(root, &node.path)?,
            _ => {}
        }
        self.bare(&entry)
    }

    /// The name under which a file with several was written already.
    fn first_name(&mut self, node: &Node) -> Option<Vec<u8>> {
        if node.is_dir() || node.status.st_nlink < 2 {
            return None;
        }
        let key = (node.status.st_dev, node.status.st_ino);
        let first = self.links.get(&key).cloned();
        if first.is_none() {
            self.links.insert(key, node.path.clone());
        }
        first
    }

    fn file(&mut self, ctx: &Context, root: BorrowedFd<'_>, node: &Node, mut entry: Entry) -> Result<()> {
        let what = || format!("read `{}`", node.path.escape_ascii());
        let file = File::from(open_no_links(root, &node.path, OFlag::O_RDONLY | OFlag::O_NONBLOCK).during(what)?);
        entry.xattrs = tree::xattrs(file.as_fd())?;
        // The header promises a size, so a file that grows is cut there, and one that shrinks cannot be told.
        entry.size = file.metadata().during(what)?.len();
        self.bare(&entry)?;
        let mut left = file.take(entry.size);
        while left.limit() > 0 {
            ctx.check()?;
            let length = left.read(&mut self.buffer).during(what)?;
            if length == 0 {
                return Err(tree::changed(&node.path));
            }
            self.writer.data(&self.buffer[..length])?;
        }
        self.stats.bytes += entry.size;
        Ok(())
    }

    /// Writes a file whose bytes are at hand.
    pub(crate) fn bytes(&mut self, entry: &Entry, bytes: &[u8]) -> Result<()> {
        self.bare(&Entry {
            size: bytes.len() as u64,
            ..entry.clone()
        })?;
        self.stats.bytes += bytes.len() as u64;
        self.writer.data(bytes)
    }

    /// Ends the archive and flushes what it was written to.
    pub(crate) fn finish(self) -> Result<Stats> {
        let mut out = self.writer.finish()?;
        out.flush().during(|| "write the archive")?;
        Ok(self.stats)
    }
}

/// What tar calls a node; `None` for what it cannot hold.
fn kind_of(node: &Node) -> Option<Kind> {
    Some(match node.kind() {
        SFlag::S_IFREG => Kind::Regular,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Symlink,
        SFlag::S_IFCHR => Kind::Character,
        SFlag::S_IFBLK => Kind::Block,
        SFlag::S_IFIFO => Kind::Fifo,
        _ => return None,
    })
}

fn entry_of(node: &Node, kind: Kind) -> Entry {
    let status = &node.status;
    let mut path = node.path.clone();
    if kind == Kind::Directory {
        path.push(b'/');
    }
    let number = |number: u64| u32::try_from(number).unwrap_or(0);
    let is_device = matches!(kind, Kind::Character | Kind::Block);
    Entry {
        uid: status.st_uid,
        gid: status.st_gid,
        mtime: Mtime {
            seconds: status.st_mtime,
            nanos: 0,
        },
        device: if is_device {
            (number(major(status.st_rdev)), number(minor(status.st_rdev)))
        } else {
            (0, 0)
        },
        ..Entry::new(path, kind, status.st_mode & 0o7777)
    }
}
