//! What can be changed of a container that exists: its limits.

use super::cgroup::{self, Cgroup};
use super::limits::Limits;
use super::settings::Settings;
use super::{Bundle, state};
use crate::error::Result;

/// Replaces the limits, in the groups of its processes if it has any, and for its next starts. On an error the old ones hold.
pub fn update(bundle: &Bundle, limits: &Limits) -> Result<()> {
    cgroup::check_limits(limits)?;
    let mut settings = Settings::read(bundle)?;
    let before = std::mem::replace(&mut settings.limits, limits.clone());
    if state(bundle)?.status.is_alive() {
        Cgroup::open(bundle.id.as_str())?.update(&before, limits)?;
    }
    settings.write(bundle)
}

/// What its processes use; of one that does not run nothing is known.
pub fn stats(bundle: &Bundle) -> Result<cgroup::Stats> {
    Ok(Cgroup::open(bundle.id.as_str())?.stats())
}
