//! What a batch did: what went, what stayed, what failed, each with its reason.

use serde::Serialize;

/// One thing a batch looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its name, `<none>` where it has none.
    pub name: String,
    /// Why it was removed, kept, or could not be removed.
    pub reason: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The outcome of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was removed.
    pub removed: Vec<Item>,
    /// What was looked at and stays.
    pub kept: Vec<Item>,
    /// What should have been removed and could not be.
    pub errors: Vec<Item>,
    /// Bytes that only what was removed needed: given back to the disk, but for those in the trash.
    pub reclaimed: u64,
    /// How many of them the disk has back only when the trash gives them up.
    pub trashed: u64,
}

impl Report {
    /// Adds another batch's outcome to this one.
    pub fn merge(&mut self, other: Report) {
        self.removed.extend(other.removed);
        self.kept.extend(other.kept);
        self.errors.extend(other.errors);
        self.reclaimed += other.reclaimed;
        self.trashed += other.trashed;
    }
}
