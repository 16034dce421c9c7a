//! What is done to a container that exists: starting it, stopping it in its tracks, changing its limits, looking at it.

use std::time::Duration;

use oci_spec::runtime::{Hooks, LinuxResources};

use super::config::Config;
use super::container::{Place, State, Status};
use super::{delete, gate, hooks};
use crate::error::{Context, Error, Result};
use crate::model;
use crate::runtime::channel::{Channel, Message};
use crate::runtime::{ProcessFacts, Stats};

/// How long processes may take to stand still.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has the first process of a created container become its program. `conflict` in any other state.
pub fn start(place: &Place) -> Result<()> {
    let _lock = place.lock()?;
    let record = place.record()?;
    require(place, record.status(place)?, &[Status::Created], "start")?;
    let spec = place.spec()?;
    let first = gate::knock(place)?;
    crate::runtime::bundle::remove_file(&place.gate())?;
    first.let_go()?;
    await_program(&first)?;
    let hooks = Config::hooks(&spec, Hooks::poststart);
    hooks::run("poststart", hooks, &State::of(place, record, Status::Running), None).inspect_err(|_| {
        // Such a container is stopped (runtime-spec, `runtime.md#lifecycle`).
        let _ = delete::kill(place, crate::runtime::Signal::KILL, true);
    })
}

/// Waits until the first process has become the program, which closes its end.
pub(super) fn await_program(first: &Channel) -> Result<()> {
    match first.receive()? {
        None => Ok(()),
        Some(Message::Failed(failure)) => Err(failure.into_error()),
        Some(_) => Err(Error::internal(
            "the container's first process said something unexpected",
        )),
    }
}

/// `conflict` unless the container is in one of these states.
pub(super) fn require(place: &Place, status: Status, wanted: &[Status], verb: &str) -> Result<()> {
    match wanted.contains(&status) {
        true => Ok(()),
        false => {
            Err(Error::conflict(format!("cannot {verb} container `{}`: it is {status}", place.id)).target(&place.id))
        }
    }
}

/// Stops all processes of a container in their tracks.
pub fn pause(place: &Place) -> Result<()> {
    let _lock = place.lock()?;
    let record = place.record()?;
    require(
        place,
        record.status(place)?,
        &[Status::Created, Status::Running],
        "pause",
    )?;
    let ctx = model::Context::new().with_timeout(PATIENCE);
    record
        .cgroup()?
        .freeze(&ctx)
        .during(|| format!("pause container `{}`", place.id))
}

/// Lets the processes of a paused container go on.
pub fn resume(place: &Place) -> Result<()> {
    let _lock = place.lock()?;
    let record = place.record()?;
    require(place, record.status(place)?, &[Status::Paused], "resume")?;
    record
        .cgroup()?
        .thaw()
        .during(|| format!("resume container `{}`", place.id))
}

/// Changes the limits of a container; those that are not named stay. Errors: as for the resources of a configuration.
pub fn update(place: &Place, resources: &LinuxResources) -> Result<()> {
    let _lock = place.lock()?;
    let record = place.record()?;
    let alive = [Status::Created, Status::Running, Status::Paused];
    require(place, record.status(place)?, &alive, "update")?;
    record.cgroup()?.apply(resources)
}

/// The processes of a container, by number.
pub fn processes(place: &Place) -> Result<Vec<ProcessFacts>> {
    crate::runtime::processes::of(&place.record()?.cgroup()?)
}

/// What the processes of a container use. `conflict` if it has ended.
pub fn stats(place: &Place) -> Result<Stats> {
    let record = place.record()?;
    let alive = [Status::Created, Status::Running, Status::Paused];
    require(place, record.status(place)?, &alive, "look at what is used by")?;
    Ok(record.cgroup()?.stats())
}
