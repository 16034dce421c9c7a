//! Indexes that are put together (OCI image-spec, image-index.md; Docker's manifest lists): what they list, and how that comes to be beside
//! them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parts::Parts;
use super::{Copying, Document, Side, Work};
use crate::error::{Error, Result};
use crate::images::limits::Limits;
use crate::images::manifest::{
    DOCKER_LIST, Descriptor, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, check_count, media_type_of,
};
use crate::images::registry::push::Moved;
use crate::model::{Context, Digest, Platform};

/// An index as it is being put together. One that nothing was changed of has the bytes it came with.
#[derive(Debug, Clone)]
pub struct IndexDraft {
    document: Value,
    /// The bytes it came with, as long as it says the same.
    came: Option<Vec<u8>>,
}

/// What is listed of that which is added.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Of an index, the image for this platform; of an image, what it is for, whatever its configuration says.
    pub platform: Option<Platform>,
    /// An index as one entry, not entry by entry.
    pub nested: bool,
}

/// The media type of what an index lists most: an image of OCI's format.
pub const IMAGE: &str = OCI_MANIFEST;
/// What an attestation is about (Docker's attestation storage).
const ABOUT: &str = "vnd.docker.reference.digest";

impl IndexDraft {
    /// One that lists nothing.
    pub fn new(is_docker: bool) -> IndexDraft {
        let media_type = if is_docker { DOCKER_LIST } else { OCI_INDEX };
        IndexDraft {
            document: json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [] }),
            came: None,
        }
    }

    /// The one that a side's name stands for, and its digest. Errors: `not_found`, `corrupt`; `invalid` for an image.
    pub fn read(ctx: &Context, limits: &Limits, from: &Side) -> Result<(IndexDraft, Digest)> {
        let document = from.document(ctx, limits, from.wanted())?;
        if !is_index(&document, limits)? {
            let text = format!("`{}` is an image, not an index", from.name());
            return Err(Error::invalid(text)
                .target(from.name())
                .hint("begin an index by `registry::index(NAME, #{ create: true })`, and add the image by its name"));
        }
        Ok((IndexDraft::of(document.bytes)?, document.digest))
    }

    /// The one with these bytes.
    pub fn of(bytes: Vec<u8>) -> Result<IndexDraft> {
        Ok(IndexDraft {
            document: super::mutate::parsed(&bytes)?,
            came: Some(bytes),
        })
    }

    /// What it lists: descriptors, in its order.
    pub fn entries(&self) -> &[Value] {
        self.document["manifests"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What is said of it.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let pairs = self.document["annotations"].as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        pairs
            .filter_map(|(key, value)| Some((key.clone(), text(value)?)))
            .collect()
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let came = self.came.clone();
        came.unwrap_or_else(|| self.document.to_string().into_bytes())
    }

    /// Its media type.
    pub fn media_type(&self) -> String {
        media_type_of(&self.bytes())
    }

    fn is_docker(&self) -> bool {
        self.document["mediaType"] == DOCKER_LIST
    }

    fn set(&mut self, entries: Vec<Value>) {
        if entries != self.entries() {
            self.document["manifests"] = entries.into();
            self.came = None;
        }
    }

    /// Lists descriptors, in place of what it lists of the same digests and platforms, and of what attests to that. Docker's lists have
    /// no annotations, and so no attestations.
    ///
    /// Errors: as of [`limits`](crate::images::limits), for more than an index may list.
    pub fn add(&mut self, mut new: Vec<Value>, limits: &Limits) -> Result<()> {
        if self.is_docker() {
            new.retain(|entry| entry["annotations"][ABOUT].is_null());
            new.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| {
                entry.retain(|key, _| key != "annotations" && key != "artifactType");
            });
        }
        if new.iter().all(|entry| self.entries().contains(entry)) {
            return Ok(());
        }
        let gives_way = |old: &Value| {
            let same = |new: &Value| new["digest"] == old["digest"] || (has_platform(old) && key(new) == key(old));
            new.iter().any(same)
        };
        let mut entries = self.without(gives_way);
        entries.extend(new);
        check_count(entries.len(), limits)?;
        self.set(entries);
        Ok(())
    }

    /// Lists no longer what has this digest or is for this platform, nor what attests to it. Errors: `not_found`, with what there is.
    pub fn remove(&mut self, what: &str) -> Result<()> {
        let goes: Box<dyn Fn(&Value) -> bool> = match what.parse::<Digest>() {
            Ok(digest) => Box::new(move |entry| entry["digest"] == digest.as_str()),
            Err(_) => {
                let platform = serde_json::to_value(what.parse::<Platform>()?).unwrap_or_default();
                let wanted = key(&json!({ "platform": platform }));
                Box::new(move |entry| has_platform(entry) && key(entry)[..3] == wanted[..3])
            }
        };
        if !self.entries().iter().any(&goes) {
            let listed = self.platforms().join(", ");
            return Err(Error::not_found(format!("the index lists nothing for `{what}`"))
                .target(what)
                .hint(format!("it lists images for {listed}")));
        }
        let left = self.without(goes);
        self.set(left);
        Ok(())
    }

    /// The entries that stay where some go, and with them what attests to them.
    fn without(&self, goes: impl Fn(&Value) -> bool) -> Vec<Value> {
        let gone: Vec<&Value> = self.entries().iter().filter(|entry| goes(entry)).collect();
        let attests = |entry: &Value| gone.iter().any(|gone| gone["digest"] == entry["annotations"][ABOUT]);
        let stays = self.entries().iter().filter(|entry| !goes(entry) && !attests(entry));
        stays.cloned().collect()
    }

    /// What its images are for, each once, in its order.
    pub fn platforms(&self) -> Vec<String> {
        let mut all = Vec::new();
        for platform in self.entries().iter().filter_map(platform_of) {
            if !all.contains(&platform) {
                all.push(platform);
            }
        }
        all
    }

    /// Says something of it. Errors: `unsupported` for Docker's lists.
    pub fn annotate(&mut self, pairs: &BTreeMap<String, String>) -> Result<()> {
        if self.is_docker() && !pairs.is_empty() {
            return Err(no_annotations());
        }
        let before = self.document.clone();
        super::mutate::set_all(&mut self.document["annotations"], pairs);
        if pairs.is_empty() || self.document == before {
            self.document = before;
        } else {
            self.came = None;
        }
        Ok(())
    }

    /// Says something of each of some descriptors that are to be listed. Errors: `unsupported` for Docker's lists.
    pub fn mark(&self, entries: &mut [Value], pairs: &BTreeMap<String, String>) -> Result<()> {
        if self.is_docker() && !pairs.is_empty() {
            return Err(no_annotations());
        }
        let images = entries.iter_mut().filter(|entry| entry["annotations"][ABOUT].is_null());
        images.for_each(|entry| super::mutate::set_all(&mut entry["annotations"], pairs));
        entries.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| {
            // Looking for what is not there leaves a `null` behind.
            entry.retain(|_, value| !value.is_null());
        });
        Ok(())
    }

    fn document(&self, algorithm: &Digest) -> Document {
        let bytes = self.bytes();
        Document {
            digest: algorithm.same_of(&bytes),
            media_type: media_type_of(&bytes),
            bytes,
        }
    }
}

fn no_annotations() -> Error {
    Error::unsupported("a list in Docker's format has no annotations").hint("begin it with `format: \"oci\"`")
}

/// What an entry is for, in words; nothing for what attests to another, or is no image.
pub fn platform_of(entry: &Value) -> Option<String> {
    let platform: Platform = serde_json::from_value(entry.get("platform")?.clone()).ok()?;
    has_platform(entry).then(|| platform.to_string())
}

fn has_platform(entry: &Value) -> bool {
    let platform = &entry["platform"];
    platform.is_object() && platform["os"] != "unknown" && entry["annotations"][ABOUT].is_null()
}

/// System, processor, its variant, and which release of the system: what makes two entries of an index one in the place of the other.
fn key(entry: &Value) -> [String; 5] {
    let text = |name: &str| entry["platform"][name].as_str().unwrap_or_default().to_owned();
    let features = entry["platform"]["os.features"].to_string();
    let variant = match (text("architecture").as_str(), text("variant").as_str()) {
        ("arm64", "v8") | ("amd64", "v1") => String::new(),
        (_, variant) => variant.to_owned(),
    };
    [text("os"), text("architecture"), variant, text("os.version"), features]
}

fn is_index(document: &Document, limits: &Limits) -> Result<bool> {
    Parts::of(&document.bytes, limits)?;
    Ok(super::mutate::parsed(&document.bytes)?["manifests"].is_array())
}

/// The entries of an index for what a side's name stands for: an image with its platform, an index entry by entry.
///
/// Errors: `not_found`, `corrupt`; `invalid` for a platform that an index is not for.
pub fn listed(ctx: &Context, limits: &Limits, from: &Side, listing: &Listing) -> Result<Vec<Value>> {
    let document = from.document(ctx, limits, from.wanted())?;
    match (is_index(&document, limits)?, listing.nested, &listing.platform) {
        (true, true, Some(_)) => Err(Error::invalid(
            "`nested` and `platform` exclude each other: an index as one entry is for several",
        )),
        (true, true, None) => Ok(vec![described(&document)]),
        (true, false, None) => Ok(IndexDraft::of(document.bytes)?.entries().to_vec()),
        (true, false, Some(platform)) => chosen(&IndexDraft::of(document.bytes)?, platform, from),
        (false, _, platform) => {
            let config = match Parts::of(&document.bytes, limits)?.config {
                Some(config) if is_image_config(&config) => from.bytes(ctx, limits, &config)?,
                _ => b"{}".to_vec(),
            };
            image_entry(&document.bytes, &document.digest, &config, platform.as_ref()).map(|entry| vec![entry])
        }
    }
}

/// The entry for the image that suits a platform best, and what attests to it.
fn chosen(index: &IndexDraft, platform: &Platform, from: &Side) -> Result<Vec<Value>> {
    let suits = |entry: &&Value| platform.suits(&serde_json::from_value(entry["platform"].clone()).ok()?);
    let images = || index.entries().iter().filter(|entry| has_platform(entry));
    let best = images().filter(|entry| suits(entry).is_some()).min_by_key(suits);
    let Some(best) = best else {
        let text = format!("`{}` is not for `{platform}`", from.name());
        return Err(Error::invalid(text).hint(format!("it is for {}", index.platforms().join(", "))));
    };
    let belongs = |entry: &&Value| *entry == best || entry["annotations"][ABOUT] == best["digest"];
    Ok(index.entries().iter().filter(belongs).cloned().collect())
}

fn is_image_config(config: &Descriptor) -> bool {
    config.media_type == OCI_CONFIG || config.media_type.contains("docker.container.image")
}

fn described(document: &Document) -> Value {
    json!({ "mediaType": document.media_type, "digest": document.digest, "size": document.bytes.len() })
}

/// The entry for a manifest: for what its configuration says, unless it is said otherwise. What is no image is for nothing.
pub fn image_entry(manifest: &[u8], digest: &Digest, config: &[u8], platform: Option<&Platform>) -> Result<Value> {
    let (manifest_value, config) = (super::mutate::parsed(manifest)?, super::mutate::parsed(config)?);
    let mut entry = json!({ "mediaType": media_type_of(manifest), "digest": digest, "size": manifest.len() });
    if let Some(kind) = manifest_value["artifactType"].as_str() {
        entry["artifactType"] = json!(kind);
    }
    let names = ["os", "architecture", "variant", "os.version", "os.features"];
    let said = names.into_iter().filter(|name| match &config[*name] {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    });
    let said: serde_json::Map<String, Value> = said.map(|name| (name.to_owned(), config[name].clone())).collect();
    match platform {
        Some(platform) => entry["platform"] = serde_json::to_value(platform).unwrap_or_default(),
        None if !said.is_empty() => entry["platform"] = said.into(),
        None => {}
    }
    Ok(entry)
}

/// Has what some descriptors name at one side at another, with all that it names. Gives what moved, and how many manifests were set.
///
/// Errors: as of [`copy`](super::copy).
pub fn gather(
    ctx: &Context,
    limits: &Limits,
    (from, to): (&Side, &Side),
    entries: &[Value],
    copying: &Copying,
) -> Result<(Moved, usize)> {
    let work = Work {
        limits,
        from,
        to,
        copying,
        seen: Default::default(),
        done: Default::default(),
    };
    for entry in entries {
        work.child(ctx, &super::mutate::descriptor(entry)?, 0)?;
    }
    Ok(work
        .done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Has a name stand for an index whose entries are there. With `expected`, only where it stands for what it is expected to; gives whether
/// it stood for it already.
///
/// Errors: `conflict` where it stands for something else.
pub fn settle(ctx: &Context, to: &Side, index: &IndexDraft, expected: Option<Option<&Digest>>) -> Result<bool> {
    let standing = to.standing(ctx)?;
    let algorithm = standing.clone().unwrap_or_else(|| Digest::of(&[]));
    let document = index.document(&algorithm);
    if standing.as_ref() == Some(&document.digest) {
        return Ok(true);
    }
    if let Some(expected) = expected {
        check_unmoved(&to.name(), expected, standing.as_ref())?;
    }
    to.put(ctx, to.wanted(), &document)?;
    Ok(false)
}

/// Errors: `conflict` where a name stands for something else than was expected.
pub fn check_unmoved(name: &str, expected: Option<&Digest>, standing: Option<&Digest>) -> Result<()> {
    let (was, is) = match (expected, standing) {
        (one, other) if one == other => return Ok(()),
        (Some(was), Some(is)) => (format!("stood for {was}"), format!("stands for {is} now")),
        (Some(was), None) => (format!("stood for {was}"), "is gone".to_owned()),
        (None, Some(is)) => ("was not there".to_owned(), format!("stands for {is} now")),
        (None, None) => return Ok(()),
    };
    let text = format!("`{name}` has moved since it was looked at: it {was}, and {is}");
    Err(Error::new(crate::error::Kind::Conflict, text)
        .target(name)
        .hint("read the index again and make the change in that, or push with `force: true`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, platform: &str) -> Value {
        let platform: Platform = platform.parse().unwrap();
        json!({ "mediaType": IMAGE, "digest": Digest::of(name.as_bytes()), "size": 1, "platform": platform })
    }

    fn attestation(name: &str, about: &Value) -> Value {
        let mut entry = image(name, "unknown/unknown");
        entry["annotations"] = json!({ ABOUT: about["digest"], "vnd.docker.reference.type": "attestation-manifest" });
        entry
    }

    #[test]
    fn what_is_for_the_same_platform_gives_way_with_what_attests_to_it() {
        let limits = Limits::default();
        let (one, arm) = (image("one", "linux/amd64"), image("arm", "linux/arm64/v8"));
        let about = attestation("about", &one);
        let mut index = IndexDraft::new(false);
        index.add(vec![one.clone(), arm.clone(), about], &limits).unwrap();
        assert_eq!(index.platforms(), ["linux/amd64", "linux/arm64/v8"]);
        let two = image("two", "linux/amd64");
        index.add(vec![two.clone()], &limits).unwrap();
        assert_eq!(index.entries(), [arm, two]);
        // `v8` is what is meant where arm64 has no variant.
        index.add(vec![image("other", "linux/arm64")], &limits).unwrap();
        index.remove("linux/arm64").unwrap();
        assert_eq!(index.platforms(), ["linux/amd64"]);
        assert!(index.remove("linux/arm64").is_err());
    }

    #[test]
    fn releases_of_a_system_stand_beside_each_other() {
        let mut releases = ["10.0.17763.1", "10.0.20348.1"].map(|release| {
            let mut entry = image(release, "windows/amd64");
            entry["platform"]["os.version"] = json!(release);
            entry
        });
        let mut index = IndexDraft::new(true);
        index.add(releases.to_vec(), &Limits::default()).unwrap();
        assert_eq!(index.entries().len(), 2);
        releases[1]["size"] = json!(2);
        index.add(vec![releases[1].clone()], &Limits::default()).unwrap();
        assert_eq!(index.entries(), releases);
        index.remove("windows/amd64").unwrap();
        assert_eq!(index.entries(), [Value::Null; 0]);
    }

    #[test]
    fn an_index_keeps_its_bytes_until_it_says_something_else() {
        let entry = image("one", "linux/amd64");
        let text = format!("{{ \"schemaVersion\":2,\n \"x-kept\": 1, \"manifests\": [{entry}] }}");
        let mut index = IndexDraft::of(text.clone().into_bytes()).unwrap();
        index.add(vec![entry], &Limits::default()).unwrap();
        index.annotate(&BTreeMap::new()).unwrap();
        assert_eq!(index.bytes(), text.as_bytes());
        index
            .annotate(&BTreeMap::from([("a".to_owned(), "b".to_owned())]))
            .unwrap();
        let said: Value = serde_json::from_slice(&index.bytes()).unwrap();
        assert_eq!((&said["x-kept"], &said["annotations"]["a"]), (&json!(1), &json!("b")));
    }

    #[test]
    fn an_index_lists_no_more_than_the_limit() {
        let limits = Limits {
            manifests: 1,
            ..Limits::default()
        };
        let both = vec![image("one", "linux/amd64"), image("two", "linux/arm64")];
        let mut index = IndexDraft::new(false);
        assert!(index.add(both, &limits).is_err());
        assert_eq!(index.entries().len(), 0);
    }
}
