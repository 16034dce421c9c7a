//! Manifests, byte for byte as they came.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, PoisonError};

use super::refusal::Refusal;
use super::route::{self, Named};
use super::{Answer, Registry};
use crate::error::{Error, Kind};
use crate::host::{Document, FoundManifest, ManifestName};
use crate::images::media_type_of;
use crate::model::{Context, Digest, Reference};
use crate::server::http::{Body, Content, Head, Reply};

/// Bytes of manifests that are kept in memory.
const CACHED: usize = 32 << 20;
/// Tags that one request may set.
const TAGS: usize = 100;

/// Manifests that were asked for. They never change, so that who may see one is all there is to ask the store for.
#[derive(Default)]
pub(super) struct Cache {
    documents: HashMap<FoundKey, Cached>,
    bytes: usize,
}

type FoundKey = (Digest, Option<String>);

#[derive(Clone)]
struct Cached {
    media_type: Arc<str>,
    bytes: Arc<Vec<u8>>,
}

impl Cache {
    fn insert(&mut self, key: FoundKey, document: Cached) {
        if self.bytes + document.bytes.len() > CACHED {
            *self = Cache::default();
        }
        self.bytes += document.bytes.len();
        self.documents.insert(key, document);
    }
}

impl Registry {
    pub(super) fn manifest(&self, head: &Head, named: &Named, name: &ManifestName) -> Answer {
        let found = self.host.find_manifest(&named.repository, name)?;
        let Some(found) = found else {
            return Err(self.unknown_manifest(named, name)?);
        };
        self.hand_out(head, named, &found)
    }

    /// Answers with a manifest that was found.
    pub(super) fn hand_out(&self, head: &Head, named: &Named, found: &FoundManifest) -> Answer {
        let tag = format!("\"{}\"", found.digest);
        let reply = |status| {
            Reply::new(status)
                .header("Docker-Content-Digest", found.digest.as_str())
                .header("ETag", tag.clone())
        };
        if head.header("if-none-match").is_some_and(|known| known == tag) {
            return Ok(reply(304));
        }
        let Some(document) = self.document(found)? else {
            return Err(Refusal::unknown(
                "MANIFEST_UNKNOWN",
                format!(
                    "`{}` has this image, but cannot hand it out: blobs of its layers were dropped",
                    named.name
                ),
            ));
        };
        Ok(reply(200)
            .header("Content-Type", document.media_type.as_ref())
            .content(Content::Bytes(document.bytes)))
    }

    fn document(&self, found: &FoundManifest) -> Result<Option<Cached>, Error> {
        let key = (found.digest.clone(), found.media_type.clone());
        let known = |registry: &Registry| {
            let cache = registry.manifests.lock().unwrap_or_else(PoisonError::into_inner);
            cache.documents.get(&key).cloned()
        };
        if let Some(known) = known(self) {
            return Ok(Some(known));
        }
        let Some(document) = self.host.read_manifest(found)? else {
            return Ok(None);
        };
        let cached = Cached {
            media_type: document.media_type.into(),
            bytes: Arc::new(document.bytes),
        };
        let mut cache = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(key.clone(), cached.clone());
        Ok(Some(cached))
    }

    fn unknown_manifest(&self, named: &Named, name: &ManifestName) -> Result<Refusal, Error> {
        if self.host.repository_tags(&named.repository, "", 0)?.is_none() {
            return Ok(Refusal::unknown(
                "NAME_UNKNOWN",
                format!("there is no repository `{}`", named.name),
            ));
        }
        let what = match name {
            ManifestName::Tag(name) => name.tag().unwrap_or_default().to_owned(),
            ManifestName::Digest(digest) => digest.to_string(),
        };
        Ok(Refusal::unknown(
            "MANIFEST_UNKNOWN",
            format!("`{}` has no manifest `{what}`", named.name),
        ))
    }

    pub(super) fn push_manifest(
        &self,
        ctx: &Context,
        head: &Head,
        body: &mut Body<'_>,
        named: &Named,
        name: &ManifestName,
    ) -> Answer {
        self.must_write()?;
        let (tags, wanted) = asked(head, named, name)?;
        let bytes = self.read_document(body)?;
        let digest = wanted
            .as_ref()
            .map_or_else(|| Digest::of(&bytes), |wanted| wanted.same_of(&bytes));
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(Refusal::new(
                400,
                "DIGEST_INVALID",
                format!("the manifest that was sent is `{digest}`"),
            ));
        }
        self.check_quota(bytes.len() as u64)?;
        let stated = head
            .header("content-type")
            .and_then(|text| text.split(';').next())
            .map(str::trim);
        let document = Document {
            media_type: stated
                .filter(|text| !text.is_empty())
                .map_or_else(|| media_type_of(&bytes), str::to_owned),
            bytes,
        };
        let pushed = self
            .host
            .push_manifest(ctx, &named.repository, &tags, &digest, &document);
        let pushed = pushed.map_err(|error| match error.kind() {
            Kind::NotFound => Refusal::new(404, "MANIFEST_BLOB_UNKNOWN", error.message()),
            _ => Refusal::of(
                &error,
                &[Kind::Corrupt, Kind::Unsupported, Kind::Invalid],
                400,
                "MANIFEST_INVALID",
            ),
        })?;
        let mut reply = Reply::new(201)
            .header("Location", format!("/v2/{}/manifests/{digest}", named.name))
            .header("Docker-Content-Digest", digest.as_str());
        if let Some(subject) = pushed.subject {
            reply = reply.header("OCI-Subject", subject.as_str());
        }
        if matches!(name, ManifestName::Digest(_)) {
            let tags = tags.iter().filter_map(Reference::tag);
            reply = tags.fold(reply, |reply, tag| reply.header("OCI-Tag", tag));
        }
        Ok(reply)
    }

    /// A body that is a document, within bounds.
    fn read_document(&self, body: &mut Body<'_>) -> Result<Vec<u8>, Refusal> {
        let most = self.host.config().limits.document;
        let too_long = || Refusal::new(413, "SIZE_INVALID", format!("a manifest has {most} bytes at most"));
        if body.length().is_some_and(|length| length > most) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        let read = body.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|_| Refusal::new(400, "MANIFEST_INVALID", "the manifest did not come whole"))?;
        match bytes.len() as u64 > most {
            true => Err(too_long()),
            false => Ok(bytes),
        }
    }

    pub(super) fn delete_manifest(&self, named: &Named, name: &ManifestName) -> Answer {
        self.must_delete()?;
        let found = match name {
            ManifestName::Tag(name) => self.host.delete_repository_tag(name)?,
            ManifestName::Digest(digest) => self.host.delete_manifest(&named.repository, digest)?,
        };
        match found {
            true => Ok(Reply::new(202)),
            false => Err(self.unknown_manifest(named, name)?),
        }
    }
}

/// The tags a push is to set, and the digest that it must have.
fn asked(head: &Head, named: &Named, name: &ManifestName) -> Result<(Vec<Reference>, Option<Digest>), Refusal> {
    match name {
        ManifestName::Tag(name) => Ok((vec![name.clone()], None)),
        ManifestName::Digest(digest) => {
            let tags = head.parameters("tag").map(|text| route::tag(&named.repository, text));
            let tags = tags.collect::<Result<Vec<_>, _>>()?;
            match tags.len() > TAGS {
                true => Err(Refusal::new(
                    414,
                    "UNSUPPORTED",
                    format!("a push sets {TAGS} tags at most"),
                )),
                false => Ok((tags, Some(digest.clone()))),
            }
        }
    }
}
