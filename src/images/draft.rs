//! Images that are whole but not visible yet, and the one act that makes them so.

use super::config::Config;
use super::content::Content;
use super::image::{Holder, Image, Layer};
use super::layer::StagedLayer;
use super::manifest::{self, Descriptor, OCI_CONFIG};
use super::staging::Staging;
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest};

/// An image and the bytes of its manifest.
pub(crate) struct Draft {
    pub(crate) image: Image,
    manifest: Vec<u8>,
}

impl Draft {
    /// An image from its configuration, with the digest that names it, and its layers. Without a manifest as received, with the digest
    /// that names that, a new one describes it.
    pub(crate) fn new(
        (id, config): (Digest, Vec<u8>),
        layers: Vec<Layer>,
        manifest: Option<(Digest, Vec<u8>)>,
    ) -> Draft {
        let (digest, manifest) = manifest.unwrap_or_else(|| {
            let bytes = manifest_of(&id, &config, &layers);
            (Digest::of(&bytes), bytes)
        });
        Draft {
            image: Image {
                id,
                manifest: digest,
                config,
                layers,
            },
            manifest,
        }
    }

    /// An image with one more layer than its configuration lists, or as many.
    pub(crate) fn from_config(config: &Config, layers: Vec<Layer>) -> Draft {
        let bytes = config.to_bytes();
        Draft::new((Digest::of(&bytes), bytes), layers, None)
    }

    fn stage(&self, content: &Content, staging: &Staging) -> Result<Vec<(std::path::PathBuf, Digest)>> {
        let documents = [
            (&self.image.id, &self.image.config),
            (&self.image.manifest, &self.manifest),
        ];
        let missing = documents.into_iter().filter(|(digest, _)| !content.has_blob(digest));
        let write = |(digest, bytes): (&Digest, &Vec<u8>)| {
            let path = staging.free_path();
            std::fs::write(&path, bytes).during(|| format!("write `{}`", path.display()))?;
            Ok((path, digest.clone()))
        };
        missing.map(write).collect()
    }
}

/// The bytes of a new manifest for a configuration and layers.
pub(crate) fn manifest_of(id: &Digest, config: &[u8], layers: &[Layer]) -> Vec<u8> {
    let described = Descriptor::new(OCI_CONFIG, id.clone(), config.len() as u64);
    let layers = layers.iter();
    let layers = layers.map(|layer| Descriptor::new(&layer.media_type, layer.blob.clone(), layer.blob_size));
    manifest::manifest_bytes(&described, &layers.collect::<Vec<_>>())
}

/// Makes staged layers and the images made of them visible: held first, then written to disk once, then renamed into place.
pub(crate) fn publish(
    ctx: &Context,
    content: &Content,
    holder: &dyn Holder,
    staging: &Staging,
    drafts: &[Draft],
    layers: &[StagedLayer],
) -> Result<()> {
    let mut documents = Vec::new();
    for draft in drafts {
        holder.hold(&draft.image.digests())?;
        documents.extend(draft.stage(content, staging)?);
    }
    ctx.check()?;
    if documents.is_empty() && !layers.iter().any(StagedLayer::is_new) {
        // All of it is there, but maybe only since a moment, and not on disk yet.
        return content.settle();
    }
    // What is held gets to disk with it, before anything is visible: after a power cut it says what to look for.
    staging.sync()?;
    for layer in layers {
        layer.publish(content)?;
    }
    for (path, digest) in &documents {
        content.publish_blob(path, digest)?;
    }
    content.settle()
}
