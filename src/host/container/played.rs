//! Containers that are played: a test says what a command does, and nothing is run.

use jiff::Timestamp;

use super::create::Term;
use super::run::{Run, Sink};
use super::{Container, ContainerOptions, ExecOptions, Status};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{Command, Context};
use crate::runtime::{Act, Exit, Health, HealthStatus, State};

/// What a command is said to do.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// Its exit code; without one a container that is left alone runs on.
    pub code: Option<i32>,
    /// What it writes to standard output.
    pub stdout: Vec<u8>,
    /// What it writes to standard error.
    pub stderr: Vec<u8>,
    /// What its health check comes to.
    pub health: Option<HealthStatus>,
}

/// What was played of a container.
#[derive(Debug, Clone)]
pub(in crate::host) struct Scene {
    played: Played,
    started: Timestamp,
    /// How it ended, if it did.
    code: Option<i32>,
}

/// Says what a command does.
pub type Player<'a> = &'a dyn Fn(&Container, &[String]) -> Result<Played>;

impl Host {
    /// Makes a container as [`Host::run_container`] does, and has its command played. Errors: the same, and those of the player.
    pub fn play_run(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
        sink: Sink,
        player: Player,
    ) -> Result<Run> {
        let owner = self.hold()?;
        let container = self.make_container(ctx, image, cmd, options, Term::Lasting(Some(&owner)))?;
        let command = container.command();
        let played = player(&container, &command).inspect_err(|_| drop(container.forget()))?;
        container.give_up();
        container.play(played.clone(), true);
        if !options.keep {
            container.forget()?;
        }
        run_of(&container, played, sink, options.check, &command)
    }

    /// Makes a container as [`Host::run_container_detached`] does, and has its command played.
    pub fn play_detached(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
        player: Player,
    ) -> Result<Container> {
        let container = self.run_container_detached(ctx, image, cmd, options)?;
        let played = player(&container, &container.command()).inspect_err(|_| drop(container.forget()))?;
        container.play(played, false);
        container.reload()
    }
}

impl Container {
    /// Has a further command inside played. Errors: `conflict` unless the container is running; those of the player.
    pub fn play_exec(&self, cmd: &Command, options: &ExecOptions, sink: Sink, player: Player) -> Result<Run> {
        self.now()?.check(Act::Exec)?;
        let command = cmd.words();
        let played = player(self, &command)?;
        run_of(self, played, sink, options.check, &command)
    }

    /// Starts it, and has its command played.
    pub fn play_start(&self, ctx: &Context, player: Player) -> Result<()> {
        let was_running = self.now()?.running();
        self.start(ctx)?;
        if !was_running {
            self.play(player(self, &self.command())?, false);
        }
        Ok(())
    }

    fn play(&self, played: Played, to_its_end: bool) {
        let code = played.code.or(to_its_end.then_some(0));
        let scene = Scene {
            played,
            started: Timestamp::now(),
            code,
        };
        self.host.imagined().scenes.insert(self.id().clone(), scene);
        let status = match code {
            Some(_) => Status::Exited,
            None => Status::Running,
        };
        self.host.simulate(self.id(), status);
    }

    /// Ends what was played with a code, unless it has one.
    pub(super) fn end_scene(&self, code: i32) {
        if let Some(scene) = self.host.imagined().scenes.get_mut(self.id()) {
            scene.code.get_or_insert(code);
        }
    }

    fn scene(&self) -> Option<Scene> {
        self.host.imagined().scenes.get(self.id()).cloned()
    }

    /// What was played of its output.
    pub(super) fn played_log(&self, stream: Option<&str>, tail: Option<u64>) -> Option<String> {
        if !self.host.imagined().is_stage {
            return None;
        }
        let played = self.scene().map(|scene| scene.played).unwrap_or_default();
        let bytes = match stream {
            Some("stdout") => played.stdout,
            Some("stderr") => played.stderr,
            _ => [played.stdout, played.stderr].concat(),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let last = tail.map_or(lines.len(), |tail| usize::try_from(tail).unwrap_or(usize::MAX));
        Some(lines[lines.len().saturating_sub(last)..].concat())
    }

    /// Waits for a state or health that was played, which will not change. Errors: `conflict`, `timeout`.
    pub(super) fn wait_for_scene(&self, word: &str) -> Result<()> {
        let health = self.scene().and_then(|scene| scene.played.health);
        let found = match word {
            "healthy" | "unhealthy" => health.map_or("healthy", HealthStatus::name),
            _ => self.now()?.status().name(),
        };
        if found == word {
            return Ok(());
        }
        Err(match found {
            "starting" | "running" => Error::timeout(format!("container `{self}` is not {word} in time")),
            _ => Error::conflict(format!("container `{self}` is {found}, and will not be {word}")),
        }
        .target(self.name()))
    }
}

impl Scene {
    /// The state of a container, of which its status is known.
    pub(super) fn state(&self, status: Status) -> State {
        let exit = self.code.filter(|_| !status.is_alive()).map(|code| Exit {
            code,
            signal: None,
            oom_killed: false,
            timed_out: false,
            started: self.started,
            finished: Timestamp::now(),
            error: None,
            restarts: 0,
        });
        State {
            status,
            started: status.is_alive().then_some(self.started),
            exit,
            ..State::default()
        }
    }

    /// What its health check says.
    pub(super) fn health(&self) -> Option<Health> {
        let status = self.played.health?;
        Some(Health {
            status,
            ..Health::new(self.started)
        })
    }
}

fn run_of(container: &Container, played: Played, sink: Sink, check: Option<bool>, command: &[String]) -> Result<Run> {
    if let Some(sink) = sink {
        sink(false, &played.stdout);
        sink(true, &played.stderr);
    }
    let run = Run {
        code: played.code.unwrap_or(0),
        stdout: played.stdout,
        stderr: played.stderr,
        ..Run::simulated(container.id())
    };
    match check.unwrap_or(true) {
        true => run.checked(command),
        false => Ok(run),
    }
}
