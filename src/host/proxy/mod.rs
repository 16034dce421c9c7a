//! A registry that stands before another: what clients want is had from there once, verified, kept, and handed out from then on.
//!
//! What is kept belongs to no name and no repository of this store, and is told apart by the other registry's names for it. Blobs are
//! handed out for a repository only if they were fetched from it: a manifest that names a blob of somebody else's opens nothing.

mod blobs;
mod manifests;
mod prune;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Host;
use crate::error::{Error, Kind, Result};
use crate::images::Relay;
use crate::images::registry::Registry;
use crate::model::{Context, Digest, Reference, Repository};

pub use blobs::ProxiedBlob;
pub use manifests::ProxiedManifest;
pub use prune::{CacheFilter, CachedManifest};

/// How long who we are to the other registry is remembered for a repository.
const KNOWN: Duration = Duration::from_secs(300);
/// How long the other registry may take to say whether something changed, where there is something to hand out without its word.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is left alone after it gave no answer, where there is something to hand out without it.
const TROUBLED: Duration = Duration::from_secs(5);
/// How exactly is known when something was wanted: a row is not written for each request.
const EXACT: SignedDuration = SignedDuration::from_hours(1);
/// Repositories and names that are remembered at once.
const MOST: usize = 10_000;

/// A registry seen through what is kept of it. Clones are the same.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    host: Host,
    /// The registry, with the path before its repositories if there is one.
    upstream: String,
    ttl: Duration,
    tell: Box<dyn Fn(&str) + Send + Sync>,
    sources: Mutex<HashMap<String, (Instant, Source)>>,
    turns: Mutex<HashMap<String, Arc<Turn>>>,
    relays: Mutex<HashMap<(Repository, Digest), Arc<Relay>>>,
    /// When it gave no answer last, if it gave none since.
    trouble: Mutex<Option<Instant>>,
}

/// Those who ask for one thing at the same time, one of whom asks for all; and when the answer came.
type Turn = Mutex<Option<Instant>>;

/// A repository at the other registry.
#[derive(Clone)]
struct Source {
    /// A name of it.
    reference: Reference,
    repository: Repository,
    registry: Registry,
    /// Its path there.
    path: String,
}

impl Host {
    /// The registry `upstream`, such as `docker.io` or `registry.lan:5000/team`, through what is kept of it here. What a tag stands for
    /// is asked again after `ttl`; `tell` is told when it gives no answer, and when it does again.
    ///
    /// Errors: `invalid` for what is no registry.
    pub fn proxy(&self, upstream: &str, ttl: Duration, tell: impl Fn(&str) + Send + Sync + 'static) -> Result<Proxy> {
        let bad = || {
            Error::invalid(format!("`{}` is no registry to stand before", upstream.escape_debug()))
                .hint("name its host, and its port if it has one, such as `docker.io` or `registry.lan:5000`")
        };
        let plain = upstream.strip_prefix("https://").or(upstream.strip_prefix("http://"));
        let plain = plain.unwrap_or(upstream).trim_end_matches('/');
        let plain = match plain {
            "registry-1.docker.io" | "index.docker.io" => "docker.io",
            plain => plain,
        };
        let named: Reference = format!("{plain}/any/name").parse().map_err(|_| bad())?;
        // What is no host by its form would be a repository of Docker's registry.
        if !format!("{plain}/").starts_with(&format!("{}/", named.registry())) {
            return Err(bad());
        }
        self.destination_of(&named, None)?;
        Ok(Proxy(Arc::new(Inner {
            host: self.clone(),
            upstream: plain.to_owned(),
            ttl,
            tell: Box::new(tell),
            sources: Mutex::default(),
            turns: Mutex::default(),
            relays: Mutex::default(),
            trouble: Mutex::default(),
        })))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// The registry it stands before, as it was named.
    pub fn upstream(&self) -> &str {
        &self.0.upstream
    }

    /// A repository by the name a client has for it. No mirror is asked: this may be one.
    fn source(&self, ctx: &Context, name: &str) -> Result<Source> {
        if let Some((since, source)) = lock(&self.0.sources).get(name)
            && since.elapsed() < KNOWN
        {
            return Ok(source.clone());
        }
        let reference: Reference = format!("{}/{name}:latest", self.0.upstream).parse()?;
        let place = self.0.host.destination_of(&reference, None)?;
        let source = Source {
            repository: Repository::of(&reference),
            registry: self.0.host.registry_at(ctx, &place, None)?,
            path: place.repository,
            reference,
        };
        let mut sources = lock(&self.0.sources);
        if sources.len() >= MOST {
            sources.clear();
        }
        sources.insert(name.to_owned(), (Instant::now(), source.clone()));
        Ok(source)
    }

    /// Where those wait who want the same thing.
    fn turn(&self, what: String) -> Arc<Turn> {
        let mut turns = lock(&self.0.turns);
        if turns.len() >= MOST {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        turns.entry(what).or_default().clone()
    }

    /// Whether the other registry gave no answer a moment ago.
    fn is_troubled(&self) -> bool {
        lock(&self.0.trouble).is_some_and(|since| since.elapsed() < TROUBLED)
    }

    /// Notes that the other registry gave an answer, whatever it was.
    fn answered(&self) {
        if lock(&self.0.trouble).take().is_some() {
            (self.0.tell)(&format!("`{}` answers again", self.0.upstream));
        }
    }

    /// Notes an error; whether it means that nobody could say what the other registry has.
    fn is_no_answer(&self, ctx: &Context, error: &Error) -> bool {
        let is_none = matches!(error.kind(), Kind::Network | Kind::RateLimited | Kind::Timeout) && !ctx.is_done();
        if is_none {
            let was_well = lock(&self.0.trouble).replace(Instant::now()).is_none();
            if was_well {
                let upstream = &self.0.upstream;
                (self.0.tell)(&format!(
                    "`{upstream}` gives no answer, so what is kept of it is handed out: {}",
                    error.message()
                ));
            }
        } else if error.http_status().is_some() {
            self.answered();
        }
        is_none
    }

    /// A page of the tags of a repository for the query of a client, with the query of the next page; where the registry gives no answer,
    /// all those that are kept, and true.
    ///
    /// Errors: those of the registry.
    pub fn tags(&self, ctx: &Context, name: &str, query: &str) -> Result<(Vec<String>, Option<String>, bool)> {
        let source = self.source(ctx, name)?;
        match source.registry.page_of_tags(ctx, &source.path, query) {
            Ok((tags, next)) => {
                self.answered();
                Ok((tags, next, false))
            }
            Err(error) => {
                let kept = self.0.host.store().read(|tx| tx.cached_tags())?.into_iter();
                let own = kept.filter(|(name, _)| Repository::of(name) == source.repository);
                let tags: Vec<String> = own.filter_map(|(name, _)| name.tag().map(str::to_owned)).collect();
                match self.is_no_answer(ctx, &error) && !tags.is_empty() {
                    true => Ok((tags, None, true)),
                    false => Err(error),
                }
            }
        }
    }

    /// What refers to a manifest, as descriptors: of one type, or of all.
    pub fn referrers(&self, ctx: &Context, name: &str, digest: &Digest, kind: Option<&str>) -> Result<Vec<Value>> {
        let source = self.source(ctx, name)?;
        source.registry.referrers(ctx, &source.path, digest, kind)
    }

    /// The repositories of which something is kept, by the names that clients have for them, in order.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let rows = self.0.host.store().read(|tx| tx.cached_manifests())?;
        let own = rows.iter().filter_map(|row| {
            let rest = row.repository.as_str().strip_prefix(&self.0.upstream)?;
            rest.strip_prefix('/').map(str::to_owned)
        });
        let mut names: Vec<String> = own.collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// Whether that something was wanted is to be written down.
fn is_worth_noting(used: Timestamp, now: Timestamp) -> bool {
    now.duration_since(used) > EXACT
}
