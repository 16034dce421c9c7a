//! A blob on its way in: written and hashed as it comes, and visible to nobody before it is whole.

use std::fs::File;
use std::path::PathBuf;

use super::content::{self, Content};
use super::layer::BlobWriter;
use super::staging::Staging;
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file::sync_directory;

/// A blob being written and hashed.
pub struct Incoming(BlobWriter);

/// A blob that has come in whole, in its staging directory.
#[derive(Debug)]
pub struct Arrived {
    pub(super) path: PathBuf,
    /// What it is.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl Incoming {
    /// An empty one in a staging directory, hashed by this algorithm; by SHA-256 without one.
    pub fn new(staging: &Staging, algorithm: Option<&str>) -> Result<Incoming> {
        let hasher = match algorithm {
            Some("sha512") => Hasher::sha512(),
            _ => Hasher::new(),
        };
        BlobWriter::create(staging.free_path(), hasher).map(Incoming)
    }

    /// Adds bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.0.write(chunk)
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.0.written()
    }

    /// That was all.
    pub fn finish(self) -> Arrived {
        let (path, digest, size) = self.0.finish();
        let path = path.expect("it was made with a file");
        Arrived { path, digest, size }
    }

    /// That was all, and it goes.
    pub fn discard(self) {
        // What stays goes with the staging directory.
        let _ = std::fs::remove_file(self.finish().path);
    }
}

impl Arrived {
    /// It must be what this digest says. Where that is of another algorithm, the file is read again.
    ///
    /// Errors: `corrupt`; the file is gone then.
    pub fn expect(mut self, ctx: &Context, wanted: &Digest) -> Result<Arrived> {
        if wanted.algorithm() != self.digest.algorithm() {
            let mut file = File::open(&self.path).during(|| format!("read `{}`", self.path.display()))?;
            self.digest = content::hash(ctx, &mut file, wanted)?;
        }
        match content::check_digest(&self.digest, wanted, "what was sent") {
            Ok(()) => Ok(self),
            Err(error) => {
                let _ = std::fs::remove_file(&self.path);
                Err(error)
            }
        }
    }
}

impl Content {
    /// Makes blobs that have come in visible, and lasting; what they are must be held. One that is there already stays.
    pub fn publish_arrived(&self, arrived: &[Arrived]) -> Result<()> {
        let mut dirs = Vec::new();
        for Arrived { path, digest, .. } in arrived {
            if self.has_blob(digest) {
                let _ = std::fs::remove_file(path);
                continue;
            }
            let written = File::open(path).and_then(|file| file.sync_data());
            written.during(|| format!("write the blob `{digest}` to disk"))?;
            self.publish_blob(path, digest)?;
            dirs.extend(self.blob_path(digest).parent().map(std::path::Path::to_owned));
        }
        dirs.dedup();
        for dir in dirs {
            sync_directory(&dir).during(|| format!("write `{}` to disk", dir.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::images::Limits;

    #[test]
    fn what_is_not_what_it_should_be_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(temp.path(), &Limits::default()).unwrap();
        let (staging, ctx) = (content.stage().unwrap(), Context::new());
        let arrive = || {
            let mut incoming = Incoming::new(&staging, None).unwrap();
            incoming.write(b"some").unwrap();
            incoming.write(b"thing").unwrap();
            incoming.finish()
        };
        let error = arrive().expect(&ctx, &Digest::of(b"else")).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        for digest in [
            Digest::of(b"something"),
            Digest::from_hex(&"0".repeat(128)).unwrap().same_of(b"something"),
        ] {
            let arrived = arrive().expect(&ctx, &digest).unwrap();
            content.publish_arrived(&[arrived]).unwrap();
            assert_eq!(content.read_blob(&digest, 99).unwrap(), b"something");
        }
    }
}
