//! Content that nothing needs any more, and its removal.

use super::Host;
use crate::error::Result;
use crate::model::Digest;
use crate::store::{LayerRow, Tx};

/// Blobs and layers that a removed image may have been the last to need.
#[derive(Default)]
pub(super) struct Candidates {
    blobs: Vec<Digest>,
    layers: Vec<Digest>,
}

impl Candidates {
    /// Adds what an image is made of.
    pub(super) fn add(&mut self, id: &Digest, manifest: &Digest, layers: &[LayerRow]) {
        self.blobs.extend([id.clone(), manifest.clone()]);
        self.blobs.extend(layers.iter().map(|layer| layer.blob.clone()));
        self.layers.extend(layers.iter().map(|layer| layer.diff_id.clone()));
    }
}

impl Host {
    /// Removes those candidates that no image and no lease needs; returns the bytes given back.
    ///
    /// The rows are gone already. Content moves to the trash inside a writing transaction: a process that wants to rely on it
    /// has taken its lease before, which is seen here, or takes it after, and then sees that the content is gone.
    pub(super) fn collect(&self, mut candidates: Candidates) -> Result<u64> {
        candidates.blobs.sort_unstable();
        candidates.blobs.dedup();
        candidates.layers.sort_unstable();
        candidates.layers.dedup();
        if self.plan().is_some() {
            return self.would_collect(&candidates);
        }
        // Deleting thousands of files takes time: that happens when the trash is dropped, after the transaction.
        let trash = self.content().trash()?;
        self.store().write(|tx| {
            let mut bytes = 0;
            for blob in unneeded(tx, &candidates.blobs)? {
                bytes += trash.take_blob(blob)?;
            }
            for layer in unneeded(tx, &candidates.layers)? {
                bytes += trash.take_layer(layer)?;
            }
            Ok(bytes)
        })
    }

    fn would_collect(&self, candidates: &Candidates) -> Result<u64> {
        self.store().read(|tx| {
            let blobs = unneeded(tx, &candidates.blobs)?.map(|blob| self.content().blob_size(blob).unwrap_or(0));
            let layers = unneeded(tx, &candidates.layers)?.map(|layer| self.content().layer_size(layer).unwrap_or(0));
            Ok(blobs.chain(layers).sum())
        })
    }

    /// Removes all content that nothing needs, such as what an interrupted load left behind.
    pub(super) fn collect_orphans(&self) -> Result<u64> {
        let candidates = Candidates {
            blobs: self.content().blobs()?,
            layers: self.content().layers()?,
        };
        self.collect(candidates)
    }
}

/// Those that no image and no lease needs.
fn unneeded<'a>(tx: &Tx, digests: &'a [Digest]) -> Result<impl Iterator<Item = &'a Digest>> {
    let needed = tx.needed(digests)?;
    Ok(digests.iter().filter(move |digest| !needed.contains(digest)))
}
