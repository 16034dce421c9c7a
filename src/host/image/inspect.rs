//! What is in an image: Docker's inspect document, history, files, differences.

use serde_json::{Value, json};

use super::Image;
use crate::error::Result;
use crate::host::Host;
use crate::images;
use crate::model::{Context, Pattern, Reference};

impl Image {
    /// The image in the field names of Docker's `GET /images/{name}/json`.
    pub fn inspect(&self) -> Result<Value> {
        let config: Value = serde_json::from_slice(&self.facts.row.config).unwrap_or_default();
        let stored = self.stored()?;
        let familiar = |name: &Reference| format!("{}@{}", name.familiar_repository(), self.digest());
        let mut digests: Vec<String> = self.references().iter().map(familiar).collect();
        digests.dedup();
        let field = |name: &str| config.get(name).cloned().unwrap_or(Value::Null);
        Ok(json!({
            "Id": self.id(),
            "RepoTags": self.references().iter().filter_map(Reference::tagged).map(|name| name.familiar()).collect::<Vec<_>>(),
            "RepoDigests": digests,
            "Parent": self.parent().map_or("", |parent| parent.as_str()),
            "Comment": config["history"].as_array().and_then(|h| h.last()).map_or(json!(""), |h| h["comment"].as_str().unwrap_or("").into()),
            "Created": field("created"),
            "Author": config["author"].as_str().unwrap_or(""),
            "Config": field("config"),
            "Architecture": self.facts.row.architecture,
            "Variant": self.facts.row.variant.clone().unwrap_or_default(),
            "Os": self.facts.row.os,
            "Size": self.size(),
            "GraphDriver": { "Name": "overlay", "Data": self.graph_data(&stored)? },
            "RootFS": { "Type": "layers", "Layers": stored.layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
            "Metadata": { "LastTagTime": Value::Null, "LastUsed": self.last_used().to_string() },
            "Descriptor": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": self.digest(), "size": self.manifest_size() },
        }))
    }

    /// The unpacked directories: the topmost layer is `UpperDir`, the rest `LowerDir`, as Docker has it. There is no mount and
    /// no work directory until a container has them, so those two are absent; all are where a layer is kept packed.
    fn graph_data(&self, stored: &images::Image) -> Result<Value> {
        let content = self.host.content_of(stored)?;
        if stored.layers.iter().any(|layer| content.is_packed(&layer.diff_id)) {
            return Ok(Value::Null);
        }
        let mut dirs = stored
            .layers
            .iter()
            .rev()
            .map(|layer| content.layer_dir(&layer.diff_id).display().to_string());
        let upper = dirs.next();
        Ok(json!({ "UpperDir": upper, "LowerDir": dirs.collect::<Vec<_>>().join(":") }))
    }

    fn manifest_size(&self) -> u64 {
        self.host.content().blob_size(self.digest()).unwrap_or(0)
    }

    /// How the image came to be, newest step first.
    pub fn history(&self) -> Result<Vec<images::History>> {
        let stored = self.stored()?;
        let mut steps = images::history(&self.config()?, &stored.layers);
        // A commit adds one step to those of its parent.
        let mut image = Some(self.clone());
        for step in &mut steps {
            let Some(known) = image else { break };
            image = known.parent().and_then(|parent| self.host.image(parent.as_str()).ok());
            step.id = Some(known.id().clone());
        }
        Ok(steps)
    }
}

impl Host {
    /// The files of an image that fit the pattern, layers merged.
    pub fn image_files(&self, ctx: &Context, image: &str, pattern: &str) -> Result<Vec<images::Entry>> {
        let (stored, pattern) = (self.image(image)?.stored()?, Pattern::new(pattern)?);
        images::files(ctx, self.unpacked(ctx, &[&stored])?, &stored, &pattern)
    }

    /// What differs from image `a` to image `b`.
    pub fn image_diff(&self, ctx: &Context, a: &str, b: &str) -> Result<Vec<images::Change>> {
        let (a, b) = (self.image(a)?.stored()?, self.image(b)?.stored()?);
        images::diff(ctx, self.unpacked(ctx, &[&a, &b])?, &a, &b)
    }
}
