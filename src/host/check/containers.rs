//! Containers: their rows against their directories, and against what they are stacked on.

use std::collections::HashSet;

use super::{Checkup, Damage};
use crate::error::Result;
use crate::host::Host;
use crate::model::ContainerId;
use crate::runtime;
use crate::runtime::cgroup::{self, Cgroup, Mark};
use crate::store::ContainerRow;

impl Checkup<'_> {
    pub(super) fn containers(&mut self) -> Result<()> {
        let host = self.host;
        // Before the containers: a group that one of them has made since is not among these.
        let groups = host.control_groups()?;
        // Containers come and go within writing transactions: in one, rows and directories fit.
        let (rows, images, dirs, states) = host.store().write(|tx| {
            let images: HashSet<_> = tx.manifests()?.into_iter().map(|(image, _)| image).collect();
            Ok((tx.containers()?, images, host.container_dirs()?, host.run_dirs()))
        })?;
        // One that is being removed, or ends with a process, may be half gone.
        let lasting = |row: &&ContainerRow| !row.removing && row.owner.is_none();
        for row in rows.iter().filter(lasting) {
            self.ctx.check()?;
            if !images.contains(&row.image) {
                let detail = format!("the image `{}` of container `{}` is gone", row.image.short(), row.name);
                let hint = "load or pull the image again; what the container wrote is still there";
                self.beyond_repair(Damage::ContainerImage, row.id.as_str(), detail, hint);
            }
            if self.bare.contains(&row.image) {
                // What does not come back is found missing at once.
                let _ = host.restack(self.ctx, row);
            }
            self.container(row);
        }
        let known = |id: &ContainerId| rows.iter().any(|row| row.id == *id);
        for id in dirs.iter().filter(|id| !known(id)) {
            let detail = "the directory belongs to no container";
            self.found(Damage::ContainerOrphan, id.as_str(), detail, || {
                runtime::delete(&host.bundle(id))
            });
        }
        for id in states.iter().filter(|id| !known(id) && !dirs.contains(id)) {
            let detail = "there is process state of a container that does not exist";
            self.found(Damage::RunState, id.as_str(), detail, || {
                runtime::delete(&host.bundle(id))
            });
        }
        let is_nobodys = |id: &&ContainerId| !known(id) && !dirs.contains(id) && !states.contains(id);
        for id in groups.iter().filter(is_nobodys) {
            // The container may have gone meanwhile, its groups before it.
            if Cgroup::open(id.as_str())?.paths().is_empty() {
                continue;
            }
            let detail = "there are control groups of a container that does not exist";
            self.found(Damage::ControlGroup, id.as_str(), detail, || {
                runtime::delete(&host.bundle(id))
            });
        }
        Ok(())
    }

    fn container(&mut self, row: &ContainerRow) {
        let (host, id, name) = (self.host, row.id.as_str(), &row.name);
        let bundle = host.bundle(&row.id);
        if !bundle.dir.is_dir() {
            let detail = format!("the directory of container `{name}` is gone, and with it what it wrote");
            self.found(Damage::ContainerMissing, id, detail, || host.finish_removal(&row.id));
            return;
        }
        if let Err(error) = host.readable(row) {
            let detail = format!("the settings of container `{name}` cannot be read: {error}");
            let hint = format!(
                "copy what is of use from `{}`, then remove the container",
                bundle.upper().display()
            );
            self.beyond_repair(Damage::ContainerUnreadable, id, detail, hint);
            return;
        }
        let lowers = runtime::lowers(&bundle).unwrap_or_default();
        if let Some(gone) = lowers.iter().find(|lower| !lower.is_dir()) {
            let detail = format!("container `{name}` is stacked on `{}`, which is gone", gone.display());
            let ctx = self.ctx;
            self.found(Damage::ContainerLayer, id, detail, || host.restack(ctx, row));
        }
    }
}

impl Host {
    /// Containers that have control groups of this store's.
    fn control_groups(&self) -> Result<Vec<ContainerId>> {
        let dir = self.config().run_root.join("containers");
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let names = cgroup::marked(&Mark::of(&dir)?)?.into_iter();
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Containers that have process state.
    fn run_dirs(&self) -> Vec<ContainerId> {
        let entries = std::fs::read_dir(self.config().run_root.join("containers"));
        let names = entries.into_iter().flatten();
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    }
}
