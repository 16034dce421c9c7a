//! The files of what is saved: bytes at hand, or a blob on disk.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::error::{Context as _, Error, Result};
use crate::images::content;
use crate::images::output::Output;
use crate::model::{Context, Digest, Hasher};

/// A file of the layout.
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// A file, and the digest it must have; none for one that was hashed while it was made.
    Blob(PathBuf, Option<Digest>),
}

/// Bytes that are copied before those who watch are told.
const PIECE: u64 = 32 << 20;

impl Part {
    /// What those who watch are told it is called: the first digits of the file's name.
    pub(super) fn name(&self) -> String {
        match self {
            Part::Bytes(_) => String::new(),
            Part::Blob(path, _) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.chars().take(12).collect()
            }
        }
    }

    pub(super) fn size(&self) -> Result<u64> {
        match self {
            Part::Bytes(bytes) => Ok(bytes.len() as u64),
            Part::Blob(path, _) => {
                let facts = std::fs::metadata(path).during(|| format!("read the blob `{}`", path.display()))?;
                Ok(facts.len())
            }
        }
    }

    /// Gives the bytes piece by piece, and at the end an error if a blob was not what its name says.
    pub(super) fn read(&self, ctx: &Context, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (path, digest) = match self {
            Part::Bytes(bytes) => return put(bytes),
            Part::Blob(path, digest) => (path, digest),
        };
        let what = || format!("read the blob `{}`", path.display());
        // A blob that grows is cut where the size that was promised ends, and its digest tells.
        let mut file = File::open(path).during(what)?.take(self.size()?);
        let (mut hasher, mut buffer) = (digest.as_ref().map(Hasher::like), vec![0; 1 << 18]);
        loop {
            ctx.check()?;
            let length = file.read(&mut buffer).during(what)?;
            if length == 0 {
                break;
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&buffer[..length]);
            }
            put(&buffer[..length])?;
        }
        match (hasher, digest) {
            (Some(hasher), Some(digest)) => content::check_digest(&hasher.finish(), digest, "the blob"),
            _ => Ok(()),
        }
    }

    /// Errors: `corrupt` for a blob that is not what its name says.
    pub(super) fn verify(&self, ctx: &Context) -> Result<()> {
        match self {
            Part::Blob(_, Some(_)) => self.read(ctx, &mut |_| Ok(())),
            _ => Ok(()),
        }
    }

    /// Appends it; a blob is copied by the kernel, which shares the blocks where the file system can, and is not verified.
    pub(super) fn append_to(&self, ctx: &Context, output: &mut Output, size: u64) -> Result<()> {
        match self {
            Part::Bytes(bytes) => output.put(bytes),
            Part::Blob(path, _) => {
                let blob = File::open(path).during(|| format!("read the blob `{}`", path.display()))?;
                let (name, mut came) = (self.name(), 0);
                while came < size {
                    let piece = (size - came).min(PIECE);
                    let lacks = output.append(ctx, &blob, piece)?;
                    if lacks > 0 {
                        let lacks = size - came - piece + lacks;
                        let text = format!("the blob `{}` lacks {lacks} of {size} bytes", path.display());
                        return Err(Error::corrupt(text));
                    }
                    came += piece;
                    ctx.watcher().came(&name, came);
                }
                ctx.watcher().done(&name, false);
                Ok(())
            }
        }
    }
}
