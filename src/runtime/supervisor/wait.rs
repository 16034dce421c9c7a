//! Waiting for the end of a container that somebody else supervises.

use std::os::fd::{AsFd, OwnedFd};

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context, Error, Kind, Result};
use crate::model;
use crate::runtime::changes::Changes;
use crate::runtime::health::{HealthStatus, health};
use crate::runtime::state::{Record, State, Status, state};
use crate::runtime::{Bundle, Exit, adopt};

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

/// What can be waited for besides the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It is in this state.
    Status(Status),
    /// Its health check says this.
    Health(HealthStatus),
    /// It is gone.
    Removed,
}

impl Until {
    /// Reads a word: a state, `healthy`, `unhealthy` or `removed`; another one is `invalid`.
    pub fn parse(word: &str) -> Result<Until> {
        let others = [
            ("healthy", Until::Health(HealthStatus::Healthy)),
            ("unhealthy", Until::Health(HealthStatus::Unhealthy)),
            ("removed", Until::Removed),
        ];
        let known = others.into_iter().find(|(name, _)| *name == word);
        match (known, word.parse()) {
            (Some((_, until)), _) => Ok(until),
            (None, Ok(status)) => Ok(Until::Status(status)),
            (None, Err(_)) => {
                let states = [
                    "created",
                    "restarting",
                    "running",
                    "paused",
                    "exited",
                    "dead",
                    "removing",
                ];
                let all = [&states[..], &others.map(|(name, _)| name)].concat();
                Err(model::unknown("state", word, &all))
            }
        }
    }
}

/// Waits until something is so of a container. Errors: `conflict` once it cannot become healthy any more, or is unhealthy instead;
/// `not_found` once it is gone.
pub fn until(ctx: &model::Context, bundle: &Bundle, what: Until) -> Result<()> {
    let changes = Changes::of(bundle);
    loop {
        ctx.check()?;
        let state = match state(bundle) {
            Err(error) if error.kind() == Kind::NotFound && what == Until::Removed => return Ok(()),
            state => state?,
        };
        if adopt::ensure(ctx, bundle, state.status)? {
            continue;
        }
        if is_so(bundle, &state, what)? {
            return Ok(());
        }
        let supervisor = Record::read(bundle)?.and_then(|record| record.supervisor.open());
        changes.wait(ctx, supervisor.as_ref())?;
    }
}

fn is_so(bundle: &Bundle, state: &State, what: Until) -> Result<bool> {
    let wanted = match what {
        Until::Removed => return Ok(false),
        Until::Status(wanted) => return Ok(state.status == wanted),
        Until::Health(wanted) => wanted,
    };
    let health = match state.started.filter(|_| state.status.is_alive()) {
        Some(started) => health(bundle, started)?,
        // Another run may be healthy.
        None if matches!(state.status, Status::Created | Status::Restarting) => return Ok(false),
        None => return Err(never(bundle, wanted, &format!("it is {}", state.status))),
    };
    match (health.status, wanted) {
        (HealthStatus::Unhealthy, HealthStatus::Healthy) => {
            let last = health.log.last().map_or("", |result| result.output.trim());
            Err(never(bundle, wanted, &format!("it is unhealthy: {last}")))
        }
        (status, wanted) => Ok(status == wanted),
    }
}

fn never(bundle: &Bundle, wanted: HealthStatus, why: &str) -> Error {
    let (id, wanted, why) = (bundle.id.short(), wanted.name(), why.trim_end_matches(": "));
    Error::conflict(format!("container `{id}` is not {wanted}: {why}")).target(bundle.id.as_str())
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
pub(in crate::runtime) fn until_unsupervised(ctx: &model::Context, bundle: &Bundle) -> Result<()> {
    match Record::read(bundle)?.and_then(|record| record.supervisor.open()) {
        Some(supervisor) => until_ended(ctx, &supervisor),
        None => Ok(()),
    }
}

/// Waits until a process has ended, or the context.
pub(in crate::runtime) fn until_ended(ctx: &model::Context, process: &OwnedFd) -> Result<()> {
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
