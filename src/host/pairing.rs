//! A store and its run root belong together: who worked on a store with another run root would see neither the leases nor the processes
//! of those who work on it already, and two stores that shared one would take each other's processes for lost. So each notes the other,
//! and the note holds for as long as the other is there.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Context as _, Error, Result};
use crate::sys::file;

/// One of the two, and what it has noted of the other.
struct Side<'a> {
    dir: &'a Path,
    other: &'a Path,
    note: &'static str,
}

/// Sees that a store and a run root belong to each other or to nobody, and notes it if `is_real`.
///
/// Errors: `conflict` if one of them belongs to another that is there.
pub(super) fn pair(config: &Config, is_real: bool) -> Result<()> {
    let (root, run_root) = (config.root.as_path(), config.run_root.as_path());
    let sides = [
        Side {
            dir: root,
            other: run_root,
            note: "run-root",
        },
        Side {
            dir: run_root,
            other: root,
            note: "root",
        },
    ];
    if sides.iter().all(Side::is_noted) {
        return Ok(());
    }
    if !is_real {
        return check(&sides);
    }
    let alone = File::open(root).and_then(|dir| Ok(file::lock(dir, false)?));
    let _alone = alone.during(|| format!("lock `{}`", root.display()))?;
    check(&sides)?;
    // Without room for it, it is noted by the next process: this one must not be kept from making some.
    sides.iter().for_each(|side| drop(side.write()));
    Ok(())
}

fn check(sides: &[Side<'_>; 2]) -> Result<()> {
    let [root, run_root] = sides;
    if let Some(taken) = root.elsewhere() {
        let (store, taken) = (root.dir.display(), taken.display());
        return Err(Error::conflict(format!(
            "the store `{store}` keeps its processes in `{taken}`, not in `{}`",
            root.other.display()
        ))
        .target(store.to_string())
        .hint(format!(
            "give `--run-root {taken}`; or remove that directory, once nothing of the store runs any more"
        )));
    }
    if let Some(taken) = run_root.elsewhere() {
        let (dir, taken) = (run_root.dir.display(), taken.display());
        return Err(
            Error::conflict(format!("`{dir}` is where the store `{taken}` keeps its processes"))
                .target(dir.to_string())
                .hint("choose another place by `--run-root`: each store needs one of its own"),
        );
    }
    Ok(())
}

impl Side<'_> {
    fn noted(&self) -> Option<PathBuf> {
        let bytes = std::fs::read(self.dir.join(self.note)).ok()?;
        Some(PathBuf::from(OsString::from_vec(bytes)))
    }

    fn is_noted(&self) -> bool {
        self.noted().is_some_and(|noted| noted == self.other)
    }

    /// Another place than this one that it belongs to, and that is there.
    fn elsewhere(&self) -> Option<PathBuf> {
        let noted = self.noted().filter(|noted| noted.is_absolute() && noted.is_dir())?;
        (!is_same(&noted, self.other)).then_some(noted)
    }

    fn write(&self) -> std::io::Result<()> {
        let (path, staged) = (self.dir.join(self.note), self.dir.join(format!("{}.new", self.note)));
        std::fs::write(&staged, self.other.as_os_str().as_bytes())?;
        std::fs::rename(&staged, &path)
    }
}

/// Whether two paths lead to one directory.
fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
    one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Settings for these directories below `dir`, which are made.
    fn config(dir: &tempfile::TempDir, root: &str, run_root: &str) -> Config {
        let place = |name: &str| {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            Some(dir.path().join(name))
        };
        Config::new(place(root), place(run_root), false).unwrap()
    }

    #[test]
    fn a_store_has_one_run_root_and_a_run_root_one_store() {
        let dir = tempfile::tempdir().unwrap();
        let first = config(&dir, "a", "run-a");
        pair(&first, true).unwrap();
        pair(&first, true).unwrap();
        for (root, run_root, named) in [("a", "run-b", "run-a"), ("b", "run-a", "/a`")] {
            for is_real in [false, true] {
                let error = pair(&config(&dir, root, run_root), is_real).unwrap_err();
                assert_eq!(error.kind(), Kind::Conflict);
                assert!(error.message().contains(named), "{error}");
                assert!(error.way_out().is_some());
            }
        }
        pair(&first, true).unwrap();
        pair(&config(&dir, "b", "run-b"), true).unwrap();
    }

    #[test]
    fn what_is_gone_holds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        pair(&config(&dir, "a", "run-a"), true).unwrap();
        // As after a reboot.
        std::fs::remove_dir_all(dir.path().join("run-a")).unwrap();
        pair(&config(&dir, "a", "run-b"), true).unwrap();
        let moved = dir.path().join("b");
        std::fs::rename(dir.path().join("a"), moved).unwrap();
        pair(&config(&dir, "b", "run-b"), true).unwrap();
        pair(&config(&dir, "a", "run-a"), true).unwrap();
    }

    #[test]
    fn another_name_of_the_same_directory_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        pair(&config(&dir, "a", "run-a"), true).unwrap();
        std::os::unix::fs::symlink("run-a", dir.path().join("link")).unwrap();
        pair(&config(&dir, "a", "link"), true).unwrap();
    }
}
