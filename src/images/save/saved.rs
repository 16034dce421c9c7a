//! What was saved, and its checksum.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::{Context as _, Error, Result};
use crate::images::content;
use crate::model::{Context, Digest};

/// What was saved.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The file or directory; `-` for standard output.
    pub path: PathBuf,
    /// Bytes of the file; of all files of a directory.
    pub size: u64,
    /// The diff ids of layers whose blobs were dropped: they were made again from their files, with another digest where the dropped
    /// blob was compressed.
    pub rebuilt: Vec<Digest>,
    pub(super) checksum: Checksum,
}

/// The digest of what was written, or the file that has it: one that the kernel copied is hashed only for who asks, for that takes
/// longer than the copy.
#[derive(Debug, Clone)]
pub(super) enum Checksum {
    Known(Digest),
    File(Arc<Written>),
}

/// A file as it was written.
#[derive(Debug)]
pub(super) struct Written {
    path: PathBuf,
    facts: Facts,
    digest: OnceLock<Digest>,
}

/// What changes with a file: device, inode, size, and time of change in seconds and nanoseconds.
type Facts = (u64, u64, u64, i64, i64);

fn facts(metadata: &Metadata) -> Facts {
    let status = metadata;
    (
        status.dev(),
        status.ino(),
        status.size(),
        status.mtime(),
        status.mtime_nsec(),
    )
}

impl Checksum {
    /// That of a file just written, by what it was before it had its name: another save may have taken that since.
    pub(super) fn of(path: &Path, written: &Metadata) -> Result<Checksum> {
        Ok(Checksum::File(Arc::new(Written {
            // The script may change its directory before it asks.
            path: std::path::absolute(path).during(|| format!("use the path `{}`", path.display()))?,
            facts: facts(written),
            digest: OnceLock::new(),
        })))
    }
}

impl Saved {
    /// The SHA-256 of the file; of `index.json` for a directory. Errors: `conflict` if the file was changed or removed since.
    pub fn sha256(&self, ctx: &Context) -> Result<Digest> {
        match &self.checksum {
            Checksum::Known(digest) => Ok(digest.clone()),
            Checksum::File(written) => written.sha256(ctx),
        }
    }
}

impl Written {
    fn sha256(&self, ctx: &Context) -> Result<Digest> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest.clone());
        }
        let changed = || Error::conflict(format!("`{}` is not what was saved any more", self.path.display()));
        let mut file = File::open(&self.path).map_err(|_| changed())?;
        let is_same = |file: &File| file.metadata().is_ok_and(|status| facts(&status) == self.facts);
        let digest = content::hash(ctx, &mut file, &Digest::of(b""))?;
        if !is_same(&file) {
            return Err(changed());
        }
        Ok(self.digest.get_or_init(|| digest).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_checksum_is_of_what_was_written_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved.tar");
        let ctx = Context::new();
        std::fs::write(&path, "whole").unwrap();
        let saved = || Saved {
            path: path.clone(),
            size: 5,
            rebuilt: Vec::new(),
            checksum: Checksum::of(&path, &std::fs::metadata(&path).unwrap()).unwrap(),
        };
        let (asked, unasked) = (saved(), saved());
        assert_eq!(asked.sha256(&ctx).unwrap(), Digest::of(b"whole"));
        std::fs::write(&path, "other things").unwrap();
        assert_eq!(asked.sha256(&ctx).unwrap(), Digest::of(b"whole"), "told once, it stays");
        assert_eq!(unasked.sha256(&ctx).unwrap_err().kind(), Kind::Conflict);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(unasked.sha256(&ctx).unwrap_err().kind(), Kind::Conflict);
    }
}
