//! The database itself, by SQLite's own account.

use super::{Checkup, Damage};
use crate::error::Result;

impl Checkup<'_> {
    pub(super) fn database(&mut self) -> Result<()> {
        let faults = self.host.store().faults()?;
        if !faults.is_empty() {
            let path = self.host.config().root.join("hoist.db").display().to_string();
            let hint = "copy the store, then load or pull the images again";
            self.beyond_repair(Damage::Database, path, faults.join("; "), hint);
        }
        Ok(())
    }
}
