//! Images that a registry has, found by a word.

use serde::Deserialize;

use super::look::Asking;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::registry::Hit;
use crate::model::{Context, Reference, Secret};

/// Options of `image::search`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchOptions {
    /// The registry's host; Docker Hub by default.
    pub registry: Option<String>,
    /// The most that is listed; 25 by default, as with Docker.
    pub limit: Option<usize>,
    /// Whether the registry's certificate must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// Who asks.
    pub username: Option<String>,
    /// The password or access token.
    pub password: Option<Secret>,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
}

/// Docker's default.
const LIMIT: usize = 25;
const HUB: &str = "docker.io";

/// The registry that a term names, and what is searched for there.
pub fn search_place(term: &str) -> (&str, &str) {
    let is_host = |host: &str| {
        let named = term.parse::<Reference>();
        named.is_ok_and(|named| named.registry() == host)
    };
    match term.split_once('/') {
        Some((host, word)) if is_host(host) => (host, word),
        _ => (HUB, term),
    }
}

impl Host {
    /// The images of a registry that a word is found in, in its order, by names that can be pulled. The registry may stand before the word,
    /// as in `quay.io/podman`.
    ///
    /// Errors: `unsupported` where the registry tells nobody what it has, `unauthorized`.
    pub fn search_images(&self, ctx: &Context, term: &str, options: &SearchOptions) -> Result<Vec<Hit>> {
        let (host, word) = match &options.registry {
            Some(host) => (host.as_str(), term),
            None => search_place(term),
        };
        if word.trim().is_empty() {
            return Err(Error::invalid("nothing is said of what to search for").hint("name a part of the image's name"));
        }
        let asking = Asking {
            tls_verify: options.tls_verify,
            username: options.username.clone(),
            password: options.password.clone(),
            retries: options.retries,
            ..Asking::default()
        };
        let mut hits = self
            .whole(ctx, host, &asking)?
            .search(ctx, word.trim(), options.limit.unwrap_or(LIMIT))?;
        if host != HUB {
            // So that it can be pulled by what is told.
            hits.iter_mut()
                .for_each(|hit| hit.name = format!("{host}/{}", hit.name));
        }
        Ok(hits)
    }
}
