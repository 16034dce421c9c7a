//! The directory between an image's layers and a container's own: what containers need and images may lack, such as places to
//! mount on. It belongs to neither, so that no change of the container shows it and no commit keeps it.
//!
//! It is made once for each stack of layers and shared by all containers on it; what goes into it is the caller's knowledge.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::chain;
use super::content::{self, Content};
use super::image::Layer;
use super::tree::{self, Layers, Node};
use crate::error::{Context as _, Result};
use crate::model::Context;
use crate::sys::file::{change_mode, open_no_links, set_mtime};

/// What sets these directories apart in `layers/`.
const MARK: &str = ".init-";

/// Fills the upper directory of an overlay over `lowers`, topmost first; both directories are empty.
pub type Fill<'a> = &'a dyn Fn(&Filling<'_>) -> Result<()>;

/// The directories of an overlay in which an init layer is made.
#[derive(Debug)]
pub struct Filling<'a> {
    /// The image's layers, topmost first.
    pub lowers: &'a [PathBuf],
    /// What becomes the init layer.
    pub upper: &'a Path,
    /// The overlay's work directory.
    pub work: &'a Path,
}

impl Content {
    /// What a container is stacked on: the layers as [`Content::lowers`] has them, and on top the layer that `fill` makes of what
    /// they lack. Directories in it that the image has look as they do there. Errors: `not_found` for a missing layer.
    pub fn lowers_with_init(&self, ctx: &Context, layers: &[Layer], fill: Fill<'_>) -> Result<Vec<PathBuf>> {
        let mut lowers = self.lowers(ctx, layers)?;
        if let Some(place) = self.init_dir(layers)? {
            if !place.is_dir() {
                self.make_init(ctx, &lowers, &self.root_layer(layers)?, &place, fill)?;
            }
            lowers.insert(0, place);
        }
        Ok(lowers)
    }

    /// Where the init layer is or would be: beside the topmost layer, with which it goes.
    fn init_dir(&self, layers: &[Layer]) -> Result<Option<PathBuf>> {
        let stack = self.stack(layers)?;
        let top = stack.first();
        Ok(top.map(|top| self.derived_dir(top, MARK, &chain::chain_id(&stack))))
    }

    fn make_init(&self, ctx: &Context, lowers: &[PathBuf], root: &Path, place: &Path, fill: Fill<'_>) -> Result<()> {
        let staging = self.stage()?;
        let (upper, work) = (staging.free_path(), staging.free_path());
        for dir in [&upper, &work] {
            std::fs::create_dir(dir).during(|| format!("make `{}`", dir.display()))?;
        }
        fill(&Filling {
            lowers,
            upper: &upper,
            work: &work,
        })?;
        take_after(ctx, &upper, &Layers::open(lowers)?, root)?;
        staging.sync()?;
        self.publish_tree(&upper, place)
    }
}

/// Whether a directory among those a container is stacked on is its init layer.
pub(super) fn is_init(dir: &Path) -> bool {
    dir.file_name()
        .is_some_and(|name| name.to_string_lossy().contains(MARK))
}

/// Makes what is new readable whatever the umask of this process is, and directories that are not new look as before.
fn take_after(ctx: &Context, upper: &Path, lowers: &Layers, root_layer: &Path) -> Result<()> {
    let root = content::open_dir(upper)?;
    tree::walk(ctx, root.as_fd(), &mut |node| {
        match lowers.find(&node.path)? {
            Some((_, known)) if known.is_dir() => set_time(root.as_fd(), &known)?,
            _ => set_mode(root.as_fd(), node)?,
        }
        Ok(true)
    })?;
    // It lies on top, so that its root is the one containers see.
    let layer = content::open_dir(root_layer)?;
    let status = nix::sys::stat::fstat(&layer).during(|| "look at the layer's root")?;
    let path = Vec::new();
    chain::copy_attributes(layer.as_fd(), root.as_fd(), &Node { path, status })
}

fn set_time(root: BorrowedFd<'_>, node: &Node) -> Result<()> {
    let dir = open_no_links(root, &node.path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
    let nanos = u32::try_from(node.status.st_mtime_nsec).unwrap_or(0);
    dir.and_then(|dir| set_mtime(dir.as_fd(), node.status.st_mtime, nanos))
        .during(|| format!("set the time of `{}`", node.path.escape_ascii()))
}

fn set_mode(root: BorrowedFd<'_>, node: &Node) -> Result<()> {
    let mode = if node.is_dir() { 0o755 } else { 0o644 };
    open_no_links(root, &node.path, OFlag::O_PATH)
        .and_then(|made| change_mode(made.as_fd(), mode))
        .during(|| format!("set the mode of `{}`", node.path.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::testing::{NoHolder, Shop, dir, docker_archive, file, tar};
    use crate::images::{Source, load};
    use std::cell::Cell;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_is_made_once_and_looks_like_the_image() {
        let shop = Shop::new();
        let ctx = Context::new();
        let archive = docker_archive(&[tar(&[dir("a", 0o1711), file("a/b", "1")]), tar(&[file("c", "2")])]);
        let source = Source::Reader(Box::new(archive.as_slice()));
        let image = load(&ctx, &shop.content, &NoHolder, source).unwrap().remove(0).image;
        let count = Cell::new(0);
        // What copying up and making a file in an overlay leaves.
        let fill = |filling: &Filling<'_>| {
            count.set(count.get() + 1);
            std::fs::create_dir(filling.upper.join("a")).unwrap();
            std::fs::write(filling.upper.join("a/new"), "").unwrap();
            std::fs::write(filling.work.join("litter"), "").unwrap();
            Ok(())
        };
        let lowers = || shop.content.lowers_with_init(&ctx, &image.layers, &fill).unwrap();
        let (first, second) = (lowers(), lowers());
        assert_eq!((first.len(), count.get()), (3, 1));
        assert_eq!(first, second);
        assert!(is_init(&first[0]) && !is_init(&first[1]));
        assert_eq!(first[1..], shop.content.lowers(&ctx, &image.layers).unwrap());
        let status = |dir: &PathBuf, path: &str| std::fs::metadata(dir.join(path)).unwrap();
        assert_eq!(status(&first[0], "a").mtime(), status(&first[2], "a").mtime());
        assert_eq!(status(&first[0], "").mode(), status(&first[1], "").mode());
        assert_eq!(status(&first[0], "a/new").mode() & 0o7777, 0o644);
        let staged = std::fs::read_dir(shop.path("root/ingest")).unwrap().count();
        assert_eq!(staged, 1, "only the lock stays");
        let discard = shop.content.discard().unwrap();
        discard.take_layer(&image.layers[1].diff_id).unwrap();
        assert!(
            !first[0].exists() && first[2].exists(),
            "it goes with the topmost layer"
        );
    }
}
