//! Where a dry run may write: a content store and files of its own that go with the process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Context as _, Result};
use crate::images::{Content, Limits};

/// A throw-away content store.
pub(super) struct Scratch {
    pub(super) content: Content,
    pub(super) dir: tempfile::TempDir,
    /// What would have been written where, and where it is instead.
    files: Mutex<HashMap<PathBuf, PathBuf>>,
}

impl Scratch {
    pub(super) fn new(limits: &Limits) -> Result<Scratch> {
        let dir = tempfile::Builder::new().prefix("hoist-dry-run-").tempdir();
        let dir = dir.during(|| "make a directory for the dry run")?;
        let content = Content::open(dir.path(), limits)?;
        Ok(Scratch {
            content,
            dir,
            files: Mutex::default(),
        })
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
            let _ = self.0.scratch.set(Scratch::new(&self.config().limits)?);
        }
        Ok(self.0.scratch.get().expect("set just above"))
    }

    /// Where a dry run writes what would go to `path`; reading `path` later finds it there.
    pub(super) fn aside(&self, path: &Path) -> Result<PathBuf> {
        if self.plan().is_none() {
            return Ok(path.to_owned());
        }
        let scratch = self.scratch()?;
        let mut files = scratch.files.lock().unwrap_or_else(PoisonError::into_inner);
        let aside = scratch.dir.path().join(format!("file-{}", files.len()));
        let path = std::path::absolute(path).during(|| format!("find `{}`", path.display()))?;
        files.insert(path, aside.clone());
        Ok(aside)
    }

    /// Where the dry run has written what would be at `path`, if it has.
    pub fn written(&self, path: &Path) -> Option<PathBuf> {
        let aside = self.input(path);
        (aside != path && aside.exists()).then_some(aside)
    }

    /// The file to read for `path`: under dry-run what would be there by now.
    pub(super) fn input(&self, path: &Path) -> PathBuf {
        let scratch = self.0.scratch.get().filter(|_| self.plan().is_some());
        let written = scratch.and_then(|scratch| {
            let files = scratch.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.get(&std::path::absolute(path).ok()?).cloned()
        });
        written.unwrap_or_else(|| path.to_owned())
    }
}
