//! The kernel seam and the only unsafe code.

pub mod capability;
pub mod seccomp;
