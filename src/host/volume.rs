//! Named volumes: directories that outlive the containers that use them.

use std::path::PathBuf;

use jiff::Timestamp;

use super::Host;
use crate::error::{Context as _, Result};
use crate::store::{Tx, VolumeRow};

impl Host {
    /// Where a volume's files are. The name was checked when it was taken from the options.
    pub(super) fn volume_path(&self, name: &str) -> PathBuf {
        self.config().root.join("volumes").join(name)
    }

    /// Makes a volume that is not there yet, inside the transaction that makes its first user.
    pub(super) fn ensure_volume(&self, tx: &Tx, name: &str) -> Result<()> {
        tx.insert_volume(&VolumeRow {
            name: name.to_owned(),
            created: Timestamp::now(),
            labels: "{}".to_owned(),
        })?;
        if self.plan().is_some() {
            return Ok(());
        }
        let path = self.volume_path(name);
        std::fs::create_dir_all(&path).during(|| format!("make the volume `{}`", path.display()))
    }
}
