//! An image with other words in its configuration, on another base, or in one layer: documents are written anew, layers stay where they
//! are or are mounted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::parts::Parts;
use super::{Copied, Document, Side};
use crate::error::{Error, Result};
use crate::images::jobs;
use crate::images::limits::{self, Limits};
use crate::images::manifest::{Descriptor, media_type_of};
use crate::images::registry::push::{AT_ONCE, Moved, of_bytes, of_file};
use crate::images::registry::upload::{Brought, Source};
use crate::images::staging::Staging;
use crate::model::{Context, Digest, Platform};

/// What is changed of an image.
#[derive(Default)]
pub struct Change {
    /// Labels that are set.
    pub labels: BTreeMap<String, String>,
    /// Variables of the environment that are set.
    pub env: BTreeMap<String, String>,
    /// The default command.
    pub cmd: Option<Vec<String>>,
    /// Annotations of manifests, and of the index above them, that are set.
    pub annotations: BTreeMap<String, String>,
    /// Another base.
    pub rebase: Option<Rebase>,
}

/// What an image stands on, and what it is to stand on.
pub struct Rebase {
    /// The base it stands on.
    pub old: Side,
    /// The other base.
    pub new: Side,
}

/// All files of an image in one layer.
pub struct Flat {
    /// The layer.
    pub(crate) layer: Descriptor,
    /// The digest of its tar.
    pub(crate) diff_id: Digest,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it goes with.
    pub(crate) staging: Staging,
}

/// Makes one layer of the image with this manifest.
pub type Flatten<'a> = dyn Fn(&Digest) -> Result<Flat> + 'a;

/// Has a name stand for what another stands for with changes. Of an image for several platforms all are changed; what attests to what it
/// was does not go along. Under `dry` nothing is sent, and the digest is true all the same.
///
/// Errors: `conflict` for an image that does not stand on the old base; `unsupported` for what is no image; as of `copy`.
pub fn mutate(
    ctx: &Context,
    limits: &Limits,
    (from, to): (&Side, &Side),
    change: &Change,
    flatten: Option<&Flatten<'_>>,
    dry: bool,
) -> Result<Copied> {
    let work = Mutation {
        limits,
        from,
        to,
        change,
        flatten,
        dry,
        done: Mutex::default(),
    };
    let top = work.document(ctx, &from.document(ctx, limits, from.wanted())?, 0)?;
    let unchanged = to.standing(ctx)?.as_ref() == Some(&top.digest);
    if !unchanged {
        work.put(ctx, to.wanted(), &top)?;
        if !dry {
            to.settle(&top.digest)?;
        }
    }
    let (moved, manifests) = work.done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Copied {
        digest: top.digest,
        unchanged,
        moved,
        manifests,
    })
}

struct Mutation<'a> {
    limits: &'a Limits,
    from: &'a Side,
    to: &'a Side,
    change: &'a Change,
    flatten: Option<&'a Flatten<'a>>,
    dry: bool,
    done: Mutex<(Moved, usize)>,
}

/// The parts of an image that change.
struct Parted {
    config: Value,
    /// The layers' descriptors, and where each is to be had.
    layers: Vec<Value>,
    diff_ids: Vec<Value>,
}

impl Mutation<'_> {
    /// A document with the changes; all that it names is at the destination by then.
    fn document(&self, ctx: &Context, document: &Document, depth: usize) -> Result<Document> {
        if depth > self.limits.index_depth {
            let depth = self.limits.index_depth;
            return Err(limits::exceeded(
                "the depth of indexes within indexes",
                "index_depth",
                depth,
            ));
        }
        let is_index = !Parts::of(&document.bytes, self.limits)?.manifests.is_empty();
        let mut value = parsed(&document.bytes)?;
        match is_index {
            true => self.index(ctx, &mut value, depth)?,
            false => self.manifest(ctx, &document.digest, &mut value)?,
        }
        set_all(&mut value["annotations"], &self.change.annotations);
        let bytes = value.to_string().into_bytes();
        Ok(Document {
            digest: document.digest.same_of(&bytes),
            media_type: media_type_of(&bytes),
            bytes,
        })
    }

    fn index(&self, ctx: &Context, index: &mut Value, depth: usize) -> Result<()> {
        let mut kept = Vec::new();
        for entry in list(&index["manifests"]) {
            let named: Descriptor = descriptor(&entry)?;
            if named.is_attestation() {
                continue;
            }
            let child = self.from.document(ctx, self.limits, named.digest.as_str())?;
            let child = self.document(ctx, &child, depth + 1)?;
            match !self.dry && self.to.has(ctx, &child.digest)? {
                true => self.count(Brought::Present, child.bytes.len() as u64),
                false => self.put(ctx, child.digest.as_str(), &child)?,
            }
            kept.push(renamed(entry, &child.digest, child.bytes.len()));
        }
        index["manifests"] = kept.into();
        Ok(())
    }

    fn manifest(&self, ctx: &Context, digest: &Digest, manifest: &mut Value) -> Result<()> {
        let described = descriptor(&manifest["config"])?;
        if !described.media_type.contains("image.config") && !described.media_type.contains("container.image") {
            let kind = described.media_type.escape_debug();
            return Err(Error::unsupported(format!(
                "`{}` is no image, but `{kind}`",
                self.from.name()
            )));
        }
        let bytes = self.from.bytes(ctx, self.limits, &described)?;
        let config = parsed(&bytes)?;
        let mut parted = Parted {
            layers: list(&manifest["layers"]),
            diff_ids: list(&config["rootfs"]["diff_ids"]),
            config,
        };
        let own = parted.layers.clone();
        if let Some(rebase) = &self.change.rebase {
            self.rebase(ctx, rebase, manifest, &mut parted)?;
        }
        match self.flatten {
            Some(flatten) => self.squash(ctx, flatten(digest)?, manifest, &mut parted)?,
            None => {
                let stays = parted.layers.iter().filter(|layer| own.contains(layer));
                self.bring_all(ctx, self.from, stays)?;
            }
        }
        let Parted {
            mut config,
            layers,
            diff_ids,
        } = parted;
        config["rootfs"]["diff_ids"] = diff_ids.into();
        self.reword(&mut config["config"]);
        // One that says the same stays the same, byte for byte.
        let bytes = match config == parsed(&bytes)? {
            true => bytes,
            false => config.to_string().into_bytes(),
        };
        let new = Descriptor::new(
            &described.media_type,
            described.digest.same_of(&bytes),
            bytes.len() as u64,
        );
        manifest["config"] = renamed(manifest["config"].take(), &new.digest, bytes.len());
        manifest["layers"] = layers.into();
        self.add(ctx, new, of_bytes(bytes))
    }

    /// Sets what its containers run as.
    fn reword(&self, run: &mut Value) {
        let Change { labels, env, cmd, .. } = self.change;
        set_all(&mut run["Labels"], labels);
        if !env.is_empty() {
            let mut all = list(&run["Env"]);
            for (name, value) in env {
                let text = json!(format!("{name}={value}"));
                let is_it = |known: &&mut Value| {
                    known
                        .as_str()
                        .is_some_and(|known| known.split('=').next() == Some(name))
                };
                match all.iter_mut().find(is_it) {
                    Some(known) => *known = text,
                    None => all.push(text),
                }
            }
            run["Env"] = all.into();
        }
        if let Some(cmd) = cmd {
            run["Cmd"] = json!(cmd);
        }
    }

    /// Takes the old base's layers away from below, and puts the new one's there.
    fn rebase(&self, ctx: &Context, rebase: &Rebase, manifest: &mut Value, parted: &mut Parted) -> Result<()> {
        let text = |name: &str| parted.config[name].as_str().unwrap_or_default().to_owned();
        let platform = Platform {
            os: text("os"),
            architecture: text("architecture"),
            variant: Some(text("variant")).filter(|text| !text.is_empty()),
        };
        let (_, old) = self.base(ctx, &rebase.old, &platform)?;
        let (digest, new) = self.base(ctx, &rebase.new, &platform)?;
        if !parted.diff_ids.starts_with(&old.diff_ids) {
            let (name, base) = (self.from.name(), rebase.old.name());
            return Err(
                Error::conflict(format!("`{name}` for `{platform}` does not stand on `{base}`"))
                    .target(name)
                    .hint("name the very image it was built on, best by its digest"),
            );
        }
        self.bring_all(ctx, &rebase.new, new.layers.iter())?;
        let is_docker = media_type_of(manifest.to_string().as_bytes()).contains("docker");
        let mut layers = new
            .layers
            .into_iter()
            .map(|layer| typed(layer, is_docker))
            .collect::<Result<Vec<_>>>()?;
        layers.extend(parted.layers.drain(old.layers.len()..));
        parted.layers = layers;
        let own = parted.diff_ids.drain(old.diff_ids.len()..);
        parted.diff_ids = new.diff_ids.into_iter().chain(own).collect();
        let rest = later(
            list(&parted.config["history"]),
            &list(&old.config["history"]),
            old.layers.len(),
        );
        let history: Vec<Value> = list(&new.config["history"]).into_iter().chain(rest).collect();
        parted.config["history"] = history.into();
        manifest["annotations"]["org.opencontainers.image.base.digest"] = json!(digest);
        manifest["annotations"]["org.opencontainers.image.base.name"] = json!(rebase.new.name());
        Ok(())
    }

    /// The image of a base for a platform, and its manifest's digest.
    fn base(&self, ctx: &Context, side: &Side, platform: &Platform) -> Result<(Digest, Parted)> {
        let mut document = side.document(ctx, self.limits, side.wanted())?;
        for _ in 0..self.limits.index_depth {
            let entries = Parts::of(&document.bytes, self.limits)?.manifests;
            if entries.is_empty() {
                break;
            }
            let suits = |entry: &&Descriptor| entry.platform.as_ref().and_then(|offered| platform.suits(offered));
            let best = entries.iter().filter(|entry| suits(entry).is_some()).min_by_key(suits);
            let best = best.ok_or_else(|| Error::not_found(format!("`{}` is not for `{platform}`", side.name())))?;
            document = side.document(ctx, self.limits, best.digest.as_str())?;
        }
        let manifest = parsed(&document.bytes)?;
        let config = side.bytes(ctx, self.limits, &descriptor(&manifest["config"])?)?;
        let config = parsed(&config)?;
        let parted = Parted {
            layers: list(&manifest["layers"]),
            diff_ids: list(&config["rootfs"]["diff_ids"]),
            config,
        };
        match parted.layers.len() == parted.diff_ids.len() {
            true => Ok((document.digest, parted)),
            false => Err(Error::corrupt(format!(
                "manifest and configuration of `{}` do not fit",
                side.name()
            ))),
        }
    }

    /// Puts the one layer in the place of all.
    fn squash(&self, ctx: &Context, flat: Flat, manifest: &Value, parted: &mut Parted) -> Result<()> {
        let Flat {
            layer,
            diff_id,
            path,
            staging,
        } = flat;
        let is_docker = media_type_of(manifest.to_string().as_bytes()).contains("docker");
        let described = serde_json::to_value(&layer).expect("a descriptor is plain data");
        parted.layers = vec![typed(described, is_docker)?];
        parted.diff_ids = vec![json!(diff_id)];
        parted.config["history"] = json!([{ "created_by": "squash" }]);
        self.add(ctx, layer, of_file(path))?;
        drop(staging);
        Ok(())
    }

    fn bring_all<'v>(&self, ctx: &Context, from: &Side, layers: impl Iterator<Item = &'v Value>) -> Result<()> {
        let mut blobs = layers.map(descriptor).collect::<Result<Vec<_>>>()?;
        blobs.retain(|blob| !blob.is_undistributed());
        blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
        blobs.dedup_by(|one, other| one.digest == other.digest);
        if self.dry {
            return Ok(());
        }
        let brought = jobs::run(ctx, AT_ONCE, blobs, |ctx, blob| {
            Ok((self.to.bring(ctx, from, &blob)?, blob.size))
        })?;
        brought
            .into_iter()
            .for_each(|(brought, size)| self.count(brought, size));
        Ok(())
    }

    fn add(&self, ctx: &Context, blob: Descriptor, source: Source) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        let size = blob.size;
        let brought = self.to.add(ctx, blob, source)?;
        self.count(brought, size);
        Ok(())
    }

    fn put(&self, ctx: &Context, wanted: &str, document: &Document) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        self.to.put(ctx, wanted, document)?;
        self.count(Brought::Sent, document.bytes.len() as u64);
        self.done.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
        Ok(())
    }

    fn count(&self, brought: Brought, size: u64) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.0.count(brought, size);
    }
}

/// The steps of a history after those of a base with so many layers.
fn later(mut history: Vec<Value>, base: &[Value], layers: usize) -> Vec<Value> {
    if history.starts_with(base) {
        return history.split_off(base.len());
    }
    // It tells of the base in other words.
    let makes_layer = |step: &(usize, &Value)| step.1["empty_layer"] != true;
    let made = history
        .iter()
        .enumerate()
        .filter(makes_layer)
        .map(|(place, _)| place + 1);
    let end = made.take(layers).last().unwrap_or(0);
    history.split_off(end)
}

/// A layer's descriptor with the media type that manifests of Docker, or of OCI, have for it.
fn typed(mut layer: Value, is_docker: bool) -> Result<Value> {
    const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
    let said = layer["mediaType"].as_str().unwrap_or_default();
    let other = match (is_docker, said.strip_prefix(OCI), said.strip_prefix(DOCKER)) {
        (true, Some(""), _) => DOCKER.to_owned(),
        (true, Some("+gzip"), _) => format!("{DOCKER}.gzip"),
        (true, Some(how), _) => {
            let text = format!(
                "manifests of Docker have no layers of the kind `{}`",
                how.escape_debug()
            );
            return Err(Error::unsupported(text).hint("copy the image to an OCI layout or registry as OCI first"));
        }
        (false, _, Some("")) => OCI.to_owned(),
        (false, _, Some(".gzip")) => format!("{OCI}+gzip"),
        _ => return Ok(layer),
    };
    layer["mediaType"] = json!(other);
    Ok(layer)
}

pub(super) fn parsed(bytes: &[u8]) -> Result<Value> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|cause| Error::corrupt(format!("a document is not valid: {cause}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(Error::corrupt("a document is no map")),
    }
}

pub(super) fn descriptor(value: &Value) -> Result<Descriptor> {
    serde_json::from_value(value.clone()).map_err(|cause| Error::corrupt(format!("a descriptor is not valid: {cause}")))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// A descriptor of something else.
fn renamed(mut descriptor: Value, digest: &Digest, size: usize) -> Value {
    descriptor["digest"] = json!(digest);
    descriptor["size"] = json!(size);
    descriptor
}

pub(super) fn set_all(map: &mut Value, pairs: &BTreeMap<String, String>) {
    if pairs.is_empty() {
        return;
    }
    if !map.is_object() {
        *map = json!({});
    }
    for (key, value) in pairs {
        map[key.as_str()] = json!(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_goes_on_after_its_base() {
        let step = |name: &str, empty: bool| json!({"created_by": name, "empty_layer": empty});
        let own = vec![
            step("a", false),
            step("env", true),
            step("b", false),
            step("cmd", true),
            step("c", false),
        ];
        let names = |steps: Vec<Value>| {
            steps
                .iter()
                .map(|step| step["created_by"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(later(own.clone(), &own[..2], 1)), ["b", "cmd", "c"]);
        assert_eq!(names(later(own.clone(), &[step("other", false)], 2)), ["cmd", "c"]);
        assert_eq!(later(Vec::new(), &[], 2), [Value::Null; 0]);
    }

    #[test]
    fn layers_are_called_as_their_manifest_calls_them() {
        let typed = |text: &str, is_docker| {
            typed(json!({"mediaType": text}), is_docker).map(|layer| layer["mediaType"].clone())
        };
        let (oci, docker) = (
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar",
        );
        assert_eq!(typed(&format!("{oci}+gzip"), true).unwrap(), format!("{docker}.gzip"));
        assert_eq!(typed(&format!("{docker}.gzip"), false).unwrap(), format!("{oci}+gzip"));
        assert_eq!(typed(oci, false).unwrap(), oci);
        assert!(typed(&format!("{oci}+zstd"), true).is_err());
    }
}
