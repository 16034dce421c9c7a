//! A place where content is put together before anyone can see it, gone with its owner.
//!
//! The owner holds a lock on `ingest/<name>/lock` for its life, so that what a dead process left is told from what a live one makes.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Context as _, Result};
use crate::model::random_hex;
use crate::sys::file::{self, Lock};

/// A directory in `ingest/` that belongs to this process alone and is removed with the value.
#[derive(Debug)]
pub struct Staging {
    ingest: File,
    name: String,
    dir: PathBuf,
    count: AtomicU64,
    _lock: Lock,
}

impl Staging {
    /// A new directory below `ingest`.
    pub(crate) fn new(ingest: &Path) -> Result<Staging> {
        // Until the new directory is locked itself, the shared lock keeps `recover` away from it.
        let _gate = gate(ingest, true)?;
        let name = random_hex(16)?;
        let dir = ingest.join(&name);
        std::fs::create_dir(&dir).during(|| format!("make the staging directory `{}`", dir.display()))?;
        let lock = File::create_new(dir.join("lock")).during(|| format!("lock `{}`", dir.display()))?;
        let lock = file::lock(lock, false).during(|| format!("lock `{}`", dir.display()))?;
        let ingest = File::open(ingest).during(|| format!("open `{}`", ingest.display()))?;
        Ok(Staging {
            ingest,
            name,
            dir,
            count: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// A path in the directory that nothing has yet.
    pub(crate) fn free_path(&self) -> PathBuf {
        self.dir.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Waits until all that was staged is on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        file::sync_filesystem(self.ingest.as_fd()).during(|| "write staged content to disk")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind on failure is found by `recover`, for the lock ends here.
        let _ = file::remove_tree_at(self.ingest.as_fd(), OsStr::new(&self.name));
    }
}

/// The lock between making staging directories (shared) and clearing dead ones (alone).
fn gate(ingest: &Path, shared: bool) -> Result<Lock> {
    let path = ingest.join("lock");
    let options = File::options().create(true).truncate(false).write(true).open(&path);
    let file = options.during(|| format!("open `{}`", path.display()))?;
    file::lock(file, shared).during(|| format!("lock `{}`", path.display()))
}

/// Removes the staging directories of processes that are gone.
pub(crate) fn recover(ingest: &Path) -> Result<()> {
    for (name, _lock) in abandoned(ingest)? {
        let dir = File::open(ingest).during(|| format!("open `{}`", ingest.display()))?;
        file::remove_tree_at(dir.as_fd(), &name).during(|| format!("remove `{}`", ingest.join(&name).display()))?;
    }
    Ok(())
}

fn abandoned(ingest: &Path) -> Result<Vec<(std::ffi::OsString, Option<Lock>)>> {
    let _gate = gate(ingest, false)?;
    let mut dead = Vec::new();
    for entry in std::fs::read_dir(ingest).during(|| format!("list `{}`", ingest.display()))? {
        let entry = entry.during(|| format!("list `{}`", ingest.display()))?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        // No lock file: its maker died between two calls, for no maker is at work while we hold the gate.
        match File::open(entry.path().join("lock")) {
            Err(_) => dead.push((entry.file_name(), None)),
            Ok(lock) => {
                if let Some(lock) = file::try_lock(lock).during(|| format!("lock `{}`", entry.path().display()))? {
                    dead.push((entry.file_name(), Some(lock)));
                }
            }
        }
    }
    Ok(dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_left_is_cleared() {
        let temp = tempfile::tempdir().unwrap();
        let live = Staging::new(temp.path()).unwrap();
        std::fs::write(live.free_path(), "x").unwrap();
        std::fs::create_dir_all(temp.path().join("dead/deep")).unwrap();
        std::fs::write(temp.path().join("dead/lock"), "").unwrap();
        std::fs::create_dir(temp.path().join("unlocked")).unwrap();
        recover(temp.path()).unwrap();
        let left = |name: &str| temp.path().join(name).exists();
        assert_eq!(
            (left("dead"), left("unlocked"), live.dir.exists()),
            (false, false, true)
        );
        let dir = live.dir.clone();
        drop(live);
        assert!(!dir.exists());
    }
}
