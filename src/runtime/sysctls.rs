//! Kernel settings that a container may have its own of: those that belong to one of its namespaces (sysctl(8), namespaces(7)).

use super::NetworkMode;
use crate::error::{Error, Result};

/// Settings of the namespace for System V IPC and POSIX message queues (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Errors: `invalid` for one that has no place in a container: it would change the host.
pub(super) fn check(name: &str, value: &str, network: NetworkMode) -> Result<()> {
    let is_plain = |part: &str| !part.is_empty() && part != ".." && !part.contains(['/', '\0']);
    let refuse = |why: &str, hint: &str| {
        Err(
            Error::invalid(format!("the kernel setting `{}` {why}", name.escape_debug()))
                .target(name)
                .hint(hint.to_owned()),
        )
    };
    if !name.split('.').all(is_plain) || value.contains('\0') {
        return refuse("has no valid name", "write it as `net.ipv4.ip_forward`");
    }
    match name.split('.').next() {
        Some("net") if network == NetworkMode::Host => refuse(
            "is the host's, whose network the container shares",
            "give the container a network of its own, or set it on the host",
        ),
        Some("net") => Ok(()),
        _ if IPC.contains(&name) || name.starts_with("fs.mqueue.") => Ok(()),
        _ => refuse(
            "belongs to the whole machine",
            "a container may set `net.*`, `fs.mqueue.*`, and `kernel.msg*`, `kernel.sem` and `kernel.shm*`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_namespace_has_may_be_set() {
        let fits = |name: &str, network| check(name, "1", network).is_ok();
        for name in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
            assert!(fits(name, NetworkMode::None), "{name}");
        }
        for name in [
            "kernel.core_pattern",
            "vm.swappiness",
            "fs.file-max",
            "kernel.msg",
            "net..x",
            "net.../x",
            "net./x",
            "",
            "net.a\0b",
        ] {
            assert!(!fits(name, NetworkMode::None), "{name}");
        }
        assert!(!fits("net.ipv4.ip_forward", NetworkMode::Host));
        assert!(fits("kernel.sem", NetworkMode::Host));
        assert!(check("net.ipv4.ip_forward", "1\0", NetworkMode::None).is_err());
    }
}
