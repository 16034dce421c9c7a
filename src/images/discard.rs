//! Removing content: out of sight at once, piece by piece later.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::image::Layer;
use super::staging::Staging;
use super::{chain, flat};
use crate::error::{Context as _, Result};
use crate::model::Digest;

/// Content that was taken out of sight; it is deleted when this is dropped, or by the next process to open the content.
pub struct Discard<'a> {
    content: &'a Content,
    staging: Staging,
    /// What was made for chains with a topmost layer, fix-ups, init layers and merged ones, by that layer's hexadecimal digits.
    derived: HashMap<String, Vec<PathBuf>>,
}

impl Content {
    /// What will hold what is taken out of sight; nothing yet.
    pub fn discard(&self) -> Result<Discard<'_>> {
        let mut derived: HashMap<String, Vec<PathBuf>> = HashMap::new();
        let dir = self.layers_dir();
        for entry in std::fs::read_dir(&dir).during(|| format!("list `{}`", dir.display()))? {
            let entry = entry.during(|| format!("list `{}`", dir.display()))?;
            let name = entry.file_name();
            if let Some((hex, kind)) = name.to_string_lossy().split_once('.')
                && kind != "json"
            {
                derived.entry(hex.to_owned()).or_default().push(entry.path());
            }
        }
        Ok(Discard {
            content: self,
            staging: self.stage()?,
            derived,
        })
    }
}

impl Discard<'_> {
    /// Takes a blob out of sight; one that is gone already is no error. Returns its bytes.
    pub fn take_blob(&self, digest: &Digest) -> Result<u64> {
        let bytes = self.content.blob_size(digest).unwrap_or(0);
        self.take(&self.content.blob_path(digest))?;
        Ok(bytes)
    }

    /// Takes an unpacked layer out of sight, with its record and what was made from it. Returns the bytes of its files.
    pub fn take_layer(&self, diff_id: &Digest) -> Result<u64> {
        let bytes = self.content.layer_size(diff_id).unwrap_or(0);
        self.take(&self.content.layer_dir(diff_id))?;
        self.take(&self.content.record_path(diff_id))?;
        for dir in self.derived.get(diff_id.hex()).into_iter().flatten() {
            self.take(dir)?;
        }
        Ok(bytes)
    }

    /// Takes what was made of these layers (lowest first) together out of sight; it is made anew when it is needed.
    pub fn take_derived(&self, layers: &[Layer]) -> Result<()> {
        let stack = self.content.stack(layers)?;
        let merged = &stack[stack.len() - flat::merged_of(stack.len())..];
        for pile in [&stack, merged] {
            let dirs = pile.first().and_then(|top| self.derived.get(top.hex()));
            let chain = chain::chain_id(pile);
            let is_of = |dir: &&PathBuf| dir.to_string_lossy().ends_with(chain.hex());
            for dir in dirs.into_iter().flatten().filter(is_of) {
                self.take(dir)?;
            }
        }
        Ok(())
    }

    fn take(&self, path: &Path) -> Result<()> {
        match std::fs::rename(path, self.staging.free_path()) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.during(|| format!("remove `{}`", path.display())),
        }
    }
}
