//! Programs that keep credentials: `docker-credential-NAME`, by the protocol of docker-credential-helpers.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::{Credential, Key, program};
use crate::error::{Error, Kind, Result};
use crate::model::{Context, Secret};

/// What helpers say where they have nothing.
const NOT_FOUND: &str = "credentials not found";

/// A helper that was found on this machine.
pub(super) struct Helper {
    name: String,
    program: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

impl Helper {
    /// The helper of that name, in one of the directories, never beside the files that name it.
    ///
    /// Errors: `invalid` for a name that is none, `not_found`.
    pub(super) fn find(name: &str, programs: &[PathBuf]) -> Result<Helper> {
        let is_name = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.is_empty() || !is_name(name) {
            let text = format!("`{}` is not the name of a credential helper", name.escape_debug());
            return Err(Error::invalid(text).hint("a name has letters, digits, `-` and `_`"));
        }
        let file = format!("docker-credential-{name}");
        let mut places = programs
            .iter()
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(&file));
        match places.find(|place| is_program(place)) {
            Some(program) => Ok(Helper {
                name: name.to_owned(),
                program,
            }),
            None => Err(Error::not_found(format!("the credential helper `{file}` is in no directory of PATH"))
                .target(file)
                .hint("install it, or take `credsStore` and `credHelpers` out of the file that asks for it and log in again")),
        }
    }

    /// What it has for a key.
    pub(super) fn get(&self, ctx: &Context, key: &Key) -> Result<Option<Credential>> {
        let said = match self.run(ctx, "get", key.server().as_bytes())? {
            Ok(said) => said,
            Err(complaint) if complaint.contains(NOT_FOUND) => return Ok(None),
            Err(complaint) => return Err(self.failed("get", key, &complaint)),
        };
        // What it said may be secret, and the parser may quote it.
        let answer: Answer = serde_json::from_slice(said.as_bytes())
            .map_err(|_| self.failed("get", key, "it did not answer with credentials in JSON"))?;
        let is_empty = answer.user.is_empty() && answer.secret.is_empty();
        Ok((!is_empty).then(|| Credential::of_user(answer.user, answer.secret)))
    }

    /// Has it keep a credential.
    pub(super) fn store(&self, ctx: &Context, key: &Key, credential: &Credential) -> Result<()> {
        let Some((user, secret)) = credential.as_user().map(|(user, secret)| (user, secret.expose())) else {
            return Ok(());
        };
        let input = json!({ "ServerURL": key.server(), "Username": user, "Secret": secret });
        self.run(ctx, "store", input.to_string().as_bytes())?
            .map(drop)
            .map_err(|complaint| self.failed("store", key, &complaint.replace(secret, "***")))
    }

    /// Has it forget what it has for a key.
    pub(super) fn erase(&self, ctx: &Context, key: &Key) -> Result<()> {
        self.run(ctx, "erase", key.server().as_bytes())?
            .map(drop)
            .map_err(|complaint| self.failed("erase", key, &complaint))
    }

    fn failed(&self, act: &str, key: &Key, complaint: &str) -> Error {
        let words: String = complaint.trim().chars().take(300).collect();
        let words = if words.is_empty() {
            "it did not say why".to_owned()
        } else {
            words
        };
        Error::new(
            Kind::Unauthorized,
            format!(
                "the credential helper `{}` failed to {act} `{key}`: {}",
                self.name,
                words.escape_debug()
            ),
        )
        .target(key.to_string())
        .hint(format!(
            "try `echo {} | {} {act}`",
            key.server(),
            self.program.display()
        ))
    }

    /// Runs it; gives what it said, which for a failure is why.
    fn run(&self, ctx: &Context, act: &str, input: &[u8]) -> Result<std::result::Result<String, String>> {
        let named = format!("the credential helper `{}`", self.name);
        let said = program::ask(ctx, &named, &self.program, &[act], Some(input))?;
        Ok(match said.is_success {
            true => Ok(said.words),
            false => Err(said.words),
        })
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}
