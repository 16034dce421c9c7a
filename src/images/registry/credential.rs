//! Who somebody is to a registry.

use crate::model::Secret;

/// What is shown to a registry, or to the service that hands out its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Credential {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user and a password or access token.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        secret: Secret,
    },
    /// A token that is exchanged for others (`identitytoken` of Docker's `config.json`; OAuth 2's `refresh_token`).
    Identity(Secret),
    /// A token that the registry itself takes (`registrytoken` of Docker's `config.json`).
    Token(Secret),
}

impl Credential {
    /// Whether it says nothing.
    pub fn is_anonymous(&self) -> bool {
        *self == Credential::Anonymous
    }
}
