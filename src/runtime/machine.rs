//! Facts of the machine that containers run on.

use std::fs;
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
    statfs,
};
use serde::Serialize;

use crate::error::{Context, Result};

/// `linux/magic.h`; `nix` has it for other C libraries than musl only.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The file system the store is on; `unknown` if it is none of the usual ones.
    pub backing_filesystem: &'static str,
    /// The kernel's version.
    pub kernel: String,
    /// The operating system's own name.
    pub os: String,
    /// Always `linux`.
    pub os_type: &'static str,
    /// The processor, as the kernel names it.
    pub architecture: String,
    /// Processors this process may run on.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The machine's name.
    pub hostname: String,
}

/// Looks at the machine; `root` is where the store is.
pub fn machine(root: &Path) -> Result<Machine> {
    let kernel = nix::sys::utsname::uname().during(|| "read the kernel's version")?;
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    Ok(Machine {
        backing_filesystem: filesystem(root),
        kernel: text(kernel.release()),
        os: os_name(),
        os_type: "linux",
        architecture: text(kernel.machine()),
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory: memory(),
        hostname: text(kernel.nodename()),
    })
}

/// The name of the file system a directory is on, or will be.
fn filesystem(root: &Path) -> &'static str {
    let known = [
        (EXT4_SUPER_MAGIC, "ext4"),
        (XFS_SUPER_MAGIC, "xfs"),
        (BTRFS_SUPER_MAGIC, "btrfs"),
        (TMPFS_MAGIC, "tmpfs"),
        (OVERLAYFS_SUPER_MAGIC, "overlay"),
        (NFS_SUPER_MAGIC, "nfs"),
        (F2FS_SUPER_MAGIC, "f2fs"),
    ];
    // Before anything is stored there may be nothing.
    let there = root.ancestors().find_map(|path| statfs(path).ok());
    let found = there.and_then(|there| known.into_iter().find(|(magic, _)| *magic == there.filesystem_type()));
    found.map_or("unknown", |(_, name)| name)
}

/// os-release(5).
fn os_name() -> String {
    let text = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches(['"', '\'']).to_owned())
}

/// proc_meminfo(5), which counts in kibibytes.
fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}
