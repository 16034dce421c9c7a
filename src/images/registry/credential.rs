//! Who somebody is to a registry.

use crate::error::{Error, Result};
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

/// The user whose password is an identity token, in credential helpers and everywhere else.
const TOKEN_USER: &str = "<token>";

impl Credential {
    /// A user and a password. The user `<token>` says that the password is an identity token, as credential helpers put it.
    pub fn of_user(user: String, secret: Secret) -> Credential {
        match user == TOKEN_USER {
            true => Credential::Identity(secret),
            false => Credential::Basic { user, secret },
        }
    }

    /// What the options `username` and `password` say; `None` without them. Errors: `invalid` for one without the other.
    pub fn given(user: Option<&str>, secret: Option<&Secret>) -> Result<Option<Credential>> {
        match (user, secret) {
            (Some(user), Some(secret)) => Ok(Some(Credential::of_user(user.to_owned(), secret.clone()))),
            (None, None) => Ok(None),
            _ => Err(Error::invalid("`username` and `password` go together")),
        }
    }

    /// User and password as helpers have them; `None` for nobody.
    pub(super) fn as_user(&self) -> Option<(&str, &Secret)> {
        match self {
            Credential::Anonymous => None,
            Credential::Basic { user, secret } => Some((user, secret)),
            Credential::Identity(secret) | Credential::Token(secret) => Some((TOKEN_USER, secret)),
        }
    }

    /// Whether it says nothing.
    pub fn is_anonymous(&self) -> bool {
        *self == Credential::Anonymous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i31_options_say_who_asks_as_helpers_do() {
        let secret = Secret::new("s");
        let given = |user| Credential::given(user, Some(&secret));
        assert_eq!(
            given(Some("<token>")).unwrap(),
            Some(Credential::Identity(secret.clone()))
        );
        let user = Credential::of_user("ann".to_owned(), secret.clone());
        assert_eq!(given(Some("ann")).unwrap(), Some(user));
        assert_eq!(Credential::given(None, None).unwrap(), None);
        assert!(given(None).is_err() && Credential::given(Some("ann"), None).is_err());
    }
}
