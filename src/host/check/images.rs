//! Images: their rows against their configuration and manifest, and what to do when their content cannot be had back.

use std::collections::{BTreeMap, HashMap};

use super::{Checkup, Damage};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::{self, Layer};
use crate::model::Digest;
use crate::store::{ImageRow, LayerRow, Lease, Tx};

/// The images whose content a lease holds, with their layers.
pub(super) struct Stock {
    pub(super) images: Vec<Known>,
    pub(super) names: HashMap<Digest, Vec<String>>,
}

/// An image as the database has it.
pub(super) struct Known {
    pub(super) row: ImageRow,
    pub(super) layers: Vec<LayerRow>,
}

/// What was found out about content: digests that are as they should be, and sizes.
#[derive(Default)]
pub(super) struct Health {
    /// Blobs, by whether they are what they should be.
    pub(super) blobs: HashMap<Digest, bool>,
    /// Unpacked layers that are there and as they should be, with the bytes of their files.
    pub(super) layers: HashMap<Digest, u64>,
}

impl Health {
    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.get(digest).copied().unwrap_or(false)
    }
}

impl Stock {
    /// The images there are; none of their content goes while the lease lives.
    pub(super) fn hold(host: &Host, lease: &Lease) -> Result<Stock> {
        host.store().write(|tx| {
            lease.hold_all_within(tx)?;
            let mut layers: HashMap<Digest, Vec<LayerRow>> = HashMap::new();
            for (image, layer) in tx.all_layers()? {
                layers.entry(image).or_default().push(layer);
            }
            let mut names: HashMap<Digest, Vec<String>> = HashMap::new();
            for (name, image) in tx.references()? {
                names.entry(image).or_default().push(name.familiar());
            }
            let rows = tx.images()?.into_iter();
            let images = rows.map(|row| Known {
                layers: layers.remove(&row.id).unwrap_or_default(),
                row,
            });
            Ok(Stock {
                images: images.collect(),
                names,
            })
        })
    }

    /// The images in words: by their names, or by their ids.
    pub(super) fn shown<'a>(&self, ids: impl IntoIterator<Item = &'a Digest>) -> String {
        let name = |id: &Digest| match self.names.get(id) {
            Some(names) => format!("`{}`", names.join("`, `")),
            None => format!("`{}`", id.short()),
        };
        ids.into_iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

impl Known {
    pub(super) fn stored(&self) -> images::Image {
        images::Image {
            id: self.row.id.clone(),
            manifest: self.row.manifest.clone(),
            config: self.row.config.clone(),
            layers: self.layers.iter().cloned().map(Layer::from).collect(),
        }
    }

    /// The rows its configuration and manifest ask for. Errors: why there are none.
    fn true_layers(&self, host: &Host, health: &Health) -> Result<Vec<LayerRow>> {
        let described = host.content().described_layers(&self.row.manifest, &self.row.config)?;
        // The size of a layer that is not whole is not known: the row may well be right.
        let stated = |diff_id: &Digest| {
            self.layers
                .iter()
                .find(|row| row.diff_id == *diff_id)
                .map(|row| row.size)
        };
        let layers = described.into_iter().map(|layer| LayerRow {
            size: health
                .layers
                .get(&layer.diff_id)
                .copied()
                .or(stated(&layer.diff_id))
                .unwrap_or(layer.size),
            ..LayerRow::from(layer)
        });
        Ok(layers.collect())
    }
}

impl Checkup<'_> {
    /// Looks at all images; whether every manifest is there, so that the index can be told from what it should be.
    pub(super) fn images(&mut self, stock: &Stock) -> Result<bool> {
        let mut health = Health::default();
        self.blobs(stock, &mut health)?;
        self.layers(stock, &mut health)?;
        for image in &stock.images {
            self.ctx.check()?;
            self.image_row(stock, image, &health)?;
        }
        Ok(stock.images.iter().all(|image| health.has_blob(&image.row.manifest)))
    }

    /// Compares an image's rows with what its configuration, its manifest and its layers say.
    fn image_row(&mut self, stock: &Stock, image: &Known, health: &Health) -> Result<()> {
        let id = &image.row.id;
        if id.same_of(&image.row.config) != *id {
            let detail = format!(
                "the row of image {} holds another configuration than its id says",
                stock.shown([id])
            );
            let host = self.host;
            self.found(Damage::ImageRow, id.as_str(), detail, || {
                let config = host.content().read_blob(id, host.content().limits().document)?;
                host.store().write(|tx| tx.set_config(id, &config))
            });
            return Ok(());
        }
        if !health.has_blob(&image.row.manifest) {
            return Ok(());
        }
        let (host, name) = (self.host, stock.shown([id]));
        match image.true_layers(host, health) {
            Ok(layers) => self.layer_rows(image, &layers, &name),
            Err(error) => {
                let detail = format!("image {name} cannot be understood: {error}");
                let hint = "load or pull the image again, or remove it with `image::remove`";
                self.beyond_repair(Damage::ImageRow, id.as_str(), detail, hint);
            }
        }
        Ok(())
    }

    fn layer_rows(&mut self, image: &Known, layers: &[LayerRow], name: &str) {
        let id = &image.row.id;
        let size: u64 = layers.iter().map(|layer| layer.size).sum();
        if image.layers == layers && image.row.size == size {
            return;
        }
        let content = |layers: &[LayerRow]| {
            let parts = layers.iter().map(|layer| (layer.diff_id.clone(), layer.blob.clone()));
            parts.collect::<Vec<_>>()
        };
        let (kind, detail) = if content(&image.layers) == content(layers) {
            let detail = format!("the rows of image {name} state sizes other than there are");
            (Damage::Size, detail)
        } else {
            let detail = format!("the rows of image {name} list other layers than its configuration and manifest");
            (Damage::ImageRow, detail)
        };
        let host = self.host;
        self.found(kind, id.as_str(), detail, || {
            host.store().write(|tx| tx.set_layers(id, layers, size))
        });
    }
}

/// Images by a piece of content they need, in the order of their digests.
pub(super) type Users<'a> = BTreeMap<&'a Digest, Vec<&'a Digest>>;

impl Host {
    /// Removes an image whose content cannot be had back from the lists: its names, and itself unless a container or another image
    /// needs its row.
    pub(super) fn drop_image(&self, id: &Digest) -> Result<()> {
        let mut kept = None;
        self.remove_rows(|tx, candidates| {
            let Some(row) = tx.image(id)? else { return Ok(()) };
            for name in tx.references_of(id)? {
                tx.delete_reference(&name)?;
            }
            kept = needed_by(tx, id)?;
            if kept.is_none() {
                candidates.add(id, &row.manifest, &tx.layers(id)?);
                tx.delete_image(id)?;
            }
            Ok(())
        })?;
        match kept {
            None => Ok(()),
            Some(needed) => Err(
                Error::in_use(format!("its names were taken away, but {needed} needs it"))
                    .hint("load or pull the image again, or remove what needs it"),
            ),
        }
    }
}

/// What keeps an image's row, in words.
fn needed_by(tx: &Tx, id: &Digest) -> Result<Option<String>> {
    if let Some(container) = tx.containers_of(id)?.first() {
        return Ok(Some(format!("container `{container}`")));
    }
    Ok(tx
        .children(id)?
        .first()
        .map(|child| format!("image `{}`", child.short())))
}
