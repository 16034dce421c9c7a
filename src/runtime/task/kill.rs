//! Signals to a container, from a polite request to the end of everything in it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{Context, Error, Kind, Result};
use crate::model;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::process::has_ended;
use crate::runtime::settings::Settings;
use crate::runtime::state::{Act, Record, Status, check, state};
use crate::runtime::wait::{until_ended, until_unsupervised};
use crate::runtime::{Bundle, Signal, changes, restart};
use crate::sys::pidfd;

/// How long processes may take to stand still: only one that waits for a broken disk takes any time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a signal to the container's first process. `conflict` if it is not alive.
///
/// A kill also reaches a paused container, which is let go for it. After a kill or the container's stop signal no restart policy
/// starts it again.
pub fn kill(bundle: &Bundle, signal: Signal) -> Result<()> {
    let state = check(bundle, Act::Kill)?;
    if signal == Signal::KILL || signal == Settings::read(bundle)?.stop_signal {
        restart::forbid(bundle)?;
        if state.status == Status::Restarting {
            return end_pause(&model::Context::new().with_timeout(PATIENCE), bundle);
        }
    }
    let Some(init) = init(bundle)? else {
        return Err(ended(bundle));
    };
    send(bundle, &init, signal)?;
    if signal == Signal::KILL {
        thaw(bundle)?;
    }
    Ok(())
}

/// Asks the container to end, and kills it if it has not after the timeout; returns when it is gone. A container that is not
/// alive is stopped already.
pub fn stop(ctx: &model::Context, bundle: &Bundle, signal: Signal, timeout: Duration) -> Result<()> {
    check(bundle, Act::Stop)?;
    restart::forbid(bundle)?;
    // What it is doing from here on; no further run begins.
    let status = state(bundle)?.status;
    if status == Status::Restarting {
        return end_pause(ctx, bundle);
    }
    let Some(init) = init(bundle)?.filter(|_| status.is_alive()) else {
        return until_unsupervised(ctx, bundle);
    };
    send(bundle, &init, signal)?;
    thaw(bundle)?;
    let limit = ctx.with_timeout(timeout);
    match until_ended(&limit, &init) {
        Err(error) if error.kind() == Kind::Timeout && ctx.check().is_ok() => {
            send(bundle, &init, Signal::KILL)?;
            thaw(bundle)?;
            until_ended(ctx, &init)?;
        }
        result => result?,
    }
    until_unsupervised(ctx, bundle)
}

/// Has the supervisor of a container that is paused before its next run end.
pub(in crate::runtime) fn end_pause(ctx: &model::Context, bundle: &Bundle) -> Result<()> {
    if let Some(record) = Record::read(bundle)? {
        restart::wake(record.supervisor);
    }
    until_unsupervised(ctx, bundle)
}

/// Stops all processes of the container in their tracks; `timeout` if they do not stand still after ten seconds.
pub fn pause(bundle: &Bundle) -> Result<()> {
    check(bundle, Act::Pause)?;
    Cgroup::open(bundle.id.as_str())?.freeze(&model::Context::new().with_timeout(PATIENCE))?;
    changes::tell(bundle)
}

/// Lets the processes of a paused container go on.
pub fn unpause(bundle: &Bundle) -> Result<()> {
    check(bundle, Act::Unpause)?;
    thaw(bundle)?;
    changes::tell(bundle)
}

/// The first process, if it is alive.
pub(in crate::runtime) fn init(bundle: &Bundle) -> Result<Option<OwnedFd>> {
    Ok(Record::read(bundle)?.and_then(|record| record.init.open()))
}

/// The first process once it has become the container's program, if it is alive: until then it may still see the host's files.
pub(in crate::runtime) fn program(bundle: &Bundle) -> Result<Option<OwnedFd>> {
    let mut record = Record::read(bundle)?;
    let Some(init) = record.as_ref().and_then(|record| record.init.open()) else {
        return Ok(None);
    };
    let ctx = model::Context::new().with_timeout(PATIENCE);
    while !record.as_ref().is_some_and(Record::is_inside) {
        if has_ended(&init) {
            return Ok(None);
        }
        ctx.sleep(Duration::from_millis(1))
            .during(|| format!("wait for the program of container `{}`", bundle.id.short()))?;
        record = Record::read(bundle)?;
    }
    Ok(Some(init))
}

fn send(bundle: &Bundle, init: &OwnedFd, signal: Signal) -> Result<()> {
    let attributes = Settings::read(bundle)?.attributes;
    bundle.tell("kill", &attributes, &[("signal", signal.number().to_string())]);
    match pidfd::send_signal(init, signal.number()) {
        // It ended by itself just now, which is what was asked for.
        Err(Errno::ESRCH) => Ok(()),
        result => result.during(|| format!("send {signal} to container `{}`", bundle.id.short())),
    }
}

/// A frozen process takes no signal, not even SIGKILL, until it is let go.
fn thaw(bundle: &Bundle) -> Result<()> {
    let cgroup = Cgroup::open(bundle.id.as_str())?;
    let result = cgroup
        .is_frozen()
        .and_then(|frozen| if frozen { cgroup.thaw() } else { Ok(()) });
    match result {
        // It ended at the same time, and its control groups with it.
        Err(_) if init(bundle)?.is_none() => Ok(()),
        result => result,
    }
}

pub(in crate::runtime) fn ended(bundle: &Bundle) -> Error {
    Error::conflict(format!("container `{}` has just ended", bundle.id.short())).target(bundle.id.as_str())
}
