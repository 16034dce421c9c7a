//! What was taken away and can be brought back: rows that triggers of the database keep for as long as an act is open, and the content
//! that they need.

use jiff::Timestamp;
use rusqlite::params;

use super::{Tx, parsed, read_time, time};
use crate::error::Result;
use crate::model::{Digest, Reference};

/// An act that can be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashRow {
    /// Its number; none is given twice.
    pub id: i64,
    /// The function that was called.
    pub action: String,
    /// What it belongs to: a command, a script or a line at the prompt.
    pub run: String,
    /// When.
    pub removed: Timestamp,
    /// Until when it can be undone.
    pub until: Timestamp,
}

/// An image that an act took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedImage {
    /// Its id.
    pub id: Digest,
    /// Bytes of all its layers, unpacked.
    pub size: u64,
}

/// A name that an act took away or moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedName {
    /// The name.
    pub name: Reference,
    /// The image it meant.
    pub before: Digest,
    /// The image it was moved to; `None` if it was taken away.
    pub after: Option<Digest>,
}

/// Puts rows back, those first that others refer to. What fits nothing any more is left out: it went by another act.
const RESTORE: [&str; 5] = [
    "INSERT OR IGNORE INTO image (id, manifest, config, created, size, os, architecture, variant, labels, parent, added, last_used)
     SELECT old->>'id', old->>'manifest', unhex(old->>'config'), old->>'created', old->>'size', old->>'os', old->>'architecture',
     old->>'variant', old->>'labels', old->>'parent', old->>'added', old->>'last_used'
     FROM trash_row WHERE act = ?1 AND source = 'image'",
    "INSERT OR IGNORE INTO image_layer (image, position, diff_id, blob, blob_size, media_type, size)
     SELECT old->>'image', old->>'position', old->>'diff_id', old->>'blob', old->>'blob_size', old->>'media_type', old->>'size'
     FROM trash_row WHERE act = ?1 AND source = 'image_layer'",
    "INSERT OR IGNORE INTO source (digest, image) SELECT old->>'digest', old->>'image' FROM trash_row
     WHERE act = ?1 AND source = 'source' AND EXISTS (SELECT 1 FROM image WHERE id = old->>'image')",
    "INSERT OR IGNORE INTO registry_manifest
     (repository, digest, media_type, size, subject, artifact_type, annotations, image, added)
     SELECT old->>'repository', old->>'digest', old->>'media_type', old->>'size', old->>'subject', old->>'artifact_type',
     old->>'annotations', old->>'image', old->>'added' FROM trash_row WHERE act = ?1 AND source = 'registry_manifest'",
    "INSERT OR IGNORE INTO registry_part (repository, manifest, digest, size, is_blob)
     SELECT old->>'repository', old->>'manifest', old->>'digest', old->>'size', old->>'is_blob' FROM trash_row
     WHERE act = ?1 AND source = 'registry_part' AND EXISTS
     (SELECT 1 FROM registry_manifest WHERE repository = old->>'repository' AND digest = old->>'manifest')",
];

/// The same for tags of registries, whose names mean again what they meant by now.
const RESTORE_TAGS: &str = "INSERT OR IGNORE INTO registry_tag (name, repository, manifest)
    SELECT old->>'name', old->>'repository', old->>'manifest' FROM trash_row
    WHERE act = ?1 AND source = 'registry_tag' AND EXISTS
    (SELECT 1 FROM registry_manifest WHERE repository = old->>'repository' AND digest = old->>'manifest')
    AND (NOT EXISTS (SELECT 1 FROM reference WHERE name = old->>'name') OR EXISTS
    (SELECT 1 FROM trash_row AS named WHERE named.act = ?1 AND named.source = 'reference'
     AND named.old->>'name' = trash_row.old->>'name'))";

fn trash(row: &rusqlite::Row) -> rusqlite::Result<TrashRow> {
    Ok(TrashRow {
        id: row.get("id")?,
        action: row.get("action")?,
        run: row.get("run")?,
        removed: read_time(row, "removed")?,
        until: read_time(row, "until")?,
    })
}

impl Tx<'_> {
    /// Runs `work` as an act of a run: what it takes away of images and names can be put back until a time. Gives the act's number, or
    /// `None` where it took nothing away.
    pub fn keep_in_trash<T>(
        &self,
        (action, run): (&str, &str),
        (removed, until): (Timestamp, Timestamp),
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Option<i64>)> {
        let sql = "INSERT INTO trash (action, removed, until) VALUES (?1, ?2, ?3)";
        self.execute(sql, params![action, time(removed), time(until)])?;
        let act = self.0.last_insert_rowid();
        self.execute("INSERT INTO trash_run (act, run) VALUES (?1, ?2)", params![act, run])?;
        self.execute("UPDATE trash_open SET act = ?1", [act])?;
        let outcome = work();
        self.execute("UPDATE trash_open SET act = NULL", [])?;
        let value = outcome?;
        let sql = "DELETE FROM trash WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM trash_row WHERE act = ?1)";
        let is_empty = self.execute(sql, [act])? > 0;
        Ok((value, (!is_empty).then_some(act)))
    }

    /// The acts that can be undone, the last one first.
    pub fn trash(&self) -> Result<Vec<TrashRow>> {
        let sql = "SELECT trash.*, ifnull(run, '') AS run FROM trash LEFT JOIN trash_run ON act = id ORDER BY id DESC";
        self.all(sql, [], trash)
    }

    /// Those whose time is over, or all.
    pub fn trash_due(&self, now: Option<Timestamp>) -> Result<Vec<i64>> {
        let sql = "SELECT id FROM trash WHERE ?1 IS NULL OR until <= ?1";
        self.all(sql, [now.map(time)], |row| row.get(0))
    }

    /// The images that an act took away.
    pub fn trashed_images(&self, act: i64) -> Result<Vec<TrashedImage>> {
        let sql = "SELECT old->>'id' AS id, old->>'size' AS size FROM trash_row
                   WHERE act = ?1 AND source = 'image' ORDER BY number";
        self.all(sql, [act], |row| {
            Ok(TrashedImage {
                id: parsed(row, "id")?,
                size: row.get("size")?,
            })
        })
    }

    /// The names that an act took away or moved, the last one first.
    pub fn trashed_names(&self, act: i64) -> Result<Vec<TrashedName>> {
        let sql = "SELECT old->>'name' AS name, old->>'image' AS image, old->>'after' AS after FROM trash_row
                   WHERE act = ?1 AND source = 'reference' ORDER BY number DESC";
        self.all(sql, [act], |row| {
            let after: Option<String> = row.get("after")?;
            Ok(TrashedName {
                name: parsed(row, "name")?,
                before: parsed(row, "image")?,
                after: after.map(|id| id.parse()).transpose().map_err(super::unreadable)?,
            })
        })
    }

    /// The content that an act keeps.
    pub fn trashed_content(&self, act: i64) -> Result<Vec<Digest>> {
        self.all("SELECT digest FROM trash_content WHERE act = ?1", [act], |row| {
            parsed(row, "digest")
        })
    }

    /// The content that the trash keeps.
    pub fn all_trashed_content(&self) -> Result<Vec<Digest>> {
        self.all("SELECT DISTINCT digest FROM trash_content", [], |row| {
            parsed(row, "digest")
        })
    }

    /// Puts the images of an act back, with all that went with them but their names.
    pub fn restore_images_from_trash(&self, act: i64) -> Result<()> {
        RESTORE.iter().try_for_each(|sql| self.execute(sql, [act]).map(drop))
    }

    /// Puts back what was pushed under the names of an act, once they are back.
    pub fn restore_tags_from_trash(&self, act: i64) -> Result<()> {
        self.execute(RESTORE_TAGS, [act]).map(drop)
    }

    /// Forgets an act; what it kept is garbage unless something else needs it.
    pub fn delete_trash(&self, act: i64) -> Result<()> {
        self.execute("DELETE FROM trash WHERE id = ?1", [act]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ImageRow, LayerRow, Store};

    const TIMES: (Timestamp, Timestamp) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        (dir, store)
    }

    /// Every column has a value, so that one which is forgotten shows.
    fn image(name: &str) -> (ImageRow, Vec<LayerRow>) {
        let id = Digest::of(name.as_bytes());
        let row = ImageRow {
            manifest: Digest::of(b"manifest"),
            config: vec![0, 1, 0xff, b'\''],
            created: Some(Timestamp::from_second(5).unwrap()),
            size: 7,
            os: "linux".to_owned(),
            architecture: "arm".to_owned(),
            variant: Some("v7".to_owned()),
            labels: r#"{"a":"b"}"#.to_owned(),
            parent: Some(Digest::of(b"parent")),
            added: Timestamp::from_second(6).unwrap(),
            last_used: Timestamp::from_second(7).unwrap(),
            ..ImageRow::lost(&id, Timestamp::UNIX_EPOCH)
        };
        let layer = |name: &str| LayerRow {
            diff_id: Digest::of(name.as_bytes()),
            blob: Digest::of(format!("{name} blob").as_bytes()),
            blob_size: 3,
            media_type: "text/plain".to_owned(),
            size: 4,
        };
        (row, vec![layer("one"), layer("two")])
    }

    #[test]
    fn what_an_act_took_away_comes_back_as_it_was_and_is_needed_until_then() {
        let (_dir, store) = store();
        let (row, layers) = image("app");
        let name: Reference = "app:1".parse().unwrap();
        let remove = |tx: &Tx| {
            tx.insert_image(&row, &layers)?;
            tx.set_source(&Digest::of(b"index"), &row.id)?;
            tx.set_reference(&name, &row.id, Timestamp::UNIX_EPOCH)?;
            let (before, act) = tx.keep_in_trash(("image::remove", "r"), TIMES, || {
                let before = format!("{:?}", tx.image(&row.id)?);
                tx.delete_reference(&name)?;
                tx.delete_image(&row.id)?;
                Ok(before)
            })?;
            Ok((before, act.expect("it took something away")))
        };
        let (before, act) = store.write(remove).unwrap();
        let needed = |digest: &Digest| {
            let needed = store.read(|tx| tx.needed(std::slice::from_ref(digest))).unwrap();
            !needed.is_empty()
        };
        let content = [&row.id, &row.manifest, &layers[1].diff_id, &layers[1].blob];
        assert!(content.into_iter().all(needed));
        assert!(store.read(|tx| tx.image(&row.id)).unwrap().is_none());
        let names = store.read(|tx| tx.trashed_names(act)).unwrap();
        let lost = TrashedName {
            name,
            before: row.id.clone(),
            after: None,
        };
        assert_eq!(names, [lost]);

        store.write(|tx| tx.restore_images_from_trash(act)).unwrap();
        store.write(|tx| tx.delete_trash(act)).unwrap();
        let after = store.read(|tx| tx.image(&row.id)).unwrap();
        assert_eq!(format!("{after:?}"), before);
        assert_eq!(store.read(|tx| tx.layers(&row.id)).unwrap(), layers);
        let known = store.read(|tx| tx.images_by_source(&Digest::of(b"index"))).unwrap();
        assert_eq!(known.len(), 1);
        assert!(content.into_iter().all(needed));
        assert_eq!(store.read(|tx| tx.all_trashed_content()).unwrap(), []);
    }

    #[test]
    fn an_act_that_takes_nothing_away_is_none_and_its_number_is_not_given_again() {
        let (_dir, store) = store();
        let (row, layers) = image("app");
        let name: Reference = "app:1".parse().unwrap();
        let acts = |tx: &Tx| {
            tx.insert_image(&row, &layers)?;
            let tag = || tx.set_reference(&name, &row.id, Timestamp::UNIX_EPOCH);
            let none = tx.keep_in_trash(("image::tag", "r"), TIMES, tag)?.1;
            let again = tx.keep_in_trash(("image::tag", "r"), TIMES, tag)?.1;
            let untag = tx
                .keep_in_trash(("image::untag", "r"), TIMES, || tx.delete_reference(&name))?
                .1;
            tx.delete_trash(untag.unwrap_or_default())?;
            // Outside of an act nothing is kept.
            tx.delete_image(&row.id)?;
            Ok((none, again, untag, tx.trash()?))
        };
        assert_eq!(store.write(acts).unwrap(), (None, None, Some(3), Vec::new()));
        let needed = store.read(|tx| tx.needed(std::slice::from_ref(&row.id))).unwrap();
        assert!(needed.is_empty());
    }

    #[test]
    fn a_column_of_what_the_trash_keeps_is_not_forgotten() {
        let (_dir, store) = store();
        for table in [
            "image",
            "image_layer",
            "source",
            "registry_manifest",
            "registry_part",
            "registry_tag",
        ] {
            let columns = |tx: &Tx| {
                tx.all("SELECT name FROM pragma_table_info(?1)", [table], |row| {
                    row.get::<_, String>(0)
                })
            };
            let mut restores = RESTORE.iter().chain([&RESTORE_TAGS]);
            let restore = restores.find(|sql| sql.contains(&format!("source = '{table}'")));
            let restore = restore.expect("each table is put back");
            let sql = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?1";
            let trigger = |tx: &Tx| tx.first(sql, [format!("trash_{table}")], |row| row.get::<_, String>(0));
            let trigger = store.read(trigger).unwrap().expect("each table has its trigger");
            for column in store.read(columns).unwrap() {
                assert!(restore.contains(&format!("old->>'{column}'")), "{table}.{column}");
                assert!(
                    trigger.contains(&format!("'{column}',")) && trigger.contains(&format!("OLD.{column}")),
                    "{table}.{column}"
                );
            }
        }
    }
}
