//! Whoever is asked about system calls (seccomp_unotify(2)): a socket of the engine's, to which the filter's descriptor is handed.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use oci_spec::runtime::Spec;
use serde::Serialize;

use super::container::State;
use super::create::profile;
use crate::error::{Context, Error, Result};
use crate::runtime::seccomp::Profile;
use crate::sys::{pidfd, socket};

/// What the descriptor in `ContainerProcessState` is (runtime-spec, `config-linux.md#containerprocessstate`).
const SECCOMP_FD: &str = "seccompFd";

/// Which process of which container a descriptor is of, in the words of the specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a State,
}

/// A process whose filter has somebody asked, and its number.
pub(super) struct Asking<'a> {
    pub(super) process: &'a OwnedFd,
    pub(super) pid: i32,
}

impl Asking<'_> {
    /// Hands the process's descriptor of this number to who waits for it. It is taken from there, and not sent: the filter may stop that.
    pub(super) fn introduce(&self, spec: &Spec, state: &State, number: i32) -> Result<()> {
        let profile = profile(spec)?;
        let listener = profile
            .as_ref()
            .and_then(Profile::listener)
            .ok_or_else(|| Error::internal("a process asks about system calls, and nobody answers"))?;
        let show = || format!("hand the system call filter to `{}`", listener.path.display());
        let descriptor = pidfd::descriptor_of(self.process, number).during(show)?;
        let told = ContainerProcessState {
            oci_version: &state.oci_version,
            fds: [SECCOMP_FD],
            pid: self.pid,
            metadata: listener.metadata.as_deref(),
            state,
        };
        let told =
            serde_json::to_vec(&told).map_err(|cause| Error::internal(format!("failed to tell a state: {cause}")))?;
        let stream = UnixStream::connect(&listener.path).during(show)?;
        socket::send(&stream, &told, &[descriptor.as_fd()]).during(show)
    }
}
