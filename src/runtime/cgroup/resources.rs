//! Limits in the words of an OCI configuration (runtime-spec, `config-linux.md#control-groups`), written to the files that have them.
//!
//! A limit that no controller of this machine takes is an error. So it is in version 2 with those that only version 1 had, but for
//! those that other runtimes pass over there, since engines write them for both.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources, LinuxThrottleDevice};

use super::controller::{read, require, write};
use super::hierarchy::Version;
use super::{Cgroup, Group, cpu, memory};
use crate::error::{Error, Kind, Result};

/// Where a limit goes in one version: controller, file, and what is written.
type Entry<'a> = (&'a str, &'a str, String);

impl Cgroup {
    /// Writes limits to the groups, with or without processes in them.
    ///
    /// Errors: `unsupported` for a limit that nothing here takes; what the kernel says of a value it refuses.
    pub fn apply(&self, resources: &LinuxResources) -> Result<()> {
        resources
            .memory()
            .as_ref()
            .map_or(Ok(()), |memory| self.apply_memory(memory))?;
        resources.cpu().as_ref().map_or(Ok(()), |cpu| self.apply_cpu(cpu))?;
        if let Some(pids) = resources.pids() {
            let most = if pids.limit() > 0 {
                pids.limit().to_string()
            } else {
                "max".to_owned()
            };
            self.set(
                "pids.limit",
                ("pids", "pids.max", most.clone()),
                Some(("pids", "pids.max", most)),
            )?;
        }
        resources
            .block_io()
            .as_ref()
            .map_or(Ok(()), |io| self.apply_block_io(io))?;
        for page in resources.hugepage_limits().iter().flatten() {
            let (v1, v2) = (
                format!("hugetlb.{}.limit_in_bytes", page.page_size()),
                format!("hugetlb.{}.max", page.page_size()),
            );
            let most = page.limit().to_string();
            self.set(
                "hugepageLimits",
                ("hugetlb", &v1, most.clone()),
                Some(("hugetlb", &v2, most)),
            )?;
        }
        resources
            .network()
            .as_ref()
            .map_or(Ok(()), |network| self.apply_network(network))?;
        for (device, limit) in resources.rdma().iter().flatten() {
            let part = |name: &str, most: Option<u32>| most.map_or_else(String::new, |most| format!(" {name}={most}"));
            let most = format!(
                "{device}{}{}",
                part("hca_handle", limit.hca_handles()),
                part("hca_object", limit.hca_objects())
            );
            self.set(
                "rdma",
                ("rdma", "rdma.max", most.clone()),
                Some(("rdma", "rdma.max", most)),
            )?;
        }
        self.apply_unified(resources)
    }

    /// Writes one limit where its controller is.
    fn set(&self, option: &str, v1: Entry<'_>, v2: Option<Entry<'_>>) -> Result<()> {
        let name = v1.0;
        let group = self.groups.iter().find(|group| match group.version {
            Version::V1 => group.has(name),
            Version::V2 => v2.as_ref().is_some_and(|entry| group.has(entry.0)),
        });
        let version = group.map(|group| group.version);
        let entry = if version == Some(Version::V2) { v2 } else { Some(v1) };
        let (Some(group), Some((_, file, value))) = (group, entry) else {
            return Err(lacking(option, name));
        };
        require(&group.path, file, option)?;
        write(&group.path, file, &value).map_err(|error| error.target(option))
    }

    fn version_of(&self, controller: &str) -> Option<Version> {
        self.groups
            .iter()
            .find(|group| group.has(controller))
            .map(|group| group.version)
    }

    fn apply_memory(&self, memory: &LinuxMemory) -> Result<()> {
        let group = self.memory();
        if let (Some(true), Some(group), Some(limit)) = (memory.check_before_update(), group, memory.limit()) {
            check_use(group, limit)?;
        }
        let limit = memory.limit().filter(|limit| *limit != 0);
        let swap = memory.swap().filter(|swap| *swap != 0);
        let write_limit = || {
            limit.map_or(Ok(()), |limit| {
                let v1 = ("memory", "memory.limit_in_bytes", limit.to_string());
                self.set("memory.limit", v1, Some(("memory", "memory.max", most(limit))))
            })
        };
        let write_swap = || {
            swap.map_or(Ok(()), |swap| {
                let alone = swap_alone(swap, limit)?;
                let v1 = ("memory", memory::swap_file(Version::V1), swap.to_string());
                self.set(
                    "memory.swap",
                    v1,
                    Some(("memory", memory::swap_file(Version::V2), alone)),
                )
            })
        };
        // Version 1 refuses a sum below the limit of memory: what grows past the sum there is waits for the new sum.
        match grows(group, limit) {
            true => write_swap().and_then(|()| write_limit())?,
            false => write_limit().and_then(|()| write_swap())?,
        }
        if let Some(bytes) = memory.reservation().filter(|bytes| *bytes != 0) {
            let v1 = ("memory", "memory.soft_limit_in_bytes", bytes.to_string());
            self.set("memory.reservation", v1, Some(("memory", "memory.low", most(bytes))))?;
        }
        if self.version_of("memory") == Some(Version::V2) {
            return Ok(());
        }
        if let Some(bytes) = memory.kernel_tcp().filter(|bytes| *bytes != 0) {
            self.set(
                "memory.kernelTCP",
                ("memory", "memory.kmem.tcp.limit_in_bytes", bytes.to_string()),
                None,
            )?;
        }
        if let Some(share) = memory.swappiness() {
            self.set(
                "memory.swappiness",
                ("memory", "memory.swappiness", share.to_string()),
                None,
            )?;
        }
        match memory.disable_oom_killer() {
            Some(true) => self.set(
                "memory.disableOOMKiller",
                ("memory", "memory.oom_control", "1".to_owned()),
                None,
            ),
            _ => Ok(()),
        }
    }

    fn apply_cpu(&self, cpu: &LinuxCpu) -> Result<()> {
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            let v2 = ("cpu", "cpu.weight", cpu::weight(shares).to_string());
            self.set("cpu.shares", ("cpu", "cpu.shares", shares.to_string()), Some(v2))?;
        }
        self.apply_quota(cpu)?;
        if let Some(burst) = cpu.burst() {
            let v2 = ("cpu", "cpu.max.burst", burst.to_string());
            self.set("cpu.burst", ("cpu", "cpu.cfs_burst_us", burst.to_string()), Some(v2))?;
        }
        if let Some(idle) = cpu.idle() {
            let v2 = ("cpu", "cpu.idle", idle.to_string());
            self.set("cpu.idle", ("cpu", "cpu.idle", idle.to_string()), Some(v2))?;
        }
        if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
            self.set(
                "cpu.realtimePeriod",
                ("cpu", "cpu.rt_period_us", period.to_string()),
                None,
            )?;
        }
        if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
            self.set(
                "cpu.realtimeRuntime",
                ("cpu", "cpu.rt_runtime_us", runtime.to_string()),
                None,
            )?;
        }
        for (option, file, list) in [
            ("cpu.cpus", "cpuset.cpus", cpu.cpus()),
            ("cpu.mems", "cpuset.mems", cpu.mems()),
        ] {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                self.set(
                    option,
                    ("cpuset", file, list.clone()),
                    Some(("cpuset", file, list.clone())),
                )
                .map_err(|error| error.with_kind(Kind::Invalid))?;
            }
        }
        Ok(())
    }

    fn apply_quota(&self, cpu: &LinuxCpu) -> Result<()> {
        let (quota, period) = (
            cpu.quota().filter(|quota| *quota != 0),
            cpu.period().filter(|period| *period != 0),
        );
        if self.version_of("cpu") == Some(Version::V2) {
            let value = match (quota, period) {
                (None, None) => return Ok(()),
                (quota, period) => format!("{} {}", quota.map_or("max".to_owned(), most), period.unwrap_or(100_000)),
            };
            return self.set("cpu.quota", ("cpu", "", String::new()), Some(("cpu", "cpu.max", value)));
        }
        let write_period = || {
            period.map_or(Ok(()), |period| {
                self.set("cpu.period", ("cpu", "cpu.cfs_period_us", period.to_string()), None)
            })
        };
        // A shorter period may only fit once the quota does.
        let early = write_period();
        if let Some(quota) = quota {
            self.set("cpu.quota", ("cpu", "cpu.cfs_quota_us", quota.to_string()), None)?;
        }
        early.or_else(|_| write_period())
    }

    fn apply_block_io(&self, io: &LinuxBlockIo) -> Result<()> {
        if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
            let bfq = self
                .groups
                .iter()
                .any(|group| group.path.join("blkio.bfq.weight").exists());
            let file = if bfq { "blkio.bfq.weight" } else { "blkio.weight" };
            let v2 = (
                "io",
                "io.weight",
                format!("default {}", 1 + (u32::from(weight).max(10) - 10) * 9999 / 990),
            );
            self.set("blockIO.weight", ("blkio", file, weight.to_string()), Some(v2))?;
        }
        if let Some(weight) = io.leaf_weight().filter(|weight| *weight != 0) {
            self.set(
                "blockIO.leafWeight",
                ("blkio", "blkio.leaf_weight", weight.to_string()),
                None,
            )?;
        }
        for device in io.weight_device().iter().flatten() {
            if let Some(weight) = device.weight() {
                let value = format!("{}:{} {weight}", device.major(), device.minor());
                let bfq = self
                    .groups
                    .iter()
                    .any(|group| group.path.join("blkio.bfq.weight_device").exists());
                let file = if bfq {
                    "blkio.bfq.weight_device"
                } else {
                    "blkio.weight_device"
                };
                self.set(
                    "blockIO.weightDevice",
                    ("blkio", file, value.clone()),
                    Some(("io", "io.bfq.weight", value)),
                )?;
            }
        }
        let throttles = [
            (
                io.throttle_read_bps_device(),
                "throttleReadBpsDevice",
                "blkio.throttle.read_bps_device",
                "rbps",
            ),
            (
                io.throttle_write_bps_device(),
                "throttleWriteBpsDevice",
                "blkio.throttle.write_bps_device",
                "wbps",
            ),
            (
                io.throttle_read_iops_device(),
                "throttleReadIOPSDevice",
                "blkio.throttle.read_iops_device",
                "riops",
            ),
            (
                io.throttle_write_iops_device(),
                "throttleWriteIOPSDevice",
                "blkio.throttle.write_iops_device",
                "wiops",
            ),
        ];
        for (devices, option, file, key) in throttles {
            for device in devices.iter().flatten() {
                self.throttle(device, option, file, key)?;
            }
        }
        Ok(())
    }

    fn throttle(&self, device: &LinuxThrottleDevice, option: &str, file: &str, key: &str) -> Result<()> {
        let (number, rate) = (format!("{}:{}", device.major(), device.minor()), device.rate());
        let v2 = ("io", "io.max", format!("{number} {key}={rate}"));
        self.set(
            &format!("blockIO.{option}"),
            ("blkio", file, format!("{number} {rate}")),
            Some(v2),
        )
    }

    fn apply_network(&self, network: &LinuxNetwork) -> Result<()> {
        if let Some(class) = network.class_id().filter(|class| *class != 0) {
            self.set(
                "network.classID",
                ("net_cls", "net_cls.classid", class.to_string()),
                None,
            )?;
        }
        for interface in network.priorities().iter().flatten() {
            let value = format!("{} {}", interface.name(), interface.priority());
            self.set("network.priorities", ("net_prio", "net_prio.ifpriomap", value), None)?;
        }
        Ok(())
    }

    fn apply_unified(&self, resources: &LinuxResources) -> Result<()> {
        for (file, value) in resources.unified().iter().flatten() {
            if file.contains('/') || !file.contains('.') {
                return Err(Error::invalid(format!(
                    "`{}` is not a file of a control group",
                    file.escape_debug()
                )));
            }
            let controller = file.split('.').next().unwrap_or_default();
            let group = self
                .of_version(Version::V2)
                .filter(|group| controller == "cgroup" || group.has(controller));
            let group = group.ok_or_else(|| lacking(&format!("unified.{file}"), controller))?;
            require(&group.path, file, &format!("unified.{file}"))?;
            write(&group.path, file, value)?;
        }
        Ok(())
    }
}

fn lacking(option: &str, controller: &str) -> Error {
    Error::unsupported(format!(
        "failed to set `{option}`: the control group controller `{controller}` is not available"
    ))
    .target(option)
    .hint(format!(
        "mount or delegate the controller `{controller}`, or leave `{option}` out"
    ))
}

/// A number as version 2 writes it, in which -1 is no limit.
fn most(number: i64) -> String {
    match number {
        -1 => "max".to_owned(),
        number => number.to_string(),
    }
}

/// Swap without memory, which version 2 limits, of the sum that the configuration has.
fn swap_alone(sum: i64, memory: Option<i64>) -> Result<String> {
    match (sum, memory) {
        (-1, _) => Ok("max".to_owned()),
        (sum, Some(memory)) if memory >= 0 && sum >= memory => Ok((sum - memory).to_string()),
        _ => Err(
            Error::invalid("`memory.swap` includes `memory.limit`, so it needs one and may not be below it")
                .target("memory.swap"),
        ),
    }
}

/// Whether the limit of memory is to go past the limit there is for the sum with swap.
fn grows(group: Option<&Group>, limit: Option<i64>) -> bool {
    let Some(group) = group.filter(|group| group.version == Version::V1) else {
        return false;
    };
    let sum = read(&group.path, memory::swap_file(Version::V1)).ok();
    let sum = sum.and_then(|text| text.trim().parse::<i64>().ok());
    matches!((limit, sum), (Some(limit), Some(sum)) if limit == -1 || limit > sum)
}

fn check_use(group: &Group, limit: i64) -> Result<()> {
    let file = match group.version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    let used = read(&group.path, file)?.trim().parse::<i64>().unwrap_or(0);
    match limit > 0 && used > limit {
        true => Err(Error::in_use(format!(
            "`memory.limit`: {used} bytes are in use, which is above {limit}"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn group(version: Version, controllers: &[&str], files: &[&str]) -> (tempfile::TempDir, Cgroup) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let group = Group {
            version,
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mount_point: dir.path().to_owned(),
            path: dir.path().to_owned(),
        };
        let groups = vec![group];
        (dir, Cgroup { groups, unified: None })
    }

    fn resources(json: serde_json::Value) -> LinuxResources {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_limit_goes_to_its_file() {
        let asked = resources(serde_json::json!({
            "memory": {"limit": 1000, "swap": 3000, "reservation": 500},
            "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0-1"},
            "pids": {"limit": 7},
        }));
        let v1 = [
            ("memory.limit_in_bytes", "1000"),
            ("memory.memsw.limit_in_bytes", "3000"),
            ("memory.soft_limit_in_bytes", "500"),
            ("cpu.shares", "1024"),
            ("cpu.cfs_quota_us", "50000"),
            ("cpu.cfs_period_us", "100000"),
            ("cpuset.cpus", "0-1"),
            ("pids.max", "7"),
        ];
        let v2 = [
            ("memory.max", "1000"),
            ("memory.swap.max", "2000"),
            ("memory.low", "500"),
            ("cpu.weight", "100"),
            ("cpu.max", "50000 100000"),
            ("cpuset.cpus", "0-1"),
            ("pids.max", "7"),
        ];
        for (version, expected) in [(Version::V1, &v1[..]), (Version::V2, &v2[..])] {
            let files: Vec<&str> = expected.iter().map(|(file, _)| *file).collect();
            let (dir, cgroup) = group(version, &["memory", "cpu", "cpuset", "pids"], &files);
            cgroup.apply(&asked).unwrap();
            for (file, value) in expected {
                assert_eq!(
                    std::fs::read_to_string(dir.path().join(file)).unwrap(),
                    *value,
                    "{file}"
                );
            }
        }
    }

    #[test]
    fn what_nothing_takes_is_named() {
        let (_dir, cgroup) = group(Version::V1, &["memory"], &[]);
        for (asked, named) in [
            (serde_json::json!({"network": {"classID": 5}}), "`network.classID`"),
            (serde_json::json!({"pids": {"limit": 5}}), "`pids.limit`"),
            (serde_json::json!({"memory": {"limit": 5}}), "`memory.limit`"),
            (
                serde_json::json!({"unified": {"memory.high": "5"}}),
                "`unified.memory.high`",
            ),
            (serde_json::json!({"rdma": {"mlx": {"hcaHandles": 5}}}), "`rdma`"),
        ] {
            let error = cgroup.apply(&resources(asked)).unwrap_err();
            assert_eq!(error.kind(), Kind::Unsupported, "{error}");
            assert!(error.message().contains(named), "{error}");
        }
        // What says nothing needs nothing.
        let nothing = serde_json::json!({"memory": {"limit": 0, "disableOOMKiller": false}, "blockIO": {}, "cpu": {}});
        cgroup.apply(&resources(nothing)).unwrap();
        let bad = resources(serde_json::json!({"unified": {"../x.y": "5"}}));
        assert_eq!(cgroup.apply(&bad).unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn the_top_is_not_a_containers_group() {
        for path in ["", "/", "..", "/a/../..", "a/../b"] {
            assert!(Cgroup::open_at(Path::new(path)).is_err(), "{path:?}");
        }
    }
}
