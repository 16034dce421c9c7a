//! Removing a container with everything of it, however its last run ended.

use std::fs::File;
use std::io::ErrorKind;
use std::time::Duration;

use crate::error::{Context, Result};
use crate::model;
use crate::runtime::bundle::{self, Bundle};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::state::Record;
use crate::runtime::wait::until_ended;
use crate::runtime::{Remains, Signal, launch, overlay, restart};
use crate::sys::file::{self, Lock};
use crate::sys::pidfd;

/// How long the end of a killed process may take: it is over at once but for a disk or a network mount that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Removes a container: ends what is left of it, then its control groups, its process state, and last its files.
///
/// Can be called again after a failure or a crash at any point, and does nothing for a container that does not exist. Of several
/// processes that remove the same one, the first does it while the others wait.
pub fn delete(bundle: &Bundle) -> Result<()> {
    delete_by(bundle, |dir| file::lock(dir, false).map(Some), None).map(drop)
}

/// The same right after a run that this process has seen to its end; with it goes what remains of that.
pub fn delete_after(bundle: &Bundle, remains: Remains) -> Result<()> {
    delete_by(bundle, |dir| file::lock(dir, false).map(Some), Some(remains)).map(drop)
}

/// The same, unless another process is at it: then nothing happens, and it is false.
pub fn try_delete(bundle: &Bundle) -> Result<bool> {
    delete_by(bundle, file::try_lock, None)
}

fn delete_by(
    bundle: &Bundle,
    lock: impl FnOnce(File) -> nix::Result<Option<Lock>>,
    remains: Option<Remains>,
) -> Result<bool> {
    launch::reap();
    let what = || format!("lock `{}`", bundle.dir.display());
    let _lock = match File::open(&bundle.dir) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => None,
        dir => match lock(dir.during(what)?).during(what)? {
            None => return Ok(false),
            lock => lock,
        },
    };
    // Whoever had the lock may have removed all there was.
    if bundle.dir.exists() {
        bundle::write(&bundle.removing(), b"", false)?;
    }
    let are_tidied = remains.is_some_and(|remains| {
        // What was written takes its room until the mounts are gone.
        let wrote =
            std::fs::remove_dir(bundle.upper()).is_err_and(|cause| cause.kind() == ErrorKind::DirectoryNotEmpty);
        // The supervisor is at it, and this takes as long.
        let _ = remove_trees(bundle);
        let are_tidied = remains.are_tidied();
        if wrote {
            remains.wait();
        }
        are_tidied
    });
    if !are_tidied {
        end_processes(bundle)?;
    }
    launch::reap();
    bundle::remove_tree(&bundle.run_dir)?;
    remove_trees(bundle)?;
    bundle::remove_tree(&bundle.dir)?;
    Ok(true)
}

fn remove_trees(bundle: &Bundle) -> Result<()> {
    bundle::remove_tree(&bundle.upper())?;
    overlay::clear_work(&bundle.work());
    bundle::remove_tree(&bundle.work())
}

/// Ends all that runs, and takes the control groups away.
fn end_processes(bundle: &Bundle) -> Result<()> {
    let ctx = model::Context::new().with_timeout(PATIENCE);
    if let Some(record) = Record::read(bundle)? {
        end_recorded(&ctx, bundle, &record)?;
    }
    Cgroup::open(bundle.id.as_str()).and_then(|cgroup| cgroup.kill_all().and_then(|()| cgroup.remove()))
}

/// The supervisor goes last: it has the container's mounts and sees to its control groups.
fn end_recorded(ctx: &model::Context, bundle: &Bundle, record: &Record) -> Result<()> {
    // Marked as it is, the container gets no further run; one that began before the mark is the record's.
    if record.pause(bundle)?.is_some() {
        restart::wake(record.supervisor);
    }
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
