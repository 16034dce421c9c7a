//! Where a dry run may write: a content store of its own that goes with the process.

use crate::error::{Context as _, Result};
use crate::images::Content;

/// A throw-away content store.
pub(super) struct Scratch {
    pub(super) content: Content,
    pub(super) dir: tempfile::TempDir,
}

impl Scratch {
    pub(super) fn new() -> Result<Scratch> {
        let dir = tempfile::Builder::new().prefix("hoist-dry-run-").tempdir();
        let dir = dir.during(|| "make a directory for the dry run")?;
        let content = Content::open(dir.path())?;
        Ok(Scratch { content, dir })
    }
}

impl super::Host {
    /// The content store that new content goes to: the real one, or the dry run's own.
    pub(super) fn new_content(&self) -> Result<&Content> {
        match self.plan() {
            None => Ok(self.content()),
            Some(_) => Ok(&self.scratch()?.content),
        }
    }

    pub(super) fn scratch(&self) -> Result<&Scratch> {
        if self.0.scratch.get().is_none() {
            let _ = self.0.scratch.set(Scratch::new()?);
        }
        Ok(self.0.scratch.get().expect("set just above"))
    }
}
