//! A process of a container: which namespaces it is in, who it is, what it may do, how it becomes its program, and its end.

pub mod apparmor;
pub mod capabilities;
pub(super) mod enter;
pub(super) mod exec;
pub(super) mod id_maps;
pub(super) mod init;
pub(super) mod kill;
pub(super) mod namespaces;
pub(super) mod process;
pub(super) mod processes;
pub(super) mod program;
pub(super) mod reaper;
pub(super) mod rlimits;
pub(super) mod signal;
pub(super) mod sysctls;
pub(super) mod treatment;
pub(super) mod user;
