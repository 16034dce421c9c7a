//! Waiting for the end of a container that somebody else supervises.

use std::os::fd::{AsFd, OwnedFd};

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::changes::Changes;
use super::state::{Record, State, Status, state};
use super::{Bundle, Exit, adopt};
use crate::error::{Context, Error, Result};
use crate::model;

/// Waits until a container has ended, and returns how. One that was never started is `conflict`.
///
/// Of one that its restart policy starts again it is the run that is going on, or the next one.
///
/// Several may wait at once; each gets the same answer.
pub fn wait(ctx: &model::Context, bundle: &Bundle) -> Result<Exit> {
    let mut run = None;
    let changes = Changes::of(bundle);
    loop {
        ctx.check()?;
        let state = state(bundle)?;
        if let Some(exit) = ended_since(&state, run) {
            return Ok(exit);
        }
        if adopt::ensure(ctx, bundle, state.status)? {
            continue;
        }
        if let Some(exit) = state.exit.filter(|_| state.status != Status::Restarting) {
            // The end is written down a little before the supervisor is done with the container's mounts and control groups.
            until_unsupervised(ctx, bundle)?;
            return Ok(exit);
        }
        if state.status.is_alive() {
            run = state.started;
        } else if state.status != Status::Restarting {
            let (id, status) = (bundle.id.short(), state.status);
            let error = Error::conflict(format!("cannot wait for container `{id}`: it is {status}"));
            return Err(if status == Status::Created {
                error.hint("start it first")
            } else {
                error
            });
        }
        match Record::read(bundle)?.and_then(|record| record.supervisor.open().or_else(|| record.init.open())) {
            Some(process) => changes.wait(ctx, Some(&process))?,
            None => continue,
        }
    }
}

/// How the run that is waited for ended, if a restart policy has followed it up.
fn ended_since(state: &State, run: Option<Timestamp>) -> Option<Exit> {
    match state.status {
        Status::Restarting if run.is_some() => state.exit.clone(),
        Status::Running | Status::Paused if run.is_some_and(|run| state.started != Some(run)) => state.previous.clone(),
        _ => None,
    }
}

/// Waits until no supervisor is left.
pub(super) fn until_unsupervised(ctx: &model::Context, bundle: &Bundle) -> Result<()> {
    match Record::read(bundle)?.and_then(|record| record.supervisor.open()) {
        Some(supervisor) => until_ended(ctx, &supervisor),
        None => Ok(()),
    }
}

/// Waits until a process has ended, or the context.
pub(super) fn until_ended(ctx: &model::Context, process: &OwnedFd) -> Result<()> {
    loop {
        ctx.check()?;
        let mut fds = [
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
            PollFd::new(ctx.wake_fd()?, PollFlags::POLLIN),
        ];
        let limit = PollTimeout::try_from(ctx.poll_timeout()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, limit) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for a process"),
        }
        if fds[0].revents().is_some_and(|events| !events.is_empty()) {
            return Ok(());
        }
    }
}
