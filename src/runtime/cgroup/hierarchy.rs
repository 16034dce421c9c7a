//! Which control group hierarchies this machine has, where, and with which controllers. It only reads.
//!
//! A machine has v1 hierarchies (one mount per controller or pair), the one v2 hierarchy, or both ("hybrid");
//! a controller is in exactly one of them (cgroups(7)).

use std::path::{Component, Path, PathBuf};

use crate::error::{Context, Result};
use crate::sys::file;

/// The interface a hierarchy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    pub(super) mount_point: PathBuf,
    /// `memory`, `cpu` and `cpuacct`, or `name=systemd`; for v2 what `cgroup.controllers` offers.
    pub(super) controllers: Vec<String>,
    /// The directory of the group this process is in.
    own: PathBuf,
}

impl Hierarchy {
    /// All that are mounted where this process sees them.
    pub(super) fn detect() -> Result<Vec<Hierarchy>> {
        let read = |name: &str| file::read_small_text(name.as_ref()).during(|| format!("read `{name}`"));
        let mut found = parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        for unified in found.iter_mut().filter(|one| one.version == Version::V2) {
            let offered = file::read_small_text(&unified.mount_point.join("cgroup.controllers")).unwrap_or_default();
            unified.controllers = offered.split_whitespace().map(str::to_owned).collect();
        }
        Ok(found)
    }

    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    /// The group this process is in.
    pub(super) fn own(&self) -> &Path {
        &self.own
    }

    /// Where a group may be made: at the top, or below this process's own group where the top is not ours to change.
    pub(super) fn parents(&self) -> Vec<&Path> {
        match self.own == self.mount_point {
            true => vec![&self.mount_point],
            false => vec![&self.mount_point, &self.own],
        }
    }
}

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)), as far as it matters here.
struct Mount<'a> {
    root: &'a str,
    point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

fn parse(mountinfo: &str, own: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mountinfo.lines().filter_map(parse_mount) {
        let hierarchy = match mount.kind {
            "cgroup2" => place(&mount, Version::V2, Vec::new(), own),
            "cgroup" => place(&mount, Version::V1, v1_controllers(mount.options, own), own),
            _ => continue,
        };
        // A hierarchy mounted twice is used by its first mount.
        let same = |one: &Hierarchy| (one.version, &one.controllers) == (hierarchy.version, &hierarchy.controllers);
        if !found.iter().any(same) {
            found.push(hierarchy);
        }
    }
    found
}

fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (place, filesystem) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let mut filesystem = filesystem.split(' ');
    Some(Mount {
        root: place.next()?,
        point: PathBuf::from(place.next()?.replace("\\040", " ")),
        kind: filesystem.next()?,
        options: filesystem.nth(1)?,
    })
}

/// The options of a v1 mount that `/proc/self/cgroup` knows as controllers; others are flags such as `rw`.
fn v1_controllers(options: &str, own: &str) -> Vec<String> {
    let known = |name: &&str| own_groups(own).any(|(controllers, _)| controllers.split(',').any(|one| one == *name));
    options.split(',').filter(known).map(str::to_owned).collect()
}

/// Controllers and path of each line of `/proc/self/cgroup` (cgroups(7)); v2 has no controllers there.
fn own_groups(own: &str) -> impl Iterator<Item = (&str, &str)> {
    own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

fn place(mount: &Mount<'_>, version: Version, controllers: Vec<String>, own: &str) -> Hierarchy {
    let path = own_groups(own).find(|(names, _)| match version {
        Version::V2 => names.is_empty(),
        Version::V1 => names.split(',').any(|name| controllers.iter().any(|one| one == name)),
    });
    // Without a namespace of its own, a mount may show a part of the hierarchy only, and the path starts above it.
    let below = path.and_then(|(_, path)| Path::new(path).strip_prefix(mount.root).ok());
    let below = below.filter(|path| path.components().all(|part| matches!(part, Component::Normal(_))));
    let own = below
        .filter(|path| !path.as_os_str().is_empty())
        .map_or(mount.point.clone(), |path| mount.point.join(path));
    Hierarchy {
        version,
        mount_point: mount.point.clone(),
        controllers,
        own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(found: &[Hierarchy]) -> Vec<String> {
        found
            .iter()
            .map(|one| format!("{:?} {} {}", one.version, one.controllers.join("+"), one.own.display()))
            .collect()
    }

    #[test]
    fn hybrid_machines_have_both_kinds() {
        let mountinfo = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "9:name=systemd:/\n4:memory:/jobs/one\n1:cpu,cpuacct:/\n0::/init.scope\n";
        assert_eq!(
            summary(&parse(mountinfo, own)),
            [
                "V1 cpu+cpuacct /sys/fs/cgroup/cpu,cpuacct",
                "V1 memory /sys/fs/cgroup/memory/jobs/one",
                "V1 name=systemd /sys/fs/cgroup/systemd",
                "V2  /sys/fs/cgroup/unified/init.scope",
            ]
        );
    }

    #[test]
    fn a_mount_that_shows_a_part_counts_paths_from_there() {
        let mountinfo = "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(
            summary(&parse(mountinfo, "0::/docker/abc/x\n")),
            ["V2  /sys/fs/cgroup/x"]
        );
        assert_eq!(summary(&parse(mountinfo, "0::/docker/abc\n")), ["V2  /sys/fs/cgroup"]);
        assert_eq!(summary(&parse(mountinfo, "0::/../other\n")), ["V2  /sys/fs/cgroup"]);
    }
}
