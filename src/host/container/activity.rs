//! What a container is doing right now: its processes, and what they use.

use super::Container;
use crate::error::{Error, Result};
use crate::runtime::{self, ProcessFacts, Stats};

impl Container {
    /// Its processes, by number. Errors: `conflict` unless it runs or is paused.
    pub fn processes(&self) -> Result<Vec<ProcessFacts>> {
        runtime::processes(&self.alive()?.bundle())
    }

    /// What its processes use. Errors: `conflict` unless it runs or is paused.
    pub fn stats(&self) -> Result<Stats> {
        runtime::stats(&self.alive()?.bundle())
    }

    fn alive(&self) -> Result<Container> {
        let now = self.now()?;
        if self.host.imagined().is_stage {
            let error = Error::unsupported(format!("container `{self}` has no processes: it is only played"));
            return Err(error.target(self.name()));
        }
        if now.status().is_alive() {
            return Ok(now);
        }
        let error = Error::conflict(format!("container `{self}` has no processes: it is {}", now.status()));
        Err(error.target(self.name()).hint("start it first"))
    }
}
