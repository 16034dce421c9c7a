//! Repositories: the blobs and manifests that were pushed, or are kept of other registries, beside those of images.

use std::collections::{BTreeMap, HashSet};

use super::images::Stock;
use super::{Checkup, Damage};
use crate::error::Result;
use crate::host::Host;
use crate::images::BlobDamage;
use crate::model::{ByteSize, Digest, Repository};

/// What a repository has under a digest.
struct Kept {
    repository: Repository,
    size: u64,
    is_manifest: bool,
    /// Whether it can be had again from where it came.
    is_cached: bool,
}

impl Checkup<'_> {
    /// Looks at every blob and manifest of a repository that no image has, each once.
    pub(super) fn repositories(&mut self, stock: &Stock) -> Result<()> {
        let mut known: HashSet<&Digest> = HashSet::new();
        for image in &stock.images {
            known.extend([&image.row.id, &image.row.manifest]);
            known.extend(image.layers.iter().map(|layer| &layer.blob));
        }
        let (host, mut wanted) = (self.host, self.host.kept()?);
        wanted.retain(|digest, _| !known.contains(digest));
        for (digest, kept) in wanted {
            let Some(damage) = self.blob(&digest, Some(kept.size))? else {
                continue;
            };
            let noun = if kept.is_manifest { "a manifest" } else { "a blob" };
            let what = format!("{noun} of the repository `{}`", kept.repository);
            let (kind, detail) = match damage {
                BlobDamage::Missing => (Damage::BlobMissing, format!("{what} is not there")),
                BlobDamage::Size(bytes) => (
                    Damage::BlobSize,
                    format!("{what} has {} instead of {}", ByteSize(bytes), ByteSize(kept.size)),
                ),
                BlobDamage::Changed(how) => (Damage::BlobChanged, format!("{what} is damaged: {how}")),
            };
            if kept.is_cached {
                // It is fetched again when somebody wants it.
                self.found(kind, digest.as_str(), detail, || host.forget_cached(&digest));
                continue;
            }
            self.beyond_repair(kind, digest.as_str(), detail, "push it again, which brings it back");
            if self.options.repair && host.plan().is_none() && kind != Damage::BlobMissing {
                // Under its digest it would be taken for the real one, and nobody would send that.
                let _ = host.content().discard().and_then(|discard| discard.take_blob(&digest));
            }
        }
        Ok(())
    }
}

impl Host {
    /// What repositories have; of what is in several, one that was pushed there.
    fn kept(&self) -> Result<BTreeMap<Digest, Kept>> {
        self.store().read(|tx| {
            let mut all = BTreeMap::new();
            for (repository, part, is_manifest) in tx.registry_content()? {
                all.entry(part.digest).or_insert(Kept {
                    repository,
                    size: part.size,
                    is_manifest,
                    is_cached: false,
                });
            }
            for row in tx.cached_manifests()?.into_iter().chain(tx.cached_blobs()?) {
                all.entry(row.digest).or_insert(Kept {
                    repository: row.repository,
                    size: row.size,
                    is_manifest: row.media_type.is_some(),
                    is_cached: true,
                });
            }
            Ok(all)
        })
    }

    /// Takes damaged content out of what is kept of other registries.
    fn forget_cached(&self, digest: &Digest) -> Result<()> {
        self.store().write(|tx| {
            let all = tx.cached_manifests()?.into_iter().chain(tx.cached_blobs()?);
            for row in all.filter(|row| row.digest == *digest) {
                match row.media_type {
                    Some(_) => tx.delete_cached_manifest(&row.repository, digest)?,
                    None => tx.delete_cached_blob(&row.repository, digest)?,
                }
            }
            match self.content().has_blob(digest) {
                true => self.content().discard()?.take_blob(digest).map(drop),
                false => Ok(()),
            }
        })
    }
}
