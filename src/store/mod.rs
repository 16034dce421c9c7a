//! The database: which images, names, containers, volumes and leases there are. The only SQL of the project.
//!
//! SQLite in WAL mode, shared by any number of processes. A row is what makes content visible, so it is written last, and
//! nothing that can be derived (running, mounted) is stored. It must not know what an image or a container means.

mod cache;
mod containers;
mod images;
mod integrity;
mod jobs;
mod leases;
mod packed;
mod references;
mod registry;
mod reserve;
mod run_totals;
mod salvage;
mod trash;
mod users;
mod volumes;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use rusqlite::ffi::{SQLITE_FULL, SQLITE_IOERR_SHMSIZE};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Context as _, Error, Kind, Result};
use crate::sys::{file, sqlite};

pub use cache::CachedRow;
pub use containers::ContainerRow;
pub use images::{ImageRow, LayerRow};
pub use jobs::{JobRow, RunRow};
pub use leases::{Lease, forget_leases, lease_is_dead};
pub use packed::PackedRow;
pub use registry::{ManifestRow, PartRow};
pub use run_totals::RunTotal;
pub use salvage::Salvage;
pub use trash::{TrashRow, TrashedImage, TrashedName};
pub use volumes::VolumeRow;

use users::Users;

const MIGRATIONS: [&str; 13] = [
    include_str!("migrations/001-first.sql"),
    include_str!("migrations/002-index.sql"),
    include_str!("migrations/003-sources.sql"),
    include_str!("migrations/004-registry.sql"),
    include_str!("migrations/005-cache.sql"),
    include_str!("migrations/006-packed.sql"),
    include_str!("migrations/007-trash.sql"),
    include_str!("migrations/008-trash_run.sql"),
    include_str!("migrations/009-jobs.sql"),
    include_str!("migrations/010-run_total.sql"),
    include_str!("migrations/011-notices.sql"),
    include_str!("migrations/012-triggers.sql"),
    include_str!("migrations/013-unsettled.sql"),
];

/// The way out of a damaged database.
pub const REBUILD: &str = "`hoist eval 'system::check(#{repair: true})'` makes the database anew from what can still be read of it and from the \
     store's files";

/// How long a writer waits for another process before it gives up.
const BUSY: Duration = Duration::from_secs(60);

/// Pages of 4 KiB the log may have before it is copied into the database; whoever opens the database first reads all of it.
const LOG_PAGES: u32 = 256;

/// An open database. One connection, used by one thread at a time.
pub struct Store {
    connection: Mutex<Connection>,
    path: PathBuf,
    users: Users,
}

/// A transaction; the methods of the tables are on it.
pub struct Tx<'a>(rusqlite::Transaction<'a>);

impl Store {
    /// Opens the database at `path`, makes it if it is absent, and brings its tables up to date.
    pub fn open(path: &Path) -> Result<Store> {
        reserve::balance(path);
        let users = Users::join(path);
        let connection = match Store::connect(path) {
            Err(error) if error.kind() == Kind::NoSpace && reserve::release(path) => Store::connect(path),
            other => other,
        };
        let connection = connection.during(|| format!("open the store `{}`", path.display()))?;
        Ok(Store::of(connection, path, users))
    }

    fn connect(path: &Path) -> Result<Connection> {
        // SQLite gives the files beside it the mode that this one has. It says itself why it cannot be made.
        let mut made = File::options();
        let _ = made.create(true).truncate(false).write(true).mode(0o600).open(path);
        let given_up = Instant::now() + BUSY;
        let connection = loop {
            match Store::connect_once(path) {
                Err(error) if is_being_opened(&error) && Instant::now() < given_up => {}
                other => break other,
            }
        };
        connection.map_err(|error| explained(error, path))
    }

    fn connect_once(path: &Path) -> Result<Connection> {
        let mut connection = Connection::open(path).map_err(failed)?;
        let ready = Store::prepare(&mut connection, path);
        ready.map_err(|error| full_at(path, error, &connection))?;
        Ok(connection)
    }

    fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
        configure(connection)?;
        if is_current(connection)? {
            return Ok(());
        }
        // SQLite does not wait for others where it changes the kind of its log: one process makes or changes a store.
        let dir = File::open(path.parent().unwrap_or(Path::new("/")));
        let _alone = dir
            .and_then(|dir| Ok(file::lock(dir, false)?))
            .during(|| "lock the store")?;
        connection.execute_batch("PRAGMA journal_mode = WAL;").map_err(failed)?;
        migrate(connection)
    }

    /// A private copy in memory of the database at `path`, or an empty one: what happens to it is seen by nobody else.
    pub fn open_copy(path: &Path) -> Result<Store> {
        let failed = |cause| explained(failed(cause), path).during(format!("copy the store `{}`", path.display()));
        let mut copy = Connection::open_in_memory().map_err(failed)?;
        if path.exists() {
            let source =
                Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
            source.busy_timeout(BUSY).map_err(failed)?;
            let backup = rusqlite::backup::Backup::new(&source, &mut copy).map_err(failed)?;
            backup
                .run_to_completion(i32::MAX, Duration::ZERO, None)
                .map_err(failed)?;
        }
        configure(&copy)?;
        migrate(&mut copy)?;
        Ok(Store::of(copy, path, Users::none()))
    }

    fn of(connection: Connection, path: &Path, users: Users) -> Store {
        Store {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            users,
        }
    }

    /// Runs `work` on one consistent view.
    pub fn read<T>(&self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        self.run(TransactionBehavior::Deferred, work)
    }

    /// Runs `work` as the only writer; an error rolls everything back.
    pub fn write<T>(&self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        self.run(TransactionBehavior::Immediate, work)
    }

    /// Like [`Store::write`], and on the disk when it returns: for what is followed by the removal of content, which a power
    /// cut must not find done while the rows that point to it are back.
    pub fn write_durably<T>(&self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        // Another thread's transaction must not come between and set the level back, so all is done under one lock.
        let mut connection = self.lock();
        synchronous(&connection, "FULL")?;
        let outcome = self.run_on(&mut connection, TransactionBehavior::Immediate, work);
        synchronous(&connection, "NORMAL")?;
        outcome
    }

    fn run<T>(&self, behavior: TransactionBehavior, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        self.run_on(&mut self.lock(), behavior, work)
    }

    fn run_on<T>(
        &self,
        connection: &mut Connection,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Tx) -> Result<T>,
    ) -> Result<T> {
        let done = run_in(connection, behavior, work);
        done.map_err(|error| full_at(&self.path, error, connection))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run_in<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Tx) -> Result<T>,
) -> Result<T> {
    let tx = Tx(connection.transaction_with_behavior(behavior).map_err(failed)?);
    let value = work(&tx)?;
    tx.0.commit().map_err(failed)?;
    Ok(value)
}

fn synchronous(connection: &Connection, level: &str) -> Result<()> {
    connection.pragma_update(None, "synchronous", level).map_err(failed)
}

/// What holds for one connection and is not kept in the file.
fn configure(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY).map_err(failed)?;
    // NORMAL under WAL: a power cut may take back the last transactions, never tear one.
    connection
        .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
        .map_err(failed)?;
    // The last process to close the database would otherwise copy the log into it and delete the log, which waits for the
    // disk several times: most of what a command that changes one thing would take. The log stays short instead.
    let keep_log = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, true).map_err(failed)?;
    connection
        .pragma_update(None, "wal_autocheckpoint", LOG_PAGES)
        .map_err(failed)?;
    // A statement that is kept would otherwise be made anew for each other value it is given: the tables have no statistics to gain by.
    let keep_plan = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    connection.set_db_config(keep_plan, true).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn version(connection: &Connection) -> Result<usize> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    version.map_err(failed)
}

/// Whether the file has its write-ahead log and the newest tables.
fn is_current(connection: &Connection) -> Result<bool> {
    let journal = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    Ok(journal.map_err(failed)? == "wal" && version(connection)? == MIGRATIONS.len())
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let found = version(connection)?;
    if found > MIGRATIONS.len() {
        return Err(Error::unsupported(format!(
            "the store has version {found}, this program knows {}",
            MIGRATIONS.len()
        ))
        .hint("use the newer program that last opened it"));
    }
    if found == MIGRATIONS.len() {
        return Ok(());
    }
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    // Another process may have migrated while this one waited for the lock.
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(version(&tx)?) {
        tx.execute_batch(sql).map_err(failed)?;
        tx.pragma_update(None, "user_version", step + 1).map_err(failed)?;
    }
    tx.commit().map_err(failed)
}

/// The error in the kernel's words where SQLite knows only that it cannot open or write the file.
fn explained(error: Error, path: &Path) -> Error {
    if error.kind() != Kind::Denied {
        return error;
    }
    let dir = path.parent().unwrap_or(path);
    // The files of the write-ahead log come and go beside the database, so its directory counts as much as itself.
    let places = [dir, path].into_iter().filter(|place| place.exists());
    let refusal = places
        .into_iter()
        .find_map(|place| access(place, AccessFlags::W_OK).err());
    let Some(errno) = refusal else {
        return match reserve::is_disk_full(path) {
            true => full(Errno::ENOSPC),
            false => error,
        };
    };
    let refused = Err::<(), _>(errno).during(|| format!("write to `{}`", dir.display()));
    let error = refused.err().unwrap_or(error);
    match errno {
        Errno::EROFS => error.hint("mount the file system writable, or choose another place by `--root`"),
        _ => error.hint("run as the user the store belongs to, or choose another place by `--root`"),
    }
}

/// What SQLite says, in our kinds.
fn failed(cause: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    if is_full(&cause) {
        return full(Errno::ENOSPC).source(cause);
    }
    let kind = match cause.sqlite_error_code() {
        Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => Kind::Denied,
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => Kind::Corrupt,
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed) => Kind::Timeout,
        _ => Kind::Internal,
    };
    let error = Error::new(kind, format!("database: {cause}")).source(cause);
    match kind {
        Kind::Corrupt => error.hint(REBUILD),
        _ => error,
    }
}

fn full(errno: Errno) -> Error {
    let error = Error::no_space(format!("database: {}", errno.desc().to_lowercase()));
    match errno {
        Errno::EDQUOT => error.hint("free some space of the quota the store is under, or raise it"),
        _ => error.hint("free some space on the disk the store is on"),
    }
}

/// The error with the place where there is no room, if that is it: of most calls that fail SQLite says only that they do.
fn full_at(path: &Path, error: Error, connection: &Connection) -> Error {
    let place = format!("write to `{}`", path.display());
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    let Some(cause) = cause else { return error };
    let is_refused = cause.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure);
    match sqlite::system_errno(connection) {
        errno @ (Errno::ENOSPC | Errno::EDQUOT) if is_refused => full(errno).during(place),
        _ if is_full(cause) => error.during(place),
        _ => error,
    }
}

/// Whether another process was about to be the first to open the database for as long as SQLite itself waits for that, which
/// is ten seconds: a stopped one, or one on a slow disk.
fn is_being_opened(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    let code = cause.and_then(rusqlite::Error::sqlite_error_code);
    code == Some(rusqlite::ErrorCode::FileLockingProtocolFailed)
}

/// A full disk: either SQLite says so, or it could not make the index of the write-ahead log as large as it must be.
fn is_full(cause: &rusqlite::Error) -> bool {
    let code = cause.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(SQLITE_FULL | SQLITE_IOERR_SHMSIZE))
}

fn time(value: jiff::Timestamp) -> i64 {
    value.as_microsecond()
}

fn read_time(row: &rusqlite::Row, column: &str) -> rusqlite::Result<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(row.get(column)?).map_err(unreadable)
}

/// A column parsed from its text form.
fn parsed<T: std::str::FromStr<Err = Error>>(row: &rusqlite::Row, column: &str) -> rusqlite::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(unreadable)
}

fn unreadable(cause: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(cause))
}

impl Tx<'_> {
    /// Runs a statement with parameters; returns the number of rows it touched.
    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
        self.0
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(parameters))
            .map_err(failed)
    }

    /// All rows of a query, mapped.
    fn all<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        map: impl FnMut(&rusqlite::Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(parameters, map).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    /// The first row of a query, mapped, if there is one.
    fn first<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        map: impl FnMut(&rusqlite::Row) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.all(sql, parameters, map)?.into_iter().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_store_is_refused_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        Store::open(&path).unwrap();
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert_eq!(Store::open(&path).err().unwrap().kind(), Kind::Unsupported);
    }

    #[test]
    fn a_file_that_is_no_database_is_corrupt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        std::fs::write(&path, "not a database, but long enough to be looked at".repeat(40)).unwrap();
        assert_eq!(Store::open(&path).err().unwrap().kind(), Kind::Corrupt);
    }

    #[test]
    fn what_happens_to_a_copy_stays_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.db");
        let store = Store::open(&path).unwrap();
        let volume = VolumeRow {
            name: "v".into(),
            created: jiff::Timestamp::UNIX_EPOCH,
            labels: "{}".into(),
        };
        store.write(|tx| tx.insert_volume(&volume)).unwrap();
        let copy = Store::open_copy(&path).unwrap();
        copy.write(|tx| tx.delete_volume("v")).unwrap();
        assert!(copy.read(|tx| tx.volume("v")).unwrap().is_none());
        assert!(store.read(|tx| tx.volume("v")).unwrap().is_some());
    }

    #[test]
    fn many_open_a_new_store_at_once() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("hoist.db");
            std::thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| Store::open(&path).unwrap());
                }
            });
        }
    }

    #[test]
    fn a_durable_transaction_stays_one_beside_those_of_other_threads() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let level = |tx: &Tx| {
            let level = tx.0.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0));
            level.map_err(failed)
        };
        let full = 2;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        assert_eq!(store.write_durably(level).unwrap(), full);
                    }
                });
            }
        });
        assert_ne!(store.write(level).unwrap(), full);
    }

    #[test]
    fn an_error_rolls_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("hoist.db")).unwrap();
        let volume = VolumeRow {
            name: "v".into(),
            created: jiff::Timestamp::UNIX_EPOCH,
            labels: "{}".into(),
        };
        let outcome: Result<()> = store.write(|tx| {
            tx.insert_volume(&volume)?;
            Err(Error::invalid("no"))
        });
        assert_eq!(outcome.unwrap_err().kind(), Kind::Invalid);
        assert!(store.read(|tx| tx.volume("v")).unwrap().is_none());
    }
}
