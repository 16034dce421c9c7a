//! The end of a container: signals, and the removal of all there is of it.

use std::time::Duration;

use nix::errno::Errno;
use oci_spec::runtime::Hooks;

use super::config::Config;
use super::container::{Place, Record, State, Status};
use super::{hooks, start};
use crate::error::{Context, Error, Kind, Result};
use crate::model;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::{Signal, wait};
use crate::sys::pidfd;

/// How long the end of a killed process may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a signal to the first process of a container, or to `all`. `conflict` if it has ended, unless `all` are meant and some are
/// left.
pub fn kill(place: &Place, signal: Signal, all: bool) -> Result<()> {
    let record = place.record()?;
    let show = || format!("send {signal} to container `{}`", place.id);
    if all {
        return kill_all(place, &record, signal).during(show);
    }
    let status = record.status(place)?;
    let Some(init) = record.init() else {
        return Err(not_running(place));
    };
    match pidfd::send_signal(&init, signal.number()) {
        Err(Errno::ESRCH) => return Err(not_running(place)),
        sent => sent.during(show)?,
    }
    match status {
        // A frozen process does not die.
        Status::Paused if signal == Signal::KILL => record.cgroup()?.thaw(),
        _ => Ok(()),
    }
}

fn kill_all(place: &Place, record: &Record, signal: Signal) -> Result<()> {
    let cgroup = record.cgroup()?;
    if record.owns_pids && record.init().is_none() {
        return Err(not_running(place));
    }
    if signal == Signal::KILL {
        return cgroup.kill_all();
    }
    for pid in cgroup.pids()? {
        match pidfd::open(pid).and_then(|process| pidfd::send_signal(process, signal.number())) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).during(|| format!("signal process {pid}")),
        }
    }
    Ok(())
}

fn not_running(place: &Place) -> Error {
    Error::conflict(format!("container `{}` is not running", place.id)).target(&place.id)
}

/// Removes a container that has ended, and by `force` any: it is killed first. `conflict` for one that has not, `not_found` for one
/// that does not exist unless `force` is used. Returns what its last hooks complained of.
pub fn delete(place: &Place, force: bool) -> Result<()> {
    if force && !place.exists() {
        return Ok(());
    }
    let _lock = place.lock()?;
    let record = match place.record() {
        // Whoever made it was killed before there was a process.
        Err(error) if error.kind() == Kind::NotFound && force => return remove_unmade(place),
        record => record?,
    };
    if !force {
        start::require(place, record.status(place)?, &[Status::Stopped], "delete")?;
    }
    let cgroup = record.cgroup()?;
    if let Some(init) = record.init() {
        let _ = pidfd::send_signal(&init, Signal::KILL.number());
        cgroup.thaw()?;
        let ctx = model::Context::new().with_timeout(PATIENCE);
        wait::until_ended(&ctx, &init).during(|| format!("end container `{}`", place.id))?;
    }
    if !record.owns_pids {
        cgroup.kill_all()?;
    }
    cgroup.remove()?;
    let spec = place.spec();
    place.remove()?;
    let spec = spec?;
    let state = State::of(place, record, Status::Stopped);
    for hook in Config::hooks(&spec, Hooks::poststop) {
        // Each is run, whatever became of the one before (runtime-spec, `runtime.md#lifecycle`).
        let _ = hooks::run("poststop", std::slice::from_ref(hook), &state, None);
    }
    Ok(())
}

fn remove_unmade(place: &Place) -> Result<()> {
    if let Ok(spec) = place.spec() {
        Cgroup::open_at(&Config::cgroup(&spec))?.remove()?;
    }
    place.remove()
}
