//! Content that nothing needs any more, and its removal.

use std::collections::HashSet;

use super::Host;
use crate::error::{Error, Kind, Result};
use crate::model::Digest;
use crate::store::{LayerRow, Lease, Tx};

/// Blobs and layers that a removed image may have been the last to need.
#[derive(Default)]
pub(super) struct Candidates {
    pub(super) blobs: Vec<Digest>,
    pub(super) layers: Vec<Digest>,
}

impl Candidates {
    /// Adds what an image is made of.
    pub(super) fn add(&mut self, id: &Digest, manifest: &Digest, layers: &[LayerRow]) {
        self.blobs.extend([id.clone(), manifest.clone()]);
        self.blobs.extend(layers.iter().map(|layer| layer.blob.clone()));
        self.layers.extend(layers.iter().map(|layer| layer.diff_id.clone()));
    }

    /// Adds content that may be blobs, or layers, or both.
    pub(super) fn add_any(&mut self, digests: Vec<Digest>) {
        self.blobs.extend(digests.iter().cloned());
        self.layers.extend(digests);
    }

    /// All of them, each once.
    pub(super) fn into_digests(self) -> Vec<Digest> {
        let Candidates { mut blobs, layers } = self;
        blobs.extend(layers);
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }

    /// One blob.
    pub(super) fn blob(digest: &Digest) -> Candidates {
        Candidates {
            blobs: vec![digest.clone()],
            layers: Vec::new(),
        }
    }

    /// One layer.
    pub(super) fn layer(digest: &Digest) -> Candidates {
        Candidates {
            blobs: Vec::new(),
            layers: vec![digest.clone()],
        }
    }

    fn unneeded(tx: &Tx, blobs: &[Digest], layers: &[Digest]) -> Result<Candidates> {
        Ok(Candidates {
            blobs: unneeded(tx, blobs)?.into_iter().cloned().collect(),
            layers: unneeded(tx, layers)?.into_iter().cloned().collect(),
        })
    }

    fn sorted(mut self) -> Candidates {
        for digests in [&mut self.blobs, &mut self.layers] {
            digests.sort_unstable();
            digests.dedup();
        }
        self
    }
}

impl Host {
    /// Removes images' rows by `work`, and then what only they needed; returns the bytes given back.
    ///
    /// What may have become garbage is noted in a lease by the transaction that takes the rows away: should this process die
    /// before the content is gone as well, the next one to open the store goes on from there.
    pub(super) fn remove_rows(&self, work: impl FnOnce(&Tx, &mut Candidates) -> Result<()>) -> Result<u64> {
        let mut candidates = Candidates::default();
        if self.plan().is_some() {
            self.write_names(|tx| work(tx, &mut candidates))?;
            return self.would_collect(&candidates.sorted());
        }
        let lease = self.store().lease(&self.lease_dir())?;
        self.write_names(|tx| {
            work(tx, &mut candidates)?;
            lease.hold_within(tx, &candidates.blobs)?;
            lease.hold_within(tx, &candidates.layers)
        })?;
        let collected = self.collect(&[lease.owner().to_owned()], &candidates.sorted());
        Ok(collected.unwrap_or_else(|_| {
            // The images are gone. What they leave gives nothing back yet: the next process to open the store sees to it.
            lease.abandon();
            0
        }))
    }

    /// Brings content in under a lease. What has become visible and no image came to need is removed again: all of it after a
    /// failure, and blobs of an image that was there already with others, in another compression.
    pub(super) fn bring_in<T>(&self, work: impl FnOnce(&Lease) -> Result<T>) -> Result<T> {
        self.make_room()?;
        let outcome = work(&*self.hold()?);
        outcome.map_err(|error| self.without_room(error, "an image"))
    }

    /// The error with the place where there is no room, if that is it: its own words are about a path in a layer, or about a mount.
    pub(super) fn without_room(&self, error: Error, thing: &str) -> Error {
        match error.kind() {
            Kind::NoSpace => error.during(format!("store {thing} in `{}`", self.config().root.display())),
            _ => error,
        }
    }

    /// Ends these leases and removes what they held and nothing else needs; returns the bytes given back.
    pub(super) fn collect_leases(&self, owners: &[String]) -> Result<u64> {
        let mut candidates = Candidates::default();
        self.store().read(|tx| {
            for owner in owners {
                candidates.add_any(tx.held_by(owner)?);
            }
            Ok(())
        })?;
        self.collect(owners, &candidates.sorted())
    }

    /// Ends these leases and removes those candidates that no image and no other lease needs; returns the bytes given back.
    ///
    /// The rows are gone already. Content is taken out of sight inside a writing transaction: a process that wants to rely on it
    /// has taken its lease before, which is seen here, or takes it after, and then sees that the content is gone.
    fn collect(&self, leases: &[String], candidates: &Candidates) -> Result<u64> {
        if candidates.blobs.is_empty() && candidates.layers.is_empty() {
            return Ok(0);
        }
        let taken = self.store().write(|tx| {
            leases.iter().try_for_each(|owner| tx.delete_lease(owner))?;
            let blobs = unneeded(tx, &candidates.blobs)?;
            let layers = unneeded(tx, &candidates.layers)?;
            if blobs.is_empty() && layers.is_empty() {
                return Ok(None);
            }
            let discard = self.content().discard()?;
            let mut bytes = 0;
            for blob in blobs {
                bytes += discard.take_blob(blob)?;
            }
            for layer in layers {
                bytes += discard.take_layer(layer)?;
            }
            Ok(Some((discard, bytes)))
        })?;
        // Deleting thousands of files takes time: that happens here, when what was taken is dropped, after the transaction.
        Ok(taken.map_or(0, |(_discard, bytes)| bytes))
    }

    fn would_collect(&self, candidates: &Candidates) -> Result<u64> {
        let Candidates { blobs, layers } = self
            .store()
            .read(|tx| Candidates::unneeded(tx, &candidates.blobs, &candidates.layers))?;
        let of_blobs = blobs.iter().map(|blob| self.content().blob_size(blob).unwrap_or(0));
        let of_layers = layers.iter().map(|layer| self.content().layer_size(layer).unwrap_or(0));
        let bytes = of_blobs.chain(of_layers).sum();
        self.imagined().freed.extend(blobs.into_iter().chain(layers));
        Ok(bytes)
    }

    /// Removes those candidates that nothing needs.
    pub(super) fn collect_these(&self, candidates: Candidates) -> Result<u64> {
        self.collect(&[], &candidates.sorted())
    }

    /// Content that nothing needs and nobody is about to need or to remove.
    pub(super) fn orphans(&self) -> Result<Candidates> {
        let content = self.content();
        let (blobs, layers) = (content.blobs()?, content.layers()?);
        let suspects = self.store().read(|tx| Candidates::unneeded(tx, &blobs, &layers))?;
        if suspects.blobs.is_empty() && suspects.layers.is_empty() {
            return Ok(suspects);
        }
        // In a writing transaction nobody takes a lease or gives one back: what is there without one is nobody's.
        self.store().write(|tx| {
            let (blobs, layers) = (content.blobs()?, content.layers()?);
            let there = |all: &[Digest], suspects: Vec<Digest>| {
                let all: HashSet<&Digest> = all.iter().collect();
                let is_there = |digest: &Digest| all.contains(digest);
                suspects.into_iter().filter(is_there).collect::<Vec<_>>()
            };
            Candidates::unneeded(tx, &there(&blobs, suspects.blobs), &there(&layers, suspects.layers))
        })
    }

    /// Removes all content that nothing needs, such as what an interrupted load left behind.
    pub(super) fn collect_orphans(&self) -> Result<u64> {
        let candidates = Candidates {
            blobs: self.content().blobs()?,
            layers: self.content().layers()?,
        };
        self.collect(&[], &candidates)
    }
}

/// Those that no image and no lease needs.
fn unneeded<'a>(tx: &Tx, digests: &'a [Digest]) -> Result<Vec<&'a Digest>> {
    let needed = tx.needed(digests)?;
    Ok(digests.iter().filter(|digest| !needed.contains(digest)).collect())
}
