//! How a container was asked to run, in the field names of Docker's `HostConfig`.

use serde_json::{Value, json};

use super::recipe::Recipe;
use super::security;
use crate::runtime::{self, Device, IdRange, LogBounds, Namespace, RestartPolicy, Rlimit};

/// All of it, each part by itself.
pub(super) fn of(recipe: &Recipe) -> Value {
    let parts = [
        files(recipe),
        namespaces(recipe),
        rights(recipe),
        resources(recipe),
        devices(recipe),
    ];
    let parts = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(parts.flatten().collect())
}

fn files(recipe: &Recipe) -> Value {
    let binds = recipe.mounts.iter().filter(|mount| mount.kind != "tmpfs");
    let binds = binds.map(|mount| {
        let mode = match (mount.read_only, mount.shifted) {
            (true, true) => ":ro,idmap",
            (true, false) => ":ro",
            (false, true) => ":idmap",
            (false, false) => "",
        };
        format!("{}:{}{mode}", mount.source, mount.target)
    });
    let tmpfs = recipe.mounts.iter().filter(|mount| mount.kind == "tmpfs");
    let tmpfs = tmpfs.zip(&recipe.tmpfs_options);
    let tmpfs: serde_json::Map<String, Value> = tmpfs
        .map(|(mount, options)| (mount.target.clone(), json!(options.join(","))))
        .collect();
    json!({
        "Binds": binds.collect::<Vec<_>>(),
        "AutoRemove": recipe.rm,
        "LogConfig": log_config(recipe.log),
        "RestartPolicy": restart_policy(recipe.restart),
        "Init": recipe.init,
        "ContainerIDFile": "",
        "VolumeDriver": "",
        "VolumesFrom": null,
        "Tmpfs": tmpfs,
        "ReadonlyRootfs": recipe.read_only,
        "StorageOpt": null,
        "ShmSize": recipe.shm_size.unwrap_or(64 << 20),
        "Dns": recipe.dns,
        "ExtraHosts": recipe.add_hosts,
    })
}

/// The form of the log has a name of Podman's; texts, as Docker has them.
fn log_config(bounds: LogBounds) -> Value {
    let (size, files) = (bounds.max_size.to_string(), bounds.max_files.to_string());
    json!({ "Type": "k8s-file", "Config": { "max-size": size, "max-file": files } })
}

fn namespaces(recipe: &Recipe) -> Value {
    json!({
        "NetworkMode": recipe.network.to_string(),
        "PidMode": unless_private(&recipe.pid),
        "IpcMode": recipe.ipc.to_string(),
        "UTSMode": unless_private(&recipe.uts),
        "CgroupnsMode": recipe.cgroupns.to_string(),
        "UsernsMode": recipe.userns.shown(),
        "IDMappings": id_mappings(recipe),
        "Cgroup": "",
    })
}

/// As Podman has it; Docker knows one map for all containers.
fn id_mappings(recipe: &Recipe) -> Option<Value> {
    let maps = recipe.userns.maps()?;
    let show = |ranges: &[IdRange]| {
        let ranges = ranges.iter();
        ranges
            .map(|one| format!("{}:{}:{}", one.inside, one.outside, one.count))
            .collect::<Vec<_>>()
    };
    Some(json!({ "UidMap": show(&maps.uids), "GidMap": show(&maps.gids) }))
}

fn rights(recipe: &Recipe) -> Value {
    let (masked, read_only) = runtime::protected_paths(recipe.privileged);
    json!({
        "Privileged": recipe.privileged,
        "CapAdd": recipe.cap_add,
        "CapDrop": recipe.cap_drop,
        "SecurityOpt": security::shown(&recipe.seccomp, recipe.no_new_privileges, &recipe.apparmor),
        "MaskedPaths": masked,
        "ReadonlyPaths": read_only,
        "Sysctls": recipe.sysctls,
        "Runtime": "hoist",
        "Isolation": "",
        "GroupAdd": null,
        "OomScoreAdj": 0,
    })
}

fn resources(recipe: &Recipe) -> Value {
    let limits = &recipe.limits;
    json!({
        "Memory": limits.memory.unwrap_or(0),
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwappiness": null,
        "OomKillDisable": false,
        "NanoCpus": limits.cpus.map_or(0, |cpus| (cpus * 1e9) as u64),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpuPeriod": 0,
        "CpuQuota": 0,
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": "",
        "CgroupParent": "",
        "PidsLimit": limits.pids,
        "BlkioWeight": limits.blkio_weight.unwrap_or(0),
        "Ulimits": recipe.rlimits.iter().map(ulimit).collect::<Vec<_>>(),
    })
}

fn devices(recipe: &Recipe) -> Value {
    json!({
        "Devices": recipe.devices.iter().map(device).collect::<Vec<_>>(),
        "DeviceCgroupRules": recipe.device_rules,
        "DeviceRequests": null,
    })
}

fn device(device: &Device) -> Value {
    json!({ "PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": device.access })
}

/// Of these two, Docker writes nothing for one of its own.
fn unless_private(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Private => String::new(),
        shared => shared.to_string(),
    }
}

/// As Docker has it: without a limit, -1.
fn ulimit(limit: &Rlimit) -> Value {
    let amount = |amount| i64::try_from(amount).unwrap_or(-1);
    json!({ "Name": limit.name, "Soft": amount(limit.soft), "Hard": amount(limit.hard) })
}

fn restart_policy(policy: RestartPolicy) -> Value {
    let (name, most) = policy.parts();
    json!({ "Name": name, "MaximumRetryCount": most })
}
