//! Images as merged trees: what is in one, and what differs between two.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::sys::stat::SFlag;

use super::content::Content;
use super::image::Image;
use super::tree::{self, Node};
use super::upper::{Change, ChangeKind};
use crate::error::Result;
use crate::model::{Context, Digest, Pattern};

/// A file, directory or other thing in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path from the root, starting with `/`.
    pub path: PathBuf,
    /// `file directory symlink character block fifo socket`.
    pub kind: &'static str,
    /// Bytes of a regular file, else 0.
    pub size: u64,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970 of the last modification.
    pub mtime: i64,
    /// Nanoseconds above them.
    pub mtime_nanos: u32,
    /// A symbolic link's target.
    pub link: Option<PathBuf>,
    /// The diff id of the layer it comes from.
    pub layer: Digest,
}

/// What is in an image under paths that fit a pattern, in order. The pattern is over paths from the root, with or without its slash.
pub fn files(ctx: &Context, content: &Content, image: &Image, pattern: &Pattern) -> Result<Vec<Entry>> {
    let diff_ids = content.stack(&image.layers)?;
    let (layers, merged) = content.merged(ctx, &diff_ids)?;
    let mut entries = Vec::new();
    for (path, (place, node)) in merged {
        let text = String::from_utf8_lossy(&path).into_owned();
        if pattern.matches(&text) || pattern.matches(&format!("/{text}")) {
            entries.push(entry(
                layers.root(place)?.as_fd(),
                &path,
                &node,
                diff_ids[place].clone(),
            )?);
        }
    }
    Ok(entries)
}

fn entry(root: BorrowedFd<'_>, path: &[u8], node: &Node, layer: Digest) -> Result<Entry> {
    let status = &node.status;
    let is_link = node.kind() == SFlag::S_IFLNK;
    let link = is_link.then(|| tree::link_target(root, &node.path)).transpose()?;
    Ok(Entry {
        path: tree::absolute(path),
        kind: kind_name(node.kind()),
        size: node.size(),
        mode: status.st_mode & 0o7777,
        uid: status.st_uid,
        gid: status.st_gid,
        mtime: status.st_mtime,
        mtime_nanos: u32::try_from(status.st_mtime_nsec).unwrap_or(0),
        link: link.map(|target| PathBuf::from(OsStr::from_bytes(&target))),
        layer,
    })
}

fn kind_name(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFREG => "file",
        SFlag::S_IFDIR => "directory",
        SFlag::S_IFLNK => "symlink",
        SFlag::S_IFCHR => "character",
        SFlag::S_IFBLK => "block",
        SFlag::S_IFIFO => "fifo",
        _ => "socket",
    }
}

/// What `b` adds to, changes in and lacks of `a`, in order; times do not count. Below what is deleted nothing more is told.
pub fn diff(ctx: &Context, content: &Content, a: &Image, b: &Image) -> Result<Vec<Change>> {
    let (old_ids, new_ids) = (content.stack(&a.layers)?, content.stack(&b.layers)?);
    let ((old, before), (new, after)) = (content.merged(ctx, &old_ids)?, content.merged(ctx, &new_ids)?);
    let change = |path: &[u8], kind, size| Change {
        path: tree::absolute(path),
        kind,
        size,
    };
    let mut changes = Vec::new();
    for (path, (place, node)) in &after {
        match before.get(path) {
            None => changes.push(change(path, ChangeKind::Added, node.size())),
            // The very same file: one layer, one path.
            Some((old_place, known)) if old_ids[*old_place] == new_ids[*place] && known.path == node.path => {}
            Some((old_place, known)) => {
                let (old, new) = (old.root(*old_place)?, new.root(*place)?);
                if !tree::same(ctx, (old.as_fd(), known), (new.as_fd(), node))? {
                    changes.push(change(path, ChangeKind::Changed, node.size()));
                }
            }
        }
    }
    let mut gone: Option<&Vec<u8>> = None;
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        let told = gone.is_some_and(|gone| path.starts_with(gone) && path.get(gone.len()) == Some(&b'/'));
        if !told {
            changes.push(change(path, ChangeKind::Deleted, 0));
            gone = Some(path);
        }
    }
    changes.sort();
    Ok(changes)
}
