//! An image at a registry, looked at without its layers.

use std::collections::HashSet;

use super::documents::Received;
use super::request::Registry;
use crate::error::{Error, Result};
use crate::images::limits;
use crate::images::manifest::{Descriptor, Document};
use crate::model::{Context, Digest, Platform};

/// What is known of an image from its documents.
#[derive(Debug, Clone)]
pub struct Described {
    /// The digest its name stands for.
    pub digest: Digest,
    /// The media type of what that is.
    pub media_type: String,
    /// What it is for, where it is for several platforms.
    pub platforms: Vec<String>,
    /// The digest of the manifest that was looked at.
    pub manifest: Digest,
    /// The image id: the digest of the configuration.
    pub id: Digest,
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// Digest, size and media type of each layer, lowest first.
    pub layers: Vec<(Digest, u64, String)>,
}

impl Described {
    /// Bytes of all layers as they are there.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|(_, size, _)| size).sum()
    }
}

impl Registry {
    /// Reads the documents of an image; of one for several platforms, for one of them, by default this machine's.
    ///
    /// Errors: `not_found`; `invalid` for a platform it is not for, with those it is for; `corrupt`, `unsupported`.
    pub fn describe(
        &self,
        ctx: &Context,
        repository: &str,
        wanted: &str,
        platform: Option<&Platform>,
    ) -> Result<Described> {
        let top = self.manifest(ctx, repository, wanted)?;
        let (mut found, mut platforms, mut seen) = (top.clone(), Vec::new(), HashSet::new());
        for _ in 0..=self.limits().index_depth {
            match found.document(self.limits())? {
                Document::Manifest(manifest) => {
                    let layers = manifest.layers.into_iter();
                    return Ok(Described {
                        digest: top.digest,
                        media_type: top.media_type,
                        platforms,
                        manifest: found.digest,
                        id: manifest.config.digest.clone(),
                        config: self.document(ctx, repository, &manifest.config)?,
                        layers: layers
                            .map(|layer| (layer.digest, layer.size, layer.media_type))
                            .collect(),
                    });
                }
                Document::Index(entries) => {
                    if platforms.is_empty() {
                        platforms = entries.iter().filter_map(named).collect();
                    }
                    let chosen = chosen(&entries, platform)?;
                    if !seen.insert(chosen.digest.clone()) {
                        return Err(Error::corrupt("its indexes lead in a circle"));
                    }
                    found = self.child(ctx, repository, chosen)?;
                }
            }
        }
        let depth = self.limits().index_depth;
        Err(limits::exceeded("the depth of its indexes", "index_depth", depth))
    }

    /// The manifest or index that an entry of an index names. Errors: `corrupt` if it has another size.
    pub(super) fn child(&self, ctx: &Context, repository: &str, entry: &Descriptor) -> Result<Received> {
        let found = self.manifest(ctx, repository, entry.digest.as_str())?;
        match found.bytes.len() as u64 == entry.size {
            true => Ok(found),
            false => Err(Error::corrupt(format!(
                "`{}` has {} bytes, and the index says {}",
                entry.digest,
                found.bytes.len(),
                entry.size
            ))),
        }
    }
}

fn named(entry: &Descriptor) -> Option<String> {
    let platform = entry.platform.as_ref().filter(|_| !entry.is_attestation())?;
    Some(platform.to_string())
}

fn chosen<'a>(entries: &'a [Descriptor], platform: Option<&Platform>) -> Result<&'a Descriptor> {
    let machine = platform.cloned().unwrap_or_else(Platform::machine);
    let images = || entries.iter().filter(|entry| !entry.is_attestation());
    let suits = |entry: &&Descriptor| entry.platform.as_ref().and_then(|offered| machine.suits(offered));
    let best = images().filter(|entry| suits(entry).is_some()).min_by_key(suits);
    let only = || match (images().next(), images().count(), platform) {
        (Some(entry), 1, None) => Some(entry),
        _ => None,
    };
    best.or_else(only).ok_or_else(|| {
        let offered: Vec<String> = entries.iter().filter_map(named).collect();
        Error::invalid(format!("it is not for `{machine}`")).hint(format!("it is for {}", offered.join(", ")))
    })
}
