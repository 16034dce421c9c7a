//! Rows of what is kept of other registries, for clients of the one that stands before them.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Tx, parsed, read_time, time};
use crate::error::Result;
use crate::model::{Digest, Reference, Repository};

/// A manifest or a blob of another registry that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRow {
    /// Registry and path.
    pub repository: Repository,
    /// Its digest.
    pub digest: Digest,
    /// The media type of a manifest; blobs have none.
    pub media_type: Option<String>,
    /// Its bytes.
    pub size: u64,
    /// When a client wanted it last, give or take an hour.
    pub used: Timestamp,
}

fn manifest(row: &Row) -> rusqlite::Result<CachedRow> {
    let media_type: String = row.get("media_type")?;
    Ok(CachedRow {
        media_type: Some(media_type),
        ..blob(row)?
    })
}

fn blob(row: &Row) -> rusqlite::Result<CachedRow> {
    let repository: String = row.get("repository")?;
    Ok(CachedRow {
        repository: Repository::stored(&repository).map_err(super::unreadable)?,
        digest: parsed(row, "digest")?,
        media_type: None,
        size: row.get("size")?,
        used: read_time(row, "used")?,
    })
}

impl Tx<'_> {
    /// A manifest that is kept.
    pub fn cached_manifest(&self, repository: &Repository, digest: &Digest) -> Result<Option<CachedRow>> {
        let sql = "SELECT * FROM cached_manifest WHERE repository = ?1 AND digest = ?2";
        self.first(sql, [repository.as_str(), digest.as_str()], manifest)
    }

    /// All manifests that are kept, those first that were not wanted for longest.
    pub fn cached_manifests(&self) -> Result<Vec<CachedRow>> {
        let sql = "SELECT * FROM cached_manifest ORDER BY used, repository, digest";
        self.all(sql, [], manifest)
    }

    /// Keeps a manifest, with the blobs it names and their sizes.
    pub fn insert_cached_manifest(&self, row: &CachedRow, parts: &[(Digest, u64)]) -> Result<()> {
        self.execute(
            "INSERT INTO cached_manifest (repository, digest, media_type, size, used) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (repository, digest) DO UPDATE SET used = excluded.used",
            params![
                row.repository.as_str(),
                row.digest.as_str(),
                row.media_type.as_deref().unwrap_or_default(),
                row.size,
                time(row.used)
            ],
        )?;
        for (digest, size) in parts {
            self.execute(
                "INSERT INTO cached_part (repository, manifest, digest, size) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![row.repository.as_str(), row.digest.as_str(), digest.as_str(), size],
            )?;
        }
        Ok(())
    }

    /// Notes that a manifest was wanted.
    pub fn use_cached_manifest(&self, repository: &Repository, digest: &Digest, now: Timestamp) -> Result<()> {
        let sql = "UPDATE cached_manifest SET used = ?3 WHERE repository = ?1 AND digest = ?2";
        self.execute(sql, params![repository.as_str(), digest.as_str(), time(now)])?;
        Ok(())
    }

    /// Forgets a manifest, with the tags that stand for it.
    pub fn delete_cached_manifest(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let sql = "DELETE FROM cached_manifest WHERE repository = ?1 AND digest = ?2";
        self.execute(sql, [repository.as_str(), digest.as_str()])?;
        Ok(())
    }

    /// What each manifest names: repository, manifest, blob.
    pub fn cached_parts(&self) -> Result<Vec<(Repository, Digest, Digest)>> {
        self.all("SELECT repository, manifest, digest FROM cached_part", [], |row| {
            let repository: String = row.get("repository")?;
            let repository = Repository::stored(&repository).map_err(super::unreadable)?;
            Ok((repository, parsed(row, "manifest")?, parsed(row, "digest")?))
        })
    }

    /// The size of a blob that a manifest of the repository names.
    pub fn cached_part_size(&self, repository: &Repository, blob: &Digest) -> Result<Option<u64>> {
        let sql = "SELECT size FROM cached_part WHERE repository = ?1 AND digest = ?2 LIMIT 1";
        self.first(sql, [repository.as_str(), blob.as_str()], |row| row.get("size"))
    }

    /// A blob that is kept.
    pub fn cached_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<CachedRow>> {
        let sql = "SELECT * FROM cached_blob WHERE repository = ?1 AND digest = ?2";
        self.first(sql, [repository.as_str(), digest.as_str()], blob)
    }

    /// All blobs that are kept.
    pub fn cached_blobs(&self) -> Result<Vec<CachedRow>> {
        self.all("SELECT * FROM cached_blob ORDER BY used, repository, digest", [], blob)
    }

    /// Keeps a blob, or notes that it was wanted.
    pub fn insert_cached_blob(&self, row: &CachedRow) -> Result<()> {
        self.execute(
            "INSERT INTO cached_blob (repository, digest, size, used) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (repository, digest) DO UPDATE SET used = excluded.used",
            params![row.repository.as_str(), row.digest.as_str(), row.size, time(row.used)],
        )?;
        Ok(())
    }

    /// Forgets a blob.
    pub fn delete_cached_blob(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let sql = "DELETE FROM cached_blob WHERE repository = ?1 AND digest = ?2";
        self.execute(sql, [repository.as_str(), digest.as_str()])?;
        Ok(())
    }

    /// Has a tag stand for a manifest that is kept.
    pub fn set_cached_tag(&self, name: &Reference, manifest: &Digest) -> Result<()> {
        self.execute(
            "INSERT INTO cached_tag (name, repository, manifest) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest",
            params![name.to_string(), name.repository(), manifest.as_str()],
        )?;
        Ok(())
    }

    /// What a tag stood for when the other registry was asked last.
    pub fn cached_tag(&self, name: &Reference) -> Result<Option<Digest>> {
        let sql = "SELECT manifest FROM cached_tag WHERE name = ?1";
        self.first(sql, [name.to_string()], |row| parsed(row, "manifest"))
    }

    /// Forgets a tag.
    pub fn delete_cached_tag(&self, name: &Reference) -> Result<()> {
        self.execute("DELETE FROM cached_tag WHERE name = ?1", [name.to_string()])?;
        Ok(())
    }

    /// All tags that are kept, with what they stand for, in order.
    pub fn cached_tags(&self) -> Result<Vec<(Reference, Digest)>> {
        self.all("SELECT name, manifest FROM cached_tag ORDER BY name", [], |row| {
            Ok((parsed(row, "name")?, parsed(row, "manifest")?))
        })
    }
}
