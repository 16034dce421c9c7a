//! A blob on its way in: written and hashed as it comes, and visible to nobody before it is whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use super::content::{self, Content};
use super::layer::BlobWriter;
use super::staging::Staging;
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file::{self, Lock, sync_directory};

/// What the names of blobs end with that come in several steps.
const MARK: &str = ".upload";
/// How long one waits for the rest if nobody serves who could be given it.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// A blob being written and hashed.
pub struct Incoming {
    writer: BlobWriter,
    /// Of one that comes in several steps: nobody else goes on with it.
    lock: Option<Lock>,
}

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
        let hasher = hasher(algorithm);
        Ok(Incoming {
            writer: BlobWriter::create(staging.free_path(), hasher)?,
            lock: None,
        })
    }

    /// Adds bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.writer.write(chunk)
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.writer.written()
    }

    /// That was all.
    pub fn finish(self) -> Arrived {
        let (path, digest, size) = self.writer.finish();
        let path = path.expect("it was made with a file");
        drop(self.lock);
        Arrived { path, digest, size }
    }

    /// That was all, and it goes.
    pub fn discard(self) {
        // What stays goes with the staging directory, or when it has been there for long.
        let _ = std::fs::remove_file(self.finish().path);
    }
}

fn hasher(algorithm: Option<&str>) -> Hasher {
    match algorithm {
        Some("sha512") => Hasher::sha512(),
        _ => Hasher::new(),
    }
}

/// Blobs that come in several steps outlive who takes them, as `ingest/NAME.upload`. How much is there the file says, and of what it is
/// the end will tell: nothing is kept beside it.
impl Content {
    /// One of which nothing is there yet; the name must be new.
    pub fn begin_upload(&self, name: &str, algorithm: Option<&str>) -> Result<Incoming> {
        let path = self.upload_path(name);
        let what = || format!("make `{}`", path.display());
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let lock = file::lock(file.during(what)?, false).during(what)?;
        let own = lock.try_clone().during(what)?;
        Ok(Incoming {
            writer: BlobWriter::resume(path, own, 0, hasher(algorithm)),
            lock: Some(lock),
        })
    }

    /// One that was begun, with what came of it; `None` if there is none, or another process has it.
    pub fn resume_upload(&self, ctx: &Context, name: &str, algorithm: Option<&str>) -> Result<Option<Incoming>> {
        let path = self.upload_path(name);
        let what = || format!("open `{}`", path.display());
        let file = match File::options().read(true).write(true).open(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.during(what)?,
        };
        let Some(lock) = file::try_lock(file).during(what)? else {
            return Ok(None);
        };
        let mut own = lock.try_clone().during(what)?;
        let had = own.seek(SeekFrom::End(0)).during(what)?;
        let mut writer = BlobWriter::resume(path.clone(), own, had, hasher(algorithm));
        // To be hashed once more.
        let (mut input, mut buffer) = (File::open(&path).during(what)?.take(had), vec![0; PIECE]);
        loop {
            ctx.check()?;
            match input.read(&mut buffer).during(what)? {
                0 => break,
                length => writer.write(&buffer[..length])?,
            }
        }
        Ok(Some(Incoming {
            writer,
            lock: Some(lock),
        }))
    }

    fn upload_path(&self, name: &str) -> PathBuf {
        self.root.join("ingest").join(format!("{name}{MARK}"))
    }

    /// Removes those that nobody has and nobody has gone on with for so long.
    pub fn forget_uploads(&self, age: Duration) -> Result<()> {
        self.forget_old(MARK, age)
    }

    /// The same for those that nobody serves.
    pub(super) fn forget_lone_uploads(&self) -> Result<()> {
        self.forget_old(MARK, KEPT)
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
