//! Manifests of repositories: found by tag or digest, read, taken in.

use jiff::Timestamp;

use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::host::image::rows_of;
use crate::images::{self, Adoptable, Description, Loaded, Staging};
use crate::model::{Context, Digest, Reference, Repository};
use crate::store::{Lease, ManifestRow, PartRow, Tx};

/// How a URL names a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestName {
    /// By a tag of the repository.
    Tag(Reference),
    /// By its digest.
    Digest(Digest),
}

/// A manifest that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundManifest {
    /// Its digest.
    pub digest: Digest,
    /// The media type it was pushed under, if it was.
    pub media_type: Option<String>,
}

/// A manifest's bytes, and what they are.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its media type.
    pub media_type: String,
    /// Its bytes, as they came.
    pub bytes: Vec<u8>,
}

/// What came of a push.
#[derive(Debug)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// Why it is no image here, where it could have been taken for one.
    pub remark: Option<String>,
}

impl From<ManifestRow> for FoundManifest {
    fn from(row: ManifestRow) -> FoundManifest {
        FoundManifest {
            digest: row.digest,
            media_type: Some(row.media_type),
        }
    }
}

impl Host {
    /// The manifest a repository has under a name.
    pub fn find_manifest(&self, repository: &Repository, name: &ManifestName) -> Result<Option<FoundManifest>> {
        self.store().read(|tx| match name {
            ManifestName::Tag(name) => tagged(tx, name),
            ManifestName::Digest(digest) => match tx.manifest(repository, digest)? {
                Some(row) => Ok(Some(row.into())),
                None => Ok(tx.is_image_in(repository, digest)?.then(|| FoundManifest {
                    digest: digest.clone(),
                    media_type: None,
                })),
            },
        })
    }

    /// The bytes of a manifest that was found; `None` if it has gone meanwhile, or if layers of its image cannot be handed out, as
    /// their blobs were dropped.
    pub fn read_manifest(&self, found: &FoundManifest) -> Result<Option<Document>> {
        let bytes = match self
            .content()
            .read_blob(&found.digest, self.content().limits().document)
        {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            other => other?,
        };
        if found.media_type.is_none() && !self.store().read(|tx| self.has_all_blobs(tx, &found.digest))? {
            return Ok(None);
        }
        let media_type = found
            .media_type
            .clone()
            .unwrap_or_else(|| images::media_type_of(&bytes));
        Ok(Some(Document { media_type, bytes }))
    }

    /// Whether the blobs an image's manifest names can be had.
    fn has_all_blobs(&self, tx: &Tx, manifest: &Digest) -> Result<bool> {
        for image in tx.images_by_manifest(manifest)? {
            let content = self.content();
            let is_there = tx.layers(&image.id)?.into_iter().all(|layer| {
                content.has_blob(&layer.blob) || (layer.blob == layer.diff_id && content.has_recipe(&layer.diff_id))
            });
            if is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a manifest into a repository, under tags or under none. All it names must be in the repository, but for layers that are
    /// to be had elsewhere, manifests of an index, and what it refers to. An image for this machine becomes one.
    ///
    /// Errors: `not_found` for blobs that are not there; `corrupt` or `unsupported` for what is no manifest; `no_space`.
    pub fn push_manifest(
        &self,
        ctx: &Context,
        repository: &Repository,
        tags: &[Reference],
        digest: &Digest,
        document: &Document,
    ) -> Result<Pushed> {
        let described = Description::parse(&document.bytes, &document.media_type, self.content().limits())?;
        let (hold, staging) = (self.hold()?, self.content().stage()?);
        let parts = self.parts(&hold, repository, &described)?;
        self.store_manifest(&hold, &staging, digest, &document.bytes)?;
        let (image, remark) = match tags.is_empty() {
            true => (None, None),
            false => self.adopt(ctx, &hold, repository, (digest, document))?,
        };
        let row = ManifestRow {
            digest: digest.clone(),
            media_type: document.media_type.clone(),
            size: document.bytes.len() as u64,
            subject: described.subject.clone(),
            artifact_type: described.artifact_type.clone(),
            annotations: described.annotations_json(),
            image: image.as_ref().map(|image| image.id().clone()),
        };
        self.write_names(|tx| {
            let means = |name: &Reference| {
                let is_image = tx.reference(name)?.as_ref() == image.as_ref().map(Adopted::id);
                Ok(is_image || tx.registry_tag(name)?.is_some_and(|there| there.digest == row.digest))
            };
            for name in tags {
                let is_new = tx.reference(name)?.is_none() && tx.registry_tag(name)?.is_none();
                if !is_new && !means(name)? {
                    self.check_names(std::slice::from_ref(name))?;
                }
            }
            record(tx, repository, &row, &parts, tags, image.as_ref())
        })?;
        if let Some(Adopted::New(loaded)) = &image {
            let name = tags.first().map(Reference::familiar).unwrap_or_default();
            self.tell_image_id("load", loaded.image.id.as_str(), &name);
        }
        Ok(Pushed {
            digest: digest.clone(),
            subject: described.subject,
            remark,
        })
    }

    /// What a manifest names and the repository has, held from here on.
    fn parts(&self, hold: &Lease, repository: &Repository, described: &Description) -> Result<Vec<PartRow>> {
        let blobs: Vec<Digest> = described.blobs.iter().map(|named| named.digest.clone()).collect();
        hold.hold(&blobs)?;
        self.store().read(|tx| {
            let mut parts = Vec::new();
            for named in &described.blobs {
                let is_there = tx.is_blob_in(repository, &named.digest)? && self.content().has_blob(&named.digest);
                if !is_there && !named.is_elsewhere {
                    return Err(Error::not_found(format!(
                        "`{repository}` lacks the blob `{}` that the manifest names",
                        named.digest
                    )));
                }
                parts.extend(is_there.then(|| PartRow {
                    digest: named.digest.clone(),
                    size: named.size,
                    is_blob: true,
                }));
            }
            parts.extend(described.manifests.iter().map(|named| PartRow {
                digest: named.digest.clone(),
                size: named.size,
                is_blob: false,
            }));
            Ok(parts)
        })
    }

    /// Makes a manifest's bytes visible, and holds them.
    pub(in crate::host) fn store_manifest(
        &self,
        hold: &Lease,
        staging: &Staging,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<()> {
        hold.hold(std::slice::from_ref(digest))?;
        let mut incoming = images::Incoming::new(staging, Some(digest.algorithm()))?;
        incoming.write(bytes)?;
        self.content().publish_arrived(&[incoming.finish()])
    }

    /// The image that a manifest is or leads to, if it is one for this machine; otherwise maybe why not.
    fn adopt(
        &self,
        ctx: &Context,
        hold: &Lease,
        repository: &Repository,
        (digest, document): (&Digest, &Document),
    ) -> Result<(Option<Adopted>, Option<String>)> {
        let content = self.content();
        let adopted = images::adoptable(content, digest, &document.media_type).and_then(|found| {
            let Some(found) = found else { return Ok(None) };
            if !self.store().read(|tx| is_all_in(tx, repository, digest, &found))? {
                return Ok(None);
            }
            // The same configuration means the same layers, whatever form their blobs have.
            if self.store().read(|tx| tx.image(found.id()))?.is_some() {
                hold.hold(std::slice::from_ref(found.id()))?;
                return Ok(Some(Adopted::Known(found.id().clone())));
            }
            images::adopt(ctx, content, hold, found).map(|loaded| Some(Adopted::New(Box::new(loaded))))
        });
        match adopted {
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::Corrupt | Kind::Unsupported | Kind::NotFound | Kind::Invalid
                ) =>
            {
                Ok((None, Some(error.to_string())))
            }
            other => other.map(|image| (image, None)),
        }
    }
}

/// What a pushed manifest is here.
enum Adopted {
    /// An image that was there.
    Known(Digest),
    /// One that is whole, and not to be seen yet.
    New(Box<Loaded>),
}

impl Adopted {
    fn id(&self) -> &Digest {
        match self {
            Adopted::Known(id) => id,
            Adopted::New(loaded) => &loaded.image.id,
        }
    }
}

/// Whether an image is the repository's own in every part: the names in a manifest must not open what others have.
fn is_all_in(tx: &Tx, repository: &Repository, pushed: &Digest, image: &Adoptable) -> Result<bool> {
    let manifest = image.manifest().filter(|manifest| *manifest != pushed);
    let has_manifest = |digest| Ok(tx.manifest(repository, digest)?.is_some() || tx.is_image_in(repository, digest)?);
    if !manifest.map(has_manifest).transpose()?.unwrap_or(true) {
        return Ok(false);
    }
    for blob in image.blobs() {
        if !tx.is_blob_in(repository, blob)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tagged(tx: &Tx, name: &Reference) -> Result<Option<FoundManifest>> {
    if let Some(row) = tx.registry_tag(name)? {
        return Ok(Some(row.into()));
    }
    let Some(id) = tx.reference(name)? else { return Ok(None) };
    Ok(tx.image(&id)?.map(|image| FoundManifest {
        digest: image.manifest,
        media_type: None,
    }))
}

/// Writes down a manifest, the image it is, and the tags that mean it from now on.
fn record(
    tx: &Tx,
    repository: &Repository,
    row: &ManifestRow,
    parts: &[PartRow],
    tags: &[Reference],
    image: Option<&Adopted>,
) -> Result<()> {
    let now = Timestamp::now();
    if let Some(Adopted::New(loaded)) = image {
        let (row, layers) = rows_of(loaded.image.clone(), None, now)?;
        tx.insert_image(&row, &layers)?;
    }
    // One that was known may have been removed meanwhile; what it is made of has not.
    let id = image.map(Adopted::id);
    let is_there = id.map(|id| tx.image(id)).transpose()?.flatten().is_some();
    let id = id.filter(|_| is_there);
    tx.insert_manifest(repository, row, parts, now)?;
    for name in tags {
        match id {
            Some(id) => tx.set_reference(name, id, now).map(drop)?,
            None => tx.delete_reference(name).map(drop)?,
        }
        tx.set_registry_tag(name, &row.digest)?;
    }
    Ok(())
}
