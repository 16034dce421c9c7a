//! Whether others use the database now: each process that has it open holds a shared lock on a file beside it, and the kernel lets
//! go of that however the process ends.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::Path;

/// This process's part in the use of a database.
pub(super) struct Users(Option<File>);

impl Users {
    /// Joins those who use the database at `path`. Where that cannot be noted, nobody will think to be alone.
    pub(super) fn join(path: &Path) -> Users {
        let mut name = OsString::from(path);
        name.push("-users");
        let file = File::options().create(true).truncate(false).write(true).open(name);
        Users(file.ok().filter(|file| file.lock_shared().is_ok()))
    }

    /// Of a database that nobody else can use.
    pub(super) fn none() -> Users {
        Users(None)
    }

    /// Does the work if nobody else uses the database, and keeps others from it meanwhile; `None` if somebody does.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let file = self.0.as_ref()?;
        let alone = match file.try_lock() {
            Ok(()) => Some(work()),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        };
        // Changing a lock may lose it for a moment, so it is taken again either way.
        let _ = file.lock_shared();
        alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_alone_until_another_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let first = Users::join(&path);
        assert_eq!(first.alone(|| 1), Some(1));
        let second = Users::join(&path);
        assert_eq!(first.alone(|| 1), None);
        assert_eq!(second.alone(|| 1), None);
        drop(second);
        assert_eq!(first.alone(|| 2), Some(2));
    }
}
