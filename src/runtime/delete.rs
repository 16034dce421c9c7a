//! Removing a container with everything of it, however its last run ended.

use std::time::Duration;

use super::bundle::{self, Bundle};
use super::cgroup::Cgroup;
use super::state::Record;
use super::wait::until_ended;
use super::{Signal, launch};
use crate::error::{Context, Result};
use crate::model;
use crate::sys::pidfd;

/// How long the end of a killed process may take: it is over at once but for a disk or a network mount that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Removes a container: ends what is left of it, then its control groups, its process state, and last its files.
///
/// Can be called again after a failure or a crash at any point, and does nothing for a container that does not exist.
pub fn delete(bundle: &Bundle) -> Result<()> {
    launch::reap();
    if bundle.dir.exists() {
        bundle::write(&bundle.removing(), b"", false)?;
    }
    let ctx = model::Context::new().with_timeout(PATIENCE);
    end_processes(&ctx, bundle)?;
    Cgroup::open(bundle.id.as_str()).and_then(|cgroup| cgroup.kill_all().and_then(|()| cgroup.remove()))?;
    launch::reap();
    bundle::remove_tree(&bundle.run_dir)?;
    for dir in [bundle.upper(), bundle.work()] {
        bundle::remove_tree(&dir)?;
    }
    bundle::remove_tree(&bundle.dir)
}

/// The supervisor goes last: it has the container's mount and sees to its control groups.
fn end_processes(ctx: &model::Context, bundle: &Bundle) -> Result<()> {
    let Some(record) = Record::read(bundle)? else {
        return Ok(());
    };
    if let Some(init) = record.init.open() {
        let _ = pidfd::send_signal(&init, Signal::KILL.number());
        let _ = Cgroup::open(bundle.id.as_str()).and_then(|cgroup| cgroup.thaw());
        until_ended(ctx, &init).during(|| "end the container's first process")?;
    }
    match record.supervisor.open() {
        Some(supervisor) => until_ended(ctx, &supervisor).during(|| "wait for the container's supervisor"),
        None => Ok(()),
    }
}
