//! The cpuset controller: which processors.

use std::path::{Path, PathBuf};

use cgroups_rs::fs::cpuset::CpuSetController;

use super::controller::{Controller, invalid, read, set, write};
use super::hierarchy::Version;
use crate::error::{Kind, Result};
use crate::runtime::limits::Limits;

pub(super) struct Cpuset;

impl Controller for Cpuset {
    fn name(&self, _: Version) -> &'static str {
        "cpuset"
    }

    fn asked(&self, limits: &Limits) -> Option<&'static str> {
        limits.cpuset_cpus.as_ref().map(|_| "cpuset_cpus")
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        match limits
            .cpuset_cpus
            .as_ref()
            .filter(|list| !list.split(',').all(is_range))
        {
            Some(list) => Err(invalid(
                "cpuset_cpus",
                format!("`{}` is not a list of processors", list.escape_debug()),
            )
            .hint("write it like `0-2,4`")),
            None => Ok(()),
        }
    }

    fn write(&self, limits: &Limits, group: &Path, version: Version) -> Result<()> {
        let Some(list) = &limits.cpuset_cpus else { return Ok(()) };
        let files = CpuSetController::new(group.to_owned(), PathBuf::new(), version == Version::V2);
        // Processors this machine lacks are EINVAL or EACCES, by version.
        set(files.set_cpus(list), "cpuset_cpus", list).map_err(|error| {
            error
                .with_kind(Kind::Invalid)
                .hint("name only processors this machine has")
        })
    }
}

/// `3` or `0-3`.
fn is_range(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse::<u32>().ok())
            .flatten()
    };
    matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
}

/// A new v1 group has no processors and no memory nodes, and takes no process until it has: it gets its parent's.
pub(super) fn inherit(group: &Path, parent: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if read(group, file)?.trim().is_empty() {
            write(group, file, read(parent, file)?.trim())?;
        }
    }
    Ok(())
}

/// The same for a group just made; false if its parent has nothing to give yet.
pub(super) fn inherit_at_birth(group: &Path, parent: &Path) -> Result<bool> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = read(parent, file)?;
        if own.trim().is_empty() {
            return Ok(false);
        }
        write(group, file, own.trim())?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_checked_before_the_kernel_sees_them() {
        let check = |list: &str| {
            Cpuset.check(&Limits {
                cpuset_cpus: Some(list.to_owned()),
                ..Limits::default()
            })
        };
        for good in ["0", "0-3", "0-1,3", "7,2"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "3-1", "0,", "0-", "-1", "0 1", "+1", "0\n1", "0-1-2"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
