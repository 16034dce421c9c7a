//! Who someone is to a registry: what `docker login` and `podman login` left in their files and helpers, read and written back.
//!
//! Formats: docker-config-json(5), containers-auth.json(5), and the protocol of docker-credential-helpers.

mod file;
mod helper;
mod key;
pub(crate) mod program;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::Credential;
use crate::config::Registries;
use crate::error::{Context as _, Error, Result};
use crate::model::Context;
use file::AuthFile;
use helper::Helper;
pub use key::Key;

/// All places where credentials are, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    places: Registries,
}

impl Credentials {
    /// Those that the settings name. Nothing is read before [`Credentials::find`].
    pub fn new(places: &Registries) -> Credentials {
        Credentials { places: places.clone() }
    }

    /// The credential for a repository, or for a whole registry.
    ///
    /// The environment comes before files, and of the files the first that knows one decides: within it the key that says most of the
    /// repository (`host/team/app` before `host`), for each key `credHelpers`, `credsStore`, `auths`. Errors: `invalid` for a file
    /// that is broken, `not_found` for a helper that is not there, `timeout`.
    pub fn find(&self, ctx: &Context, wanted: &Key) -> Result<Option<Credential>> {
        if let Some(text) = &self.places.environment
            && let Some(found) = self.find_in(ctx, &AuthFile::from_environment(text)?, wanted)?
        {
            return Ok(Some(found));
        }
        for path in &self.places.credentials {
            if let Some(file) = AuthFile::read(path)?
                && let Some(found) = self.find_in(ctx, &file, wanted)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(&self, ctx: &Context, file: &AuthFile, wanted: &Key) -> Result<Option<Credential>> {
        for key in wanted.widening() {
            let of_file = || format!("look for `{key}` as `{}` says", file.name());
            for helper in file.helpers(&key)? {
                let helper = Helper::find(&helper, &self.places.programs).during(of_file)?;
                if let Some(found) = helper.get(ctx, &key).during(of_file)? {
                    return Ok(Some(found));
                }
            }
            if let Some(found) = file.credential(&key)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps a credential for later: where the registry is known already, else where Docker keeps its own, which every tool reads.
    /// Says where it went.
    ///
    /// A file is replaced as a whole, with mode 0600 and all it had besides; where it names a helper, that gets the credential.
    pub fn store(&self, ctx: &Context, key: &Key, credential: &Credential) -> Result<String> {
        let path = self.place_of(key)?;
        let helper = match AuthFile::read(&path)? {
            Some(file) => file.helpers(key)?.into_iter().next(),
            None => None,
        };
        if let Some(name) = helper {
            Helper::find(&name, &self.places.programs)?.store(ctx, key, credential)?;
            return Ok(format!("the helper `{name}`"));
        }
        file::change(&path, |file| file.set(key, credential))?;
        Ok(format!("`{}`", path.display()))
    }

    /// Takes the credential for exactly this registry or repository away, wherever it is kept; says from where.
    pub fn erase(&self, ctx: &Context, key: &Key) -> Result<Vec<String>> {
        let mut erased = Vec::new();
        for path in &self.places.credentials {
            let Some(file) = AuthFile::read(path)? else { continue };
            for name in file.helpers(key)? {
                let helper = Helper::find(&name, &self.places.programs)?;
                if helper.get(ctx, key)?.is_some() {
                    helper.erase(ctx, key)?;
                    erased.push(format!("the helper `{name}`"));
                }
            }
            if file.has(key)? {
                file::change(path, |file| file.remove(key))?;
                erased.push(format!("`{}`", path.display()));
            }
        }
        Ok(erased)
    }

    /// The file that knows a registry, or else the one for new ones.
    fn place_of(&self, key: &Key) -> Result<PathBuf> {
        for path in &self.places.credentials {
            if let Some(file) = AuthFile::read(path)?
                && !is_legacy(path)
                && file.mentions(key)?
            {
                return Ok(path.clone());
            }
        }
        self.places.login.clone().ok_or_else(|| {
            Error::invalid("there is no place to keep credentials in")
                .hint("set HOME, or name a file in REGISTRY_AUTH_FILE")
        })
    }
}

/// Whether it is of the form that Docker wrote before 1.7: what is below `auths` today is all of it.
fn is_legacy(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == ".dockercfg")
}
