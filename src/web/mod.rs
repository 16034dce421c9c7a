//! HTTP, below everybody who speaks it: what waits for the network and ends with its context, what is tried again, and what a failure
//! is called. [`Client`] asks what a script wants to know; registries have a client of their own, in `images`.

mod client;
mod reactor;
mod retry;
mod trouble;

use crate::config::Proxies;
use crate::error::{Error, Result};

pub use client::{Answer, Client, Permit, Request};
pub use reactor::Reactor;
pub use retry::{Retry, is_transient, retry_after};
pub use trouble::{Trouble, of_client};

/// What this program calls itself.
pub const AGENT: &str = concat!("hoist/", env!("CARGO_PKG_VERSION"));

/// The proxies as a client takes them. Errors: `invalid` for one that is no URL.
pub fn proxies(proxies: &Proxies) -> Result<Vec<reqwest::Proxy>> {
    let bad = |cause: reqwest::Error| Error::invalid(format!("the proxy is not valid: {}", cause.without_url()));
    let local = "localhost,127.0.0.0/8,::1";
    let none = proxies.none.as_ref();
    let none = none.map_or_else(|| local.to_owned(), |none| format!("{local},{none}"));
    let none = reqwest::NoProxy::from_string(&none);
    let http = proxies.http.as_ref().map(reqwest::Proxy::http);
    let https = proxies.https.as_ref().map(reqwest::Proxy::https);
    let all = [http, https].into_iter().flatten();
    all.map(|proxy| Ok(proxy.map_err(bad)?.no_proxy(none.clone())))
        .collect()
}
