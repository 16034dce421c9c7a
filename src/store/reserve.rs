//! Disk space kept aside for the database. To remove an image takes a transaction, and a transaction takes space: on a full disk
//! the reserve is let go, so that what fills the disk can still be removed. It must not know what the database holds.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// What the log of some thousand removals takes.
const SIZE: u64 = 1 << 20;
/// So much must be free before it is kept (again): on a disk that is nearly full it would only be in the way.
const ROOM: u64 = 64 * SIZE;

fn place(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push("-reserve");
    PathBuf::from(name)
}

/// Keeps space aside where there is plenty, and lets it go where hardly any is left. Doing without is no error: it is for a day
/// that may never come.
pub(super) fn balance(database: &Path) {
    let place = place(database);
    let is_kept = place.metadata().is_ok_and(|facts| facts.len() == SIZE);
    match free(database) {
        Some(free) if is_kept && free < SIZE => drop(release(database)),
        Some(free) if !is_kept && free >= ROOM => take(&place),
        _ => {}
    }
}

fn take(place: &Path) {
    if let Ok(file) = File::options().write(true).create(true).truncate(false).open(place) {
        let _ = posix_fallocate(file.as_fd(), 0, SIZE.cast_signed());
    }
}

/// Lets the space go; false if none was kept.
pub(super) fn release(database: &Path) -> bool {
    std::fs::remove_file(place(database)).is_ok()
}

/// Whether the disk has no block or no inode left, not even for an administrator.
pub(super) fn is_disk_full(database: &Path) -> bool {
    let facts = database.parent().and_then(|dir| statvfs(dir).ok());
    facts.is_some_and(|disk| disk.blocks_free() == 0 || (disk.files() > 0 && disk.files_free() == 0))
}

/// Bytes that are free on the disk of the database.
fn free(database: &Path) -> Option<u64> {
    let disk = statvfs(database.parent()?).ok()?;
    Some(disk.blocks_available() * disk.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn space_is_really_taken_and_given_back_once() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("hoist.db");
        std::fs::write(place(&database), "left by a crash").unwrap();
        balance(&database);
        let facts = place(&database).metadata().unwrap();
        assert_eq!(facts.len(), SIZE);
        assert!(facts.blocks() * 512 >= SIZE, "a hole keeps nothing");
        assert!(!is_disk_full(&database));
        assert!(release(&database));
        assert!(!release(&database));
    }
}
