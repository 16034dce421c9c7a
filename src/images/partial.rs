//! Blobs of which a part is here: what a transfer brought before it ended stays, so that the next one goes on from there.
//!
//! A part is the file `ingest/<digits>.part`, locked by whoever fetches the rest. No state of a hash is kept beside it: the bytes are read
//! again anyway, to be unpacked, and so nothing but the bytes themselves vouches for them.
//!
//! A part that is whole becomes a blob by a second name and goes when an image needs that: of a process that dies between the two the
//! blob is removed, as all that nothing needs, and the part is there for the next one.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom, Take};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::content::Content;
use super::layer::BlobWriter;
use crate::error::{Context as _, Result};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file::{self, Lock};

/// What the names of parts end with.
const MARK: &str = ".part";
/// What the names of those end with that are handed on while they come.
const RELAYED: &str = ".relay.part";
/// How long a part waits for someone to want the rest.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The longest rest between two looks at whether somebody else is done.
const LOOK: Duration = Duration::from_millis(100);

/// Whether a staged file is a part.
pub(super) fn is_part(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(MARK.as_bytes())
}

/// Whether a part has become a blob, which is another name of it.
fn is_blob(status: &Metadata) -> bool {
    status.nlink() > 1
}

/// A part of a blob that nobody else fetches at the same time.
pub(crate) struct Partial {
    digest: Digest,
    path: PathBuf,
    file: Lock,
}

impl Content {
    /// The part of a blob that is here, maybe nothing of it, once nobody else fetches it. Whoever wants several takes them in the order of
    /// their digests, so that no two wait for each other.
    pub(crate) fn partial(&self, ctx: &Context, digest: &Digest) -> Result<Partial> {
        self.partial_at(ctx, digest, MARK)
    }

    /// The same for a registry that hands the blob on while it comes: one that pulls from that registry into this store has a part of its own.
    pub(crate) fn relayed_partial(&self, ctx: &Context, digest: &Digest) -> Result<Partial> {
        self.partial_at(ctx, digest, RELAYED)
    }

    fn partial_at(&self, ctx: &Context, digest: &Digest, mark: &str) -> Result<Partial> {
        let path = self.root.join("ingest").join(format!("{}{mark}", digest.hex()));
        let what = || format!("open `{}`", path.display());
        let mut rest = Duration::from_millis(5);
        loop {
            let options = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path);
            let locked = file::try_lock(options.during(what)?).during(what)?;
            // The one before may have been made a blob, or given up, meanwhile.
            if let Some(file) = locked
                && is_at(&file, &path)
            {
                return Ok(Partial {
                    digest: digest.clone(),
                    path,
                    file,
                });
            }
            ctx.sleep(rest)?;
            rest = (rest * 2).min(LOOK);
        }
    }

    /// Removes the parts that nobody has wanted the rest of for a day.
    pub fn forget_partials(&self) -> Result<()> {
        self.forget_old(MARK, KEPT)?;
        self.forget_lone_uploads()
    }

    /// Removes the parts of dead processes that have become blobs: those blobs are needed that were not removed by now.
    pub fn forget_whole_partials(&self) -> Result<()> {
        self.forget(MARK, is_blob)
    }

    /// Removes files of work under way whose names end so, if nobody has them and nothing was written to them for so long.
    pub(super) fn forget_old(&self, mark: &str, age: Duration) -> Result<()> {
        let is_old = |then: SystemTime| then.elapsed().is_ok_and(|passed| passed > age);
        self.forget(mark, |status| status.modified().is_ok_and(is_old))
    }

    fn forget(&self, mark: &str, is_over: impl Fn(&Metadata) -> bool) -> Result<()> {
        let dir = self.root.join("ingest");
        let names = std::fs::read_dir(&dir).during(|| format!("list `{}`", dir.display()))?;
        for entry in names.filter_map(std::result::Result::ok) {
            if !entry.file_name().as_encoded_bytes().ends_with(mark.as_bytes()) {
                continue;
            }
            if entry.metadata().is_ok_and(|status| is_over(&status))
                && let Ok(file) = File::open(entry.path())
                && let Ok(Some(_lock)) = file::try_lock(file)
            {
                // What cannot be removed now is met again.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (one, other) = (file.metadata(), std::fs::metadata(path));
    matches!((one, other), (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

impl Partial {
    /// Bytes that are here.
    pub(crate) fn len(&self) -> Result<u64> {
        Ok(self
            .file
            .metadata()
            .during(|| format!("look at `{}`", self.path.display()))?
            .len())
    }

    /// The bytes that are here.
    pub(crate) fn reader(&self, length: u64) -> Result<Take<File>> {
        Ok(File::open(&self.path)
            .during(|| format!("open `{}`", self.path.display()))?
            .take(length))
    }

    /// Where the rest goes.
    pub(crate) fn sink(&self, had: u64) -> Result<BlobWriter> {
        let what = || format!("open `{}`", self.path.display());
        let mut file = self.file.try_clone().during(what)?;
        file.seek(SeekFrom::Start(had)).during(what)?;
        Ok(BlobWriter::resume(
            self.path.clone(),
            file,
            had,
            Hasher::like(&self.digest),
        ))
    }

    /// Forgets what is here: it is not what it should be.
    pub(crate) fn clear(&self) -> Result<()> {
        self.file
            .set_len(0)
            .during(|| format!("empty `{}`", self.path.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Of what never came a byte nothing is to stay, and what became a blob is there by another name.
        let is_over = |status: Metadata| status.len() == 0 || is_blob(&status);
        if self.file.metadata().is_ok_and(is_over) && is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
