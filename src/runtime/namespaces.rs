//! Which namespaces a container gets.

use nix::sched::CloneFlags;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::error::{Error, Result};

/// The namespaces a configuration asks for, as flags of `clone(2)`.
///
/// `unsupported` for a user or time namespace, and for one that is to be joined by path.
pub(super) fn flags(spec: &Spec) -> Result<CloneFlags> {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    listed
        .into_iter()
        .flatten()
        .try_fold(CloneFlags::empty(), |flags, namespace| {
            if let Some(path) = namespace.path() {
                return Err(Error::unsupported(format!(
                    "joining the namespace `{}` is not supported",
                    path.display()
                )));
            }
            Ok(flags | flag(namespace.typ())?)
        })
}

fn flag(typ: LinuxNamespaceType) -> Result<CloneFlags> {
    match typ {
        LinuxNamespaceType::Mount => Ok(CloneFlags::CLONE_NEWNS),
        LinuxNamespaceType::Pid => Ok(CloneFlags::CLONE_NEWPID),
        LinuxNamespaceType::Uts => Ok(CloneFlags::CLONE_NEWUTS),
        LinuxNamespaceType::Ipc => Ok(CloneFlags::CLONE_NEWIPC),
        LinuxNamespaceType::Network => Ok(CloneFlags::CLONE_NEWNET),
        LinuxNamespaceType::Cgroup => Ok(CloneFlags::CLONE_NEWCGROUP),
        other => Err(Error::unsupported(format!(
            "a namespace of type `{other}` is not supported"
        ))),
    }
}
