//! Rows of containers.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Tx, parsed, read_time, time};
use crate::error::{Error, Result};
use crate::model::{ContainerId, Digest};

/// One container.
#[derive(Debug, Clone)]
pub struct ContainerRow {
    /// Its id.
    pub id: ContainerId,
    /// Its name, unique.
    pub name: String,
    /// The image it was made from.
    pub image: Digest,
    /// That image as the user named it.
    pub image_name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The resolved options as a JSON object.
    pub options: String,
    /// Whether its removal has begun.
    pub removing: bool,
    /// The lease of the process that made it for itself, or is about to start it; `None` for one that is anybody's.
    pub owner: Option<String>,
}

pub(super) fn container(row: &Row) -> rusqlite::Result<ContainerRow> {
    Ok(ContainerRow {
        id: parsed(row, "id")?,
        name: row.get("name")?,
        image: parsed(row, "image")?,
        image_name: row.get("image_name")?,
        created: read_time(row, "created")?,
        options: row.get("options")?,
        removing: row.get("removing")?,
        owner: row.get("owner")?,
    })
}

/// In the words of the index that has them.
const UNSETTLED: &str = "SELECT * FROM container WHERE removing <> 0 OR owner IS NOT NULL ORDER BY created DESC, id";

impl Tx<'_> {
    /// Adds a container; an error of kind `already_exists` if its name is taken.
    pub fn insert_container(&self, row: &ContainerRow) -> Result<()> {
        self.check_name_is_free(&row.name)?;
        self.execute(
            "INSERT INTO container (id, name, image, image_name, created, options, removing, owner)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                row.id.as_str(),
                row.name,
                row.image.as_str(),
                row.image_name,
                time(row.created),
                row.options,
                row.removing,
                row.owner,
            ],
        )?;
        Ok(())
    }

    fn check_name_is_free(&self, name: &str) -> Result<()> {
        let taken = self.first("SELECT id FROM container WHERE name = ?1", [name], |row| {
            parsed::<ContainerId>(row, "id")
        })?;
        match taken {
            None => Ok(()),
            Some(id) => Err(
                Error::already_exists(format!("the name `{name}` is taken by container `{}`", id.short()))
                    .target(name)
                    .hint(format!(
                        "remove or rename that container, or choose another name: container::get(\"{name}\").remove()"
                    )),
            ),
        }
    }

    /// The container with this id.
    pub fn container(&self, id: &ContainerId) -> Result<Option<ContainerRow>> {
        self.first("SELECT * FROM container WHERE id = ?1", [id.as_str()], container)
    }

    /// The container with this name.
    pub fn container_by_name(&self, name: &str) -> Result<Option<ContainerRow>> {
        self.first("SELECT * FROM container WHERE name = ?1", [name], container)
    }

    /// The containers whose id starts with these hexadecimal digits, at most `limit`.
    pub fn containers_by_prefix(&self, hex: &str, limit: usize) -> Result<Vec<ContainerRow>> {
        self.all(
            "SELECT * FROM container WHERE id >= ?1 AND id < ?2 LIMIT ?3",
            params![hex, format!("{hex}g"), limit],
            container,
        )
    }

    /// Every container, newest first.
    pub fn containers(&self) -> Result<Vec<ContainerRow>> {
        self.all("SELECT * FROM container ORDER BY created DESC, id", [], container)
    }

    /// The containers whose removal has begun, and those with an owner.
    pub fn unsettled_containers(&self) -> Result<Vec<ContainerRow>> {
        self.all(UNSETTLED, [], container)
    }

    /// The id of every container.
    pub fn container_ids(&self) -> Result<HashSet<ContainerId>> {
        let ids = self.all("SELECT id FROM container", [], |row| parsed(row, "id"))?;
        Ok(ids.into_iter().collect())
    }

    /// The name of every container, sorted.
    pub fn container_names(&self) -> Result<Vec<String>> {
        self.all("SELECT name FROM container ORDER BY name", [], |row| row.get(0))
    }

    /// The names of the containers made from an image, the newest first.
    pub fn containers_of(&self, image: &Digest) -> Result<Vec<String>> {
        let sql = "SELECT name FROM container WHERE image = ?1 ORDER BY created DESC, id";
        self.all(sql, [image.as_str()], |row| row.get(0))
    }

    /// Gives a container another name; an error of kind `already_exists` if that is taken.
    pub fn rename_container(&self, id: &ContainerId, name: &str) -> Result<()> {
        self.check_name_is_free(name)?;
        self.execute(
            "UPDATE container SET name = ?2 WHERE id = ?1",
            params![id.as_str(), name],
        )?;
        Ok(())
    }

    /// Replaces the settings of a container.
    pub fn set_container_options(&self, id: &ContainerId, options: &str) -> Result<()> {
        self.execute(
            "UPDATE container SET options = ?2 WHERE id = ?1",
            params![id.as_str(), options],
        )?;
        Ok(())
    }

    /// Takes a container from its owner.
    pub fn disown_container(&self, id: &ContainerId) -> Result<()> {
        self.execute("UPDATE container SET owner = NULL WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }

    /// Marks that a container's removal has begun, so that whoever comes next finishes it.
    pub fn mark_removing(&self, id: &ContainerId) -> Result<()> {
        self.execute("UPDATE container SET removing = 1 WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }

    /// Removes a container's row; false if it was not there.
    pub fn delete_container(&self, id: &ContainerId) -> Result<bool> {
        Ok(self.execute("DELETE FROM container WHERE id = ?1", [id.as_str()])? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn what_is_to_be_settled_is_found_without_a_look_at_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let (image, count) = (Digest::of(b"image"), 9);
        let row = |number: u8| ContainerRow {
            id: format!("{number:064x}").parse().unwrap(),
            name: format!("c{number}"),
            image: image.clone(),
            image_name: "image".into(),
            created: Timestamp::UNIX_EPOCH,
            options: "{}".into(),
            removing: number == 3,
            owner: (number == 5).then(|| "somebody".into()),
        };
        store
            .write(|tx| {
                tx.0.pragma_update(None, "defer_foreign_keys", true)
                    .map_err(super::super::failed)?;
                (0..count).try_for_each(|number| tx.insert_container(&row(number)))?;
                let names = tx.unsettled_containers()?.into_iter().map(|row| row.name);
                assert_eq!(names.collect::<Vec<_>>(), ["c3", "c5"]);
                assert_eq!(tx.container_ids()?, (0..count).map(|number| row(number).id).collect());
                let plan = tx.all(&format!("EXPLAIN QUERY PLAN {UNSETTLED}"), [], |row| {
                    row.get::<_, String>("detail")
                })?;
                assert!(plan[0].ends_with("USING INDEX container_unsettled"), "{plan:?}");
                tx.0.execute_batch("DELETE FROM container")
                    .map_err(super::super::failed)
            })
            .unwrap();
    }
}
