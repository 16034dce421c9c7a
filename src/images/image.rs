//! An image as the store keeps it: identity, raw configuration, layers. Where the bytes are is `Content`'s business.

use serde::{Deserialize, Serialize};

use super::config::Config;
use crate::error::Result;
use crate::model::{Digest, Reference};

/// A whole image. The database keeps exactly this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The image id: the digest of the configuration.
    pub id: Digest,
    /// The digest of its manifest, whose raw bytes are a blob.
    pub manifest: Digest,
    /// The configuration's raw bytes as received; they are a blob, too.
    pub config: Vec<u8>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The digest of the uncompressed tar stream; the unpacked directory is named after it.
    pub diff_id: Digest,
    /// The digest of the blob as stored, which may be compressed.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// The blob's media type in the manifest.
    pub media_type: String,
    /// Bytes of the unpacked files' contents.
    pub size: u64,
}

/// What `load` found: an image and the names its archive gave it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The image, stored.
    pub image: Image,
    /// Its names; none where the archive has none that is a whole reference.
    pub names: Vec<Reference>,
    /// What is odd about it and does no harm.
    pub warnings: Vec<String>,
}

/// Keeps content alive: called before an existing blob or layer is relied on and before a new one is published.
///
/// Digests of blobs and diff ids of layers are passed alike; whoever collects garbage must spare both.
pub trait Holder: Sync {
    /// Holds the content until the holder is dropped or the images are recorded.
    fn hold(&self, digests: &[Digest]) -> Result<()>;
}

impl Image {
    /// The configuration, parsed. Errors: `corrupt` if it is not an image configuration.
    pub fn config(&self) -> Result<Config> {
        Config::parse(&self.config)
    }

    /// Every digest the image needs: manifest, configuration, blobs and diff ids.
    pub fn digests(&self) -> Vec<Digest> {
        let layers = self
            .layers
            .iter()
            .flat_map(|layer| [layer.blob.clone(), layer.diff_id.clone()]);
        let mut all: Vec<Digest> = [self.manifest.clone(), self.id.clone()]
            .into_iter()
            .chain(layers)
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// Bytes of all unpacked layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}
