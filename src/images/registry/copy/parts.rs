//! What a document names, whatever kind of thing it describes: images, indexes, artifacts.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::images::limits::{self, Limits};
use crate::images::manifest::{Descriptor, check_count};

/// The descriptors of a manifest or an index.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parts {
    schema_version: Option<u64>,
    pub(super) config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    /// What artifacts of an early draft had.
    blobs: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

impl Parts {
    /// Errors: `corrupt` for what could be an index and a manifest (CVE-2021-41190), `unsupported` for schema 1.
    pub(super) fn of(bytes: &[u8], limits: &Limits) -> Result<Parts> {
        let parts: Parts = serde_json::from_slice(bytes)
            .map_err(|cause| Error::corrupt(format!("the manifest is not valid: {cause}")).source(cause))?;
        if parts.schema_version == Some(1) {
            return Err(
                Error::unsupported("the manifest has Docker's schema 1, which is no longer read")
                    .hint("push the image again with a current tool"),
            );
        }
        let is_manifest = parts.config.is_some() || parts.layers.is_some() || parts.blobs.is_some();
        if is_manifest && !parts.manifests.is_empty() {
            return Err(Error::corrupt("the manifest is an image manifest and an index as well"));
        }
        check_count(parts.manifests.len(), limits)?;
        let layers = parts.layers.iter().chain(&parts.blobs).map(Vec::len).sum::<usize>();
        match layers > limits.layers {
            true => Err(limits::exceeded(
                "the image's number of layers",
                "layers",
                limits.layers,
            )),
            false => Ok(parts),
        }
    }

    /// Its blobs, each once, the large ones first. Those that are not to be handed on stay where they are.
    pub(super) fn blobs(self) -> Vec<Descriptor> {
        let lists = [self.layers, self.blobs].into_iter().flatten().flatten();
        let mut all: Vec<Descriptor> = lists
            .chain(self.config)
            .filter(|blob| !blob.is_undistributed())
            .collect();
        all.sort_by(|one, other| (other.size, &one.digest).cmp(&(one.size, &other.digest)));
        all.dedup_by(|one, other| one.digest == other.digest);
        all
    }
}
