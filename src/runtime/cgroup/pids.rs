//! The pids controller: how many processes and threads.

use std::path::{Path, PathBuf};

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::pid::PidController;

use super::controller::{Controller, invalid, set};
use super::hierarchy::Version;
use crate::error::Result;
use crate::runtime::limits::Limits;

pub(super) struct Pids;

impl Controller for Pids {
    fn name(&self, _: Version) -> &'static str {
        "pids"
    }

    fn asked(&self, limits: &Limits) -> Option<&'static str> {
        limits.pids.map(|_| "pids_limit")
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        match limits.pids.filter(|count| *count == 0 || *count < -1) {
            Some(count) => Err(invalid(
                "pids_limit",
                format!("{count} is neither a count nor -1 for no limit"),
            )),
            None => Ok(()),
        }
    }

    fn write(&self, limits: &Limits, group: &Path, version: Version) -> Result<()> {
        let Some(count) = limits.pids else { return Ok(()) };
        let value = if count == -1 {
            MaxValue::Max
        } else {
            MaxValue::Value(count)
        };
        let files = PidController::new(group.to_owned(), PathBuf::new(), version == Version::V2);
        set(files.set_pid_max(value), "pids_limit", count)
    }
}
