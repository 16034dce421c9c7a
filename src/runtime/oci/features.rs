//! What this runtime can do, in the words of the specification (runtime-spec, `features.md`).

use serde_json::{Value, json};

use crate::error::Result;
use crate::runtime::capabilities::CapSet;
use crate::runtime::{cgroup, mount_options};

const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "SCMP_ARCH_AARCH64"
} else {
    "SCMP_ARCH_X86_64"
};

/// The features, on this machine.
pub fn features() -> Result<Value> {
    let groups = cgroup::support()?;
    let (v1, v2) = (groups.mode != "v2", groups.mode != "v1");
    Ok(json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": super::VERSION,
        "hooks": HOOKS,
        "mountOptions": mount_options::known(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": CapSet::known_by_kernel()?.names(),
            "cgroup": {
                "v1": v1, "v2": v2, "systemd": false, "systemdUser": false,
                "rdma": groups.controllers.iter().any(|one| one.name == "rdma"),
            },
            "seccomp": {
                "enabled": true,
                "actions": ACTIONS,
                "operators": OPERATORS,
                "archs": [ARCH],
                "knownFlags": FLAGS,
                "supportedFlags": FLAGS,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": true}},
        },
    }))
}
