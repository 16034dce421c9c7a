//! What a container changed becomes a layer, and with its base an image.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::archive::{Entry, Kind};
use super::config::{Config, RunConfig, Step};
use super::content::{self, Content};
use super::draft::{self, Draft};
use super::image::{Holder, Image};
use super::layer::{self, Expected, StagedLayer};
use super::pack::Packer;
use super::pipe::{self, Inlet};
use super::staging::Staging;
use super::tree::{self, Layers, Node};
use super::upper::{self, Finding};
use super::{changes, import, init_layer};
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Platform};

/// How a commit becomes an image.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Dockerfile lines ([`changes::apply`]).
    pub changes: Vec<String>,
    /// A remark for the history.
    pub message: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// The command the history tells.
    pub created_by: Option<String>,
    /// How its containers run, before `changes`; the base's if none is given.
    pub config: Option<RunConfig>,
    /// One layer with all there is instead of one more.
    pub squash: bool,
}

/// Makes an image of `base` and the upper directory over `lowers` (topmost first): one more layer of the blob's plain tar.
///
/// Whiteouts and opaque directories are told as OCI layers do; sockets are left out; what is as it was below is not repeated. The same
/// upper directory gives the same layer. Errors: `conflict` if a file shrinks meanwhile, `unsupported` for names a layer cannot hold.
pub fn commit(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    base: Option<&Image>,
    lowers: &[PathBuf],
    upper: &Path,
    options: &CommitOptions,
) -> Result<Image> {
    let mut config = match base {
        Some(base) => base.config()?,
        None => Config::for_platform(&Platform::host()),
    };
    if let Some(run) = &options.config {
        config.config = run.clone();
    }
    changes::apply(&mut config.config, &options.changes)?;
    config.author = options.author.clone().or(config.author);
    let staging = content.stage()?;
    let layer = stage(ctx, content, &staging, |ctx, out| match options.squash {
        true => pack_merged(ctx, upper, lowers, out),
        false => pack_upper(ctx, upper, lowers, out),
    })?;
    let created_by = options.created_by.clone();
    let step = Step {
        created_by,
        comment: options.message.clone(),
        author: options.author.clone(),
        ..Step::default()
    };
    if options.squash {
        config.rootfs.diff_ids.clear();
        config.history.clear();
        return import::finish(ctx, content, holder, &staging, config, layer, step);
    }
    stack(ctx, content, holder, &staging, base, config, layer, step)
}

/// Publishes the base's layers with one more on top.
#[expect(clippy::too_many_arguments, reason = "what an image is made of")]
fn stack(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    staging: &Staging,
    base: Option<&Image>,
    mut config: Config,
    layer: StagedLayer,
    step: Step,
) -> Result<Image> {
    let mut layers = base.map(|base| base.layers.clone()).unwrap_or_default();
    if layers.len() >= content.limits().layers {
        return Err(
            Error::unsupported(format!("the image has {} layers already", layers.len()))
                .hint("commit with `squash: true`"),
        );
    }
    layers.push(layer.layer.clone());
    let now = jiff::Timestamp::now().to_string();
    config.created = Some(now.clone());
    config.rootfs.diff_ids.push(layer.layer.diff_id.clone());
    config.history.push(Step {
        created: Some(now),
        ..step
    });
    let draft = Draft::from_config(&config, layers);
    draft::publish(ctx, content, holder, staging, std::slice::from_ref(&draft), &[layer])?;
    Ok(draft.image)
}

/// Stages a layer from a tar that another thread makes meanwhile.
pub(crate) fn stage(
    ctx: &Context,
    content: &Content,
    staging: &Staging,
    pack: impl FnOnce(&Context, &mut dyn Write) -> Result<()> + Send,
) -> Result<StagedLayer> {
    let (feed, stream) = pipe::queue(None);
    std::thread::scope(|scope| {
        let packer = scope.spawn(move || {
            let mut out = Inlet::new(feed);
            pack(ctx, &mut out)?;
            out.end().during(|| "write the layer")
        });
        let staged = staging.writing(|| layer::stage(ctx, content, staging, stream, &Expected::default()));
        pipe::first_cause(packer.join().expect("a packer does not panic"), staged)
    })
}

fn open(upper: &Path, lowers: &[PathBuf]) -> Result<(OwnedFd, Layers)> {
    Ok((content::open_dir(upper)?, Layers::open(lowers)?))
}

fn pack_upper(ctx: &Context, upper: &Path, lowers: &[PathBuf], out: &mut dyn Write) -> Result<()> {
    let (root, lowers) = open(upper, lowers)?;
    let mut packer = Packer::new(out);
    upper::compare(ctx, root.as_fd(), &lowers, &mut |node, finding| {
        let (parent, name) = tree::split(&node.path);
        match finding {
            Finding::Deleted => packer.bare(&mark(parent, &[b".wh.", name].concat())),
            Finding::Opaque => packer.bare(&mark(&node.path, b".wh..wh..opq")),
            _ => {
                check_name(node, name)?;
                packer.node(ctx, root.as_fd(), node)
            }
        }
    })?;
    packer.finish().map(drop)
}

fn pack_merged(ctx: &Context, upper: &Path, lowers: &[PathBuf], out: &mut dyn Write) -> Result<()> {
    // What was made for containers alone is not the image's.
    let lowers = lowers.iter().filter(|dir| !init_layer::is_init(dir));
    let dirs: Vec<PathBuf> = std::iter::once(upper.to_owned()).chain(lowers.cloned()).collect();
    let layers = Layers::open(&dirs)?;
    let mut packer = Packer::new(out);
    packer.root(layers.root(0)?.as_fd())?;
    layers.walk(ctx, &mut |place, node| {
        check_name(node, tree::split(&node.path).1)?;
        packer.node(ctx, layers.root(place)?.as_fd(), node)
    })?;
    packer.finish().map(drop)
}

fn mark(parent: &[u8], name: &[u8]) -> Entry {
    Entry::new(tree::join(parent, name), Kind::Regular, 0o644)
}

/// In a layer a name that starts like a whiteout is one.
fn check_name(node: &Node, name: &[u8]) -> Result<()> {
    if !name.starts_with(b".wh.") {
        return Ok(());
    }
    let path = Path::new("/").join(OsStr::from_bytes(&node.path));
    Err(Error::unsupported(format!(
        "`{}` cannot be kept in an image: names that start with `.wh.` mean deletions",
        path.display()
    ))
    .hint("rename or remove it before the commit"))
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
