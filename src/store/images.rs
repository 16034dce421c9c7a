//! Rows of images and their layers.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Tx, parsed, read_time, time};
use crate::error::Result;
use crate::model::{Digest, Platform};

/// One image, without its layers.
#[derive(Debug, Clone)]
pub struct ImageRow {
    /// Digest of the configuration.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// The configuration's bytes as received.
    pub config: Vec<u8>,
    /// When it says it was made.
    pub created: Option<Timestamp>,
    /// Bytes of all layers, unpacked.
    pub size: u64,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub architecture: String,
    /// Processor variant.
    pub variant: Option<String>,
    /// Labels as a JSON object.
    pub labels: String,
    /// The image it was made from, if that happened here.
    pub parent: Option<Digest>,
    /// When it came into the store.
    pub added: Timestamp,
    /// When it was last run, saved or pushed.
    pub last_used: Timestamp,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRow {
    /// Digest of the uncompressed layer.
    pub diff_id: Digest,
    /// Digest of the blob as stored.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// The blob's media type.
    pub media_type: String,
    /// Bytes of file content, unpacked.
    pub size: u64,
}

impl ImageRow {
    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    /// The row of an image of which nothing but its id is known, so that what needs it can stay.
    pub fn lost(id: &Digest, now: Timestamp) -> ImageRow {
        ImageRow {
            id: id.clone(),
            manifest: id.clone(),
            config: Vec::new(),
            created: None,
            size: 0,
            os: String::new(),
            architecture: String::new(),
            variant: None,
            labels: "{}".to_owned(),
            parent: None,
            added: now,
            last_used: now,
        }
    }
}

pub(super) fn image(row: &Row) -> rusqlite::Result<ImageRow> {
    let created: Option<i64> = row.get("created")?;
    let parent: Option<String> = row.get("parent")?;
    Ok(ImageRow {
        id: parsed(row, "id")?,
        manifest: parsed(row, "manifest")?,
        config: row.get("config")?,
        created: created
            .map(Timestamp::from_microsecond)
            .transpose()
            .map_err(super::unreadable)?,
        size: row.get("size")?,
        os: row.get("os")?,
        architecture: row.get("architecture")?,
        variant: row.get("variant")?,
        labels: row.get("labels")?,
        parent: parent.map(|p| p.parse()).transpose().map_err(super::unreadable)?,
        added: read_time(row, "added")?,
        last_used: read_time(row, "last_used")?,
    })
}

pub(super) fn layer(row: &Row) -> rusqlite::Result<LayerRow> {
    Ok(LayerRow {
        diff_id: parsed(row, "diff_id")?,
        blob: parsed(row, "blob")?,
        blob_size: row.get("blob_size")?,
        media_type: row.get("media_type")?,
        size: row.get("size")?,
    })
}

impl Tx<'_> {
    /// Adds an image with its layers, lowest first; false if it is there already.
    pub fn insert_image(&self, image: &ImageRow, layers: &[LayerRow]) -> Result<bool> {
        let added = self.execute(
            "INSERT INTO image (id, manifest, config, created, size, os, architecture, variant, labels, parent, added, last_used)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (id) DO NOTHING",
            params![
                image.id.as_str(),
                image.manifest.as_str(),
                image.config,
                image.created.map(time),
                image.size,
                image.os,
                image.architecture,
                image.variant,
                image.labels,
                image.parent.as_ref().map(Digest::as_str),
                time(image.added),
                time(image.last_used),
            ],
        )?;
        if added == 0 {
            return Ok(false);
        }
        self.insert_layers(&image.id, layers)?;
        Ok(true)
    }

    fn insert_layers(&self, image: &Digest, layers: &[LayerRow]) -> Result<()> {
        for (position, layer) in layers.iter().enumerate() {
            self.execute(
                "INSERT INTO image_layer (image, position, diff_id, blob, blob_size, media_type, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    image.as_str(),
                    position,
                    layer.diff_id.as_str(),
                    layer.blob.as_str(),
                    layer.blob_size,
                    layer.media_type,
                    layer.size,
                ],
            )?;
        }
        Ok(())
    }

    /// The image with this id.
    pub fn image(&self, id: &Digest) -> Result<Option<ImageRow>> {
        self.first("SELECT * FROM image WHERE id = ?1", [id.as_str()], image)
    }

    /// The images whose manifest has this digest.
    pub fn images_by_manifest(&self, manifest: &Digest) -> Result<Vec<ImageRow>> {
        self.all("SELECT * FROM image WHERE manifest = ?1", [manifest.as_str()], image)
    }

    /// Notes that a registry has an image under this digest.
    pub fn set_source(&self, digest: &Digest, image: &Digest) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO source (digest, image) VALUES (?1, ?2)",
            params![digest.as_str(), image.as_str()],
        )?;
        Ok(())
    }

    /// The images that a registry has under this digest.
    pub fn images_by_source(&self, digest: &Digest) -> Result<Vec<ImageRow>> {
        self.all(
            "SELECT image.* FROM source JOIN image ON image.id = source.image WHERE source.digest = ?1 ORDER BY image.added",
            [digest.as_str()],
            image,
        )
    }

    /// The images whose id or manifest's digest starts with these hexadecimal digits, at most `limit`.
    pub fn images_by_prefix(&self, hex: &str, limit: usize) -> Result<Vec<ImageRow>> {
        // Ranges instead of LIKE, so that indexes answer.
        let range = |algorithm: &str| (format!("{algorithm}:{hex}"), format!("{algorithm}:{hex}g"));
        let ((low, high), (other_low, other_high)) = (range("sha256"), range("sha512"));
        self.all(
            "SELECT * FROM image WHERE id >= ?1 AND id < ?2 UNION SELECT * FROM image WHERE id >= ?3 AND id < ?4 UNION
             SELECT * FROM image WHERE manifest >= ?1 AND manifest < ?2 UNION
             SELECT * FROM image WHERE manifest >= ?3 AND manifest < ?4 LIMIT ?5",
            params![low, high, other_low, other_high, limit],
            image,
        )
    }

    /// Every image, newest first.
    pub fn images(&self) -> Result<Vec<ImageRow>> {
        self.all("SELECT * FROM image ORDER BY created DESC, id", [], image)
    }

    /// The layers of an image, lowest first.
    pub fn layers(&self, id: &Digest) -> Result<Vec<LayerRow>> {
        self.all(
            "SELECT * FROM image_layer WHERE image = ?1 ORDER BY position",
            [id.as_str()],
            layer,
        )
    }

    /// The layers of all images, as (image, layer), lowest first within an image.
    pub fn all_layers(&self) -> Result<Vec<(Digest, LayerRow)>> {
        self.all("SELECT * FROM image_layer ORDER BY image, position", [], |row| {
            Ok((parsed(row, "image")?, layer(row)?))
        })
    }

    /// The images made from this one.
    pub fn children(&self, id: &Digest) -> Result<Vec<Digest>> {
        self.all("SELECT id FROM image WHERE parent = ?1", [id.as_str()], |row| {
            parsed(row, "id")
        })
    }

    /// Notes that an image was used.
    pub fn touch_image(&self, id: &Digest, when: Timestamp) -> Result<()> {
        self.execute(
            "UPDATE image SET last_used = max(last_used, ?2) WHERE id = ?1",
            params![id.as_str(), time(when)],
        )?;
        Ok(())
    }

    /// Puts an image's configuration back.
    pub fn set_config(&self, id: &Digest, config: &[u8]) -> Result<()> {
        self.execute(
            "UPDATE image SET config = ?2 WHERE id = ?1",
            params![id.as_str(), config],
        )?;
        Ok(())
    }

    /// Gives an image another manifest.
    pub fn set_manifest(&self, id: &Digest, manifest: &Digest) -> Result<()> {
        self.execute(
            "UPDATE image SET manifest = ?2 WHERE id = ?1",
            params![id.as_str(), manifest.as_str()],
        )?;
        Ok(())
    }

    /// Replaces an image's layers, lowest first, and its size.
    pub fn set_layers(&self, id: &Digest, layers: &[LayerRow], size: u64) -> Result<()> {
        self.execute("UPDATE image SET size = ?2 WHERE id = ?1", params![id.as_str(), size])?;
        self.execute("DELETE FROM image_layer WHERE image = ?1", [id.as_str()])?;
        self.insert_layers(id, layers)
    }

    /// Removes an image's rows; its names must be gone already.
    pub fn delete_image(&self, id: &Digest) -> Result<()> {
        self.execute("DELETE FROM image WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }

    /// Every image's manifest, as (image, manifest).
    pub fn manifests(&self) -> Result<Vec<(Digest, Digest)>> {
        self.all("SELECT id, manifest FROM image", [], |row| {
            Ok((parsed(row, "id")?, parsed(row, "manifest")?))
        })
    }

    /// Bytes of those layers of an image that no other image has.
    pub fn unique_size(&self, id: &Digest) -> Result<u64> {
        let sql = "SELECT coalesce(sum(size), 0) FROM image_layer AS own WHERE image = ?1
                   AND NOT EXISTS (SELECT 1 FROM image_layer AS other WHERE other.diff_id = own.diff_id AND other.image <> ?1)";
        Ok(self.first(sql, [id.as_str()], |row| row.get(0))?.unwrap_or(0))
    }

    /// Bytes of all layers, each counted once.
    pub fn total_size(&self) -> Result<u64> {
        let sql = "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT diff_id, size FROM image_layer)";
        Ok(self.first(sql, [], |row| row.get(0))?.unwrap_or(0))
    }

    /// Bytes of an uncompressed layer of this diff id, where an image has it as its blob.
    pub fn plain_layer_size(&self, diff_id: &Digest) -> Result<Option<u64>> {
        let sql = "SELECT blob_size FROM image_layer WHERE diff_id = ?1 AND blob = ?1 LIMIT 1";
        self.first(sql, [diff_id.as_str()], |row| row.get(0))
    }

    /// Which of these digests (blobs, diff ids, manifests, configurations) an image, a repository, a cache, the trash or a lease still needs.
    pub fn needed(&self, digests: &[Digest]) -> Result<HashSet<Digest>> {
        let mut needed = self.needed_outside_trash(digests)?;
        for digest in digests {
            let sql = "SELECT 1 FROM trash_content WHERE digest = ?1 LIMIT 1";
            if !needed.contains(digest) && self.first(sql, [digest.as_str()], |_| Ok(()))?.is_some() {
                needed.insert(digest.clone());
            }
        }
        Ok(needed)
    }

    /// The same, but for what only the trash needs.
    pub fn needed_outside_trash(&self, digests: &[Digest]) -> Result<HashSet<Digest>> {
        let sql = "SELECT 1 FROM image WHERE id = ?1 OR manifest = ?1
                   UNION ALL SELECT 1 FROM image_layer WHERE diff_id = ?1
                   UNION ALL SELECT 1 FROM image_layer WHERE blob = ?1
                   UNION ALL SELECT 1 FROM registry_manifest WHERE digest = ?1
                   UNION ALL SELECT 1 FROM registry_part WHERE digest = ?1 AND is_blob
                   UNION ALL SELECT 1 FROM registry_blob WHERE digest = ?1
                   UNION ALL SELECT 1 FROM cached_manifest WHERE digest = ?1
                   UNION ALL SELECT 1 FROM cached_blob WHERE digest = ?1
                   UNION ALL SELECT 1 FROM lease WHERE digest = ?1 LIMIT 1";
        let mut needed = HashSet::new();
        for digest in digests {
            if self.first(sql, [digest.as_str()], |_| Ok(()))?.is_some() {
                needed.insert(digest.clone());
            }
        }
        Ok(needed)
    }
}
