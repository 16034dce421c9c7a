//! A configuration to start from, as `spec` writes it.

use serde_json::{Value, json};

/// What every container may read and write of itself, and no more.
const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// The configuration of a shell with a terminal in the root `rootfs`, which it cannot write to.
pub fn template() -> Value {
    let namespaces = ["pid", "network", "ipc", "uts", "cgroup", "mount"].map(|typ| json!({"type": typ}));
    json!({
        "ociVersion": super::VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "hoist",
        "mounts": mounts(),
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": crate::runtime::spec::MASKED,
            "readonlyPaths": crate::runtime::spec::READ_ONLY,
        },
    })
}

fn mounts() -> Vec<Value> {
    [
        ("/proc", "proc", "nosuid,noexec,nodev"),
        ("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        (
            "/dev/pts",
            "devpts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        ("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        ("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
        ("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
        ("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ]
    .into_iter()
    .map(|(destination, typ, options)| {
        let options: Vec<&str> = options.split(',').collect();
        json!({"destination": destination, "type": typ, "source": typ, "options": options})
    })
    .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_configuration() {
        let spec: oci_spec::runtime::Spec = serde_json::from_value(super::template()).unwrap();
        assert_eq!(spec.mounts().as_ref().map(Vec::len), Some(7));
    }
}
