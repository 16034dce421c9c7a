//! One entry point for each kind of bytes that come from outside: what `fuzz/` throws bytes at for hours, the unit tests do for seconds.
//!
//! Each takes any bytes and panics where a promise is broken: what is refused is refused by an error, what is accepted keeps within the
//! limits and reads the same however it comes in, nothing outside is touched and nothing half made stays.

mod archive;
mod layer;
mod model;
#[cfg(test)]
mod random;
mod seeds;
mod tar;
#[cfg(test)]
mod tests;
mod text;
mod yard;

use std::io::Read;

#[cfg(test)]
pub(super) use layer::judged;
#[cfg(test)]
pub(super) use random::Random;
#[cfg(test)]
pub(super) use tar::{entries as tar_entries, mended};

use super::compression;
use super::limits::Limits;

/// Something to throw bytes at.
#[derive(Clone, Copy)]
pub struct Target {
    /// What a fuzzer calls it.
    pub name: &'static str,
    /// Takes any bytes and tells whether they were accepted; panics if a promise is broken.
    pub run: fn(&[u8]) -> bool,
    /// Bytes to start from, each of which gets somewhere.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    target("tar", tar::run, seeds::tars),
    target("pax", tar::pax, seeds::pax),
    target("layer", layer::run, seeds::layers),
    target("document", text::document, seeds::documents),
    target("reference", text::reference, seeds::references),
    target("archive", archive::run, seeds::archives),
    target("framing", framing, seeds::framings),
];

const fn target(name: &'static str, run: fn(&[u8]) -> bool, seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// The target of this name; panics if there is none.
pub fn named(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.expect("a fuzz target has a name of the table")
}

/// Bounds low enough for bytes as few as a fuzzer makes to reach them.
fn limits() -> Limits {
    Limits {
        entry_metadata: 8 << 10,
        path: 600,
        sparse_segments: 50,
        entries: 100,
        layers: 8,
        document: 32 << 10,
        manifests: 8,
        pages: 100,
        token: 1 << 10,
        transfer_rate: 0,
        transfer_window: 60,
        index_depth: 2,
        layer_size: 1 << 20,
        ratio: 20,
        ratio_floor: 64 << 10,
        zstd_window_log: 21,
        xz_memory: 16 << 20,
    }
}

/// A compressed stream: what comes out is bounded by what goes in.
fn framing(bytes: &[u8]) -> bool {
    let limits = limits();
    let Ok(mut decoder) = compression::decoder(bytes, &limits) else {
        return false;
    };
    let allowed = limits.ratio_floor.max(limits.ratio * bytes.len() as u64);
    let (mut made, mut buffer) = (0, vec![0; 16 << 10]);
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => made += length as u64,
            Err(_) => return false,
        }
        assert!(made <= allowed, "{made} bytes came out of {}", bytes.len());
    }
}
