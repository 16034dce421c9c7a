//! A place where content is put together before anyone can see it, gone with its owner.
//!
//! The owner holds a lock on the directory `ingest/<name>` itself for its life, so that what a dead process left is told from what a
//! live one makes, or is about to have removed.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::write_behind;
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
        // Until the new directory is locked itself, the shared lock keeps `abandoned` away from it.
        let _gate = gate(ingest, true)?;
        let name = random_hex(16)?;
        let dir = ingest.join(&name);
        std::fs::create_dir(&dir).during(|| format!("make the staging directory `{}`", dir.display()))?;
        let lock = File::open(&dir).during(|| format!("lock `{}`", dir.display()))?;
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
    pub fn free_path(&self) -> PathBuf {
        self.dir.join(self.count.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Does work that stages much, and has the disk written meanwhile.
    pub(crate) fn writing<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        write_behind::beside(|| self.sync(), work)
    }

    /// Waits until all that was staged is on disk.
    pub fn sync(&self) -> Result<()> {
        file::sync_filesystem(self.ingest.as_fd()).during(|| format!("write `{}` to disk", self.dir.display()))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind on failure is found by `abandoned`, for the lock ends here.
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

/// A staging directory whose owner is gone, locked against others that would clear it, too.
#[derive(Debug)]
pub struct Abandoned {
    dir: PathBuf,
    _lock: Lock,
}

impl Abandoned {
    /// Removes it with all that is in it.
    pub fn remove(&self) -> Result<()> {
        let what = || format!("remove `{}`", self.dir.display());
        let (Some(ingest), Some(name)) = (self.dir.parent(), self.dir.file_name()) else {
            return Ok(());
        };
        let ingest = File::open(ingest).during(what)?;
        file::remove_tree_at(ingest.as_fd(), name).during(what)
    }
}

/// The staging directories of processes that are gone.
pub(crate) fn abandoned(ingest: &Path) -> Result<Vec<Abandoned>> {
    let _gate = gate(ingest, false)?;
    let mut dead = Vec::new();
    for entry in std::fs::read_dir(ingest).during(|| format!("list `{}`", ingest.display()))? {
        let entry = entry.during(|| format!("list `{}`", ingest.display()))?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let dir = entry.path();
        // One that has gone meanwhile was removed by its owner.
        let Ok(lock) = File::open(&dir) else { continue };
        let lock = file::try_lock(lock).during(|| format!("lock `{}`", dir.display()))?;
        // The same, where its owner was about to do so.
        if let Some(_lock) = lock.filter(|_| dir.exists()) {
            dead.push(Abandoned { dir, _lock });
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
        let dead = abandoned(temp.path()).unwrap();
        assert_eq!(dead.len(), 1);
        assert_eq!(
            abandoned(temp.path()).unwrap().len(),
            0,
            "one process clears it, not two"
        );
        dead[0].remove().unwrap();
        assert!(!temp.path().join("dead").exists() && live.dir.exists());
        let dir = live.dir.clone();
        drop(live);
        assert!(!dir.exists());
    }

    #[test]
    fn what_its_owner_is_just_removing_is_not_taken_for_a_dead_ones() {
        let temp = tempfile::tempdir().unwrap();
        let owners = || {
            for _ in 0..200 {
                let staging = Staging::new(temp.path()).unwrap();
                for name in ["a", "b", "c"] {
                    std::fs::create_dir_all(staging.dir.join(name).join("deep")).unwrap();
                }
            }
        };
        std::thread::scope(|scope| {
            let making = [scope.spawn(owners), scope.spawn(owners)];
            while !making.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                assert!(abandoned(temp.path()).unwrap().is_empty());
            }
        });
        assert_eq!(
            std::fs::read_dir(temp.path()).unwrap().count(),
            1,
            "only the lock stays"
        );
    }
}
