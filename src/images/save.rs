//! Images to archives and layouts that other tools load: `docker save`'s form from Docker 25 on, which is an OCI layout as well, an OCI
//! archive, an OCI layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::archive::{Entry, Kind, Writer};
use super::compression::{self, Compression, Encoder, Encoding};
use super::content::{self, Content};
use super::image::{Image, Layer};
use super::manifest::{self, Descriptor, OCI_CONFIG, OCI_LAYER, SavedImage};
use super::pipe;
use super::staging::Staging;
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Digest, Hasher, Reference, random_hex, unknown};
use crate::sys::file::{remove_tree_at, sync_directory};

/// The form of what is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// A tar that Docker, Podman and OCI tools read.
    #[default]
    Docker,
    /// A tar of an OCI layout.
    OciArchive,
    /// A directory that is an OCI layout.
    OciDir,
}

impl FromStr for Format {
    type Err = Error;

    /// Errors: `invalid`, with the valid names.
    fn from_str(text: &str) -> Result<Format> {
        match text {
            "docker" => Ok(Format::Docker),
            "oci-archive" => Ok(Format::OciArchive),
            "oci-dir" => Ok(Format::OciDir),
            _ => Err(unknown("format", text, &["docker", "oci-archive", "oci-dir"])),
        }
    }
}

/// What was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The file or directory.
    pub path: PathBuf,
    /// Bytes of the file; of all files of a directory.
    pub size: u64,
    /// The digest of the file; of `index.json` for a directory.
    pub sha256: Digest,
}

/// Saves images under their names to `dest`, which appears whole or not at all; a file there is replaced, a directory is not.
///
/// `compression` wraps the file for [`Format::Docker`] and is the layers' own for the OCI forms; `None` leaves blobs as stored. The
/// image id never changes; a manifest does where its layers are recompressed. Equal images give equal bytes. Blobs are verified on
/// their way. Errors: `corrupt`, `already_exists`, `invalid` for no images.
pub fn save(
    ctx: &Context,
    content: &Content,
    images: &[(&Image, Vec<Reference>)],
    dest: &Path,
    format: Format,
    compression: Option<Compression>,
) -> Result<Saved> {
    if images.is_empty() {
        return Err(Error::invalid("no images to save were given"));
    }
    let staging = content.stage()?;
    let recompress = if format == Format::Docker { None } else { compression };
    let layout = Layout::new(ctx, content, &staging, images, format, recompress)?;
    match format {
        Format::OciDir => layout.write_dir(ctx, dest),
        Format::OciArchive => layout.write_file(ctx, dest, Compression::None),
        Format::Docker => layout.write_file(ctx, dest, compression.unwrap_or(Compression::None)),
    }
}

/// A file of the layout: bytes at hand, or a blob on disk with its digest.
enum Part {
    Bytes(Vec<u8>),
    Blob(PathBuf, Digest),
}

/// The files of a layout by path.
struct Layout(BTreeMap<String, Part>);

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

impl Layout {
    fn new(
        ctx: &Context,
        content: &Content,
        staging: &Staging,
        images: &[(&Image, Vec<Reference>)],
        format: Format,
        recompress: Option<Compression>,
    ) -> Result<Layout> {
        let mut layout = Layout(BTreeMap::new());
        let (mut entries, mut saved) = (Vec::new(), Vec::new());
        for (image, names) in images {
            let (manifest, media_type, layers) = match recompress {
                Some(compression) => layout.recompressed(ctx, content, staging, image, compression)?,
                None => layout.as_stored(content, image)?,
            };
            let (digest, size) = (Digest::of(&manifest), manifest.len() as u64);
            layout.0.insert(blob_name(&digest), Part::Bytes(manifest));
            layout.0.insert(blob_name(&image.id), Part::Bytes(image.config.clone()));
            entries.extend(descriptors(&media_type, &digest, size, names));
            saved.push(SavedImage {
                config: blob_name(&image.id),
                repo_tags: Some(
                    names
                        .iter()
                        .filter_map(Reference::tagged)
                        .map(|name| name.familiar())
                        .collect(),
                ),
                layers: Some(layers.iter().map(blob_name).collect()),
            });
        }
        layout.0.insert(
            "oci-layout".to_owned(),
            Part::Bytes(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        );
        layout
            .0
            .insert("index.json".to_owned(), Part::Bytes(manifest::index_bytes(entries)));
        if format == Format::Docker {
            let repositories = repositories(images, &saved)?;
            layout.0.insert("manifest.json".to_owned(), Part::Bytes(json(&saved)));
            layout
                .0
                .insert("repositories".to_owned(), Part::Bytes(json(&repositories)));
        }
        Ok(layout)
    }

    /// Manifest and layers byte for byte as they are.
    fn as_stored(&mut self, content: &Content, image: &Image) -> Result<(Vec<u8>, String, Vec<Digest>)> {
        let manifest = content.read_blob(&image.manifest, content.limits().document)?;
        for layer in &image.layers {
            self.0.insert(
                blob_name(&layer.blob),
                Part::Blob(content.blob_path(&layer.blob), layer.blob.clone()),
            );
        }
        let media_type = manifest::media_type_of(&manifest);
        Ok((
            manifest,
            media_type,
            image.layers.iter().map(|layer| layer.blob.clone()).collect(),
        ))
    }

    /// Layers in another compression, and a manifest for them.
    fn recompressed(
        &mut self,
        ctx: &Context,
        content: &Content,
        staging: &Staging,
        image: &Image,
        compression: Compression,
    ) -> Result<(Vec<u8>, String, Vec<Digest>)> {
        let mut descriptors = Vec::new();
        for layer in &image.layers {
            let (path, digest, size) = recompress(ctx, content, staging, layer, compression)?;
            descriptors.push(Descriptor::new(media_type(compression), digest.clone(), size));
            self.0.insert(blob_name(&digest), Part::Blob(path, digest));
        }
        let config = Descriptor::new(OCI_CONFIG, image.id.clone(), image.config.len() as u64);
        let manifest = manifest::manifest_bytes(&config, &descriptors);
        Ok((
            manifest,
            manifest::OCI_MANIFEST.to_owned(),
            descriptors.into_iter().map(|layer| layer.digest).collect(),
        ))
    }

    fn write_file(&self, ctx: &Context, dest: &Path, compression: Compression) -> Result<Saved> {
        let temporary = beside(dest)?;
        let write = || {
            let file = File::create_new(&temporary).during(|| format!("make `{}`", temporary.display()))?;
            let hashed = self.write_tar(ctx, file, compression)?;
            hashed
                .file
                .sync_all()
                .during(|| format!("write `{}` to disk", dest.display()))?;
            std::fs::rename(&temporary, dest).during(|| format!("write `{}`", dest.display()))?;
            sync_parent(dest)?;
            Ok(Saved {
                path: dest.to_owned(),
                size: hashed.written,
                sha256: hashed.hasher.finish(),
            })
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }

    /// The archive, made on one thread while another hashes and writes it.
    fn write_tar(&self, ctx: &Context, file: File, compression: Compression) -> Result<Hashed> {
        let mut out = Hashed {
            file,
            hasher: Hasher::new(),
            written: 0,
        };
        let (mut reader, writer) = std::io::pipe().during(|| "make a pipe")?;
        std::thread::scope(|scope| {
            let made = scope.spawn(move || {
                let out = BufWriter::with_capacity(1 << 18, writer);
                let mut tar = Writer::new(Encoder::new(out, compression)?);
                self.write_parts(ctx, &mut tar)?;
                tar.finish()?.finish()?.flush().during(|| "write the archive")
            });
            let copied = copy(ctx, &mut reader, &mut out);
            drop(reader);
            let made = made.join().expect("an archiver does not panic");
            // A full disk breaks the pipe, and not the other way round.
            copied.and(made)
        })?;
        Ok(out)
    }

    fn write_parts<W: Write>(&self, ctx: &Context, tar: &mut Writer<W>) -> Result<()> {
        for dir in ["blobs/", "blobs/sha256/"] {
            tar.entry(&Entry::new(dir.as_bytes().to_vec(), Kind::Directory, 0o755))?;
        }
        for (name, part) in &self.0 {
            let entry = Entry {
                size: part.size()?,
                ..Entry::new(name.as_bytes().to_vec(), Kind::Regular, 0o644)
            };
            tar.entry(&entry)?;
            part.write(ctx, &mut |bytes| tar.data(bytes))?;
        }
        Ok(())
    }

    fn write_dir(&self, ctx: &Context, dest: &Path) -> Result<Saved> {
        if dest.exists() {
            return Err(Error::already_exists(format!("`{}` exists", dest.display()))
                .hint("name a directory that does not exist yet"));
        }
        let temporary = beside(dest)?;
        let write = || {
            std::fs::create_dir_all(temporary.join("blobs/sha256"))
                .during(|| format!("make `{}`", temporary.display()))?;
            let mut size = 0;
            for (name, part) in &self.0 {
                let path = temporary.join(name);
                let mut file = File::create_new(&path).during(|| format!("make `{}`", path.display()))?;
                part.write(ctx, &mut |bytes| {
                    file.write_all(bytes).during(|| format!("write `{}`", path.display()))
                })?;
                size += part.size()?;
            }
            let dir = content::open_dir(&temporary)?;
            nix::unistd::syncfs(&dir).during(|| format!("write `{}` to disk", dest.display()))?;
            std::fs::rename(&temporary, dest).during(|| format!("write `{}`", dest.display()))?;
            sync_parent(dest)?;
            let Some(Part::Bytes(index)) = self.0.get("index.json") else {
                return Err(Error::internal("a layout without index"));
            };
            Ok(Saved {
                path: dest.to_owned(),
                size,
                sha256: Digest::of(index),
            })
        };
        write().inspect_err(|_| remove_dir(&temporary))
    }
}

fn remove_dir(path: &Path) {
    let parts = path
        .parent()
        .and_then(|parent| content::open_dir(parent).ok())
        .zip(path.file_name());
    if let Some((parent, name)) = parts {
        use std::os::fd::AsFd as _;
        let _ = remove_tree_at(parent.as_fd(), name);
    }
}

impl Part {
    fn size(&self) -> Result<u64> {
        match self {
            Part::Bytes(bytes) => Ok(bytes.len() as u64),
            Part::Blob(path, digest) => Ok(std::fs::metadata(path)
                .during(|| format!("read the blob `{digest}`"))?
                .len()),
        }
    }

    /// Gives the bytes piece by piece, and at the end an error if a blob was not what its name says.
    fn write(&self, ctx: &Context, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (path, digest) = match self {
            Part::Bytes(bytes) => return put(bytes),
            Part::Blob(path, digest) => (path, digest),
        };
        let mut file = File::open(path).during(|| format!("read the blob `{digest}`"))?;
        let size = self.size()?;
        let (mut hasher, mut buffer, mut total) = (Hasher::new(), vec![0; 1 << 18], 0u64);
        loop {
            ctx.check()?;
            let length = file.read(&mut buffer).during(|| format!("read the blob `{digest}`"))?;
            if length == 0 {
                break;
            }
            total += length as u64;
            if total > size {
                break;
            }
            hasher.update(&buffer[..length]);
            put(&buffer[..length])?;
        }
        content::check_digest(&hasher.finish(), digest, "the blob")
    }
}

/// A file that knows its digest.
struct Hashed {
    file: File,
    hasher: Hasher,
    written: u64,
}

impl Hashed {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        use std::os::fd::AsFd as _;
        self.hasher.update(bytes);
        self.file.write_all(bytes).during(|| "write the archive")?;
        crate::sys::file::start_writeback(self.file.as_fd(), self.written, bytes.len() as u64);
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn copy(ctx: &Context, input: &mut dyn Read, out: &mut Hashed) -> Result<()> {
    loop {
        ctx.check()?;
        let mut chunk = Vec::with_capacity(1 << 20);
        (&mut *input)
            .take(1 << 20)
            .read_to_end(&mut chunk)
            .during(|| "write the archive")?;
        if chunk.is_empty() {
            return Ok(());
        }
        out.put(&chunk)?;
    }
}

/// A layer's blob in another compression: as stored if it has it already.
fn recompress(
    ctx: &Context,
    content: &Content,
    staging: &Staging,
    layer: &Layer,
    compression: Compression,
) -> Result<(PathBuf, Digest, u64)> {
    let (encoding, input) = compression::peek(content.open_blob(&layer.blob)?)?;
    let already = matches!(
        (encoding, compression),
        (Encoding::Plain, Compression::None)
            | (Encoding::Gzip, Compression::Gzip)
            | (Encoding::Zstd, Compression::Zstd)
    );
    if already {
        return Ok((content.blob_path(&layer.blob), layer.blob.clone(), layer.blob_size));
    }
    let plain = compression::decode(encoding, input, content.limits())?;
    let path = staging.free_path();
    let file = File::create_new(&path).during(|| format!("make `{}`", path.display()))?;
    let (feed, stream) = pipe::queue(true);
    let (hashed, diff_id) = std::thread::scope(|scope| {
        let mut plain = plain;
        let pump = scope.spawn(move || pipe::pump(ctx, &mut plain, feed, |_| Ok(())));
        let encoded = encode(ctx, stream, file, compression);
        pipe::first_cause(pump.join().expect("a pump does not panic"), encoded)
    })?;
    content::check_digest(&diff_id, &layer.diff_id, "the uncompressed layer")?;
    Ok((path, hashed.hasher.finish(), hashed.written))
}

fn encode(ctx: &Context, mut stream: pipe::Stream, file: File, compression: Compression) -> Result<(Hashed, Digest)> {
    let mut encoder = Encoder::new(
        Sink(Hashed {
            file,
            hasher: Hasher::new(),
            written: 0,
        }),
        compression,
    )?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = stream.read(&mut buffer).map_err(compression::read_error)?;
        if length == 0 {
            break;
        }
        encoder.write_all(&buffer[..length]).map_err(compression::read_error)?;
    }
    let hashed = encoder.finish()?.0;
    let digest = stream
        .drain(ctx)?
        .ok_or_else(|| Error::internal("the stream was not hashed"))?;
    Ok((hashed, digest))
}

struct Sink(Hashed);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.put(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => OCI_LAYER,
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// One entry per name, or one without.
fn descriptors(media_type: &str, digest: &Digest, size: u64, names: &[Reference]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![manifest::named_descriptor(media_type, digest, size, None)];
    }
    names
        .iter()
        .map(|name| manifest::named_descriptor(media_type, digest, size, Some(name)))
        .collect()
}

/// `repositories` of old Docker versions: repository → tag → topmost layer.
fn repositories(
    images: &[(&Image, Vec<Reference>)],
    saved: &[SavedImage],
) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for ((image, names), _) in images.iter().zip(saved) {
        let top = image.layers.last().map_or(image.id.hex(), |layer| layer.diff_id.hex());
        for name in names {
            if let Some(tag) = name.tag() {
                all.entry(name.familiar_repository())
                    .or_default()
                    .insert(tag.to_owned(), top.to_owned());
            }
        }
    }
    Ok(all)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("has text keys only")
}

/// A name beside `dest` that nothing has.
fn beside(dest: &Path) -> Result<PathBuf> {
    let name = dest
        .file_name()
        .ok_or_else(|| Error::invalid(format!("`{}` is not a path to save to", dest.display())))?;
    Ok(dest.with_file_name(format!(".{}.{}", name.to_string_lossy(), random_hex(6)?)))
}

fn sync_parent(dest: &Path) -> Result<()> {
    let parent = dest
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    sync_directory(parent).during(|| format!("write `{}` to disk", parent.display()))
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
