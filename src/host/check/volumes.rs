//! Volumes: their rows against their directories.

use super::{Checkup, Damage};
use crate::error::{Context as _, Result};

impl Checkup<'_> {
    pub(super) fn volumes(&mut self) -> Result<()> {
        let host = self.host;
        // Volumes come and go within writing transactions: in one, rows and directories fit.
        let (rows, dirs) = host.store().write(|tx| Ok((tx.volumes()?, host.volume_dirs())))?;
        for row in &rows {
            let path = host.volume_path(&row.name);
            if !path.is_dir() {
                let detail = "its directory is gone, and with it what was in it; it becomes an empty one";
                self.found(Damage::VolumeMissing, row.name.as_str(), detail, || {
                    std::fs::create_dir_all(&path).during(|| format!("make `{}`", path.display()))
                });
            }
        }
        let known = |name: &String| rows.iter().any(|row| row.name == *name);
        for name in dirs.iter().filter(|name| !known(name)) {
            let detail = "its directory belongs to no volume; it becomes one";
            self.found(Damage::VolumeOrphan, name.as_str(), detail, || host.adopt_volume(name));
        }
        Ok(())
    }
}
