//! Layers in the compression they are saved in.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::PathBuf;

use crate::error::{Context as _, Error, Result};
use crate::images::compression::{self, Compression, Encoder, Encoding, Pool};
use crate::images::content::{self, Content};
use crate::images::image::Layer;
use crate::images::manifest::{self, Descriptor, OCI_LAYER, OCI_UNDISTRIBUTED_LAYER};
use crate::images::pipe;
use crate::images::staging::Staging;
use crate::model::{Context, Digest, Hasher};

/// What layers are to become.
pub(in crate::images) struct Form<'a> {
    pub(in crate::images) content: &'a Content,
    pub(in crate::images) staging: &'a Staging,
    pub(in crate::images) pool: &'a Pool,
    /// `None` leaves them as they are stored.
    pub(in crate::images) compression: Option<Compression>,
}

/// A layer's blob as it is saved.
#[derive(Clone)]
pub(in crate::images) struct Blob {
    pub(in crate::images) path: PathBuf,
    pub(in crate::images) descriptor: Descriptor,
    /// Whether the stored manifest describes it as it is.
    pub(in crate::images) is_stored: bool,
    /// The diff id, if it was made again from the layer's files.
    pub(in crate::images) rebuilt: Option<Digest>,
}

impl Form<'_> {
    /// The layer in the form asked for: the stored blob if it has that, else a new one in the staging directory.
    pub(in crate::images) fn blob(&self, ctx: &Context, layer: &Layer) -> Result<Blob> {
        if !self.content.has_blob(&layer.blob) && self.content.has_recipe(&layer.diff_id) {
            return self.rebuilt(ctx, layer);
        }
        if let Some(stored) = stored(self.content, self.compression, layer)? {
            return Ok(stored);
        }
        let compression = self.compression.unwrap_or(Compression::None);
        let (encoding, input) = compression::peek(self.content.open_blob(&layer.blob)?)?;
        let plain = compression::decode(encoding, input, self.content.limits())?;
        self.compressed(ctx, layer, plain, compression)
    }

    /// A blob of the layer's files, plain unless a compression is asked for: how the dropped one was compressed cannot be repeated.
    fn rebuilt(&self, ctx: &Context, layer: &Layer) -> Result<Blob> {
        let plain = self.content.rebuilt(&layer.diff_id)?;
        let mut blob = self.compressed(ctx, layer, plain, self.compression.unwrap_or(Compression::None))?;
        if blob.descriptor.digest == layer.blob {
            blob.descriptor.media_type.clone_from(&layer.media_type);
            blob.is_stored = true;
        }
        blob.rebuilt = Some(layer.diff_id.clone());
        Ok(blob)
    }

    /// A new blob of plain bytes, which must be the layer's.
    fn compressed(
        &self,
        ctx: &Context,
        layer: &Layer,
        mut plain: impl Read + Send,
        compression: Compression,
    ) -> Result<Blob> {
        let path = self.staging.free_path();
        let file = File::create_new(&path).during(|| format!("make `{}`", path.display()))?;
        let (feed, stream) = pipe::queue(Some(Hasher::like(&layer.diff_id)));
        let (made, diff_id) = std::thread::scope(|scope| {
            let pump = scope.spawn(move || pipe::pump(ctx, &mut plain, feed, |_| Ok(())));
            let encoded = self.encode(ctx, stream, file, compression);
            pipe::first_cause(pump.join().expect("a pump does not panic"), encoded)
        })?;
        content::check_digest(&diff_id, &layer.diff_id, "the uncompressed layer")?;
        Ok(Blob {
            path,
            descriptor: Descriptor::new(&media_type(compression, layer), made.hasher.finish(), made.written),
            is_stored: false,
            rebuilt: None,
        })
    }

    fn encode(
        &self,
        ctx: &Context,
        mut stream: pipe::Stream,
        file: File,
        compression: Compression,
    ) -> Result<(Hashed, Digest)> {
        let made = Hashed {
            file,
            hasher: Hasher::new(),
            written: 0,
        };
        let mut encoder = Encoder::new(made, compression, self.pool);
        loop {
            let chunk = stream.fill_buf().map_err(compression::read_error)?;
            let length = chunk.len();
            if length == 0 {
                break;
            }
            encoder.write_all(chunk).map_err(compression::read_error)?;
            stream.consume(length);
        }
        let made = encoder.finish()?;
        let diff_id = stream.drain(ctx)?;
        Ok((
            made,
            diff_id.ok_or_else(|| Error::internal("the stream was not hashed"))?,
        ))
    }
}

/// The stored blob, if it has the form asked for.
pub(in crate::images) fn stored(
    content: &Content,
    compression: Option<Compression>,
    layer: &Layer,
) -> Result<Option<Blob>> {
    let has_form = match compression {
        None => true,
        Some(compression) => matches!(
            (compression::peek(content.open_blob(&layer.blob)?)?.0, compression),
            (Encoding::Plain, Compression::None)
                | (Encoding::Gzip, Compression::Gzip)
                | (Encoding::Zstd, Compression::Zstd)
        ),
    };
    Ok(has_form.then(|| Blob {
        path: content.blob_path(&layer.blob),
        descriptor: Descriptor::new(&layer.media_type, layer.blob.clone(), layer.blob_size),
        is_stored: true,
        rebuilt: None,
    }))
}

/// A layer that is not to be handed on stays one.
fn media_type(compression: Compression, layer: &Layer) -> String {
    let plain = match manifest::is_undistributed(&layer.media_type) {
        true => OCI_UNDISTRIBUTED_LAYER,
        false => OCI_LAYER,
    };
    match compression {
        Compression::None => plain.to_owned(),
        Compression::Gzip => format!("{plain}+gzip"),
        Compression::Zstd => format!("{plain}+zstd"),
    }
}

/// A file that knows the digest of what was written.
struct Hashed {
    file: File,
    hasher: Hasher,
    written: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.written += length as u64;
        Ok(length)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
