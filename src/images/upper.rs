//! What a container's upper directory changes in the layers below it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::content::open_dir;
use super::overlay;
use super::tree::{self, Layers, Node};
use crate::error::Result;
use crate::model::Context;

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It, or something in it, is different.
    Changed,
    /// It is gone, with all below it.
    Deleted,
}

/// One path that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The path from the root, starting with `/`.
    pub path: PathBuf,
    /// What became of it.
    pub kind: ChangeKind,
    /// Bytes of a regular file as it is now, else 0.
    pub size: u64,
}

/// A finding of [`compare`], told in order of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Added,
    Changed,
    Deleted,
    /// A directory that is as it was but for what is in it.
    Parent,
    /// A directory below which nothing of the layers counts any more; follows the directory itself.
    Opaque,
}

/// Compares an upper directory with the layers below, path by path; what is as it was is not told.
pub(crate) fn compare(
    ctx: &Context,
    upper: BorrowedFd<'_>,
    lowers: &Layers,
    tell: &mut dyn FnMut(&Node, Finding) -> Result<()>,
) -> Result<()> {
    // Unchanged directories wait for the first change below them.
    let mut waiting: Vec<Node> = Vec::new();
    let mut opaque: Option<Vec<u8>> = None;
    let mut added: Option<Vec<u8>> = None;
    tree::walk_marked(ctx, upper, &mut |node| {
        waiting.retain(|dir| is_below(&node.path, &dir.path));
        // In an opaque directory nothing of the layers shows through, so all in it must be told.
        let alone = opaque.as_ref().is_some_and(|dir| is_below(&node.path, dir));
        if alone && overlay::is_whiteout(&node.status) {
            return Ok(true);
        }
        // Below what is new there is nothing to be found.
        let is_new = added.as_ref().is_some_and(|dir| is_below(&node.path, dir));
        let below = if is_new { None } else { lowers.find(&node.path)? };
        if overlay::is_whiteout(&node.status) {
            if below.is_some() {
                flush(&mut waiting, tell)?;
                tell(node, Finding::Deleted)?;
            }
            return Ok(true);
        }
        let finding = match &below {
            None => Finding::Added,
            Some(_) if alone => Finding::Changed,
            Some((layer, known)) if is_same(ctx, (upper, node), (lowers.root(*layer)?.as_fd(), known))? => {
                Finding::Parent
            }
            Some(_) => Finding::Changed,
        };
        if finding == Finding::Added && node.is_dir() && !is_new {
            added = Some(node.path.clone());
        }
        let hides = !alone
            && node.is_dir()
            && below.is_some_and(|(_, known)| known.is_dir())
            && tree::is_opaque_at(upper, &node.path)?;
        if finding != Finding::Parent {
            flush(&mut waiting, tell)?;
            tell(node, finding)?;
        } else if node.is_dir() {
            waiting.push(node.clone());
        }
        if hides {
            flush(&mut waiting, tell)?;
            tell(node, Finding::Opaque)?;
            opaque = Some(node.path.clone());
        }
        Ok(true)
    })
}

fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.starts_with(dir) && path.get(dir.len()) == Some(&b'/')
}

fn flush(waiting: &mut Vec<Node>, tell: &mut dyn FnMut(&Node, Finding) -> Result<()>) -> Result<()> {
    waiting.drain(..).try_for_each(|dir| tell(&dir, Finding::Parent))
}

/// A directory's time says only that something in it changed, which is told by itself. A file that has another name now is told with
/// it, for a layer can link only to what is in it.
fn is_same(ctx: &Context, a: (BorrowedFd<'_>, &Node), b: (BorrowedFd<'_>, &Node)) -> Result<bool> {
    let time = |node: &Node| (node.status.st_mtime, node.status.st_mtime_nsec);
    let names = |node: &Node| node.status.st_nlink;
    let linked = names(a.1) > 1 && names(a.1) != names(b.1);
    Ok((a.1.is_dir() || (time(a.1) == time(b.1) && !linked)) && tree::same(ctx, a, b)?)
}

/// The paths an upper directory adds, changes and deletes, in order, as `docker diff` tells them. `lowers` are topmost first.
pub fn upper_changes(ctx: &Context, upper: &Path, lowers: &[PathBuf]) -> Result<Vec<Change>> {
    let root = open_dir(upper)?;
    let lowers = Layers::open(lowers)?;
    let mut changes = Vec::new();
    compare(ctx, root.as_fd(), &lowers, &mut |node, finding| {
        let kind = match finding {
            Finding::Added => ChangeKind::Added,
            Finding::Changed | Finding::Parent => ChangeKind::Changed,
            Finding::Deleted => ChangeKind::Deleted,
            Finding::Opaque => return hidden_by(ctx, root.as_fd(), &lowers, node, &mut changes),
        };
        changes.push(Change {
            path: tree::absolute(&node.path),
            kind,
            size: node.size(),
        });
        Ok(())
    })?;
    changes.sort();
    Ok(changes)
}

/// Tells as deleted what an opaque directory hides and does not hold itself.
fn hidden_by(
    ctx: &Context,
    upper: BorrowedFd<'_>,
    lowers: &Layers,
    dir: &Node,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let own = Layers::reopen(upper)?;
    let mut gone: Option<Vec<u8>> = None;
    for path in lowers.merged(ctx)?.keys().filter(|path| is_below(path, &dir.path)) {
        let told = gone.as_ref().is_some_and(|gone| is_below(path, gone));
        if !told && own.find(path)?.is_none() {
            changes.push(Change {
                path: tree::absolute(path),
                kind: ChangeKind::Deleted,
                size: 0,
            });
            gone = Some(path.clone());
        }
    }
    Ok(())
}
