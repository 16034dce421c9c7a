//! What was pushed and nothing leads to: no tag, no index, nothing that it is about, no image.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::removal::take_manifest;
use crate::error::Result;
use crate::host::{Host, Item, Report};
use crate::model::{Digest, Pattern, Repository, TimeSpan, Words, format_duration};
use crate::store::{ManifestRow, Tx};

/// Which of what nothing leads to is to go.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UntaggedFilter {
    /// What was pushed longer ago; a day by default, for an index comes after what it lists.
    pub older_than: Option<TimeSpan>,
    /// Of repositories that such a pattern fits.
    pub repository: Words,
}

const OLD: SignedDuration = SignedDuration::from_hours(24);

type Key = (Repository, Digest);

/// What leads to manifests.
struct Ways {
    tags: HashMap<Key, String>,
    /// Manifests by those that an index lists.
    indexes: HashMap<Key, HashSet<Digest>>,
    manifests: HashSet<Key>,
}

impl Ways {
    fn read(tx: &Tx, rows: &[(Repository, ManifestRow, Timestamp)]) -> Result<Ways> {
        let tags = tx.registry_tags()?.into_iter();
        let tags = tags.map(|(name, digest)| ((Repository::of(&name), digest), name.familiar()));
        let mut indexes: HashMap<Key, HashSet<Digest>> = HashMap::new();
        for (repository, index, listed) in tx.listed_manifests()? {
            indexes.entry((repository, listed)).or_default().insert(index);
        }
        let manifests = rows
            .iter()
            .map(|(repository, row, _)| (repository.clone(), row.digest.clone()));
        Ok(Ways {
            tags: tags.collect(),
            indexes,
            manifests: manifests.collect(),
        })
    }

    /// Why a manifest stays, if anything leads to it.
    fn to(&self, tx: &Tx, repository: &Repository, row: &ManifestRow) -> Result<Option<String>> {
        let key = (repository.clone(), row.digest.clone());
        if let Some(tag) = self.tags.get(&key) {
            return Ok(Some(format!("tagged `{tag}`")));
        }
        let mut indexes = self.indexes.get(&key).into_iter().flatten();
        if let Some(index) = indexes.find(|index| self.manifests.contains(&(repository.clone(), (*index).clone()))) {
            return Ok(Some(format!("listed in `{}`", index.short())));
        }
        if let Some(image) = &row.image
            && tx.image(image)?.is_some()
        {
            return Ok(Some(format!("belongs to the image `{}`", image.short())));
        }
        let Some(subject) = &row.subject else { return Ok(None) };
        let is_there = self.manifests.contains(&(repository.clone(), subject.clone()));
        let is_about = is_there || tx.is_image_in(repository, subject)?;
        Ok(is_about.then(|| format!("refers to `{}`", subject.short())))
    }
}

impl Host {
    /// Removes manifests that were pushed and that nothing leads to, with the blobs that only they name: neither a tag nor an index does, they
    /// refer to nothing that is there, and are no image, which `image::prune` is for.
    pub fn prune_untagged(&self, filter: &UntaggedFilter) -> Result<Report> {
        let patterns = Pattern::each(Some(&filter.repository))?;
        let age = filter.older_than.map_or(OLD, |span| {
            SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX)
        });
        let (now, mut report) = (Timestamp::now(), Report::default());
        report.reclaimed = self.remove_rows(|tx, candidates| {
            let mut rows = tx.registry_manifests()?;
            let is_meant = |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name));
            let mut ways = Ways::read(tx, &rows)?;
            rows.retain(|(repository, _, _)| {
                is_meant(repository.as_str()) || repository.listed().is_some_and(is_meant)
            });
            // What goes may have led to others.
            loop {
                let (mut goes, mut stays) = (Vec::new(), Vec::new());
                for (repository, row, added) in rows {
                    let since = now.duration_since(added);
                    let shown = format_duration(since.try_into().unwrap_or_default());
                    match ways.to(tx, &repository, &row)? {
                        None if since >= age => goes.push((repository, row, added)),
                        None => stays.push(((repository, row, added), format!("pushed {shown} ago"))),
                        Some(reason) => stays.push(((repository, row, added), reason)),
                    }
                }
                if goes.is_empty() {
                    let kept = stays
                        .iter()
                        .map(|((repository, row, _), reason)| item(repository, row, reason));
                    report.kept.extend(kept);
                    return Ok(());
                }
                for (repository, row, _) in &goes {
                    report
                        .removed
                        .push(item(repository, row, "no tag, index or subject leads to it"));
                    take_manifest(tx, repository, &row.digest, candidates)?;
                    ways.manifests.remove(&(repository.clone(), row.digest.clone()));
                }
                rows = stays.into_iter().map(|(row, _)| row).collect();
            }
        })?;
        for item in &report.removed {
            self.planned("registry::prune", &item.name, &item.reason);
        }
        Ok(report)
    }
}

fn item(repository: &Repository, row: &ManifestRow, reason: &str) -> Item {
    Item {
        id: row.digest.to_string(),
        name: format!("{repository}@{}", row.digest),
        reason: reason.to_owned(),
        size: row.size,
    }
}
