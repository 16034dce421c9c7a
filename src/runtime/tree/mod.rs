//! The files a container sees: its root, what is mounted in it, and how they are reached from outside.

pub(super) mod cgroup_view;
pub(super) mod copy_up;
pub(super) mod devices;
pub mod files;
pub(super) mod mount_options;
pub(super) mod mount_points;
pub(super) mod mounts;
pub(super) mod rootfs;
pub(super) mod secrets;
pub(super) mod transfer;
