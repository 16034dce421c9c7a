//! What is taken out of repositories, and what goes with it.

use crate::error::Result;
use crate::host::Host;
use crate::host::garbage::Candidates;
use crate::model::{Digest, Reference, Repository};
use crate::store::Tx;

impl Host {
    /// Takes a manifest out of a repository, with every tag that stands for it; false if it is not there. An image that has no other
    /// name and no other manifest goes with it, unless something uses it.
    pub fn delete_manifest(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        let mut found = false;
        self.remove_rows(|tx, candidates| {
            let names = tx.names_of_manifest(repository, digest)?;
            self.check_names(&names)?;
            let mut images = forget(tx, &names)?;
            images.extend(tx.manifest(repository, digest)?.and_then(|row| row.image));
            found = take_manifest(tx, repository, digest, candidates)? || !names.is_empty();
            images.iter().try_for_each(|id| self.take_nameless(tx, id, candidates))
        })?;
        Ok(found)
    }

    /// Takes a tag away; false if it is not there. What it stood for stays under its digest if it was pushed.
    pub fn delete_repository_tag(&self, name: &Reference) -> Result<bool> {
        let mut found = false;
        self.remove_rows(|tx, candidates| {
            found = tx.registry_tag(name)?.is_some() || tx.reference(name)?.is_some();
            self.check_names(std::slice::from_ref(name))?;
            let images = forget(tx, std::slice::from_ref(name))?;
            images.iter().try_for_each(|id| self.take_nameless(tx, id, candidates))
        })?;
        Ok(found)
    }

    /// Removes an image that neither a name nor a manifest leads to any more.
    fn take_nameless(&self, tx: &Tx, id: &Digest, candidates: &mut Candidates) -> Result<()> {
        match tx.manifests_of(id)?.is_empty() {
            true => self.remove_unused(tx, id, candidates),
            false => Ok(()),
        }
    }
}

/// Takes names away; returns the images they meant.
fn forget(tx: &Tx, names: &[Reference]) -> Result<Vec<Digest>> {
    let mut images = Vec::new();
    for name in names {
        images.extend(tx.reference(name)?);
        tx.delete_reference(name)?;
    }
    images.sort();
    images.dedup();
    Ok(images)
}

/// Takes a manifest out of a repository; what it named is looked at.
pub(super) fn take_manifest(
    tx: &Tx,
    repository: &Repository,
    digest: &Digest,
    candidates: &mut Candidates,
) -> Result<bool> {
    let parts = tx.parts_of(repository, digest)?;
    candidates.blobs.push(digest.clone());
    candidates.blobs.extend(parts.into_iter().map(|part| part.digest));
    tx.delete_manifest(repository, digest)
}

/// Takes away the manifests that are an image or lead to it, and those that only an index among them led to. The image is being removed.
pub(in crate::host) fn take_manifests_of(tx: &Tx, image: &Digest, candidates: &mut Candidates) -> Result<()> {
    let mut waiting = tx.manifests_of(image)?;
    while let Some((repository, digest)) = waiting.pop() {
        let parts = tx.parts_of(&repository, &digest)?;
        take_manifest(tx, &repository, &digest, candidates)?;
        for part in parts.into_iter().filter(|part| !part.is_blob) {
            if !tx.is_manifest_wanted(&repository, &part.digest)? {
                waiting.push((repository.clone(), part.digest));
            }
        }
    }
    Ok(())
}
