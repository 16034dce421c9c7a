//! Blobs: whether each is there, as long as it should be, and what its name says.

use std::collections::BTreeMap;

use super::images::{Health, Known, Stock, Users};
use super::{Checkup, Damage};
use crate::error::Result;
use crate::host::Host;
use crate::images::BlobDamage;
use crate::model::Digest;

/// What a blob is to an image.
enum Part {
    Config,
    Manifest,
    Layer,
}

impl Checkup<'_> {
    /// Looks at every blob an image needs, each once.
    pub(super) fn blobs(&mut self, stock: &Stock, health: &mut Health) -> Result<()> {
        let mut wanted: BTreeMap<&Digest, (&Known, Part, Option<u64>)> = BTreeMap::new();
        let mut users: Users<'_> = BTreeMap::new();
        for image in &stock.images {
            let row = &image.row;
            let documents = [(&row.id, Part::Config), (&row.manifest, Part::Manifest)];
            let layers = image.layers.iter();
            let layers = layers.map(|layer| (&layer.blob, Part::Layer, Some(layer.blob_size)));
            for (digest, part, size) in documents
                .map(|(digest, part)| (digest, part, None))
                .into_iter()
                .chain(layers)
            {
                wanted.entry(digest).or_insert((image, part, size));
                users.entry(digest).or_default().push(&row.id);
            }
        }
        for (digest, (image, part, size)) in wanted {
            // Where only the row's idea of the size is wrong, the bytes tell, and the row is looked at later.
            let damage = self.blob(digest, size)?;
            if matches!(damage, Some(BlobDamage::Missing)) && self.can_do_without(image, digest) {
                continue;
            }
            health.blobs.insert(digest.clone(), damage.is_none());
            if let Some(damage) = damage {
                let names = stock.shown(users[digest].iter().copied());
                let is_whole = self.damaged_blob(image, digest, &part, &damage, &names);
                health.blobs.insert(digest.clone(), is_whole);
            }
        }
        Ok(())
    }

    /// Whether the blob is of a layer whose tar can be made again without it.
    fn can_do_without(&self, image: &Known, blob: &Digest) -> bool {
        let mut layers = image.layers.iter();
        layers.any(|layer| layer.blob == *blob && self.host.content().has_recipe(&layer.diff_id))
    }

    /// Whether the blob is of a layer that is unpacked. What its tar said beside the files' content, in which order and which form,
    /// is not kept in them: that would be a recipe.
    fn has_tree(&self, image: &Known, blob: &Digest) -> bool {
        let mut layers = image.layers.iter();
        layers.any(|layer| layer.blob == *blob && self.host.content().has_layer(&layer.diff_id))
    }

    /// What is wrong with a blob that has so many bytes as far as a row knows.
    pub(super) fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Option<BlobDamage>> {
        let content = self.host.content_with(digest)?;
        let damage = content.blob_damage(self.ctx, digest, size, self.options.quick)?;
        match damage {
            Some(BlobDamage::Size(_)) if content.blob_damage(self.ctx, digest, None, false)?.is_none() => Ok(None),
            damage => Ok(damage),
        }
    }

    /// Tells of a damaged blob; whether it is whole now.
    fn damaged_blob(&mut self, image: &Known, digest: &Digest, part: &Part, damage: &BlobDamage, names: &str) -> bool {
        let (noun, host) = (noun(part), self.host);
        let (kind, detail) = match damage {
            BlobDamage::Missing => (Damage::BlobMissing, format!("{noun} of {names} is not there")),
            BlobDamage::Size(bytes) => (
                Damage::BlobSize,
                format!("{noun} of {names} has {bytes} bytes, which is not what it should have"),
            ),
            BlobDamage::Changed(how) => (Damage::BlobChanged, format!("{noun} of {names} is damaged: {how}")),
        };
        match part {
            Part::Config if digest.same_of(&image.row.config) == *digest => {
                let config = &image.row.config;
                self.found(kind, digest.as_str(), detail, || {
                    host.content().restore_blob(digest, config)
                });
            }
            Part::Manifest => self.found(kind, digest.as_str(), detail, || host.rewrite_manifest(image)),
            // What is made again from the unpacked files does as well.
            Part::Layer if self.can_do_without(image, digest) => {
                self.found(kind, digest.as_str(), detail, || {
                    host.content().discard()?.take_blob(digest).map(drop)
                });
                return false;
            }
            Part::Config | Part::Layer => {
                let detail = match part {
                    Part::Layer if self.has_tree(image, digest) => format!(
                        "{detail}; its unpacked files are there, so containers run, but the blob cannot be made of them, so the \
                         image cannot be saved"
                    ),
                    _ => detail,
                };
                let hint = "load or pull the image again, which brings the blob back";
                self.beyond_repair(kind, digest.as_str(), detail, hint);
                if self.options.repair && host.plan().is_none() && kind != Damage::BlobMissing {
                    // Under its digest it would be taken for the real one.
                    let _ = host.content().discard().and_then(|discard| discard.take_blob(digest));
                }
            }
        }
        self.problems.last().is_some_and(|problem| problem.repaired)
    }
}

fn noun(part: &Part) -> &'static str {
    match part {
        Part::Config => "the configuration",
        Part::Manifest => "the manifest",
        Part::Layer => "a layer's blob",
    }
}

impl Host {
    /// Writes an image's manifest anew. One that Hoist wrote comes out as it was; another says the same under a new digest.
    fn rewrite_manifest(&self, image: &Known) -> Result<()> {
        let manifest = image.stored().new_manifest();
        let digest = Digest::of(&manifest);
        self.content().restore_blob(&digest, &manifest)?;
        if digest == image.row.manifest {
            return Ok(());
        }
        self.write_names(|tx| tx.set_manifest(&image.row.id, &digest))
    }
}
