//! One layer's way in: the stream is hashed, kept as a blob, inflated, hashed again and unpacked in one pass, side by side.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::archive::Reader;
use super::compression::{self, Encoding};
use super::content::{self, Content, Record};
use super::image::Layer;
use super::links::{self, Links};
use super::manifest::OCI_LAYER;
use super::pipe::{self, Stream};
use super::staging::Staging;
use super::unpack;
use crate::error::{Context as _, Error, Result};
use crate::model::{Context, Digest, Hasher};
use crate::sys::file;

/// What a document says a layer is; nothing for a layer that is being made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) diff_id: Option<Digest>,
    pub(crate) blob: Option<Digest>,
    pub(crate) media_type: Option<String>,
    /// Refuse a stream that lacks the archive's end marker; for input that no digest vouches for.
    pub(crate) strict_end: bool,
    /// It is not unpacked, but read and checked alone.
    pub(crate) packed: bool,
}

/// A layer that is whole but not visible yet.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    pub(crate) layer: Layer,
    /// Hard links to files of layers below.
    pub(crate) links: Links,
    blob: Option<PathBuf>,
    tree: Option<Tree>,
    /// What says that it is kept packed.
    mark: Option<PathBuf>,
}

#[derive(Debug)]
struct Tree {
    dir: PathBuf,
    record: PathBuf,
}

/// Bytes of a blob after which the kernel is asked to start writing them, so that the final sync finds little to do.
const WRITEBACK: u64 = 8 << 20;

/// Stages a layer from its stream. Errors: `corrupt` if it is not what is expected or no layer at all.
pub(crate) fn stage(
    ctx: &Context,
    content: &Content,
    staging: &Staging,
    input: impl Read + Send,
    expected: &Expected,
) -> Result<StagedLayer> {
    let blob = BlobWriter::create(staging.free_path(), hasher_like(expected.blob.as_ref()))?;
    stage_into(ctx, content, staging, input, expected, blob)
}

/// The same with its blob kept where `blob` says.
pub(crate) fn stage_into(
    ctx: &Context,
    content: &Content,
    staging: &Staging,
    input: impl Read + Send,
    expected: &Expected,
    mut blob: BlobWriter,
) -> Result<StagedLayer> {
    let (encoding, mut input) = compression::peek(input)?;
    let has_tree = expected
        .diff_id
        .as_ref()
        .is_some_and(|diff_id| content.has_layer(diff_id));
    let is_packed = !has_tree && expected.packed;
    let tree = (!has_tree && !is_packed).then(|| Tree {
        dir: staging.free_path(),
        record: staging.free_path(),
    });
    let (feed, stream) = pipe::queue(expected.plain_hasher(encoding));
    let unpacked = std::thread::scope(|scope| {
        let pump = scope.spawn(|| pipe::pump(ctx, &mut input, feed, |chunk| blob.write(chunk)));
        let fate = match &tree {
            Some(tree) => Fate::Tree(tree),
            None if is_packed => Fate::Packed,
            None => Fate::There,
        };
        let unpacked = inflate(ctx, content, encoding, stream, fate, expected);
        pipe::first_cause(pump.join().expect("a pump does not panic"), unpacked)
    })?;
    let (path, digest, blob_size) = blob.finish();
    let diff_id = unpacked.plain.unwrap_or_else(|| digest.clone());
    expected.check(&digest, &diff_id)?;
    let record = match unpacked.record {
        Some(record) => record,
        None => content.record(&diff_id)?,
    };
    if let Some(tree) = &tree {
        let bytes = serde_json::to_vec(&record).expect("a record is plain data");
        std::fs::write(&tree.record, bytes).during(|| format!("write `{}`", tree.record.display()))?;
    }
    let mark = is_packed
        .then(|| Content::stage_mark(staging, record.size))
        .transpose()?;
    let media_type = expected.media_type.clone().unwrap_or_else(|| media_type(encoding));
    let layer = Layer {
        diff_id,
        blob: digest,
        blob_size,
        media_type,
        size: record.size,
    };
    Ok(StagedLayer {
        layer,
        links: links::of(&record),
        blob: path,
        tree,
        mark,
    })
}

/// What came out of a stream: the digest of its plain bytes, where that is another than the blob's, and what was unpacked.
struct Unpacked {
    plain: Option<Digest>,
    record: Option<Record>,
}

/// What becomes of a stream's files.
#[derive(Clone, Copy)]
enum Fate<'a> {
    /// They are unpacked.
    Tree(&'a Tree),
    /// They are counted.
    Packed,
    /// They are there.
    There,
}

fn inflate(
    ctx: &Context,
    content: &Content,
    encoding: Encoding,
    stream: Stream,
    fate: Fate<'_>,
    expected: &Expected,
) -> Result<Unpacked> {
    let strict = expected.strict_end;
    if encoding == Encoding::Plain {
        return consume(ctx, content, stream, fate, strict);
    }
    let (feed, plain) = pipe::queue(Some(hasher_like(expected.diff_id.as_ref())));
    std::thread::scope(|scope| {
        let decode = scope.spawn(move || {
            let mut decoder = compression::decode(encoding, stream, content.limits())?;
            pipe::pump(ctx, &mut decoder, feed, |_| Ok(()))
        });
        let unpacked = consume(ctx, content, plain, fate, strict);
        pipe::first_cause(decode.join().expect("a decoder does not panic"), unpacked)
    })
}

fn consume(ctx: &Context, content: &Content, stream: Stream, fate: Fate<'_>, strict: bool) -> Result<Unpacked> {
    let limits = content.limits();
    let mut reader = Reader::new(stream, limits);
    let record = match fate {
        Fate::There => None,
        Fate::Packed => Some(Record {
            size: unpack::measure(ctx, limits, &mut reader)?,
            ..Record::default()
        }),
        Fate::Tree(tree) => {
            std::fs::create_dir(&tree.dir).during(|| format!("make `{}`", tree.dir.display()))?;
            let root = content::open_dir(&tree.dir)?;
            Some(unpack::unpack(ctx, limits, &mut reader, root)?)
        }
    };
    if strict && record.is_some() && !reader.has_end_marker() {
        return Err(Error::corrupt(
            "the archive ends without its end marker, so something may be missing",
        ));
    }
    Ok(Unpacked {
        plain: reader.into_input().drain(ctx)?,
        record,
    })
}

fn media_type(encoding: Encoding) -> String {
    match encoding {
        Encoding::Plain | Encoding::Xz | Encoding::Bzip2 => OCI_LAYER.to_owned(),
        Encoding::Gzip => format!("{OCI_LAYER}+gzip"),
        Encoding::Zstd => format!("{OCI_LAYER}+zstd"),
    }
}

/// By the algorithm of the digest that is to come out.
fn hasher_like(digest: Option<&Digest>) -> Hasher {
    digest.map_or_else(Hasher::new, Hasher::like)
}

impl Expected {
    /// What hashes the plain bytes of a blob that is stored plain: nothing, unless that is to be named by two algorithms.
    fn plain_hasher(&self, encoding: Encoding) -> Option<Hasher> {
        let (blob, diff_id) = (self.blob.as_ref(), self.diff_id.as_ref());
        let algorithm = |digest: Option<&Digest>| digest.map_or("sha256", |digest| digest.algorithm()).to_owned();
        let differ = encoding == Encoding::Plain && algorithm(blob) != algorithm(diff_id);
        differ.then(|| hasher_like(diff_id))
    }

    fn check(&self, blob: &Digest, diff_id: &Digest) -> Result<()> {
        if let Some(expected) = &self.blob {
            content::check_digest(blob, expected, "the layer's blob")?;
        }
        match &self.diff_id {
            Some(expected) => content::check_digest(diff_id, expected, "the uncompressed layer"),
            None => Ok(()),
        }
    }
}

impl StagedLayer {
    /// The directory with its files.
    pub(crate) fn into_tree(self) -> Result<PathBuf> {
        let tree = self.tree.map(|tree| tree.dir);
        tree.ok_or_else(|| Error::internal("a layer was not unpacked"))
    }

    /// Whether the blob that is here holds the layer that is here. Errors: `corrupt`.
    pub(crate) fn check_pair(ctx: &Context, content: &Content, diff_id: &Digest, blob: &Digest) -> Result<()> {
        if blob == diff_id {
            return Ok(());
        }
        let mut plain = compression::decoder(content.open_blob(blob)?, content.limits())?;
        let found = content::hash(ctx, &mut plain, diff_id)?;
        content::check_digest(&found, diff_id, "the uncompressed layer")
    }

    /// A layer whose tree is there and whose blob is not, nor needed: it can be made again.
    pub(crate) fn without_blob(
        content: &Content,
        diff_id: &Digest,
        blob: (&Digest, u64),
        media_type: &str,
    ) -> Result<StagedLayer> {
        let record = content.record(diff_id)?;
        let layer = Layer {
            diff_id: diff_id.clone(),
            blob: blob.0.clone(),
            blob_size: blob.1,
            media_type: media_type.to_owned(),
            size: record.size,
        };
        Ok(StagedLayer {
            layer,
            links: links::of(&record),
            blob: None,
            tree: None,
            mark: None,
        })
    }

    /// A layer whose blob and tree are there already.
    pub(crate) fn present(
        content: &Content,
        diff_id: &Digest,
        blob: &Digest,
        media_type: Option<&str>,
    ) -> Result<StagedLayer> {
        let size = content.blob_size(blob)?;
        StagedLayer::without_blob(content, diff_id, (blob, size), media_type.unwrap_or(OCI_LAYER))
    }

    /// Where its tree is now.
    pub(crate) fn dir(&self, content: &Content) -> PathBuf {
        match &self.tree {
            Some(tree) => tree.dir.clone(),
            None => content.layer_dir(&self.layer.diff_id),
        }
    }

    /// Whether anything of it waits to become visible.
    pub(crate) fn is_new(&self) -> bool {
        self.blob.is_some() || self.tree.is_some() || self.mark.is_some()
    }

    /// Whether nothing of it is unpacked.
    pub(crate) fn is_packed(&self, content: &Content) -> bool {
        self.tree.is_none() && !content.has_layer(&self.layer.diff_id)
    }

    /// Makes it visible; it must be on disk.
    pub(crate) fn publish(&self, content: &Content) -> Result<()> {
        if let Some(blob) = &self.blob {
            content.publish_blob(blob, &self.layer.blob)?;
        }
        if let Some(mark) = &self.mark {
            content.publish_mark(mark, &self.layer.diff_id)?;
        }
        match &self.tree {
            Some(tree) => content.publish_layer(&tree.dir, &tree.record, &self.layer.diff_id),
            None => Ok(()),
        }
    }
}

/// A blob being written and hashed.
pub(crate) struct BlobWriter {
    path: PathBuf,
    /// Nothing where the blob is stored already, and only hashed.
    file: Option<File>,
    hasher: Hasher,
    /// Bytes that are in the file from before, and are not written once more.
    had: u64,
    written: u64,
    started: u64,
}

impl BlobWriter {
    pub(crate) fn create(path: PathBuf, hasher: Hasher) -> Result<BlobWriter> {
        let file = File::create_new(&path).during(|| format!("make `{}`", path.display()))?;
        Ok(BlobWriter::resume(path, file, 0, hasher))
    }

    /// One whose first bytes are in the file, which stands behind them; they come once more to be hashed.
    pub(crate) fn resume(path: PathBuf, file: File, had: u64, hasher: Hasher) -> BlobWriter {
        BlobWriter {
            path,
            file: Some(file),
            hasher,
            had,
            written: 0,
            started: had,
        }
    }

    /// One of a blob that is stored: it is hashed like this digest, and kept nowhere.
    pub(crate) fn unwritten(like: &Digest) -> BlobWriter {
        BlobWriter {
            path: PathBuf::new(),
            file: None,
            hasher: Hasher::like(like),
            had: 0,
            written: 0,
            started: 0,
        }
    }

    /// Bytes so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.hasher.update(chunk);
        let before = self.had.saturating_sub(self.written);
        let before = usize::try_from(before).unwrap_or(usize::MAX).min(chunk.len());
        self.written += chunk.len() as u64;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&chunk[before..])
            .during(|| format!("write `{}`", Path::new(&self.path).display()))?;
        if self.written.saturating_sub(self.started) >= WRITEBACK {
            file::start_writeback(file.as_fd(), self.started, self.written - self.started);
            self.started = self.written;
        }
        Ok(())
    }

    /// Where it is, if it was written; what it is; its bytes.
    pub(crate) fn finish(self) -> (Option<PathBuf>, Digest, u64) {
        (self.file.map(|_| self.path), self.hasher.finish(), self.written)
    }
}
