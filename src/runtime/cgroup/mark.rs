//! Whose a control group is. All stores of a machine have their groups in one place, so each group says where the state of its
//! container's process is kept; without that nobody could tell one that was left behind from one that another store has just made.

use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Cgroup;
use super::group::SLICE;
use super::hierarchy::Hierarchy;
use crate::error::{Context as _, Result};
use crate::sys::file;

const ATTRIBUTE: &CStr = c"trusted.hoist.state";

/// What the groups of one store's containers are marked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Vec<u8>);

impl Mark {
    /// That of the containers whose process state is in this directory: its place and, since another mount namespace may have one in
    /// the same place, its identity.
    pub fn of(dir: &Path) -> Result<Mark> {
        let facts = std::fs::metadata(dir).during(|| format!("look at `{}`", dir.display()))?;
        let mut text = format!("{}:{} ", facts.dev(), facts.ino()).into_bytes();
        text.extend_from_slice(dir.as_os_str().as_bytes());
        Ok(Mark(text))
    }

    fn set(&self, group: &Path) -> nix::Result<()> {
        file::set_xattr_of_path(group, ATTRIBUTE, &self.0)
    }

    fn is_on(&self, group: &Path) -> bool {
        let value = std::fs::File::open(group).map(|group| file::xattr(group.as_fd(), ATTRIBUTE));
        matches!(value, Ok(Ok(Some(value))) if value == self.0)
    }
}

impl Cgroup {
    /// Says whose the groups are. A hierarchy that keeps no attributes does without: the container's other groups tell.
    pub fn mark(&self, mark: &Mark) {
        for group in &self.groups {
            let _ = mark.set(&group.path);
        }
    }
}

/// The names of all groups with this mark, each once. It only reads.
pub fn marked(mark: &Mark) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for hierarchy in Hierarchy::detect()? {
        let slices = hierarchy.parents().into_iter().map(|parent| parent.join(SLICE));
        let groups = slices
            .filter_map(|slice| std::fs::read_dir(slice).ok())
            .flatten()
            .flatten();
        let ours =
            groups.filter(|group| group.file_type().is_ok_and(|kind| kind.is_dir()) && mark.is_on(&group.path()));
        names.extend(ours.filter_map(|group| group.file_name().into_string().ok()));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
