//! From a resolved request and a root filesystem to a process.

pub mod capabilities;
pub mod cgroup;
pub mod limits;
pub mod seccomp;
