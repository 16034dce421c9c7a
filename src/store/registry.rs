//! Rows of what a registry's repositories hold. An image's name makes its content part of the repository of that name as well.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Tx, parsed, time};
use crate::error::Result;
use crate::model::{Digest, Reference, Repository};

/// A manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its digest.
    pub digest: Digest,
    /// The media type it was pushed under.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// Its annotations, a JSON object.
    pub annotations: Option<String>,
    /// The image it is here, or leads to.
    pub image: Option<Digest>,
}

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes, as the manifest says.
    pub size: u64,
    /// Whether it is a blob, and no manifest.
    pub is_blob: bool,
}

fn manifest(row: &Row) -> rusqlite::Result<ManifestRow> {
    let optional = |column: &str| -> rusqlite::Result<Option<Digest>> {
        let text: Option<String> = row.get(column)?;
        text.map(|text| text.parse()).transpose().map_err(super::unreadable)
    };
    Ok(ManifestRow {
        digest: parsed(row, "digest")?,
        media_type: row.get("media_type")?,
        size: row.get("size")?,
        subject: optional("subject")?,
        artifact_type: row.get("artifact_type")?,
        annotations: row.get("annotations")?,
        image: optional("image")?,
    })
}

/// The names of a repository are those between the two.
fn names_of(repository: &Repository) -> (String, String) {
    (format!("{repository}:"), format!("{repository};"))
}

impl Tx<'_> {
    /// Adds a manifest with what it names; one that is there stays, and belongs to this image from now on.
    pub fn insert_manifest(
        &self,
        repository: &Repository,
        manifest: &ManifestRow,
        parts: &[PartRow],
        now: Timestamp,
    ) -> Result<()> {
        self.execute(
            "INSERT INTO registry_manifest (repository, digest, media_type, size, subject, artifact_type, annotations, image, added)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (repository, digest) DO UPDATE SET image = coalesce(excluded.image, image)",
            params![
                repository.as_str(),
                manifest.digest.as_str(),
                manifest.media_type,
                manifest.size,
                manifest.subject.as_ref().map(Digest::as_str),
                manifest.artifact_type,
                manifest.annotations,
                manifest.image.as_ref().map(Digest::as_str),
                time(now),
            ],
        )?;
        for part in parts {
            self.execute(
                "INSERT INTO registry_part (repository, manifest, digest, size, is_blob) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
                params![
                    repository.as_str(),
                    manifest.digest.as_str(),
                    part.digest.as_str(),
                    part.size,
                    part.is_blob
                ],
            )?;
            // From here on the manifest keeps it.
            self.delete_registry_blob(repository, &part.digest)?;
        }
        Ok(())
    }

    /// A manifest of a repository, if it was pushed there.
    pub fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Option<ManifestRow>> {
        let sql = "SELECT * FROM registry_manifest WHERE repository = ?1 AND digest = ?2";
        self.first(sql, [repository.as_str(), digest.as_str()], manifest)
    }

    /// All manifests that were pushed, with their repositories and when they came.
    pub fn registry_manifests(&self) -> Result<Vec<(Repository, ManifestRow, Timestamp)>> {
        let sql = "SELECT * FROM registry_manifest ORDER BY repository, added, digest";
        self.all(sql, [], |row| {
            Ok((repository(row)?, manifest(row)?, super::read_time(row, "added")?))
        })
    }

    /// All tags that stand for what was pushed.
    pub fn registry_tags(&self) -> Result<Vec<(Reference, Digest)>> {
        self.all("SELECT name, manifest FROM registry_tag ORDER BY name", [], |row| {
            Ok((parsed(row, "name")?, parsed(row, "manifest")?))
        })
    }

    /// The manifests that indexes list: repository, index, manifest.
    pub fn listed_manifests(&self) -> Result<Vec<(Repository, Digest, Digest)>> {
        let sql = "SELECT repository, manifest, digest FROM registry_part WHERE NOT is_blob";
        self.all(sql, [], |row| {
            Ok((repository(row)?, parsed(row, "manifest")?, parsed(row, "digest")?))
        })
    }

    /// All manifests and blobs that were pushed, with their repositories and whether they are manifests.
    pub fn registry_content(&self) -> Result<Vec<(Repository, PartRow, bool)>> {
        let sql = "SELECT repository, digest, size, 1 AS is_manifest FROM registry_manifest
                   UNION ALL SELECT repository, digest, size, 0 FROM registry_part WHERE is_blob
                   UNION ALL SELECT repository, digest, size, 0 FROM registry_blob";
        self.all(sql, [], |row| {
            let is_manifest: bool = row.get("is_manifest")?;
            let part = PartRow {
                digest: parsed(row, "digest")?,
                size: row.get("size")?,
                is_blob: !is_manifest,
            };
            Ok((repository(row)?, part, is_manifest))
        })
    }

    /// The manifests of a repository that refer to this one, by digest.
    pub fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<ManifestRow>> {
        let sql = "SELECT * FROM registry_manifest WHERE repository = ?1 AND subject = ?2 ORDER BY digest";
        self.all(sql, [repository.as_str(), subject.as_str()], manifest)
    }

    /// The manifests that are an image here or lead to it, with their repositories.
    pub fn manifests_of(&self, image: &Digest) -> Result<Vec<(Repository, Digest)>> {
        let sql = "SELECT repository, digest FROM registry_manifest WHERE image = ?1";
        self.all(sql, [image.as_str()], |row| {
            Ok((repository(row)?, parsed(row, "digest")?))
        })
    }

    /// What a manifest of a repository names.
    pub fn parts_of(&self, repository: &Repository, manifest: &Digest) -> Result<Vec<PartRow>> {
        let sql = "SELECT digest, size, is_blob FROM registry_part WHERE repository = ?1 AND manifest = ?2";
        self.all(sql, [repository.as_str(), manifest.as_str()], |row| {
            Ok(PartRow {
                digest: parsed(row, "digest")?,
                size: row.get("size")?,
                is_blob: row.get("is_blob")?,
            })
        })
    }

    /// Whether a tag, or another manifest of the repository, leads to a manifest.
    pub fn is_manifest_wanted(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        let sql = "SELECT 1 FROM registry_tag WHERE repository = ?1 AND manifest = ?2
                   UNION ALL SELECT 1 FROM registry_part WHERE repository = ?1 AND digest = ?2 LIMIT 1";
        Ok(self
            .first(sql, [repository.as_str(), digest.as_str()], |_| Ok(()))?
            .is_some())
    }

    /// Takes a manifest out of a repository, with the tags that stand for it; false if it was not there.
    pub fn delete_manifest(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        let sql = "DELETE FROM registry_manifest WHERE repository = ?1 AND digest = ?2";
        Ok(self.execute(sql, [repository.as_str(), digest.as_str()])? > 0)
    }

    /// Points a tag at a manifest of the repository.
    pub fn set_registry_tag(&self, name: &Reference, manifest: &Digest) -> Result<()> {
        self.execute(
            "INSERT INTO registry_tag (name, repository, manifest) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest",
            params![name.to_string(), name.repository(), manifest.as_str()],
        )?;
        Ok(())
    }

    /// The manifest that a tag stands for, where it was pushed; otherwise the name of an image is the tag.
    pub fn registry_tag(&self, name: &Reference) -> Result<Option<ManifestRow>> {
        let sql = "SELECT registry_manifest.* FROM registry_tag JOIN registry_manifest
                   ON registry_manifest.repository = registry_tag.repository AND registry_manifest.digest = registry_tag.manifest
                   WHERE registry_tag.name = ?1";
        self.first(sql, [name.to_string()], manifest)
    }

    /// Forgets what was pushed under a name; false if nothing was.
    pub fn delete_registry_tag(&self, name: &Reference) -> Result<bool> {
        Ok(self.execute("DELETE FROM registry_tag WHERE name = ?1", [name.to_string()])? > 0)
    }

    /// The tags of a repository that stand for a manifest, by whatever way.
    pub fn names_of_manifest(&self, repository: &Repository, digest: &Digest) -> Result<Vec<Reference>> {
        let (low, high) = names_of(repository);
        let sql = "SELECT name FROM registry_tag WHERE repository = ?1 AND manifest = ?2
                   UNION SELECT name FROM reference JOIN image ON image.id = reference.image
                   WHERE name >= ?3 AND name < ?4 AND image.manifest = ?2
                   AND NOT EXISTS (SELECT 1 FROM registry_tag WHERE registry_tag.name = reference.name)";
        self.all(sql, params![repository.as_str(), digest.as_str(), low, high], |row| {
            parsed(row, "name")
        })
    }

    /// The tags of a repository after this one, in their order, at most so many.
    pub fn tags(&self, repository: &Repository, after: &str, limit: usize) -> Result<Vec<Reference>> {
        let (low, high) = names_of(repository);
        let sql = "SELECT name FROM reference WHERE name >= ?1 AND name < ?2 AND name > ?3
                   UNION SELECT name FROM registry_tag WHERE name >= ?1 AND name < ?2 AND name > ?3 ORDER BY name LIMIT ?4";
        let after = format!("{low}{after}");
        self.all(sql, params![low, high, after, limit], |row| parsed(row, "name"))
    }

    /// Whether there is anything in a repository.
    pub fn has_repository(&self, repository: &Repository) -> Result<bool> {
        let (low, high) = names_of(repository);
        let sql = "SELECT 1 FROM reference WHERE name >= ?1 AND name < ?2
                   UNION ALL SELECT 1 FROM registry_manifest WHERE repository = ?3
                   UNION ALL SELECT 1 FROM registry_blob WHERE repository = ?3 LIMIT 1";
        Ok(self
            .first(sql, params![low, high, repository.as_str()], |_| Ok(()))?
            .is_some())
    }

    /// Every repository that has a tag or a manifest.
    pub fn repositories(&self) -> Result<Vec<Repository>> {
        let mut all: Vec<Repository> = self
            .references()?
            .iter()
            .map(|(name, _)| Repository::of(name))
            .collect();
        all.extend(self.all("SELECT DISTINCT repository FROM registry_manifest", [], repository)?);
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// Whether the image under a name of this repository has the manifest.
    pub fn is_image_in(&self, repository: &Repository, manifest: &Digest) -> Result<bool> {
        let (low, high) = names_of(repository);
        let sql = "SELECT 1 FROM image JOIN reference ON reference.image = image.id
                   WHERE image.manifest = ?3 AND reference.name >= ?1 AND reference.name < ?2 LIMIT 1";
        Ok(self
            .first(sql, params![low, high, manifest.as_str()], |_| Ok(()))?
            .is_some())
    }

    /// Whether a blob belongs to a repository: to a manifest or an image of it, or because it came in there.
    pub fn is_blob_in(&self, repository: &Repository, blob: &Digest) -> Result<bool> {
        let (low, high) = names_of(repository);
        let sql = "SELECT 1 FROM registry_part WHERE digest = ?3 AND repository = ?4 AND is_blob
                   UNION ALL SELECT 1 FROM registry_blob WHERE digest = ?3 AND repository = ?4
                   UNION ALL SELECT 1 FROM image_layer JOIN reference ON reference.image = image_layer.image
                   WHERE image_layer.blob = ?3 AND reference.name >= ?1 AND reference.name < ?2
                   UNION ALL SELECT 1 FROM reference WHERE image = ?3 AND name >= ?1 AND name < ?2 LIMIT 1";
        let parameters = params![low, high, blob.as_str(), repository.as_str()];
        Ok(self.first(sql, parameters, |_| Ok(()))?.is_some())
    }

    /// Whether a blob belongs to any repository.
    pub fn is_blob_anywhere(&self, blob: &Digest) -> Result<bool> {
        let sql = "SELECT 1 FROM registry_part WHERE digest = ?1 AND is_blob
                   UNION ALL SELECT 1 FROM registry_blob WHERE digest = ?1
                   UNION ALL SELECT 1 FROM image_layer JOIN reference ON reference.image = image_layer.image WHERE blob = ?1
                   UNION ALL SELECT 1 FROM reference WHERE image = ?1 LIMIT 1";
        Ok(self.first(sql, [blob.as_str()], |_| Ok(()))?.is_some())
    }

    /// Whether a blob belongs to a repository because it came in there, or to a manifest that did; or is kept for clients.
    pub fn is_registry_blob(&self, blob: &Digest) -> Result<bool> {
        let sql =
            "SELECT 1 FROM registry_part WHERE digest = ?1 UNION ALL SELECT 1 FROM registry_blob WHERE digest = ?1
                   UNION ALL SELECT 1 FROM cached_blob WHERE digest = ?1 LIMIT 1";
        Ok(self.first(sql, [blob.as_str()], |_| Ok(()))?.is_some())
    }

    /// Whether a manifest of the repository names a blob.
    pub fn is_part_in(&self, repository: &Repository, blob: &Digest) -> Result<bool> {
        let (low, high) = names_of(repository);
        let sql = "SELECT 1 FROM registry_part WHERE digest = ?3 AND repository = ?4 AND is_blob
                   UNION ALL SELECT 1 FROM image_layer JOIN reference ON reference.image = image_layer.image
                   WHERE image_layer.blob = ?3 AND reference.name >= ?1 AND reference.name < ?2
                   UNION ALL SELECT 1 FROM reference WHERE image = ?3 AND name >= ?1 AND name < ?2 LIMIT 1";
        let parameters = params![low, high, blob.as_str(), repository.as_str()];
        Ok(self.first(sql, parameters, |_| Ok(()))?.is_some())
    }

    /// Notes that a blob came into a repository, now.
    pub fn insert_registry_blob(&self, repository: &Repository, blob: &PartRow, now: Timestamp) -> Result<()> {
        self.execute(
            "INSERT INTO registry_blob (repository, digest, size, added) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (repository, digest) DO UPDATE SET added = excluded.added",
            params![repository.as_str(), blob.digest.as_str(), blob.size, time(now)],
        )?;
        Ok(())
    }

    /// Forgets that a blob came into a repository; false if it did not.
    pub fn delete_registry_blob(&self, repository: &Repository, blob: &Digest) -> Result<bool> {
        let sql = "DELETE FROM registry_blob WHERE repository = ?1 AND digest = ?2";
        Ok(self.execute(sql, [repository.as_str(), blob.as_str()])? > 0)
    }

    /// Whether [`Tx::expire_registry_blobs`] would find any.
    pub fn has_expired_registry_blobs(&self, before: Timestamp) -> Result<bool> {
        let sql = "SELECT 1 FROM registry_blob WHERE added < ?1 LIMIT 1";
        Ok(self.first(sql, [time(before)], |_| Ok(()))?.is_some())
    }

    /// Forgets the blobs that came into repositories before a time and that no manifest came to name; gives them.
    pub fn expire_registry_blobs(&self, before: Timestamp) -> Result<Vec<Digest>> {
        let sql = "DELETE FROM registry_blob WHERE added < ?1 RETURNING digest";
        self.all(sql, [time(before)], |row| parsed(row, "digest"))
    }

    /// Bytes of all that was pushed, each blob once.
    pub fn registry_size(&self) -> Result<u64> {
        let sql = "SELECT coalesce(sum(size), 0) FROM (SELECT digest, size FROM registry_part WHERE is_blob
                   UNION SELECT digest, size FROM registry_blob UNION SELECT digest, size FROM registry_manifest)";
        Ok(self.first(sql, [], |row| row.get(0))?.unwrap_or(0))
    }
}

fn repository(row: &Row) -> rusqlite::Result<Repository> {
    let text: String = row.get("repository")?;
    Repository::stored(&text).map_err(super::unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ImageRow, Store};

    fn row(text: &str, image: Option<&Digest>) -> ManifestRow {
        ManifestRow {
            digest: Digest::of(text.as_bytes()),
            media_type: "application/json".to_owned(),
            size: text.len() as u64,
            subject: None,
            artifact_type: None,
            annotations: None,
            image: image.cloned(),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        (dir, store)
    }

    #[test]
    fn a_name_that_is_set_elsewhere_is_no_longer_what_was_pushed() {
        let (_dir, store) = store();
        let (now, name) = (Timestamp::UNIX_EPOCH, "team/app:1".parse::<Reference>().unwrap());
        let (repository, id) = (Repository::of(&name), Digest::of(b"image"));
        let pushed = row("pushed", None);
        let tagged = store.write(|tx| {
            tx.insert_manifest(&repository, &pushed, &[], now)?;
            tx.set_registry_tag(&name, &pushed.digest)?;
            let before = tx.registry_tag(&name)?;
            tx.insert_image(&ImageRow::lost(&id, now), &[])?;
            tx.set_reference(&name, &id, now)?;
            Ok((before, tx.registry_tag(&name)?, tx.tags(&repository, "", 9)?))
        });
        assert_eq!(tagged.unwrap(), (Some(pushed), None, vec![name]));
    }

    #[test]
    fn a_blob_belongs_to_its_repository_alone_and_is_needed_as_long_as_one_has_it() {
        let (_dir, store) = store();
        let [a, b] = ["a", "b"].map(|name| Repository::parse(name).unwrap());
        let (now, blob) = (
            Timestamp::UNIX_EPOCH,
            PartRow {
                digest: Digest::of(b"blob"),
                size: 4,
                is_blob: true,
            },
        );
        let manifest = row("m", None);
        let belongs = |repository: &Repository| store.read(|tx| tx.is_blob_in(repository, &blob.digest)).unwrap();
        let needed = || {
            !store
                .read(|tx| tx.needed(std::slice::from_ref(&blob.digest)))
                .unwrap()
                .is_empty()
        };
        store.write(|tx| tx.insert_registry_blob(&a, &blob, now)).unwrap();
        assert!(belongs(&a) && !belongs(&b) && needed());
        store
            .write(|tx| tx.insert_manifest(&a, &manifest, std::slice::from_ref(&blob), now))
            .unwrap();
        // The manifest keeps it now: nothing of it expires.
        assert_eq!(
            store.write(|tx| tx.expire_registry_blobs(Timestamp::now())).unwrap(),
            []
        );
        assert_eq!(store.read(|tx| tx.registry_size()).unwrap(), 5);
        assert!(belongs(&a) && !belongs(&b) && needed());
        assert!(store.write(|tx| tx.delete_manifest(&a, &manifest.digest)).unwrap());
        assert!(!belongs(&a) && !needed());
    }
}
