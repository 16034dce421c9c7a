//! HTTP as the rest of the crate can use it: blocking calls that end with their context, over one client that is made when it is first
//! needed. What goes to which host is decided above.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::Body;
use super::credential::Credential;
use super::endpoint::{Endpoint, Security};
use super::failure::Failure;
use super::pace::Pace;
use super::session::Session;
use crate::config::{Limits, Proxies};
use crate::error::{Error, Result};
use crate::model::{Context, Secret};
use crate::web::{Reactor, Retry, proxies};

/// How connections are made, and how much is tried.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Until a connection must be there, TLS included.
    pub connect: Duration,
    /// In which something must come, or go.
    pub idle: Duration,
    /// Blobs that are on their way from or to one host at once; documents have as many places of their own.
    pub per_host: usize,
    /// What is done about failures.
    pub retry: Retry,
    /// By which proxies others are reached.
    pub proxies: Proxies,
    /// What answers may cost.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            per_host: 6,
            retry: Retry::default(),
            proxies: Proxies::default(),
            limits: Limits::default(),
        }
    }
}

/// All connections of this process, and what is known of those they lead to. Clones are the same.
#[derive(Clone)]
pub struct Transport(Arc<Inner>);

struct Inner {
    settings: Settings,
    reactor: Reactor,
    clients: Mutex<HashMap<Trust, Client>>,
    places: Mutex<HashMap<(String, Weight), Arc<Semaphore>>>,
    sessions: Mutex<HashMap<(Endpoint, Credential), Arc<Session>>>,
}

/// What a client accepts from whom it talks to.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Trust {
    /// No TLS at all.
    Plain,
    /// Any certificate.
    Any(Option<Secret>),
    /// Certificates of the system's authorities and these.
    Verified(Vec<u8>, Option<Secret>),
}

/// What a request is about: a document, or a blob. The ones do not wait for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Weight {
    Document,
    Blob,
}

/// One request to one address.
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: HeaderMap,
    pub(super) body: &'a Body,
    pub(super) weight: Weight,
}

/// What came back, its body still on the way; it has its place at the host for as long.
pub(super) struct Answer {
    pub(super) response: reqwest::Response,
    pace: Pace,
    _place: OwnedSemaphorePermit,
}

impl Transport {
    /// Nothing is done before the first request.
    pub fn new(settings: Settings) -> Transport {
        Transport(Arc::new(Inner {
            settings,
            reactor: Reactor::default(),
            clients: Mutex::default(),
            places: Mutex::default(),
            sessions: Mutex::default(),
        }))
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What is known of a registry to one who shows these credentials.
    pub(super) fn session(&self, endpoint: Endpoint, credential: Credential) -> Arc<Session> {
        let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.entry((endpoint.clone(), credential.clone()));
        Arc::clone(session.or_insert_with(|| Arc::new(Session::new(endpoint, credential))))
    }

    /// Does work that waits for the network; it is dropped where it stands when the context ends.
    pub(super) fn wait<T>(&self, ctx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.0.reactor.wait(ctx, work)
    }

    /// The same for work that may still come to its end within some time of the context's.
    pub(super) fn wait_out<T>(
        &self,
        ctx: &Context,
        grace: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.0.reactor.wait_out(ctx, grace, work)
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn exchange(&self, endpoint: &Endpoint, call: Call<'_>) -> std::result::Result<Answer, Failure> {
        let client = self.client(endpoint, call.url).map_err(Failure::lasting)?;
        let place = self.place(call.url, call.weight).await;
        let mut headers = call.headers;
        // Digests are of the bytes as they are kept; a proxy that compresses them again would break all.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let moved = Arc::new(AtomicU64::new(0));
        let mut request = client.request(call.method.clone(), call.url.clone()).headers(headers);
        if let Some(body) = call.body.start(&moved).map_err(Failure::lasting)? {
            request = request.body(body);
        }
        let response = self.unless_idle(call.url, (&moved, call.body.length()), request.send());
        let response = response.await?.map_err(|cause| Failure::of_http(cause, call.url))?;
        Ok(Answer {
            response,
            pace: Pace::new(&self.settings().limits),
            _place: place,
        })
    }

    /// The work's result, or a failure once nothing moved for too long, or too little of all that is to go.
    async fn unless_idle<T>(
        &self,
        url: &Url,
        (moved, all): (&AtomicU64, Option<u64>),
        work: impl Future<Output = T>,
    ) -> std::result::Result<T, Failure> {
        let (mut work, mut before, mut silent) = (pin!(work), 0, Duration::ZERO);
        let (idle, mut pace) = (self.settings().idle, Pace::new(&self.settings().limits));
        loop {
            let began = Instant::now();
            let patience = idle.saturating_sub(silent).min(pace.left());
            if let Ok(value) = tokio::time::timeout(patience, work.as_mut()).await {
                return Ok(value);
            }
            let (now, waited) = (moved.load(Ordering::Relaxed), began.elapsed());
            silent = if now == before { silent + waited } else { Duration::ZERO };
            if silent >= idle {
                return Err(Failure::idle(idle));
            }
            pace.count(waited, now - before);
            before = now;
            // Once all is sent, the server may take its time with it.
            if let Some(rate) = pace.is_slow()
                && all.is_some_and(|all| now < all)
            {
                return Err(Failure::slow(url, "takes", rate));
            }
        }
    }

    /// The next bytes of an answer's body; `None` at its end.
    pub(super) async fn chunk(&self, answer: &mut Answer) -> std::result::Result<Option<bytes::Bytes>, Failure> {
        let (url, idle) = (answer.response.url().clone(), self.settings().idle);
        let mut silent = Duration::ZERO;
        loop {
            if let Some(rate) = answer.pace.is_slow() {
                return Err(Failure::slow(&url, "sends", rate));
            }
            let began = Instant::now();
            let patience = idle.saturating_sub(silent).min(answer.pace.left());
            let chunk = tokio::time::timeout(patience, answer.response.chunk()).await;
            let came = chunk.as_ref().ok().and_then(|chunk| chunk.as_ref().ok()?.as_ref());
            // Only what is waited for counts: whoever takes the bytes may be slow as well.
            answer
                .pace
                .count(began.elapsed(), came.map_or(0, |bytes| bytes.len() as u64));
            silent += began.elapsed();
            match chunk {
                Ok(chunk) => return chunk.map_err(|cause| Failure::of_http(cause, &url)),
                Err(_) if silent >= idle => return Err(Failure::idle(idle)),
                Err(_) => {}
            }
        }
    }

    async fn place(&self, url: &Url, weight: Weight) -> OwnedSemaphorePermit {
        let host = format!(
            "{}:{}",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or(0)
        );
        let places = {
            let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
            let of_host = places.entry((host, weight));
            Arc::clone(of_host.or_insert_with(|| Arc::new(Semaphore::new(self.settings().per_host))))
        };
        places.acquire_owned().await.expect("it is never closed")
    }

    /// The client for a URL: what an endpoint's settings say of trust holds for its own host and no other.
    fn client(&self, endpoint: &Endpoint, url: &Url) -> Result<Client> {
        let is_own = endpoint
            .base(url.scheme())
            .is_ok_and(|base| super::endpoint::same_origin(&base, url));
        let trust = match (url.scheme(), is_own, endpoint.security) {
            ("http", ..) => Trust::Plain,
            (_, false, _) => Trust::Verified(Vec::new(), None),
            (_, true, Security::Verified) => Trust::Verified(endpoint.authorities.clone(), endpoint.identity.clone()),
            (_, true, _) => Trust::Any(endpoint.identity.clone()),
        };
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        let client = self
            .new_client(&trust)
            .map_err(|error| error.during("prepare connections"))?;
        clients.insert(trust, client.clone());
        Ok(client)
    }

    fn new_client(&self, trust: &Trust) -> Result<Client> {
        // The first one stays; all that are set are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(crate::web::AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.settings().connect)
            .pool_idle_timeout(Duration::from_secs(30))
            .no_proxy();
        for proxy in proxies(&self.settings().proxies)? {
            builder = builder.proxy(proxy);
        }
        let identity = match trust {
            Trust::Plain => None,
            Trust::Any(identity) | Trust::Verified(_, identity) => identity.as_ref(),
        };
        if let Some(identity) = identity {
            let identity = Identity::from_pem(identity.expose().as_bytes());
            builder = builder.identity(
                identity.map_err(|_| Error::invalid("the client certificate and its key are not valid PEM"))?,
            );
        }
        builder = match trust {
            Trust::Plain => builder.tls_certs_only([]),
            Trust::Any(_) => builder.tls_danger_accept_invalid_certs(true),
            Trust::Verified(authorities, _) => {
                let authorities = Certificate::from_pem_bundle(authorities);
                builder.tls_certs_merge(
                    authorities.map_err(|_| Error::invalid("the authority's certificate is not valid PEM"))?,
                )
            }
        };
        builder.build().map_err(|cause| crate::web::of_client(&cause))
    }
}
