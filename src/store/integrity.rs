//! What SQLite itself finds wrong with its file.

use super::{Store, Tx};
use crate::error::{Kind, Result};

/// How many faults are told.
const FAULTS: u32 = 20;

impl Store {
    /// What is wrong with the file or with rows that refer to each other, in SQLite's words; nothing for a sound database.
    pub fn faults(&self) -> Result<Vec<String>> {
        match self.read(|tx| tx.faults()) {
            Err(error) if error.kind() == Kind::Corrupt => Ok(vec![error.message().to_owned()]),
            other => other,
        }
    }
}

impl Tx<'_> {
    fn faults(&self) -> Result<Vec<String>> {
        let mut faults: Vec<String> = self.all(&format!("PRAGMA integrity_check({FAULTS})"), [], |row| row.get(0))?;
        faults.retain(|fault| fault != "ok");
        let lone = self.all("PRAGMA foreign_key_check", [], |row| {
            let (table, parent): (String, String) = (row.get("table")?, row.get("parent")?);
            Ok(format!("a row of `{table}` refers to none of `{parent}`"))
        })?;
        faults.extend(lone);
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_refers_to_nothing_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        let store = Store::open(&path).unwrap();
        assert_eq!(store.faults().unwrap(), Vec::<String>::new());
        let other = rusqlite::Connection::open(&path).unwrap();
        other.pragma_update(None, "foreign_keys", false).unwrap();
        other
            .execute(
                "INSERT INTO reference VALUES ('docker.io/library/a:b', 'sha256:00', 0)",
                [],
            )
            .unwrap();
        assert_eq!(
            store.faults().unwrap(),
            ["a row of `reference` refers to none of `image`"]
        );
    }
}
