//! A new database in the place of a damaged one, which is set aside, and what can still be read of that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::users::Users;
use super::{ContainerRow, ImageRow, LayerRow, Store, Tx, VolumeRow, containers, images, parsed, volumes};
use crate::error::{Context as _, Error, Result};
use crate::model::{Digest, Reference};

/// The rows that could still be read, each table as far as it goes. Which container uses which volume its settings tell.
#[derive(Debug, Default)]
pub struct Salvage {
    /// Images by their ids.
    pub images: BTreeMap<Digest, ImageRow>,
    /// Layers by image and position.
    pub layers: BTreeMap<(Digest, usize), LayerRow>,
    /// What names mean.
    pub names: BTreeMap<String, (Reference, Digest)>,
    /// Containers by their ids.
    pub containers: BTreeMap<String, ContainerRow>,
    /// Volumes by their names.
    pub volumes: BTreeMap<String, VolumeRow>,
    /// Rows that are taken over as they are, by table and by what is in them.
    verbatim: Vec<BTreeMap<String, Vec<Value>>>,
    /// Where the damaged file is now; nothing if it was gone.
    pub aside: Option<PathBuf>,
}

/// Tables of what registries were given and keep of others, of the trash, and of jobs: name, key, number of columns; those first that others refer to.
const VERBATIM: [(&str, &str, usize); 15] = [
    ("registry_manifest", "repository, digest", 9),
    ("registry_part", "repository, manifest, digest", 5),
    ("registry_blob", "repository, digest", 4),
    ("registry_tag", "name", 3),
    ("cached_manifest", "repository, digest", 5),
    ("cached_part", "repository, manifest, digest", 4),
    ("cached_blob", "repository, digest", 4),
    ("cached_tag", "name", 3),
    ("trash", "id", 4),
    ("trash_run", "act", 2),
    ("trash_row", "number", 4),
    ("trash_content", "act, digest", 2),
    ("job", "name", 8),
    ("run", "id", 16),
    ("run_total", "job, outcome", 7),
];

/// The files SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];
/// Bytes of a page, as the files of this store have them.
const PAGE: usize = 4096;

impl Store {
    /// A new, empty database in the place of the one at `path`, which cannot be opened, and what that still holds.
    ///
    /// Errors: `in_use` while another process has it open.
    pub fn renew(path: &Path) -> Result<(Store, Salvage)> {
        let users = Users::join(path);
        let (connection, salvage) = users.alone(|| renew(path)).unwrap_or_else(|| Err(not_alone()))?;
        Ok((Store::of(connection, path, users), salvage))
    }

    /// The same for a database that is open: it goes on with the new one.
    pub fn renew_open(&self) -> Result<Salvage> {
        let mut connection = self.lock();
        let work = || {
            // Closed before its files are moved; nothing else may use them.
            *connection = Connection::open_in_memory().map_err(super::failed)?;
            let (fresh, salvage) = renew(&self.path)?;
            *connection = fresh;
            Ok(salvage)
        };
        self.users.alone(work).unwrap_or_else(|| Err(not_alone()))
    }
}

fn not_alone() -> Error {
    Error::in_use("another process has the database open")
        .hint("let other commands of this store end first, then repair again")
}

fn renew(path: &Path) -> Result<(Connection, Salvage)> {
    let aside = set_aside(path)?;
    let fresh = Store::connect(path)?;
    let mut salvage = match &aside {
        Some(aside) => read(aside, path)?,
        None => Salvage::default(),
    };
    salvage.aside = aside;
    Ok((fresh, salvage))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Moves a database with its log to a name that tells when; `None` if there was none.
fn set_aside(path: &Path) -> Result<Option<PathBuf>> {
    let now = jiff::Timestamp::now().as_microsecond();
    let aside = beside(path, &format!("-damaged-{now}"));
    for suffix in BESIDE {
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            other => other.during(|| format!("set `{}` aside", path.display()))?,
        }
    }
    Ok(aside.exists().then_some(aside))
}

/// Reads what can be read, from a copy: the file that was set aside stays as it was found.
fn read(aside: &Path, fresh: &Path) -> Result<Salvage> {
    let copy = beside(fresh, "-salvage");
    let mut salvage = Salvage::default();
    for with_first_page in [false, true] {
        for suffix in ["", "-wal"] {
            if beside(aside, suffix).exists() {
                fs::copy(beside(aside, suffix), beside(&copy, suffix))
                    .during(|| format!("copy `{}`", aside.display()))?;
            }
        }
        if with_first_page {
            mend_first_page(&copy).during(|| format!("read `{}`", aside.display()))?;
        }
        if let Ok(connection) = Connection::open(&copy) {
            salvage.read(&connection);
        }
        for suffix in BESIDE {
            let _ = fs::remove_file(beside(&copy, suffix));
        }
    }
    Ok(salvage)
}

/// Gives a copy the first page of a new database: its header, and where the tables begin, which is the same in every store.
fn mend_first_page(copy: &Path) -> std::io::Result<()> {
    let template = beside(copy, "-template");
    let made = Connection::open(&template).and_then(|connection| {
        for (step, sql) in super::MIGRATIONS.iter().enumerate() {
            connection.execute_batch(sql)?;
            connection.pragma_update(None, "user_version", step + 1)?;
        }
        Ok(())
    });
    let mut page = [0; PAGE];
    let read = made
        .map_err(std::io::Error::other)
        .and_then(|()| File::open(&template)?.read_exact_at(&mut page, 0));
    let _ = fs::remove_file(&template);
    read?;
    let file = File::options().write(true).open(copy)?;
    let pages = u32::try_from(file.metadata()?.len() / PAGE as u64).unwrap_or(u32::MAX);
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    file.write_all_at(&page, 0)
}

impl Salvage {
    fn read(&mut self, connection: &Connection) {
        rows(connection, "image", "rowid", images::image, |row| {
            self.images.entry(row.id.clone()).or_insert(row);
        });
        let layer = |row: &Row| Ok((parsed(row, "image")?, row.get("position")?, images::layer(row)?));
        rows(
            connection,
            "image_layer",
            "image, position",
            layer,
            |(image, position, row)| {
                self.layers.entry((image, position)).or_insert(row);
            },
        );
        let name = |row: &Row| Ok((parsed::<Reference>(row, "name")?, parsed::<Digest>(row, "image")?));
        rows(connection, "reference", "name", name, |(name, image)| {
            self.names.entry(name.to_string()).or_insert((name, image));
        });
        rows(connection, "container", "rowid", containers::container, |row| {
            self.containers.entry(row.id.as_str().to_owned()).or_insert(row);
        });
        rows(connection, "volume", "name", volumes::volume, |row| {
            self.volumes.entry(row.name.clone()).or_insert(row);
        });
        self.verbatim.resize_with(VERBATIM.len(), BTreeMap::new);
        for ((table, order, columns), found) in VERBATIM.iter().zip(&mut self.verbatim) {
            let values = |row: &Row| {
                (0..*columns)
                    .map(|column| row.get(column))
                    .collect::<rusqlite::Result<Vec<Value>>>()
            };
            rows(connection, table, order, values, |row| {
                found.entry(format!("{row:?}")).or_insert(row);
            });
        }
    }

    /// The layers of an image, lowest first, if none is missing.
    pub fn layers_of(&self, image: &Digest, count: usize) -> Option<Vec<LayerRow>> {
        (0..count)
            .map(|position| self.layers.get(&(image.clone(), position)).cloned())
            .collect()
    }
}

impl Tx<'_> {
    /// Puts back what registries were given and the trash kept. A row that fits no other is left out.
    pub fn restore_verbatim(&self, salvage: &Salvage) {
        for ((table, _, columns), rows) in VERBATIM.iter().zip(&salvage.verbatim) {
            let places = vec!["?"; *columns].join(", ");
            let sql = format!("INSERT OR IGNORE INTO {table} VALUES ({places})");
            for row in rows.values() {
                let _ = self.execute(&sql, rusqlite::params_from_iter(row));
            }
        }
    }
}

/// Reads a table from both ends up to what cannot be read; a row that makes no sense is passed over.
fn rows<T>(
    connection: &Connection,
    table: &str,
    order: &str,
    map: impl Fn(&Row) -> rusqlite::Result<T>,
    mut take: impl FnMut(T),
) {
    for direction in ["ASC", "DESC"] {
        let order = order.replace(',', &format!(" {direction},"));
        let Ok(mut statement) = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order} {direction}"))
        else {
            continue;
        };
        let Ok(mut found) = statement.query([]) else { continue };
        while let Ok(Some(row)) = found.next() {
            if let Ok(row) = map(row) {
                take(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_with_volumes(path: &Path, count: usize) -> Store {
        let store = Store::open(path).unwrap();
        store
            .write(|tx| {
                (0..count).try_for_each(|number| {
                    let row = VolumeRow {
                        name: format!("volume-{number:05}"),
                        created: jiff::Timestamp::UNIX_EPOCH,
                        labels: format!("{{\"{}\":\"\"}}", "x".repeat(100)),
                    };
                    tx.insert_volume(&row).map(drop)
                })
            })
            .unwrap();
        let connection = store.lock();
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
        drop(connection);
        store
    }

    #[test]
    fn rows_around_a_damaged_page_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        // Closed, for what was read before would be read from memory.
        drop(store_with_volumes(&path, 1000));
        let file = File::options().write(true).open(&path).unwrap();
        // A page of rows in the middle; others, of indexes, cost none.
        let bytes = fs::read(&path).unwrap();
        let pages: Vec<&[u8]> = bytes.chunks(PAGE).collect();
        let has_rows = |page: &&[u8]| page.windows(100).any(|text| text == [b'x'; 100]);
        let middle = pages.len() / 2 + pages[pages.len() / 2..].iter().position(has_rows).unwrap();
        file.write_all_at(&[0xa5; PAGE], (middle * PAGE) as u64).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(!store.faults().unwrap().is_empty());
        let salvage = store.renew_open().unwrap();
        assert!(
            salvage.volumes.len() > 900 && salvage.volumes.len() < 1000,
            "{}",
            salvage.volumes.len()
        );
        assert!(salvage.aside.unwrap().exists());
        assert_eq!(store.faults().unwrap(), Vec::<String>::new());
        assert!(store.read(|tx| tx.volumes()).unwrap().is_empty());
    }

    #[test]
    fn a_first_page_that_is_gone_costs_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        for length in [16, 100, PAGE] {
            drop(store_with_volumes(&path, 300));
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&vec![0; length], 0).unwrap();
            assert_eq!(Store::open(&path).err().unwrap().kind(), crate::error::Kind::Corrupt);
            let (_store, salvage) = Store::renew(&path).unwrap();
            assert_eq!(salvage.volumes.len(), 300, "{length} bytes gone");
        }
    }

    #[test]
    fn a_database_that_others_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        let (store, _other) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
        assert_eq!(store.renew_open().unwrap_err().kind(), crate::error::Kind::InUse);
        assert_eq!(Store::renew(&path).err().unwrap().kind(), crate::error::Kind::InUse);
    }
}
