//! A container's group in a v1 hierarchy (cgroups(7), kernel Documentation/admin-guide/cgroup-v1).

use std::path::Path;
use std::time::Duration;

use super::controller::{read, write};
use crate::error::{Error, Result};
use crate::model::Context;

const STATE: &str = "freezer.state";
/// After this many looks a freeze that does not end is begun anew: a task that forks meanwhile can escape the first.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_micros(200);

/// Moves the calling thread, which must be its process's only one, into the group.
/// `0` to `tasks` is the one way that does not wait for every processor, which costs some 10 ms per hierarchy.
pub(super) fn join(group: &Path) -> Result<()> {
    write(group, "tasks", "0")
}

/// Stops all processes of the group where they are; on an error they go on.
pub(super) fn freeze(group: &Path, ctx: &Context) -> Result<()> {
    let frozen = try_freeze(group, ctx);
    if frozen.is_err() {
        // The first error says more than one of clearing up after it.
        let _ = thaw(group);
    }
    frozen
}

fn try_freeze(group: &Path, ctx: &Context) -> Result<()> {
    loop {
        write(group, STATE, "FROZEN")?;
        for _ in 0..LOOKS {
            if is_frozen(group)? {
                return Ok(());
            }
            ctx.sleep(LOOK)?;
        }
        thaw(group)?;
    }
}

/// Lets frozen processes go on.
pub(super) fn thaw(group: &Path) -> Result<()> {
    write(group, STATE, "THAWED")
}

pub(super) fn is_frozen(group: &Path) -> Result<bool> {
    match read(group, STATE)?.trim() {
        "FROZEN" => Ok(true),
        "FREEZING" | "THAWED" => Ok(false),
        other => Err(Error::corrupt(format!("`{}/{STATE}` says `{other}`", group.display()))),
    }
}
