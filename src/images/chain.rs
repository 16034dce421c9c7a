//! The directories a container's overlay stacks, and what layers leave to those below them.
//!
//! A tar may name `etc/x` and not `etc`. Unpacked alone, the layer's `etc` has made-up attributes that would hide those of the layers
//! below; a small directory on top of the stack gives such directories back what they were. It also has the hard links to files of
//! layers below.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use super::content::{self, Content, Record, hiding_paths, implied_paths};
use super::flat;
use super::image::Layer;
use super::links::{self, Links};
use super::tree::{self, Layers, Node};
use super::{overlay, share};
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::{Context, Digest};
use crate::sys::file::open_no_links;

/// What sets fix-ups apart in `layers/`.
const MARK: &str = ".fix-";

impl Content {
    /// The directories to stack for these layers (lowest first), topmost first, each once, and never more than the kernel stacks.
    /// Errors: `not_found` for a missing layer.
    pub fn lowers(&self, ctx: &Context, layers: &[Layer]) -> Result<Vec<PathBuf>> {
        let stack = self.stack(layers)?;
        let (kept, merged) = stack.split_at(stack.len() - flat::merged_of(stack.len()));
        let mut dirs: Vec<PathBuf> = kept.iter().map(|diff_id| self.layer_dir(diff_id)).collect();
        let records = kept.iter().map(|diff_id| self.record(diff_id));
        let mut loose = records
            .map(|record| Ok(Loose::of(&record?)))
            .collect::<Result<Vec<_>>>()?;
        if !merged.is_empty() {
            dirs.push(self.flat(ctx, merged)?);
            loose.push(Loose::default());
        }
        if let Some(fixup) = self.fixup(ctx, &stack, &dirs, &loose)? {
            dirs.insert(0, fixup);
        }
        Ok(dirs)
    }

    /// The layers topmost first, each once: the kernel refuses a directory that is stacked twice, and the upper one alone says the same.
    /// Those below a layer whose root is opaque are left out, for the kernel takes no root for opaque.
    pub(super) fn stack(&self, layers: &[Layer]) -> Result<Vec<Digest>> {
        let mut stack: Vec<Digest> = Vec::new();
        for layer in layers.iter().rev() {
            if stack.contains(&layer.diff_id) {
                continue;
            }
            stack.push(layer.diff_id.clone());
            if is_opaque(&self.layer_dir(&layer.diff_id))? {
                break;
            }
        }
        Ok(stack)
    }

    /// The tree that a stack shows (topmost first): every path with its layer and what it is there. Nothing is made.
    pub(super) fn merged(&self, ctx: &Context, stack: &[Digest]) -> Result<(Layers, Merged)> {
        let dirs: Vec<PathBuf> = stack.iter().map(|diff_id| self.layer_dir(diff_id)).collect();
        let records = stack.iter().map(|diff_id| self.record(diff_id));
        let loose = records
            .map(|record| Ok(Loose::of(&record?)))
            .collect::<Result<Vec<_>>>()?;
        let layers = Layers::open(&dirs)?;
        let mut merged = layers.merged(ctx)?;
        let fixes = Fixes::find(ctx, &layers, &loose)?;
        fixes
            .links
            .keys()
            .for_each(|path| tree::remove_below(&mut merged, path));
        merged.extend(fixes.directories);
        merged.extend(fixes.links);
        Ok((layers, merged))
    }

    /// The layer whose root is that of the whole: the topmost that names it, else the lowest. Errors: `invalid` for no layers.
    pub(super) fn root_layer(&self, layers: &[Layer]) -> Result<PathBuf> {
        let mut root = layers.first().ok_or_else(|| Error::invalid("there are no layers"))?;
        for layer in layers {
            if !self.record(&layer.diff_id)?.root_implied {
                root = layer;
            }
        }
        Ok(self.layer_dir(&root.diff_id))
    }

    fn fixup(&self, ctx: &Context, stack: &[Digest], dirs: &[PathBuf], loose: &[Loose]) -> Result<Option<PathBuf>> {
        let has_any = loose.iter().any(|loose| loose.needs_fixing(stack.len()));
        let Some(top) = stack.first().filter(|_| has_any) else {
            return Ok(None);
        };
        let place = self.derived_dir(top, MARK, &chain_id(stack));
        if !place.is_dir() {
            let layers = Layers::open(dirs)?;
            let fixes = Fixes::find(ctx, &layers, loose)?;
            let staging = self.stage()?;
            let dir = staging.free_path();
            fixes.build(ctx, &layers, &dir)?;
            staging.sync()?;
            self.publish_tree(&dir, &place)?;
        }
        // An empty one says that there is nothing to fix, so that nobody looks again.
        let look = || format!("list `{}`", place.display());
        let is_empty = std::fs::read_dir(&place).during(look)?.next().is_none();
        Ok((!is_empty).then_some(place))
    }
}

/// Paths, and the layer and the node that each is; of a hard link the node is its target.
pub(super) type Merged = BTreeMap<Vec<u8>, (usize, Node)>;

/// What a layer leaves to those below it.
#[derive(Default)]
struct Loose {
    implied: BTreeSet<Vec<u8>>,
    links: Links,
    /// Directories that hold whiteouts.
    hiding: BTreeSet<Vec<u8>>,
}

impl Loose {
    fn of(record: &Record) -> Loose {
        Loose {
            implied: implied_paths(record),
            links: links::of(record),
            hiding: hiding_paths(record),
        }
    }

    /// Whether it may have a fix-up in a stack of so many layers.
    fn needs_fixing(&self, height: usize) -> bool {
        !self.hiding.is_empty() || (height > 1 && !(self.implied.is_empty() && self.links.is_empty()))
    }
}

/// Whether a layer hides all of those below it; one that is not there hides nothing, and is missed later.
pub(super) fn is_opaque(dir: &Path) -> Result<bool> {
    match content::open_dir(dir) {
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        dir => overlay::is_opaque(dir?.as_fd()),
    }
}

/// What names a stack of layers (topmost first): its chain id (OCI image-spec, config.md, "Layer ChainID").
pub(super) fn chain_id(stack: &[Digest]) -> Digest {
    let from_below = stack.iter().rev().cloned();
    let chained = from_below.reduce(|below, diff_id| Digest::of(format!("{below} {diff_id}").as_bytes()));
    chained.unwrap_or_else(|| Digest::of(b""))
}

/// What a fix-up is made of: paths, and the layer and the node each takes after.
struct Fixes {
    /// Directories whose attributes come from another layer than the one on top, and those that must be merged, with their parents.
    directories: Merged,
    /// Hard links to files of a layer further down.
    links: Merged,
}

impl Fixes {
    fn find(ctx: &Context, layers: &Layers, loose: &[Loose]) -> Result<Fixes> {
        let lost: Vec<&Links> = loose.iter().map(|loose| &loose.links).collect();
        let links = links::shown(ctx, layers, &lost)?;
        let mut directories = BTreeMap::new();
        let implied: BTreeSet<&Vec<u8>> = loose.iter().flat_map(|loose| &loose.implied).collect();
        for path in implied {
            ctx.check()?;
            let Some((place, node)) = named(layers, loose, path)? else {
                continue;
            };
            let shown = layers.find(path)?;
            let differs = shown.is_some_and(|(top, node)| node.is_dir() && top != place);
            if differs {
                directories.insert(path.clone(), (place, node));
            }
        }
        for path in loose.iter().flat_map(|loose| &loose.hiding) {
            ctx.check()?;
            if let Some(alone) = alone(layers, path)? {
                directories.entry(path.clone()).or_insert(alone);
            }
        }
        let paths: Vec<Vec<u8>> = directories.keys().chain(links.keys()).cloned().collect();
        for path in paths {
            let mut parent = tree::split(&path).0;
            while !parent.is_empty() {
                if !directories.contains_key(parent) {
                    let found = named(layers, loose, parent)?.or(layers.find(parent)?);
                    directories.extend(found.map(|found| (parent.to_vec(), found)));
                }
                parent = tree::split(parent).0;
            }
        }
        Ok(Fixes { directories, links })
    }

    fn build(&self, ctx: &Context, layers: &Layers, dir: &Path) -> Result<()> {
        std::fs::create_dir(dir).during(|| format!("make `{}`", dir.display()))?;
        let root = content::open_dir(dir)?;
        for path in self.directories.keys() {
            let (parent, name) = tree::split(path);
            let made = open_no_links(root.as_fd(), parent, OFlag::O_PATH | OFlag::O_DIRECTORY);
            made.and_then(|parent| mkdirat(&parent, name, Mode::S_IRWXU))
                .during(|| format!("make `{}`", path.escape_ascii()))?;
        }
        for (path, (place, node)) in &self.links {
            ctx.check()?;
            share::share(layers.root(*place)?.as_fd(), node, root.as_fd(), path)?;
        }
        for (path, (place, node)) in self.directories.iter().rev() {
            copy_attributes(layers.root(*place)?.as_fd(), root.as_fd(), node)
                .during(|| format!("set the attributes of `{}`", path.escape_ascii()))?;
        }
        // The root itself is stacked, too, and must look like the one it covers.
        let top = layers.root(0)?;
        let status = nix::sys::stat::fstat(&*top).during(|| "look at the topmost layer")?;
        let path = Vec::new();
        copy_attributes(top.as_fd(), root.as_fd(), &Node { path, status })
    }
}

/// The topmost layer that has the directory by name and not by implication, as long as none above hides it.
fn named(layers: &Layers, loose: &[Loose], path: &[u8]) -> Result<Option<(usize, Node)>> {
    for (place, node) in layers.find_all(path)? {
        if !node.is_dir() {
            return Ok(None);
        }
        if !loose[place].implied.contains(path) {
            return Ok(Some((place, node)));
        }
        if tree::is_opaque_at(layers.root(place)?.as_fd(), path)? {
            return Ok(None);
        }
    }
    Ok(None)
}

/// The one layer that makes up the directory at a path which is not the root; nothing if there are more, or it does not show.
fn alone(layers: &Layers, path: &[u8]) -> Result<Option<(usize, Node)>> {
    let mut found = layers.find_all(path)?.into_iter();
    let Some((place, node)) = found.next().filter(|(_, node)| node.is_dir() && !path.is_empty()) else {
        return Ok(None);
    };
    let is_merged = found.next().is_some_and(|(_, below)| below.is_dir())
        && !tree::is_opaque_at(layers.root(place)?.as_fd(), path)?;
    Ok((!is_merged).then_some((place, node)))
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
    use crate::images::{Image, Source, load};
    use std::os::unix::fs::MetadataExt;

    /// The formulas of the specification, with digests made by another program.
    #[test]
    fn c22_layers_are_chained_as_the_specification_has_it() {
        let [one, two, three] = ["one", "two", "three"].map(|text| Digest::of(text.as_bytes()));
        assert_eq!(
            chain_id(std::slice::from_ref(&one)),
            one,
            "the lowest layer's chain id is its diff id"
        );
        assert_eq!(
            chain_id(&[two.clone(), one.clone()]).as_str(),
            "sha256:ee90d7132b9e9a049b7b0a88db345ca31fb5e8a74a5ee57210478a9a2522d499"
        );
        assert_eq!(
            chain_id(&[three, two, one]).as_str(),
            "sha256:bda931dfb05a05b2b515a117925fb63136f30ff08f5b2a4f79da3507a55580b3"
        );
    }

    fn load_layers(shop: &Shop, layers: &[Vec<u8>]) -> Image {
        let archive = docker_archive(layers);
        let source = Source::Reader(Box::new(archive.as_slice()));
        let mut loaded = load(&Context::new(), &shop.content, &NoHolder, source).unwrap();
        loaded.remove(0).image
    }

    #[test]
    fn a_directory_that_one_layer_makes_up_is_merged_where_it_holds_whiteouts() {
        let shop = Shop::new();
        let lowers = |layers: &[Vec<u8>]| {
            let image = load_layers(&shop, layers);
            shop.content.lowers(&Context::new(), &image.layers).unwrap()
        };
        let hiding = tar(&[dir("a", 0o711), file("a/.wh.x", ""), dir("b", 0o700), file("b/y", "1")]);
        let alone = lowers(std::slice::from_ref(&hiding));
        assert_eq!(alone.len(), 2);
        assert_eq!(std::fs::metadata(alone[0].join("a")).unwrap().mode() & 0o7777, 0o711);
        assert!(!alone[0].join("b").exists(), "there is no whiteout in it");
        let merged = [tar(&[dir("a", 0o755), file("a/x", "1")]), hiding];
        assert_eq!(lowers(&merged).len(), 2, "the kernel leaves it out by itself");
        assert_eq!(
            lowers(&[tar(&[file(".wh.x", "")])]).len(),
            1,
            "the root always is merged"
        );
    }

    #[test]
    fn implied_directories_show_what_the_layers_below_say() {
        let shop = Shop::new();
        let ctx = Context::new();
        let layers = [
            tar(&[dir("a", 0o711), dir("a/b", 0o1777), dir("c", 0o700)]),
            tar(&[file("a/b/x", "1"), file("n/y", "2")]),
            tar(&[file("c/z", "3"), dir("c", 0o750)]),
        ];
        let image = load_layers(&shop, &layers);
        let lowers = shop.content.lowers(&ctx, &image.layers).unwrap();
        assert_eq!(
            (lowers.len(), shop.content.lowers(&ctx, &image.layers).unwrap()),
            (4, lowers.clone())
        );
        let mode = |path: &str| std::fs::metadata(lowers[0].join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/b")), (0o711, 0o1777));
        assert!(!lowers[0].join("c").exists() && !lowers[0].join("n").exists());
        let twice = load_layers(&shop, &[layers[0].clone(), layers[2].clone(), layers[0].clone()]);
        assert_eq!(shop.content.lowers(&ctx, &twice.layers).unwrap().len(), 2);
        shop.content
            .discard()
            .unwrap()
            .take_layer(&image.layers[2].diff_id)
            .unwrap();
        assert!(
            !lowers[0].exists() && !lowers[1].exists(),
            "the fix-up goes with its topmost layer"
        );
    }
}
