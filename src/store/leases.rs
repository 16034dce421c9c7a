//! Leases: content that an operation under way relies on, so that nobody collects it as garbage meanwhile.
//!
//! A lease lives as long as its process: the kernel drops the lock of its file however the process ends, and whoever opens
//! the store next clears the rows of leases without a lock.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::params;

use super::{Store, Tx};
use crate::error::{Context as _, Result};
use crate::model::{Digest, random_hex};

/// A lease of this process; dropping it gives everything back.
pub struct Lease<'a> {
    store: &'a Store,
    owner: String,
    path: PathBuf,
    _lock: File,
}

impl Store {
    /// Takes a lease that holds nothing yet. `dir` holds the lock files, one per lease.
    pub fn lease(&self, dir: &Path) -> Result<Lease<'_>> {
        std::fs::create_dir_all(dir).during(|| format!("make the directory `{}`", dir.display()))?;
        let owner = random_hex(16)?;
        let path = dir.join(&owner);
        // Locked before it has its name, so that nobody ever sees a living owner's file without a lock.
        let staged = dir.join(format!(".{owner}"));
        let lock = File::create_new(&staged).during(|| format!("make the lease `{}`", path.display()))?;
        lock.lock().during(|| format!("lock the lease `{}`", path.display()))?;
        std::fs::rename(&staged, &path).during(|| format!("make the lease `{}`", path.display()))?;
        Ok(Lease {
            store: self,
            owner,
            path,
            _lock: lock,
        })
    }

    /// Clears the leases of processes that are gone, and their lock files.
    pub fn clear_dead_leases(&self, dir: &Path) -> Result<()> {
        // After a reboot there are rows without files; a lease that holds nothing is a file without rows.
        let mut owners = self.read(|tx| tx.lease_owners())?;
        owners.extend(names(dir));
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            let path = dir.join(&owner);
            if is_free(&path)? {
                self.write(|tx| tx.delete_lease(&owner))?;
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(())
    }
}

/// The owners that have a lock file; what is still being made has a name with a dot.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Whether the process that took this lease is gone.
pub fn lease_is_dead(dir: &Path, owner: &str) -> Result<bool> {
    is_free(&dir.join(owner))
}

/// Whether nobody holds the lock of this file; an absent file is free, since a living owner never removes its own.
fn is_free(path: &Path) -> Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(cause) => return Err(cause).during(|| format!("open the lease `{}`", path.display())),
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(cause)) => Err(cause).during(|| format!("lock the lease `{}`", path.display())),
    }
}

impl Lease<'_> {
    /// The lease's name, by which others can tell whether it still lives.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Holds content by its digest until the lease is dropped, whether or not it is there yet.
    pub fn hold(&self, digests: &[Digest]) -> Result<()> {
        self.store.write(|tx| {
            for digest in digests {
                let sql = "INSERT INTO lease (owner, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                tx.execute(sql, params![self.owner, digest.as_str()])?;
            }
            Ok(())
        })
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // A failure leaves a lease without a lock, which the next process to open the store clears.
        if self.store.write(|tx| tx.delete_lease(&self.owner)).is_ok() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Tx<'_> {
    fn lease_owners(&self) -> Result<Vec<String>> {
        self.all("SELECT DISTINCT owner FROM lease", [], |row| row.get(0))
    }

    fn delete_lease(&self, owner: &str) -> Result<()> {
        self.execute("DELETE FROM lease WHERE owner = ?1", [owner])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_needed_while_its_lease_lives() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let locks = dir.path().join("leases");
        let digest = Digest::of(b"x");
        let needed = || {
            !store
                .read(|tx| tx.needed(std::slice::from_ref(&digest)))
                .unwrap()
                .is_empty()
        };
        let lease = store.lease(&locks).unwrap();
        lease.hold(std::slice::from_ref(&digest)).unwrap();
        store.clear_dead_leases(&locks).unwrap();
        assert!(needed());
        drop(lease);
        assert!(!needed());
        assert_eq!(std::fs::read_dir(&locks).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_owners_lease_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let locks = dir.path().join("leases");
        let digest = Digest::of(b"x");
        let lease = store.lease(&locks).unwrap();
        lease.hold(std::slice::from_ref(&digest)).unwrap();
        // As after a kill: the lock is gone, the row and the file are not.
        lease._lock.unlock().unwrap();
        store.clear_dead_leases(&locks).unwrap();
        assert!(
            store
                .read(|tx| tx.needed(std::slice::from_ref(&digest)))
                .unwrap()
                .is_empty()
        );
        assert_eq!(std::fs::read_dir(&locks).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_owner_that_held_nothing_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let locks = dir.path().join("leases");
        let (dead, alive) = (store.lease(&locks).unwrap(), store.lease(&locks).unwrap());
        dead._lock.unlock().unwrap();
        store.clear_dead_leases(&locks).unwrap();
        assert_eq!(names(&locks), [alive.owner()]);
    }
}
