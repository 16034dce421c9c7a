//! A container in the field names of Docker's `GET /containers/{id}/json`.

use serde_json::{Value, json};

use super::{Container, Status, security};
use crate::error::Result;
use crate::model::Context;
use crate::runtime::{Device, Namespace, RestartPolicy, Rlimit};

impl Container {
    /// All that is known of it.
    pub fn inspect(&self, ctx: &Context) -> Result<Value> {
        let recipe = &self.facts.recipe;
        let mut command = self.command().into_iter();
        let path = command.next();
        let mut config = serde_json::to_value(&recipe.config).unwrap_or_default();
        config["Hostname"] = json!(recipe.hostname);
        config["Image"] = json!(self.image());
        config["Tty"] = json!(recipe.tty);
        config["OpenStdin"] = json!(recipe.interactive);
        Ok(json!({
            "Id": self.id(),
            "Created": self.created().to_string(),
            "Path": path,
            "Args": command.collect::<Vec<_>>(),
            "State": self.inspected_state(),
            "Image": self.image_id(),
            "Name": format!("/{}", self.name()),
            "RestartCount": self.restart_count(),
            "Driver": "overlay",
            "Platform": "linux",
            "HostnamePath": self.bundle().dir.join("hostname"),
            "HostsPath": self.bundle().dir.join("hosts"),
            "ResolvConfPath": self.bundle().dir.join("resolv.conf"),
            "LogPath": self.bundle().dir.join("log"),
            "GraphDriver": { "Name": "overlay", "Data": self.graph_data(ctx)? },
            "Mounts": recipe.mounts.iter().map(|mount| self.mount(mount)).collect::<Vec<_>>(),
            "Config": config,
            "HostConfig": self.host_config(),
        }))
    }

    fn host_config(&self) -> Value {
        let recipe = &self.facts.recipe;
        let limits = &recipe.limits;
        json!({
            "RestartPolicy": restart_policy(recipe.restart),
            "NetworkMode": self.networks()[0],
            "PidMode": unless_private(&recipe.pid),
            "IpcMode": recipe.ipc.to_string(),
            "UTSMode": unless_private(&recipe.uts),
            "CgroupnsMode": recipe.cgroupns.to_string(),
            "Memory": limits.memory.unwrap_or(0),
            "MemorySwap": limits.memory_swap.unwrap_or(0),
            "MemoryReservation": limits.memory_reservation.unwrap_or(0),
            "NanoCpus": limits.cpus.map_or(0, |cpus| (cpus * 1e9) as u64),
            "CpuShares": limits.cpu_shares.unwrap_or(0),
            "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
            "PidsLimit": limits.pids,
            "BlkioWeight": limits.blkio_weight.unwrap_or(0),
            "Ulimits": recipe.rlimits.iter().map(ulimit).collect::<Vec<_>>(),
            "Sysctls": recipe.sysctls,
            "ShmSize": recipe.shm_size.unwrap_or(64 << 20),
            "Devices": recipe.devices.iter().map(device).collect::<Vec<_>>(),
            "DeviceCgroupRules": recipe.device_rules,
            "CapAdd": recipe.cap_add,
            "CapDrop": recipe.cap_drop,
            "ReadonlyRootfs": recipe.read_only,
            "SecurityOpt": security::shown(&recipe.seccomp, recipe.no_new_privileges),
            "ExtraHosts": recipe.add_hosts,
        })
    }

    fn inspected_state(&self) -> Value {
        let time =
            |time: Option<jiff::Timestamp>| time.map_or("0001-01-01T00:00:00Z".to_owned(), |time| time.to_string());
        json!({
            "Status": self.status().to_string(),
            "Running": matches!(self.status(), Status::Running | Status::Paused | Status::Restarting),
            "Paused": self.status() == Status::Paused,
            "Restarting": self.status() == Status::Restarting,
            "OOMKilled": self.oom_killed(),
            "Dead": self.status() == Status::Dead,
            "Pid": self.pid().unwrap_or(0),
            "ExitCode": self.exit_code().unwrap_or(0),
            "Error": self.error().unwrap_or(""),
            "StartedAt": time(self.started()),
            "FinishedAt": time(self.finished()),
        })
    }

    fn mount(&self, mount: &super::Mount) -> Value {
        let source = match mount.kind.as_str() {
            "volume" => self.host.volume_path(&mount.source).display().to_string(),
            _ => mount.source.clone(),
        };
        let name = (mount.kind == "volume").then_some(&mount.source);
        json!({ "Type": mount.kind, "Name": name, "Source": source, "Destination": mount.target, "RW": !mount.read_only })
    }

    /// The directories of the container's root; there is a merged view only while it runs.
    fn graph_data(&self, ctx: &Context) -> Result<Value> {
        let lowers = self.lowers(ctx)?;
        let lowers: Vec<String> = lowers.iter().map(|dir| dir.display().to_string()).collect();
        Ok(json!({
            "LowerDir": lowers.join(":"),
            "UpperDir": self.bundle().upper(),
            "WorkDir": self.bundle().dir.join("work"),
            "MergedDir": self.pid().map(|pid| format!("/proc/{pid}/root")),
        }))
    }
}

fn restart_policy(policy: RestartPolicy) -> Value {
    let (name, most) = policy.parts();
    json!({ "Name": name, "MaximumRetryCount": most })
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
