//! Volumes: their rows against their directories.

use super::{Checkup, Damage};
use crate::error::{Context as _, Result};

impl Checkup<'_> {
    pub(super) fn volumes(&mut self) -> Result<()> {
        let host = self.host;
        // Volumes come and go within writing transactions: in one, rows and directories fit.
        let (rows, dirs, missing) = host.store().write(|tx| {
            let (rows, unsettled) = (tx.volumes()?, host.unsettled_volumes());
            let names = rows.iter().map(|row| row.name.clone());
            let is_missing = |name: &String| !host.volume_path(name).is_dir() && !unsettled.contains(name);
            let missing: Vec<String> = names.filter(is_missing).collect();
            Ok((rows, host.volume_dirs(), missing))
        })?;
        for name in &missing {
            let path = host.volume_path(name);
            let detail = "its directory is gone, and with it what was in it; it becomes an empty one";
            self.found(Damage::VolumeMissing, name.as_str(), detail, || {
                std::fs::create_dir_all(&path).during(|| format!("make `{}`", path.display()))
            });
        }
        let known = |name: &String| rows.iter().any(|row| row.name == *name);
        for name in dirs.iter().filter(|name| !known(name)) {
            let detail = "its directory belongs to no volume; it becomes one";
            self.found(Damage::VolumeOrphan, name.as_str(), detail, || host.adopt_volume(name));
        }
        Ok(())
    }
}
