//! What the kernel told SQLite, which keeps it to itself behind codes of its own.

use nix::errno::Errno;
use rusqlite::{Connection, ffi};

/// Why the latest failure to read or write on this connection came about.
pub fn system_errno(connection: &Connection) -> Errno {
    // SAFETY: the handle is of an open connection, which is borrowed for as long as it is used; the call reads a number from it.
    Errno::from_raw(unsafe { ffi::sqlite3_system_errno(connection.handle()) })
}
