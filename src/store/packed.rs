//! Rows of what layers became when they were compressed for a registry.

use rusqlite::params;

use super::{Tx, parsed};
use crate::error::Result;
use crate::model::Digest;

/// A layer that was compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRow {
    /// The layer.
    pub diff_id: Digest,
    /// The digest of what it became.
    pub digest: Digest,
    /// The bytes of that.
    pub size: u64,
    /// The media type of that.
    pub media_type: String,
}

impl Tx<'_> {
    /// What a layer became under a compression.
    pub fn packed(&self, diff_id: &Digest, compression: &str) -> Result<Option<PackedRow>> {
        let sql = "SELECT * FROM packed WHERE diff_id = ?1 AND compression = ?2";
        self.first(sql, [diff_id.as_str(), compression], |row| {
            Ok(PackedRow {
                diff_id: parsed(row, "diff_id")?,
                digest: parsed(row, "digest")?,
                size: row.get("size")?,
                media_type: row.get("media_type")?,
            })
        })
    }

    /// Notes what layers became under a compression, and forgets those that are gone.
    pub fn set_packed(&self, rows: &[PackedRow], compression: &str) -> Result<()> {
        for row in rows {
            self.execute(
                "INSERT INTO packed (diff_id, compression, digest, size, media_type) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (diff_id, compression) DO UPDATE
                 SET digest = excluded.digest, size = excluded.size, media_type = excluded.media_type",
                params![
                    row.diff_id.as_str(),
                    compression,
                    row.digest.as_str(),
                    row.size,
                    row.media_type
                ],
            )?;
        }
        self.execute(
            "DELETE FROM packed WHERE diff_id NOT IN (SELECT diff_id FROM image_layer)",
            [],
        )?;
        Ok(())
    }
}
