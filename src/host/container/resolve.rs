//! From what a person writes to a container: a name, an id, the start of an id.

use super::Container;
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::model::ContainerId;
use crate::store::{ContainerRow, Tx};

impl Host {
    /// The container meant by a name, an id, or a unique start of an id. Errors: `not_found`; `invalid` if several ids start so.
    pub fn container(&self, text: &str) -> Result<Container> {
        let row = self.store().read(|tx| lookup(tx, text))?;
        Container::read(self, row)
    }

    /// Like [`Host::container`], with `None` for a container that is not there.
    pub fn find_container(&self, text: &str) -> Result<Option<Container>> {
        match self.container(text) {
            Ok(container) => Ok(Some(container)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn lookup(tx: &Tx, text: &str) -> Result<ContainerRow> {
    let missing = || {
        Error::not_found(format!("container `{}` does not exist", text.escape_debug()))
            .target(text)
            .hint("`container::list(#{all: true})` shows what is there")
    };
    if let Ok(id) = text.parse::<ContainerId>() {
        return tx.container(&id)?.ok_or_else(missing);
    }
    if let Some(row) = tx.container_by_name(text.strip_prefix('/').unwrap_or(text))? {
        return Ok(row);
    }
    if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(missing());
    }
    let mut found = tx.containers_by_prefix(text, 3)?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|row| row.id.short()).collect();
        return Err(Error::invalid(format!(
            "`{text}` is the start of several container ids: {}",
            ids.join(", ")
        ))
        .target(text)
        .hint("write more digits of the id"));
    }
    found.pop().ok_or_else(missing)
}
