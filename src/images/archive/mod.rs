//! Tar archives as streams: read with limits, written reproducibly. Knows nothing of layers or file systems.

mod acl;
#[cfg(test)]
mod differential_tests;
mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

#[cfg(any(test, fuzzing))]
pub(crate) use pax::Pax;
pub(crate) use reader::{Input, Reader};
pub(crate) use sparse::Segment;
pub(crate) use writer::Writer;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Hardlink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// A time of modification: seconds since the epoch, rounded down, and nanoseconds above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mtime {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// One archive entry, its extended headers applied; its data follows in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Mtime,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// Bytes of the file, holes included.
    pub(crate) size: u64,
    /// Where the stored bytes belong in a sparse file; `None` for a plain one.
    pub(crate) sparse: Option<Vec<Segment>>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An entry of the given kind with nothing set, to be filled and written.
    pub(crate) fn new(path: Vec<u8>, kind: Kind, mode: u32) -> Entry {
        Entry {
            path,
            kind,
            link: Vec::new(),
            mode,
            uid: 0,
            gid: 0,
            mtime: Mtime::default(),
            device: (0, 0),
            size: 0,
            sparse: None,
            xattrs: Vec::new(),
        }
    }
}
