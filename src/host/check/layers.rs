//! Unpacked layers: whether each is there, and what its blob says.

use std::collections::BTreeMap;

use super::images::{Health, Stock, Users};
use super::{Checkup, Damage};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::images::{Layer, LayerDamage, Staging};
use crate::model::Digest;
use crate::runtime;

impl Checkup<'_> {
    /// Looks at every layer an image needs, each once.
    pub(super) fn layers(&mut self, stock: &Stock, health: &mut Health) -> Result<()> {
        let mut wanted: BTreeMap<&Digest, Vec<Layer>> = BTreeMap::new();
        let mut users: Users<'_> = BTreeMap::new();
        for image in &stock.images {
            for row in &image.layers {
                wanted.entry(&row.diff_id).or_default().push(row.clone().into());
                users.entry(&row.diff_id).or_default().push(&image.row.id);
            }
        }
        for (diff_id, layers) in wanted {
            self.ctx.check()?;
            let names = stock.shown(users[diff_id].iter().copied());
            let content = self.host.content();
            let mut by_blob = layers.iter().filter(|layer| health.has_blob(&layer.blob));
            let mut by_recipe = layers
                .iter()
                .filter(|layer| !content.has_blob(&layer.blob) && content.has_tar(layer));
            let size = match by_blob.next().or(by_recipe.next()) {
                Some(layer) => self.layer(layer, &names)?,
                None => self.lone_layer(diff_id, &users[diff_id], &names),
            };
            health.layers.extend(size.map(|size| (diff_id.clone(), size)));
        }
        Ok(())
    }

    /// A layer whose tar can be had; the bytes of its files, if it is whole now.
    fn layer(&mut self, layer: &Layer, names: &str) -> Result<Option<u64>> {
        let content = self.host.content_with(&layer.blob)?;
        let recorded = content.recorded_size(&layer.diff_id);
        if content.is_packed(&layer.diff_id) {
            return self.packed_layer(layer, names);
        }
        if self.options.quick && content.has_layer(&layer.diff_id) && recorded.is_some() {
            return Ok(recorded);
        }
        // What is unpacked to compare goes where a dry run may write.
        let staging = self.host.new_content()?.stage()?;
        let damage = match content.layer_damage(self.ctx, &staging, layer) {
            Ok(None) => return Ok(recorded),
            Ok(Some(damage)) => damage,
            Err(error) if error.kind() == Kind::Corrupt && !content.has_blob(&layer.blob) => {
                let detail = format!("a layer of {names} was changed, and its blob was let go: {error}");
                let hint = "load or pull the image again after `image::remove`";
                self.beyond_repair(Damage::LayerChanged, layer.diff_id.as_str(), detail, hint);
                return Ok(None);
            }
            Err(error) if error.kind() == Kind::Corrupt => {
                self.unreadable(layer, names, &error);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(self
            .damaged_layer(layer, &staging, &damage, names)
            .then_some(damage.size))
    }

    /// A layer that is kept packed: its blob is all of it.
    fn packed_layer(&mut self, layer: &Layer, names: &str) -> Result<Option<u64>> {
        let content = self.host.content_with(&layer.blob)?;
        let found = match self.options.quick {
            true => Ok(()),
            false => content.verify_packed(self.ctx, layer),
        };
        match found {
            Ok(()) => Ok(content.recorded_size(&layer.diff_id)),
            Err(error) if error.kind() == Kind::Corrupt => {
                self.unreadable(layer, names, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn unreadable(&mut self, layer: &Layer, names: &str, error: &Error) {
        let detail = format!("a layer of {names} cannot be read: {error}");
        let hint = "load or pull the image again, or remove it with `image::remove`";
        self.beyond_repair(Damage::LayerUnreadable, layer.diff_id.as_str(), detail, hint);
    }

    fn damaged_layer(&mut self, layer: &Layer, staging: &Staging, damage: &LayerDamage, names: &str) -> bool {
        let (kind, detail) = match (damage.has_tree, damage.differences.is_empty()) {
            (false, _) => (Damage::LayerMissing, format!("a layer of {names} is not unpacked")),
            (true, false) => (
                Damage::LayerChanged,
                format!("a layer of {names} was changed: {}", damage.differences.join(", ")),
            ),
            (true, true) => (
                Damage::LayerRecord,
                format!("the record of a layer of {names} is missing or wrong"),
            ),
        };
        let (host, mut bare) = (self.host, Vec::new());
        self.found(kind, layer.diff_id.as_str(), detail, || {
            bare = host.restore_layer(&layer.diff_id, staging, damage)?;
            Ok(())
        });
        self.bare.extend(bare);
        self.problems.last().is_some_and(|problem| problem.repaired)
    }

    /// A layer whose tar cannot be had: what is unpacked is all there is, and cannot be compared with anything.
    fn lone_layer(&mut self, diff_id: &Digest, users: &[&Digest], names: &str) -> Option<u64> {
        let content = self.host.content();
        if content.has_layer(diff_id) {
            let recorded = content.recorded_size(diff_id);
            if recorded.is_none() {
                let detail = format!("the record of a layer of {names} is missing, and so is the blob to make it from");
                let hint = "load or pull the image again, which brings both back";
                self.beyond_repair(Damage::LayerRecord, diff_id.as_str(), detail, hint);
            }
            return recorded;
        }
        let detail = format!("a layer is gone, unpacked and packed, and with it {names}");
        let host = self.host;
        self.found(Damage::LayerMissing, diff_id.as_str(), detail, || {
            users.iter().try_for_each(|image| host.drop_image(image))
        });
        None
    }
}

impl Host {
    /// Puts a layer back as it should be, and takes away what was made of it and others, for that has its files as they were. Gives
    /// the images it was made for. Errors: `in_use` while a container that runs shows its files.
    fn restore_layer(&self, diff_id: &Digest, staging: &Staging, damage: &LayerDamage) -> Result<Vec<Digest>> {
        let running = self.running_on(diff_id)?;
        if damage.has_tree
            && !damage.differences.is_empty()
            && let Some(name) = &running
        {
            let what = format!("container `{name}` runs on it");
            return Err(Error::in_use(what).hint("stop the container, then repair again"));
        }
        self.content().restore_layer(staging, diff_id, damage)?;
        match running {
            Some(_) => Ok(Vec::new()),
            None => self.take_derived(diff_id),
        }
    }

    fn take_derived(&self, diff_id: &Digest) -> Result<Vec<Digest>> {
        let mut images: BTreeMap<Digest, Vec<Layer>> = BTreeMap::new();
        for (image, layer) in self.store().read(|tx| tx.all_layers())? {
            images.entry(image).or_default().push(layer.into());
        }
        images.retain(|_, layers| layers.iter().any(|layer| layer.diff_id == *diff_id));
        let discard = self.content().discard()?;
        images.values().try_for_each(|layers| discard.take_derived(layers))?;
        Ok(images.into_keys().collect())
    }

    /// The name of a container that runs and shows this layer, be it as part of a directory merged from several.
    fn running_on(&self, diff_id: &Digest) -> Result<Option<String>> {
        let dir = self.content().layer_dir(diff_id);
        for row in self.store().read(|tx| tx.containers())? {
            let bundle = self.bundle(&row.id);
            let layers = self.store().read(|tx| tx.layers(&row.image))?;
            // An image that was lost has no layers any more.
            let shows = layers.iter().any(|layer| layer.diff_id == *diff_id)
                || runtime::lowers(&bundle).is_ok_and(|lowers| lowers.contains(&dir));
            if shows && runtime::state(&bundle).is_ok_and(|state| state.status.is_alive()) {
                return Ok(Some(row.name));
            }
        }
        Ok(None)
    }
}
