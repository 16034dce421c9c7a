//! Images on their way in, wherever they come from: their layers staged side by side, checked together, published at once.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use super::chain;
use super::compression::{Encoding, peek};
use super::config::Config;
use super::content::Content;
use super::draft::{self, Draft};
use super::image::{Holder, Loaded};
use super::jobs;
use super::layer::{self, BlobWriter, Expected, StagedLayer};
use super::links::{self, Links};
use super::staging::Staging;
use super::tree::Layers;
use crate::error::{Error, Result};
use crate::model::{Context, Digest, Reference};

/// An image as where it comes from describes it.
pub(super) struct Found {
    /// The digest that names the configuration.
    pub(super) id: Digest,
    pub(super) config: Vec<u8>,
    /// Its digest and its bytes as received; `None` where there is none that fits.
    pub(super) manifest: Option<(Digest, Vec<u8>)>,
    pub(super) layers: Vec<FoundLayer>,
    pub(super) names: Vec<Reference>,
    pub(super) warnings: Vec<String>,
}

/// A layer as where it comes from describes it: what holds it there, and what it should be.
#[derive(Clone)]
pub(super) struct FoundLayer {
    pub(super) file: String,
    pub(super) diff_id: Digest,
    pub(super) blob: Option<Digest>,
    pub(super) media_type: Option<String>,
    /// Bytes of the blob, as far as they are told; the big ones are begun first.
    pub(super) size: u64,
    /// It is kept packed until its files are wanted.
    pub(super) packed: bool,
}

/// Where layers come from.
pub(super) trait Origin: Sync {
    /// Layers that are brought in at once.
    const AT_ONCE: usize;

    /// Brings one in.
    fn stage(&self, ctx: &Context, content: &Content, staging: &Staging, layer: &FoundLayer) -> Result<Staged>;
}

/// A staged layer, and what is odd about it.
pub(super) struct Staged {
    pub(super) layer: StagedLayer,
    pub(super) warning: Option<String>,
}

/// Brings in images with all their layers: they are visible together, or none of them is.
pub(super) fn store<O: Origin>(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    staging: &Staging,
    origin: &O,
    found: Vec<Found>,
) -> Result<Vec<Loaded>> {
    let mut wanted: BTreeMap<(Digest, String), FoundLayer> = BTreeMap::new();
    for image in &found {
        holder.hold(&known_digests(image))?;
        wanted.extend(image.layers.iter().map(|layer| (layer.key(), layer.clone())));
    }
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_by_key(|(_, layer)| std::cmp::Reverse(layer.size));
    let staged = staging.writing(|| {
        jobs::run(ctx, O::AT_ONCE, wanted, |ctx, (key, layer)| {
            Ok((key, origin.stage(ctx, content, staging, &layer)?))
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
    // Of a stack that is not unpacked as a whole it is found out when it is.
    let is_packed = layers.iter().any(|layer| layer.is_packed(content));
    if is_packed || layers.iter().all(|layer| layer.links.is_empty()) {
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

/// Stages a layer from its stream; its blob is kept where `sink` says, or in a file of its own.
pub(super) fn stage_stream(
    ctx: &Context,
    content: &Content,
    staging: &Staging,
    input: impl Read + Send,
    layer: &FoundLayer,
    sink: Option<BlobWriter>,
) -> Result<Staged> {
    let (encoding, input) = peek(input)?;
    let warning = layer.warning(encoding);
    // An uncompressed blob is named by its diff id, whether or not anyone says so.
    let plain = (encoding == Encoding::Plain).then(|| layer.diff_id.clone());
    let expected = Expected {
        diff_id: Some(layer.diff_id.clone()),
        blob: layer.blob.clone().or(plain),
        media_type: layer.media_type.clone(),
        strict_end: false,
        packed: layer.packed,
    };
    let staged = match sink {
        Some(sink) => layer::stage_into(ctx, content, staging, input, &expected, sink),
        None => layer::stage(ctx, content, staging, input, &expected),
    };
    let layer = staged.map_err(|error| error.target(layer.file.clone()))?;
    Ok(Staged { layer, warning })
}

impl FoundLayer {
    /// What is odd about a layer that is stored so. Images lie about it, and other tools look at the bytes as well.
    pub(super) fn warning(&self, encoding: Encoding) -> Option<String> {
        let stated = self
            .media_type
            .as_deref()
            .filter(|stated| !encoding.agrees_with(stated))?;
        let id = self.diff_id.short();
        let stated = stated.escape_debug();
        Some(format!(
            "the layer `{id}` is stored as {encoding}, though its media type is `{stated}`"
        ))
    }
}

/// Checks that a configuration lists as many layers as its manifest, and gives their diff ids.
pub(super) fn diff_ids(config: &[u8], count: usize) -> Result<Vec<Digest>> {
    let diff_ids = Config::parse(config)?.rootfs.diff_ids;
    if diff_ids.len() == count {
        return Ok(diff_ids);
    }
    Err(Error::corrupt(format!(
        "the manifest lists {count} layers but the configuration {}",
        diff_ids.len()
    )))
}
