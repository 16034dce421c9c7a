//! The cpu controller: how much processor time at most, and which share when it is short.

use std::path::{Path, PathBuf};

use cgroups_rs::fs::cpu::CpuController;

use super::controller::{Controller, invalid, require, set, write};
use super::hierarchy::Version;
use crate::error::Result;
use crate::runtime::limits::Limits;

/// The length of an accounting period in microseconds, the kernel's default.
const PERIOD: u32 = 100_000;

pub(super) struct Cpu;

impl Controller for Cpu {
    fn name(&self, _: Version) -> &'static str {
        "cpu"
    }

    fn asked(&self, limits: &Limits) -> Option<&'static str> {
        limits.cpus.map(|_| "cpus").or(limits.cpu_shares.map(|_| "cpu_shares"))
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        // The kernel's smallest quota is a millisecond per period.
        if let Some(cpus) = limits.cpus.filter(|cpus| !(0.01..=100_000.0).contains(cpus)) {
            return Err(invalid("cpus", format!("{cpus} is not between 0.01 and 100000")));
        }
        match limits.cpu_shares.filter(|shares| !(2..=262_144).contains(shares)) {
            Some(shares) => Err(invalid("cpu_shares", format!("{shares} is not between 2 and 262144"))),
            None => Ok(()),
        }
    }

    fn write(&self, limits: &Limits, group: &Path, version: Version) -> Result<()> {
        let files = CpuController::new(group.to_owned(), PathBuf::new(), version == Version::V2);
        if let Some(cpus) = limits.cpus {
            let quota = (cpus * f64::from(PERIOD)).round() as i64;
            match version {
                Version::V1 => {
                    require(group, "cpu.cfs_quota_us", "cpus")?;
                    set(files.set_cfs_period(PERIOD.into()), "cpus", cpus)?;
                    set(files.set_cfs_quota(quota), "cpus", cpus)?;
                }
                Version::V2 => write(group, "cpu.max", &format!("{quota} {PERIOD}"))?,
            }
        }
        if let Some(shares) = limits.cpu_shares {
            let value = if version == Version::V2 { weight(shares) } else { shares };
            set(files.set_shares(value), "cpu_shares", shares)?;
        }
        Ok(())
    }
}

/// Shares (2 to 262144) as a v2 weight (1 to 10000), so that the usual 1024 becomes the usual 100:
/// a curve through (2, 1), (1024, 100) and (262144, 10000), as other runtimes have it since 2025.
pub(super) fn weight(shares: u64) -> u64 {
    let log = (shares as f64).log2();
    let exact = 10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0);
    // Less a millionth, so that the exact points do not become the next whole number.
    ((exact - 1e-6).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_shares_are_the_usual_weight() {
        for (shares, expected) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert!(
            (3..262_144)
                .step_by(997)
                .all(|shares| weight(shares) <= weight(shares + 1))
        );
    }
}
