//! Lists: repositories, their tags, what refers to a manifest.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::host::Host;
use crate::model::{Digest, Repository};

/// A manifest that refers to another, as an index describes it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// What kind of artifact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Host {
    /// The tags of a repository after this one, at most so many, in the order of their bytes; `None` if there is no such repository.
    pub fn repository_tags(&self, repository: &Repository, after: &str, limit: usize) -> Result<Option<Vec<String>>> {
        self.store().read(|tx| {
            if !tx.has_repository(repository)? {
                return Ok(None);
            }
            let names = tx.tags(repository, after, limit)?;
            Ok(Some(
                names.iter().filter_map(|name| name.tag().map(str::to_owned)).collect(),
            ))
        })
    }

    /// The repositories that a URL can name, by the names they are listed under, in order.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let all = self.store().read(|tx| tx.repositories())?;
        let mut names: Vec<String> = all.iter().filter_map(|name| name.listed().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// What refers to a manifest of a repository, in the order of digests.
    pub fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Referrer>> {
        let rows = self.store().read(|tx| tx.referrers(repository, subject))?;
        let referrers = rows.into_iter().map(|row| Referrer {
            media_type: row.media_type,
            digest: row.digest,
            size: row.size,
            artifact_type: row.artifact_type,
            annotations: row
                .annotations
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
        });
        Ok(referrers.collect())
    }
}
