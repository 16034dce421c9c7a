//! Taking containers away, one or many; a removal that was begun is always finished.

use serde::Deserialize;

use super::filter::{ContainerFilter, Purpose, decide};
use super::{Container, KeptRow, Status};
use crate::error::{Error, Kind, Result};
use crate::host::image::Matching;
use crate::host::{Host, Item, Report};
use crate::images::jobs;
use crate::model::{ContainerId, Context};
use crate::runtime::{self, Remains};
use crate::store::lease_is_dead;

/// As many containers are looked at by more than one thread.
const MANY: usize = 100;

/// Options of a container's `remove`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoveContainer {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove the volumes that nothing else uses, too.
    pub volumes: bool,
}

impl Container {
    /// Removes it with everything it wrote. Errors: `conflict` while it runs, unless forced.
    pub fn remove(&self, options: &RemoveContainer) -> Result<()> {
        self.host.check_container(self)?;
        let now = self.now()?;
        let lives = matches!(now.status(), Status::Running | Status::Paused | Status::Restarting);
        if lives && !options.force {
            return Err(Error::conflict(format!("container `{self}` is {}", now.status()))
                .target(self.name())
                .hint("stop it first, or remove it with `#{force: true}`"));
        }
        if self
            .host
            .plays("container.remove", self.name(), if lives { "killed first" } else { "" })
        {
            return self.forget();
        }
        let volumes = self.host.store().read(|tx| tx.volumes_of(self.id()))?;
        self.remove_now()?;
        match options.volumes {
            true => self.host.remove_unused_volumes(&volumes),
            false => Ok(()),
        }
    }

    /// Marks, deletes, forgets: whoever finds the mark after a crash goes on from there. A container that ends with its
    /// process needs no mark: the owner's end is one.
    pub(super) fn remove_now(&self) -> Result<()> {
        self.remove_after(None)
    }

    /// The same, with what remains of a run that has just ended.
    pub(super) fn remove_after(&self, run: Option<Remains>) -> Result<()> {
        if self.facts.row.owner.is_none() || KeptRow::is_in(&self.bundle()) {
            self.host.store().write_durably(|tx| tx.mark_removing(self.id()))?;
        }
        match run {
            Some(remains) => runtime::delete_after(&self.bundle(), remains)?,
            None => runtime::delete(&self.bundle())?,
        }
        self.forget()?;
        self.tell("destroy", &[]);
        Ok(())
    }

    /// Takes the row away; under dry-run, that only.
    pub(super) fn forget(&self) -> Result<()> {
        self.host.store().write(|tx| tx.delete_container(self.id())).map(drop)
    }
}

impl Host {
    /// Removes what there is of a container, its row last.
    pub(in crate::host) fn finish_removal(&self, id: &ContainerId) -> Result<()> {
        runtime::delete(&self.bundle(id))?;
        self.store().write(|tx| tx.delete_container(id)).map(drop)
    }

    /// Finishes the removals a dead process began, removes the containers that were to end with it, and clears directories of containers that never came to be.
    pub(in crate::host) fn finish_removals(&self) -> Result<()> {
        for row in self.store().read(|tx| tx.unsettled_containers())? {
            let is_orphan = row
                .owner
                .as_ref()
                .is_some_and(|owner| lease_is_dead(&self.lease_dir(), owner).unwrap_or(false));
            if is_orphan && !row.removing && KeptRow::is_in(&self.bundle(&row.id)) {
                self.store().write(|tx| tx.disown_container(&row.id))?;
                continue;
            }
            // One that cannot be removed keeps nobody from the others: it is listed as `removing`, and its removal tells why.
            if (row.removing || is_orphan) && runtime::try_delete(&self.bundle(&row.id)).unwrap_or(false) {
                self.store().write(|tx| tx.delete_container(&row.id))?;
            }
        }
        let dirs = self.container_dirs()?;
        let known = self.store().read(|tx| tx.container_ids())?;
        let strays: Vec<ContainerId> = dirs.into_iter().filter(|id| !known.contains(id)).collect();
        if strays.is_empty() {
            return Ok(());
        }
        // Containers are made inside a writing transaction: seen from within one, a directory without a row is garbage.
        self.store().write(|tx| {
            for id in &strays {
                if tx.container(id)?.is_none() {
                    let _ = runtime::try_delete(&self.bundle(id));
                }
            }
            Ok(())
        })
    }

    /// Containers that have a directory.
    pub(in crate::host) fn container_dirs(&self) -> Result<Vec<ContainerId>> {
        let Ok(entries) = std::fs::read_dir(self.containers_dir()) else {
            return Ok(Vec::new());
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// The containers that fit the filter, newest first; running ones only, unless `all` or `status` says otherwise.
    pub fn containers(&self, filter: &ContainerFilter, matching: Matching<'_, Container>) -> Result<Vec<Container>> {
        let verdicts = decide(self.read_containers()?, filter, matching, Purpose::List)?;
        Ok(verdicts
            .into_iter()
            .filter(|verdict| verdict.taken)
            .map(|verdict| verdict.container)
            .collect())
    }

    /// The containers that [`Host::prune_containers`] would remove under the same filter.
    pub fn select_containers(
        &self,
        filter: &ContainerFilter,
        matching: Matching<'_, Container>,
    ) -> Result<Vec<Container>> {
        let verdicts = decide(self.read_containers()?, filter, matching, Purpose::Prune)?;
        Ok(verdicts
            .into_iter()
            .filter(|verdict| verdict.taken)
            .map(|verdict| verdict.container)
            .collect())
    }

    fn read_containers(&self) -> Result<Vec<Container>> {
        let rows = self.store().read(|tx| tx.containers())?;
        let read = |row| match Container::read(self, row) {
            // Since its row was read, another process may have removed it.
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            read => read.map(Some),
        };
        let threads = match rows.len() < MANY {
            true => 1,
            false => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let read = jobs::run(&Context::new(), threads, rows, |_, row| read(row))?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Removes the containers that have ended or were never started and fit the filter.
    pub fn prune_containers(
        &self,
        ctx: &Context,
        filter: &ContainerFilter,
        matching: Matching<'_, Container>,
    ) -> Result<Report> {
        let mut report = Report::default();
        for verdict in decide(self.read_containers()?, filter, matching, Purpose::Prune)? {
            ctx.check()?;
            let container = &verdict.container;
            let size = container.size().unwrap_or(0);
            let item = |reason: String| Item {
                id: container.id().to_string(),
                name: container.name().to_owned(),
                reason,
                size,
            };
            if !verdict.taken {
                report.kept.push(item(verdict.reason));
                continue;
            }
            match container.remove(&RemoveContainer::default()) {
                Ok(()) => {
                    report.reclaimed += size;
                    report.removed.push(item(verdict.reason));
                }
                // Another process was faster.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => report.errors.push(item(error.to_string())),
            }
        }
        self.tell_prune("container", report.reclaimed);
        Ok(report)
    }
}
