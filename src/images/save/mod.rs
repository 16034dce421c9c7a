//! Images to archives and layouts that other tools load: `docker save`'s form from Docker 25 on, which is an OCI layout as well, an OCI
//! archive, an OCI layout.

mod layer;
mod layout;
mod part;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::compression::{Compression, Pool};
use super::content::Content;
use super::image::Image;
use super::output::{NewDirectory, Output};
use crate::error::{Error, Result};
use crate::model::{Context, Digest, Reference, unknown};
use layout::Layout;

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
    /// The file or directory; `-` for standard output.
    pub path: PathBuf,
    /// Bytes of the file; of all files of a directory.
    pub size: u64,
    /// The digest of the file; of `index.json` for a directory.
    pub sha256: Digest,
    /// The diff ids of layers whose blobs were dropped: they were made again from their files, with another digest where the dropped
    /// blob was compressed.
    pub rebuilt: Vec<Digest>,
}

/// Saves images under their names to `dest`, which appears whole or not at all; a file there is replaced, a directory is not.
/// `-` is standard output.
///
/// `compression` wraps the file for [`Format::Docker`] and is the layers' own for the OCI forms; `None` leaves blobs as stored. The
/// image id never changes; a manifest does where its layers are recompressed. Equal images give equal bytes, on however many
/// processors. Blobs are verified on their way. Errors: `corrupt`, `already_exists`, `invalid` for no images and for a terminal.
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
    let pool = Pool::new();
    let (layers, wrap) = match format {
        Format::Docker => (None, compression.unwrap_or(Compression::None)),
        _ => (compression, Compression::None),
    };
    let form = layer::Form {
        content,
        staging: &staging,
        pool: &pool,
        compression: layers,
    };
    // Whether it can be written is to be known before the work.
    let (layout, (size, sha256)) = match format {
        Format::OciDir => {
            let directory = NewDirectory::make(dest)?;
            let layout = Layout::new(ctx, &form, images, format)?;
            let written = layout.write_dir(ctx, directory)?;
            (layout, written)
        }
        _ => {
            let output = Output::open(dest)?;
            let layout = Layout::new(ctx, &form, images, format)?;
            let written = layout.write_tar(ctx, output, wrap, &pool)?;
            (layout, written)
        }
    };
    Ok(Saved {
        path: dest.to_owned(),
        size,
        sha256,
        rebuilt: layout.rebuilt,
    })
}
