//! What containers cannot have on this machine, and why: options that need it fail, and say the same.

use std::path::Path;

use serde::Serialize;

use super::capabilities::CapSet;
use super::cgroup::{self, Support, Version};
use super::seccomp;
use crate::error::{Context, Result};

/// Something this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// The options, or what else it is that does not work, or works less well.
    pub feature: String,
    /// Why.
    pub reason: String,
}

/// Options, and the controller they need under v1 and v2.
const CONTROLLED: [(&str, &str, &str); 5] = [
    ("memory, memory_reservation", "memory", "memory"),
    ("cpus, cpu_shares", "cpu", "cpu"),
    ("cpuset_cpus", "cpuset", "cpuset"),
    ("pids_limit", "pids", "pids"),
    ("blkio_weight", "blkio", "io"),
];

/// All that is lacking; it only looks.
pub fn lacks(support: &Support) -> Result<Vec<Lack>> {
    let mut lacks = Vec::new();
    let mut add = |feature: &str, reason: String| {
        let feature = feature.to_owned();
        lacks.push(Lack { feature, reason });
    };
    let has = |v1: &str, v2: &str| support.controllers.iter().any(|one| one.name == v1 || one.name == v2);
    for (options, v1, v2) in CONTROLLED {
        if !has(v1, v2) {
            add(options, format!("the control group controller `{v1}` is not available"));
        }
    }
    if !support.swap {
        add(
            "memory_swap",
            "the kernel does not count swap by control group".to_owned(),
        );
    }
    if !weighs_disks(support) {
        add(
            "blkio_weight",
            "no disk scheduler of this kernel weighs control groups".to_owned(),
        );
    }
    if !has("freezer", "freezer") && !support.has_unified() {
        add(
            "pause",
            "the control group controller `freezer` is not available".to_owned(),
        );
    }
    if !cgroup::can_restrict_devices(support) {
        let reason = "neither the control group controller `devices` nor programs for it under v2 are available";
        add(
            "device_cgroup_rules, devices for less than `rwm`, CAP_MKNOD",
            reason.to_owned(),
        );
    }
    let missing = CapSet::known_by_kernel()?.difference(CapSet::available()?).names();
    if !missing.is_empty() {
        add(
            "cap_add, privileged",
            format!("this process does not hold {}", missing.join(", ")),
        );
    }
    if missing.iter().any(|name| name == "CAP_SYS_RESOURCE") {
        add(
            "ulimits above this process's hard limits",
            "this process does not hold CAP_SYS_RESOURCE".to_owned(),
        );
    }
    if let Some(reason) = without_users()? {
        add("userns", reason);
    }
    if !Path::new("/proc/sys/kernel/seccomp").exists() {
        add("seccomp", "the kernel has no system call filters".to_owned());
    }
    Ok(lacks)
}

fn weighs_disks(support: &Support) -> bool {
    let Some(blkio) = support
        .controllers
        .iter()
        .find(|one| one.name == "blkio" || one.name == "io")
    else {
        // Said already.
        return true;
    };
    // The files are those of groups below the top.
    let names = match blkio.version {
        Version::V1 => ["blkio.bfq.weight", "blkio.weight"],
        Version::V2 => ["io.bfq.weight", "io.weight"],
    };
    let groups = std::fs::read_dir(&blkio.mount_point).into_iter().flatten().flatten();
    let mut groups = groups.map(|entry| entry.path()).filter(|path| path.is_dir()).peekable();
    groups.peek().is_none() || groups.any(|group| names.iter().any(|name| group.join(name).exists()))
}

fn without_users() -> Result<Option<String>> {
    const MOST: &str = "/proc/sys/user/max_user_namespaces";
    let most = std::fs::read_to_string(MOST).unwrap_or_default();
    if matches!(most.trim(), "" | "0") {
        return Ok(Some(format!("`{MOST}` allows no user namespaces")));
    }
    let kernel = nix::sys::utsname::uname().during(|| "read the kernel's version")?;
    let release = kernel.release().to_string_lossy();
    let is_old = seccomp::kernel_before(&release, (5, 19))?;
    Ok(is_old.then(|| format!("Linux {release} cannot stack layers whose owners are shifted: 5.19 can")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_controllers_lacks_all_that_needs_them() {
        let bare = Support {
            mode: "none",
            controllers: Vec::new(),
            swap: false,
        };
        let lacks = lacks(&bare).unwrap();
        for feature in ["memory, memory_reservation", "pids_limit", "memory_swap", "pause"] {
            assert!(lacks.iter().any(|lack| lack.feature == feature), "{feature}: {lacks:?}");
        }
    }
}
