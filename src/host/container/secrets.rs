//! Files that only a container sees. What is given in a script is kept in this process's memory, for as long as it lasts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::PoisonError;

use serde::Deserialize;

use super::Container;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{Bytes, ContainerId, Words};
use crate::runtime::{Contents, Secret};

/// The option `secrets`.
#[derive(Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a map of names and contents, or an array of `NAME=/path/of/file`"
)]
pub enum SecretOptions {
    /// Contents by name.
    Given(BTreeMap<String, Bytes>),
    /// Files of the host, as `/path/NAME` or `NAME=/path`.
    Files(Words),
}

impl Default for SecretOptions {
    fn default() -> SecretOptions {
        SecretOptions::Files(Words::default())
    }
}

impl std::fmt::Debug for SecretOptions {
    /// Without what is in them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretOptions::Given(given) => f.debug_set().entries(given.keys()).finish(),
            SecretOptions::Files(files) => files.fmt(f),
        }
    }
}

impl SecretOptions {
    /// All of them, without what is in them. Errors: `invalid`.
    pub(super) fn secrets(&self) -> Result<Vec<Secret>> {
        let secrets: Vec<Secret> = match self {
            SecretOptions::Given(given) => {
                let name = |name: &String| Secret {
                    name: name.clone(),
                    file: None,
                };
                given.keys().map(name).collect()
            }
            SecretOptions::Files(files) => files.0.iter().map(|text| file(text)).collect(),
        };
        for (at, secret) in secrets.iter().enumerate() {
            secret.check()?;
            if secrets[..at].iter().any(|other| other.name == secret.name) {
                return Err(Error::invalid(format!("there are two secrets `{}`", secret.name)));
            }
        }
        Ok(secrets)
    }

    fn contents(&self) -> Option<Contents> {
        match self {
            SecretOptions::Given(given) if !given.is_empty() => {
                let given = given.iter().map(|(name, bytes)| (name.clone(), bytes.0.clone()));
                Some(Contents(given.collect()))
            }
            _ => None,
        }
    }
}

fn file(text: &str) -> Secret {
    let (name, path) = text
        .split_once('=')
        .filter(|(name, _)| !name.contains('/'))
        .unwrap_or_else(|| {
            let name = Path::new(text).file_name().and_then(|name| name.to_str());
            (name.unwrap_or_default(), text)
        });
    Secret {
        name: name.to_owned(),
        file: Some(path.into()),
    }
}

impl Host {
    /// Keeps what is in the secrets of a container, until it is started.
    pub(super) fn remember_secrets(&self, id: &ContainerId, secrets: &SecretOptions) {
        if let Some(contents) = secrets.contents() {
            let mut known = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(id.clone(), contents);
        }
    }
}

impl Container {
    /// What is in its secrets, as far as it is in no files. Errors: `conflict` if this process does not know.
    pub(super) fn secrets(&self) -> Result<Contents> {
        let secrets = &self.facts.recipe.secrets;
        let known = self.host.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = known.get(self.id()).cloned().unwrap_or_default();
        contents
            .check(secrets)
            .map(|()| contents)
            .map_err(|error| error.target(self.name()))
    }
}
