//! New limits for a container, whether it runs or not.

use serde::Deserialize;

use super::{Container, KeptRow};
use crate::error::{Error, Result};
use crate::model::ByteSize;
use crate::runtime::{self, RestartPolicy, Status, limits::Limits};

/// Limits that are to change; the others stay. Docker's flags with underscores.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdateOptions {
    /// The most memory.
    pub memory: Option<ByteSize>,
    /// The most memory and swap together.
    pub memory_swap: Option<ByteSize>,
    /// Memory the kernel tries to leave to it.
    pub memory_reservation: Option<ByteSize>,
    /// Processors' worth of time.
    pub cpus: Option<f64>,
    /// Share of processor time against other containers.
    pub cpu_shares: Option<u64>,
    /// The processors to run on.
    pub cpuset_cpus: Option<String>,
    /// The most processes and threads; -1 for no limit.
    pub pids_limit: Option<i64>,
    /// Share of disk time against other containers.
    pub blkio_weight: Option<u16>,
    /// When it is started again: `no`, `on-failure[:N]`, `always` or `unless-stopped`.
    pub restart: Option<RestartPolicy>,
}

impl UpdateOptions {
    fn over(&self, limits: &Limits) -> Result<Limits> {
        let size = |size: Option<ByteSize>| size.map(|size| size.0);
        let new = self.clone();
        let swap = size(self.memory_swap).and_then(|bytes| i64::try_from(bytes).ok());
        let limits = Limits {
            memory: size(self.memory).or(limits.memory),
            memory_swap: swap.or(limits.memory_swap),
            memory_reservation: size(self.memory_reservation).or(limits.memory_reservation),
            cpus: new.cpus.or(limits.cpus),
            cpu_shares: new.cpu_shares.or(limits.cpu_shares),
            cpuset_cpus: new.cpuset_cpus.or_else(|| limits.cpuset_cpus.clone()),
            pids: new.pids_limit.or(limits.pids),
            blkio_weight: new.blkio_weight.or(limits.blkio_weight),
        };
        runtime::check_limits(&limits)?;
        Ok(limits)
    }
}

impl Container {
    /// Changes limits, at once if it runs, and for its next starts.
    ///
    /// Errors: `invalid` for a limit out of range, `unsupported` for one whose controller this machine lacks, `in_use` for less memory
    /// than it cannot do without, `conflict` while it is being removed; nothing has changed then.
    pub fn update(&self, options: &UpdateOptions) -> Result<()> {
        let now = self.now()?;
        if now.status() == Status::Removing {
            return Err(Error::conflict(format!("container `{self}` is being removed")).target(self.name()));
        }
        // In one transaction, so that of two updates at once each keeps what the other changed.
        self.host.store().write(|tx| {
            let gone = || Error::not_found(format!("container `{self}` was removed")).target(self.name());
            let now = Container::read(&self.host, tx.container(self.id())?.ok_or_else(gone)?)?;
            let mut recipe = now.facts.recipe.clone();
            recipe.limits = options.over(&recipe.limits)?;
            recipe.restart = options.restart.unwrap_or(recipe.restart);
            let text = serde_json::to_string(&recipe).map_err(|cause| {
                Error::internal(format!("failed to write the settings of container `{self}`: {cause}"))
            })?;
            tx.set_container_options(self.id(), &text)?;
            if self.host.plays("container.update", self.name(), "") {
                return Ok(());
            }
            runtime::update(&self.bundle(), &recipe.limits)?;
            if let Some(policy) = options.restart {
                runtime::set_restart(&self.bundle(), policy)?;
            }
            match tx.container(self.id())? {
                Some(row) if row.owner.is_none() => KeptRow::write(&row, &self.bundle()),
                _ => Ok(()),
            }
        })?;
        self.tell("update", &[]);
        Ok(())
    }
}
