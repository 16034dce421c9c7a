//! The directories a container's overlay stacks, and the attributes of directories that layers only implied.
//!
//! A tar may name `etc/x` and not `etc`. Unpacked alone, the layer's `etc` has made-up attributes that would hide those of the layers
//! below; a small directory on top of the stack gives such directories back what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use super::content::{self, Content, implied_paths};
use super::flat;
use super::image::Layer;
use super::share;
use super::tree::{self, Layers, Node};
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file::open_no_links;

/// What sets fix-ups apart in `layers/`.
const MARK: &str = ".fix-";

impl Content {
    /// The directories to stack for these layers (lowest first), topmost first, each once, and never more than the kernel stacks.
    /// Errors: `not_found` for a missing layer.
    pub fn lowers(&self, ctx: &Context, layers: &[Layer]) -> Result<Vec<PathBuf>> {
        let stack = stack(layers);
        let (kept, merged) = stack.split_at(stack.len() - flat::merged_of(stack.len()));
        let mut dirs: Vec<PathBuf> = kept.iter().map(|diff_id| self.layer_dir(diff_id)).collect();
        let mut implied = kept
            .iter()
            .map(|diff_id| Ok(implied_paths(&self.record(diff_id)?)))
            .collect::<Result<Vec<_>>>()?;
        if !merged.is_empty() {
            dirs.push(self.flat(ctx, merged)?);
            implied.push(BTreeSet::new());
        }
        if let Some(fixup) = self.fixup(ctx, &stack, &dirs, &implied)? {
            dirs.insert(0, fixup);
        }
        Ok(dirs)
    }

    fn fixup(
        &self,
        ctx: &Context,
        stack: &[Digest],
        dirs: &[PathBuf],
        implied: &[BTreeSet<Vec<u8>>],
    ) -> Result<Option<PathBuf>> {
        let Some(top) = stack
            .first()
            .filter(|_| stack.len() > 1 && implied.iter().any(|paths| !paths.is_empty()))
        else {
            return Ok(None);
        };
        let place = self.derived_dir(top, MARK, &chain_id(stack));
        if !place.is_dir() {
            let fixes = fixes(ctx, &Layers::open(dirs)?, implied)?;
            let staging = self.stage()?;
            let dir = staging.free_path();
            build(&dir, dirs, &fixes)?;
            staging.sync()?;
            self.publish_tree(&dir, &place)?;
        }
        // An empty one says that there is nothing to fix, so that nobody looks again.
        let look = || format!("list `{}`", place.display());
        let is_empty = std::fs::read_dir(&place).during(look)?.next().is_none();
        Ok((!is_empty).then_some(place))
    }
}

/// The layers topmost first, each once: the kernel refuses a directory that is stacked twice, and the upper one alone says the same.
pub(super) fn stack(layers: &[Layer]) -> Vec<Digest> {
    let mut stack: Vec<Digest> = Vec::new();
    for layer in layers.iter().rev() {
        if !stack.contains(&layer.diff_id) {
            stack.push(layer.diff_id.clone());
        }
    }
    stack
}

/// What names a stack of layers (topmost first), as the image specification chains them.
pub(super) fn chain_id(stack: &[Digest]) -> Digest {
    let mut hasher = Hasher::new();
    stack
        .iter()
        .rev()
        .for_each(|diff_id| hasher.update(diff_id.as_str().as_bytes()));
    hasher.finish()
}

/// The directories whose attributes come from another layer than the one on top, with their parents: path → layer and node.
fn fixes(ctx: &Context, layers: &Layers, implied: &[BTreeSet<Vec<u8>>]) -> Result<BTreeMap<Vec<u8>, (usize, Node)>> {
    let mut fixes = BTreeMap::new();
    let paths: BTreeSet<&Vec<u8>> = implied.iter().flatten().collect();
    for path in paths {
        ctx.check()?;
        let Some((place, node)) = named(layers, implied, path)? else {
            continue;
        };
        let shown = layers.find(path)?;
        let differs = shown.is_some_and(|(top, node)| node.is_dir() && top != place);
        if differs {
            fixes.insert(path.clone(), (place, node));
        }
    }
    let paths: Vec<Vec<u8>> = fixes.keys().cloned().collect();
    for path in paths {
        let mut parent = tree::split(&path).0;
        while !parent.is_empty() {
            if !fixes.contains_key(parent) {
                let found = named(layers, implied, parent)?.or(layers.find(parent)?);
                fixes.extend(found.map(|found| (parent.to_vec(), found)));
            }
            parent = tree::split(parent).0;
        }
    }
    Ok(fixes)
}

/// The topmost layer that has the directory by name and not by implication, as long as none above hides it.
fn named(layers: &Layers, implied: &[BTreeSet<Vec<u8>>], path: &[u8]) -> Result<Option<(usize, Node)>> {
    for (place, node) in layers.find_all(path)? {
        if !node.is_dir() {
            return Ok(None);
        }
        if !implied[place].contains(path) {
            return Ok(Some((place, node)));
        }
        if tree::is_opaque_at(layers.root(place), path)? {
            return Ok(None);
        }
    }
    Ok(None)
}

fn build(dir: &Path, dirs: &[PathBuf], fixes: &BTreeMap<Vec<u8>, (usize, Node)>) -> Result<()> {
    std::fs::create_dir(dir).during(|| format!("make `{}`", dir.display()))?;
    let root = content::open_dir(dir)?;
    for path in fixes.keys() {
        let (parent, name) = tree::split(path);
        let made = open_no_links(root.as_fd(), parent, OFlag::O_PATH | OFlag::O_DIRECTORY);
        made.and_then(|parent| mkdirat(&parent, name, Mode::S_IRWXU))
            .during(|| format!("make `{}`", path.escape_ascii()))?;
    }
    let sources = Layers::open(dirs)?;
    for (path, (place, node)) in fixes.iter().rev() {
        copy_attributes(sources.root(*place), root.as_fd(), node)
            .during(|| format!("set the attributes of `{}`", path.escape_ascii()))?;
    }
    // The root itself is stacked, too, and must look like the one it covers.
    let top = content::open_dir(&dirs[0])?;
    let status = nix::sys::stat::fstat(&top).during(|| "look at the topmost layer")?;
    copy_attributes(
        top.as_fd(),
        root.as_fd(),
        &Node {
            path: Vec::new(),
            status,
        },
    )
}

/// Gives the directory at the node's path below `to` what the one below `from` has: owner, attributes, mode, time.
pub(super) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, node: &Node) -> Result<()> {
    let what = || format!("copy the attributes of `{}`", node.path.escape_ascii());
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let source = open_no_links(from, &node.path, flags).during(what)?;
    let target = open_no_links(to, &node.path, flags).during(what)?;
    share::copy_attributes(source.as_fd(), target.as_fd(), node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::testing::{NoHolder, Shop, dir, docker_archive, file, tar};
    use crate::images::{Source, load};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn implied_directories_show_what_the_layers_below_say() {
        let shop = Shop::new();
        let ctx = Context::new();
        let layers = [
            tar(&[dir("a", 0o711), dir("a/b", 0o1777), dir("c", 0o700)]),
            tar(&[file("a/b/x", "1"), file("n/y", "2")]),
            tar(&[file("c/z", "3"), dir("c", 0o750)]),
        ];
        let load_layers = |layers: &[Vec<u8>]| {
            let archive = docker_archive(layers);
            load(
                &ctx,
                &shop.content,
                &NoHolder,
                Source::Reader(Box::new(archive.as_slice())),
            )
            .unwrap()
            .remove(0)
            .image
        };
        let image = load_layers(&layers);
        let lowers = shop.content.lowers(&ctx, &image.layers).unwrap();
        assert_eq!(
            (lowers.len(), shop.content.lowers(&ctx, &image.layers).unwrap()),
            (4, lowers.clone())
        );
        let mode = |path: &str| std::fs::metadata(lowers[0].join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/b")), (0o711, 0o1777));
        assert!(!lowers[0].join("c").exists() && !lowers[0].join("n").exists());
        let twice = load_layers(&[layers[0].clone(), layers[2].clone(), layers[0].clone()]);
        assert_eq!(shop.content.lowers(&ctx, &twice.layers).unwrap().len(), 2);
        shop.content
            .trash()
            .unwrap()
            .take_layer(&image.layers[2].diff_id)
            .unwrap();
        assert!(
            !lowers[0].exists() && !lowers[1].exists(),
            "the fix-up goes with its topmost layer"
        );
    }
}
