//! Names: pointing them at images, moving them, taking them away.

use jiff::Timestamp;

use super::Image;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::Reference;

impl Host {
    /// Points the name `target` at the image meant by `source`; a name in use moves, and an image that loses its last name
    /// so becomes dangling.
    ///
    /// Errors: `not_found`; `invalid` if `target` is no name or is pinned to a digest.
    pub fn tag_image(&self, source: &str, target: &str) -> Result<Image> {
        let name = tag_target(target)?;
        let now = Timestamp::now();
        let image = self.move_names(|tx| {
            let (image, _) = self.resolve(tx, source)?;
            self.set_name(tx, &name, image.id(), now)?;
            self.resolve(tx, image.id().as_str()).map(|(image, _)| image)
        })?;
        self.planned("image::tag", &name.familiar(), image.id().short());
        self.tell_image("tag", &image, &name.familiar());
        Ok(image)
    }

    /// Takes a name away; its image stays, dangling if it was the last one.
    ///
    /// Errors: `not_found` if there is no such name.
    pub fn untag_image(&self, name: &str) -> Result<()> {
        let reference = tag_target(name)?;
        let id = self.move_names(|tx| match tx.reference(&reference)? {
            Some(id) => {
                self.check_names(std::slice::from_ref(&reference))?;
                self.in_trash(tx, "image::untag", || tx.delete_reference(&reference))?;
                Ok(id)
            }
            None => Err(Error::not_found(format!("there is no image named `{}`", reference.familiar())).target(name)),
        })?;
        self.planned("image::untag", &reference.familiar(), "");
        self.tell_image_id("untag", id.as_str(), &reference.familiar());
        Ok(())
    }
}

fn tag_target(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse()?;
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err(
            Error::invalid(format!("`{text}` names a digest, which cannot be chosen"))
                .hint("give the name a tag instead, such as `app:1.0`"),
        ),
    }
}
