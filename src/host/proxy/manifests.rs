//! Manifests of another registry: by digest they never change, by tag that registry is asked.

use std::time::Instant;

use jiff::Timestamp;

use super::{PATIENCE, Proxy, Source, is_worth_noting, lock};
use crate::error::{Error, Kind, Result};
use crate::host::{FoundManifest, ManifestName};
use crate::images::registry::Received;
use crate::images::{Description, media_type_of};
use crate::model::{Context, Digest, Reference};
use crate::store::CachedRow;

/// A manifest that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedManifest {
    /// What it is.
    pub found: FoundManifest,
    /// Whether the other registry could not be asked if the tag still stands for it.
    pub is_stale: bool,
}

impl Proxy {
    /// The manifest a client wants; `None` if the other registry has none. By tag it is asked whether the tag has moved, by at most one
    /// of those who want to know at the same time; if it gives no answer, what is kept has to do.
    ///
    /// Errors: those of the registry; `corrupt` for what is not what it is called.
    pub fn manifest(&self, ctx: &Context, name: &str, wanted: &ManifestName) -> Result<Option<ProxiedManifest>> {
        let source = self.source(ctx, name)?;
        let found = match wanted {
            ManifestName::Digest(digest) => self.by_digest(ctx, &source, digest).map(|found| found.map(fresh)),
            ManifestName::Tag(named) => {
                let tag = source.reference.with_tag(named.tag().unwrap_or("latest"))?;
                self.by_tag(ctx, &source, &tag)
            }
        };
        match found {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            found => found,
        }
    }

    fn by_digest(&self, ctx: &Context, source: &Source, digest: &Digest) -> Result<Option<FoundManifest>> {
        if let Some(kept) = self.kept(source, digest)? {
            return Ok(Some(kept));
        }
        let turn = self.turn(format!("{}@{digest}", source.repository));
        let _one = lock(&turn);
        match self.kept(source, digest)? {
            Some(kept) => Ok(Some(kept)),
            None => self.fetch(ctx, source, digest.as_str(), None).map(Some),
        }
    }

    fn by_tag(&self, ctx: &Context, source: &Source, tag: &Reference) -> Result<Option<ProxiedManifest>> {
        let came = Instant::now();
        let turn = self.turn(tag.to_string());
        let mut asked = lock(&turn);
        let kept = match self.0.host.store().read(|tx| tx.cached_tag(tag))? {
            Some(digest) => self.kept(source, &digest)?,
            None => None,
        };
        let is_fresh = asked.is_some_and(|then| then >= came || then.elapsed() < self.0.ttl);
        match kept {
            Some(kept) if is_fresh => Ok(Some(fresh(kept))),
            Some(kept) if self.is_troubled() => Ok(Some(stale(kept))),
            kept => {
                let found = self.ask(ctx, source, tag, kept.as_ref());
                match (found, kept) {
                    (Ok(found), _) => {
                        *asked = Some(Instant::now());
                        self.answered();
                        Ok(Some(fresh(found)))
                    }
                    (Err(error), Some(kept)) if self.is_no_answer(ctx, &error) => Ok(Some(stale(kept))),
                    (Err(error), kept) => {
                        if error.kind() == Kind::NotFound && kept.is_some() {
                            self.0.host.store().write(|tx| tx.delete_cached_tag(tag))?;
                        }
                        Err(error)
                    }
                }
            }
        }
    }

    /// What a tag stands for at the other registry by now. One that has something to hand out without its word does not wait for long.
    fn ask(
        &self,
        ctx: &Context,
        source: &Source,
        tag: &Reference,
        kept: Option<&FoundManifest>,
    ) -> Result<FoundManifest> {
        let version = tag.tag().unwrap_or_default();
        let head = match kept {
            Some(_) => {
                let registry = source.registry.clone().with_retries(0);
                registry.head(&ctx.with_timeout(PATIENCE), &source.path, version)
            }
            None => source.registry.head(ctx, &source.path, version),
        }?;
        let Some(digest) = head.and_then(|head| head.digest) else {
            return self.fetch(ctx, source, version, Some(tag));
        };
        let known = match kept.filter(|kept| kept.digest == digest) {
            Some(kept) => return Ok(kept.clone()),
            None => self.kept(source, &digest)?,
        };
        match known {
            Some(known) => {
                let store = self.0.host.store();
                store.write(|tx| tx.set_cached_tag(tag, &digest))?;
                Ok(known)
            }
            None => self.fetch(ctx, source, digest.as_str(), Some(tag)),
        }
    }

    /// A manifest that is here, wanted once more.
    fn kept(&self, source: &Source, digest: &Digest) -> Result<Option<FoundManifest>> {
        let host = &self.0.host;
        let row = host.store().read(|tx| tx.cached_manifest(&source.repository, digest))?;
        let Some(row) = row.filter(|_| host.content().has_blob(digest)) else {
            return Ok(None);
        };
        let now = Timestamp::now();
        if is_worth_noting(row.used, now) {
            host.store()
                .write(|tx| tx.use_cached_manifest(&source.repository, digest, now))?;
        }
        Ok(Some(FoundManifest {
            digest: row.digest,
            media_type: row.media_type,
        }))
    }

    /// Gets a manifest and keeps it, under a tag if it was asked for by one.
    fn fetch(&self, ctx: &Context, source: &Source, wanted: &str, tag: Option<&Reference>) -> Result<FoundManifest> {
        let Received {
            digest,
            media_type,
            bytes,
        } = source.registry.manifest(ctx, &source.path, wanted)?;
        let host = &self.0.host;
        let media_type = match media_type.is_empty() {
            true => media_type_of(&bytes),
            false => media_type,
        };
        let parts = match Description::parse(&bytes, &media_type, host.content().limits()) {
            Ok(described) => described.blobs,
            // What nobody here can read may make sense to who asked for it.
            Err(error) if error.kind() == Kind::Unsupported => Vec::new(),
            Err(error) => return Err(odd(error, &self.0.upstream)),
        };
        let parts: Vec<(Digest, u64)> = parts.into_iter().map(|named| (named.digest, named.size)).collect();
        let row = CachedRow {
            repository: source.repository.clone(),
            digest: digest.clone(),
            media_type: Some(media_type.clone()),
            size: bytes.len() as u64,
            used: Timestamp::now(),
        };
        let (hold, staging) = (host.hold()?, host.content().stage()?);
        host.store_manifest(&hold, &staging, &digest, &bytes)?;
        host.store().write(|tx| {
            tx.insert_cached_manifest(&row, &parts)?;
            tag.map_or(Ok(()), |tag| tx.set_cached_tag(tag, &digest))
        })?;
        Ok(FoundManifest {
            digest,
            media_type: Some(media_type),
        })
    }
}

fn odd(error: Error, upstream: &str) -> Error {
    error.during(format!("read what `{upstream}` sent"))
}

fn fresh(found: FoundManifest) -> ProxiedManifest {
    ProxiedManifest { found, is_stale: false }
}

fn stale(found: FoundManifest) -> ProxiedManifest {
    ProxiedManifest { found, is_stale: true }
}
