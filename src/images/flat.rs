//! The lowest layers of a stack that is higher than the kernel stacks them, merged into one directory.
//!
//! It is made once for each such pile of layers, shared by all images that stand on it, and in overlay form like a layer; being the
//! lowest, it hides nothing and so holds no marks. Its files are those of the layers, under one more name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use super::chain::{chain_id, copy_attributes};
use super::content::{self, Content, implied_paths};
use super::links::{self, Links};
use super::overlay;
use super::share::share;
use super::tree::{self, Layers, Node};
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest};
use crate::sys::file::{self, open_no_links, status_at};
use crate::sys::mount::DEEPEST_STACK;

/// What sets these directories apart in `layers/`.
const MARK: &str = ".flat-";
/// How many directories layers may take: there must be room for a fix-up, an init layer and, where a container is only looked at, its
/// upper directory.
const ROOM: usize = DEEPEST_STACK - 3;
/// Layers are merged by this many, so that an image and what is committed on it share what was merged.
const STEP: usize = 250;

/// How many of this many layers are merged.
pub(super) fn merged_of(layers: usize) -> usize {
    match layers.checked_sub(ROOM) {
        None | Some(0) => 0,
        // The merged ones take a place, too.
        Some(over) => (over + 1).next_multiple_of(STEP),
    }
}

impl Content {
    /// The directory of these layers (topmost first) merged, which is made if it is not there. Errors: `not_found` for a missing layer.
    pub(super) fn flat(&self, ctx: &Context, stack: &[Digest]) -> Result<PathBuf> {
        let place = self.derived_dir(&stack[0], MARK, &chain_id(stack));
        if !place.is_dir() {
            let staging = self.stage()?;
            let dir = staging.free_path();
            std::fs::create_dir(&dir).during(|| format!("make `{}`", dir.display()))?;
            self.merge(ctx, stack, &dir)?;
            staging.sync()?;
            self.publish_tree(&dir, &place)?;
        }
        Ok(place)
    }

    fn merge(&self, ctx: &Context, stack: &[Digest], dir: &Path) -> Result<()> {
        let mut flat = Flat {
            root: content::open_dir(dir)?,
            directories: BTreeMap::new(),
        };
        for (place, diff_id) in stack.iter().enumerate().rev() {
            let record = self.record(diff_id)?;
            let layer = content::open_dir(&self.layer_dir(diff_id))?;
            flat.add(ctx, place, layer.as_fd(), &implied_paths(&record))?;
            flat.link(&links::of(&record))?;
        }
        for (path, (place, node)) in flat.directories.iter().rev() {
            ctx.check()?;
            let layer = content::open_dir(&self.layer_dir(&stack[*place]))?;
            copy_attributes(layer.as_fd(), flat.root.as_fd(), node)
                .during(|| format!("set the attributes of `{}`", path.escape_ascii()))?;
        }
        Ok(())
    }
}

/// Layers merged so far, from the lowest up.
struct Flat {
    root: OwnedFd,
    /// Directories, with the topmost layer that names them, or the lowest where they are implied only.
    directories: BTreeMap<Vec<u8>, (usize, Node)>,
}

impl Flat {
    fn add(&mut self, ctx: &Context, place: usize, layer: BorrowedFd<'_>, implied: &BTreeSet<Vec<u8>>) -> Result<()> {
        let status = nix::sys::stat::fstat(layer).during(|| "look at a layer")?;
        let path = Vec::new();
        self.directories.insert(Vec::new(), (place, Node { path, status }));
        tree::walk(ctx, layer, &mut |node| {
            let what = || format!("merge `{}`", node.path.escape_ascii());
            if overlay::is_whiteout(&node.status) {
                self.remove(&node.path).during(what)?;
            } else if node.is_dir() {
                let is_opaque = tree::is_opaque_at(layer, &node.path)?;
                self.directory(node, is_opaque).during(what)?;
                let known = self.directories.contains_key(&node.path);
                if !known || !implied.contains(&node.path) {
                    self.directories.insert(node.path.clone(), (place, node.clone()));
                }
            } else {
                self.remove(&node.path).during(what)?;
                share(layer, node, self.root.as_fd(), &node.path)?;
            }
            Ok(true)
        })
    }

    /// Makes the links that the layer which was added last leaves to those below.
    fn link(&mut self, links: &Links) -> Result<()> {
        for (path, target) in links {
            let merged = Layers::reopen(self.root.as_fd())?;
            let found = links::resolve(&merged, &[links], 0, target)?;
            let node = found.map(|(_, node)| node).filter(|node| !node.is_dir());
            let node = node.ok_or_else(|| links::missing(path, target))?;
            self.remove(path)
                .during(|| format!("replace `{}`", path.escape_ascii()))?;
            share(self.root.as_fd(), &node, self.root.as_fd(), path)?;
        }
        Ok(())
    }

    /// Sees that there is a directory, and nothing in it if it is opaque.
    fn directory(&mut self, node: &Node, is_opaque: bool) -> nix::Result<()> {
        let (parent, name) = tree::split(&node.path);
        let parent = open_no_links(self.root.as_fd(), parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let is_there = self.directories.contains_key(&node.path);
        if is_there && !is_opaque {
            return Ok(());
        }
        self.remove(&node.path)?;
        mkdirat(&parent, name, Mode::S_IRWXU)
    }

    fn remove(&mut self, path: &[u8]) -> nix::Result<()> {
        let (parent, name) = tree::split(path);
        let parent = open_no_links(self.root.as_fd(), parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        match status_at(parent.as_fd(), name) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        file::remove_tree_at(parent.as_fd(), OsStr::from_bytes(name))?;
        if self.directories.remove(path).is_some() {
            tree::remove_below(&mut self.directories, path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::archive::Kind;
    use crate::images::testing::{NoHolder, Shop, dir, docker_archive, file, link, listing, tar};
    use crate::images::{Image, Source, load};

    fn loaded(shop: &Shop, layers: &[Vec<u8>]) -> Image {
        let archive = docker_archive(layers);
        let source = Source::Reader(Box::new(archive.as_slice()));
        let mut loaded = load(&Context::new(), &shop.content, &NoHolder, source).unwrap();
        loaded.remove(0).image
    }

    fn flat_of(shop: &Shop, image: &Image) -> PathBuf {
        let stack: Vec<Digest> = image.layers.iter().rev().map(|layer| layer.diff_id.clone()).collect();
        shop.content.flat(&Context::new(), &stack).unwrap()
    }

    #[test]
    fn enough_layers_are_merged_and_no_more_than_there_are() {
        for (layers, merged) in [(0, 0), (497, 0), (498, 250), (746, 250), (747, 500), (1000, 750)] {
            assert_eq!(merged_of(layers), merged, "{layers}");
        }
        for layers in 1..2000 {
            let merged = merged_of(layers);
            assert!(
                merged <= layers && layers - merged + usize::from(merged > 0) <= ROOM,
                "{layers}"
            );
        }
    }

    #[test]
    fn merged_layers_are_what_one_layer_of_the_result_would_be() {
        let shop = Shop::new();
        let layers = [
            tar(&[
                dir("a", 0o711),
                file("a/b", "1"),
                file("gone", "x"),
                dir("d", 0o700),
                file("d/in", "x"),
            ]),
            tar(&[
                file("a/c", "2"),
                file(".wh.gone", ""),
                link(Kind::Hardlink, "a/d", "a/c"),
                dir("to-file/x", 0o755),
            ]),
            tar(&[
                file("d/.wh..wh..opq", ""),
                file("d/new", "3"),
                file("to-file", "4"),
                file("n/m", "5"),
            ]),
            tar(&[
                dir("d", 0o750),
                link(Kind::Symlink, "a/b", "c"),
                dir("e", 0o755),
                file("e/.wh.nothing", ""),
                link(Kind::Hardlink, "e/twice", "e/once"),
                link(Kind::Hardlink, "e/once", "d/new"),
            ]),
        ];
        let alone = [tar(&[
            dir("a", 0o711),
            link(Kind::Symlink, "a/b", "c"),
            file("a/c", "2"),
            link(Kind::Hardlink, "a/d", "a/c"),
            dir("d", 0o750),
            file("d/new", "3"),
            dir("e", 0o755),
            link(Kind::Hardlink, "e/once", "d/new"),
            link(Kind::Hardlink, "e/twice", "d/new"),
            file("n/m", "5"),
            file("to-file", "4"),
        ])];
        let flat = flat_of(&shop, &loaded(&shop, &layers));
        let single = loaded(&shop, &alone);
        let right = shop.content.layer_dir(&single.layers[0].diff_id);
        // Every file has one name more: in its layer.
        let shown = |dir: &Path| {
            listing(dir)
                .into_iter()
                .map(|line| without_links(&line))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(&flat), shown(&right));
        let opaque = file::xattr(content::open_dir(&flat.join("d")).unwrap().as_fd(), overlay::OPAQUE);
        assert_eq!(opaque, Ok(None));
    }

    fn without_links(line: &str) -> String {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.remove(3);
        words.join(" ")
    }

    #[test]
    fn a_tall_stack_fits_and_shares_what_is_merged_with_its_children() {
        let shop = Shop::new();
        let ctx = Context::new();
        let mut layers: Vec<Vec<u8>> = (0..500)
            .map(|n| tar(&[dir("f", 0o755), file(&format!("f/{n}"), "x")]))
            .collect();
        let parent = loaded(&shop, &layers);
        layers.push(tar(&[dir("f", 0o755), file("f/child", "x")]));
        let child = loaded(&shop, &layers);
        let lowers = |image: &Image| shop.content.lowers(&ctx, &image.layers).unwrap();
        let (first, second) = (lowers(&parent), lowers(&child));
        assert_eq!((first.len(), second.len()), (251, 252));
        assert_eq!(first.last(), second.last());
        assert_eq!(std::fs::read_dir(first[250].join("f")).unwrap().count(), 250);
        shop.content
            .discard()
            .unwrap()
            .take_layer(&parent.layers[249].diff_id)
            .unwrap();
        assert!(!first[250].exists(), "it goes with the topmost layer in it");
    }
}
