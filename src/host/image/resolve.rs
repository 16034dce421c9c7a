//! From what a person writes to an image: a name, an id, a manifest's digest, the start of either.

use super::Image;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images;
use crate::model::{Digest, Platform, Reference};
use crate::store::{ImageRow, Lease, Tx};

/// How an image was named, which decides what removing it means.
pub(super) enum Named {
    /// By this name, which is in the store.
    Reference(Reference),
    /// By its id, the start of it, or a digest.
    Id,
}

impl Host {
    /// The image meant by a name, an id, a digest, or a unique start of an id or a digest.
    ///
    /// Errors: `not_found`; `invalid` if it is no name, or if several ids start so.
    pub fn image(&self, text: &str) -> Result<Image> {
        self.store().read(|tx| self.resolve(tx, text)).map(|(image, _)| image)
    }

    /// The image meant by `text`, whose content stays as long as the lease does, whatever others remove meanwhile.
    pub(in crate::host) fn held_image(&self, lease: &Lease, text: &str) -> Result<(Image, images::Image)> {
        let image = self.image(text)?;
        let stored = image.stored()?;
        lease.hold(&stored.digests())?;
        // It may have been removed just before that, and its content with it.
        self.image(image.id().as_str())?;
        Ok((image, stored))
    }

    /// Like [`Host::image`], with `None` for an image that is not there.
    pub fn find_image(&self, text: &str) -> Result<Option<Image>> {
        match self.image(text) {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.kind() == crate::error::Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn resolve(&self, tx: &Tx, text: &str) -> Result<(Image, Named)> {
        let (row, named) = lookup(tx, text)?;
        Ok((Image::read(self, tx, row)?, named))
    }
}

/// A name wins over the start of an id, as Docker has it.
fn lookup(tx: &Tx, text: &str) -> Result<(ImageRow, Named)> {
    if let Ok(digest) = text.parse::<Digest>() {
        return by_digest(tx, &digest)?
            .map(|row| (row, Named::Id))
            .ok_or_else(|| missing(text));
    }
    let reference = text.parse::<Reference>();
    if let Ok(reference) = &reference
        && let Some(row) = by_reference(tx, reference)?
    {
        return Ok((row, reference.tagged().map_or(Named::Id, Named::Reference)));
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if !hex.is_empty() && hex.len() <= 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return by_prefix(tx, hex).map(|row| (row, Named::Id));
    }
    reference.and_then(|_| Err(missing(text)))
}

fn by_digest(tx: &Tx, digest: &Digest) -> Result<Option<ImageRow>> {
    if let Some(row) = tx.image(digest)? {
        return Ok(Some(row));
    }
    let found = known(tx, digest)?;
    // An index stands for several.
    let machine = Platform::machine();
    let suits = |row: &ImageRow| machine.suits(&row.platform()).unwrap_or(usize::MAX);
    Ok(found.into_iter().min_by_key(suits))
}

/// The images that have this digest at a registry: as their manifest's, or as that of an index they were chosen from.
pub(super) fn known(tx: &Tx, digest: &Digest) -> Result<Vec<ImageRow>> {
    let mut found = tx.images_by_manifest(digest)?;
    found.extend(tx.images_by_source(digest)?);
    Ok(found)
}

/// A digest in a name decides; the tag beside it is not looked at (distribution/reference).
fn by_reference(tx: &Tx, reference: &Reference) -> Result<Option<ImageRow>> {
    if let Some(digest) = reference.digest() {
        return by_digest(tx, digest);
    }
    match tx.reference(reference)? {
        Some(id) => tx.image(&id),
        None => Ok(None),
    }
}

fn by_prefix(tx: &Tx, hex: &str) -> Result<ImageRow> {
    let mut found = tx.images_by_prefix(hex, 3)?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|row| row.id.short()).collect();
        return Err(
            Error::invalid(format!("`{hex}` is the start of several image ids: {}", ids.join(", ")))
                .target(hex)
                .hint("write more digits of the id"),
        );
    }
    found.pop().ok_or_else(|| missing(hex))
}

fn missing(text: &str) -> Error {
    Error::not_found(format!("image `{}` is not in the store", text.escape_debug()))
        .target(text)
        .hint("`image::list(#{all: true})` shows what is there; `image::load` and `image::import_tar` bring images in")
}
