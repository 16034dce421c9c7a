//! Lists of images, and what a clean-up would take.

use super::filter::{ImageFilter, Purpose, decide};
use super::{Image, filter};
use crate::error::Result;
use crate::host::Host;

/// A condition a script adds to a filter.
pub type Matching<'a, T> = Option<&'a dyn Fn(&T) -> Result<bool>>;

impl Host {
    /// The images that fit the filter, newest first. Intermediate ones only with `all` or `intermediate`.
    pub fn images(&self, filter: &ImageFilter, matching: Matching<'_, Image>) -> Result<Vec<Image>> {
        let images = Image::read_all(self)?;
        let verdicts = decide(self, images, filter, matching, Purpose::List)?;
        Ok(filter::selected(verdicts))
    }

    /// The images that [`Host::prune_images`] would remove under the same filter.
    pub fn select_images(&self, filter: &ImageFilter, matching: Matching<'_, Image>) -> Result<Vec<Image>> {
        let images = Image::read_all(self)?;
        let verdicts = decide(self, images, filter, matching, Purpose::Prune)?;
        Ok(filter::selected(verdicts))
    }
}
