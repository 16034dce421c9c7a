//! The database itself, by SQLite's own account.

use super::{Checkup, Damage};
use crate::error::Result;

impl Checkup<'_> {
    /// Whether the database is sound, or sound again.
    pub(super) fn database(&mut self) -> Result<bool> {
        let host = self.host;
        let faults = host.store().faults()?;
        if faults.is_empty() {
            return Ok(true);
        }
        let path = host.config().root.join("hoist.db").display().to_string();
        let mut rebuilt = String::new();
        self.found(Damage::Database, path, faults.join("; "), || {
            rebuilt = host.rebuild()?;
            Ok(())
        });
        let problem = self.problems.last_mut().expect("found just above");
        if problem.repaired {
            problem.detail = format!("{}; {rebuilt}", problem.detail);
        }
        Ok(problem.repaired)
    }
}
