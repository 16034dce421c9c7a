//! An image into a registry: the blobs it lacks, then the manifest that names them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use super::copy::Flat;
use super::request::Registry;
use super::upload::{Brought, Parcel};
use crate::error::{Context as _, Error, Result};
use crate::images::compression::{Compression, Encoding, Pool, peek};
use crate::images::content::Content;
use crate::images::image::{Image, Layer};
use crate::images::jobs;
use crate::images::manifest::{self, Descriptor, OCI_CONFIG};
use crate::images::save::{Blob, Form, stored};
use crate::images::staging::Staging;
use crate::model::{Context, Digest};

/// Blobs of one image that are on their way at once.
pub(super) const AT_ONCE: usize = 4;

/// What becomes of layers on their way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packing {
    /// What layers that are not compressed become; gzip, unless said otherwise.
    pub compression: Option<Compression>,
    /// Whether those that are compressed otherwise become that, too.
    pub force: bool,
}

/// An image as it goes to registries, and where its blobs are meanwhile.
pub struct Packed {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The manifest's digest.
    pub digest: Digest,
    config: Vec<u8>,
    config_digest: Digest,
    layers: Vec<Blob>,
}

/// What a push moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that were sent.
    pub sent: u64,
    /// Bytes that the registry took from another of its repositories.
    pub mounted: u64,
    /// Bytes that were there.
    pub present: u64,
}

impl Moved {
    /// Counts what else was moved.
    pub fn add(&mut self, other: Moved) {
        self.sent += other.sent;
        self.mounted += other.mounted;
        self.present += other.present;
    }

    /// Counts a blob.
    pub(super) fn count(&mut self, brought: Brought, size: u64) {
        let part = match brought {
            Brought::Sent => &mut self.sent,
            Brought::Mounted => &mut self.mounted,
            Brought::Present => &mut self.present,
        };
        *part += size;
    }
}

impl Packing {
    /// The name of what plain layers become.
    pub fn name(&self) -> &'static str {
        match self.compression.unwrap_or(Compression::Gzip) {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

impl Packed {
    /// The layers that were compressed, and what they became: diff id, digest, size, media type.
    pub fn made(&self, image: &Image) -> Vec<(Digest, Digest, u64, String)> {
        let layers = image.layers.iter().zip(&self.layers);
        let made = layers.filter(|(_, blob)| !blob.is_stored && blob.rebuilt.is_none());
        let facts = made.map(|(layer, blob)| {
            let made = blob.descriptor.clone();
            (layer.diff_id.clone(), made.digest, made.size, made.media_type)
        });
        facts.collect()
    }

    /// The layers of which only what they became is known, and that are to be sent: digests and sizes.
    fn absent(&self) -> impl Iterator<Item = (&Digest, u64)> {
        let absent = self.layers.iter().filter(|layer| layer.path.as_os_str().is_empty());
        let sent = absent.filter(|layer| !layer.descriptor.is_undistributed());
        sent.map(|layer| (&layer.descriptor.digest, layer.descriptor.size))
    }
}

impl Packed {
    /// The layer of an image that has one, whose diff id is known.
    pub fn into_flat(self, diff_id: Digest, staging: Staging) -> Option<Flat> {
        let layer = self.layers.into_iter().next()?;
        Some(Flat {
            layer: layer.descriptor,
            diff_id,
            path: layer.path,
            staging,
        })
    }

    /// Bytes of the manifest, the configuration and all layers.
    pub fn size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|layer| layer.descriptor.size).sum();
        self.manifest.len() as u64 + self.config.len() as u64 + layers
    }
}

/// Makes an image ready: byte for byte as it is stored where that will do, else with layers that are made in the staging directory.
///
/// Errors: `corrupt` for a layer that is not what it should be.
pub fn pack(ctx: &Context, content: &Content, staging: &Staging, image: &Image, packing: Packing) -> Result<Packed> {
    let pool = Pool::new();
    let made = jobs::run(ctx, jobs::FEW, image.layers.iter().collect(), |ctx, layer: &Layer| {
        let form = Form {
            content,
            staging,
            pool: &pool,
            compression: wanted(content, layer, packing)?,
        };
        form.blob(ctx, layer)
    })?;
    assemble(content, image, made)
}

/// An image as it was made ready before, without making anything: of layers that are to be compressed only what they became is known, as
/// `known` tells by diff id. `None` where that is not enough, or where there is nothing to be made.
pub fn recall(
    content: &Content,
    image: &Image,
    packing: Packing,
    known: impl Fn(&Digest) -> Result<Option<(Digest, u64, String)>>,
) -> Result<Option<Packed>> {
    let mut made = Vec::new();
    for layer in &image.layers {
        if !content.has_blob(&layer.blob) {
            return Ok(None);
        }
        if let Some(stored) = stored(content, wanted(content, layer, packing)?, layer)? {
            made.push(stored);
            continue;
        }
        let Some((digest, size, media_type)) = known(&layer.diff_id)? else {
            return Ok(None);
        };
        made.push(Blob {
            path: PathBuf::new(),
            descriptor: Descriptor::new(&media_type, digest, size),
            is_stored: false,
            rebuilt: None,
        });
    }
    match made.iter().all(|layer| layer.is_stored) {
        true => Ok(None),
        false => assemble(content, image, made).map(Some),
    }
}

fn assemble(content: &Content, image: &Image, made: Vec<Blob>) -> Result<Packed> {
    let manifest = match made.iter().all(|layer| layer.is_stored) {
        true => content.read_blob(&image.manifest, content.limits().document)?,
        false => {
            let config = Descriptor::new(OCI_CONFIG, image.id.clone(), image.config.len() as u64);
            let layers: Vec<Descriptor> = made.iter().map(|layer| layer.descriptor.clone()).collect();
            manifest::manifest_bytes(&config, &layers)
        }
    };
    Ok(Packed {
        digest: image.manifest.same_of(&manifest),
        manifest,
        config: image.config.clone(),
        config_digest: image.id.clone(),
        layers: made,
    })
}

/// What a layer is to be made; `None` for what it is.
fn wanted(content: &Content, layer: &Layer, packing: Packing) -> Result<Option<Compression>> {
    let compression = packing.compression.unwrap_or(Compression::Gzip);
    let is_plain = match content.has_blob(&layer.blob) {
        true => peek(content.open_blob(&layer.blob)?)?.0 == Encoding::Plain,
        false => true,
    };
    Ok((packing.force || is_plain).then_some(compression))
}

impl Registry {
    /// Whether a repository has all layers of an image of which only what they became is known here.
    pub fn has_absent(&self, ctx: &Context, repository: &str, packed: &Packed) -> Result<bool> {
        for (digest, size) in packed.absent() {
            if self.blob_size(ctx, repository, digest)? != Some(size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends an image to a repository, under a tag or by its digest. `from` names repositories of the same registry that may have a
    /// blob.
    ///
    /// Errors: `unauthorized`, `denied`, `network`, `rate_limited`, `corrupt`; the tag means then what it meant before.
    pub fn push(
        &self,
        ctx: &Context,
        repository: &str,
        wanted: &str,
        packed: &Packed,
        from: &BTreeMap<Digest, Vec<String>>,
    ) -> Result<Moved> {
        let mut moved = Moved::default();
        if let Some(found) = self.standing(ctx, repository, wanted)?
            && found == packed.digest
        {
            moved.present = packed.size();
            return Ok(moved);
        }
        let parcels = packed.parcels(from);
        let told = parcels
            .iter()
            .map(|parcel| (parcel.descriptor.digest.short().to_owned(), parcel.descriptor.size));
        ctx.watcher().parts(&told.collect::<Vec<_>>());
        let brought = jobs::run(ctx, AT_ONCE, parcels, |ctx, parcel| {
            let brought = self.bring(ctx, repository, &parcel)?;
            ctx.watcher()
                .done(parcel.descriptor.digest.short(), brought != Brought::Sent);
            Ok((brought, parcel.descriptor.size))
        })?;
        brought
            .into_iter()
            .for_each(|(brought, size)| moved.count(brought, size));
        let media_type = manifest::media_type_of(&packed.manifest);
        self.put_manifest(ctx, repository, wanted, &media_type, &packed.manifest)?;
        moved.sent += packed.manifest.len() as u64;
        Ok(moved)
    }

    /// The digest that a tag stands for; `None` where there is none, or the registry does not say.
    pub(crate) fn standing(&self, ctx: &Context, repository: &str, wanted: &str) -> Result<Option<Digest>> {
        match self.head_to_push(ctx, repository, wanted) {
            Ok(head) => Ok(head.and_then(|head| head.digest)),
            Err(error) if error.kind() == crate::error::Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Packed {
    /// The configuration and each layer once, the large ones first. Layers that are not to be handed on stay where they are.
    fn parcels(&self, from: &BTreeMap<Digest, Vec<String>>) -> Vec<Parcel> {
        let mut parcels: BTreeMap<Digest, Parcel> = BTreeMap::new();
        let config = Descriptor::new(OCI_CONFIG, self.config_digest.clone(), self.config.len() as u64);
        let known = |digest: &Digest| from.get(digest).cloned().unwrap_or_default();
        let handed_on = self.layers.iter().filter(|layer| !layer.descriptor.is_undistributed());
        for layer in handed_on {
            let digest = layer.descriptor.digest.clone();
            parcels.insert(
                digest.clone(),
                Parcel {
                    descriptor: layer.descriptor.clone(),
                    source: match layer.path.as_os_str().is_empty() {
                        false => of_file(layer.path.clone()),
                        true => of_nothing(),
                    },
                    from: known(&digest),
                },
            );
        }
        parcels.insert(
            self.config_digest.clone(),
            Parcel {
                from: known(&self.config_digest),
                descriptor: config,
                source: of_bytes(self.config.clone()),
            },
        );
        let mut parcels: Vec<Parcel> = parcels.into_values().collect();
        parcels.sort_by_key(|parcel| std::cmp::Reverse(parcel.descriptor.size));
        parcels
    }
}

/// A blob that the registry had when it was asked.
fn of_nothing() -> super::upload::Source {
    Arc::new(|_| {
        let error = Error::new(
            crate::error::Kind::Conflict,
            "the registry has lost a layer since it was asked for it",
        );
        Err(error.hint("push again"))
    })
}

/// A blob in a file.
pub(super) fn of_file(path: PathBuf) -> super::upload::Source {
    Arc::new(move |offset| {
        let what = || format!("read the blob `{}`", path.display());
        let mut file = File::open(&path).during(what)?;
        file.seek(SeekFrom::Start(offset)).during(what)?;
        Ok(Box::new(file) as Box<dyn Read + Send>)
    })
}

/// A blob in memory.
pub(super) fn of_bytes(bytes: Vec<u8>) -> super::upload::Source {
    let bytes = Arc::new(bytes);
    Arc::new(move |offset| {
        let offset = usize::try_from(offset).ok().filter(|offset| *offset <= bytes.len());
        let offset = offset.ok_or_else(|| Error::internal("a blob in memory ends before where it is to be read"))?;
        Ok(Box::new(std::io::Cursor::new(bytes[offset..].to_vec())) as Box<dyn Read + Send>)
    })
}
