//! Images whose layers are kept packed until somebody wants their files.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::{self, Content, Layer};
use crate::model::Context;

impl Host {
    /// The content store in which all layers of these images are unpacked: those that are kept packed are unpacked by this. A dry run
    /// unpacks into a store of its own.
    ///
    /// Errors: `not_found` for images that were removed meanwhile; `corrupt` for a layer that is not what it should be; `no_space`.
    pub(in crate::host) fn unpacked(&self, ctx: &Context, images: &[&images::Image]) -> Result<&Content> {
        let last = images.last().ok_or_else(|| Error::internal("no image to unpack"))?;
        let (content, layers) = (self.content_of(last)?, || images.iter().flat_map(|image| &image.layers));
        if !layers().any(|layer| content.is_packed(&layer.diff_id)) {
            return Ok(content);
        }
        if self.plan().is_some() && self.content().has_blob(&last.id) {
            let own = self.new_content()?;
            own.unpack_from(ctx, content, layers())?;
            return Ok(own);
        }
        let lease = self.hold()?;
        for image in images {
            lease.hold(&image.digests())?;
            // It may have been removed just before that.
            self.image(image.id.as_str())?;
        }
        let packed: Vec<Layer> = layers()
            .filter(|layer| content.is_packed(&layer.diff_id))
            .cloned()
            .collect();
        content.unpack_from(ctx, content, packed.iter())?;
        // Those that cannot go stay, and nothing is lost by it.
        if self.plan().is_none() {
            self.drop_blobs(ctx, packed.into_iter());
        }
        Ok(content)
    }
}
