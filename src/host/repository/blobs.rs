//! Blobs of repositories: read, taken in, shared with another repository.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::{Arrived, Content, Incoming, Staging};
use crate::model::{Context, Digest, Repository};
use crate::store::PartRow;

/// A blob to be read.
pub enum ServedBlob {
    /// A file of so many bytes.
    File(File, u64),
    /// What is made again from a layer's files, of so many bytes, since its blob was dropped.
    Made(Box<dyn Read + Send>, u64),
}

/// Where uploads are put together until they are whole.
pub struct Receiving {
    content: Content,
    /// What is in it goes with it, however its process ends.
    staging: Staging,
}

impl Receiving {
    /// An upload that has nothing yet and comes at once, hashed by this algorithm, or by SHA-256.
    pub fn start(&self, algorithm: Option<&str>) -> Result<Incoming> {
        Incoming::new(&self.staging, algorithm)
    }

    /// One that comes in several steps, and goes on whoever serves by then.
    pub fn begin(&self, repository: &Repository, id: &str, algorithm: Option<&str>) -> Result<Incoming> {
        self.content
            .begin_upload(&upload_name(repository, id, algorithm), algorithm)
    }

    /// One that was begun in this repository; `None` if there is none.
    pub fn resume(&self, ctx: &Context, repository: &Repository, id: &str) -> Result<Option<Incoming>> {
        for algorithm in [None, Some("sha512")] {
            let name = upload_name(repository, id, algorithm);
            if let Some(incoming) = self.content.resume_upload(ctx, &name, algorithm)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    /// Removes those that nobody serves and nobody went on with for so long.
    pub fn expire(&self, age: Duration) -> Result<()> {
        self.content.forget_uploads(age)
    }
}

/// The name says all there is to know, so that an upload is one file.
fn upload_name(repository: &Repository, id: &str, algorithm: Option<&str>) -> String {
    let of = Digest::of(repository.as_str().as_bytes());
    format!("{id}.{}.{}", &of.hex()[..32], algorithm.unwrap_or("sha256"))
}

impl Host {
    /// A place for uploads.
    pub fn receiving(&self) -> Result<Receiving> {
        Ok(Receiving {
            content: self.content().clone(),
            staging: self.content().stage()?,
        })
    }

    /// A blob that belongs to a repository; `None` if none does by that digest.
    pub fn repository_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<ServedBlob>> {
        if !self.store().read(|tx| tx.is_blob_in(repository, digest))? {
            return Ok(None);
        }
        let content = self.content();
        if content.has_blob(digest) {
            let file = content.open_blob(digest)?;
            return Ok(Some(ServedBlob::File(file, content.blob_size(digest)?)));
        }
        // A layer that is stored uncompressed is its own diff id.
        let Some(size) = self.store().read(|tx| tx.plain_layer_size(digest))? else {
            return Ok(None);
        };
        let made = content.has_recipe(digest).then(|| content.remade(digest)).transpose()?;
        Ok(made.map(|made| ServedBlob::Made(made, size)))
    }

    /// Takes an upload into a repository, which is all that can be seen of it until a manifest names it.
    ///
    /// Errors: `corrupt` if it is not what `digest` says.
    pub fn take_blob(&self, ctx: &Context, repository: &Repository, arrived: Arrived, digest: &Digest) -> Result<()> {
        let arrived = arrived.expect(ctx, digest)?;
        let hold = self.hold()?;
        hold.hold(std::slice::from_ref(digest))?;
        let part = PartRow {
            digest: digest.clone(),
            size: arrived.size,
            is_blob: true,
        };
        self.content().publish_arrived(&[arrived])?;
        self.store()
            .write(|tx| tx.insert_registry_blob(repository, &part, Timestamp::now()))
    }

    /// Makes a blob of another repository, or of any, one of this repository as well; false if there is none.
    pub fn mount_blob(&self, repository: &Repository, digest: &Digest, from: Option<&Repository>) -> Result<bool> {
        self.store().write(|tx| {
            let is_there = match from {
                Some(from) => tx.is_blob_in(from, digest)?,
                None => tx.is_blob_anywhere(digest)?,
            };
            // Content goes away within writing transactions only.
            if !is_there || !self.content().has_blob(digest) {
                return Ok(false);
            }
            let part = PartRow {
                digest: digest.clone(),
                size: self.content().blob_size(digest)?,
                is_blob: true,
            };
            tx.insert_registry_blob(repository, &part, Timestamp::now())?;
            Ok(true)
        })
    }

    /// Takes a blob out of a repository; false if it is not there.
    ///
    /// Errors: `in_use` while a manifest of the repository names it.
    pub fn delete_repository_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        let mut found = false;
        self.remove_rows(|tx, candidates| {
            if tx.is_part_in(repository, digest)? {
                return Err(
                    Error::in_use(format!("a manifest of `{repository}` names the blob `{digest}`"))
                        .hint("delete the manifest, and its blobs go with it"),
                );
            }
            found = tx.delete_registry_blob(repository, digest)?;
            candidates.blobs.push(digest.clone());
            Ok(())
        })?;
        Ok(found)
    }

    /// Removes blobs that came into repositories before a time and that no manifest came to name.
    pub fn expire_blobs(&self, before: Timestamp) -> Result<()> {
        if self.store().read(|tx| tx.has_expired_registry_blobs(before))? {
            self.remove_rows(|tx, candidates| {
                candidates.blobs.extend(tx.expire_registry_blobs(before)?);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Bytes of all that was pushed, each blob once.
    pub fn pushed_size(&self) -> Result<u64> {
        self.store().read(|tx| tx.registry_size())
    }
}
