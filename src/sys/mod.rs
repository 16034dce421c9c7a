//! The kernel seam and the only unsafe code: system calls that neither `std` nor `nix` wraps safely.
//!
//! It knows numbers, descriptors and errors of the kernel, and nothing of containers.

pub mod bpf;
pub mod capability;
pub mod clone;
pub mod file;
#[cfg(any(target_env = "musl", test))]
mod heap;
pub mod memory;
pub mod mount;
pub mod network;
pub mod pidfd;
pub mod process;
pub mod pty;
pub mod scheduling;
pub mod seccomp;
pub mod socket;
pub mod sqlite;
