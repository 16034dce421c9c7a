//! What can be changed of a container that exists: its limits.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::runtime::cgroup::{self, Cgroup};
use crate::runtime::limits::Limits;
use crate::runtime::settings::Settings;
use crate::runtime::{Bundle, RestartPolicy, state};

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

/// Replaces the restart policy; it counts from the next end of the container on.
pub fn set_restart(bundle: &Bundle, policy: RestartPolicy) -> Result<()> {
    let settings = Settings::read(bundle)?;
    Settings {
        restart: policy,
        ..settings
    }
    .write(bundle)
}

/// Has what events tell of a container be this from now on.
pub fn set_attributes(bundle: &Bundle, attributes: BTreeMap<String, String>) -> Result<()> {
    let settings = Settings::read(bundle)?;
    Settings { attributes, ..settings }.write(bundle)
}

/// What its processes use; of one that does not run nothing is known.
pub fn stats(bundle: &Bundle) -> Result<cgroup::Stats> {
    Ok(Cgroup::open(bundle.id.as_str())?.stats())
}
