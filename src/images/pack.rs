//! From a directory tree to a tar stream: the same tree gives the same bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, major, minor};

use super::archive::{Entry, Kind, Mtime, Writer};
use super::tree::{self, Node};
use crate::error::{Context as _, Result};
use crate::model::Context;
use crate::sys::file::open_no_links;

/// Looks nodes up and opens them, as entries of a tar.
#[derive(Default)]
pub(crate) struct Finder {
    /// Files with several names, by device and inode, and the name that came first.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A node as an entry, and what its data is read from.
pub(crate) struct Found {
    pub(crate) entry: Entry,
    pub(crate) file: Option<File>,
}

impl Finder {
    /// The root directory, as `./`.
    pub(crate) fn root(root: BorrowedFd<'_>) -> Result<Found> {
        let status = nix::sys::stat::fstat(root).during(|| "look at the tree's root")?;
        let path = b".".to_vec();
        let mut entry = entry_of(&Node { path, status }, Kind::Directory);
        entry.xattrs = tree::xattrs(root)?;
        Ok(Found { entry, file: None })
    }

    /// What a path is, below the root it was found in; `None` for a socket, which a tar cannot hold.
    pub(crate) fn find(&mut self, root: BorrowedFd<'_>, node: &Node) -> Result<Option<Found>> {
        let Some(kind) = kind_of(node) else { return Ok(None) };
        let mut file = None;
        let entry = if let Some(first) = self.first_name(node) {
            Entry {
                link: first,
                ..entry_of(node, Kind::Hardlink)
            }
        } else {
            let mut entry = entry_of(node, kind);
            let open = |flags| open_no_links(root, &node.path, flags).during(|| reading(&node.path));
            match kind {
                Kind::Regular => {
                    let open = File::from(open(OFlag::O_RDONLY | OFlag::O_NONBLOCK)?);
                    entry.xattrs = tree::xattrs(open.as_fd())?;
                    // The header promises a size, so a file that grows is cut there, and one that shrinks cannot be told.
                    entry.size = open.metadata().during(|| reading(&node.path))?.len();
                    file = Some(open);
                }
                Kind::Directory => {
                    entry.xattrs = tree::xattrs(open(OFlag::O_RDONLY | OFlag::O_DIRECTORY)?.as_fd())?;
                }
                Kind::Symlink => entry.link = tree::link_target(root, &node.path)?,
                _ => {}
            }
            entry
        };
        Ok(Some(Found { entry, file }))
    }

    /// The name under which a file with several was found already.
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
}

fn reading(path: &[u8]) -> String {
    format!("read `{}`", path.escape_ascii())
}

/// A tar stream made of nodes.
pub(crate) struct Packer<W: Write> {
    writer: Writer<W>,
    finder: Finder,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<W> {
    pub(crate) fn new(out: W) -> Packer<W> {
        Packer {
            writer: Writer::new(out),
            finder: Finder::default(),
            buffer: vec![0; 1 << 17],
        }
    }

    /// Writes an entry that has no data, or whose data follows.
    pub(crate) fn bare(&mut self, entry: &Entry) -> Result<()> {
        self.writer.entry(entry)
    }

    /// Writes the root directory as `./`.
    pub(crate) fn root(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        self.bare(&Finder::root(root)?.entry)
    }

    /// Writes what a path is, below the root it was found in. Sockets are left out.
    pub(crate) fn node(&mut self, ctx: &Context, root: BorrowedFd<'_>, node: &Node) -> Result<()> {
        match self.finder.find(root, node)? {
            Some(found) => self.found(ctx, &found),
            None => Ok(()),
        }
    }

    /// Writes an entry and its data.
    pub(crate) fn found(&mut self, ctx: &Context, found: &Found) -> Result<()> {
        self.bare(&found.entry)?;
        let Some(file) = &found.file else { return Ok(()) };
        let mut left = file.take(found.entry.size);
        while left.limit() > 0 {
            ctx.check()?;
            let length = left.read(&mut self.buffer).during(|| reading(&found.entry.path))?;
            if length == 0 {
                return Err(tree::changed(&found.entry.path));
            }
            self.writer.data(&self.buffer[..length])?;
        }
        Ok(())
    }

    /// What it is written to, for data of an entry that goes there by another way.
    pub(crate) fn output(&mut self) -> &mut W {
        self.writer.output()
    }

    /// Writes a file whose bytes are at hand.
    pub(crate) fn bytes(&mut self, entry: &Entry, bytes: &[u8]) -> Result<()> {
        self.bare(&Entry {
            size: bytes.len() as u64,
            ..entry.clone()
        })?;
        self.writer.data(bytes)
    }

    /// Ends the archive and flushes what it was written to, which it gives back.
    pub(crate) fn finish(self) -> Result<W> {
        let mut out = self.writer.finish()?;
        out.flush().during(|| "write the archive")?;
        Ok(out)
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
