//! What a run did to the store and to registries, counted by the host where it is done.

use serde::{Deserialize, Serialize};

/// Counts of what was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effects {
    /// Images that were removed.
    pub images_removed: u64,
    /// Bytes that only what was removed needed.
    pub reclaimed: u64,
    /// Tags that were deleted, here or at a registry.
    pub tags_deleted: u64,
    /// Images that were pulled.
    pub images_pulled: u64,
    /// Containers that were made.
    pub containers_created: u64,
    /// Containers that were removed.
    pub containers_removed: u64,
}

impl Effects {
    /// Counts what is told of as an event.
    pub(in crate::host) fn add(&mut self, kind: &str, action: &str) {
        let count = match (kind, action) {
            ("image", "delete") => &mut self.images_removed,
            ("image", "untag") => &mut self.tags_deleted,
            ("image", "pull") => &mut self.images_pulled,
            ("container", "create") => &mut self.containers_created,
            ("container", "destroy") => &mut self.containers_removed,
            _ => return,
        };
        *count += 1;
    }

    /// With those of another run.
    #[must_use]
    pub fn and(self, other: Effects) -> Effects {
        Effects {
            images_removed: self.images_removed + other.images_removed,
            reclaimed: self.reclaimed + other.reclaimed,
            tags_deleted: self.tags_deleted + other.tags_deleted,
            images_pulled: self.images_pulled + other.images_pulled,
            containers_created: self.containers_created + other.containers_created,
            containers_removed: self.containers_removed + other.containers_removed,
        }
    }
}
