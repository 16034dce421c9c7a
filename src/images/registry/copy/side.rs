//! One side of a copy: a repository of a registry, or a layout.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::layout::Layout;
use super::{Document, or_none, referrer};
use crate::error::{Context as _, Error, Result};
use crate::images::limits::Limits;
use crate::images::manifest::{Descriptor, OCI_INDEX};
use crate::images::registry::catalogue::referrers_tag;
use crate::images::registry::upload::{Brought, Parcel, Source};
use crate::images::registry::{Download, Registry};
use crate::model::{Context, Digest};

/// Where something is copied from or to.
#[derive(Clone)]
pub enum Side {
    /// A tag or a digest in a repository.
    Registry {
        /// The registry.
        registry: Registry,
        /// The repository.
        repository: String,
        /// The tag or digest.
        wanted: String,
    },
    /// An image of a layout.
    Layout(Layout),
}

impl Side {
    /// The tag or digest that is meant; empty for the only image of a layout.
    pub(super) fn wanted(&self) -> &str {
        match self {
            Side::Registry { wanted, .. } => wanted,
            Side::Layout(layout) => layout.name().unwrap_or_default(),
        }
    }

    /// The same place, and another tag in it.
    pub(super) fn named(&self, tag: &str) -> Side {
        match self {
            Side::Registry {
                registry, repository, ..
            } => Side::Registry {
                registry: registry.clone(),
                repository: repository.clone(),
                wanted: tag.to_owned(),
            },
            Side::Layout(layout) => Side::Layout(Layout::at(layout.dir()).or_name(tag)),
        }
    }

    /// What is meant, as people write it.
    pub(super) fn name(&self) -> String {
        match self {
            Side::Registry {
                registry,
                repository,
                wanted,
            } => {
                let mark = if wanted.contains(':') { '@' } else { ':' };
                format!("{}/{repository}{mark}{wanted}", registry.name())
            }
            Side::Layout(layout) => format!("oci-dir:{}", layout.dir().display()),
        }
    }

    /// The digest that the name stands for, if there is such a name.
    pub fn standing(&self, ctx: &Context) -> Result<Option<Digest>> {
        match self {
            Side::Registry {
                registry,
                repository,
                wanted,
            } => Ok(or_none(registry.head(ctx, repository, wanted))?
                .flatten()
                .and_then(|head| head.digest)),
            Side::Layout(layout) => layout.standing(),
        }
    }

    /// The document of a tag, a digest, or of what is meant.
    pub(super) fn document(&self, ctx: &Context, limits: &Limits, wanted: &str) -> Result<Document> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => {
                let found = registry.manifest(ctx, repository, wanted)?;
                Ok(Document {
                    media_type: crate::images::manifest::media_type_of(&found.bytes),
                    digest: found.digest,
                    bytes: found.bytes,
                })
            }
            Side::Layout(layout) => {
                let digest = match wanted.parse() {
                    Ok(digest) => digest,
                    Err(_) => layout.standing()?.ok_or_else(|| {
                        Error::not_found(format!("`{}` has no such image", self.name())).target(self.name())
                    })?,
                };
                layout.document(ctx, limits, &digest)
            }
        }
    }

    /// Whether a manifest is there.
    pub(super) fn has(&self, ctx: &Context, digest: &Digest) -> Result<bool> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => Ok(registry.standing(ctx, repository, digest.as_str())?.is_some()),
            // A blob in a layout vouches for nothing that it names.
            Side::Layout(_) => Ok(false),
        }
    }

    /// Has a blob of another side here.
    pub(super) fn bring(&self, ctx: &Context, from: &Side, blob: &Descriptor) -> Result<Brought> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => {
                let repositories = from.repositories_at(registry);
                registry.bring_prepared(ctx, repository, blob, &repositories, || {
                    from.source(ctx, registry, blob)
                })
            }
            Side::Layout(layout) => {
                if layout.has(blob) {
                    return Ok(Brought::Present);
                }
                layout
                    .write(ctx, blob, &mut *from.stream(ctx, blob)?)
                    .map(|()| Brought::Sent)
            }
        }
    }

    /// Has a blob here that is at hand.
    pub(super) fn add(&self, ctx: &Context, blob: Descriptor, source: Source) -> Result<Brought> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => {
                let parcel = Parcel {
                    descriptor: blob,
                    source,
                    from: Vec::new(),
                };
                registry.bring(ctx, repository, &parcel)
            }
            Side::Layout(layout) if layout.has(&blob) => Ok(Brought::Present),
            Side::Layout(layout) => layout.write(ctx, &blob, &mut *source(0)?).map(|()| Brought::Sent),
        }
    }

    /// A small blob.
    pub(super) fn bytes(&self, ctx: &Context, limits: &Limits, blob: &Descriptor) -> Result<Vec<u8>> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => registry.document(ctx, repository, blob),
            Side::Layout(layout) => layout.document(ctx, limits, &blob.digest).map(|found| found.bytes),
        }
    }

    /// Repositories of the destination's registry that may have what is here.
    fn repositories_at(&self, to: &Registry) -> Vec<String> {
        match self {
            Side::Registry {
                registry, repository, ..
            } if registry.endpoint().host == to.endpoint().host => vec![repository.clone()],
            _ => Vec::new(),
        }
    }

    /// A blob as a stream of which every reader has its own.
    fn source(&self, ctx: &Context, to: &Registry, blob: &Descriptor) -> Result<Source> {
        let (registry, repository) = match self {
            Side::Layout(layout) => return layout.source(ctx, blob),
            Side::Registry {
                registry, repository, ..
            } => (registry.clone(), repository.clone()),
        };
        if !self.repositories_at(to).is_empty() {
            // Only so many blobs are on their way from and to one host: to wait for one place in another would end all of them.
            return aside(&mut stream(ctx, &registry, &repository, blob, 0));
        }
        let (ctx, blob) = (ctx.clone(), blob.clone());
        Ok(Arc::new(move |offset| {
            let stream = stream(&ctx, &registry, &repository, &blob, offset);
            Ok(Box::new(stream) as Box<dyn Read + Send>)
        }))
    }

    fn stream(&self, ctx: &Context, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => Ok(Box::new(stream(ctx, registry, repository, blob, 0))),
            Side::Layout(layout) => layout.source(ctx, blob)?(0),
        }
    }

    /// Sets what a tag or digest stands for.
    pub(super) fn put(&self, ctx: &Context, wanted: &str, document: &Document) -> Result<()> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => registry
                .put_manifest(ctx, repository, wanted, &document.media_type, &document.bytes)
                .map(drop),
            Side::Layout(layout) => {
                let blob = Descriptor::new(
                    &document.media_type,
                    document.digest.clone(),
                    document.bytes.len() as u64,
                );
                layout.write(ctx, &blob, &mut &document.bytes[..])
            }
        }
    }

    /// Has the name stand for the document, where that takes more than setting it.
    pub(super) fn settle(&self, digest: &Digest) -> Result<()> {
        match self {
            Side::Registry { .. } => Ok(()),
            Side::Layout(layout) => layout.settle(digest),
        }
    }

    /// What refers to a document here.
    pub(super) fn referrers(&self, ctx: &Context, digest: &Digest) -> Result<Vec<Value>> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => registry.referrers(ctx, repository, digest, None),
            Side::Layout(_) => Ok(Vec::new()),
        }
    }

    /// All tags here.
    pub(super) fn tags(&self, ctx: &Context) -> Result<Vec<String>> {
        match self {
            Side::Registry {
                registry, repository, ..
            } => registry.tags(ctx, repository),
            Side::Layout(_) => Ok(Vec::new()),
        }
    }

    /// Has a registry that keeps no list of referrers know of one, by the index under the tag that stands for its subject (OCI
    /// distribution-spec, "Pushing Manifests with Subject").
    pub(super) fn refer(&self, ctx: &Context, limits: &Limits, document: &Document) -> Result<()> {
        let (
            Side::Registry {
                registry, repository, ..
            },
            Some((subject, entry)),
        ) = (self, referrer(document))
        else {
            return Ok(());
        };
        let known = registry.referrers(ctx, repository, &subject, None)?;
        if known.iter().any(|known| known["digest"] == entry["digest"]) {
            return Ok(());
        }
        let entries: Vec<Value> = known.into_iter().chain([entry]).collect();
        crate::images::manifest::check_count(entries.len(), limits)?;
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let tag = referrers_tag(&subject);
        registry
            .put_manifest(ctx, repository, &tag, OCI_INDEX, index.to_string().as_bytes())
            .map(drop)
    }
}

/// A blob from an offset on, whatever becomes of connections. Nothing is asked for before it is read.
fn stream(ctx: &Context, registry: &Registry, repository: &str, blob: &Descriptor, offset: u64) -> Download {
    Download::new(ctx, registry, repository, blob, offset, &Arc::default())
}

/// All of a stream in a file without a name, which goes with its last reader.
fn aside(stream: &mut Download) -> Result<Source> {
    let what = || "keep a blob on its way";
    let mut file = tempfile::tempfile().during(what)?;
    std::io::copy(stream, &mut file).map_err(crate::images::compression::read_error)?;
    let file = Arc::new(file);
    Ok(Arc::new(move |offset| {
        let file = Arc::clone(&file);
        Ok(Box::new(From { file, offset }) as Box<dyn Read + Send>)
    }))
}

/// A file from an offset on, whoever else reads it.
struct From {
    file: Arc<File>,
    offset: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
