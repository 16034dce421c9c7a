//! The files of what is saved: bytes at hand, or a blob on disk.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};
use crate::images::content;
use crate::model::{Context, Digest, Hasher};

/// A file of the layout.
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// A file and the digest it must have.
    Blob(PathBuf, Digest),
}

/// Bytes copied by the kernel between two looks at whether to stop.
const STEP: u64 = 16 << 20;

impl Part {
    pub(super) fn size(&self) -> Result<u64> {
        match self {
            Part::Bytes(bytes) => Ok(bytes.len() as u64),
            Part::Blob(path, digest) => {
                let facts = std::fs::metadata(path).during(|| format!("read the blob `{digest}`"))?;
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
        let what = || format!("read the blob `{digest}`");
        // A blob that grows is cut where the size that was promised ends, and its digest tells.
        let mut file = File::open(path).during(what)?.take(self.size()?);
        let (mut hasher, mut buffer) = (Hasher::like(digest), vec![0; 1 << 18]);
        loop {
            ctx.check()?;
            let length = file.read(&mut buffer).during(what)?;
            if length == 0 {
                return content::check_digest(&hasher.finish(), digest, "the blob");
            }
            hasher.update(&buffer[..length]);
            put(&buffer[..length])?;
        }
    }

    /// Writes it as a new file; a blob is copied by the kernel, which shares the blocks where the file system can, while it is verified.
    pub(super) fn copy_to(&self, ctx: &Context, path: &Path) -> Result<()> {
        let what = || format!("write `{}`", path.display());
        let mut file = File::create_new(path).during(what)?;
        let blob = match self {
            Part::Bytes(bytes) => return file.write_all(bytes).during(what),
            Part::Blob(blob, _) => blob,
        };
        std::thread::scope(|scope| {
            let verified = scope.spawn(|| self.read(ctx, &mut |_| Ok(())));
            let copied = copy(ctx, blob, &mut file).during(what);
            verified.join().expect("a verifier does not panic").and(copied)
        })
    }
}

fn copy(ctx: &Context, blob: &Path, file: &mut File) -> Result<()> {
    let mut blob = File::open(blob).during(|| "open the blob")?;
    while std::io::copy(&mut (&mut blob).take(STEP), file).during(|| "copy the blob")? > 0 {
        ctx.check()?;
    }
    Ok(())
}
