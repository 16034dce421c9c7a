//! Images from archives and layouts others wrote: all that one holds becomes visible together, or nothing does.

mod docker;
mod files;
#[cfg(test)]
mod form_tests;
mod oci;
#[cfg(test)]
mod tests;

use super::compression::{Encoding, peek};
use super::content::{self, Content};
use super::image::{Holder, Loaded};
use super::intake::{self, Found, FoundLayer, Origin, Staged, diff_ids};
use super::jobs;
use super::layer::{BlobWriter, StagedLayer};
use super::manifest::Descriptor;
use super::source::Source;
use super::staging::Staging;
use crate::error::{Error, Result};
use crate::images::watched::Watched;
use crate::model::{Context, Digest};
use files::Files;
use std::collections::BTreeMap;

/// Stores every image of a docker archive (of any version), an OCI archive or an OCI layout; gzip, zstd, xz and bzip2 around it are undone.
///
/// Manifests and configurations stay byte for byte as received; a docker archive without manifest gets one. Errors: `corrupt` for
/// digests, sizes or diff ids that do not fit and for archives that are damaged; nothing is then left behind.
pub fn load(ctx: &Context, content: &Content, holder: &dyn Holder, source: Source<'_>) -> Result<Vec<Loaded>> {
    load_so(ctx, content, holder, source, false)
}

/// The same with layers that stay packed.
pub fn load_packed(ctx: &Context, content: &Content, holder: &dyn Holder, source: Source<'_>) -> Result<Vec<Loaded>> {
    load_so(ctx, content, holder, source, true)
}

fn load_so(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    source: Source<'_>,
    packed: bool,
) -> Result<Vec<Loaded>> {
    let staging = content.stage()?;
    let files = Files::open(ctx, content.limits(), &staging, source)?;
    let mut found = if files.has("manifest.json") {
        docker::images(&files, content.limits())?
    } else if files.has("index.json") {
        oci::images(&files, content.limits())?
    } else {
        return Err(
            Error::invalid("the archive holds no images: it has neither `manifest.json` nor `index.json`")
                .hint("a tarball of a root file system becomes an image by `image::import_tar`"),
        );
    };
    if found.is_empty() {
        return Err(Error::invalid("the archive holds no images"));
    }
    let layers = found.iter_mut().flat_map(|image| &mut image.layers);
    layers.for_each(|layer| layer.packed = packed);
    let layers = found.iter().flat_map(|image| &image.layers);
    let told: BTreeMap<String, u64> = layers
        .map(|layer| (layer.diff_id.short().to_owned(), layer.size))
        .collect();
    ctx.watcher().parts(&told.into_iter().collect::<Vec<_>>());
    intake::store(ctx, content, holder, &staging, &Archive { files }, found)
}

/// An archive as where layers come from.
struct Archive {
    files: Files,
}

impl Origin for Archive {
    const AT_ONCE: usize = jobs::FEW;

    fn stage(&self, ctx: &Context, content: &Content, staging: &Staging, layer: &FoundLayer) -> Result<Staged> {
        let (encoding, input) = peek(self.files.reader(&layer.file)?)?;
        // An uncompressed blob is named by its diff id, whether or not the archive says so.
        let plain = (encoding == Encoding::Plain).then(|| layer.diff_id.clone());
        let blob = layer.blob.clone().or(plain);
        let is_here = |blob: &&Digest| content.has_blob(blob) && content.has_layer(&layer.diff_id);
        if let Some(blob) = blob.as_ref().filter(is_here) {
            // Both are here; that they belong together is only what the archive says.
            StagedLayer::check_pair(ctx, content, &layer.diff_id, blob)?;
            let present = StagedLayer::present(content, &layer.diff_id, blob, layer.media_type.as_deref())?;
            ctx.watcher().done(layer.diff_id.short(), true);
            return Ok(Staged {
                layer: present,
                warning: layer.warning(encoding),
            });
        }
        let input = Watched::new(ctx, input, layer.diff_id.short(), 0);
        let staged = intake::stage_stream(ctx, content, staging, input, layer, None)?;
        ctx.watcher().done(layer.diff_id.short(), false);
        Ok(staged)
    }
}

/// An image of which the store has every blob, and which is none of its images yet.
pub struct Adoptable {
    files: Files,
    found: Found,
}

impl Adoptable {
    /// The image id.
    pub fn id(&self) -> &Digest {
        &self.found.id
    }

    /// The digest of its manifest.
    pub fn manifest(&self) -> Option<&Digest> {
        self.found.manifest.as_ref().map(|(digest, _)| digest)
    }

    /// The blobs it is made of: configuration and layers.
    pub fn blobs(&self) -> Vec<&Digest> {
        let layers = self.found.layers.iter().filter_map(|layer| layer.blob.as_ref());
        [&self.found.id].into_iter().chain(layers).collect()
    }
}

/// The image for this machine that a stored manifest is, or leads to, if there is one. The manifest's content must be held.
///
/// Errors: `corrupt`, `unsupported` for what is no image; `not_found` for an index of images for other machines.
pub fn adoptable(content: &Content, digest: &Digest, media_type: &str) -> Result<Option<Adoptable>> {
    let files = Files::Directory(content::open_dir(&content.layout_dir())?);
    let entry = Descriptor::new(media_type, digest.clone(), content.blob_size(digest)?);
    let found = oci::for_machine(&files, content.limits(), &entry)?;
    Ok(found.map(|found| Adoptable { files, found }))
}

/// Makes an image of blobs that are here: its layers are unpacked, and nothing is copied.
///
/// Errors: `corrupt` for layers that are none, or not what the configuration says.
pub fn adopt(ctx: &Context, content: &Content, holder: &dyn Holder, image: Adoptable) -> Result<Loaded> {
    let staging = content.stage()?;
    let mut loaded = intake::store(ctx, content, holder, &staging, &Stored(image.files), vec![image.found])?;
    Ok(loaded.pop().expect("one for each"))
}

/// The store's own blobs as where layers come from.
struct Stored(Files);

impl Origin for Stored {
    const AT_ONCE: usize = jobs::FEW;

    fn stage(&self, ctx: &Context, content: &Content, staging: &Staging, layer: &FoundLayer) -> Result<Staged> {
        let blob = layer.blob.as_ref().filter(|_| content.has_layer(&layer.diff_id));
        if let Some(blob) = blob {
            StagedLayer::check_pair(ctx, content, &layer.diff_id, blob)?;
            let layer = StagedLayer::present(content, &layer.diff_id, blob, layer.media_type.as_deref())?;
            return Ok(Staged { layer, warning: None });
        }
        let sink = layer.blob.as_ref().map(BlobWriter::unwritten);
        intake::stage_stream(ctx, content, staging, self.0.reader(&layer.file)?, layer, sink)
    }
}
