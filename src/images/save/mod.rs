//! Images to archives and layouts that other tools load: `docker save`'s form from Docker 25 on, which is an OCI layout as well, an OCI
//! archive, an OCI layout.

mod layer;
mod layout;
mod part;
mod saved;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::str::FromStr;

use super::compression::{Compression, Pool};
use super::content::Content;
use super::image::Image;
use super::output::{NewDirectory, Output};
use crate::error::{Error, Result};
use crate::model::{Context, Reference, unknown};
pub(in crate::images) use layer::{Blob, Form, stored};
use layout::Layout;
use saved::Checksum;
pub use saved::Saved;

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
    let (layout, size, checksum) = match format {
        Format::OciDir => {
            let directory = NewDirectory::make(dest)?;
            let layout = Layout::new(ctx, &form, images, format)?;
            let (size, digest) = layout.write_dir(ctx, directory)?;
            (layout, size, Checksum::Known(digest))
        }
        _ => {
            let output = Output::open(dest)?;
            let layout = Layout::new(ctx, &form, images, format)?;
            let (size, checksum) = match wrap == Compression::None && output.is_file() {
                true => {
                    let (size, facts) = layout.write_tar(ctx, output)?;
                    (size, Checksum::of(dest, &facts)?)
                }
                false => {
                    let (size, digest) = layout.stream_tar(ctx, output, wrap, &pool)?;
                    (size, Checksum::Known(digest))
                }
            };
            (layout, size, checksum)
        }
    };
    Ok(Saved {
        path: dest.to_owned(),
        size,
        rebuilt: layout.rebuilt,
        checksum,
    })
}
