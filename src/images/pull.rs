//! An image from a registry: in one pass each layer comes from the socket, is hashed, kept, inflated, hashed again and unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::choice;
use super::config::Config;
use super::content::Content;
use super::image::{Holder, Loaded};
use super::intake::{self, Found, FoundLayer, Origin, Staged, diff_ids};
use super::layer::StagedLayer;
use super::limits;
use super::manifest::{Descriptor, Document, Manifest};
use super::partial::Partial;
use super::registry::{Download, Received, Registry, Traffic};
use super::staging::Staging;
use super::watched::Watched;
use crate::error::{Error, Kind, Result};
use crate::model::{Context, Digest, Platform, Reference};

/// What is to be brought here, and from where.
pub struct Wanted<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// The repository there.
    pub repository: &'a str,
    /// The tag or digest there.
    pub version: &'a str,
    /// Another platform than this machine's.
    pub platform: Option<&'a Platform>,
    /// The names it gets here.
    pub names: Vec<Reference>,
    /// Layers and blobs that are known to belong together, as diff id and digest.
    pub pairs: &'a BTreeSet<(Digest, Digest)>,
    /// Layers that are not here stay packed until their files are wanted.
    pub packed: bool,
}

/// What a pull brought.
pub struct Pulled {
    /// The image.
    pub loaded: Loaded,
    /// The digest that the registry has for the tag: the manifest's, or that of the index it was chosen from.
    pub digest: Digest,
    /// What was fetched, until the image is in sight: should the process die before, the next pull has it.
    pub parts: Parts,
}

/// Parts that have become blobs.
pub struct Parts {
    _parts: BTreeMap<Digest, Partial>,
}

/// Brings an image here. Nothing of it is visible before all of it is; layers and blobs that are here are not fetched, and what a transfer
/// that ended brought of a blob is not fetched again.
///
/// Errors: those of the registry; `not_found` for a platform that there is no image for; `corrupt`; `no_space`.
pub fn pull(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    wanted: &Wanted<'_>,
    traffic: &Arc<Traffic>,
) -> Result<Pulled> {
    let limits = content.limits();
    let top = wanted.registry.manifest(ctx, wanted.repository, wanted.version)?;
    let digest = top.digest.clone();
    let (received, manifest, mut warnings) = manifest_of(ctx, limits, wanted, top)?;
    let config = wanted.registry.document(ctx, wanted.repository, &manifest.config)?;
    warnings.extend(check_platform(&config, wanted.platform)?);
    let layers = layers_of(&config, &manifest, wanted.packed)?;
    let told = manifest
        .layers
        .iter()
        .map(|layer| (layer.digest.short().to_owned(), layer.size));
    ctx.watcher().parts(&told.collect::<Vec<_>>());
    let found = Found {
        id: manifest.config.digest.clone(),
        config,
        manifest: Some((received.digest, received.bytes)),
        layers,
        names: wanted.names.clone(),
        warnings,
    };
    let staging = content.stage()?;
    let partials = partials(ctx, content, wanted, &found)?;
    let described = manifest
        .layers
        .iter()
        .map(|layer| (layer.digest.clone(), layer))
        .collect();
    let order = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
    let remote = Remote {
        wanted,
        order,
        described,
        partials,
        traffic,
    };
    let stored = intake::store(ctx, content, holder, &staging, &remote, vec![found]);
    let mut loaded = stored.inspect_err(|error| remote.give_back(error))?;
    let loaded = loaded
        .pop()
        .ok_or_else(|| Error::internal("an image went missing on its way in"))?;
    let parts = Parts {
        _parts: remote.partials,
    };
    Ok(Pulled { loaded, digest, parts })
}

/// The manifest that is meant, through indexes within bounds, with what is odd about the choice.
fn manifest_of(
    ctx: &Context,
    limits: &limits::Limits,
    wanted: &Wanted<'_>,
    top: Received,
) -> Result<(Received, Manifest, Vec<String>)> {
    let (mut received, mut warnings) = (top, Vec::new());
    for _ in 0..=limits.index_depth {
        let what = || wanted.registry.asking(wanted.repository, received.digest.as_str());
        match received.document(limits).map_err(|error| error.during(what()))? {
            Document::Manifest(manifest) => return Ok((received, manifest, warnings)),
            Document::Index(entries) => {
                let (entry, warning) = choice::choose(entries, wanted.platform)?;
                warnings.extend(warning);
                received = wanted
                    .registry
                    .manifest(ctx, wanted.repository, entry.digest.as_str())?;
                if received.bytes.len() as u64 != entry.size {
                    let (found, size) = (received.bytes.len(), entry.size);
                    let message = format!(
                        "the manifest `{}` has {found} bytes, and should have {size}",
                        entry.digest
                    );
                    return Err(Error::corrupt(message));
                }
            }
        }
    }
    Err(limits::exceeded(
        "the depth of indexes within indexes",
        "index_depth",
        limits.index_depth,
    ))
}

/// Errors: `not_found` if the image is not for the platform that was asked for. One for another than this machine's is told.
fn check_platform(config: &[u8], wanted: Option<&Platform>) -> Result<Option<String>> {
    let config = Config::parse(config)?;
    if config.os.is_empty() || config.architecture.is_empty() {
        return Ok(None);
    }
    let own = Platform {
        os: config.os,
        architecture: config.architecture,
        variant: config.variant,
    };
    let machine = wanted.cloned().unwrap_or_else(Platform::machine);
    match (machine.suits(&own), wanted) {
        (Some(_), _) => Ok(None),
        (None, None) => Ok(Some(choice::mismatch(&own.to_string(), &machine))),
        (None, Some(wanted)) => Err(Error::not_found(format!(
            "the image is for `{own}` alone, not for `{wanted}`"
        ))),
    }
}

fn layers_of(config: &[u8], manifest: &Manifest, packed: bool) -> Result<Vec<FoundLayer>> {
    let diff_ids = diff_ids(config, manifest.layers.len())?;
    let layers = manifest.layers.iter().zip(diff_ids).map(|(layer, diff_id)| FoundLayer {
        file: layer.digest.to_string(),
        diff_id,
        blob: Some(layer.digest.clone()),
        media_type: Some(layer.media_type.clone()).filter(|text| !text.is_empty()),
        size: layer.size,
        packed,
    });
    Ok(layers.collect())
}

/// Whether a layer is here as far as it is needed: its tree, and its blob or what makes it again; where it is to be packed, its blob.
fn is_here(content: &Content, layer: &FoundLayer, blob: &Digest) -> bool {
    let is_unpacked = content.has_layer(&layer.diff_id);
    let is_packed = layer.packed && content.is_packed(&layer.diff_id);
    (is_unpacked || is_packed) && content.has_blob(blob) || is_unpacked && content.has_recipe(&layer.diff_id)
}

/// The parts of all blobs that have to be fetched.
fn partials(ctx: &Context, content: &Content, wanted: &Wanted<'_>, found: &Found) -> Result<BTreeMap<Digest, Partial>> {
    let missing = found.layers.iter().filter_map(|layer| {
        let blob = layer.blob.as_ref()?;
        (!is_here(content, layer, blob) && !content.has_blob(blob)).then(|| blob.clone())
    });
    // The order in which they are locked.
    let missing: BTreeSet<Digest> = missing.collect();
    let what = format!("wait for others that fetch from `{}`", wanted.registry.name());
    let partials = missing.into_iter().map(|blob| {
        let partial = content.partial(ctx, &blob).map_err(|error| error.during(&what))?;
        Ok((blob, partial))
    });
    partials.collect()
}

/// A registry as where layers come from.
struct Remote<'a> {
    wanted: &'a Wanted<'a>,
    /// The blobs, that of the lowest layer first.
    order: Vec<Digest>,
    described: BTreeMap<Digest, &'a Descriptor>,
    partials: BTreeMap<Digest, Partial>,
    traffic: &'a Arc<Traffic>,
}

impl Origin for Remote<'_> {
    /// While some wait for the network, others unpack.
    const AT_ONCE: usize = 4;

    fn stage(&self, ctx: &Context, content: &Content, staging: &Staging, layer: &FoundLayer) -> Result<Staged> {
        let blob = layer
            .blob
            .as_ref()
            .ok_or_else(|| Error::internal("a registry's layer has a digest"))?;
        let staged = if is_here(content, layer, blob) {
            self.present(ctx, content, layer, blob)?
        } else if content.has_blob(blob) {
            intake::stage_stream(ctx, content, staging, content.open_blob(blob)?, layer, None)?
        } else {
            let staged = self.fetched(ctx, content, staging, layer, blob);
            let staged = staged.map_err(|error| self.place(ctx, error, blob))?;
            ctx.watcher().done(blob.short(), false);
            return Ok(staged);
        };
        ctx.watcher().done(blob.short(), true);
        Ok(staged)
    }
}

impl Remote<'_> {
    fn present(&self, ctx: &Context, content: &Content, layer: &FoundLayer, blob: &Digest) -> Result<Staged> {
        let media_type = layer.media_type.as_deref();
        let layer = match content.has_blob(blob) {
            true => {
                // That they belong together is only what the registry says, unless they were seen to.
                if !self.wanted.pairs.contains(&(layer.diff_id.clone(), blob.clone())) {
                    StagedLayer::check_pair(ctx, content, &layer.diff_id, blob)?;
                }
                StagedLayer::present(content, &layer.diff_id, blob, media_type)?
            }
            false => {
                let media_type = media_type.unwrap_or_default();
                StagedLayer::without_blob(content, &layer.diff_id, (blob, layer.size), media_type)?
            }
        };
        Ok(Staged { layer, warning: None })
    }

    /// Fetches what is not here of a blob. Bytes from before that turn out to be wrong are fetched again, once.
    fn fetched(
        &self,
        ctx: &Context,
        content: &Content,
        staging: &Staging,
        layer: &FoundLayer,
        blob: &Digest,
    ) -> Result<Staged> {
        let missing = || Error::internal("a blob to fetch has a place to go");
        let (partial, described) = (self.partials.get(blob).ok_or_else(missing)?, self.described[blob]);
        let had = match partial.len()? {
            had if had <= described.size => had,
            _ => {
                partial.clear()?;
                0
            }
        };
        let staged = self.stream(ctx, content, staging, layer, (partial, had));
        match staged {
            Err(error) if error.kind() == Kind::Corrupt => {
                partial.clear()?;
                if had == 0 {
                    return Err(error);
                }
                self.traffic.again.fetch_add(had, Ordering::Relaxed);
                self.stream(ctx, content, staging, layer, (partial, 0))
                    .inspect_err(|_| drop(partial.clear()))
            }
            staged => staged,
        }
    }

    /// What would have been gone on from fills a disk that is full.
    fn give_back(&self, error: &Error) {
        if error.kind() == Kind::NoSpace {
            self.partials.values().for_each(|partial| drop(partial.clear()));
        }
    }

    fn stream(
        &self,
        ctx: &Context,
        content: &Content,
        staging: &Staging,
        layer: &FoundLayer,
        (partial, had): (&Partial, u64),
    ) -> Result<Staged> {
        let described = self.described[layer.blob.as_ref().expect("a registry's layer has a digest")];
        let (registry, repository) = (self.wanted.registry, self.wanted.repository);
        let download = Download::new(ctx, registry, repository, described, had, self.traffic);
        let watched = Watched::new(ctx, download, described.digest.short(), had);
        let input = partial.reader(had)?.chain(watched);
        intake::stage_stream(ctx, content, staging, input, layer, Some(partial.sink(had)?))
    }

    /// The error with which of the layers it was about.
    fn place(&self, ctx: &Context, error: Error, blob: &Digest) -> Error {
        let place = self.order.iter().position(|layer| layer == blob).unwrap_or_default() + 1;
        let what = format!("bring in layer {place} of {}", self.order.len());
        match (ctx.check(), self.wanted.names.first()) {
            // It failed for nothing of its own.
            (Err(_), _) => error,
            (Ok(()), Some(name)) => error.during(format!("{what} of `{}`", name.familiar())),
            (Ok(()), None) => error.during(what),
        }
    }
}
