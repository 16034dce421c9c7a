//! What stays, whatever anybody asks for: what the settings file protects, and in a batch also what the run is not allowed to remove.

use jiff::Timestamp;

use super::{Asking, Container, Host, Image};
use crate::config::{Demand, ImageNames, Target, protected};
use crate::error::Result;
use crate::model::{Context, Digest, Effect, Reference};
use crate::store::Tx;

impl Host {
    /// Points a name at an image; returns what it meant before, if that was another, which can be undone. Errors: `denied` for a name that is protected and
    /// means another image.
    pub(super) fn set_name(&self, tx: &Tx, name: &Reference, image: &Digest, now: Timestamp) -> Result<Option<Digest>> {
        let before = tx.reference(name)?;
        if before.is_none_or(|before| before == *image) {
            return tx.set_reference(name, image, now);
        }
        self.check_names(std::slice::from_ref(name))?;
        self.in_trash(tx, "image::tag", || tx.set_reference(name, image, now))
    }

    /// Errors: `denied` if one of the names is protected.
    pub(super) fn check_names(&self, names: &[Reference]) -> Result<()> {
        match self.config().protect.image(names) {
            None => Ok(()),
            Some(reason) => {
                let shown = names.first().map_or_else(String::new, Reference::familiar);
                Err(protected(&format!("image `{shown}`"), &shown, &reason))
            }
        }
    }

    /// Errors: `denied` if the container is protected.
    pub(super) fn check_container(&self, container: &Container) -> Result<()> {
        match self.config().protect.container(container.name()) {
            None => Ok(()),
            Some(reason) => Err(protected(
                &format!("container `{container}`"),
                container.name(),
                &reason,
            )),
        }
    }

    /// Errors: `denied` if what a name stands for at its registry is protected.
    pub(super) fn check_remote(&self, name: &Reference) -> Result<()> {
        match self.config().protect.remote(name) {
            None => Ok(()),
            Some(reason) => {
                let shown = name.familiar();
                Err(protected(&format!("`{shown}` at its registry"), &shown, &reason))
            }
        }
    }

    /// Errors: `denied` if a protected name at a registry stands for something else than this.
    pub(super) fn check_remote_move(
        &self,
        ctx: &Context,
        name: &Reference,
        to: &Digest,
        asking: &Asking,
    ) -> Result<()> {
        if self.config().protect.remote(name).is_none() {
            return Ok(());
        }
        match self.remote_digest(ctx, &name.to_string(), asking)? {
            Some(there) if there != *to => self.check_remote(name),
            _ => Ok(()),
        }
    }

    /// Why a clean-up passes over an image that it would take.
    pub(super) fn spares_image(&self, image: &Image) -> Option<String> {
        let names = image.references();
        let config = self.config();
        config.protect.image(names).or_else(|| {
            let target = Target::Image(ImageNames {
                meant: names.to_vec(),
                id: names.is_empty().then(|| image.id().to_string()),
                ..ImageNames::default()
            });
            config.permissions.spares(&Demand::new(Effect::Delete, target))
        })
    }

    /// Why a clean-up passes over a container that it would take.
    pub(super) fn spares_container(&self, container: &Container) -> Option<String> {
        let config = self.config();
        config.protect.container(container.name()).or_else(|| {
            let target = Target::Object(vec![container.name().to_owned(), container.id().to_string()]);
            config.permissions.spares(&Demand::new(Effect::Delete, target))
        })
    }
}
