//! A tarball of a root file system becomes an image of one layer.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::config::{Config, Step};
use super::content::Content;
use super::draft::{self, Draft};
use super::image::{Holder, Image};
use super::layer::{self, Expected, StagedLayer};
use super::links;
use super::source::{self, Opened, Source};
use super::staging::Staging;
use super::{changes, compression, overlay, tree};
use crate::error::{Context as _, Error, Result};
use crate::images::watched::Watched;
use crate::model::{Context, Platform};

/// How an imported tarball becomes an image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Dockerfile lines ([`changes::apply`]).
    pub changes: Vec<String>,
    /// A remark for the history.
    pub message: Option<String>,
    /// The platform; this machine's if none is given.
    pub platform: Option<Platform>,
}

/// What those who watch are told the tar is called.
const WHOLE: &str = "tar";

/// Stores a root file system, a tar that may be wrapped in gzip, zstd, xz or bzip2, as an image whose layer blob is the plain tar.
///
/// Errors: `corrupt` for a damaged or incomplete tar, `invalid` for changes that are none.
pub fn import_tar(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    source: Source<'_>,
    options: &ImportOptions,
) -> Result<Image> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let mut config = Config::for_platform(&platform);
    changes::apply(&mut config.config, &options.changes)?;
    let staging = content.stage()?;
    let layer = unpacked(ctx, content, &staging, source)?;
    let step = Step {
        created_by: Some("import".to_owned()),
        comment: options.message.clone(),
        ..Step::default()
    };
    finish(ctx, content, holder, &staging, config, layer, step)
}

/// The files of a tar, in a directory that goes with this value.
pub struct UnpackedTar {
    dir: PathBuf,
    _staging: Staging,
}

impl UnpackedTar {
    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Unpacks a tar that may be wrapped in gzip, zstd, xz or bzip2, and is no layer.
///
/// Errors: `corrupt` for a damaged or incomplete tar, `invalid` for one with marks of a layer or links to what it does not have.
pub fn unpack_tar(ctx: &Context, content: &Content, source: Source<'_>) -> Result<UnpackedTar> {
    let staging = content.stage()?;
    let layer = unpacked(ctx, content, &staging, source)?;
    if let Some((path, target)) = layer.links.first_key_value() {
        return Err(links::missing(path, target));
    }
    let dir = layer.into_tree()?;
    let root = File::open(&dir).during(|| format!("open `{}`", dir.display()))?;
    tree::walk_marked(
        ctx,
        root.as_fd(),
        &mut |node| match overlay::is_whiteout(&node.status) {
            true => Err(Error::invalid(format!(
                "`{}` says that a file is removed, which only layers of images say",
                tree::absolute(&node.path).display()
            ))),
            false => Ok(true),
        },
    )?;
    Ok(UnpackedTar { dir, _staging: staging })
}

/// Unpacks a tar into a staging directory.
fn unpacked(ctx: &Context, content: &Content, staging: &Staging, source: Source<'_>) -> Result<StagedLayer> {
    let input: Box<dyn Read + Send + '_> = match source {
        Source::Reader(input) => input,
        Source::Path(path) if path.is_dir() => {
            return Err(Error::invalid(format!(
                "`{}` is a directory, not a tarball",
                path.display()
            )));
        }
        Source::Standard => source::standard(ctx)?,
        Source::Path(path) => match source::open(ctx, path)? {
            Opened::File(file) => {
                let size = file.metadata().map_or(0, |facts| facts.len());
                ctx.watcher().parts(&[(WHOLE.to_owned(), size)]);
                Box::new(file)
            }
            Opened::Stream(stream) => stream,
        },
    };
    let input = Watched::new(ctx, input, WHOLE, 0);
    let plain = compression::decoder(input, content.limits())?;
    let expected = Expected {
        strict_end: true,
        ..Expected::default()
    };
    let layer = staging.writing(|| layer::stage(ctx, content, staging, plain, &expected))?;
    ctx.watcher().done(WHOLE, false);
    Ok(layer)
}

/// Makes a configuration's image of the one new layer on top of none, and publishes it.
pub(crate) fn finish(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    staging: &Staging,
    mut config: Config,
    layer: StagedLayer,
    step: Step,
) -> Result<Image> {
    if let Some((path, target)) = layer.links.first_key_value() {
        return Err(links::missing(path, target));
    }
    let now = jiff::Timestamp::now().to_string();
    config.created = Some(now.clone());
    config.rootfs.diff_ids.push(layer.layer.diff_id.clone());
    config.history.push(Step {
        created: Some(now),
        ..step
    });
    let draft = Draft::from_config(&config, vec![layer.layer.clone()]);
    draft::publish(ctx, content, holder, staging, std::slice::from_ref(&draft), &[layer])?;
    Ok(draft.image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::images::testing::{NoHolder, Shop, file, tar};

    fn import(shop: &Shop, bytes: &[u8], changes: &[&str]) -> Result<Image> {
        let changes = changes.iter().map(|line| (*line).to_owned()).collect();
        let options = ImportOptions {
            changes,
            message: Some("m".into()),
            platform: None,
        };
        import_tar(
            &Context::new(),
            &shop.content,
            &NoHolder,
            Source::Reader(Box::new(bytes)),
            &options,
        )
    }

    #[test]
    fn a_tarball_becomes_an_image_of_one_plain_layer() {
        let shop = Shop::new();
        let bytes = tar(&[file("a", "hello")]);
        let image = import(&shop, &bytes, &["CMD [\"/a\"]"]).unwrap();
        let layer = &image.layers[0];
        assert_eq!(
            (&layer.blob, &layer.diff_id, layer.size),
            (&layer.diff_id, &crate::model::Digest::of(&bytes), 5)
        );
        let config = image.config().unwrap();
        assert_eq!(
            (config.config.cmd.clone().unwrap(), config.platform()),
            (vec!["/a".to_owned()], Platform::host())
        );
        assert_eq!(config.history[0].comment.as_deref(), Some("m"));
        shop.content.verify_layer(&Context::new(), layer).unwrap();
    }

    #[test]
    fn an_incomplete_tarball_or_a_bad_change_leaves_nothing() {
        let whole = tar(&[file("a", "hello")]);
        for (bytes, changes, kind) in [
            (&whole[..whole.len() - 1024], &[][..], Kind::Corrupt),
            (&whole[..600], &[], Kind::Corrupt),
            (&whole, &["X y"], Kind::Invalid),
            (b"not a tar", &[], Kind::Corrupt),
        ] {
            let shop = Shop::new();
            assert_eq!(import(&shop, bytes, changes).unwrap_err().kind(), kind);
            assert!(shop.is_empty());
        }
    }
}
