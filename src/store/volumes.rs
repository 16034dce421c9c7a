//! Rows of named volumes, and which containers use them.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Tx, parsed, read_time, time};
use crate::error::Result;
use crate::model::ContainerId;

/// One named volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRow {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Labels as a JSON object.
    pub labels: String,
}

pub(super) fn volume(row: &Row) -> rusqlite::Result<VolumeRow> {
    Ok(VolumeRow {
        name: row.get("name")?,
        created: read_time(row, "created")?,
        labels: row.get("labels")?,
    })
}

impl Tx<'_> {
    /// Adds a volume; false if it is there already.
    pub fn insert_volume(&self, row: &VolumeRow) -> Result<bool> {
        let sql = "INSERT INTO volume (name, created, labels) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING";
        Ok(self.execute(sql, params![row.name, time(row.created), row.labels])? > 0)
    }

    /// The volume with this name.
    pub fn volume(&self, name: &str) -> Result<Option<VolumeRow>> {
        self.first("SELECT * FROM volume WHERE name = ?1", [name], volume)
    }

    /// Every volume, by name.
    pub fn volumes(&self) -> Result<Vec<VolumeRow>> {
        self.all("SELECT * FROM volume ORDER BY name", [], volume)
    }

    /// The name of every volume, sorted.
    pub fn volume_names(&self) -> Result<Vec<String>> {
        self.all("SELECT name FROM volume ORDER BY name", [], |row| row.get(0))
    }

    /// Removes a volume's row; false if it was not there.
    pub fn delete_volume(&self, name: &str) -> Result<bool> {
        Ok(self.execute("DELETE FROM volume WHERE name = ?1", [name])? > 0)
    }

    /// Notes that a container uses a volume.
    pub fn use_volume(&self, container: &ContainerId, name: &str) -> Result<()> {
        let sql = "INSERT INTO container_volume (container, volume) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.execute(sql, params![container.as_str(), name])?;
        Ok(())
    }

    /// The containers that use a volume.
    pub fn users_of_volume(&self, name: &str) -> Result<Vec<ContainerId>> {
        self.all(
            "SELECT container FROM container_volume WHERE volume = ?1",
            [name],
            |row| parsed(row, "container"),
        )
    }

    /// The volumes a container uses.
    pub fn volumes_of(&self, container: &ContainerId) -> Result<Vec<String>> {
        let sql = "SELECT volume FROM container_volume WHERE container = ?1 ORDER BY volume";
        self.all(sql, [container.as_str()], |row| row.get("volume"))
    }
}
