//! Rows of names: which tag means which image.

use jiff::Timestamp;
use rusqlite::params;

use super::{Tx, parsed, time};
use crate::error::Result;
use crate::model::{Digest, Reference};

impl Tx<'_> {
    /// Points a name at an image; returns the image it meant before, if that was another one. What a registry was given under the name is
    /// no longer what it stands for.
    pub fn set_reference(&self, name: &Reference, image: &Digest, when: Timestamp) -> Result<Option<Digest>> {
        let before = self.reference(name)?;
        self.delete_registry_tag(name)?;
        self.execute(
            "INSERT INTO reference (name, image, updated) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET image = excluded.image, updated = excluded.updated",
            params![name.to_string(), image.as_str(), time(when)],
        )?;
        Ok(before.filter(|old| old != image))
    }

    /// The image a name means.
    pub fn reference(&self, name: &Reference) -> Result<Option<Digest>> {
        self.first(
            "SELECT image FROM reference WHERE name = ?1",
            [name.to_string()],
            |row| parsed(row, "image"),
        )
    }

    /// The names of an image, sorted.
    pub fn references_of(&self, image: &Digest) -> Result<Vec<Reference>> {
        self.all(
            "SELECT name FROM reference WHERE image = ?1 ORDER BY name",
            [image.as_str()],
            |row| parsed(row, "name"),
        )
    }

    /// Every name with its image, sorted by name.
    pub fn references(&self) -> Result<Vec<(Reference, Digest)>> {
        self.all("SELECT name, image FROM reference ORDER BY name", [], |row| {
            Ok((parsed(row, "name")?, parsed(row, "image")?))
        })
    }

    /// The names, as they are written in full, that begin with this, sorted.
    pub fn reference_names(&self, start: &str) -> Result<Vec<String>> {
        self.all(
            "SELECT name FROM reference WHERE name >= ?1 AND name < ?2 ORDER BY name",
            [start, &format!("{start}\u{10ffff}")],
            |row| row.get(0),
        )
    }

    /// Notes that a name changed which `index.json` does not tell yet. Gives the number of this change: no two have the same.
    pub fn mark_index_stale(&self) -> Result<i64> {
        self.execute("UPDATE layout_index SET stale = abs(stale) + 1", [])?;
        Ok(self.index_mark()?.unwrap_or_default())
    }

    /// Notes that `index.json` tells all names.
    pub fn mark_index_written(&self) -> Result<()> {
        self.execute("UPDATE layout_index SET stale = -abs(stale)", [])?;
        Ok(())
    }

    /// The number of the last change that `index.json` does not tell; `None` if it is up to date.
    pub fn index_mark(&self) -> Result<Option<i64>> {
        let mark: Option<i64> = self.first("SELECT stale FROM layout_index", [], |row| row.get("stale"))?;
        Ok(mark.filter(|mark| *mark > 0))
    }

    /// Forgets a name, also as a registry's tag; false if it was no image's.
    pub fn delete_reference(&self, name: &Reference) -> Result<bool> {
        self.delete_registry_tag(name)?;
        Ok(self.execute("DELETE FROM reference WHERE name = ?1", [name.to_string()])? > 0)
    }
}
