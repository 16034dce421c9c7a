//! The proxies that stand between this machine and others.

use super::variable;

/// Proxies by what they are for, as URLs. None is used for this machine itself.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: Option<String>,
    /// For TLS.
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached without one, separated by commas.
    pub none: Option<String>,
}

impl Proxies {
    /// Those of the environment, by the names most programs know: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in capitals or not.
    pub fn of_environment() -> Proxies {
        let named = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase()));
        Proxies {
            http: named("HTTP_PROXY"),
            https: named("HTTPS_PROXY"),
            none: named("NO_PROXY"),
        }
    }
}
