//! `secret::` and `Secret`: passwords and tokens that a script hands on without seeing them.

use std::path::Path;

use rhai::{Array, Dynamic, Map, export_module};
use serde_json::json;

use super::object::Object;
use super::session::Session;
use super::value::type_phrase;
use crate::error::{Error, Result};
use crate::{config, host, model};

/// A secret as scripts have it. Whatever is made of it by a script shows as `***`.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret(model::Secret);

impl Secret {
    /// The text, for the one who is to get it.
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A password that is given as text, or as a secret.
pub(super) fn given(value: &Dynamic) -> Result<model::Secret> {
    if let Some(secret) = value.read_lock::<Secret>() {
        return Ok(secret.0.clone());
    }
    let text = value.clone().into_string();
    text.map(model::Secret::new)
        .map_err(|_| Error::invalid(format!("a password is a `Secret` or text, got {}", type_phrase(value))))
}

/// An address that is given as text, or as a secret.
pub(super) fn address(value: &Dynamic) -> Result<model::Secret> {
    if let Some(secret) = value.read_lock::<Secret>() {
        return Ok(secret.0.clone());
    }
    let text = value.clone().into_string();
    text.map(model::Secret::new)
        .map_err(|_| Error::invalid(format!("an address is text or a `Secret`, got {}", type_phrase(value))))
}

/// JSON for one who is to get the secrets in it.
pub(super) fn json_with_secrets(value: &Dynamic) -> Result<serde_json::Value> {
    if let Some(secret) = value.read_lock::<Secret>() {
        return Ok(json!(secret.expose()));
    }
    if !is_in(value) {
        return super::value::to_json(value);
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().map(json_with_secrets).collect();
    }
    let fields = value
        .read_lock::<Map>()
        .map(|fields| fields.clone())
        .unwrap_or_default();
    let fields = fields
        .iter()
        .map(|(name, value)| Ok((name.to_string(), json_with_secrets(value)?)));
    fields
        .collect::<Result<serde_json::Map<_, _>>>()
        .map(serde_json::Value::Object)
}

/// Whether there is a secret in a value, however deep.
pub(super) fn is_in(value: &Dynamic) -> bool {
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().any(is_in);
    }
    if let Some(fields) = value.read_lock::<Map>() {
        return fields.values().any(is_in);
    }
    value.is::<Secret>()
}

/// The text without the line's end that editors and programs put there.
fn line(text: &str) -> Secret {
    Secret(model::Secret::new(text.trim_end_matches(['\n', '\r'])))
}

fn of_environment(name: &str) -> Result<Secret> {
    let value = config::variable(name).ok_or_else(|| {
        let text = format!("the environment variable `{name}` is not set");
        Error::not_found(text).target(name)
    })?;
    Ok(line(&value))
}

fn of_file(session: &Session, path: &str) -> Result<Secret> {
    let bytes = session.files().read(Path::new(path));
    let bytes = bytes.map_err(|error| error.target(path))?;
    // Where it is wrong the bytes are not told.
    let text = String::from_utf8(bytes).map_err(|_| Error::invalid(format!("`{path}` is not UTF-8")).target(path))?;
    Ok(line(&text))
}

fn of_command(session: &Session, words: &[String]) -> Result<Secret> {
    let text = host::secret_of(&session.context(), words)?;
    Ok(line(text.expose()))
}

fn no_text() -> Error {
    Error::invalid("a secret cannot be made part of a text")
        .hint("hand it on as it is: as a password, or to a container by the option `secrets` or by `stdin`")
}

impl Object for Secret {
    const NAME: &'static str = "Secret";
    const COLUMNS: &'static [&'static str] = &["SECRET"];

    fn text(&self) -> String {
        "***".to_owned()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.text()]
    }

    fn json(&self) -> serde_json::Value {
        json!(self.text())
    }
}

/// Where secrets come from.
#[export_module(manifest)]
pub mod functions {
    use super::{Secret, of_command, of_environment, of_file};
    use crate::bindings::prelude::*;
    use crate::bindings::subject;

    /// The secret in an environment variable. It is handed on, as a password or to a container, and shows as `***` wherever it is shown.
    ///
    /// Throws `not_found` when the variable is not set or empty.
    ///
    /// ```rhai
    /// let secret = secret::env("PATH");
    /// assert::eq(`${secret}`, "***");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn env(ctx: NativeCallContext, name: &str) -> Scripted<Secret> {
        native(&ctx, |_| of_environment(name))
    }

    /// The secret in a file, without the line break at its end.
    ///
    /// ```rhai
    /// let path = fs::temp_file();
    /// fs::write(path, "hunter2\n");
    /// print(secret::file(path));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn file(ctx: NativeCallContext, path: &str) -> Scripted<Secret> {
        native(&ctx, |session| of_file(session, path))
    }

    /// The secret that a program of this machine prints, without the line break at its end: that of a password manager.
    ///
    /// The words are handed to the program as they are, by no shell. It may ask for a passphrase, and take a minute. Throws `exit_status`
    /// if it fails.
    ///
    /// ```rhai
    /// let password = secret::cmd(["echo", "hunter2"]);
    /// assert::eq(password.to_string(), "***");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn cmd(ctx: NativeCallContext, words: Array) -> Scripted<Secret> {
        native(&ctx, |session| of_command(session, &subject::words(&words)?))
    }
}

/// What can be done with a secret, which is nothing that shows it.
#[export_module(manifest)]
pub mod methods {
    use super::{Secret, no_text};
    use crate::bindings::prelude::*;

    /// A secret cannot be put behind a text: what is made of it would show it. Throws `invalid`.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after_text(ctx: NativeCallContext, text: &str, secret: Secret) -> Scripted<String> {
        let _ = (text, secret);
        native(&ctx, |_| Err(no_text()))
    }

    /// A secret cannot be added to a text. Throws `invalid`.
    #[rhai_fn(name = "+=", return_raw)]
    pub fn added(ctx: NativeCallContext, text: &mut ImmutableString, secret: Secret) -> Scripted<()> {
        let _ = (text, secret);
        native(&ctx, |_| Err(no_text()))
    }

    /// A secret cannot be put before anything. Throws `invalid`.
    #[rhai_fn(name = "+", return_raw)]
    pub fn before_any(ctx: NativeCallContext, secret: Secret, other: Dynamic) -> Scripted<String> {
        let _ = (secret, other);
        native(&ctx, |_| Err(no_text()))
    }
}
