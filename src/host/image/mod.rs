//! The image handle: facts read when it was got, acts that go back to the store.

mod archive;
mod commit;
mod filter;
mod inspect;
mod listing;
mod pull;
mod remove;
mod resolve;
mod sketch;
mod tag;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Host;
use crate::config::Blobs;
use crate::error::Result;
use crate::images;
use crate::model::{Context, Digest, Platform, Reference};
use crate::store::{ImageRow, LayerRow, Tx};

pub use archive::{FromHostOptions, ImportOptions, SaveOptions};
pub(super) use commit::Changes;
pub use commit::CommitOptions;
pub use filter::ImageFilter;
pub(in crate::host) use filter::used_by;
pub use listing::Matching;
pub use pull::{Policy, PullOptions, PulledImage};
pub use remove::RemoveImage;
pub use sketch::SketchOptions;

/// What lists show for an image without a name.
pub(super) const NO_NAME: &str = "<none>";

/// What the database knows of one image.
struct Facts {
    row: ImageRow,
    /// Its names, sorted.
    names: Vec<Reference>,
    /// The images made from it.
    children: Vec<Digest>,
    /// The names of the containers made from it.
    used_by: Vec<String>,
}

/// An image in the store. Clones are the same image; facts are those of the moment it was got.
#[derive(Clone)]
pub struct Image {
    host: Host,
    facts: Arc<Facts>,
}

impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        self.id() == other.id()
    }
}

impl Image {
    fn read(host: &Host, tx: &Tx, row: ImageRow) -> Result<Image> {
        let names = tx.references_of(&row.id)?;
        let children = tx.children(&row.id)?;
        let used_by = tx.containers_of(&row.id)?;
        Ok(Image {
            host: host.clone(),
            facts: Arc::new(Facts {
                row,
                names,
                children,
                used_by,
            }),
        })
    }

    /// Every image of the store, newest first, with all facts from one consistent view.
    fn read_all(host: &Host) -> Result<Vec<Image>> {
        let (rows, references, containers) = host
            .store()
            .read(|tx| Ok((tx.images()?, tx.references()?, tx.containers()?)))?;
        let mut names: HashMap<Digest, Vec<Reference>> = HashMap::new();
        for (name, image) in references {
            names.entry(image).or_default().push(name);
        }
        let mut used_by: HashMap<Digest, Vec<String>> = HashMap::new();
        for container in containers {
            used_by.entry(container.image).or_default().push(container.name);
        }
        let mut children: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for row in &rows {
            if let Some(parent) = &row.parent {
                children.entry(parent.clone()).or_default().push(row.id.clone());
            }
        }
        let facts = rows.into_iter().map(|row| Facts {
            names: names.remove(&row.id).unwrap_or_default(),
            children: children.remove(&row.id).unwrap_or_default(),
            used_by: used_by.remove(&row.id).unwrap_or_default(),
            row,
        });
        Ok(facts
            .map(|facts| Image {
                host: host.clone(),
                facts: Arc::new(facts),
            })
            .collect())
    }

    /// The same image with its facts read again. Errors: `not_found` once it is removed.
    pub fn reload(&self) -> Result<Image> {
        self.host.image(self.id().as_str())
    }

    /// The image id: the digest of its configuration.
    pub fn id(&self) -> &Digest {
        &self.facts.row.id
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> &Digest {
        &self.facts.row.manifest
    }

    /// Its names, shortest form, sorted.
    pub fn tags(&self) -> Vec<String> {
        self.facts.names.iter().map(Reference::familiar).collect()
    }

    /// Its names as parsed references, sorted.
    pub fn references(&self) -> &[Reference] {
        &self.facts.names
    }

    /// Its first name, or `<none>`.
    pub fn name(&self) -> String {
        self.facts
            .names
            .first()
            .map_or_else(|| NO_NAME.to_owned(), Reference::familiar)
    }

    /// Bytes of all its layers, unpacked.
    pub fn size(&self) -> u64 {
        self.facts.row.size
    }

    /// Bytes of those layers that no other image has.
    pub fn unique_size(&self) -> Result<u64> {
        self.host.store().read(|tx| tx.unique_size(self.id()))
    }

    /// When it was made, by its own account.
    pub fn created(&self) -> Option<Timestamp> {
        self.facts.row.created
    }

    /// How long ago it was made; by the time it was added where it does not say.
    pub fn age(&self) -> Duration {
        age(self.facts.row.created.unwrap_or(self.facts.row.added), Timestamp::now())
    }

    /// When it was added, run, saved or pushed last.
    pub fn last_used(&self) -> Timestamp {
        self.facts.row.last_used
    }

    /// Its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.facts.row.labels).unwrap_or_default()
    }

    /// Its configuration, parsed.
    pub fn config(&self) -> Result<images::Config> {
        images::Config::parse(&self.facts.row.config)
    }

    /// The diff ids of its layers, lowest first.
    pub fn layers(&self) -> Result<Vec<Digest>> {
        Ok(self.layer_rows()?.into_iter().map(|layer| layer.diff_id).collect())
    }

    fn layer_rows(&self) -> Result<Vec<LayerRow>> {
        self.host.store().read(|tx| tx.layers(self.id()))
    }

    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        self.facts.row.platform()
    }

    /// The image it was made from, if that happened here.
    pub fn parent(&self) -> Option<&Digest> {
        self.facts.row.parent.as_ref()
    }

    /// Whether it has no name and no other image is made from it.
    pub fn dangling(&self) -> bool {
        self.facts.names.is_empty() && self.facts.children.is_empty()
    }

    /// Whether it has no name, but other images are made from it.
    pub fn intermediate(&self) -> bool {
        self.facts.names.is_empty() && !self.facts.children.is_empty()
    }

    /// The names of the containers made from it.
    pub fn used_by(&self) -> &[String] {
        &self.facts.used_by
    }

    /// The image as `images` knows it.
    pub(in crate::host) fn stored(&self) -> Result<images::Image> {
        let layers = self.layer_rows()?.into_iter().map(images::Layer::from).collect();
        let row = &self.facts.row;
        Ok(images::Image {
            id: row.id.clone(),
            manifest: row.manifest.clone(),
            config: row.config.clone(),
            layers,
        })
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.facts.names.first() {
            Some(name) => f.write_str(&name.familiar()),
            None => f.write_str(self.id().short()),
        }
    }
}

/// What a load brought in.
pub struct BroughtIn {
    /// The images, in the archive's order.
    pub images: Vec<Image>,
    /// Every name it set.
    pub tags: Vec<Tag>,
    /// What is odd about the images and does no harm.
    pub warnings: Vec<String>,
}

/// A name that was set.
pub struct Tag {
    /// The name.
    pub name: Reference,
    /// The image it means now.
    pub image: Digest,
    /// The other image it meant before.
    pub before: Option<Digest>,
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, image) = (self.name.familiar(), self.image.short());
        match &self.before {
            Some(before) => write!(f, "`{name}` is now `{image}`, no longer `{}`", before.short()),
            None => write!(f, "`{name}` is `{image}`"),
        }
    }
}

/// How long ago a time was; nothing for one in the future.
pub(super) fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

impl From<LayerRow> for images::Layer {
    fn from(row: LayerRow) -> images::Layer {
        images::Layer {
            diff_id: row.diff_id,
            blob: row.blob,
            blob_size: row.blob_size,
            media_type: row.media_type,
            size: row.size,
        }
    }
}

impl From<images::Layer> for LayerRow {
    fn from(layer: images::Layer) -> LayerRow {
        LayerRow {
            diff_id: layer.diff_id,
            blob: layer.blob,
            blob_size: layer.blob_size,
            media_type: layer.media_type,
            size: layer.size,
        }
    }
}

impl Host {
    /// Makes a whole image visible under its names; the caller's lease holds its content. Returns its handle.
    fn publish(
        &self,
        ctx: &Context,
        image: images::Image,
        names: Vec<Reference>,
        parent: Option<&Digest>,
    ) -> Result<Image> {
        let loaded = images::Loaded {
            image,
            names,
            warnings: Vec::new(),
        };
        let mut published = self.publish_all(ctx, vec![loaded], parent)?;
        Ok(published.images.pop().expect("one for each"))
    }

    /// The same for several at once: all of them are visible, or none.
    fn publish_all(&self, ctx: &Context, images: Vec<images::Loaded>, parent: Option<&Digest>) -> Result<BroughtIn> {
        let now = Timestamp::now();
        let mut warnings: Vec<String> = images.iter().flat_map(|found| found.warnings.clone()).collect();
        warnings.dedup();
        let rows = images.into_iter().map(|found| {
            let (row, layers) = rows_of(found.image, parent, now)?;
            Ok((row, layers, found.names))
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let mut brought = self.write_names(|tx| {
            let mut tags = Vec::new();
            for (row, layers, names) in &rows {
                tx.insert_image(row, layers)?;
                for name in names {
                    let before = self.set_name(tx, name, &row.id, now)?;
                    tags.push(Tag {
                        name: name.clone(),
                        image: row.id.clone(),
                        before,
                    });
                }
            }
            let stored = rows.iter().map(|(row, ..)| {
                let stored = tx.image(&row.id)?.expect("inserted above or there before");
                Image::read(self, tx, stored)
            });
            let images = stored.collect::<Result<Vec<_>>>()?;
            Ok(BroughtIn { images, tags, warnings })
        })?;
        let layers = rows.into_iter().flat_map(|(_, layers, _)| layers);
        brought
            .warnings
            .extend(self.drop_blobs(ctx, layers.map(images::Layer::from)));
        Ok(brought)
    }

    /// Lets the blobs of layers go, where that is the rule; tells which stay and why. The images are in by now, whatever happens.
    fn drop_blobs(&self, ctx: &Context, layers: impl Iterator<Item = images::Layer>) -> Vec<String> {
        if self.config().blobs == Blobs::Keep || self.plan().is_some() {
            return Vec::new();
        }
        // A registry hands out what it was given as it was given.
        let is_free = |layer: &images::Layer| !self.store().read(|tx| tx.is_registry_blob(&layer.blob)).unwrap_or(true);
        let failures = layers
            .filter(|layer| is_free(layer) && self.content().has_layer(&layer.diff_id))
            .filter_map(|layer| self.content().drop_blob(ctx, &layer).err());
        failures.map(|error| format!("{error}; the blob stays")).collect()
    }
}

pub(in crate::host) fn rows_of(
    image: images::Image,
    parent: Option<&Digest>,
    now: Timestamp,
) -> Result<(ImageRow, Vec<LayerRow>)> {
    let config = image.config()?;
    let row = ImageRow {
        size: image.size(),
        created: config.created.as_deref().and_then(|text| text.parse().ok()),
        os: config.os,
        architecture: config.architecture,
        variant: config.variant,
        labels: serde_json::to_string(&config.config.labels).expect("text keys and values are JSON"),
        parent: parent.filter(|parent| **parent != image.id).cloned(),
        added: now,
        last_used: now,
        id: image.id,
        manifest: image.manifest,
        config: image.config,
    };
    Ok((row, image.layers.into_iter().map(LayerRow::from).collect()))
}
