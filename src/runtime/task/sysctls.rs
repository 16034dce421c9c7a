//! Kernel settings that a container may have its own of: those that belong to one of its namespaces (sysctl(8), namespaces(7)).

use oci_spec::runtime::LinuxNamespaceType;

use crate::error::{Error, Result};
use crate::runtime::{Namespace, NetworkMode};

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

/// Errors: `invalid` for one that has no place in a container: it would change the host, or another container.
pub(in crate::runtime) fn check(name: &str, value: &str, network: &NetworkMode, ipc: &Namespace) -> Result<()> {
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
        Some("net") => match network {
            NetworkMode::None => Ok(()),
            NetworkMode::Host => refuse(
                "is the host's, whose network the container shares",
                "give the container a network of its own, or set it on the host",
            ),
            NetworkMode::Container(_) => refuse(
                "is that of another container, whose network the container shares",
                "set it for the container that has the network",
            ),
        },
        _ if IPC.contains(&name) || name.starts_with("fs.mqueue.") => match ipc {
            Namespace::Private => Ok(()),
            Namespace::Host => refuse(
                "is the host's, whose IPC namespace the container shares",
                "give the container an IPC namespace of its own, or set it on the host",
            ),
            Namespace::Container(_) => refuse(
                "is that of another container, whose IPC namespace the container shares",
                "set it for the container that has the namespace",
            ),
        },
        _ => refuse(
            "belongs to the whole machine",
            "a container may set `net.*`, `fs.mqueue.*`, and `kernel.msg*`, `kernel.sem` and `kernel.shm*`",
        ),
    }
}

/// The same for a container that has, or shares with others it was told of, the namespaces of these types.
pub(in crate::runtime) fn check_owned(name: &str, value: &str, has: &dyn Fn(LinuxNamespaceType) -> bool) -> Result<()> {
    let network = match has(LinuxNamespaceType::Network) {
        true => NetworkMode::None,
        false => NetworkMode::Host,
    };
    let ipc = match has(LinuxNamespaceType::Ipc) {
        true => Namespace::Private,
        false => Namespace::Host,
    };
    match name {
        "kernel.domainname" | "kernel/domainname" if has(LinuxNamespaceType::Uts) => Ok(()),
        _ => check(&name.replace('/', "."), value, &network, &ipc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_namespace_has_may_be_set() {
        let own = (NetworkMode::None, Namespace::Private);
        let fits = |name: &str, (network, ipc): &(NetworkMode, Namespace)| check(name, "1", network, ipc).is_ok();
        for name in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
            assert!(fits(name, &own), "{name}");
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
            assert!(!fits(name, &own), "{name}");
        }
        assert!(check("net.ipv4.ip_forward", "1\0", &own.0, &own.1).is_err());
    }

    #[test]
    fn what_is_shared_is_not_the_containers_to_set() {
        let id = crate::model::ContainerId::generate().unwrap();
        let shared_network = [NetworkMode::Host, NetworkMode::Container(id.clone())];
        for network in &shared_network {
            assert!(check("net.ipv4.ip_forward", "1", network, &Namespace::Private).is_err());
            assert!(check("kernel.sem", "1", network, &Namespace::Private).is_ok());
        }
        for ipc in [Namespace::Host, Namespace::Container(id)] {
            for name in ["kernel.sem", "fs.mqueue.msg_max"] {
                assert!(check(name, "1", &NetworkMode::None, &ipc).is_err());
            }
            assert!(check("net.ipv4.ip_forward", "1", &NetworkMode::None, &ipc).is_ok());
        }
    }
}
