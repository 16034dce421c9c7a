//! What the store takes of the disk, and what of it could be given back.
//!
//! It is counted from the files, not from rows: those know what files hold, not what directories, ends of blocks and the names of a
//! layer's ten thousand files take.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::Host;
use crate::error::Result;
use crate::images::DiskUsage;
use crate::model::{Context, Digest};

/// Bytes on the disk, by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Images, their layers and blobs.
    pub images: ImageUsage,
    /// Containers: what they wrote, their logs and settings.
    pub containers: Part,
    /// Named volumes.
    pub volumes: Part,
    /// The database, and work under way.
    pub other: u64,
    /// All of the store.
    pub total: u64,
}

/// The disk that the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes it has, but for those kept for an administrator.
    pub total: u64,
    /// Bytes of them that nobody uses.
    pub free: u64,
}

impl Host {
    /// The disk that the store is on, whoever else uses it (statvfs(3)).
    pub fn disk(&self) -> Result<Disk> {
        Ok(Disk {
            total: self.content().disk_size()?,
            free: self.content().free_space()?,
        })
    }
}

/// How many there are of a thing, and what they take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// How many there are.
    pub count: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes they take.
    pub size: u64,
    /// Bytes that would be free without those that are not in use.
    pub reclaimable: u64,
}

/// The same for images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageUsage {
    /// Counts and sizes.
    #[serde(flatten)]
    pub part: Part,
    /// Bytes that one image alone needs.
    pub unique: u64,
    /// Bytes that several images need.
    pub shared: u64,
    /// Bytes that only the trash needs.
    pub trash: u64,
    /// Bytes of blobs.
    pub blobs: u64,
    /// Bytes of unpacked layers and of what was made from them.
    pub layers: u64,
}

/// Which images need a piece of content.
#[derive(Default)]
struct Needs {
    users: HashMap<Digest, HashSet<Digest>>,
    active: HashSet<Digest>,
    trashed: HashSet<Digest>,
}

/// A count under way.
struct Count<'a> {
    host: &'a Host,
    ctx: &'a Context,
    disk: DiskUsage,
    usage: Usage,
}

impl Host {
    /// What the store takes of the disk.
    pub fn usage(&self, ctx: &Context) -> Result<Usage> {
        let mut count = Count {
            host: self,
            ctx,
            disk: DiskUsage::default(),
            usage: Usage::default(),
        };
        count.images()?;
        count.containers()?;
        count.volumes()?;
        let rest = count.disk.of(ctx, &self.config().root)?;
        let usage = &mut count.usage;
        usage.other = rest;
        usage.total = usage.images.part.size + usage.containers.size + usage.volumes.size + rest;
        Ok(count.usage)
    }

    fn needs(&self) -> Result<Needs> {
        self.store().read(|tx| {
            let mut needs = Needs::default();
            let mut need = |content: Digest, image: &Digest| {
                needs.users.entry(content).or_default().insert(image.clone());
            };
            for (image, manifest) in tx.manifests()? {
                need(image.clone(), &image);
                need(manifest, &image);
            }
            for (image, layer) in tx.all_layers()? {
                need(layer.blob, &image);
                need(layer.diff_id, &image);
            }
            needs.trashed = tx.all_trashed_content()?.into_iter().collect();
            needs.active = tx.containers()?.into_iter().map(|row| row.image).collect();
            Ok(needs)
        })
    }
}

impl Count<'_> {
    fn of(&mut self, path: &Path) -> Result<u64> {
        self.disk.of(self.ctx, path)
    }

    fn images(&mut self) -> Result<()> {
        let (needs, content) = (self.host.needs()?, self.host.content());
        let ids = self.host.store().read(|tx| tx.manifests())?;
        self.usage.images.part.count = ids.len();
        self.usage.images.part.active = ids.iter().filter(|(id, _)| needs.active.contains(id)).count();
        for blob in content.blobs()? {
            let bytes = self.of(&content.blob_path(&blob))?;
            if self.host.imagined().freed.contains(&blob) {
                continue;
            }
            self.usage.images.blobs += bytes;
            self.attribute(&needs, &blob, bytes);
        }
        for (layer, place) in content.layer_places()? {
            let bytes = self.of(&place)?;
            if self.host.imagined().freed.contains(&layer) {
                continue;
            }
            self.usage.images.layers += bytes;
            self.attribute(&needs, &layer, bytes);
        }
        // The directories themselves, and the index.
        let root = &self.host.config().root;
        let layers = self.of(&root.join("layers"))?;
        let blobs = self.of(&root.join("content"))?;
        let images = &mut self.usage.images;
        images.layers += layers;
        images.blobs += blobs;
        images.part.size = images.blobs + images.layers;
        Ok(())
    }

    /// Counts bytes for the images that need them. What none needs can be given back as well.
    fn attribute(&mut self, needs: &Needs, content: &Digest, bytes: u64) {
        let none = HashSet::new();
        let users = needs.users.get(content).unwrap_or(&none);
        let images = &mut self.usage.images;
        match users.len() {
            0 if needs.trashed.contains(content) => images.trash += bytes,
            0 => {}
            1 => images.unique += bytes,
            _ => images.shared += bytes,
        }
        if users.is_disjoint(&needs.active) {
            images.part.reclaimable += bytes;
        }
    }

    fn containers(&mut self) -> Result<()> {
        let root = self.host.config().root.join("containers");
        let rows = self.host.store().read(|tx| tx.containers())?;
        if self.host.plan().is_some() {
            // What a dry run has removed is still there, and is counted for nothing.
            for id in self.host.container_dirs()? {
                if !rows.iter().any(|row| row.id == id) {
                    self.of(&root.join(id.as_str()))?;
                }
            }
        }
        for row in rows {
            let lives = self.host.container_lives(&row);
            let bytes = self.of(&root.join(row.id.as_str()))?;
            self.usage.containers.add(lives, bytes);
        }
        self.usage.containers.size += self.of(&root)?;
        Ok(())
    }

    fn volumes(&mut self) -> Result<()> {
        let host = self.host;
        let volumes = host.store().read(|tx| {
            let rows = tx.volumes()?.into_iter();
            let used = rows.map(|row| Ok((!tx.users_of_volume(&row.name)?.is_empty(), row.name)));
            used.collect::<Result<Vec<_>>>()
        })?;
        for (is_used, name) in volumes {
            let bytes = self.of(&host.volume_path(&name))?;
            self.usage.volumes.add(is_used, bytes);
        }
        self.usage.volumes.size += self.of(&host.config().root.join("volumes"))?;
        Ok(())
    }
}

impl Part {
    fn add(&mut self, is_active: bool, bytes: u64) {
        self.count += 1;
        self.active += usize::from(is_active);
        self.size += bytes;
        if !is_active {
            self.reclaimable += bytes;
        }
    }
}
