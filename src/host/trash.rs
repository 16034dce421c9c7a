//! What was taken away lately can be brought back: images, with all that went with them, and names that were taken away or moved.
//!
//! The rows of an act are kept by the database itself (`store/trash.rs`), and their content with them, until its time is over or
//! the disk fills up. Nothing is copied or moved.

use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::garbage::Candidates;
use super::{Host, Report};
use crate::config::{Demand, Target};
use crate::error::{Error, Result};
use crate::model::{Digest, Effect, Reference, random_hex};
use crate::store::{TrashRow, TrashedName, Tx};

/// An act that can be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// Its number; none is given twice.
    pub id: i64,
    /// The function that was called, such as `image::remove`.
    pub action: String,
    /// When.
    pub removed: Timestamp,
    /// Until when it can be undone.
    pub until: Timestamp,
    /// The ids of the images it took away.
    pub images: Vec<Digest>,
    /// The names it took away or moved, sorted.
    pub names: Vec<String>,
    /// Bytes that are on the disk for its sake alone.
    pub size: u64,
}

/// What came of undoing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// The act's number.
    pub id: i64,
    /// What was undone.
    pub action: String,
    /// The ids of the images that are back.
    pub images: Vec<String>,
    /// The names that mean again what they meant, sorted.
    pub names: Vec<String>,
}

/// What a removal gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Freed {
    /// Bytes that only what was removed needed.
    pub(super) reclaimed: u64,
    /// How many of them are still in the trash.
    pub(super) trashed: u64,
}

impl Freed {
    /// Adds this to what a batch gave back.
    pub(super) fn tell(self, report: &mut Report) {
        report.reclaimed += self.reclaimed;
        report.trashed += self.trashed;
    }
}

impl Host {
    /// The acts that can be undone, the last one first.
    pub fn trash(&self) -> Result<Vec<Trashed>> {
        self.store().read(|tx| {
            let now = Timestamp::now();
            let rows = tx.trash()?.into_iter().filter(|row| row.until > now);
            rows.map(|row| self.trashed(tx, row)).collect()
        })
    }

    fn trashed(&self, tx: &Tx, row: TrashRow) -> Result<Trashed> {
        let mut names: Vec<String> = tx
            .trashed_names(row.id)?
            .iter()
            .map(|lost| lost.name.familiar())
            .collect();
        names.sort();
        names.dedup();
        Ok(Trashed {
            images: tx.trashed_images(row.id)?.into_iter().map(|image| image.id).collect(),
            names,
            size: self.size_in_trash(tx, &tx.trashed_content(row.id)?)?,
            id: row.id,
            action: row.action,
            removed: row.removed,
            until: row.until,
        })
    }

    /// Bytes of this content that nothing but the trash needs.
    fn size_in_trash(&self, tx: &Tx, content: &[Digest]) -> Result<u64> {
        let needed = tx.needed_outside_trash(content)?;
        let sizes = content.iter().filter(|digest| !needed.contains(digest)).map(|digest| {
            let blob = self.content().blob_size(digest).unwrap_or(0);
            blob + self.content().layer_size(digest).unwrap_or(0)
        });
        Ok(sizes.sum())
    }

    /// Bytes that are on the disk for the trash's sake alone.
    pub(super) fn trash_size(&self) -> Result<u64> {
        let content = self.store().read(|tx| tx.all_trashed_content())?;
        self.store().read(|tx| self.size_in_trash(tx, &content))
    }

    /// Takes an act back, the last one unless another is named. Images return as they were, and names mean again what they meant.
    ///
    /// Errors: `not_found` if there is no such act, or none any more; `conflict` if a name has come to mean something else since.
    pub fn undo(&self, id: Option<i64>) -> Result<Undone> {
        let undone = self.write_names(|tx| self.take_back(tx, self.act(tx, id)?))?;
        self.tell_undone(&undone);
        Ok(undone)
    }

    /// Takes back all that the last run did that can be undone: a command, a script or a line at the prompt. The last act comes first.
    ///
    /// Errors: those of [`Host::undo`]; nothing is taken back then.
    pub fn undo_run(&self) -> Result<Vec<Undone>> {
        let undone = self.write_names(|tx| {
            let last = self.act(tx, None)?;
            let now = Timestamp::now();
            let is_of_it =
                |row: &TrashRow| row.until > now && (row.id == last.id || !last.run.is_empty() && row.run == last.run);
            let acts = tx.trash()?.into_iter().filter(is_of_it);
            acts.map(|row| self.take_back(tx, row)).collect::<Result<Vec<_>>>()
        })?;
        undone.iter().for_each(|undone| self.tell_undone(undone));
        Ok(undone)
    }

    fn take_back(&self, tx: &Tx, row: TrashRow) -> Result<Undone> {
        let names = tx.trashed_names(row.id)?;
        names.iter().try_for_each(|lost| self.check_restoring(&lost.name))?;
        let images = tx.trashed_images(row.id)?;
        tx.restore_images_from_trash(row.id)?;
        let now = Timestamp::now();
        names.iter().try_for_each(|lost| put_back(tx, lost, now))?;
        tx.restore_tags_from_trash(row.id)?;
        images.iter().try_for_each(|image| self.check_restored(tx, &image.id))?;
        tx.delete_trash(row.id)?;
        let mut names: Vec<String> = names.iter().map(|lost| lost.name.familiar()).collect();
        names.sort();
        names.dedup();
        Ok(Undone {
            id: row.id,
            action: row.action,
            images: images.iter().map(|image| image.id.to_string()).collect(),
            names,
        })
    }

    fn tell_undone(&self, undone: &Undone) {
        for image in &undone.images {
            self.planned("system::undo", image.get(7..19).unwrap_or(image), &undone.action);
            self.tell_image_id("restore", image, "");
        }
        for name in &undone.names {
            self.planned("system::undo", name, &undone.action);
        }
    }

    /// What acts of now belong to.
    fn run_name(&self) -> Result<String> {
        let own = match self.0.run.get() {
            Some(own) => own,
            None => {
                let name = random_hex(8)?;
                self.0.run.get_or_init(|| name)
            }
        };
        Ok(format!("{own}-{}", self.0.run_number.load(Ordering::Relaxed)))
    }

    /// From here on acts belong to another run: the next line at the prompt.
    pub fn begin_run(&self) {
        self.0.run_number.fetch_add(1, Ordering::Relaxed);
    }

    fn act(&self, tx: &Tx, id: Option<i64>) -> Result<TrashRow> {
        let now = Timestamp::now();
        let mut rows = tx.trash()?.into_iter().filter(|row| row.until > now);
        let found = match id {
            None => rows.next(),
            Some(id) => rows.find(|row| row.id == id),
        };
        found.ok_or_else(|| match id {
            None => Error::not_found("there is nothing that can be undone").hint(
                "only removals of images and moves of their names can, for the time that `[trash] keep` says, and while the disk has room",
            ),
            Some(id) => Error::not_found(format!("there is no act {id} that can be undone"))
                .target(id.to_string())
                .hint("`system::trash()` lists those that can"),
        })
    }

    /// Errors: `denied` if a name is protected, or not among those that may be set.
    fn check_restoring(&self, name: &Reference) -> Result<()> {
        self.check_names(std::slice::from_ref(name))?;
        let demand = Demand::new(Effect::Write, Target::named(name.clone()));
        match self.config().permissions.spares(&demand) {
            None => Ok(()),
            Some(reason) => Err(Error::denied(format!(
                "name `{}` is not to be set: {reason}",
                name.familiar()
            ))),
        }
    }

    /// Errors: `corrupt` if a layer of an image is gone from the disk.
    fn check_restored(&self, tx: &Tx, image: &Digest) -> Result<()> {
        let content = self.content();
        let lost = tx.layers(image)?.into_iter().find(|layer| {
            let is_there = content.has_layer(&layer.diff_id) || content.has_blob(&layer.blob);
            !is_there
        });
        match lost {
            None => Ok(()),
            Some(layer) => Err(Error::corrupt(format!(
                "image {} cannot come back: its layer {} is gone from the disk",
                image.short(),
                layer.diff_id.short()
            ))
            .hint("`hoist eval 'system::check()'` tells what else is; load or pull the image again")),
        }
    }

    /// Removes for good what the trash keeps; returns the bytes given back.
    pub fn empty_trash(&self) -> Result<u64> {
        let bytes = self.remove_rows(|tx, candidates| give_up(tx, None, candidates))?;
        if bytes > 0 {
            self.planned("system::empty_trash", "trash", "");
        }
        Ok(bytes)
    }

    /// Removes images' rows as [`Host::remove_rows`] does, so that it can be undone where that is wanted and there is room.
    pub(super) fn remove_rows_to_trash(
        &self,
        action: &str,
        is_wanted: bool,
        work: impl FnOnce(&Tx, &mut Candidates) -> Result<()>,
    ) -> Result<Freed> {
        let has_room = self.has_room_for_trash();
        let mut trashed = 0;
        let given_back = self.remove_rows(|tx, candidates| {
            give_up(tx, has_room.then(Timestamp::now), candidates)?;
            if !is_wanted || !has_room {
                return work(tx, candidates);
            }
            let mut own = Candidates::default();
            self.in_trash(tx, action, || work(tx, &mut own))?;
            trashed = self.size_in_trash(tx, &own.into_digests())?;
            Ok(())
        })?;
        Ok(Freed {
            reclaimed: given_back + trashed,
            trashed,
        })
    }

    /// Runs `work` within a transaction so that the names and images it takes away can be brought back; only runs it where nothing is
    /// to be kept.
    pub(super) fn in_trash<T>(&self, tx: &Tx, action: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let keep = self.config().trash.keep;
        if keep.is_zero() {
            return work();
        }
        let now = Timestamp::now();
        let until = SignedDuration::try_from(keep)
            .ok()
            .and_then(|keep| now.checked_add(keep).ok());
        tx.keep_in_trash(
            (action, &self.run_name()?),
            (now, until.unwrap_or(Timestamp::MAX)),
            work,
        )
        .map(|(value, _)| value)
    }

    /// Whether the disk is empty enough for what is removed to stay on it.
    fn has_room_for_trash(&self) -> bool {
        let trash = self.config().trash;
        let disk = self
            .content()
            .free_space()
            .and_then(|free| Ok((free, self.content().disk_size()?)));
        !trash.keep.is_zero() && disk.is_ok_and(|(free, all)| trash.has_room(free, all))
    }

    /// Empties the trash if the disk is short of room, and of what is over its time in any case: something new is to come.
    pub(super) fn make_room(&self) -> Result<()> {
        let due = self.has_room_for_trash().then(Timestamp::now);
        if self.plan().is_some() || self.store().read(|tx| tx.trash_due(due))?.is_empty() {
            return Ok(());
        }
        self.remove_rows(|tx, candidates| give_up(tx, due, candidates))
            .map(drop)
    }
}

/// Forgets the acts whose time is over, or all without a time; what they kept is looked at.
fn give_up(tx: &Tx, now: Option<Timestamp>, candidates: &mut Candidates) -> Result<()> {
    for act in tx.trash_due(now)? {
        candidates.add_any(tx.trashed_content(act)?);
        tx.delete_trash(act)?;
    }
    Ok(())
}

/// Lets a name mean again what it meant, unless it means something new.
fn put_back(tx: &Tx, lost: &TrashedName, now: Timestamp) -> Result<()> {
    let name = lost.name.familiar();
    match tx.reference(&lost.name)? {
        Some(current) if current == lost.before => return Ok(()),
        Some(current) if Some(&current) != lost.after.as_ref() => {
            return Err(Error::conflict(format!("`{name}` means image {} now", current.short()))
                .target(name.clone())
                .hint(format!(
                    "undo what gave it that name first, or take the name away by `image::untag(\"{name}\")`"
                )));
        }
        _ => {}
    }
    if tx.image(&lost.before)?.is_none() {
        return Err(Error::conflict(format!(
            "`{name}` meant image {}, which was removed since",
            lost.before.short()
        ))
        .target(name)
        .hint("undo that first: `system::trash()` lists what can be undone"));
    }
    tx.set_reference(&lost.name, &lost.before, now).map(drop)
}
