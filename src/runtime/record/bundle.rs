//! Where a container's files are, and how they are written: whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Context, Error, Kind, Result};
use crate::model::ContainerId;
use crate::runtime::events::{Event, Journal};
use crate::sys::file;

/// The files of one container.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The container's id.
    pub id: ContainerId,
    /// What outlives a reboot: configuration, written files, log, exit record.
    pub dir: PathBuf,
    /// What does not: process state, lock.
    pub run_dir: PathBuf,
}

macro_rules! files {
    ($($name:ident $under:ident $file:literal $what:literal;)*) => {$(
        #[doc = $what]
        pub(in crate::runtime) fn $name(&self) -> PathBuf {
            self.$under.join($file)
        }
    )*};
}

impl Bundle {
    files! {
        config dir "config.json" "The OCI runtime configuration.";
        settings dir "launch.json" "What the configuration has no words for.";
        log dir "log" "What the container wrote.";
        exit dir "exit.json" "How its last run ended.";
        exit_aside run_dir "exit.json" "The same, where the other place had no room for it.";
        boot dir "boot.json" "In which life of the machine it was last started.";
        stopped dir "stopped" "Present if a person stopped it and a policy would start it.";
        removing dir "removing" "Present from the first moment of its removal.";
        work dir "work" "The overlay's work directory.";
        state_file run_dir "state.json" "Which process it is.";
        changed run_dir "changed" "Written anew when something changed that shows in no file.";
        health run_dir "health.json" "What its health check has said.";
        pause run_dir "pause.json" "How the last run ended, while it is paused before the next.";
        lock run_dir "lock" "Locked by the supervisor for as long as it lives.";
        mount_point run_dir "root" "An empty directory, the root's place until it is pivoted to.";
    }

    /// What the container has written over its image.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// The files of another container of the same store.
    pub(in crate::runtime) fn sibling(&self, id: &ContainerId) -> Bundle {
        Bundle {
            id: id.clone(),
            dir: self.dir.with_file_name(id.as_str()),
            run_dir: self.run_dir.with_file_name(id.as_str()),
        }
    }

    /// Makes the directory of what does not outlive a reboot.
    pub(in crate::runtime) fn make_run_dir(&self) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.run_dir)
    }

    /// Where what happens to it is told.
    fn journal(&self) -> Option<Journal> {
        Some(Journal::of(self.run_dir.parent()?.parent()?))
    }

    /// Tells what happened to it; `attributes` are what is told of it each time.
    pub(in crate::runtime) fn tell(
        &self,
        action: &str,
        attributes: &BTreeMap<String, String>,
        facts: &[(&str, String)],
    ) {
        let Some(journal) = self.journal() else { return };
        let event = Event {
            attributes: attributes.clone(),
            ..Event::now("container", action, self.id.as_str())
        };
        let facts = facts.iter().cloned();
        journal.add(&facts.fold(event, |event, (name, value)| event.with(name, value)));
    }

    /// A file that is shown inside as `/etc/NAME`.
    pub(in crate::runtime) fn etc(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Writes a file so that a reader finds the old content or the new one, and nothing between. After a power cut it may be empty,
/// unless it is `durable`.
pub(in crate::runtime) fn write(path: &Path, content: &[u8], durable: bool) -> Result<()> {
    Batch::new(durable).finish(path, content)
}

/// Files that nobody looks for until the last of them is there. If they are `durable`, the others are on the disk before it: the
/// kernel is asked to write each as it comes, and waited for at the end, so that it commits them to its journal together.
pub(in crate::runtime) struct Batch {
    durable: bool,
    files: Vec<(PathBuf, fs::File)>,
}

impl Batch {
    pub(in crate::runtime) fn new(durable: bool) -> Batch {
        Batch {
            durable,
            files: Vec::new(),
        }
    }

    /// Adds a file with exactly this mode.
    pub(in crate::runtime) fn add(&mut self, path: PathBuf, content: &[u8], mode: u32) -> Result<()> {
        let store = || -> std::io::Result<fs::File> {
            let mut file = file::open_or_make(&path, OFlag::O_WRONLY | OFlag::O_TRUNC, mode)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(content)?;
            Ok(file)
        };
        let file = store().during(|| format!("write `{}`", path.display()))?;
        if self.durable {
            file::start_writeback(file.as_fd(), 0, 0);
            self.files.push((path, file));
        }
        Ok(())
    }

    /// Writes the last file, whole or not at all.
    pub(in crate::runtime) fn finish(mut self, path: &Path, content: &[u8]) -> Result<()> {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!(".{}", std::process::id()));
        let staged = PathBuf::from(staged);
        let durable = self.durable;
        self.add(staged.clone(), content, 0o600)
            .and_then(|()| self.sync())
            .and_then(|()| put(&staged, path, durable).during(|| format!("write `{}`", path.display())))
            .inspect_err(|_| drop(fs::remove_file(&staged)))
    }

    fn sync(&self) -> Result<()> {
        let sync =
            |(path, file): &(PathBuf, fs::File)| file.sync_all().during(|| format!("write `{}`", path.display()));
        self.files.iter().try_for_each(sync)
    }
}

fn put(staged: &Path, path: &Path, durable: bool) -> std::io::Result<()> {
    fs::rename(staged, path)?;
    match (durable, path.parent()) {
        (true, Some(parent)) => fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// [`write()`] of a value as JSON.
pub(in crate::runtime) fn write_json<T: Serialize>(path: &Path, value: &T, durable: bool) -> Result<()> {
    write(path, &json(path, value)?, durable)
}

/// A value as it is written to a file.
pub(in crate::runtime) fn json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|cause| Error::internal(format!("failed to write `{}`: {cause}", path.display())))
}

/// Reads a JSON file; `None` if it does not exist. What does not parse is `corrupt`.
pub(in crate::runtime) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let content = match file::read_whole(path) {
        Ok(content) => content,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause).during(|| format!("read `{}`", path.display())),
    };
    serde_json::from_slice(&content)
        .map(Some)
        .map_err(|cause| Error::corrupt(format!("failed to read `{}`: {cause}", path.display())).source(cause))
}

/// Removes a file or does nothing if it is not there.
pub(in crate::runtime) fn remove_file(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_file(path)).during(|| format!("remove `{}`", path.display()))
}

/// Removes a directory with all below it, or does nothing if it is not there.
pub(in crate::runtime) fn remove_tree(path: &Path) -> Result<()> {
    absent_is_fine(file::remove_tree(path)).during(|| format!("remove `{}`", path.display()))
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The same value, or `not_found` for a container that has no such file.
pub(in crate::runtime) fn required<T>(value: Option<T>, bundle: &Bundle) -> Result<T> {
    value.ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!("container `{}` does not exist", bundle.id.short()),
        )
        .target(bundle.id.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_litter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        write_json(&path, &[1, 2], true).unwrap();
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap(), Some(vec![1, 2]));
        fs::create_dir(dir.path().join("d")).unwrap();
        assert!(write(&dir.path().join("d"), b"x", false).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn absent_and_broken_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap(), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap_err().kind(), Kind::Corrupt);
    }
}
