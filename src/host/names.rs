//! Names alone, for those who complete them: nothing else is read.

use super::Host;
use crate::error::Result;
use crate::model::Reference;

impl Host {
    /// The names of images that begin with this, sorted: as people write them, or in full where the beginning is.
    pub fn image_names(&self, start: &str) -> Result<Vec<String>> {
        let full = ["", "docker.io/", "docker.io/library/"].map(|place| format!("{place}{start}"));
        let found = self.store().read(|tx| {
            let found = full.iter().map(|start| tx.reference_names(start));
            Ok(found.collect::<Result<Vec<_>>>()?.concat())
        })?;
        let written = |name: String| match name.parse::<Reference>() {
            Ok(short) if short.familiar().starts_with(start) => short.familiar(),
            _ => name,
        };
        let mut names: Vec<String> = found
            .into_iter()
            .map(written)
            .filter(|name| name.starts_with(start))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The names of all containers, sorted.
    pub fn container_names(&self) -> Result<Vec<String>> {
        self.store().read(|tx| tx.container_names())
    }

    /// The names of all volumes, sorted.
    pub fn volume_names(&self) -> Result<Vec<String>> {
        self.store().read(|tx| tx.volume_names())
    }
}
