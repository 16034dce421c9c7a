//! What a plan relies on: things as they were when it was made, and what has become of them.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::{Asking, Container, Host, Image};
use crate::error::{Kind, Result};
use crate::model::{Context, Reference};

/// A thing as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Pin {
    /// A name of the store: the image it means, if any.
    Name {
        /// The name.
        name: String,
        /// The image's id.
        image: Option<String>,
    },
    /// An image that is to go: what it is called, and who uses it.
    Image {
        /// Its id.
        id: String,
        /// Its names, sorted.
        names: Vec<String>,
        /// The containers that use it, sorted.
        used_by: Vec<String>,
    },
    /// A container: its state, and since when.
    Container {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Its state, or `removed`.
        status: String,
        /// When it was started last.
        started: Option<String>,
    },
    /// A name at a registry: the digest it stands for, if any.
    Remote {
        /// The name.
        name: String,
        /// The digest.
        digest: Option<String>,
        /// Whether the registry's certificate must be right.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        tls_verify: Option<bool>,
    },
    /// A volume: since when it is there, if it is, and who uses it.
    Volume {
        /// Its name.
        name: String,
        /// When it was made.
        created: Option<String>,
        /// The containers that use it, sorted.
        used_by: Vec<String>,
    },
    /// A file: its kind, size and time of change in nanoseconds, if it is there.
    File {
        /// Its path.
        path: String,
        /// What is there: `file` or `directory`.
        is: Option<String>,
        /// Its size in bytes; nothing for a directory.
        size: u64,
        /// When it changed last, in nanoseconds; nothing for a directory.
        changed: u64,
    },
}

impl Pin {
    /// What it is about, once for each thing.
    pub fn key(&self) -> String {
        match self {
            Pin::Name { name, .. } => format!("name {name}"),
            Pin::Image { id, .. } => format!("image {id}"),
            Pin::Container { id, .. } => format!("container {id}"),
            Pin::Remote { name, .. } => format!("remote {name}"),
            Pin::Volume { name, .. } => format!("volume {name}"),
            Pin::File { path, .. } => format!("file {path}"),
        }
    }

    /// What differs from how it is now, in words.
    fn difference(&self, now: &Pin) -> Option<String> {
        if self == now {
            return None;
        }
        let short = |id: &Option<String>| match id {
            Some(id) => id.get(7..19).unwrap_or(id).to_owned(),
            None => "nothing".to_owned(),
        };
        Some(match (self, now) {
            (Pin::Name { name, image }, Pin::Name { image: new, .. }) => {
                format!("`{name}` meant {} and means {} now", short(image), short(new))
            }
            (
                Pin::Image { id, names, used_by },
                Pin::Image {
                    names: new,
                    used_by: users,
                    ..
                },
            ) => {
                let image = names
                    .first()
                    .map_or_else(|| id.get(7..19).unwrap_or(id), String::as_str);
                match users.iter().find(|user| !used_by.contains(user)) {
                    Some(user) => format!("image `{image}` is used by container `{user}` now"),
                    None if names != new => format!(
                        "image `{image}` was called {} and is called {} now",
                        list(names),
                        list(new)
                    ),
                    None => format!("image `{image}` is not used by container {} any more", list(used_by)),
                }
            }
            (
                Pin::Container { name, status, .. },
                Pin::Container {
                    name: called,
                    status: new,
                    ..
                },
            ) => match () {
                () if name != called => format!("container `{name}` is called `{called}` now"),
                () if status != new => format!("container `{name}` was {status} and is {new} now"),
                () => format!("container `{name}` was restarted"),
            },
            (Pin::Remote { name, digest, .. }, Pin::Remote { digest: new, .. }) => {
                format!(
                    "`{name}` stood for {} at its registry and stands for {} now",
                    short(digest),
                    short(new)
                )
            }
            (
                Pin::Volume { name, created, used_by },
                Pin::Volume {
                    created: new,
                    used_by: users,
                    ..
                },
            ) => match (created, new) {
                (Some(_), None) => format!("volume `{name}` is gone"),
                (None, Some(_)) => format!("volume `{name}` is there now"),
                _ if used_by != users => format!("volume `{name}` is used by {} now", list(users)),
                _ => format!("volume `{name}` is another one now"),
            },
            (Pin::File { path, is, .. }, Pin::File { is: new, .. }) => match (is, new) {
                (Some(_), None) => format!("`{path}` is gone"),
                (None, Some(_)) => format!("`{path}` is there now"),
                _ => format!("`{path}` has changed"),
            },
            _ => format!("{} is something else now", self.key()),
        })
    }
}

fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

impl Host {
    /// A name as it is.
    pub fn pin_name(&self, name: &Reference) -> Result<Pin> {
        let image = self.find_image(&name.to_string())?;
        Ok(Pin::Name {
            name: name.familiar(),
            image: image.map(|image| image.id().to_string()),
        })
    }

    /// A container as it is.
    pub fn pin_container(&self, container: &Container) -> Pin {
        Pin::Container {
            id: container.id().to_string(),
            name: container.name().to_owned(),
            status: container.status().to_string(),
            started: container.started().map(|time| time.to_string()),
        }
    }

    /// A volume as it is.
    pub fn pin_volume(&self, name: &str) -> Result<Pin> {
        let volume = self.find_volume(name)?;
        Ok(Pin::Volume {
            name: name.to_owned(),
            created: volume.as_ref().map(|volume| volume.created().to_string()),
            used_by: volume.map(|volume| volume.used_by().to_vec()).unwrap_or_default(),
        })
    }

    /// What a name at a registry stands for.
    pub fn pin_remote(&self, ctx: &Context, name: &Reference, tls_verify: Option<bool>) -> Result<Pin> {
        let asking = Asking {
            tls_verify,
            ..Asking::default()
        };
        let digest = self.remote_digest(ctx, &name.to_string(), &asking)?;
        Ok(Pin::Remote {
            name: name.familiar(),
            digest: digest.map(|digest| digest.to_string()),
            tls_verify,
        })
    }

    /// How a thing that was pinned differs now; `None` if it is what it was.
    pub fn moved(&self, ctx: &Context, pin: &Pin) -> Result<Option<String>> {
        let now = match pin {
            Pin::Name { name, .. } => self.pin_name(&name.parse()?)?,
            Pin::Image { id, .. } => match self.find_image(id)? {
                Some(image) => Pin::image(&image),
                None => return Ok(Some(format!("image {} is gone", id.get(7..19).unwrap_or(id)))),
            },
            Pin::Container { id, name, .. } => match self.container(id) {
                Ok(container) => self.pin_container(&container),
                Err(error) if error.kind() == Kind::NotFound => return Ok(Some(format!("container `{name}` is gone"))),
                Err(error) => return Err(error),
            },
            Pin::Remote { name, tls_verify, .. } => self.pin_remote(ctx, &name.parse()?, *tls_verify)?,
            Pin::Volume { name, .. } => self.pin_volume(name)?,
            Pin::File { path, .. } => Pin::file(Path::new(path)),
        };
        Ok(pin.difference(&now))
    }
}

impl Pin {
    /// An image as it is.
    pub fn image(image: &Image) -> Pin {
        let mut names: Vec<String> = image.references().iter().map(Reference::familiar).collect();
        let mut used_by: Vec<String> = image.used_by().iter().map(ToString::to_string).collect();
        names.sort();
        used_by.sort();
        Pin::Image {
            id: image.id().to_string(),
            names,
            used_by,
        }
    }

    /// A file as it is.
    pub fn file(path: &Path) -> Pin {
        let facts = path.metadata().ok();
        let file = facts.as_ref().filter(|facts| !facts.is_dir());
        let changed = file.and_then(|facts| facts.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        Pin::File {
            path: path.display().to_string(),
            is: facts
                .as_ref()
                .map(|facts| if facts.is_dir() { "directory" } else { "file" }.to_owned()),
            size: file.map_or(0, std::fs::Metadata::len),
            changed: changed.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}
