//! From one registry or layout to another: documents byte for byte, blobs as they are, nothing unpacked and nothing kept here.

mod index;
mod layout;
mod mutate;
mod parts;
mod side;

use std::collections::HashSet;
use std::sync::Mutex;

pub use index::{IMAGE, IndexDraft, Listing, check_unmoved, gather, image_entry, listed, platform_of, settle};
pub use layout::Layout;
pub use mutate::{Change, Flat, Flatten, Rebase, mutate};
use parts::Parts;
pub use side::Side;

use super::push::{AT_ONCE, Moved};
use super::upload::Brought;
use crate::error::{Error, Kind, Result};
use crate::images::jobs;
use crate::images::limits::{self, Limits};
use crate::images::manifest::{Descriptor, index_bytes};
use crate::model::{Context, Digest, Platform};
use serde_json::Value;

/// What is copied.
#[derive(Debug, Clone, Default)]
pub struct Copying {
    /// Of an image for several platforms, these; all, if there are none here.
    pub platforms: Vec<Platform>,
    /// Also what says of itself that it is about the image.
    pub referrers: bool,
    /// Also tags made of the image's digest, as signatures have them (`sha256-….sig`).
    pub digest_tags: bool,
    /// Even what the destination says it has already.
    pub force: bool,
}

/// What a copy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest of what the name at the destination stands for.
    pub digest: Digest,
    /// Whether the destination had it under that name.
    pub unchanged: bool,
    /// Bytes that went how.
    pub moved: Moved,
    /// Manifests and indexes that were set.
    pub manifests: usize,
}

/// A manifest or an index on its way.
struct Document {
    digest: Digest,
    media_type: String,
    bytes: Vec<u8>,
}

/// Copies what one name stands for to another. It is seen there when all it names is there.
///
/// Errors: `not_found`, `corrupt`, `invalid` for a platform that it is not for; `unauthorized`, `denied`, `network`, `no_space`.
pub fn copy(ctx: &Context, limits: &Limits, from: &Side, to: &Side, copying: &Copying) -> Result<Copied> {
    if !copying.force && copying.platforms.is_empty() && !copying.referrers && !copying.digest_tags {
        // One question on each side tells that there is nothing to do.
        if let Some(digest) = to.standing(ctx)?
            && from.standing(ctx)?.as_ref() == Some(&digest)
        {
            return Ok(Copied {
                digest,
                unchanged: true,
                moved: Moved::default(),
                manifests: 0,
            });
        }
    }
    let work = Work {
        limits,
        from,
        to,
        copying,
        seen: Mutex::default(),
        done: Mutex::default(),
    };
    let top = from.document(ctx, limits, from.wanted())?;
    let top = work.chosen(ctx, top)?;
    let is_there = !copying.force && to.standing(ctx)?.as_ref() == Some(&top.digest);
    match is_there {
        true => work.standing(ctx, &top)?,
        false => work.document(ctx, &top, Some(to.wanted()), 0)?,
    }
    work.companions(ctx, &top.digest, 0)?;
    if !is_there {
        to.settle(&top.digest)?;
    }
    let done = work
        .done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Copied {
        digest: top.digest,
        unchanged: done.1 == 0,
        moved: done.0,
        manifests: done.1,
    })
}

struct Work<'a> {
    limits: &'a Limits,
    from: &'a Side,
    to: &'a Side,
    copying: &'a Copying,
    /// What was begun; nothing is copied twice, and circles end.
    seen: Mutex<HashSet<Digest>>,
    done: Mutex<(Moved, usize)>,
}

impl Work<'_> {
    /// The document that is to be at the destination: as it is, or for some platforms alone.
    fn chosen(&self, ctx: &Context, top: Document) -> Result<Document> {
        let parts = Parts::of(&top.bytes, self.limits)?;
        if self.copying.platforms.is_empty() || parts.manifests.is_empty() {
            return Ok(top);
        }
        let (mut kept, mut offered): (Vec<Descriptor>, Vec<String>) = Default::default();
        for platform in &self.copying.platforms {
            let images = parts.manifests.iter().filter(|entry| !entry.is_attestation());
            let suits = |entry: &&Descriptor| entry.platform.as_ref().and_then(|offered| platform.suits(offered));
            let best = images.clone().filter(|entry| suits(entry).is_some()).min_by_key(suits);
            offered.extend(images.filter_map(|entry| entry.platform.as_ref().map(ToString::to_string)));
            let best = best.ok_or_else(|| {
                let text = format!("`{}` is not for `{platform}`", self.from.name());
                Error::invalid(text).hint(format!("it is for {}", offered.join(", ")))
            })?;
            if !kept.contains(best) {
                kept.push(best.clone());
            }
        }
        if let [one] = &kept[..] {
            return self.from.document(ctx, self.limits, one.digest.as_str());
        }
        let bytes = index_bytes(kept);
        Ok(Document {
            digest: top.digest.same_of(&bytes),
            media_type: crate::images::manifest::OCI_INDEX.to_owned(),
            bytes,
        })
    }

    /// Copies a document and all it names, what it names first.
    fn document(&self, ctx: &Context, document: &Document, wanted: Option<&str>, depth: usize) -> Result<()> {
        if depth > self.limits.index_depth {
            return Err(limits::exceeded(
                "the depth of indexes within indexes",
                "index_depth",
                self.limits.index_depth,
            ));
        }
        if self.begin(&document.digest) {
            let parts = Parts::of(&document.bytes, self.limits)?;
            for entry in &parts.manifests {
                self.child(ctx, entry, depth)?;
            }
            let blobs = parts.blobs();
            let told = blobs.iter().map(|blob| (blob.digest.short().to_owned(), blob.size));
            ctx.watcher().parts(&told.collect::<Vec<_>>());
            let brought = jobs::run(ctx, AT_ONCE, blobs, |ctx, blob| {
                let brought = self.to.bring(ctx, self.from, &blob)?;
                ctx.watcher().done(blob.digest.short(), brought != Brought::Sent);
                Ok((brought, blob.size))
            })?;
            brought
                .into_iter()
                .for_each(|(brought, size)| self.count(brought, size));
        }
        let own = document.digest.to_string();
        self.to.put(ctx, wanted.unwrap_or(&own), document)?;
        let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.0.sent += document.bytes.len() as u64;
        done.1 += 1;
        Ok(())
    }

    /// A document that is at the destination with all it names: what else belongs to it may not be.
    fn standing(&self, ctx: &Context, document: &Document) -> Result<()> {
        self.begin(&document.digest);
        self.count(Brought::Present, document.bytes.len() as u64);
        let parts = Parts::of(&document.bytes, self.limits)?;
        parts
            .manifests
            .iter()
            .try_for_each(|entry| self.companions(ctx, &entry.digest, 0))
    }

    /// A document that an index names.
    fn child(&self, ctx: &Context, entry: &Descriptor, depth: usize) -> Result<()> {
        let has_it = !self.copying.force && self.to.has(ctx, &entry.digest)?;
        if has_it {
            self.count(Brought::Present, entry.size);
            return self.companions(ctx, &entry.digest, 0);
        }
        let document = self.from.document(ctx, self.limits, entry.digest.as_str())?;
        self.document(ctx, &document, None, depth + 1)?;
        self.companions(ctx, &entry.digest, 0)
    }

    /// What goes with a document beside what it names: what refers to it, and tags made of its digest.
    fn companions(&self, ctx: &Context, digest: &Digest, depth: usize) -> Result<()> {
        if depth > self.limits.index_depth {
            return Err(limits::exceeded(
                "the depth of what refers to what refers to the image",
                "index_depth",
                self.limits.index_depth,
            ));
        }
        if self.copying.referrers {
            for entry in self.from.referrers(ctx, digest)? {
                let digest: Digest = entry["digest"].as_str().unwrap_or_default().parse()?;
                self.companion(ctx, &digest, depth)?;
            }
        }
        if self.copying.digest_tags {
            let start = format!("{}-{}", digest.algorithm(), digest.hex());
            for tag in self.from.tags(ctx)?.iter().filter(|tag| tag.starts_with(&start)) {
                let there = self.to.named(tag).standing(ctx)?.filter(|_| !self.copying.force);
                if there.is_some() && there == self.from.named(tag).standing(ctx)? {
                    continue;
                }
                let document = self.from.document(ctx, self.limits, tag)?;
                self.document(ctx, &document, Some(tag), 0)?;
            }
        }
        Ok(())
    }

    fn companion(&self, ctx: &Context, digest: &Digest, depth: usize) -> Result<()> {
        let is_known = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .contains(digest);
        if is_known {
            return Ok(());
        }
        let document = self.from.document(ctx, self.limits, digest.as_str())?;
        match !self.copying.force && self.to.has(ctx, digest)? {
            true => self.standing(ctx, &document)?,
            false => self.document(ctx, &document, None, 0)?,
        }
        self.to.refer(ctx, self.limits, &document)?;
        self.companions(ctx, digest, depth + 1)
    }

    fn begin(&self, digest: &Digest) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seen.insert(digest.clone())
    }

    fn count(&self, brought: Brought, size: u64) {
        let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.0.count(brought, size);
    }
}

/// Nothing, where there is nothing.
fn or_none<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entry of a list of referrers for a document that says what it is about.
fn referrer(document: &Document) -> Option<(Digest, Value)> {
    let said: Value = serde_json::from_slice(&document.bytes).ok()?;
    let subject = said["subject"]["digest"].as_str()?.parse().ok()?;
    let kind = match said["artifactType"].as_str() {
        Some(kind) => kind,
        None => said["config"]["mediaType"].as_str().unwrap_or_default(),
    };
    let mut entry = serde_json::json!({
        "mediaType": document.media_type,
        "digest": document.digest,
        "size": document.bytes.len(),
        "artifactType": kind,
    });
    if said["annotations"].is_object() {
        entry["annotations"] = said["annotations"].clone();
    }
    Some((subject, entry))
}
