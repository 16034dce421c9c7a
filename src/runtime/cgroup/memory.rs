//! The memory controller: the limit, swap, the soft limit, and what it counts.

use std::path::{Path, PathBuf};

use cgroups_rs::fs::memory::MemController;

use super::controller::{Controller, invalid, read, require, row, set};
use super::hierarchy::Version;
use crate::error::Result;
use crate::runtime::limits::Limits;

/// With less the kernel kills the first process before its program runs.
const MINIMUM: u64 = 512 * 1024;

pub(super) struct Memory;

impl Controller for Memory {
    fn name(&self, _: Version) -> &'static str {
        "memory"
    }

    fn asked(&self, limits: &Limits) -> Option<&'static str> {
        let swap = limits.memory_swap.map(|_| "memory_swap");
        let reservation = limits.memory_reservation.map(|_| "memory_reservation");
        limits.memory.map(|_| "memory").or(swap).or(reservation)
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        check_size("memory", limits.memory)?;
        check_size("memory_reservation", limits.memory_reservation)?;
        match (limits.memory_reservation, limits.memory) {
            (Some(reservation), Some(memory)) if reservation > memory => {
                return Err(invalid(
                    "memory_reservation",
                    format!("{reservation} bytes is above `memory` ({memory})"),
                ));
            }
            _ => {}
        }
        match (limits.memory_swap, limits.memory) {
            (None | Some(-1), _) => Ok(()),
            (Some(_), None) => Err(invalid("memory_swap", "it needs `memory` too")),
            (Some(swap), Some(memory)) if u64::try_from(swap).is_ok_and(|swap| swap >= memory) => Ok(()),
            (Some(swap), Some(memory)) => Err(invalid(
                "memory_swap",
                format!("{swap} bytes is below `memory` ({memory}), which it includes"),
            )),
        }
    }

    fn write(&self, limits: &Limits, group: &Path, version: Version) -> Result<()> {
        let files = MemController::new(group.to_owned(), PathBuf::new(), version == Version::V2);
        if let Some(bytes) = limits.memory_reservation {
            set(files.set_soft_limit(bytes as i64), "memory_reservation", bytes)?;
        }
        // v1 refuses a sum below the limit of memory: what grows past the sum there is waits for the new sum.
        let sum = read(group, swap_file(version))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        let grows = version == Version::V1 && sum.is_some_and(|sum| limits.memory.is_some_and(|memory| memory > sum));
        if grows {
            write_swap(&files, limits, group, version)?;
        }
        if let Some(bytes) = limits.memory {
            set(files.set_limit(bytes as i64), "memory", bytes)?;
        }
        match grows {
            true => Ok(()),
            false => write_swap(&files, limits, group, version),
        }
    }
}

fn check_size(option: &str, bytes: Option<u64>) -> Result<()> {
    match bytes {
        Some(bytes) if bytes < MINIMUM => Err(invalid(
            option,
            format!("{bytes} bytes is below the minimum of {MINIMUM} (512 KiB)"),
        )),
        Some(bytes) if i64::try_from(bytes).is_err() => Err(invalid(option, format!("{bytes} bytes is too much"))),
        _ => Ok(()),
    }
}

/// The file that limits swap; it is missing where the kernel does not count swap.
pub(super) fn swap_file(version: Version) -> &'static str {
    match version {
        Version::V1 => "memory.memsw.limit_in_bytes",
        Version::V2 => "memory.swap.max",
    }
}

/// Swap is as much again as memory unless asked otherwise, as in Docker; where swap is not counted, only asking fails.
fn write_swap(files: &MemController, limits: &Limits, group: &Path, version: Version) -> Result<()> {
    let memory = limits.memory.unwrap_or(0) as i64;
    let total = match (limits.memory_swap, limits.memory) {
        (Some(total), _) => {
            require(group, swap_file(version), "memory_swap")?;
            total
        }
        (None, Some(_)) if group.join(swap_file(version)).exists() => memory.saturating_mul(2),
        _ => return Ok(()),
    };
    // v1 limits the sum, v2 swap alone.
    let value = if total == -1 || version == Version::V1 {
        total
    } else {
        total - memory
    };
    set(files.set_memswap_limit(value), "memory_swap", total)
}

/// How many processes of this group the kernel killed for want of memory.
pub(super) fn oom_kills(group: &Path, version: Version) -> Option<u64> {
    let file = match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    row(&read(group, file).ok()?, "oom_kill")
}

/// The most memory used at one time, in bytes.
pub(super) fn peak(group: &Path, version: Version) -> Option<u64> {
    let file = match version {
        Version::V1 => "memory.max_usage_in_bytes",
        Version::V2 => "memory.peak",
    };
    read(group, file).ok()?.trim().parse().ok()
}
