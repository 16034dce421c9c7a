//! Names alone, for those who complete them: nothing else is read.

use super::Host;
use crate::error::Result;
use crate::model::Reference;

impl Host {
    /// The names of all images as people write them, sorted.
    pub fn image_names(&self) -> Result<Vec<String>> {
        let names = self.store().read(|tx| tx.reference_names())?;
        let familiar = |name: String| name.parse::<Reference>().map_or(name, |name| name.familiar());
        let mut names: Vec<String> = names.into_iter().map(familiar).collect();
        names.sort_unstable();
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
