//! Who we are to registries: shown, kept, forgotten.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::registry::Credential;
use crate::images::registry::credentials::Key;
use crate::model::{Context, Reference, Secret};

impl Host {
    /// Shows a name and a password to a registry and, if it takes them, keeps them where Docker and Podman keep theirs. Says where.
    ///
    /// The name `<token>` goes with an identity token. `registry` may have a path, for those repositories alone. Errors:
    /// `unauthorized` if the registry does not take them; nothing is kept then.
    pub fn login(
        &self,
        ctx: &Context,
        registry: &str,
        user: &str,
        password: Secret,
        verify: Option<bool>,
    ) -> Result<String> {
        let key: Key = registry.parse()?;
        if user.is_empty() || user.contains(':') || password.is_empty() {
            let text = "a login needs a user name without colons, and a password";
            return Err(Error::invalid(text).target(registry));
        }
        let credential = Credential::of_user(user.to_owned(), password);
        self.show(ctx, &key, &credential, verify)?;
        if self.planned("registry::login", &key.to_string(), &format!("as {user}")) {
            return Ok("nowhere, in a dry run".to_owned());
        }
        self.ways().credentials.store(ctx, &key, &credential)
    }

    /// Whether the registry takes the credential: it is asked whether it is one.
    fn show(&self, ctx: &Context, key: &Key, credential: &Credential, verify: Option<bool>) -> Result<()> {
        let path = if key.path().is_empty() { "any" } else { key.path() };
        let somewhere: Reference = format!("{}/{path}", key.registry()).parse()?;
        let place = self.destination_of(&somewhere, verify)?;
        self.registry_at(ctx, &place, Some(credential.clone()))?.greet(ctx)
    }

    /// Forgets who we are to a registry, or to the repositories below one of its paths, wherever that is kept; says where it was.
    pub fn logout(&self, ctx: &Context, registry: &str) -> Result<Vec<String>> {
        let key: Key = registry.parse()?;
        let credentials = &self.ways().credentials;
        if self.planned("registry::logout", &key.to_string(), "") {
            return Ok(Vec::new());
        }
        credentials.erase(ctx, &key)
    }
}
