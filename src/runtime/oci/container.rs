//! A container of another engine: its directory, which process it is, and what it is doing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use nix::unistd::{Uid, User};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};
use crate::runtime::bundle;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::process::{self, Process};
use crate::sys::file::{self, Lock};

/// Letters, digits and `_+-.`, not starting with a dot: the id is a name of a directory.
fn check_id(id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    match !id.is_empty() && id.len() <= 1024 && id.bytes().all(plain) && !id.starts_with('.') {
        true => Ok(()),
        false => Err(
            Error::invalid(format!("`{}` cannot be the id of a container", id.escape_debug()))
                .hint("an id has letters, digits and `_+-.`, and does not start with a dot"),
        ),
    }
}

/// Where a container is kept: `ROOT/ID`.
#[derive(Debug, Clone)]
pub struct Place {
    pub(super) id: String,
    dir: PathBuf,
}

impl Place {
    /// Errors: `invalid` for what cannot be an id.
    pub fn new(root: &Path, id: &str) -> Result<Place> {
        check_id(id)?;
        let (id, dir) = (id.to_owned(), root.join(id));
        Ok(Place { id, dir })
    }

    /// Makes the directory. Errors: `already_exists`.
    pub(super) fn make(&self) -> Result<()> {
        let show = || format!("make `{}`", self.dir.display());
        let root = self.dir.parent().unwrap_or(Path::new("/"));
        let make = || fs::DirBuilder::new().mode(0o711).create(&self.dir);
        match make() {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                let all = fs::DirBuilder::new().mode(0o700).recursive(true).create(root);
                all.and_then(|()| make()).during(show)
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::already_exists(format!("container with id `{}` already exists", self.id)).target(&self.id))
            }
            made => made.during(show),
        }
    }

    pub(super) fn remove(&self) -> Result<()> {
        bundle::remove_tree(&self.dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.file("config.json")
    }

    pub(super) fn gate(&self) -> PathBuf {
        self.file("gate")
    }

    /// The directory, however long its path is, as one a socket may lie in.
    pub(super) fn short(&self) -> Result<(OwnedFd, PathBuf)> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = file::open(&self.dir, flags).during(|| format!("open `{}`", self.dir.display()))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        Ok((dir, path))
    }

    /// Keeps others from changing the container until it is dropped. Errors: `not_found`.
    pub(super) fn lock(&self) -> Result<Lock> {
        let dir = File::open(&self.dir).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => self.absent(),
            _ => Err::<(), _>(cause)
                .during(|| format!("open `{}`", self.dir.display()))
                .expect_err("made from an error"),
        })?;
        file::lock(dir, false).during(|| format!("lock `{}`", self.dir.display()))
    }

    pub(super) fn absent(&self) -> Error {
        Error::not_found(format!("container `{}` does not exist", self.id)).target(&self.id)
    }

    pub(super) fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    /// What was written down of the container. Errors: `not_found`.
    pub(super) fn record(&self) -> Result<Record> {
        bundle::read_json(&self.file("state.json"))?.ok_or_else(|| self.absent())
    }

    pub(super) fn write(&self, record: &Record) -> Result<()> {
        bundle::write_json(&self.file("state.json"), record, false)
    }

    /// The configuration the container was created with.
    pub(super) fn spec(&self) -> Result<Spec> {
        bundle::read_json(&self.config())?.ok_or_else(|| self.absent())
    }
}

/// What is written down of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    #[serde(with = "crate::runtime::exit::timestamp")]
    pub(super) created: Timestamp,
    pub(super) init: Process,
    pub(super) boot_id: String,
    /// Below the mount of each hierarchy.
    pub(super) cgroup: PathBuf,
    /// Whether the end of the first process is that of all.
    pub(super) owns_pids: bool,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Record {
    /// The first process, while it is alive.
    pub(super) fn init(&self) -> Option<OwnedFd> {
        let same_boot = process::boot_id().is_ok_and(|id| id == self.boot_id);
        self.init.open().filter(|_| same_boot)
    }

    pub(super) fn cgroup(&self) -> Result<Cgroup> {
        Cgroup::open_at(&self.cgroup)
    }

    pub(super) fn status(&self, place: &Place) -> Result<Status> {
        if self.init().is_none() {
            return Ok(Status::Stopped);
        }
        if place.gate().exists() {
            return Ok(Status::Created);
        }
        Ok(match self.cgroup()?.is_frozen()? {
            true => Status::Paused,
            false => Status::Running,
        })
    }
}

/// What a container is doing, in the words of the specification, and `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It waits for its start.
    Created,
    /// It runs.
    Running,
    /// Its processes are stopped in their tracks.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// The state of a container (runtime-spec, `runtime.md#state`), and a little more, as other runtimes tell it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification that its configuration names.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Its first process, as the host numbers it; 0 once that has ended.
    pub pid: i32,
    /// What it is doing.
    pub status: Status,
    /// The directory it was made from.
    pub bundle: PathBuf,
    /// Its root.
    pub rootfs: PathBuf,
    /// When it was made.
    #[serde(serialize_with = "crate::runtime::exit::timestamp::serialize")]
    pub created: Timestamp,
    /// Who made it.
    pub owner: String,
    /// Those of its configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl State {
    pub(super) fn of(place: &Place, record: Record, status: Status) -> State {
        let pid = if status == Status::Stopped { 0 } else { record.init.pid };
        State {
            oci_version: record.version,
            id: place.id.clone(),
            pid,
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            owner: String::new(),
            annotations: record.annotations,
        }
    }
}

/// What a container is doing. Errors: `not_found`.
pub fn state(place: &Place) -> Result<State> {
    let record = place.record()?;
    let status = record.status(place)?;
    Ok(State::of(place, record, status))
}

/// All containers of a state root, by id. One that is just being made, or removed, is left out.
pub fn list(root: &Path) -> Result<Vec<State>> {
    let entries = match fs::read_dir(root) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.during(|| format!("list `{}`", root.display()))?,
    };
    let mut states = Vec::new();
    for entry in entries.flatten() {
        let Some(place) = entry.file_name().to_str().and_then(|id| Place::new(root, id).ok()) else {
            continue;
        };
        match state(&place) {
            Ok(state) => states.push(State {
                owner: owner(&entry.path()),
                ..state
            }),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    states.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(states)
}

fn owner(dir: &Path) -> String {
    let uid = fs::metadata(dir).map(|facts| facts.uid()).unwrap_or_default();
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("#{uid}"), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_directory() {
        for id in ["a", "A-b_c+d.e", "0", &"x".repeat(300)] {
            assert!(Place::new(Path::new("/r"), id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", ".a", "a/b", "a b", "a\n", "ä"] {
            assert!(Place::new(Path::new("/r"), id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "x").unwrap();
        assert_eq!(state(&place).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(place.lock().unwrap_err().kind(), Kind::NotFound);
        place.make().unwrap();
        assert_eq!(place.make().unwrap_err().kind(), Kind::AlreadyExists);
        assert!(list(dir.path()).unwrap().is_empty());
        assert!(list(&dir.path().join("none")).unwrap().is_empty());
    }
}
