//! Docker archives as a side of a copy: the image passes through a content store of its own, packed, and nothing of it stays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::copy::CopyOptions;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::registry::{Copied, Copying, Layout, Moved, Packing, Side, copy, pack};
use crate::images::{self, Content, Format, Holder, Image, Source};
use crate::model::{Context, Digest, Platform, Reference};

/// What is before the path of an archive.
const ARCHIVE: &str = "docker-archive:";

/// An archive, and the name of an image in it.
struct Archive {
    path: PathBuf,
    name: Option<Reference>,
}

/// An image on its way, and the name it comes with.
struct Passing {
    image: Image,
    name: Option<Reference>,
}

/// Whether a side of a copy is an archive.
pub(super) fn is_archive(text: &str) -> bool {
    text.starts_with(ARCHIVE)
}

/// The path of an archive; `None` for what is no archive.
pub(super) fn path_of(text: &str) -> Option<PathBuf> {
    Archive::parse(text).ok().flatten().map(|archive| archive.path)
}

impl Archive {
    /// `docker-archive:PATH` or `docker-archive:PATH:NAME`; `None` for what is no archive.
    fn parse(text: &str) -> Result<Option<Archive>> {
        let Some(rest) = text.strip_prefix(ARCHIVE) else {
            return Ok(None);
        };
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.parse()?)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(Error::invalid(format!("`{text}` has no path")).hint("write `docker-archive:PATH:NAME`"));
        }
        let path = path.into();
        Ok(Some(Archive { path, name }))
    }
}

impl Host {
    /// Copies one image out of a docker archive, into one, or both. To a registry layers go compressed, as by a push.
    ///
    /// Errors: as of [`Host::copy_image`]; `invalid` for options that no archive can hold.
    pub(super) fn copy_by_archive(&self, ctx: &Context, from: &str, to: &str, options: &CopyOptions) -> Result<Copied> {
        if options.referrers || options.digest_tags || options.platforms.0.len() > 1 {
            return Err(Error::invalid(
                "a docker archive holds images for one platform, and nothing that refers to them",
            )
            .hint("copy to `oci-dir:PATH:NAME` in its place"));
        }
        let staging = self.new_content()?.stage()?;
        let content = Content::open(&staging.free_path(), &self.config().limits)?;
        let passing = self.pass(ctx, &content, from, options)?;
        if let Some(archive) = Archive::parse(to)? {
            return self.write_archive(ctx, &content, passing, (from, to), archive);
        }
        match self.side(ctx, to, &options.asking())? {
            Side::Layout(layout) => self.write_layout(ctx, &content, passing, (from, to), layout),
            Side::Registry {
                registry,
                repository,
                wanted,
            } => {
                let packed = pack(ctx, &content, &staging, &passing.image, Packing::default())?;
                let digest = packed.digest.clone();
                let name = to.parse()?;
                self.check_remote_move(ctx, &name, &digest, &options.asking())?;
                if self.planned("registry::copy", to, &format!("{from}, {digest}")) {
                    self.imagine_name(&name, Some(&digest));
                    return Ok(copied(digest, Moved::default()));
                }
                let moved = registry.push(ctx, &repository, &wanted, &packed, &BTreeMap::new())?;
                Ok(copied(digest, moved))
            }
        }
    }

    fn write_archive(
        &self,
        ctx: &Context,
        content: &Content,
        passing: Passing,
        (from, to): (&str, &str),
        archive: Archive,
    ) -> Result<Copied> {
        let digest = passing.image.manifest.clone();
        let mut moved = Moved::default();
        if !self.planned("registry::copy", to, &format!("{from}, {digest}")) {
            let names = archive.name.or(passing.name).into_iter().collect();
            let images = [(&passing.image, names)];
            moved.sent = images::save(ctx, content, &images, &archive.path, Format::Docker, None)?.size;
        }
        Ok(copied(digest, moved))
    }

    fn write_layout(
        &self,
        ctx: &Context,
        content: &Content,
        passing: Passing,
        (from, to): (&str, &str),
        layout: Layout,
    ) -> Result<Copied> {
        let digest = passing.image.manifest.clone();
        if self.planned("registry::copy", to, &format!("{from}, {digest}")) {
            return Ok(copied(digest, Moved::default()));
        }
        let layout = match passing.name.as_ref().and_then(Reference::tag) {
            Some(name) => layout.or_name(name),
            None => layout,
        };
        super::copy::make_layout(&layout)?;
        let size = content.blob_size(&digest)?;
        let reference = passing.name.unwrap_or("image:latest".parse()?);
        content.write_index(&[(reference, digest, size)])?;
        let (source, dest) = (Layout::at(&content.layout_dir()), Side::Layout(layout));
        copy(
            ctx,
            &self.config().limits,
            &Side::Layout(source),
            &dest,
            &Copying::default(),
        )
    }

    /// Brings an image into a content store that it passes through, packed; from elsewhere by a layout that it passes through as well.
    fn pass(&self, ctx: &Context, content: &Content, from: &str, options: &CopyOptions) -> Result<Passing> {
        if let Some(archive) = Archive::parse(from)? {
            return loaded(ctx, content, &archive, &options.copying()?);
        }
        let source = self.side(ctx, from, &options.asking())?;
        let staging = self.new_content()?.stage()?;
        let layout = Layout::at(&staging.free_path());
        super::copy::make_layout(&layout)?;
        let mut copying = options.copying()?;
        if copying.platforms.is_empty() {
            copying.platforms.push(Platform::machine());
        }
        let limits = &self.config().limits;
        copy(ctx, limits, &source, &Side::Layout(layout.clone()), &copying)
            .map_err(|error| error.during(format!("copy `{from}`")))?;
        let archive = Archive {
            path: layout.dir().to_owned(),
            name: None,
        };
        let image = loaded(ctx, content, &archive, &copying)?.image;
        let name = match source {
            Side::Registry { .. } => from.parse::<Reference>()?.tagged(),
            Side::Layout(_) => None,
        };
        Ok(Passing { image, name })
    }
}

/// The image that is meant of an archive: of that name, or the only one. Errors: `not_found`, `invalid`.
fn loaded(ctx: &Context, content: &Content, archive: &Archive, copying: &Copying) -> Result<Passing> {
    let Archive { path, name } = archive;
    let mut all = images::load_packed(ctx, content, &Unheld, Source::Path(path))?;
    let is_meant = |found: &Reference| name.as_ref().is_none_or(|name| found == name);
    all.retain(|image| name.is_none() || image.names.iter().any(is_meant));
    let names: Vec<String> = all
        .iter()
        .flat_map(|image| &image.names)
        .map(Reference::familiar)
        .collect();
    let shown = path.display();
    let image = match (all.pop(), all.is_empty()) {
        (Some(image), true) => image,
        (None, _) => return Err(Error::not_found(format!("`{shown}` has no such image")).target(shown.to_string())),
        (Some(_), false) => {
            let hint = format!("write one of its names behind the path: {}", names.join(", "));
            return Err(Error::invalid(format!("`{shown}` has several images")).hint(hint));
        }
    };
    let config = image.image.config()?;
    let own = Platform {
        os: config.os,
        architecture: config.architecture,
        variant: config.variant,
    };
    if let Some(platform) = copying.platforms.iter().find(|platform| platform.suits(&own).is_none()) {
        let text = format!("the image in `{shown}` is for `{own}` alone, not for `{platform}`");
        return Err(Error::not_found(text));
    }
    Ok(Passing {
        name: image.names.into_iter().find(is_meant),
        image: image.image,
    })
}

fn copied(digest: Digest, moved: Moved) -> Copied {
    Copied {
        digest,
        unchanged: false,
        moved,
        manifests: 1,
    }
}

/// Nobody else sees a content store that images pass through.
pub(super) struct Unheld;

impl Holder for Unheld {
    fn hold(&self, _: &[Digest]) -> Result<()> {
        Ok(())
    }
}
