//! What `system::info` tells, against what the machine says otherwise.

use serde_json::json;

use crate::harness::Hoist;

#[test]
fn the_facts_of_docker_info_are_told() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        container::create("busybox", ["true"]);
        let up = container::run_detached("busybox", ["sleep", "1000"], #{volumes: ["v:/v"]});
        let paused = container::run_detached("busybox", ["sleep", "1000"]);
        paused.pause();
        let info = system::info();
        paused.unpause();
        info"#;
    let info = hoist.value(script);
    let counts = json!({"total": 3, "created": 1, "running": 1, "paused": 1, "exited": 0, "restarting": 0, "dead": 0, "removing": 0});
    assert_eq!(info["containers"], counts);
    assert_eq!((&info["images"], &info["volumes"]), (&json!(1), &json!(1)));
    let read = |file: &str| std::fs::read_to_string(file).unwrap();
    assert_eq!(info["kernel"], read("/proc/sys/kernel/osrelease").trim());
    assert_eq!(info["hostname"], read("/proc/sys/kernel/hostname").trim());
    let total = read("/proc/meminfo")
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert_eq!(info["memory"], total * 1024);
    assert!(read("/etc/os-release").contains(info["os"].as_str().unwrap()), "{info}");
    assert!(info["cpus"].as_u64().unwrap() >= 1 && info["version"] == env!("CARGO_PKG_VERSION"));
    assert!(
        info["root"]
            .as_str()
            .unwrap()
            .starts_with(hoist.dir().parent().unwrap().to_str().unwrap())
    );
}

/// Each lack is one: what needs it fails, and what is not listed works.
#[test]
fn what_is_lacking_is_what_fails() {
    let hoist = Hoist::with_busybox();
    let degraded = hoist
        .value("system::info().degraded.map(|lack| lack.feature)")
        .to_string();
    for (feature, options) in [
        ("memory_swap", "memory: 64.mib, memory_swap: 128.mib"),
        ("pids_limit", "pids_limit: 20"),
        ("blkio_weight", "blkio_weight: 500"),
        ("cpuset_cpus", r#"cpuset_cpus: "0""#),
        ("device_cgroup_rules", r#"device_cgroup_rules: ["c 61:9 r"]"#),
        ("userns", r#"userns: "auto""#),
        ("ulimits above", r#"ulimits: #{memlock: "unlimited"}"#),
    ] {
        let call = format!(r#"attempt(|| container::run("busybox", ["true"], #{{{options}}})).ok"#);
        assert_eq!(
            hoist.value(&call),
            !degraded.contains(feature),
            "{feature} in {degraded}"
        );
    }
}
