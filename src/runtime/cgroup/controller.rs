//! What one controller is to the rest: which limits it serves, and how they reach its files.

use std::fmt::Display;
use std::path::Path;

use super::hierarchy::Version;
use super::{blkio, cpu, cpuset, memory, pids};
use crate::error::{Context, Error, Result};
use crate::runtime::limits::Limits;
use crate::sys::file;

/// One controller of the kernel.
pub(super) trait Controller: Sync {
    /// Its name in a hierarchy of this version.
    fn name(&self, version: Version) -> &'static str;
    /// The option that asks for one of its limits, if any does.
    fn asked(&self, limits: &Limits) -> Option<&'static str>;
    /// Whether the limits make sense, on any machine.
    fn check(&self, limits: &Limits) -> Result<()>;
    /// Writes the limits to the files of a group that has no process yet.
    fn write(&self, limits: &Limits, group: &Path, version: Version) -> Result<()>;
}

/// All that limits are written to.
pub(super) const CONTROLLERS: [&dyn Controller; 5] =
    [&memory::Memory, &cpu::Cpu, &cpuset::Cpuset, &pids::Pids, &blkio::Blkio];

/// Writes one file of a group. It must exist: the kernel makes them, and one that is missing is a feature missing.
pub(super) fn write(group: &Path, name: &str, value: &str) -> Result<()> {
    let path = group.join(name);
    file::write_small(&path, value.as_bytes()).during(|| format!("write `{value}` to `{}`", path.display()))
}

/// Reads one file of a group.
pub(super) fn read(group: &Path, name: &str) -> Result<String> {
    let path = group.join(name);
    file::read_small_text(&path).during(|| format!("read `{}`", path.display()))
}

/// The value of a row `name value`, as in `memory.events`.
pub(super) fn row(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `unsupported`, if the group lacks the file a limit needs.
pub(super) fn require(group: &Path, file: &str, option: &str) -> Result<()> {
    if group.join(file).exists() {
        return Ok(());
    }
    Err(Error::unsupported(format!("failed to set `{option}`: this kernel has no `{file}`")).target(option))
}

/// An option with a value out of its range.
pub(super) fn invalid(option: &str, why: impl Display) -> Error {
    Error::invalid(format!("`{option}`: {why}")).target(option)
}

/// The error of the crate that writes the files, in our words.
pub(super) fn set(result: cgroups_rs::fs::error::Result<()>, option: &str, value: impl Display) -> Result<()> {
    result.map_err(|cause| {
        let io = std::error::Error::source(&cause).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let code = io.and_then(std::io::Error::raw_os_error);
        let what = format!("set `{option}` to `{value}`");
        match code.map(|code| Err::<(), _>(std::io::Error::from_raw_os_error(code)).during(|| &what)) {
            // A limit under running processes, which cannot do with less.
            Some(Err(error)) if code == Some(nix::errno::Errno::EBUSY as i32) => error
                .with_kind(crate::error::Kind::InUse)
                .target(option)
                .hint("the processes use more than that: set it higher, or end some"),
            Some(Err(error)) => error.target(option),
            _ => Error::internal(cause.to_string()).during(what).target(option),
        }
    })
}
