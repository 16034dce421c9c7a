//! Images from archives and layouts others wrote: all that one holds becomes visible together, or nothing does.

mod docker;
mod files;
#[cfg(test)]
mod form_tests;
mod oci;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::chain;
use super::compression::{Encoding, decoder, peek};
use super::config::Config;
use super::content::{self, Content};
use super::draft::{self, Draft};
use super::image::{Holder, Loaded};
use super::jobs;
use super::layer::{self, Expected, StagedLayer};
use super::links::{self, Links};
use super::source::Source;
use super::staging::Staging;
use super::tree::Layers;
use crate::error::{Error, Result};
use crate::model::{Context, Digest, Reference};
use files::Files;

/// An image as its archive describes it.
struct Found {
    /// The digest that names the configuration.
    id: Digest,
    config: Vec<u8>,
    /// Its digest and its bytes as received; `None` where the archive has none that fits.
    manifest: Option<(Digest, Vec<u8>)>,
    layers: Vec<FoundLayer>,
    names: Vec<Reference>,
    warnings: Vec<String>,
}

/// A layer as its archive describes it: the file that holds it, and what it should be.
#[derive(Clone)]
struct FoundLayer {
    file: String,
    diff_id: Digest,
    blob: Option<Digest>,
    media_type: Option<String>,
}

/// Stores every image of a docker archive (of any version), an OCI archive or an OCI layout; gzip, zstd, xz and bzip2 around it are undone.
///
/// Manifests and configurations stay byte for byte as received; a docker archive without manifest gets one. Errors: `corrupt` for
/// digests, sizes or diff ids that do not fit and for archives that are damaged; nothing is then left behind.
pub fn load(ctx: &Context, content: &Content, holder: &dyn Holder, source: Source<'_>) -> Result<Vec<Loaded>> {
    let staging = content.stage()?;
    let files = Files::open(ctx, content.limits(), &staging, source)?;
    let found = if files.has("manifest.json") {
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
    store(ctx, content, holder, &staging, &files, found)
}

fn store(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    staging: &Staging,
    files: &Files,
    found: Vec<Found>,
) -> Result<Vec<Loaded>> {
    let mut wanted: BTreeMap<(Digest, String), FoundLayer> = BTreeMap::new();
    for image in &found {
        holder.hold(&known_digests(image))?;
        wanted.extend(image.layers.iter().map(|layer| (layer.key(), layer.clone())));
    }
    let staged = staging.writing(|| {
        jobs::run(ctx, wanted.into_iter().collect(), |ctx, (key, layer)| {
            Ok((key, stage_one(ctx, content, staging, files, &layer)?))
        })
    })?;
    let staged: BTreeMap<(Digest, String), Staged> = staged.into_iter().collect();
    let (mut drafts, mut told) = (Vec::new(), Vec::new());
    for mut image in found {
        let layers: Vec<&Staged> = image.layers.iter().map(|layer| &staged[&layer.key()]).collect();
        image
            .warnings
            .extend(layers.iter().filter_map(|staged| staged.warning.clone()));
        image.warnings.extend(history_warning(&image)?);
        let layers: Vec<&StagedLayer> = layers.iter().map(|staged| &staged.layer).collect();
        check_links(ctx, content, &layers)?;
        let layers = layers.iter().map(|staged| staged.layer.clone()).collect();
        drafts.push(Draft::new((image.id, image.config), layers, image.manifest));
        told.push((image.names, image.warnings));
    }
    let layers: Vec<StagedLayer> = staged.into_values().map(|staged| staged.layer).collect();
    draft::publish(ctx, content, holder, staging, &drafts, &layers)?;
    let loaded = drafts.into_iter().zip(told).map(|(draft, (names, warnings))| Loaded {
        image: draft.image,
        names,
        warnings,
    });
    Ok(loaded.collect())
}

/// A history that tells of another number of layers than there are misleads people only.
fn history_warning(image: &Found) -> Result<Option<String>> {
    let history = Config::parse(&image.config)?.history;
    let told = history.iter().filter(|step| !step.empty_layer).count();
    let differs = !history.is_empty() && told != image.layers.len();
    let (id, layers) = (image.id.short(), image.layers.len());
    Ok(differs.then(|| format!("the history of the image `{id}` tells of {told} layers, but there are {layers}")))
}

/// Errors: `corrupt` for a hard link to what no layer below its own (lowest first) has.
fn check_links(ctx: &Context, content: &Content, layers: &[&StagedLayer]) -> Result<()> {
    if layers.iter().all(|layer| layer.links.is_empty()) {
        return Ok(());
    }
    let (mut dirs, mut links) = (Vec::<PathBuf>::new(), Vec::<&Links>::new());
    for layer in layers.iter().rev() {
        dirs.push(layer.dir(content));
        links.push(&layer.links);
        if chain::is_opaque(&dirs[dirs.len() - 1])? {
            break;
        }
    }
    links::shown(ctx, &Layers::open(&dirs)?, &links).map(drop)
}

fn known_digests(image: &Found) -> Vec<Digest> {
    let manifest = image.manifest.as_ref().map(|(digest, _)| digest.clone());
    let documents = [Some(image.id.clone()), manifest];
    let layers = image
        .layers
        .iter()
        .flat_map(|layer| [Some(layer.diff_id.clone()), layer.blob.clone()]);
    documents.into_iter().chain(layers).flatten().collect()
}

impl FoundLayer {
    /// What sets it apart from the archive's other layers.
    fn key(&self) -> (Digest, String) {
        (self.diff_id.clone(), self.file.clone())
    }
}

/// A staged layer, and what is odd about it.
struct Staged {
    layer: StagedLayer,
    warning: Option<String>,
}

fn stage_one(ctx: &Context, content: &Content, staging: &Staging, files: &Files, layer: &FoundLayer) -> Result<Staged> {
    let (encoding, input) = peek(files.reader(&layer.file)?)?;
    // Images lie about it, and other tools look at the bytes as well.
    let stated = layer
        .media_type
        .as_deref()
        .filter(|stated| !encoding.agrees_with(stated));
    let warning = stated.map(|stated| {
        let id = layer.diff_id.short();
        format!(
            "the layer `{id}` is stored as {encoding}, though its media type is `{}`",
            stated.escape_debug()
        )
    });
    let layer = stage_as(ctx, content, staging, (encoding, input), layer)?;
    Ok(Staged { layer, warning })
}

fn stage_as(
    ctx: &Context,
    content: &Content,
    staging: &Staging,
    (encoding, input): (Encoding, impl std::io::Read + Send),
    layer: &FoundLayer,
) -> Result<StagedLayer> {
    // An uncompressed blob is named by its diff id, whether or not the archive says so.
    let blob = layer
        .blob
        .clone()
        .or_else(|| (encoding == Encoding::Plain).then(|| layer.diff_id.clone()));
    if let Some(blob) = blob
        .as_ref()
        .filter(|blob| content.has_blob(blob) && content.has_layer(&layer.diff_id))
    {
        // Both are here; that they belong together is only what the archive says.
        if blob != &layer.diff_id {
            let mut plain = decoder(content.open_blob(blob)?, content.limits())?;
            let found = content::hash(ctx, &mut plain, &layer.diff_id)?;
            content::check_digest(&found, &layer.diff_id, "the uncompressed layer")?;
        }
        return StagedLayer::present(content, &layer.diff_id, blob, layer.media_type.as_deref());
    }
    let expected = Expected {
        diff_id: Some(layer.diff_id.clone()),
        blob,
        media_type: layer.media_type.clone(),
        strict_end: false,
    };
    layer::stage(ctx, content, staging, input, &expected).map_err(|error| error.target(layer.file.clone()))
}

/// Checks that a configuration lists as many layers as its manifest, and gives their diff ids.
fn diff_ids(config: &[u8], count: usize) -> Result<Vec<Digest>> {
    let diff_ids = Config::parse(config)?.rootfs.diff_ids;
    if diff_ids.len() == count {
        return Ok(diff_ids);
    }
    Err(Error::corrupt(format!(
        "the manifest lists {count} layers but the configuration {}",
        diff_ids.len()
    )))
}
