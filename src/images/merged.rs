//! The directories of an overlay merged into one tree, as the kernel shows it and without mounting it: an overlay looks up, makes and
//! forgets an inode of its own for each file, which costs more than to read them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::overlay;
use super::tree::{self, Layers, Node};
use crate::error::{Context as _, Result};
use crate::model::Context;
use crate::sys::file::{self, open_no_links, status_at};

/// Something in the merged tree.
struct Child {
    node: Node,
    /// The layers it is in, topmost first: of a directory all that are merged, else the one that shows it. None for what is hidden.
    places: Vec<usize>,
    /// Whether a directory of a lower layer would be merged into it.
    is_open: bool,
}

impl Layers {
    /// Visits the merged tree below the root, each node with its layer, parents before children and siblings in order of their bytes.
    /// What vanishes meanwhile is left out.
    pub(crate) fn walk(&self, ctx: &Context, visit: &mut dyn FnMut(usize, &Node) -> Result<()>) -> Result<()> {
        let every: Vec<usize> = (0..self.count()).collect();
        let mut waiting = self.list(b"", &every)?;
        while let Some(child) = waiting.pop() {
            ctx.check()?;
            visit(child.places[0], &child.node)?;
            if child.node.is_dir() {
                waiting.extend(self.list(&child.node.path, &child.places)?);
            }
        }
        Ok(())
    }

    /// The merged tree below the root: every path with its layer.
    pub(crate) fn merged(&self, ctx: &Context) -> Result<BTreeMap<Vec<u8>, (usize, Node)>> {
        let mut all = BTreeMap::new();
        self.walk(ctx, &mut |place, node| {
            all.insert(node.path.clone(), (place, node.clone()));
            Ok(())
        })?;
        Ok(all)
    }

    /// What a directory holds that is in these layers, in reverse order.
    fn list(&self, path: &[u8], places: &[usize]) -> Result<Vec<Child>> {
        let mut children = BTreeMap::new();
        for place in places {
            let root = self.root(*place)?;
            let dir = match open_no_links(root.as_fd(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                other => other.during(|| format!("list `{}`", path.escape_ascii()))?,
            };
            add_layer(&mut children, path, *place, &dir)?;
            if overlay::is_opaque(dir.as_fd())? {
                break;
            }
        }
        let seen = children.into_values().rev();
        Ok(seen.filter(|child: &Child| !child.places.is_empty()).collect())
    }
}

/// Adds what one layer has in a directory, below what is known of the layers above.
fn add_layer(children: &mut BTreeMap<CString, Child>, path: &[u8], place: usize, dir: &OwnedFd) -> Result<()> {
    let names = file::names(dir.as_fd()).during(|| format!("list `{}`", path.escape_ascii()))?;
    for name in names {
        let entry = children.entry(name);
        if matches!(&entry, Entry::Occupied(known) if !known.get().is_open) {
            continue;
        }
        let name = entry.key().to_bytes();
        let status = status_at(dir.as_fd(), name).and_then(|status| overlay::mark_or(dir.as_fd(), name, status));
        let path = tree::join(path, name);
        let status = match status {
            Err(Errno::ENOENT) => continue,
            other => other.during(|| format!("look at `{}`", path.escape_ascii()))?,
        };
        let node = Node { path, status };
        match entry {
            Entry::Vacant(vacant) => {
                let is_hidden = overlay::is_whiteout(&node.status);
                vacant.insert(Child {
                    places: if is_hidden { Vec::new() } else { vec![place] },
                    is_open: node.is_dir(),
                    node,
                });
            }
            Entry::Occupied(mut known) if node.is_dir() => known.get_mut().places.push(place),
            // A file or a whiteout parts the directory from those further down.
            Entry::Occupied(mut known) => known.get_mut().is_open = false,
        }
    }
    Ok(())
}
