//! What credentials are for: a registry, or some of its repositories.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::model::Reference;

/// What Docker calls its own registry in files and to helpers.
const DOCKER_SERVER: &str = "https://index.docker.io/v1/";

/// A registry, as `ghcr.io` or `localhost:5000`, or the repositories below a path of it, as `ghcr.io/team`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    registry: String,
    path: String,
}

impl Key {
    /// The key for a repository of a registry; for all of it, where the path is empty.
    pub fn new(registry: &str, path: &str) -> Key {
        Key {
            registry: plain_host(registry).to_owned(),
            path: path.to_owned(),
        }
    }

    /// The registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry; empty for all of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// This key, then those for more and more repositories, at last the whole registry.
    pub(super) fn widening(&self) -> impl Iterator<Item = Key> + '_ {
        let shorter = |key: &Key| {
            let path = match key.path.rfind('/') {
                Some(end) => &key.path[..end],
                None if key.path.is_empty() => return None,
                None => "",
            };
            Some(Key {
                registry: key.registry.clone(),
                path: path.to_owned(),
            })
        };
        std::iter::successors(Some(self.clone()), shorter)
    }

    /// What a key of a file means: Docker once wrote addresses, whose path says nothing.
    pub(super) fn of_file(text: &str) -> Key {
        let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let name = address.unwrap_or(text);
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let path = path.trim_end_matches('/');
        Key {
            registry: plain_host(host).to_owned(),
            path: match address.is_some() || matches!(path, "v1" | "v2") {
                true => String::new(),
                false => path.to_owned(),
            },
        }
    }

    /// The name in files and for helpers: Docker's own registry is known by an address.
    pub(super) fn server(&self) -> String {
        match self.registry == "docker.io" && self.path.is_empty() {
            true => DOCKER_SERVER.to_owned(),
            false => self.to_string(),
        }
    }
}

impl FromStr for Key {
    type Err = Error;

    /// A registry or a path below it, as people write it. Errors: `invalid`.
    fn from_str(text: &str) -> Result<Key> {
        let key = Key::of_file(text.trim());
        let bad = || {
            Error::invalid(format!("`{}` is not a registry", text.escape_debug()))
                .target(text)
                .hint("write its host, with its port if that is not 443: `ghcr.io`, `localhost:5000`")
        };
        // A reference's rules for hosts and paths are those that count; `docker.io` needs no dot to be one.
        let path = if key.path.is_empty() { "x" } else { &key.path };
        let whole: Reference = format!("{}/{path}", key.registry).parse().map_err(|_| bad())?;
        match whole.registry() == key.registry && !text.contains('@') && !path.contains(':') {
            true => Ok(key),
            false => Err(bad()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.registry),
            false => write!(f, "{}/{}", self.registry, self.path),
        }
    }
}

/// Docker's registry has several names.
fn plain_host(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}
