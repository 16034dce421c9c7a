//! Mounts in the store. Hoist attaches none to where others see it: a container's are its own.

use std::path::PathBuf;

use super::{Checkup, Damage};
use crate::error::{Context as _, Result};
use crate::host::Host;
use crate::sys::mount;

impl Checkup<'_> {
    pub(super) fn mounts(&mut self) -> Result<()> {
        for place in self.host.leaked_mounts()? {
            let detail = "something is mounted there that belongs to no container";
            let shown = place.display().to_string();
            self.found(Damage::Mount, shown.clone(), detail, || {
                mount::detach(&place).during(|| format!("unmount `{shown}`"))
            });
        }
        Ok(())
    }
}

impl Host {
    /// Places within the store that something is mounted on, the latest first. The store itself, its parts and volumes may well be
    /// on disks of their own.
    fn leaked_mounts(&self) -> Result<Vec<PathBuf>> {
        let config = self.config();
        let parts = ["containers", "content", "ingest", "layers"].map(|part| config.root.join(part));
        let run = ["containers", "leases"].map(|part| config.run_root.join(part));
        let within = |place: &PathBuf| {
            let below = |part: &PathBuf| place.starts_with(part) && place != part;
            parts.iter().chain(&run).any(below)
        };
        let mut places = mount::places().during(|| "read the table of mounts")?;
        places.retain(within);
        places.reverse();
        Ok(places)
    }
}
