//! The blkio controller of v1, called io in v2: the share of disk time.

use std::path::Path;

use super::controller::{Controller, invalid, require, write};
use super::hierarchy::Version;
use crate::error::Result;
use crate::runtime::limits::Limits;

pub(super) struct Blkio;

impl Controller for Blkio {
    fn name(&self, version: Version) -> &'static str {
        match version {
            Version::V1 => "blkio",
            Version::V2 => "io",
        }
    }

    fn asked(&self, limits: &Limits) -> Option<&'static str> {
        limits.blkio_weight.map(|_| "blkio_weight")
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        match limits.blkio_weight.filter(|weight| !(10..=1000).contains(weight)) {
            Some(weight) => Err(invalid("blkio_weight", format!("{weight} is not between 10 and 1000"))),
            None => Ok(()),
        }
    }

    fn write(&self, limits: &Limits, group: &Path, version: Version) -> Result<()> {
        let Some(weight) = limits.blkio_weight else {
            return Ok(());
        };
        let (bfq, general) = match version {
            Version::V1 => ("blkio.bfq.weight", "blkio.weight"),
            Version::V2 => ("io.bfq.weight", "io.weight"),
        };
        // Which file there is depends on the disk scheduler; both mean the same.
        if group.join(bfq).exists() {
            return write(group, bfq, &weight.to_string());
        }
        require(group, general, "blkio_weight")?;
        match version {
            Version::V1 => write(group, general, &weight.to_string()),
            // 10 to 1000 spread over 1 to 10000, as other runtimes do.
            Version::V2 => write(
                group,
                general,
                &format!("default {}", 1 + (u32::from(weight) - 10) * 9999 / 990),
            ),
        }
    }
}
