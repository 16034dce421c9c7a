//! Starting, after a restart of the machine, what is to run.

use serde::Serialize;

use super::Container;
use crate::error::{Kind, Result};
use crate::host::Host;
use crate::model::Context;
use crate::runtime;

/// What was started, and what could not be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Booted {
    /// Whether all that is to run does.
    pub ok: bool,
    /// One for each container that is to run and did not.
    pub containers: Vec<Boot>,
}

/// What became of a container that is to run.
#[derive(Debug, Clone, Serialize)]
pub struct Boot {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it was started.
    pub started: bool,
    /// Why it was not.
    pub error: Option<String>,
}

impl Host {
    /// Starts the containers that do not run and whose restart policy is `always`, or `unless-stopped` and no person stopped them.
    /// Those that were never started, and those under other policies, stay as they are, as when Docker's daemon starts.
    ///
    /// What cannot be started is told and keeps nothing else from being started.
    pub fn boot(&self, ctx: &Context) -> Result<Booted> {
        let mut containers = self.containers_to_boot()?;
        // One whose namespaces another shares is older than that.
        containers.sort_by_key(Container::created);
        let mut booted = Booted {
            ok: true,
            containers: Vec::new(),
        };
        for container in containers {
            ctx.check()?;
            let error = match container.start(ctx) {
                // Removed meanwhile.
                Err(error) if error.kind() == Kind::NotFound && container.reload().is_err() => continue,
                result => result.err().map(|error| error.to_string()),
            };
            booted.ok &= error.is_none();
            booted.containers.push(Boot {
                id: container.id().to_string(),
                name: container.name().to_owned(),
                started: error.is_none(),
                error,
            });
        }
        Ok(booted)
    }

    fn containers_to_boot(&self) -> Result<Vec<Container>> {
        let rows = self.store().read(|tx| tx.containers())?;
        let rows = rows.into_iter().filter(|row| !row.removing && row.owner.is_none());
        let wanted = rows.filter(|row| runtime::runs_at_boot(&self.bundle(&row.id)).unwrap_or(false));
        let read = wanted.map(|row| Container::read(self, row));
        let read = read.filter(|read| match read {
            Ok(container) => container.has_ended(),
            Err(error) => error.kind() != Kind::NotFound,
        });
        read.collect()
    }
}
