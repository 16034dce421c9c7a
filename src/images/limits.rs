//! What an image may cost before it is refused: every bound on bytes that come from outside, in one place.

use crate::error::{Error, Kind};

/// Bounds on what archives, manifests and layers may contain. Names of fields are the names of the settings.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of extended headers (pax, GNU long names) of one archive entry.
    pub entry_metadata: u64,
    /// Bytes of a path or link target within an archive.
    pub path: usize,
    /// Segments of one sparse file.
    pub sparse_segments: usize,
    /// Entries in one layer or archive.
    pub entries: u64,
    /// Layers of one image; the kernel stacks 500 (`OVL_MAX_STACK`).
    pub layers: usize,
    /// Bytes of one manifest, index or configuration (OCI distribution-spec asks for at least 4 MiB).
    pub document: u64,
    /// Manifests in one index or `manifest.json`.
    pub manifests: usize,
    /// How deep an index may lie within an index.
    pub index_depth: usize,
    /// Bytes one layer may unpack to, holes of sparse files not counted.
    pub layer_size: u64,
    /// Uncompressed bytes per compressed byte, looked at once `ratio_floor` bytes came out.
    pub ratio: u64,
    /// Bytes of a layer that may come out before its ratio is looked at.
    pub ratio_floor: u64,
    /// Base-two logarithm of the largest zstd window; a window is memory.
    pub zstd_window_log: u32,
    /// Bytes of memory an xz decoder may take.
    pub xz_memory: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entry_metadata: 1 << 20,
            path: 4096,
            sparse_segments: 10_000,
            entries: 2_000_000,
            layers: 500,
            document: 4 << 20,
            manifests: 1000,
            index_depth: 4,
            layer_size: 1 << 40,
            ratio: 200,
            ratio_floor: 1 << 30,
            zstd_window_log: 27,
            xz_memory: 256 << 20,
        }
    }
}

/// The error for something that exceeds the limit called `setting`.
pub(crate) fn exceeded(what: impl std::fmt::Display, setting: &str, limit: impl std::fmt::Display) -> Error {
    Error::new(
        Kind::Corrupt,
        format!("{what} exceeds the limit `{setting}` of {limit}"),
    )
    .hint(format!(
        "the bound on `{setting}` protects this machine from hostile input: see that the input is what you expect, or make it smaller"
    ))
}
