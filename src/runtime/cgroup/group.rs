//! One container's directory in one hierarchy: making it, listing what runs in it, and removing it.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use super::controller::{CONTROLLERS, read};
use super::hierarchy::{Hierarchy, Version};
use super::{cpuset, v2};
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::Context;
use crate::runtime::limits::Limits;

/// The directory all groups of ours are in.
pub(super) const SLICE: &str = "hoist";

/// A container's group in one hierarchy.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) version: Version,
    pub(super) controllers: Vec<String>,
    pub(super) mount_point: PathBuf,
    pub(super) path: PathBuf,
}

impl Group {
    /// Makes the group where this process may: at the top of the hierarchy, or below its own group.
    pub(super) fn make(hierarchy: &Hierarchy, id: &str) -> Result<Group> {
        let path = Path::new(SLICE).join(id);
        let mut parents = hierarchy.parents().into_iter();
        let first = parents.next().expect("a hierarchy has a top");
        let make = |parent| Group::make_below(hierarchy, parent, &path, false);
        let path = match (make(first), parents.next()) {
            (Err(error), Some(own)) if error.kind() == Kind::Denied => make(own)?,
            (made, _) => made?,
        };
        Ok(Group::made(hierarchy, path))
    }

    /// Makes the group at a path that somebody else has chosen, and may have made.
    pub(super) fn make_at(hierarchy: &Hierarchy, path: &Path) -> Result<Group> {
        let made = Group::make_below(hierarchy, parent_of(hierarchy, path), &plain(path)?, true)?;
        Ok(Group::made(hierarchy, made))
    }

    /// The group at such a path if it is there.
    pub(super) fn find_at(hierarchy: &Hierarchy, path: &Path) -> Result<Option<Group>> {
        let path = parent_of(hierarchy, path).join(plain(path)?);
        Ok(path.is_dir().then(|| Group::at(hierarchy, path)))
    }

    fn made(hierarchy: &Hierarchy, path: PathBuf) -> Group {
        let mut group = Group::at(hierarchy, path);
        if group.version == Version::V2 {
            group.controllers = v2::controllers(&group.path);
        }
        group
    }

    /// Makes the groups of a path, of which only the last may not be there yet, unless it is `shared` too.
    fn make_below(hierarchy: &Hierarchy, parent: &Path, path: &Path, shared: bool) -> Result<PathBuf> {
        if hierarchy.version == Version::V1 && !shared && Group::make_last(hierarchy, parent, path)? {
            return Ok(parent.join(path));
        }
        let mut group = parent.to_owned();
        let mut names = path.iter().peekable();
        while let Some(name) = names.next() {
            let above = group.clone();
            group.push(name);
            if hierarchy.version == Version::V2 {
                v2::hand_down(hierarchy, &above);
            }
            make_directory(&group, shared || names.peek().is_some())?;
            if hierarchy.has("cpuset") && hierarchy.version == Version::V1 {
                cpuset::inherit(&group, &above)?;
            }
        }
        Ok(group)
    }

    /// Makes the last of a path's v1 groups; false if it is the others that are lacking something.
    fn make_last(hierarchy: &Hierarchy, parent: &Path, path: &Path) -> Result<bool> {
        let group = parent.join(path);
        match (std::fs::create_dir(&group), group.parent()) {
            (Ok(()), Some(above)) if hierarchy.has("cpuset") => cpuset::inherit_at_birth(&group, above),
            (made, _) => Ok(made.is_ok()),
        }
    }

    /// The group if it is there.
    pub(super) fn find(hierarchy: &Hierarchy, id: &str) -> Option<Group> {
        Group::places(hierarchy, id)
            .find(|path| path.is_dir())
            .map(|path| Group::at(hierarchy, path))
    }

    /// Where it can be.
    pub(super) fn places(hierarchy: &Hierarchy, id: &str) -> impl Iterator<Item = PathBuf> {
        let parents = hierarchy.parents().into_iter();
        parents.map(move |parent| parent.join(SLICE).join(id))
    }

    fn at(hierarchy: &Hierarchy, path: PathBuf) -> Group {
        let controllers = hierarchy.controllers.clone();
        Group {
            version: hierarchy.version,
            controllers,
            mount_point: hierarchy.mount_point.clone(),
            path,
        }
    }

    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    /// Writes the limits whose controllers are here.
    pub(super) fn limit(&self, limits: &Limits) -> Result<()> {
        let here = CONTROLLERS
            .iter()
            .filter(|one| self.has(one.name(self.version)) && one.asked(limits).is_some());
        here.into_iter()
            .try_for_each(|one| one.write(limits, &self.path, self.version))
    }

    /// The processes in it and below; none if it is gone.
    pub(super) fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        for directory in tree(&self.path)? {
            let text = unless_gone(read(&directory, "cgroup.procs"), String::new())?;
            let numbers = text.lines().filter_map(|line| line.parse::<i32>().ok());
            pids.extend(numbers.filter(|pid| *pid > 0));
        }
        Ok(pids)
    }

    /// Removes it with all below, deepest first. Right after the last process ended the kernel may still say it is busy.
    pub(super) fn remove(&self, ctx: &Context) -> Result<()> {
        // Most have none below.
        if remove_directory(&self.path).is_ok() {
            return Ok(());
        }
        for directory in tree(&self.path)?.iter().rev() {
            while let Err(errno) = remove_directory(directory) {
                let what = || format!("remove control group `{}`", directory.display());
                if errno != Errno::EBUSY {
                    return Err(errno).during(what);
                }
                ctx.sleep(Duration::from_millis(1))
                    .map_err(|_| Error::in_use("processes are left in it").during(what()))?;
            }
        }
        Ok(())
    }
}

/// A path from the root is one below the top of a hierarchy, another one below the group of this process.
fn parent_of<'a>(hierarchy: &'a Hierarchy, path: &Path) -> &'a Path {
    match path.is_absolute() {
        true => &hierarchy.mount_point,
        false => hierarchy.own(),
    }
}

/// The path without its root. It must name a group below that one: what is done to a container's groups is not for the top.
fn plain(path: &Path) -> Result<PathBuf> {
    let names = path.components().filter(|part| *part != Component::RootDir);
    let names: Vec<Component<'_>> = names.collect();
    match !names.is_empty() && names.iter().all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(names.iter().collect()),
        false => Err(Error::invalid(format!(
            "`{}` is not a path of a control group",
            path.display()
        ))),
    }
}

/// Makes a directory; one that is there already is fine if `shared`, and else a left-over that is made anew.
pub(super) fn make_directory(path: &Path, shared: bool) -> Result<()> {
    let what = || format!("make control group `{}`", path.display());
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && shared => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let made = std::fs::remove_dir(path).and_then(|()| std::fs::create_dir(path));
            made.during(what).map_err(|error| error.with_kind(Kind::InUse))
        }
        made => made.during(what),
    }
}

fn remove_directory(path: &Path) -> std::result::Result<(), Errno> {
    match std::fs::remove_dir(path).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0))) {
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
        result => result,
    }
}

/// A directory and all below it, parents first; nothing if it is gone.
fn tree(top: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if is_gone_code(error.raw_os_error()) => continue,
            entries => entries.during(|| format!("list `{}`", directory.display()))?,
        };
        let directories = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        found.extend(directories.map(|entry| entry.path()));
    }
    Ok(found)
}

/// The result, or `absent` where it failed because the group was removed meanwhile: a container's supervisor and whoever
/// removes the container clean up at the same time, and each must be content with the other's work.
pub(super) fn unless_gone<T>(result: Result<T>, absent: T) -> Result<T> {
    match result {
        Err(error) if is_gone(&error) => Ok(absent),
        other => other,
    }
}

/// Whether a group's file is missing because the group was just removed.
fn is_gone(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    is_gone_code(cause.and_then(std::io::Error::raw_os_error))
}

/// `ENODEV` is what a file that was opened in time says.
fn is_gone_code(code: Option<i32>) -> bool {
    matches!(code.map(Errno::from_raw), Some(Errno::ENOENT | Errno::ENODEV))
}
