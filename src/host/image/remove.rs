//! Taking images away: one by name or id, many by filter.

use std::collections::HashSet;

use serde::Deserialize;

use super::filter::{ImageFilter, Purpose, Verdict, decide};
use super::listing::Matching;
use super::resolve::Named;
use super::{Image, NO_NAME};
use crate::error::{Error, Result};
use crate::host::garbage::Candidates;
use crate::host::repository::take_manifests_of;
use crate::host::{Host, Item, Report};
use crate::model::Digest;
use crate::store::Tx;

/// Why a name is gone whose image stays.
const UNTAGGED: &str = "untagged";

/// Options of `image::remove`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoveImage {
    /// Take an image's names even while a container uses it; the image itself stays, dangling, until the container is gone.
    pub force: bool,
    /// Remove unnamed parents that lose their last child.
    pub prune_parents: bool,
    /// Keep it in the trash for a while, so that it can be brought back.
    pub trash: bool,
}

impl Default for RemoveImage {
    fn default() -> RemoveImage {
        RemoveImage {
            force: false,
            prune_parents: true,
            trash: true,
        }
    }
}

impl Host {
    /// Removes the image meant by `text`. Its name among several loses that name only; its last name, or its id, removes it
    /// with all its names.
    ///
    /// Errors: `not_found`; `in_use` while a container uses it (unless forced) or another image is made from it.
    pub fn remove_image(&self, text: &str, options: &RemoveImage) -> Result<Report> {
        let mut report = Report::default();
        let freed = self.remove_rows_to_trash("image::remove", options.trash, |tx, candidates| {
            let (image, named) = self.resolve(tx, text)?;
            match named {
                Named::Reference(name) if image.references().len() > 1 || !image.facts.children.is_empty() => {
                    self.check_names(std::slice::from_ref(&name))?;
                    tx.delete_reference(&name)?;
                    report.removed.push(Item {
                        size: 0,
                        ..item(&image, &name.familiar(), UNTAGGED)
                    });
                    Ok(())
                }
                _ => self.remove_whole(tx, &image, options, &mut report, candidates),
            }
        })?;
        freed.tell(&mut report);
        self.record_removals("image::remove", &report);
        self.count(|effects| effects.reclaimed += report.reclaimed);
        Ok(report)
    }

    fn remove_whole(
        &self,
        tx: &Tx,
        image: &Image,
        options: &RemoveImage,
        report: &mut Report,
        candidates: &mut Candidates,
    ) -> Result<()> {
        self.check_names(image.references())?;
        if let Some(child) = image.facts.children.first() {
            let count = image.facts.children.len();
            return Err(Error::in_use(format!(
                "image `{image}` is needed by {count} made from it, such as {}",
                child.short()
            ))
            .target(image.to_string())
            .hint("remove those first, or take only its name with `image::untag`"));
        }
        if let Some(user) = image.used_by().first() {
            if !options.force {
                return Err(Error::in_use(format!("image `{image}` is used by container `{user}`"))
                    .target(image.to_string())
                    .hint("remove the container first, or take only the image's names with `#{force: true}`"));
            }
            for name in image.references() {
                tx.delete_reference(name)?;
                report.removed.push(Item {
                    size: 0,
                    ..item(image, &name.familiar(), UNTAGGED)
                });
            }
            report
                .kept
                .push(item(image, NO_NAME, &format!("used by container `{user}`")));
            return Ok(());
        }
        self.delete_rows(tx, image, candidates)?;
        report.removed.push(item(image, &image.name(), "removed"));
        match image.parent() {
            Some(parent) if options.prune_parents => self.remove_lone_parent(tx, parent, report, candidates),
            _ => Ok(()),
        }
    }

    /// Removes an unnamed, unused image whose last child went, and so on upwards.
    fn remove_lone_parent(&self, tx: &Tx, id: &Digest, report: &mut Report, candidates: &mut Candidates) -> Result<()> {
        let mut next = Some(id.clone());
        while let Some(id) = next.take() {
            let Some(row) = tx.image(&id)? else { return Ok(()) };
            let parent = Image::read(self, tx, row)?;
            if !parent.dangling() || !parent.used_by().is_empty() {
                return Ok(());
            }
            self.delete_rows(tx, &parent, candidates)?;
            report.removed.push(item(&parent, NO_NAME, "its last child went"));
            next = parent.parent().cloned();
        }
        Ok(())
    }

    /// Removes an image that has no name any more and that nothing uses.
    pub(in crate::host) fn remove_unused(&self, tx: &Tx, id: &Digest, candidates: &mut Candidates) -> Result<()> {
        let Some(row) = tx.image(id)? else { return Ok(()) };
        let image = Image::read(self, tx, row)?;
        match image.dangling() && image.used_by().is_empty() {
            true => self.delete_rows(tx, &image, candidates),
            false => Ok(()),
        }
    }

    fn delete_rows(&self, tx: &Tx, image: &Image, candidates: &mut Candidates) -> Result<()> {
        candidates.add(image.id(), image.digest(), &tx.layers(image.id())?);
        take_manifests_of(tx, image.id(), candidates)?;
        for name in image.references() {
            tx.delete_reference(name)?;
        }
        tx.delete_image(image.id())
    }

    /// Removes the images that fit the filter and that nothing needs; without a filter, the dangling ones.
    pub fn prune_images(&self, filter: &ImageFilter, matching: Matching<'_, Image>) -> Result<Report> {
        let images = Image::read_all(self)?;
        let verdicts = decide(self, images, filter, matching, Purpose::Prune)?;
        let mut report = Report::default();
        let (taken, kept): (Vec<Verdict>, Vec<Verdict>) = verdicts.into_iter().partition(|verdict| verdict.taken);
        report.kept = kept
            .iter()
            .map(|verdict| item(&verdict.image, &verdict.image.name(), &verdict.reason))
            .collect();
        if filter.wants_room() {
            report.reclaimed += self.empty_trash()?;
        }
        let freed = self.remove_rows_to_trash("image::prune", filter.uses_trash(), |tx, candidates| {
            let mut left: Vec<Verdict> = taken;
            // Children before parents: each round removes what nothing left is made from.
            while !left.is_empty() {
                let parents: HashSet<Digest> = left
                    .iter()
                    .filter_map(|verdict| verdict.image.parent().cloned())
                    .collect();
                let (waiting, now): (Vec<_>, Vec<_>) = left.into_iter().partition(|v| parents.contains(v.image.id()));
                for verdict in now {
                    self.prune_one(tx, &verdict, &mut report, candidates)?;
                }
                left = waiting;
            }
            Ok(())
        })?;
        freed.tell(&mut report);
        self.record_removals("image::prune", &report);
        if self.plan().is_none() {
            report.reclaimed += self.collect_orphans()?;
        }
        self.count(|effects| effects.reclaimed += report.reclaimed);
        self.tell_prune("image", report.reclaimed);
        Ok(report)
    }

    /// Removes one image unless another process has come to need it since it was judged.
    fn prune_one(&self, tx: &Tx, verdict: &Verdict, report: &mut Report, candidates: &mut Candidates) -> Result<()> {
        let Some(row) = tx.image(verdict.image.id())? else {
            return Ok(());
        };
        let image = Image::read(self, tx, row)?;
        let name = image.name();
        let names_changed = image.references() != verdict.image.references();
        if names_changed || !image.used_by().is_empty() || !image.facts.children.is_empty() {
            report.kept.push(item(&image, &name, "came into use meanwhile"));
            return Ok(());
        }
        self.delete_rows(tx, &image, candidates)?;
        report.removed.push(item(&image, &name, &verdict.reason));
        Ok(())
    }

    fn record_removals(&self, action: &str, report: &Report) {
        for item in &report.removed {
            self.planned(action, &item.name, &format!("{}: {}", &item.id[7..19], item.reason));
            let happened = if item.reason == UNTAGGED { "untag" } else { "delete" };
            self.tell_image_id(happened, &item.id, &item.name);
        }
    }
}

fn item(image: &Image, name: &str, reason: &str) -> Item {
    Item {
        id: image.id().to_string(),
        name: name.to_owned(),
        reason: reason.to_owned(),
        size: image.size(),
    }
}
