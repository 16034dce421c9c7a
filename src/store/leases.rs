//! Leases: content that an operation under way relies on, so that nobody collects it as garbage meanwhile.
//!
//! A lease lives as long as its process: the kernel drops the lock of its file however the process ends, and whoever opens
//! the store next clears the rows of leases without a lock. They say what the dead process may have left behind.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::params;

use super::{Store, Tx, parsed};
use crate::error::{Context as _, Result};
use crate::model::{Digest, random_hex};
use crate::sys::file::{self, Lock};

/// A lease of this process; dropping it gives everything back.
pub struct Lease<'a> {
    store: &'a Store,
    owner: String,
    path: PathBuf,
    abandoned: bool,
    _lock: File,
}

impl Store {
    /// Takes a lease that holds nothing yet. `dir` holds the lock files, one per lease.
    pub fn lease(&self, dir: &Path) -> Result<Lease<'_>> {
        file::make_private_dir(dir).during(|| format!("make the directory `{}`", dir.display()))?;
        let owner = random_hex(16)?;
        let path = dir.join(&owner);
        // Until the new file is locked itself, the shared lock keeps `dead_leases` away from it.
        let _gate = gate(dir, true).during(|| format!("lock `{}`", dir.display()))?;
        let lock = File::create_new(&path).during(|| format!("make the lease `{}`", path.display()))?;
        lock.lock().during(|| format!("lock the lease `{}`", path.display()))?;
        Ok(Lease {
            store: self,
            owner,
            path,
            abandoned: false,
            _lock: lock,
        })
    }

    /// The owners of leases whose processes are gone.
    pub fn dead_leases(&self, dir: &Path) -> Result<Vec<String>> {
        // After a reboot there are rows without files; a lease that holds nothing is a file without rows.
        let mut owners = self.read(|tx| tx.lease_owners())?;
        let _gate = match gate(dir, false) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(owners),
            gate => gate.during(|| format!("lock `{}`", dir.display()))?,
        };
        owners.extend(names(dir));
        owners.sort_unstable();
        owners.dedup();
        let mut dead = Vec::new();
        for owner in owners {
            if is_free(&dir.join(&owner))? {
                dead.push(owner);
            }
        }
        Ok(dead)
    }
}

/// Removes the lock files of these owners, who are dead and whose rows are gone.
pub fn forget_leases(dir: &Path, owners: &[String]) {
    for owner in owners {
        // One that stays behind is found by the next process to open the store.
        let _ = std::fs::remove_file(dir.join(owner));
    }
}

/// The lock between making lease files (shared) and looking for dead ones (alone): that of their directory.
fn gate(dir: &Path, shared: bool) -> std::io::Result<Lock> {
    Ok(file::lock(File::open(dir)?, shared)?)
}

/// The owners that have a lock file.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
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

    /// Leaves the lease behind as a dead process would: the next one to open the store sees to what it holds.
    pub fn abandon(mut self) {
        self.abandoned = true;
    }

    /// Holds content by its digest until the lease is dropped, whether or not it is there yet.
    pub fn hold(&self, digests: &[Digest]) -> Result<()> {
        self.store.write(|tx| self.hold_within(tx, digests))
    }

    /// The same within a transaction, together with what else that does.
    pub fn hold_within(&self, tx: &Tx, digests: &[Digest]) -> Result<()> {
        for digest in digests {
            let sql = "INSERT INTO lease (owner, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            tx.execute(sql, params![self.owner, digest.as_str()])?;
        }
        Ok(())
    }

    /// Holds the content of every image, repository and cache there is, and that of the trash, within a transaction.
    pub fn hold_all_within(&self, tx: &Tx) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO lease (owner, digest)
                   SELECT ?1, id FROM image UNION SELECT ?1, manifest FROM image
                   UNION SELECT ?1, diff_id FROM image_layer UNION SELECT ?1, blob FROM image_layer
                   UNION SELECT ?1, digest FROM registry_manifest UNION SELECT ?1, digest FROM registry_part WHERE is_blob
                   UNION SELECT ?1, digest FROM registry_blob
                   UNION SELECT ?1, digest FROM cached_manifest UNION SELECT ?1, digest FROM cached_blob
                   UNION SELECT ?1, digest FROM trash_content";
        tx.execute(sql, [&self.owner]).map(drop)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // A failure leaves a lease without a lock, which the next process to open the store clears.
        if !self.abandoned && self.store.write(|tx| tx.delete_lease(&self.owner)).is_ok() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Tx<'_> {
    fn lease_owners(&self) -> Result<Vec<String>> {
        self.all("SELECT DISTINCT owner FROM lease", [], |row| row.get(0))
    }

    /// What a lease holds.
    pub fn held_by(&self, owner: &str) -> Result<Vec<Digest>> {
        self.all("SELECT digest FROM lease WHERE owner = ?1", [owner], |row| {
            parsed(row, "digest")
        })
    }

    /// Ends a lease: what it held is garbage unless something else needs it.
    pub fn delete_lease(&self, owner: &str) -> Result<()> {
        self.execute("DELETE FROM lease WHERE owner = ?1", [owner])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear_dead(store: &Store, locks: &Path) {
        let dead = store.dead_leases(locks).unwrap();
        store
            .write(|tx| dead.iter().try_for_each(|owner| tx.delete_lease(owner)))
            .unwrap();
        forget_leases(locks, &dead);
    }

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
        clear_dead(&store, &locks);
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
        clear_dead(&store, &locks);
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
        clear_dead(&store, &locks);
        assert_eq!(names(&locks), [alive.owner()]);
    }
}
