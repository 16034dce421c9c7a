//! What there is and what it runs on: the facts of `docker info`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::{Container, Host};
use crate::error::Result;
use crate::runtime::cgroup;
use crate::runtime::{self, Lack, Machine, Status};

/// Facts of a store and of its machine.
#[derive(Debug, Clone, Serialize)]
pub struct Info {
    /// Of this program.
    pub version: &'static str,
    /// How many containers there are, in all (`total`) and by state.
    pub containers: BTreeMap<String, usize>,
    /// How many images.
    pub images: usize,
    /// How many named volumes.
    pub volumes: usize,
    /// How layers are stacked.
    pub storage_driver: &'static str,
    /// Where the store is.
    pub root: PathBuf,
    /// Where process state is.
    pub run_root: PathBuf,
    /// How control groups are made: by their files.
    pub cgroup_driver: &'static str,
    /// `v1`, `v2`, `hybrid` or `none`.
    pub cgroup_version: &'static str,
    /// The control group controllers there are.
    pub controllers: Vec<String>,
    /// What it runs on.
    #[serde(flatten)]
    pub machine: Machine,
    /// What keeps containers from the host unless asked otherwise, in Docker's words.
    pub security_options: Vec<&'static str>,
    /// What containers cannot have here.
    pub degraded: Vec<Lack>,
}

impl Host {
    /// Looks it all up. Errors: those of reading the store.
    pub fn info(&self) -> Result<Info> {
        let (rows, images, volumes) = self
            .store()
            .read(|tx| Ok((tx.containers()?, tx.images()?.len(), tx.volumes()?.len())))?;
        let mut containers = BTreeMap::from([("total".to_owned(), rows.len())]);
        containers.extend(Status::ALL.map(|status| (status.to_string(), 0)));
        for row in rows {
            // One that cannot be read is counted, and told by a check.
            if let Ok(container) = Container::read(self, row) {
                *containers.entry(container.status().to_string()).or_default() += 1;
            }
        }
        let support = cgroup::support()?;
        let mut controllers: Vec<String> = support.controllers.iter().map(|one| one.name.clone()).collect();
        controllers.sort();
        Ok(Info {
            version: env!("CARGO_PKG_VERSION"),
            containers,
            images,
            volumes,
            storage_driver: "overlay",
            root: self.config().root.clone(),
            run_root: self.config().run_root.clone(),
            cgroup_driver: "cgroupfs",
            cgroup_version: support.mode,
            controllers,
            machine: runtime::machine(&self.config().root)?,
            security_options: vec!["name=seccomp,profile=builtin", "name=cgroupns"],
            degraded: runtime::lacks(&support)?,
        })
    }
}
