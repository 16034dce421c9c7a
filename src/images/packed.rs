//! Layers that are kept as they came, in their blobs alone, until somebody wants their files.
//!
//! That a layer is one of them is told by the file `layers/<diffid>.packed`, which has the bytes of its files. A layer that is neither
//! unpacked nor one of them was lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::content::{Content, Record};
use super::image::Layer;
use super::layer::{self, BlobWriter, Expected, StagedLayer};
use super::staging::Staging;
use super::{compression, content, jobs};
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Digest};

/// What is said of a packed layer.
#[derive(Serialize, Deserialize)]
struct Mark {
    size: u64,
}

impl Content {
    fn packed_path(&self, diff_id: &Digest) -> PathBuf {
        self.layers_dir().join(format!("{}.packed", diff_id.hex()))
    }

    /// Whether a layer is kept packed.
    pub fn is_packed(&self, diff_id: &Digest) -> bool {
        !self.has_layer(diff_id) && self.packed_path(diff_id).is_file()
    }

    /// The little that is known of a packed layer.
    pub(super) fn packed_record(&self, diff_id: &Digest) -> Result<Record> {
        let path = self.packed_path(diff_id);
        let bytes = std::fs::read(&path).during(|| format!("read `{}`", path.display()))?;
        let mark: Mark = serde_json::from_slice(&bytes)
            .map_err(|cause| Error::corrupt(format!("`{}` is not valid: {cause}", path.display())))?;
        Ok(Record {
            size: mark.size,
            ..Record::default()
        })
    }

    /// Stages a mark for a layer whose files have so many bytes.
    pub(super) fn stage_mark(staging: &Staging, size: u64) -> Result<PathBuf> {
        let path = staging.free_path();
        let bytes = serde_json::to_vec(&Mark { size }).expect("a mark is plain data");
        std::fs::write(&path, bytes).during(|| format!("write `{}`", path.display()))?;
        Ok(path)
    }

    /// Makes a staged mark visible.
    pub(super) fn publish_mark(&self, mark: &Path, diff_id: &Digest) -> Result<()> {
        std::fs::rename(mark, self.packed_path(diff_id)).during(|| format!("store the layer `{diff_id}`"))
    }

    /// A layer that has been unpacked is packed no more.
    pub(super) fn unmark(&self, diff_id: &Digest) {
        // One that stays says nothing beside the tree.
        let _ = std::fs::remove_file(self.packed_path(diff_id));
    }

    /// Whether the blob of a packed layer holds it. Errors: `corrupt`.
    pub fn verify_packed(&self, ctx: &Context, layer: &Layer) -> Result<()> {
        let mut plain = compression::decoder(self.open_blob(&layer.blob)?, self.limits())?;
        let found = content::hash(ctx, &mut plain, &layer.diff_id)?;
        content::check_digest(&found, &layer.diff_id, "the uncompressed layer")
    }

    /// Unpacks layers that a content, this one or another, has in their blobs, and this one has not unpacked. They must be held.
    ///
    /// Errors: `corrupt` for blobs that are not what they should be, `no_space`.
    pub fn unpack_from<'a>(
        &self,
        ctx: &Context,
        other: &Content,
        layers: impl Iterator<Item = &'a Layer>,
    ) -> Result<()> {
        let missing: BTreeMap<&Digest, &Layer> = layers
            .filter(|layer| !self.has_layer(&layer.diff_id))
            .map(|layer| (&layer.diff_id, layer))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let staging = self.stage()?;
        let missing = missing.into_values().collect();
        let staged = staging.writing(|| {
            jobs::run(ctx, jobs::FEW, missing, |ctx, layer| {
                self.stage_tree(ctx, &staging, other, layer)
            })
        })?;
        staging.sync()?;
        staged.iter().try_for_each(|layer| layer.publish(self))?;
        self.settle()
    }

    fn stage_tree(&self, ctx: &Context, staging: &Staging, other: &Content, layer: &Layer) -> Result<StagedLayer> {
        let expected = Expected {
            diff_id: Some(layer.diff_id.clone()),
            ..Expected::default()
        };
        let staged = match other.has_blob(&layer.blob) {
            true => {
                let blob = BlobWriter::unwritten(&layer.blob);
                let expected = Expected {
                    blob: Some(layer.blob.clone()),
                    ..expected
                };
                layer::stage_into(ctx, self, staging, other.open_blob(&layer.blob)?, &expected, blob)
            }
            false => {
                let blob = BlobWriter::unwritten(&layer.diff_id);
                layer::stage_into(ctx, self, staging, other.rebuilt(&layer.diff_id)?, &expected, blob)
            }
        };
        staged.during(|| format!("unpack the layer `{}`", layer.diff_id))
    }
}
