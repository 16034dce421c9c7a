//! What is kept of other registries: listed, and removed by age or size.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::EXACT;
use crate::error::{Error, Result};
use crate::host::garbage::Candidates;
use crate::host::{Host, Item, Report};
use crate::model::{ByteSize, Digest, Pattern, Repository, TimeSpan, Words, format_duration};
use crate::store::{CachedRow, Tx};

/// What of the cache is to go.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheFilter {
    /// What no client wanted for this long, give or take an hour.
    pub not_used_for: Option<TimeSpan>,
    /// What was not wanted for longest, until no more than this is kept.
    pub total_at_most: Option<ByteSize>,
    /// What has such a name, whenever it was wanted.
    pub reference: Words,
}

/// A manifest of another registry that is kept, with what is here of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedManifest {
    /// Registry and path.
    pub repository: String,
    /// The tags that stood for it when the registry was asked last, as names.
    pub names: Vec<String>,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Bytes of it and of those of its blobs that are here.
    pub size: u64,
    /// When a client wanted it last, give or take an hour.
    pub used: Timestamp,
}

/// All that is kept of other registries.
struct Cache {
    manifests: Vec<CachedRow>,
    /// The names of a manifest.
    names: HashMap<(Repository, Digest), Vec<String>>,
    /// The blobs that are here of those that a manifest names.
    parts: HashMap<(Repository, Digest), Vec<Digest>>,
    /// Bytes of each blob that is here.
    sizes: HashMap<Digest, u64>,
}

impl Cache {
    fn read(tx: &Tx) -> Result<Cache> {
        let (mut names, mut parts) = (HashMap::new(), HashMap::new());
        for (name, digest) in tx.cached_tags()? {
            let key = (Repository::of(&name), digest);
            names.entry(key).or_insert_with(Vec::new).push(name.familiar());
        }
        let sizes: HashMap<Digest, u64> = tx
            .cached_blobs()?
            .into_iter()
            .map(|row| (row.digest, row.size))
            .collect();
        for (repository, manifest, blob) in tx.cached_parts()? {
            if sizes.contains_key(&blob) {
                parts.entry((repository, manifest)).or_insert_with(Vec::new).push(blob);
            }
        }
        Ok(Cache {
            manifests: tx.cached_manifests()?,
            names,
            parts,
            sizes,
        })
    }

    fn names(&self, row: &CachedRow) -> &[String] {
        self.names.get(&key(row)).map_or(&[], Vec::as_slice)
    }

    fn parts(&self, row: &CachedRow) -> &[Digest] {
        self.parts.get(&key(row)).map_or(&[], Vec::as_slice)
    }

    /// Bytes of a manifest and of what is here of it.
    fn size(&self, row: &CachedRow) -> u64 {
        row.size + self.parts(row).iter().map(|blob| self.sizes[blob]).sum::<u64>()
    }

    fn item(&self, row: &CachedRow, reason: String) -> Item {
        let name = match self.names(row) {
            [] => format!("{}@{}", row.repository, row.digest),
            names => names.join(", "),
        };
        Item {
            id: row.digest.to_string(),
            name,
            reason,
            size: self.size(row),
        }
    }

    /// Why each manifest goes; those that stay are not in it.
    fn verdicts(&self, filter: &CacheFilter, now: Timestamp) -> Result<HashMap<(Repository, Digest), String>> {
        let patterns = Pattern::each(Some(&filter.reference))?;
        let mut verdicts = HashMap::new();
        for row in &self.manifests {
            let age = now.duration_since(row.used);
            let is_named = |name: &String| patterns.iter().any(|pattern| pattern.matches(name));
            if filter.not_used_for.is_some_and(|span| age >= signed(span)) {
                verdicts.insert(key(row), format!("not used for {}", shown(age)));
            } else if self.names(row).iter().any(is_named) {
                verdicts.insert(key(row), "has such a name".to_owned());
            }
        }
        let Some(most) = filter.total_at_most else {
            return Ok(verdicts);
        };
        self.beyond(most, &mut verdicts);
        Ok(verdicts)
    }

    /// Has those go that were not wanted for longest, until no more than this stays.
    fn beyond(&self, most: ByteSize, verdicts: &mut HashMap<(Repository, Digest), String>) {
        let staying: Vec<&CachedRow> = self
            .manifests
            .iter()
            .filter(|row| !verdicts.contains_key(&key(row)))
            .collect();
        let (mut users, mut total) = (HashMap::<&Digest, usize>::new(), 0);
        for row in &staying {
            total += row.size;
            for blob in self.parts(row) {
                let count = users.entry(blob).or_default();
                total += if *count == 0 { self.sizes[blob] } else { 0 };
                *count += 1;
            }
        }
        for row in staying {
            if total <= most.0 {
                return;
            }
            let reason = format!("{} were kept, which is more than {most}", ByteSize(total));
            verdicts.insert(key(row), reason);
            total -= row.size;
            for blob in self.parts(row) {
                let count = users.entry(blob).or_default();
                *count -= 1;
                total -= if *count == 0 { self.sizes[blob] } else { 0 };
            }
        }
    }
}

fn key(row: &CachedRow) -> (Repository, Digest) {
    (row.repository.clone(), row.digest.clone())
}

fn signed(span: TimeSpan) -> SignedDuration {
    SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX)
}

fn shown(age: SignedDuration) -> String {
    format_duration(age.try_into().unwrap_or_default())
}

impl Host {
    /// What is kept of other registries, those first that were not wanted for longest.
    pub fn cached(&self) -> Result<Vec<CachedManifest>> {
        let cache = self.store().read(Cache::read)?;
        let shown = cache.manifests.iter().map(|row| CachedManifest {
            repository: row.repository.to_string(),
            names: cache.names(row).to_vec(),
            digest: row.digest.clone(),
            media_type: row.media_type.clone().unwrap_or_default(),
            size: cache.size(row),
            used: row.used,
        });
        Ok(shown.collect())
    }

    /// Removes of what is kept of other registries. What was removed is fetched again when somebody wants it.
    ///
    /// Errors: `invalid` for a filter that says nothing.
    pub fn prune_cache(&self, filter: &CacheFilter) -> Result<Report> {
        if filter.not_used_for.is_none() && filter.total_at_most.is_none() && filter.reference.0.is_empty() {
            let way_out = "say `not_used_for`, `total_at_most` or `reference`; `not_used_for: 0.seconds` is all";
            return Err(Error::invalid("nothing is said of what is to go").hint(way_out));
        }
        let (now, mut report) = (Timestamp::now(), Report::default());
        report.reclaimed = self.remove_rows(|tx, candidates| {
            let cache = Cache::read(tx)?;
            let (verdicts, mut gone) = (cache.verdicts(filter, now)?, HashSet::new());
            for row in &cache.manifests {
                let Some(reason) = verdicts.get(&key(row)) else {
                    let age = shown(now.duration_since(row.used));
                    report.kept.push(cache.item(row, format!("used {age} ago")));
                    continue;
                };
                report.removed.push(cache.item(row, reason.clone()));
                tx.delete_cached_manifest(&row.repository, &row.digest)?;
                candidates.blobs.push(row.digest.clone());
                let blobs = cache.parts(row).iter().cloned();
                gone.extend(blobs.map(|blob| (row.repository.clone(), blob)));
            }
            forget_blobs(tx, now, &gone, candidates)
        })?;
        if self.plan().is_some() {
            for item in &report.removed {
                self.planned("registry::prune_cache", &item.name, &item.reason);
            }
        }
        Ok(report)
    }
}

/// Forgets blobs that no manifest names any more; those that none ever named, as far as could be read, stay for a while.
fn forget_blobs(
    tx: &Tx,
    now: Timestamp,
    gone: &HashSet<(Repository, Digest)>,
    candidates: &mut Candidates,
) -> Result<()> {
    let parts = tx.cached_parts()?.into_iter();
    let named: HashSet<(Repository, Digest)> = parts.map(|(repository, _, blob)| (repository, blob)).collect();
    for row in tx.cached_blobs()? {
        let is_old = gone.contains(&key(&row)) || now.duration_since(row.used) > EXACT;
        if is_old && !named.contains(&key(&row)) {
            tx.delete_cached_blob(&row.repository, &row.digest)?;
            candidates.blobs.push(row.digest);
        }
    }
    Ok(())
}
