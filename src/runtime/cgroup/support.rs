//! What this machine can limit, for reports, and what a container sees of its control groups.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::group::Group;
use super::hierarchy::{Hierarchy, Version};
use super::memory;
use crate::error::Result;

/// The control groups of this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Support {
    /// `v1`, `v2`, `hybrid`, or `none`.
    pub mode: &'static str,
    /// Every controller there is, and where.
    pub controllers: Vec<ControllerSupport>,
    /// Whether swap can be limited.
    pub swap: bool,
}

/// One controller of this machine.
#[derive(Debug, Clone, Serialize)]
pub struct ControllerSupport {
    /// The kernel's name, such as `memory`.
    pub name: String,
    /// The interface it is reached by.
    pub version: Version,
    /// Where its hierarchy is mounted.
    pub mount_point: PathBuf,
}

impl Support {
    /// Whether there is the unified hierarchy, with controllers or not.
    pub fn has_unified(&self) -> bool {
        matches!(self.mode, "v2" | "hybrid")
    }
}

/// Whether something can keep containers from devices, see [`super::Cgroup::restrict_devices`].
pub fn can_restrict_devices(support: &Support) -> bool {
    let has_controller = support
        .controllers
        .iter()
        .any(|one| one.name == super::devices::CONTROLLER);
    has_controller || (support.has_unified() && super::devices::can_attach())
}

/// What control groups this machine has.
pub fn support() -> Result<Support> {
    let hierarchies = Hierarchy::detect()?;
    let any = |version| hierarchies.iter().any(|one| one.version == version);
    let mode = match (any(Version::V1), any(Version::V2)) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    };
    let named = |one: &Hierarchy| {
        one.controllers
            .iter()
            .filter(|name| !name.starts_with("name="))
            .cloned()
            .collect()
    };
    let controllers = hierarchies.iter().flat_map(|one| {
        let names: Vec<String> = named(one);
        names.into_iter().map(|name| ControllerSupport {
            name,
            version: one.version,
            mount_point: one.mount_point.clone(),
        })
    });
    let swap = hierarchies.iter().any(|one| one.has("memory") && counts_swap(one));
    Ok(Support {
        mode,
        controllers: controllers.collect(),
        swap,
    })
}

/// The top of v2 has no files for limits, so there the kernel's own list of swap areas tells whether it knows swap.
fn counts_swap(hierarchy: &Hierarchy) -> bool {
    match hierarchy.version {
        Version::V1 => hierarchy.mount_point.join(memory::swap_file(Version::V1)).exists(),
        Version::V2 => Path::new("/proc/swaps").exists(),
    }
}

/// What `/sys/fs/cgroup` shows in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// One mount for each hierarchy. A single one with an empty `directory` is v2 alone, mounted at `/sys/fs/cgroup`
    /// itself; otherwise that is a tmpfs and the mounts are below.
    pub mounts: Vec<ViewMount>,
    /// Symbolic links in the tmpfs: name and target, such as `cpu` and `cpu,cpuacct`.
    pub links: Vec<(String, String)>,
}

/// One mount of a [`View`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewMount {
    /// Name below `/sys/fs/cgroup`.
    pub directory: String,
    /// `cgroup` or `cgroup2`, to be mounted anew in the container's own cgroup namespace.
    pub filesystem: &'static str,
    /// The data of that mount, such as `cpu,cpuacct`; empty for v2.
    pub options: String,
    /// Where the host has it.
    pub source: PathBuf,
}

/// The view of a container with these groups.
pub(super) fn view(groups: &[Group]) -> View {
    let alone = groups.len() == 1 && groups[0].version == Version::V2;
    let name = |group: &Group| match alone {
        true => String::new(),
        false => group
            .mount_point
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    };
    let mount = |group: &Group| match group.version {
        Version::V1 => ("cgroup", group.controllers.join(",")),
        Version::V2 => ("cgroup2", String::new()),
    };
    let mounts = groups.iter().map(|group| {
        let (filesystem, options) = mount(group);
        ViewMount {
            directory: name(group),
            filesystem,
            options,
            source: group.mount_point.clone(),
        }
    });
    let pairs = groups
        .iter()
        .filter(|group| group.version == Version::V1 && group.controllers.len() > 1);
    let links = pairs.flat_map(|group| group.controllers.iter().map(|one| (one.clone(), name(group))));
    View {
        mounts: mounts.collect(),
        links: links.filter(|(link, target)| link != target).collect(),
    }
}
