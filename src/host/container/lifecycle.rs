//! Start, stop, kill, restart, pause, wait, rename.

use std::time::Duration;

use serde::Deserialize;

use super::{Container, KeptRow, Status, events, health};
use crate::error::{Error, Result};
use crate::model::{ContainerName, Context, TimeSpan};
use crate::runtime::{self, Act, Signal, Until};

/// The codes of programs that `SIGTERM` and `SIGKILL` end.
const STOPPED: i32 = 143;
const KILLED: i32 = 137;

/// Options of a container's `stop` and `restart`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopOptions {
    /// How long it may take to end before it is killed; its own setting (10 s) otherwise.
    pub timeout: Option<TimeSpan>,
    /// The signal that asks it to end; its own setting (`SIGTERM`) otherwise.
    pub signal: Option<String>,
}

impl Container {
    /// Its facts as they are now.
    pub(super) fn now(&self) -> Result<Container> {
        self.reload()
    }

    /// An error of kind `conflict` if its state forbids the act.
    pub(super) fn check(&self, act: Act) -> Result<()> {
        self.status()
            .may(act)
            .map_err(|error| self.refusal(act, error.way_out()))
    }

    /// The runtime knows the state and the way out; the name is known here.
    fn refusal(&self, act: Act, way_out: Option<&str>) -> Error {
        let status = self.status();
        let error = Error::conflict(format!("cannot {act} container `{self}`: it is {status}")).target(self.name());
        way_out.into_iter().fold(error, |error, hint| error.hint(hint))
    }

    /// Carries out an act its state allows, or under dry-run records it and assumes the state it leads to.
    fn act(&self, act: Act, action: &str, becomes: Status, carry_out: impl FnOnce() -> Result<()>) -> Result<()> {
        self.now()?.check(act)?;
        if self.host.plays(action, self.name(), "") {
            match act {
                Act::Stop => self.end_scene(STOPPED),
                Act::Kill if becomes == Status::Exited => self.end_scene(KILLED),
                _ => {}
            }
            self.host.simulate(self.id(), becomes);
            return Ok(());
        }
        carry_out()?;
        // What the runtime sees itself, it tells itself.
        match act {
            Act::Stop => self.tell("stop", &[]),
            Act::Pause => self.tell("pause", &[]),
            Act::Unpause => self.tell("unpause", &[]),
            _ => {}
        }
        Ok(())
    }

    /// Starts its command; does nothing while it runs.
    ///
    /// Errors: `conflict` in a state that forbids it; `not_found`, `denied` and others if the command cannot be executed.
    pub fn start(&self, ctx: &Context) -> Result<()> {
        // One that its restart policy is about to start counts as running, as in Docker.
        if matches!(self.now()?.status(), Status::Running | Status::Restarting) {
            return Ok(());
        }
        self.act(Act::Start, "container.start", Status::Running, || {
            self.launch(ctx)?;
            let when = jiff::Timestamp::now();
            self.host.store().write(|tx| tx.touch_image(self.image_id(), when))
        })
    }

    pub(super) fn launch(&self, ctx: &Context) -> Result<()> {
        self.check_owners()?;
        runtime::start(ctx, &self.bundle(), &self.secrets()?)
    }

    /// That the containers whose namespaces it shares run. Errors: `not_found`, `conflict`.
    pub(super) fn check_owners(&self) -> Result<()> {
        self.facts.recipe.owners().into_iter().try_for_each(|(option, id)| {
            let what = |owner: &str| format!("start `{self}`, which shares the {option} namespace of `{owner}`");
            let owner = match self.host.container(id.as_str()) {
                Err(error) => return Err(error.during(what(id.short()))),
                Ok(owner) => owner,
            };
            match owner.status() {
                status if status.is_alive() => Ok(()),
                status => Err(Error::conflict(format!("container `{owner}` is {status}"))
                    .during(what(owner.name()))
                    .target(owner.name())
                    .hint(format!("start `{owner}` first"))),
            }
        })
    }

    /// Sends the stop signal and, after the timeout, kills; does nothing once it has ended.
    pub fn stop(&self, ctx: &Context, options: &StopOptions) -> Result<()> {
        let signal = match &options.signal {
            Some(text) => text.parse()?,
            None => self.facts.recipe.stop_signal()?,
        };
        let own = self
            .facts
            .recipe
            .stop_timeout
            .map_or(Duration::from_secs(10), |span| span.0);
        let limit = options.timeout.map_or(own, |span| span.0);
        if !matches!(
            self.now()?.status(),
            Status::Running | Status::Paused | Status::Restarting
        ) {
            return Ok(());
        }
        self.act(Act::Stop, "container.stop", Status::Exited, || {
            runtime::stop(ctx, &self.bundle(), signal, limit)
        })
    }

    /// Sends a signal, `SIGKILL` by default. Errors: `conflict` unless it is running.
    pub fn kill(&self, signal: Option<&str>) -> Result<()> {
        let signal = signal.map_or(Ok(Signal::KILL), str::parse)?;
        let becomes = if signal == Signal::KILL {
            Status::Exited
        } else {
            self.status()
        };
        self.act(Act::Kill, "container.kill", becomes, || {
            runtime::kill(&self.bundle(), signal)
        })
    }

    /// Stops it if it runs, then starts it.
    pub fn restart(&self, ctx: &Context, options: &StopOptions) -> Result<()> {
        // Not to stop what cannot be started again.
        self.secrets()?;
        self.stop(ctx, options)?;
        self.start(ctx)?;
        self.tell("restart", &[]);
        Ok(())
    }

    /// Freezes all its processes. Errors: `conflict` unless it is running.
    pub fn pause(&self) -> Result<()> {
        self.act(Act::Pause, "container.pause", Status::Paused, || {
            runtime::pause(&self.bundle())
        })
    }

    /// Thaws its processes. Errors: `conflict` unless it is paused.
    pub fn unpause(&self) -> Result<()> {
        self.act(Act::Unpause, "container.unpause", Status::Running, || {
            runtime::unpause(&self.bundle())
        })
    }

    /// Waits until it has ended; returns the exit code of its last run.
    ///
    /// Errors: `conflict` if it was never started; `timeout` after `limit`; `cancelled`.
    pub fn wait(&self, ctx: &Context, limit: Option<Duration>) -> Result<i32> {
        let now = self.now()?;
        if now.status() == Status::Created {
            return Err(
                Error::conflict(format!("container `{self}` was never started, so it will not end"))
                    .target(self.name())
                    .hint("start it first"),
            );
        }
        if self.host.imagines() {
            if now.running() {
                self.end_scene(0);
                self.host.simulate(self.id(), Status::Exited);
            }
            return Ok(self.now()?.exit_code().unwrap_or(0));
        }
        let inner = limit.map_or_else(|| ctx.child(), |limit| ctx.with_timeout(limit));
        let exit = runtime::wait(&inner, &self.bundle()).map_err(|error| {
            match inner.owns_timeout(&error) && limit.is_some() {
                true => Error::timeout(format!("container `{self}` has not ended in time")).target(self.name()),
                false => error,
            }
        })?;
        Ok(exit.code)
    }

    /// Waits until it is in a state, `healthy`, `unhealthy` or `removed`.
    ///
    /// Errors: `invalid` for another word, and for health where it is not checked; `conflict` once it cannot become healthy any more;
    /// `timeout` after `limit`; `cancelled`.
    pub fn wait_until(&self, ctx: &Context, word: &str, limit: Option<Duration>) -> Result<()> {
        let until = Until::parse(word)?;
        if self.host.imagined().is_stage {
            return self.wait_for_scene(word);
        }
        if matches!(until, Until::Health(_)) && health::check(&self.facts.recipe.config).is_none() {
            return Err(
                Error::invalid(format!("the health of container `{self}` is not checked"))
                    .target(self.name())
                    .hint("make it with the option `health`"),
            );
        }
        if self.host.imagines() {
            return self.wait_for_scene(word);
        }
        let inner = limit.map_or_else(|| ctx.child(), |limit| ctx.with_timeout(limit));
        runtime::until(&inner, &self.bundle(), until).map_err(|error| {
            match inner.owns_timeout(&error) && limit.is_some() {
                true => Error::timeout(format!("container `{self}` is not {word} in time")).target(self.name()),
                false => error,
            }
        })
    }

    /// Gives it another name. Errors: `already_exists`, `invalid`.
    pub fn rename(&self, name: &str) -> Result<()> {
        let name: ContainerName = name.parse()?;
        self.host.check_container(self)?;
        self.host.store().write(|tx| {
            tx.rename_container(self.id(), name.as_str())?;
            match tx.container(self.id())? {
                Some(row) if !self.host.imagines() && KeptRow::is_in(&self.bundle()) => {
                    KeptRow::write(&row, &self.bundle())
                }
                _ => Ok(()),
            }
        })?;
        if !self.host.plays("container.rename", self.name(), name.as_str()) {
            let attributes = events::attributes(self.image(), name.as_str(), self.labels());
            runtime::set_attributes(&self.bundle(), attributes)?;
            self.tell("rename", &[("oldName", self.name()), ("name", name.as_str())]);
        }
        Ok(())
    }
}
