//! `image::` and `Image`: what is in the store, by name or as a handle.

pub mod acts;
pub mod facts;
pub mod namespace;
pub mod push;
pub mod search;
mod transfer;

pub(super) use namespace::change;
pub use search::found;
pub use transfer::pull_from;

use serde_json::{Value, json};

use super::Manifests;
use super::amount::ago;
use super::object::Object;
use crate::host::Image;
use crate::images::RunConfig;
use crate::model::ByteSize;

/// What lists show where an image has no name.
const NO_NAME: &str = "<none>";

/// The functions of `image::`.
pub(super) fn functions() -> Manifests {
    vec![
        &namespace::functions::RHAI_MANIFEST,
        &push::functions::RHAI_MANIFEST,
        &search::functions::RHAI_MANIFEST,
    ]
}

/// The getters and methods of `Image`.
pub(super) fn methods() -> Manifests {
    vec![
        &facts::getters::RHAI_MANIFEST,
        &acts::methods::RHAI_MANIFEST,
        &push::methods::RHAI_MANIFEST,
    ]
}

/// `NAME=value` entries as names with values.
fn environment(config: &RunConfig) -> impl Iterator<Item = (&str, &str)> {
    config
        .env
        .iter()
        .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
}

/// What containers of the image run with; nothing where the configuration cannot be read.
fn run_facts(image: &Image) -> Value {
    let Ok(config) = image.config() else { return json!({}) };
    let config = config.config;
    let env: serde_json::Map<String, Value> = environment(&config)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    json!({
        "env": env,
        "cmd": config.cmd,
        "entrypoint": config.entrypoint,
        "workdir": config.working_dir,
        "user": config.user,
        "exposed_ports": config.exposed_ports.keys().collect::<Vec<_>>(),
        "volumes": config.volumes.keys().collect::<Vec<_>>(),
    })
}

fn store_facts(image: &Image) -> Value {
    let platform = image.platform();
    let layers = image.layers().unwrap_or_default();
    json!({
        "id": image.id().as_str(),
        "short_id": image.id().short(),
        "digest": image.digest().as_str(),
        "tags": image.tags(),
        "name": image.name(),
        "size": image.size(),
        "unique_size": image.unique_size().ok(),
        "created": image.created().map(|time| time.to_string()),
        "last_used": image.last_used().to_string(),
        "labels": image.labels(),
        "layers": layers.iter().map(|layer| layer.as_str()).collect::<Vec<_>>(),
        "architecture": platform.architecture,
        "os": platform.os,
        "platform": platform.to_string(),
        "parent": image.parent().map(|parent| parent.as_str()),
        "age": image.age().as_secs_f64(),
        "dangling": image.dangling(),
        "intermediate": image.intermediate(),
        "used_by": image.used_by(),
    })
}

fn row(image: &Image, repository: &str, tag: &str) -> Vec<String> {
    let created = image.created().map_or_else(|| "N/A".to_owned(), ago);
    let size = ByteSize(image.size()).to_string();
    vec![
        repository.to_owned(),
        tag.to_owned(),
        image.id().short().to_owned(),
        created,
        size,
    ]
}

impl Object for Image {
    const NAME: &'static str = "Image";
    const COLUMNS: &'static [&'static str] = &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];

    fn text(&self) -> String {
        self.to_string()
    }

    fn debug(&self) -> String {
        format!("Image({}, {})", self.name(), self.id().short())
    }

    fn cells(&self) -> Vec<String> {
        self.rows().swap_remove(0)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        match self.references() {
            [] => vec![row(self, NO_NAME, NO_NAME)],
            names => names
                .iter()
                .map(|name| row(self, &name.familiar_repository(), name.tag().unwrap_or(NO_NAME)))
                .collect(),
        }
    }

    fn json(&self) -> Value {
        let mut facts = store_facts(self);
        if let (Some(all), Value::Object(more)) = (facts.as_object_mut(), run_facts(self)) {
            all.extend(more);
        }
        facts
    }
}
