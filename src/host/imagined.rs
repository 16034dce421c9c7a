//! What a dry run takes for done, where the copy of the database does not say it: states and files of containers, names at registries,
//! content that nothing needs any more.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use super::Host;
use super::container::Scene;
use crate::model::{ContainerId, Digest, Reference};
use crate::runtime::Status;

/// The world as it would be.
#[derive(Default)]
pub(super) struct Imagined {
    /// Whether no container is run, though this is no dry run: a test plays what they do.
    pub(super) is_stage: bool,
    /// What was played of containers.
    pub(super) scenes: HashMap<ContainerId, Scene>,
    /// The states containers would be in.
    pub(super) states: HashMap<ContainerId, Status>,
    /// What would be in files of containers.
    pub(super) files: HashMap<(ContainerId, String), Vec<u8>>,
    /// What names at registries would stand for.
    names: HashMap<String, Option<Digest>>,
    /// What indexes would be, by the names they would have.
    documents: HashMap<String, (Digest, Vec<u8>)>,
    /// Manifests that would be gone, with their repositories.
    gone: HashSet<(String, Digest)>,
    /// Content that would be collected.
    pub(super) freed: HashSet<Digest>,
}

impl Host {
    pub(super) fn imagined(&self) -> MutexGuard<'_, Imagined> {
        self.0.imagined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no container is run: what they do is played, by [`Host::play_run`] and its like.
    pub fn set_stage(&self) {
        self.imagined().is_stage = true;
    }

    /// Shows the containers that are played at another host, where nothing is to be changed.
    pub fn share_stage(&self, other: &Host) {
        let mut theirs = other.imagined();
        let ours = self.imagined();
        theirs.is_stage = ours.is_stage;
        theirs.scenes.clone_from(&ours.scenes);
        theirs.states.clone_from(&ours.states);
    }

    /// Whether containers have rows alone, under dry-run or in a test that plays them.
    pub(super) fn imagines(&self) -> bool {
        self.plan().is_some() || self.imagined().is_stage
    }

    /// Where containers have rows alone, records an act in the plan, if there is one, and returns true: no process is touched then.
    pub(super) fn plays(&self, action: &str, target: &str, detail: &str) -> bool {
        self.planned(action, target, detail) || self.imagined().is_stage
    }

    /// Whether what a container does or has done is only taken for done.
    pub fn is_imagined(&self, id: &ContainerId) -> bool {
        self.imagined().states.contains_key(id)
    }

    /// Under dry-run, notes what a name at a registry would stand for now.
    pub(super) fn imagine_name(&self, name: &Reference, digest: Option<&Digest>) {
        let mut imagined = self.imagined();
        if let Some(digest) = digest {
            imagined.gone.remove(&(name.repository(), digest.clone()));
        }
        imagined.names.insert(name.to_string(), digest.cloned());
    }

    /// Under dry-run, notes which index a name at a registry would stand for now.
    pub(super) fn imagine_document(&self, name: &Reference, digest: &Digest, bytes: Vec<u8>) {
        self.imagine_name(name, Some(digest));
        self.imagined()
            .documents
            .insert(name.to_string(), (digest.clone(), bytes));
    }

    /// The index that a name at a registry would stand for, if it is one that would have been set.
    pub(super) fn imagined_document(&self, name: &Reference) -> Option<(Digest, Vec<u8>)> {
        let standing = self.imagined_digest(name, None)?;
        let found = self.imagined().documents.get(&name.to_string()).cloned();
        found.filter(|(digest, _)| *digest == standing)
    }

    /// Under dry-run, notes that a manifest would be gone from its repository.
    pub(super) fn imagine_gone(&self, repository: String, digest: &Digest) {
        self.imagined().gone.insert((repository, digest.clone()));
    }

    /// What a name at a registry would stand for, of which the registry says that it stands for `there`.
    pub(super) fn imagined_digest(&self, name: &Reference, there: Option<Digest>) -> Option<Digest> {
        let imagined = self.imagined();
        let found = imagined.names.get(&name.to_string()).cloned().unwrap_or(there);
        found.filter(|digest| !imagined.gone.contains(&(name.repository(), digest.clone())))
    }

    /// The tags a repository would have.
    pub(super) fn imagined_tags(&self, repository: &Reference, tags: &mut Vec<String>) {
        let imagined = self.imagined();
        for (name, digest) in &imagined.names {
            let Ok(name) = name.parse::<Reference>() else { continue };
            let Some(tag) = name.tag().filter(|_| name.repository() == repository.repository()) else {
                continue;
            };
            tags.retain(|there| there != tag);
            if digest.is_some() {
                tags.push(tag.to_owned());
            }
        }
    }
}
