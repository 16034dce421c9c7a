//! One file of credentials: `auth.json`, `config.json` or the older `.dockercfg`. What is not understood in it stays.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Credential, Key, is_legacy};
use crate::error::{Context as _, Error, Result};
use crate::model::Secret;
use crate::sys::file;

/// The name in errors for what is in a variable.
const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

/// Base64 with or without the padding that some tools leave out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file says, and where that is.
pub(super) struct AuthFile {
    name: String,
    fields: Map<String, Value>,
    legacy: bool,
}

impl AuthFile {
    /// The file, if it is there. Errors: `invalid`, `denied`.
    pub(super) fn read(path: &Path) -> Result<Option<AuthFile>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause)
                if matches!(
                    cause.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(cause) => return Err(cause).during(|| format!("read the credentials in `{}`", path.display())),
        };
        AuthFile::parse(path.display().to_string(), &text, is_legacy(path)).map(Some)
    }

    /// What a variable has instead of a file.
    pub(super) fn from_environment(text: &Secret) -> Result<AuthFile> {
        AuthFile::parse(VARIABLE.to_owned(), text.expose(), false)
    }

    fn parse(name: String, text: &str, legacy: bool) -> Result<AuthFile> {
        // Docker takes an empty file for one that says nothing.
        let fields = match text.trim().is_empty() {
            true => Map::new(),
            // The parser's complaints about syntax quote nothing of the text, which has secrets.
            false => serde_json::from_str(text).map_err(|cause| {
                let wrong = cause.to_string();
                Error::invalid(format!("`{name}` is no valid file of credentials: {wrong}")).hint(way_out(&name))
            })?,
        };
        Ok(AuthFile { name, fields, legacy })
    }

    /// Where it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The helpers to ask for a key, the more special first; that for all registries knows whole registries only.
    pub(super) fn helpers(&self, key: &Key) -> Result<Vec<String>> {
        let (mut found, text) = (Vec::new(), |value: &Value| value.as_str().map(str::to_owned));
        if let Some(helpers) = self.table("credHelpers")? {
            let own = helpers.iter().find(|(name, _)| Key::of_file(name) == *key);
            found.extend(own.and_then(|(_, helper)| text(helper)));
        }
        if key.path().is_empty() && found.is_empty() {
            found.extend(self.fields.get("credsStore").and_then(text));
        }
        // An empty name switches a helper off.
        found.retain(|name| !name.is_empty());
        Ok(found)
    }

    /// What the file itself has for exactly this key.
    pub(super) fn credential(&self, key: &Key) -> Result<Option<Credential>> {
        let Some((name, entry)) = self.entry(key)? else {
            return Ok(None);
        };
        let text = |field: &str| {
            let value = entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
            value.map(str::to_owned)
        };
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::Token(Secret::new(token))));
        }
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::Identity(Secret::new(token))));
        }
        if let Some(auth) = text("auth") {
            let (user, password) = decoded(&auth).ok_or_else(|| {
                Error::invalid(format!(
                    "`{}` has an `auth` for `{name}` that is no user and password in base64",
                    self.name
                ))
                .hint(format!("log in again: `hoist registry login {key}`"))
            })?;
            return Ok(Some(Credential::of_user(user, password)));
        }
        Ok(text("username")
            .zip(text("password"))
            .map(|(user, password)| Credential::of_user(user, Secret::new(password))))
    }

    /// Whether the file itself has an entry for exactly this key.
    pub(super) fn has(&self, key: &Key) -> Result<bool> {
        Ok(self.entry(key)?.is_some())
    }

    /// Whether the file says anything of exactly this key: what there is, or who has it.
    pub(super) fn mentions(&self, key: &Key) -> Result<bool> {
        let mut helped = self.table("credHelpers")?.into_iter().flatten();
        Ok(self.has(key)? || helped.any(|(name, _)| Key::of_file(name) == *key))
    }

    fn entry(&self, key: &Key) -> Result<Option<(&String, &Map<String, Value>)>> {
        let auths = match self.legacy {
            true => Some(&self.fields),
            false => self.table("auths")?,
        };
        let mut entries = auths.into_iter().flatten();
        let found = entries.find(|(name, _)| Key::of_file(name) == *key);
        Ok(found.and_then(|(name, entry)| Some((name, entry.as_object()?))))
    }

    fn table(&self, name: &str) -> Result<Option<&Map<String, Value>>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(table)) => Ok(Some(table)),
            Some(_) => {
                Err(Error::invalid(format!("`{}`: `{name}` must be an object", self.name)).hint(way_out(&self.name)))
            }
        }
    }

    fn auths(&mut self) -> Result<&mut Map<String, Value>> {
        if self.legacy {
            return Ok(&mut self.fields);
        }
        self.table("auths")?;
        let auths = self.fields.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        auths
            .as_object_mut()
            .ok_or_else(|| Error::internal("a table that is none"))
    }

    /// Sets what the file itself has for a key.
    pub(super) fn set(&mut self, key: &Key, credential: &Credential) -> Result<()> {
        let known = self.entry(key)?.map(|(name, _)| name.clone());
        let entry = match credential {
            Credential::Anonymous => json!({}),
            Credential::Basic { user, secret } => {
                json!({ "auth": BASE64.encode(format!("{user}:{}", secret.expose())) })
            }
            Credential::Identity(token) => json!({ "identitytoken": token.expose() }),
            Credential::Token(token) => json!({ "registrytoken": token.expose() }),
        };
        self.auths()?.insert(known.unwrap_or_else(|| key.server()), entry);
        Ok(())
    }

    /// Takes away what the file itself has for a key. The choice of a helper stays.
    pub(super) fn remove(&mut self, key: &Key) -> Result<()> {
        self.auths()?.retain(|name, _| Key::of_file(name) != *key);
        Ok(())
    }
}

/// Changes a file, or makes it: whole or not at all, readable for its owner only, while no other process of this program does.
pub(super) fn change(path: &Path, edit: impl FnOnce(&mut AuthFile) -> Result<()>) -> Result<()> {
    let what = || format!("write the credentials to `{}`", path.display());
    // What is linked to, as from a directory of settings under version control, stays linked to.
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(_) => path.to_owned(),
    };
    let dir = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .during(what)?;
    let _alone = file::lock(File::open(&dir).during(what)?, false).during(what)?;
    let mut auth = match AuthFile::read(&path)? {
        Some(file) => file,
        None => AuthFile::parse(path.display().to_string(), "", is_legacy(&path))?,
    };
    edit(&mut auth)?;
    replace(&path, &dir, &bytes(&auth.fields)).during(what)
}

fn replace(path: &Path, dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut new = tempfile::Builder::new().prefix(".hoist-").tempfile_in(dir)?;
    new.write_all(bytes)?;
    new.as_file().set_permissions(PermissionsExt::from_mode(0o600))?;
    if let Ok(facts) = path.metadata() {
        std::os::unix::fs::fchown(new.as_file(), Some(facts.uid()), Some(facts.gid()))?;
    }
    new.as_file().sync_all()?;
    new.persist(path)?;
    file::sync_directory(dir)
}

/// As Docker writes it.
fn bytes(fields: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, format);
    fields.serialize(&mut writer).expect("text keys and values are JSON");
    bytes.push(b'\n');
    bytes
}

/// The name ends at the first colon; a password may have more of them. Docker pads passwords with zeros.
fn decoded(auth: &str) -> Option<(String, Secret)> {
    let text = String::from_utf8(BASE64.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

fn way_out(name: &str) -> String {
    match name {
        VARIABLE => format!("correct or unset {VARIABLE}"),
        file => format!("correct or remove `{file}`, or name another file in REGISTRY_AUTH_FILE"),
    }
}
