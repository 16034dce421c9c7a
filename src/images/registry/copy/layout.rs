//! An OCI layout in a directory as one side of a copy (OCI image-spec, image-layout.md).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Document;
use crate::error::{Context as _, Error, Result};
use crate::images::content::{check_digest, hash};
use crate::images::limits::Limits;
use crate::images::manifest::{Descriptor, OCI_INDEX, REF_NAME, media_type_of};
use crate::images::{pipe, write_behind};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file;

/// Bytes of a blob from which it is written to disk while it comes.
const LARGE: u64 = 8 << 20;

/// A layout, and the name of one image in it.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
    name: Option<String>,
}

impl Layout {
    /// The layout at a path. What follows its last colon is the image's name there, if it can be one.
    pub fn named(text: &str) -> Layout {
        let is_tag =
            |tag: &str| !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match text.rsplit_once(':') {
            Some((dir, tag)) if !dir.is_empty() && is_tag(tag) => Layout {
                dir: dir.into(),
                name: Some(tag.to_owned()),
            },
            _ => Layout {
                dir: text.into(),
                name: None,
            },
        }
    }

    /// The layout in a directory, and the only image in it.
    pub fn at(dir: &Path) -> Layout {
        Layout {
            dir: dir.to_owned(),
            name: None,
        }
    }

    /// The same, with a name for an image that has none here.
    #[must_use]
    pub fn or_name(mut self, name: &str) -> Layout {
        self.name.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn index(&self) -> Result<Option<Value>> {
        let path = self.dir.join("index.json");
        let text = match std::fs::read(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.during(|| format!("read `{}`", path.display()))?,
        };
        let index = serde_json::from_slice(&text)
            .map_err(|cause| Error::corrupt(format!("`{}` is not valid: {cause}", path.display())))?;
        Ok(Some(index))
    }

    fn entries(&self) -> Result<Vec<Value>> {
        let index = self.index()?.unwrap_or_default();
        Ok(index["manifests"].as_array().cloned().unwrap_or_default())
    }

    /// The digest of the image that is meant: of that name, or the only one.
    pub(super) fn standing(&self) -> Result<Option<Digest>> {
        let entries = self.entries()?;
        let name_of = |entry: &Value| entry["annotations"][REF_NAME].as_str().map(str::to_owned);
        let found = match (&self.name, &entries[..]) {
            (Some(name), _) => entries.iter().find(|entry| {
                // A layout of a whole name has the tag at its end.
                name_of(entry).is_some_and(|found| found == *name || found.ends_with(&format!(":{name}")))
            }),
            (None, [one]) => Some(one),
            (None, []) => None,
            (None, _) => {
                let names: Vec<String> = entries.iter().filter_map(name_of).collect();
                let text = format!("`{}` has several images", self.dir.display());
                return Err(Error::invalid(text).hint(format!("name one as `oci-dir:PATH:NAME`: {}", names.join(", "))));
            }
        };
        found
            .map(|entry| entry["digest"].as_str().unwrap_or_default().parse())
            .transpose()
    }

    pub(super) fn document(&self, ctx: &Context, limits: &Limits, digest: &Digest) -> Result<Document> {
        let path = self.blob(digest);
        let what = || format!("read `{}`", path.display());
        let mut bytes = Vec::new();
        let file = File::open(&path).during(what)?;
        file.take(limits.document + 1).read_to_end(&mut bytes).during(what)?;
        if bytes.len() as u64 > limits.document {
            return Err(crate::images::limits::exceeded(
                "the manifest",
                "document",
                limits.document,
            ));
        }
        ctx.check()?;
        check_digest(&digest.same_of(&bytes), digest, "the manifest")?;
        Ok(Document {
            digest: digest.clone(),
            media_type: media_type_of(&bytes),
            bytes,
        })
    }

    /// Whether a blob is there. One of another size is what a power cut left of it.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        let found = self.blob(&blob.digest).metadata();
        found.is_ok_and(|found| found.is_file() && found.len() == blob.size)
    }

    /// The bytes of a blob from an offset on. Errors: `corrupt` if it has another digest.
    pub(super) fn source(&self, ctx: &Context, blob: &Descriptor) -> Result<super::super::upload::Source> {
        let path = self.blob(&blob.digest);
        let mut file = File::open(&path).during(|| format!("read `{}`", path.display()))?;
        check_digest(&hash(ctx, &mut file, &blob.digest)?, &blob.digest, "the blob")?;
        Ok(std::sync::Arc::new(move |offset| {
            let what = || format!("read `{}`", path.display());
            let mut file = File::open(&path).during(what)?;
            file.seek(SeekFrom::Start(offset)).during(what)?;
            Ok(Box::new(file) as Box<dyn Read + Send>)
        }))
    }

    /// Writes a blob, which appears whole; it is on disk when the name has been settled. Errors: `corrupt` if it is not what its
    /// descriptor says.
    pub(super) fn write(&self, ctx: &Context, blob: &Descriptor, input: &mut dyn Read) -> Result<()> {
        let place = self.blob(&blob.digest);
        let what = || format!("write `{}`", place.display());
        let dir = place.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir).during(what)?;
        let new = tempfile::Builder::new()
            .prefix(".hoist-")
            .tempfile_in(dir)
            .during(what)?;
        let (size, digest) = receive(ctx, blob, input, new.as_file(), &place)?;
        if size != blob.size {
            let text = format!(
                "`{}` has {size} bytes or more, and should have {}",
                blob.digest, blob.size
            );
            return Err(Error::corrupt(text));
        }
        check_digest(&digest, &blob.digest, "the blob")?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        new.as_file().set_permissions(mode).during(what)?;
        new.persist(&place).map_err(|failed| failed.error).during(what)?;
        Ok(())
    }

    /// Has the name stand for a document that is there, after all it names: once all of that is on disk, so that after a power cut the
    /// index names nothing that is not whole.
    pub(super) fn settle(&self, digest: &Digest) -> Result<()> {
        let what = || format!("write the index of `{}`", self.dir.display());
        let bytes = std::fs::read(self.blob(digest)).during(what)?;
        let dir = File::open(&self.dir).during(what)?;
        file::sync_filesystem(dir.as_fd()).during(what)?;
        let _alone = file::lock(dir, false).during(what)?;
        let mut entries = self.entries()?;
        let mut entry = json!({ "mediaType": media_type_of(&bytes), "digest": digest, "size": bytes.len() });
        if let Some(name) = &self.name {
            entries.retain(|entry| entry["annotations"][REF_NAME] != name.as_str());
            entry["annotations"] = json!({ REF_NAME: name });
        } else {
            entries.retain(|entry| entry["digest"] != digest.as_str());
        }
        entries.push(entry);
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        if !self.dir.join("oci-layout").exists() {
            self.replace("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
                .during(what)?;
        }
        self.replace("index.json", index.to_string().as_bytes()).during(what)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut new = tempfile::Builder::new().prefix(".hoist-").tempfile_in(&self.dir)?;
        new.write_all(bytes)?;
        new.as_file()
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        new.as_file().sync_all()?;
        new.persist(self.dir.join(name))?;
        file::sync_directory(&self.dir)
    }
}

/// Writes a blob's bytes, hashed by another thread, and more of them only as far as tells that there are too many; gives how many came
/// and what they are.
fn receive(ctx: &Context, blob: &Descriptor, input: &mut dyn Read, file: &File, place: &Path) -> Result<(u64, Digest)> {
    let mut input = input.take(blob.size.saturating_add(1));
    let (feed, stream) = pipe::queue(Some(Hasher::like(&blob.digest)));
    let (mut out, mut size) = (file, 0);
    let what = || format!("write `{}`", place.display());
    let work = || {
        std::thread::scope(|scope| {
            let hashed = scope.spawn(|| stream.drain(ctx));
            let pumped = pipe::pump(ctx, &mut input, feed, |chunk| {
                size += chunk.len() as u64;
                out.write_all(chunk).during(what)
            });
            pipe::first_cause(pumped, hashed.join().expect("hashing does not panic"))
        })
    };
    let digest = match blob.size < LARGE {
        true => work(),
        false => write_behind::beside(|| file.sync_data().during(what), work),
    }?;
    let digest = digest.ok_or_else(|| Error::internal("a blob was not hashed"))?;
    Ok((size, digest))
}
