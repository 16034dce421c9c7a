//! Docker archives: `manifest.json` and what it names, in the form of up to Docker 24 and, as an OCI layout as well, from Docker 25 on.

use super::files::Files;
use super::oci;
use super::{Found, FoundLayer, diff_ids};
use crate::error::{Error, Result};
use crate::images::content::check_digest;
use crate::images::limits::Limits;
use crate::images::manifest::{self, SavedImage};
use crate::model::{Digest, Reference};

/// The images of a docker archive.
pub(super) fn images(files: &Files, limits: &Limits) -> Result<Vec<Found>> {
    let saved = manifest::parse_saved(&files.document("manifest.json", limits)?, limits)?;
    // From Docker 25 on the archive is a layout, too, and knows the manifests; a broken or missing index only costs them.
    let manifests = if files.has("index.json") {
        oci::manifests(files, limits).unwrap_or_default()
    } else {
        Vec::new()
    };
    saved
        .iter()
        .map(|image| found(files, limits, image, &manifests))
        .collect()
}

fn found(files: &Files, limits: &Limits, saved: &SavedImage, manifests: &[oci::Found]) -> Result<Found> {
    let config = files.document(&saved.config, limits)?;
    let named = digest_in(&saved.config);
    let id = named
        .as_ref()
        .map_or_else(|| Digest::of(&config), |named| named.same_of(&config));
    if let Some(named) = named {
        check_digest(&id, &named, "the image configuration")?;
    }
    let names = names(saved)?;
    let fits = |manifest: &&oci::Found| manifest.parts.config.digest == id && manifest.is_whole(files);
    if let Some(manifest) = manifests.iter().find(fits) {
        return manifest.image(files, limits, names);
    }
    let paths = saved.layers.as_deref().unwrap_or_default();
    let diff_ids = diff_ids(&config, paths.len())?;
    let layers = paths
        .iter()
        .zip(diff_ids)
        .map(|(path, diff_id)| layer(path, diff_id))
        .collect();
    Ok(Found {
        id,
        config,
        manifest: None,
        layers,
        names,
        warnings: Vec::new(),
    })
}

fn layer(path: &str, diff_id: Digest) -> FoundLayer {
    // Only below `blobs/` is a file named by its own digest; elsewhere the name may be that of the uncompressed layer.
    let blob = path.strip_prefix("blobs/").and_then(|_| digest_in(path));
    FoundLayer {
        file: path.to_owned(),
        diff_id,
        blob,
        media_type: None,
        size: 0,
        packed: false,
    }
}

/// The digest a file name claims: `<hex>.json`, `blobs/sha256/<hex>`.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)).ok()
}

fn names(saved: &SavedImage) -> Result<Vec<Reference>> {
    let tags = saved.repo_tags.as_deref().unwrap_or_default();
    let parse = |tag: &String| {
        let bad = |error: Error| {
            error
                .with_kind(crate::error::Kind::Corrupt)
                .during("read the archive's names")
        };
        tag.parse::<Reference>().map_err(bad)
    };
    tags.iter().map(parse).collect()
}
