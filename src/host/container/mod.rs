//! The container handle: facts read when it was got, acts that go back to the runtime.

mod activity;
mod boot;
mod commit;
mod conversation;
mod create;
mod events;
mod exec;
mod files;
mod filter;
mod health;
mod host_config;
mod inspect;
mod kept;
mod lifecycle;
mod logs;
mod mount_option;
mod options;
mod played;
mod recipe;
mod remove;
mod resolve;
mod run;
mod secrets;
mod security;
mod update;
mod user_namespace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::Host;
use crate::error::{Error, Result};
use crate::model::{ContainerId, Context, Digest};
use crate::runtime::{self, Bundle, Health, State, Status};
use crate::store::ContainerRow;

pub use boot::{Boot, Booted};
pub use conversation::Talked;
pub use exec::ExecOptions;
pub use filter::ContainerFilter;
pub use health::{HealthOption, HealthOptions};
pub(super) use kept::KeptRow;
pub use lifecycle::StopOptions;
pub use logs::{LogOption, LogOptions, Logged};
pub use options::ContainerOptions;
pub(super) use played::Scene;
pub use played::{Played, Player};
pub use recipe::Mount;
pub use remove::RemoveContainer;
pub use run::{Run, Sink};
pub(in crate::host) use run::{last_words, shown};
pub use update::UpdateOptions;

use recipe::Recipe;

struct Facts {
    row: ContainerRow,
    recipe: Recipe,
    state: State,
    health: Option<Health>,
}

/// A container of the store. Clones are the same container; facts are those of the moment it was got.
#[derive(Clone)]
pub struct Container {
    host: Host,
    facts: Arc<Facts>,
}

impl PartialEq for Container {
    fn eq(&self, other: &Container) -> bool {
        self.id() == other.id()
    }
}

impl Container {
    pub(super) fn read(host: &Host, row: ContainerRow) -> Result<Container> {
        let recipe: Recipe = serde_json::from_str(&row.options).map_err(|cause| {
            Error::corrupt(format!(
                "the settings of container `{}` are unreadable: {cause}",
                row.name
            ))
            .source(cause)
        })?;
        let state = host.container_state(&row)?;
        let scene = host.imagined().scenes.get(&row.id).and_then(Scene::health);
        let health = match (state.started, health::check(&recipe.config)) {
            _ if scene.is_some() => scene,
            _ if host.imagined().is_stage => None,
            (Some(started), Some(_)) => Some(runtime::health(&host.bundle(&row.id), started)?),
            _ => None,
        };
        Ok(Container::with(host, row, recipe, state, health))
    }

    /// One that was made a moment ago: there is nothing to look up.
    pub(super) fn made(host: &Host, row: ContainerRow, recipe: Recipe) -> Container {
        Container::with(host, row, recipe, State::default(), None)
    }

    fn with(host: &Host, row: ContainerRow, recipe: Recipe, state: State, health: Option<Health>) -> Container {
        Container {
            host: host.clone(),
            facts: Arc::new(Facts {
                row,
                recipe,
                state,
                health,
            }),
        }
    }

    /// The same container with its facts read again. Errors: `not_found` once it is removed.
    pub fn reload(&self) -> Result<Container> {
        self.host.container(self.id().as_str())
    }

    /// Its id.
    pub fn id(&self) -> &ContainerId {
        &self.facts.row.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.facts.row.name
    }

    /// The image it was made from, as the user named it.
    pub fn image(&self) -> &str {
        &self.facts.row.image_name
    }

    /// The id of that image.
    pub fn image_id(&self) -> &Digest {
        &self.facts.row.image
    }

    /// The words it executes.
    pub fn command(&self) -> Vec<String> {
        self.facts.recipe.args()
    }

    /// Which of the seven states it is in.
    pub fn status(&self) -> Status {
        self.facts.state.status
    }

    /// Whether its process lives and is not paused.
    pub fn running(&self) -> bool {
        self.status() == Status::Running
    }

    /// Whether it has no processes and none are about to come.
    fn has_ended(&self) -> bool {
        matches!(self.status(), Status::Exited | Status::Dead)
    }

    /// The exit code of its last run; `None` while it runs or if it never did.
    pub fn exit_code(&self) -> Option<i32> {
        self.facts.state.exit.as_ref().map(|exit| exit.code)
    }

    /// Whether its last run was killed for want of memory.
    pub fn oom_killed(&self) -> bool {
        self.facts.state.exit.as_ref().is_some_and(|exit| exit.oom_killed)
    }

    /// Why its last run failed to start or lost its exit code.
    pub fn error(&self) -> Option<&str> {
        self.facts.state.exit.as_ref()?.error.as_deref()
    }

    /// Whether it was made by a call that runs it, or is about to start it.
    fn has_owner(&self) -> bool {
        self.facts.row.owner.is_some()
    }

    /// The process id of its first process, as the host sees it.
    pub fn pid(&self) -> Option<i32> {
        self.facts.state.pid
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.facts.row.created
    }

    /// When it was started last.
    pub fn started(&self) -> Option<Timestamp> {
        let exit = self.facts.state.exit.as_ref().map(|exit| exit.started);
        self.facts.state.started.or(exit)
    }

    /// When its last run ended.
    pub fn finished(&self) -> Option<Timestamp> {
        self.facts.state.exit.as_ref().map(|exit| exit.finished)
    }

    /// Its labels, the image's included.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.facts.recipe.config.labels
    }

    /// The places inside that are shown from elsewhere.
    pub fn mounts(&self) -> &[Mount] {
        &self.facts.recipe.mounts
    }

    /// The networks it is on: `none`, `host`, or `container:` with the id of the one that has the network.
    pub fn networks(&self) -> Vec<String> {
        vec![self.facts.recipe.network.to_string()]
    }

    /// The ports its image exposes, such as `80/tcp`.
    pub fn exposed_ports(&self) -> impl Iterator<Item = &str> {
        self.facts.recipe.config.exposed_ports.keys().map(String::as_str)
    }

    /// How often its restart policy has started it again since a person did.
    pub fn restart_count(&self) -> u32 {
        self.facts.state.restarts
    }

    fn bundle(&self) -> Bundle {
        self.host.bundle(self.id())
    }
}

/// The volumes a container's settings name.
pub(super) fn volumes_in(row: &ContainerRow) -> Vec<String> {
    let recipe: Option<Recipe> = serde_json::from_str(&row.options).ok();
    let volumes = recipe.iter().flat_map(Recipe::volumes);
    volumes.map(|(name, _)| name.to_owned()).collect()
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Host {
    pub(super) fn bundle(&self, id: &ContainerId) -> Bundle {
        Bundle {
            id: id.clone(),
            dir: self.containers_dir().join(id.as_str()),
            run_dir: self.config().run_root.join("containers").join(id.as_str()),
        }
    }

    fn containers_dir(&self) -> PathBuf {
        self.config().root.join("containers")
    }

    /// Whether a container has processes.
    pub(super) fn container_lives(&self, row: &ContainerRow) -> bool {
        self.container_state(row).is_ok_and(|state| state.status.is_alive())
    }

    /// That a container's settings can be read. Errors: why they cannot.
    pub(super) fn readable(&self, row: &ContainerRow) -> Result<()> {
        Container::read(self, row.clone())?;
        runtime::readable(&self.bundle(&row.id))
    }

    /// Makes what lies between a container and its image's layers once more.
    pub(super) fn restack(&self, ctx: &Context, row: &ContainerRow) -> Result<()> {
        let layers = self.image(row.image.as_str())?.stored()?.layers;
        let made = self.content().lowers_with_init(ctx, &layers, &|init| {
            runtime::make_mount_points(init.lowers, init.upper, init.work)
        })?;
        let lowers = runtime::lowers(&self.bundle(&row.id))?;
        match lowers.iter().find(|lower| !lower.is_dir()) {
            None => Ok(()),
            Some(gone) => Err(Error::not_found(format!(
                "`{}` is none of the {} directories of its image",
                gone.display(),
                made.len()
            ))
            .hint("load or pull the image again; what the container wrote is still there")),
        }
    }

    /// The truth about a container now, or under dry-run what it would be.
    fn container_state(&self, row: &ContainerRow) -> Result<State> {
        let simulated = self.imagined().states.get(&row.id).copied();
        if let Some(status) = simulated {
            if let Some(scene) = self.imagined().scenes.get(&row.id) {
                return Ok(scene.state(status));
            }
            return Ok(State {
                status,
                ..State::default()
            });
        }
        if row.removing {
            return Ok(State {
                status: Status::Removing,
                ..State::default()
            });
        }
        runtime::state(&self.bundle(&row.id))
    }

    /// Under dry-run, notes the state a container would be in now.
    fn simulate(&self, id: &ContainerId, status: Status) {
        self.imagined().states.insert(id.clone(), status);
    }
}
