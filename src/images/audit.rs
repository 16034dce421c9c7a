//! Whether stored content is still what it was: blobs against their digests, layers' trees against what their blobs say.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use super::archive::Reader;
use super::config::Config;
use super::content::{BLOB_DIRS, Content, LAYOUT, Record, check_digest, open_dir};
use super::image::{Image, Layer};
use super::manifest::{self, Document, IMAGE_NAME, OCI_LAYER};
use super::pipe::{self, Stream};
use super::staging::Staging;
use super::tree::{self, Node};
use super::{compression, draft, overlay, unpack};
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::{Context, Digest, Hasher, Reference};
use crate::sys::file;

/// What is wrong with a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobDamage {
    /// It is not there.
    Missing,
    /// It has another number of bytes than it should.
    Size(u64),
    /// It has other bytes than its name says; what its digest is, or why it cannot be read.
    Changed(String),
}

/// What is wrong with an unpacked layer. The layer as it should be lies in a staging directory.
#[derive(Debug)]
pub struct LayerDamage {
    /// How the tree differs, path by path; nothing for one that is as it should be.
    pub differences: Vec<String>,
    /// Whether the tree is there at all.
    pub has_tree: bool,
    /// Whether the record says something else than it should, or is missing.
    pub is_record_wrong: bool,
    /// Bytes of the files, as they should be.
    pub size: u64,
    tree: PathBuf,
    record: Record,
}

impl Content {
    /// What is wrong with a blob, if anything is; `size` is checked where it is known, and the bytes unless `quick`.
    pub fn blob_damage(
        &self,
        ctx: &Context,
        digest: &Digest,
        size: Option<u64>,
        quick: bool,
    ) -> Result<Option<BlobDamage>> {
        let found = match self.blob_size(digest) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(Some(BlobDamage::Missing)),
            other => other?,
        };
        if size.is_some_and(|size| size != found) {
            return Ok(Some(BlobDamage::Size(found)));
        }
        if quick {
            return Ok(None);
        }
        match self.verify_blob(ctx, digest) {
            Ok(()) => Ok(None),
            Err(error) if ctx.is_done() => Err(error),
            Err(error) => Ok(Some(BlobDamage::Changed(error.to_string()))),
        }
    }

    /// Whether the tar of a layer can be had, so that the layer can be unpacked again: from its blob, or from a recipe over the tree.
    pub fn has_tar(&self, layer: &Layer) -> bool {
        self.has_blob(&layer.blob) || self.has_recipe(&layer.diff_id)
    }

    fn plain(&self, layer: &Layer) -> Result<Box<dyn Read + Send + '_>> {
        if self.has_blob(&layer.blob) {
            return compression::decoder(self.open_blob(&layer.blob)?, self.limits());
        }
        Ok(Box::new(self.rebuilt(&layer.diff_id)?))
    }

    /// The record of an unpacked layer, where there is one that can be read: bytes of its files.
    pub fn recorded_size(&self, diff_id: &Digest) -> Option<u64> {
        self.record(diff_id).ok().map(|record| record.size)
    }

    /// What is wrong with an unpacked layer, if anything is. Its tar must be there; a blob must be what its name says.
    ///
    /// Errors: `corrupt` if the blob does not hold this layer.
    pub fn layer_damage(&self, ctx: &Context, staging: &Staging, layer: &Layer) -> Result<Option<LayerDamage>> {
        let record = self.record(&layer.diff_id).ok();
        let root = open_dir(&self.layer_dir(&layer.diff_id)).ok();
        if let (Some(record), Some(root)) = (&record, &root) {
            // What cannot be read of the tree is no agreement either.
            let agrees = self.read_layer(ctx, layer, |reader| {
                Ok(unpack::agrees(ctx, reader, root.as_fd(), record).unwrap_or(false))
            })?;
            if agrees {
                return Ok(None);
            }
        }
        let tree = staging.free_path();
        std::fs::create_dir(&tree).during(|| format!("make `{}`", tree.display()))?;
        let fresh = open_dir(&tree)?;
        let right = self.read_layer(ctx, layer, |reader| {
            unpack::unpack(
                ctx,
                self.limits(),
                reader,
                fresh.try_clone().during(|| "open a directory again")?,
            )
        })?;
        let differences = match &root {
            Some(root) => differences(ctx, fresh.as_fd(), root.as_fd())?,
            None => Vec::new(),
        };
        let is_record_wrong = record.as_ref() != Some(&right);
        let is_whole = root.is_some() && differences.is_empty() && !is_record_wrong;
        Ok((!is_whole).then(|| LayerDamage {
            differences,
            has_tree: root.is_some(),
            is_record_wrong,
            size: right.size,
            tree,
            record: right,
        }))
    }

    /// Puts a blob back whose bytes are at hand.
    pub fn restore_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        check_digest(&digest.same_of(bytes), digest, "the blob")?;
        let staging = self.stage()?;
        let path = staging.free_path();
        std::fs::write(&path, bytes).during(|| format!("write `{}`", path.display()))?;
        staging.sync()?;
        self.publish_blob(&path, digest)?;
        self.settle()
    }

    /// Puts a damaged layer back as it should be: on disk first, then in place of what is there, at once.
    pub fn restore_layer(&self, staging: &Staging, diff_id: &Digest, damage: &LayerDamage) -> Result<()> {
        let record = staging.free_path();
        let bytes = serde_json::to_vec(&damage.record).expect("a record is plain data");
        std::fs::write(&record, bytes).during(|| format!("write `{}`", record.display()))?;
        staging.sync()?;
        let place = self.record_path(diff_id);
        std::fs::rename(&record, &place).during(|| format!("store `{}`", place.display()))?;
        let dir = self.layer_dir(diff_id);
        match damage.has_tree {
            false => self.publish_tree(&damage.tree, &dir)?,
            true if damage.differences.is_empty() => {}
            // What was there ends in the staging directory, and with it.
            true => file::exchange(&damage.tree, &dir).during(|| format!("store `{}`", dir.display()))?,
        }
        self.settle()
    }

    /// Whether the content is marked as an OCI layout.
    pub fn has_layout(&self) -> bool {
        std::fs::read(self.layout_path()).is_ok_and(|bytes| bytes == LAYOUT.as_bytes())
    }

    /// Whether `index.json` has just these entries.
    pub fn has_index(&self, entries: &[(Reference, Digest, u64)]) -> bool {
        std::fs::read(self.index_path()).is_ok_and(|bytes| bytes == self.index(entries))
    }

    /// The layers that a manifest and a configuration describe, lowest first. Errors: `corrupt` if the two do not fit.
    pub fn described_layers(&self, manifest: &Digest, config: &[u8]) -> Result<Vec<Layer>> {
        let bytes = self.read_blob(manifest, self.limits().document)?;
        let Document::Manifest(parts) = manifest::parse(&bytes, self.limits())? else {
            return Err(Error::corrupt(format!("`{manifest}` is no manifest of an image")));
        };
        check_digest(
            &parts.config.digest.same_of(config),
            &parts.config.digest,
            "the configuration",
        )?;
        let diff_ids = Config::parse(config)?.rootfs.diff_ids;
        if diff_ids.len() != parts.layers.len() {
            let (layers, diff_ids) = (parts.layers.len(), diff_ids.len());
            let text = format!("the manifest lists {layers} layers but the configuration {diff_ids}");
            return Err(Error::corrupt(text));
        }
        let layers = parts.layers.into_iter().zip(diff_ids).map(|(blob, diff_id)| Layer {
            size: self.recorded_size(&diff_id).unwrap_or(0),
            diff_id,
            blob: blob.digest,
            blob_size: blob.size,
            media_type: if blob.media_type.is_empty() {
                OCI_LAYER.to_owned()
            } else {
                blob.media_type
            },
        });
        Ok(layers.collect())
    }

    /// The image that a manifest describes, if its documents are whole and each layer is there in one form at least. Errors:
    /// `corrupt`, `not_found`.
    pub fn described_image(&self, manifest: &Digest) -> Result<Image> {
        let bytes = self.read_blob(manifest, self.limits().document)?;
        let Document::Manifest(parts) = manifest::parse(&bytes, self.limits())? else {
            return Err(Error::corrupt(format!("`{manifest}` is no manifest of an image")));
        };
        let id = parts.config.digest;
        let config = self.read_blob(&id, self.limits().document)?;
        let layers = self.described_layers(manifest, &config)?;
        match layers
            .iter()
            .find(|layer| !self.has_layer(&layer.diff_id) && !self.has_tar(layer))
        {
            Some(layer) => Err(Error::not_found(format!("the layer `{}` is gone", layer.diff_id))),
            None => Ok(Image {
                id,
                manifest: manifest.clone(),
                config,
                layers,
            }),
        }
    }

    /// The names that `index.json` has, with the manifests they mean. Errors: `corrupt`, `not_found`.
    pub fn read_index(&self) -> Result<Vec<(Reference, Digest)>> {
        let path = self.index_path();
        let bytes = std::fs::read(&path).during(|| format!("read `{}`", path.display()))?;
        let Document::Index(entries) = manifest::parse(&bytes, self.limits())? else {
            return Err(Error::corrupt(format!("`{}` is not an index", path.display())));
        };
        let names = entries.into_iter().filter_map(|entry| {
            let name = entry.annotation(IMAGE_NAME)?.parse().ok()?;
            Some((name, entry.digest))
        });
        Ok(names.collect())
    }

    /// Files and directories among the content that are neither blobs nor layers nor made from layers.
    pub fn strays(&self) -> Result<Vec<PathBuf>> {
        let mut strays = Vec::new();
        let blobs = BLOB_DIRS.map(|dir| (dir, false));
        for (dir, is_layers) in blobs.into_iter().chain([("layers", true)]) {
            let dir = self.root.join(dir);
            if !dir.is_dir() {
                continue;
            }
            for entry in std::fs::read_dir(&dir).during(|| format!("list `{}`", dir.display()))? {
                let path = entry.during(|| format!("list `{}`", dir.display()))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let digits = if is_layers {
                    name.split('.').next().unwrap_or_default()
                } else {
                    &name
                };
                if Digest::from_hex(digits).is_err() {
                    strays.push(path);
                }
            }
        }
        strays.sort();
        Ok(strays)
    }

    /// Reads a layer's plain stream to its end, and sees that it is this layer.
    fn read_layer<T>(
        &self,
        ctx: &Context,
        layer: &Layer,
        read: impl FnOnce(&mut Reader<'_, Stream>) -> Result<T>,
    ) -> Result<T> {
        let mut plain_bytes = self.plain(layer)?;
        let (feed, plain) = pipe::queue(Some(Hasher::like(&layer.diff_id)));
        std::thread::scope(|scope| {
            let decode = scope.spawn(move || pipe::pump(ctx, &mut plain_bytes, feed, |_| Ok(())));
            let mut reader = Reader::new(plain, self.limits());
            let value = read(&mut reader);
            let value = value.and_then(|value| Ok((value, reader.into_input().drain(ctx)?)));
            let (value, digest) = pipe::first_cause(decode.join().expect("a decoder does not panic"), value)?;
            let digest = digest.expect("the queue hashes");
            check_digest(&digest, &layer.diff_id, "the uncompressed layer").map(|()| value)
        })
    }
}

impl Image {
    /// The bytes of a manifest that says what the image is made of, as Hoist writes them.
    pub fn new_manifest(&self) -> Vec<u8> {
        draft::manifest_of(&self.id, &self.config, &self.layers)
    }
}

/// How many differences are told one by one.
const TOLD: usize = 8;

/// How a tree differs from what it should be, a line for each path.
fn differences(ctx: &Context, right: BorrowedFd<'_>, found: BorrowedFd<'_>) -> Result<Vec<String>> {
    let (wanted, there) = (nodes(ctx, right)?, nodes(ctx, found)?);
    let (links, other_links) = (first_names(&wanted), first_names(&there));
    let mut told = Vec::new();
    for (path, node) in &wanted {
        match there.get(path) {
            None => told.push(format!("`{}` is missing", shown(path))),
            Some(other) => {
                let how = difference(ctx, (right, node), (found, other));
                let linked =
                    (links.get(path.as_slice()) != other_links.get(path.as_slice())).then_some("other hard links");
                told.extend(how.or(linked).map(|how| format!("`{}` has {how}", shown(path))));
            }
        }
    }
    let extra = there.keys().filter(|path| !wanted.contains_key(*path));
    told.extend(extra.map(|path| format!("`{}` does not belong there", shown(path))));
    if told.len() > TOLD {
        let more = told.len() - TOLD;
        told.truncate(TOLD);
        told.push(format!("{more} more"));
    }
    Ok(told)
}

fn shown(path: &[u8]) -> String {
    format!("/{}", path.escape_ascii())
}

/// The root with an empty path, and all below it.
fn nodes(ctx: &Context, root: BorrowedFd<'_>) -> Result<BTreeMap<Vec<u8>, Node>> {
    let status = nix::sys::stat::fstat(root).during(|| "look at a layer's root")?;
    let path = Vec::new();
    let mut nodes = BTreeMap::from([(path.clone(), Node { path, status })]);
    tree::walk_marked(ctx, root, &mut |node| {
        nodes.insert(node.path.clone(), node.clone());
        Ok(true)
    })?;
    Ok(nodes)
}

/// For what has an earlier name in the tree, that name. Names outside the tree do not count.
fn first_names(nodes: &BTreeMap<Vec<u8>, Node>) -> BTreeMap<&[u8], &[u8]> {
    let mut first: BTreeMap<(u64, u64), &[u8]> = BTreeMap::new();
    let linked = nodes
        .iter()
        .filter(|(_, node)| !node.is_dir() && node.status.st_nlink > 1);
    linked
        .filter_map(|(path, node)| {
            let inode = (node.status.st_dev, node.status.st_ino);
            let known = first.get(&inode).copied();
            first.entry(inode).or_insert(path);
            Some((path.as_slice(), known?))
        })
        .collect()
}

/// In what two nodes of one path differ; nothing for equal ones.
fn difference(ctx: &Context, right: (BorrowedFd<'_>, &Node), found: (BorrowedFd<'_>, &Node)) -> Option<&'static str> {
    let (a, b) = (&right.1.status, &found.1.status);
    if right.1.kind() != found.1.kind() || overlay::is_whiteout(a) != overlay::is_whiteout(b) {
        return Some("another type");
    }
    // A mark has no attributes of its own.
    if overlay::is_whiteout(a) {
        return None;
    }
    if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid) {
        return Some("another owner");
    }
    if a.st_mode != b.st_mode {
        return Some("another mode");
    }
    if right.1.size() != found.1.size() {
        return Some("another size");
    }
    if (a.st_mtime, a.st_mtime_nsec) != (b.st_mtime, b.st_mtime_nsec) {
        return Some("another time");
    }
    let opaque = |(root, node): (BorrowedFd<'_>, &Node)| tree::is_opaque_at(root, &node.path).unwrap_or(false);
    if right.1.is_dir() && opaque(right) != opaque(found) {
        return Some("another mark of being opaque");
    }
    match tree::same(ctx, right, found) {
        Ok(true) => None,
        Ok(false) => Some("other content or attributes"),
        Err(_) => Some("content that cannot be read"),
    }
}
