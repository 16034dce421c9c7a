//! What files and trees take of the disk: allocated blocks, as du(1) counts them, each inode once whatever its names are.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::content::{Content, open_dir};
use super::tree;
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest};

/// A block of `stat`, whatever those of the file system are (stat(2)).
const BLOCK: u64 = 512;

/// A count under way.
#[derive(Debug, Default)]
pub struct DiskUsage {
    seen: HashSet<(u64, u64)>,
}

impl DiskUsage {
    /// Bytes that a file, or a directory with all below it, takes beyond what was counted before; nothing for what is not there.
    pub fn of(&mut self, ctx: &Context, path: &Path) -> Result<u64> {
        let facts = match path.symlink_metadata() {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            other => other.during(|| format!("look at `{}`", path.display()))?,
        };
        let mut bytes = self.count((facts.dev(), facts.ino()), facts.blocks());
        if facts.is_dir() {
            tree::walk(ctx, open_dir(path)?.as_fd(), &mut |node| {
                let blocks = u64::try_from(node.status.st_blocks).unwrap_or(0);
                bytes += self.count((node.status.st_dev, node.status.st_ino), blocks);
                Ok(true)
            })?;
        }
        Ok(bytes)
    }

    fn count(&mut self, inode: (u64, u64), blocks: u64) -> u64 {
        if self.seen.insert(inode) { blocks * BLOCK } else { 0 }
    }
}

impl Content {
    /// The files and directories of an unpacked layer: its tree, its record, and what was made for stacks with it on top.
    pub fn layer_places(&self) -> Result<Vec<(Digest, PathBuf)>> {
        let dir = self.layers_dir();
        let mut places = Vec::new();
        for entry in std::fs::read_dir(&dir).during(|| format!("list `{}`", dir.display()))? {
            let path = entry.during(|| format!("list `{}`", dir.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Ok(digest) = Digest::from_hex(name.split('.').next().unwrap_or_default()) {
                places.push((digest, path));
            }
        }
        places.sort();
        Ok(places)
    }
}
