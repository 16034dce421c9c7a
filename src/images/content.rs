//! Where images' bytes are: blobs in an OCI layout, layers unpacked once each. Nothing is visible here before it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::image::Layer;
use super::limits::{self, Limits};
use super::staging::{self, Abandoned, Staging};
use super::{compression, manifest, partial, path_text};
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Digest, Hasher, Reference};
use crate::sys::file;

/// The content below one root; values with the same root are the same content.
#[derive(Debug, Clone)]
pub struct Content {
    pub(super) root: PathBuf,
    limits: Limits,
}

/// What is known of an unpacked layer besides its tree: `layers/<hex>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Bytes of file contents.
    pub(crate) size: u64,
    /// Directories the layer's tar did not name but needed, as [`path_text`]; their attributes are those of the layers below.
    #[serde(default)]
    pub(crate) implied: Vec<String>,
    /// Hard links whose targets the layer has not, with those targets, as [`path_text`]; they are files of the layers below.
    #[serde(default)]
    pub(crate) links: BTreeMap<String, String>,
    /// Directories with whiteouts in them, as [`path_text`]; the root's are the empty one.
    #[serde(default)]
    pub(crate) hiding: Vec<String>,
    /// Whether the tar did not name the root either.
    #[serde(default)]
    pub(crate) root_implied: bool,
}

/// Where blobs are, by the algorithm that names them; the second is there once it is needed.
pub(super) const BLOB_DIRS: [&str; 2] = ["content/blobs/sha256", "content/blobs/sha512"];

pub(super) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

impl Content {
    /// Opens the content below `root`, making its directories where they are missing; `limits` bound what comes in.
    pub fn open(root: &Path, limits: &Limits) -> Result<Content> {
        let content = Content::view(root, limits);
        for dir in ["content/blobs/sha256", "ingest", "layers"] {
            let dir = root.join(dir);
            file::make_private_dir(&dir).during(|| format!("make `{}`", dir.display()))?;
        }
        let (index, layout) = (content.index_path(), content.layout_path());
        // One of the two alone is damage, which is not to go unnoticed.
        if !layout.exists() && !index.exists() {
            // Another process may be as far, and further.
            content.place(&index, &manifest::index_bytes(Vec::new()))?;
            content.place(&layout, LAYOUT.as_bytes())?;
        }
        Ok(content)
    }

    /// The content below `root` as it is, for reading only; nothing is made.
    pub fn view(root: &Path, limits: &Limits) -> Content {
        Content {
            root: root.to_owned(),
            limits: limits.clone(),
        }
    }

    /// Bytes of the disk it is on that are free for it.
    pub fn free_space(&self) -> Result<u64> {
        self.disk().map(|(_, free)| free)
    }

    /// Bytes of the disk that this is on, but for those kept for an administrator.
    pub fn disk_size(&self) -> Result<u64> {
        self.disk().map(|(total, _)| total)
    }

    fn disk(&self) -> Result<(u64, u64)> {
        file::disk(&self.root).during(|| format!("look at the disk of `{}`", self.root.display()))
    }

    /// The bounds on what comes in.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What dead processes left half made, or half removed.
    pub fn abandoned(&self) -> Result<Vec<Abandoned>> {
        staging::abandoned(&self.root.join("ingest"))
    }

    /// A place to put content together.
    pub fn stage(&self) -> Result<Staging> {
        Staging::new(&self.root.join("ingest"))
    }

    /// Where a blob is or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blob_dir(digest).join(digest.hex())
    }

    fn blob_dir(&self, digest: &Digest) -> PathBuf {
        self.root.join("content/blobs").join(digest.algorithm())
    }

    /// Whether the blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Shows a blob of another store, if it is there and not here.
    pub fn borrow_blob(&self, from: &Content, digest: &Digest) -> Result<()> {
        if self.has_blob(digest) || !from.has_blob(digest) {
            return Ok(());
        }
        let path = self.blob_path(digest);
        let linked = std::fs::create_dir_all(self.blob_dir(digest))
            .and_then(|()| std::os::unix::fs::symlink(from.blob_path(digest), &path));
        linked.during(|| format!("link the blob `{}`", path.display()))
    }

    /// Bytes of a blob.
    pub fn blob_size(&self, digest: &Digest) -> Result<u64> {
        let path = self.blob_path(digest);
        Ok(std::fs::metadata(&path)
            .during(|| format!("read the blob `{digest}`"))?
            .len())
    }

    /// Opens a blob for reading. Errors: `not_found`.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        File::open(self.blob_path(digest)).during(|| format!("open the blob `{digest}`"))
    }

    /// A small blob, verified. Errors: `not_found`; `corrupt` if it is longer than `limit` or not what its name says.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = self.open_blob(digest)?.take(limit.saturating_add(1));
        file.read_to_end(&mut bytes)
            .during(|| format!("read the blob `{digest}`"))?;
        if bytes.len() as u64 > limit {
            return Err(limits::exceeded(format!("the blob `{digest}`"), "document", limit));
        }
        check_digest(&digest.same_of(&bytes), digest, "the blob")?;
        Ok(bytes)
    }

    /// Reads a whole blob and compares it with its name. Errors: `not_found`, `corrupt`.
    pub fn verify_blob(&self, ctx: &Context, digest: &Digest) -> Result<()> {
        let mut file = self.open_blob(digest)?;
        check_digest(&hash(ctx, &mut file, digest)?, digest, "the blob")
    }

    /// Compares a layer's blob with its digest, size and diff id, and sees that it is unpacked; where the blob was dropped, compares the
    /// tar that is made again. Errors: `not_found`, `corrupt`.
    pub fn verify_layer(&self, ctx: &Context, layer: &Layer) -> Result<()> {
        if !self.has_blob(&layer.blob) && self.has_recipe(&layer.diff_id) {
            let found = hash(ctx, &mut self.rebuilt(&layer.diff_id)?, &layer.diff_id)?;
            return check_digest(&found, &layer.diff_id, "the tar that was made again");
        }
        self.verify_blob(ctx, &layer.blob)?;
        let size = self.blob_size(&layer.blob)?;
        if size != layer.blob_size {
            return Err(Error::corrupt(format!(
                "the blob `{}` has {size} bytes instead of {}",
                layer.blob, layer.blob_size
            )));
        }
        let blob = self.open_blob(&layer.blob)?;
        let mut plain = compression::decoder(blob, &self.limits)?;
        let found = hash(ctx, &mut plain, &layer.diff_id)?;
        check_digest(&found, &layer.diff_id, "the uncompressed layer")?;
        if !self.has_layer(&layer.diff_id) && !self.is_packed(&layer.diff_id) {
            return Err(Error::not_found(format!(
                "the layer `{}` is not unpacked",
                layer.diff_id
            )));
        }
        let unpacked = self.record(&layer.diff_id)?.size;
        if unpacked == layer.size {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "the layer `{}` holds {unpacked} bytes instead of {}",
            layer.diff_id, layer.size
        )))
    }

    /// The digests of all blobs.
    pub fn blobs(&self) -> Result<Vec<Digest>> {
        let dirs = BLOB_DIRS.map(|dir| self.root.join(dir));
        let lists = dirs.iter().filter(|dir| dir.is_dir()).map(|dir| digests_in(dir));
        Ok(lists.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The diff ids of all unpacked layers, and of those of which a crash left a part: a record, or a fix-up.
    pub fn layers(&self) -> Result<Vec<Digest>> {
        digests_in(&self.root.join("layers"))
    }

    /// Where a layer's tree is or would be, in overlay form.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// Whether the layer is unpacked, whole.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_dir(diff_id).is_dir()
    }

    /// Bytes of the files of an unpacked layer.
    pub fn layer_size(&self, diff_id: &Digest) -> Result<u64> {
        Ok(self.record(diff_id)?.size)
    }

    pub(super) fn layers_dir(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(super) fn record_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(format!("{}.json", diff_id.hex()))
    }

    /// What is known of a layer.
    pub(crate) fn record(&self, diff_id: &Digest) -> Result<Record> {
        if self.is_packed(diff_id) {
            return self.packed_record(diff_id);
        }
        let path = self.record_path(diff_id);
        let bytes = std::fs::read(&path).during(|| format!("read `{}`", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|cause| {
            Error::corrupt(format!("`{}` is not a layer record: {cause}", path.display())).source(cause)
        })
    }

    /// Where what was made for a chain of layers is or would be: beside its topmost layer, with which it goes. `mark` tells what it is.
    pub(super) fn derived_dir(&self, top: &Digest, mark: &str, chain: &Digest) -> PathBuf {
        self.layers_dir().join(format!("{}{mark}{}", top.hex(), chain.hex()))
    }

    /// Makes a staged blob visible; it must be on disk and verified. What was fetched as a part stays one beside it, for as long as
    /// nothing needs the blob yet.
    pub(crate) fn publish_blob(&self, staged: &Path, digest: &Digest) -> Result<()> {
        let dir = self.blob_dir(digest);
        file::make_private_dir(&dir).during(|| format!("make `{}`", dir.display()))?;
        let place = self.blob_path(digest);
        let published = match partial::is_part(staged) {
            true => match std::fs::hard_link(staged, &place) {
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            },
            false => std::fs::rename(staged, &place),
        };
        published.during(|| format!("store the blob `{digest}`"))
    }

    /// Makes a staged tree or file visible in a place of its own; where another process was faster, its equal one stays.
    pub(crate) fn publish_tree(&self, staged: &Path, place: &Path) -> Result<()> {
        let name = |path: &Path| {
            std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("made by us, without a zero byte")
        };
        match file::rename_new(nix::fcntl::AT_FDCWD, &name(staged), nix::fcntl::AT_FDCWD, &name(place)) {
            Ok(()) | Err(nix::errno::Errno::EEXIST | nix::errno::Errno::ENOTEMPTY) => Ok(()),
            Err(cause) => Err(cause).during(|| format!("store `{}`", place.display())),
        }
    }

    /// Makes a staged layer visible, its record first, for a layer that can be seen must have one.
    pub(crate) fn publish_layer(&self, staged: &Path, staged_record: &Path, diff_id: &Digest) -> Result<()> {
        if self.has_layer(diff_id) {
            return Ok(());
        }
        let record = self.record_path(diff_id);
        std::fs::rename(staged_record, &record).during(|| format!("store `{}`", record.display()))?;
        self.publish_tree(staged, &self.layer_dir(diff_id))?;
        self.unmark(diff_id);
        Ok(())
    }

    /// Makes the renames of a publication last.
    pub(crate) fn settle(&self) -> Result<()> {
        let dirs = BLOB_DIRS.iter().chain(&["content/blobs", "layers"]);
        for dir in dirs.map(|dir| self.root.join(dir)).filter(|dir| dir.is_dir()) {
            file::sync_directory(&dir).during(|| format!("write `{}` to disk", dir.display()))?;
        }
        Ok(())
    }

    /// Replaces `index.json`, so that other tools find the images by name: reference, manifest digest, manifest size. An image whose
    /// manifest cannot be read is left out, so that the others are found.
    pub fn write_index(&self, entries: &[(Reference, Digest, u64)]) -> Result<()> {
        self.replace(&self.index_path(), &self.index(entries))
    }

    /// The layout's directory.
    pub fn layout_dir(&self) -> PathBuf {
        self.root.join("content")
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.root.join("content/index.json")
    }

    /// The bytes of `index.json` for these entries.
    pub(super) fn index(&self, entries: &[(Reference, Digest, u64)]) -> Vec<u8> {
        let described = entries.iter().filter_map(|(name, digest, size)| {
            let bytes = self.read_blob(digest, self.limits.document).ok()?;
            let media_type = manifest::media_type_of(&bytes);
            Some(manifest::named_descriptor(&media_type, digest, *size, Some(name)))
        });
        manifest::index_bytes(described.collect())
    }

    pub(super) fn layout_path(&self) -> PathBuf {
        self.root.join("content/oci-layout")
    }

    /// Marks the content as an OCI layout.
    pub fn write_layout(&self) -> Result<()> {
        self.replace(&self.layout_path(), LAYOUT.as_bytes())
    }

    /// Writes a file, whole or not at all, in the place of the one that is there.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_whole(path, bytes, |staged| {
            std::fs::rename(staged, path).during(|| format!("write `{}`", path.display()))
        })
    }

    /// The same where none is there yet.
    fn place(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_whole(path, bytes, |staged| self.publish_tree(staged, path))
    }

    fn write_whole(&self, path: &Path, bytes: &[u8], publish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let staging = self.stage()?;
        let staged = staging.free_path();
        let what = || format!("write `{}`", path.display());
        let write = || {
            let mut file = File::create_new(&staged)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().during(what)?;
        publish(&staged)?;
        file::sync_directory(path.parent().unwrap_or(Path::new("/"))).during(what)
    }
}

/// The digests that names in a directory start with, each once.
fn digests_in(dir: &Path) -> Result<Vec<Digest>> {
    let entries = std::fs::read_dir(dir).during(|| format!("list `{}`", dir.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut digests: Vec<Digest> = names
        .filter_map(|name| Digest::from_hex(name.split('.').next()?).ok())
        .collect();
    digests.sort();
    digests.dedup();
    Ok(digests)
}

/// Errors with `corrupt` unless the digests are the same.
pub(crate) fn check_digest(found: &Digest, wanted: &Digest, what: &str) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{what} should have the digest `{wanted}` but has `{found}`"
    )))
}

/// The digest of all that is left to read, by the algorithm of another.
pub(crate) fn hash(ctx: &Context, input: &mut dyn Read, like: &Digest) -> Result<Digest> {
    let mut hasher = Hasher::like(like);
    let mut buffer = vec![0; 1 << 18];
    loop {
        ctx.check()?;
        match input.read(&mut buffer).map_err(compression::read_error)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Opens a directory for use as the root of calls below it.
pub(crate) fn open_dir(path: &Path) -> Result<std::os::fd::OwnedFd> {
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty()).during(|| format!("open `{}`", path.display()))
}

/// The paths of a record, as bytes again.
pub(crate) fn implied_paths(record: &Record) -> BTreeSet<Vec<u8>> {
    record.implied.iter().map(|text| path_text::decode(text)).collect()
}

/// The directories in which a record says that there are whiteouts.
pub(crate) fn hiding_paths(record: &Record) -> BTreeSet<Vec<u8>> {
    record.hiding.iter().map(|text| path_text::decode(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn content() -> (tempfile::TempDir, Content) {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(temp.path(), &Limits::default()).unwrap();
        (temp, content)
    }

    #[test]
    fn a_blob_that_is_not_what_its_name_says_is_corrupt() {
        let (_temp, content) = content();
        let digest = Digest::of(b"truth");
        std::fs::write(content.blob_path(&digest), "lies!").unwrap();
        assert_eq!(content.read_blob(&digest, 100).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(
            content.verify_blob(&Context::new(), &digest).unwrap_err().kind(),
            Kind::Corrupt
        );
        std::fs::write(content.blob_path(&digest), "truth").unwrap();
        assert_eq!(content.read_blob(&digest, 5).unwrap(), b"truth");
        assert_eq!(content.read_blob(&digest, 4).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(content.blobs().unwrap(), std::slice::from_ref(&digest));
        content.discard().unwrap().take_blob(&digest).unwrap();
        content.discard().unwrap().take_blob(&digest).unwrap();
        assert_eq!(content.read_blob(&digest, 5).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn what_a_crash_left_of_a_layer_is_found_and_can_be_taken() {
        let (temp, content) = content();
        let (record, fixup, whole) = (Digest::of(b"1"), Digest::of(b"2"), Digest::of(b"3"));
        std::fs::write(content.record_path(&record), "{}").unwrap();
        std::fs::create_dir(content.derived_dir(&fixup, ".fix-", &whole)).unwrap();
        std::fs::create_dir(content.layer_dir(&whole)).unwrap();
        std::fs::write(content.record_path(&whole), "{}").unwrap();
        let found = content.layers().unwrap();
        assert_eq!(found.len(), 3);
        let discard = content.discard().unwrap();
        found
            .iter()
            .for_each(|layer| assert_eq!(discard.take_layer(layer).unwrap(), 0));
        assert_eq!(std::fs::read_dir(temp.path().join("layers")).unwrap().count(), 0);
    }

    #[test]
    fn the_index_is_a_layout_others_can_read() {
        let (temp, content) = content();
        let manifest = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
        let digest = Digest::of(manifest);
        std::fs::write(content.blob_path(&digest), manifest).unwrap();
        content
            .write_index(&[("debian:12".parse().unwrap(), digest.clone(), manifest.len() as u64)])
            .unwrap();
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(temp.path().join("content/index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], digest.as_str());
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "docker.io/library/debian:12"
        );
        assert_eq!(
            std::fs::read_to_string(temp.path().join("content/oci-layout")).unwrap(),
            LAYOUT
        );
        assert_eq!(
            std::fs::read_dir(temp.path().join("ingest")).unwrap().count(),
            1,
            "only the lock stays"
        );
    }
}
