//! OCI layouts, in a directory or an archive (OCI image-spec, image-layout.md).

use super::files::Files;
use super::{FoundLayer, diff_ids};
use crate::error::{Error, Result};
use crate::images::choice::{self, rank};
use crate::images::config::Config;
use crate::images::content::check_digest;
use crate::images::limits::{self, Limits};
use crate::images::manifest::{self, Descriptor, Document, IMAGE_NAME, Manifest, REF_NAME};
use crate::model::{Digest, Platform, Reference};

/// A manifest as found, with the names its index gives it.
#[derive(Clone)]
pub(super) struct Found {
    digest: Digest,
    bytes: Vec<u8>,
    pub(super) parts: Manifest,
    names: Vec<Reference>,
    warnings: Vec<String>,
}

/// The images of a layout.
pub(super) fn images(files: &Files, limits: &Limits) -> Result<Vec<super::Found>> {
    manifests(files, limits)?
        .iter()
        .map(|found| found.image(files, limits, found.names.clone()))
        .collect()
}

/// The image for this machine that a manifest is or leads to, if there is one.
pub(super) fn for_machine(files: &Files, limits: &Limits, entry: &Descriptor) -> Result<Option<super::Found>> {
    let found = manifest_of(files, limits, entry, 0)?.image(files, limits, Vec::new())?;
    let platform = Config::parse(&found.config)?.platform();
    Ok(Platform::machine().suits(&platform).map(|_| found))
}

/// The manifests of a layout, each once; of one image for several platforms, the one for this machine.
pub(super) fn manifests(files: &Files, limits: &Limits) -> Result<Vec<Found>> {
    let index = files.document("index.json", limits)?;
    let Document::Index(entries) = manifest::parse(&index, limits)? else {
        return Err(Error::corrupt("`index.json` is not an index"));
    };
    let mut found: Vec<Found> = Vec::new();
    for entry in one_per_name(&entries) {
        let next = manifest_of(files, limits, &entry, 0)?;
        let names = names(&entry);
        match found.iter_mut().find(|known| known.bytes == next.bytes) {
            Some(known) => known.names.extend(
                names
                    .into_iter()
                    .filter(|name| !known.names.contains(name))
                    .collect::<Vec<_>>(),
            ),
            None => found.push(Found { names, ..next }),
        }
    }
    Ok(found)
}

/// Drops attestations, and where one name stands for several platforms, all but the one that suits this machine best.
fn one_per_name(entries: &[Descriptor]) -> Vec<Descriptor> {
    let images = || entries.iter().filter(|entry| !entry.is_attestation());
    let machine = Platform::machine();
    let is_better = |one: &Descriptor, other: &Descriptor| match (rank(one, &machine), rank(other, &machine)) {
        (Some(one), Some(other)) => one < other,
        (one, _) => one.is_some() && other.platform.is_some(),
    };
    let has_better = |entry: &Descriptor| {
        let name = entry.annotation(REF_NAME);
        images().any(|other| other.annotation(REF_NAME) == name && is_better(other, entry))
    };
    images().filter(|entry| !has_better(entry)).cloned().collect()
}

/// The manifest a descriptor leads to, through indexes within bounds.
fn manifest_of(files: &Files, limits: &Limits, entry: &Descriptor, depth: usize) -> Result<Found> {
    let bytes = blob(files, limits, entry)?;
    match manifest::parse_described(&bytes, entry, limits)? {
        Document::Manifest(parts) => Ok(Found {
            digest: entry.digest.clone(),
            bytes,
            parts,
            names: Vec::new(),
            warnings: Vec::new(),
        }),
        Document::Index(_) if depth >= limits.index_depth => Err(limits::exceeded(
            "the depth of indexes within indexes",
            "index_depth",
            limits.index_depth,
        )),
        Document::Index(entries) => {
            let (entry, warning) = pick(files, entries)?;
            let mut found = manifest_of(files, limits, &entry, depth + 1)?;
            found.warnings.extend(warning);
            Ok(found)
        }
    }
}

/// The entry that suits this machine best, of those the archive has; a single one is taken whatever it is for, with a warning.
fn pick(files: &Files, entries: Vec<Descriptor>) -> Result<(Descriptor, Option<String>)> {
    let mut images: Vec<Descriptor> = entries.into_iter().filter(|entry| !entry.is_attestation()).collect();
    // An index may be saved whole with one platform's image: the others are not meant.
    if images.iter().any(|entry| files.has(&path_of(&entry.digest))) {
        images.retain(|entry| files.has(&path_of(&entry.digest)));
    }
    choice::choose(images, None)
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// A document blob, verified.
fn blob(files: &Files, limits: &Limits, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let bytes = files.document(&path_of(&descriptor.digest), limits)?;
    check_size(&descriptor.digest, descriptor.size, bytes.len() as u64)?;
    check_digest(&descriptor.digest.same_of(&bytes), &descriptor.digest, "the blob")?;
    Ok(bytes)
}

fn check_size(digest: &Digest, stated: u64, found: u64) -> Result<()> {
    if stated == found {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "the blob `{digest}` should have {stated} bytes but has {found}"
    )))
}

/// The error for a layer whose licence kept it out of the archive.
fn undistributed(layer: &Descriptor) -> Error {
    Error::unsupported(format!(
        "the archive lacks the layer `{}`, which its maker does not let others hand on (`{}`)",
        layer.digest,
        layer.media_type.escape_debug()
    ))
    .hint("save the image with the tool that has the layer, and tell it to include such layers")
}

/// Names that are whole references; a bare tag such as `latest` names no repository.
fn names(entry: &Descriptor) -> Vec<Reference> {
    let is_whole = |text: &&str| text.contains([':', '/']);
    let full = entry
        .annotation(IMAGE_NAME)
        .or_else(|| entry.annotation(REF_NAME).filter(is_whole));
    full.and_then(|text| text.parse().ok()).into_iter().collect()
}

impl Found {
    /// Whether the archive has every layer.
    pub(super) fn is_whole(&self, files: &Files) -> bool {
        self.parts.layers.iter().all(|layer| files.has(&path_of(&layer.digest)))
    }

    /// The image, its configuration read and its layers checked in number and size.
    pub(super) fn image(&self, files: &Files, limits: &Limits, names: Vec<Reference>) -> Result<super::Found> {
        let config = blob(files, limits, &self.parts.config)?;
        let diff_ids = diff_ids(&config, self.parts.layers.len())?;
        let layers = self.parts.layers.iter().zip(diff_ids).map(|(layer, diff_id)| {
            let file = path_of(&layer.digest);
            if layer.is_undistributed() && !files.has(&file) {
                return Err(undistributed(layer));
            }
            check_size(&layer.digest, layer.size, files.reader(&file)?.size())?;
            let media_type = Some(layer.media_type.clone()).filter(|text| !text.is_empty());
            Ok(FoundLayer {
                file,
                diff_id,
                blob: Some(layer.digest.clone()),
                media_type,
                size: layer.size,
                packed: false,
            })
        });
        Ok(super::Found {
            layers: layers.collect::<Result<_>>()?,
            id: self.parts.config.digest.clone(),
            config,
            manifest: Some((self.digest.clone(), self.bytes.clone())),
            names,
            warnings: self.warnings.clone(),
        })
    }
}
