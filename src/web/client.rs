//! One request after another, each to its end: followed where it is sent elsewhere, tried again where that may help, no longer and no
//! bigger than it may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Certificate, Method, Url};

use super::{AGENT, Reactor, Retry, Trouble, is_transient, of_client, proxies, retry_after};
use crate::config::Proxies;
use crate::error::{Error, Result};
use crate::model::{ByteSize, Context, Secret, format_duration, host_of, url_of};

/// Until a connection must be there, TLS included.
const CONNECT: Duration = Duration::from_secs(15);
/// Redirects that are followed.
const REDIRECTS: u32 = 10;

/// What is asked, and how much is tried.
#[derive(Clone)]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: &'static str,
    /// To whom. It may say who may do something there, so that errors tell its host alone.
    pub url: Secret,
    /// Names and values of headers.
    pub headers: Vec<(String, Secret)>,
    /// What is sent.
    pub body: Option<Arc<[u8]>>,
    /// For all of it: every try, every redirect, the whole answer.
    pub timeout: Duration,
    /// Tries after the first, where it may help.
    pub retries: u32,
    /// Whether it may be sent again after it may have arrived.
    pub is_repeatable: bool,
    /// The most bytes of an answer.
    pub most: u64,
    /// Whether certificates have to be those they claim to be.
    pub verify: bool,
    /// Authorities trusted beside the system's, as PEM.
    pub authorities: Vec<u8>,
    /// Whether it is sent on to where an answer points.
    pub follow: bool,
}

impl Request {
    /// One with the settings that are right for most.
    pub fn new(method: &'static str, url: Secret) -> Request {
        Request {
            method,
            url,
            headers: Vec::new(),
            body: None,
            timeout: Duration::from_secs(30),
            retries: 0,
            is_repeatable: ["GET", "HEAD", "PUT", "DELETE"].contains(&method),
            most: 16 << 20,
            verify: true,
            authorities: Vec::new(),
            follow: true,
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// Its headers, names in lower case; a value that is no text is left out.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// The host that answered, with its port where one was said.
    pub host: String,
}

/// Whether a host may be asked; redirects ask again. Errors: `denied`.
pub type Permit<'a> = &'a dyn Fn(&str) -> Result<()>;

/// Connections to other machines; nothing is set up before the first request.
pub struct Client {
    reactor: Reactor,
    proxies: Proxies,
    clients: Mutex<HashMap<Trust, reqwest::Client>>,
}

/// What is accepted of whom.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Trust {
    is_plain: bool,
    verify: bool,
    authorities: Vec<u8>,
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Client {
    /// A client that reaches others by these proxies.
    pub fn new(proxies: Proxies) -> Client {
        Client {
            reactor: Reactor::default(),
            proxies,
            clients: Mutex::default(),
        }
    }

    /// Asks, and gives whatever answer there is in the end.
    ///
    /// Errors: `invalid` for an address or a header that is none, and for an answer that is too big; what `permit` says; `network`,
    /// `timeout`, `cancelled`.
    pub fn ask(&self, ctx: &Context, request: &Request, permit: Permit) -> Result<Answer> {
        let inner = ctx.with_timeout(request.timeout);
        let retry = Retry {
            tries: request.retries.saturating_add(1),
            ..Retry::default()
        };
        let mut tried = 1;
        let answer = loop {
            let (outcome, rest) = match self.follow(&inner, request, permit) {
                Ok(answer) if is_transient(answer.status) => {
                    let asked = answer.headers.iter().find(|(name, _)| *name == RETRY_AFTER.as_str());
                    let asked = asked.and_then(|(_, value)| retry_after(value, jiff::Timestamp::now()));
                    let may = request.is_repeatable || [429, 503].contains(&answer.status);
                    (Ok(answer), may.then(|| retry.rest(tried, asked)).flatten())
                }
                Ok(answer) => (Ok(answer), None),
                Err(trouble) => {
                    let may = trouble.is_transient && (request.is_repeatable || trouble.is_unsent);
                    (Err(trouble.error), may.then(|| retry.rest(tried, None)).flatten())
                }
            };
            let Some(rest) = rest else { break outcome };
            if let Err(error) = inner.sleep(rest) {
                break Err(error);
            }
            tried += 1;
        };
        answer.map_err(|error| match inner.owns_timeout(&error) {
            true => Error::timeout(format!(
                "`{}` took longer than {}",
                host_of(&request.url).unwrap_or_default(),
                format_duration(request.timeout)
            ))
            .hint("the option `timeout` gives it more"),
            false => error,
        })
    }

    /// One try, and what it leads to.
    fn follow(&self, ctx: &Context, request: &Request, permit: Permit) -> std::result::Result<Answer, Trouble> {
        let mut step = Step::first(request).map_err(lasting)?;
        for _ in 0..=REDIRECTS {
            permit(&host(&step.url)).map_err(lasting)?;
            let client = self.client(request, &step.url).map_err(lasting)?;
            let mut trouble = None;
            let work = async {
                exchange(&client, &step, request.most)
                    .await
                    .map_err(|found| keep(&mut trouble, found))
            };
            let answer = self.reactor.wait(ctx, work);
            let answer = answer.map_err(|error| trouble.take().unwrap_or_else(|| lasting(error)))?;
            match step.next(&answer, request.follow).map_err(lasting)? {
                Some(next) => step = next,
                None => return Ok(answer),
            }
        }
        let text = format!("`{}` sends elsewhere more than {REDIRECTS} times", host(&step.url));
        Err(lasting(Error::network(text)))
    }

    fn client(&self, request: &Request, url: &Url) -> Result<reqwest::Client> {
        let trust = Trust {
            is_plain: url.scheme() == "http",
            verify: request.verify,
            authorities: request.authorities.clone(),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&trust) {
            return Ok(client.clone());
        }
        let client = self
            .new_client(&trust)
            .map_err(|error| error.during("prepare connections"))?;
        clients.insert(trust, client.clone());
        Ok(client)
    }

    fn new_client(&self, trust: &Trust) -> Result<reqwest::Client> {
        // The first one stays; all that are set are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .no_proxy();
        for proxy in proxies(&self.proxies)? {
            builder = builder.proxy(proxy);
        }
        let authorities = Certificate::from_pem_bundle(&trust.authorities);
        let authorities = authorities.map_err(|_| Error::invalid("the authority's certificate is not valid PEM"))?;
        builder = match (trust.is_plain, trust.verify) {
            (true, _) => builder.tls_certs_only([]),
            (_, true) => builder.tls_certs_merge(authorities),
            (_, false) => builder.tls_danger_accept_invalid_certs(true),
        };
        builder.build().map_err(|cause| of_client(&cause))
    }
}

/// A failure that no second try helps.
fn lasting(error: Error) -> Trouble {
    Trouble {
        error,
        is_transient: false,
        is_unsent: true,
        is_tls_of_plain: None,
    }
}

/// Keeps what is known of a failure aside, since what waits gives errors alone.
fn keep(place: &mut Option<Trouble>, trouble: Trouble) -> Error {
    let error = trouble.error.copied();
    *place = Some(trouble);
    error
}

/// One request to one address on the way to the answer.
struct Step {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<bytes::Bytes>,
}

impl Step {
    fn first(request: &Request) -> Result<Step> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &request.headers {
            let key = HeaderName::try_from(name)
                .map_err(|_| Error::invalid(format!("`{}` is not the name of a header", name.escape_debug())))?;
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| {
                Error::invalid(format!(
                    "the value of the header `{name}` has letters that no header can have"
                ))
            })?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Ok(Step {
            method: Method::from_bytes(request.method.as_bytes())
                .map_err(|_| Error::invalid(format!("`{}` is not a method of HTTP", request.method)))?,
            url: url_of(&request.url)?,
            headers,
            body: request.body.clone().map(bytes::Bytes::from_owner),
        })
    }

    /// Where an answer sends this request (RFC 9110, 15.4). What was given for one origin does not go to another: headers of one's own,
    /// and what is sent.
    fn next(&self, answer: &Answer, follow: bool) -> Result<Option<Step>> {
        let place = answer.headers.iter().find(|(name, _)| *name == LOCATION.as_str());
        let Some((_, place)) = place.filter(|_| follow && [301, 302, 303, 307, 308].contains(&answer.status)) else {
            return Ok(None);
        };
        let from = host(&self.url);
        let url = self
            .url
            .join(place)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()));
        let url = url.ok_or_else(|| Error::network(format!("`{from}` sends elsewhere, but to no address of HTTP")))?;
        let is_safe = [Method::GET, Method::HEAD].contains(&self.method);
        let becomes_get = answer.status == 303 || (answer.status < 303 && self.method == Method::POST);
        let mut next = Step {
            method: if becomes_get && !is_safe {
                Method::GET
            } else {
                self.method.clone()
            },
            headers: self.headers.clone(),
            body: self.body.clone().filter(|_| !becomes_get),
            url,
        };
        if self.url.origin() != next.url.origin() {
            if next.body.is_some() {
                let text = format!("`{from}` sends what is sent to it on to `{}`", host(&next.url));
                return Err(Error::network(text).hint("if that is right, send it there at once"));
            }
            next.headers.retain_own();
        }
        Ok(Some(next))
    }
}

/// What stays of headers when a request goes to another origin.
trait Own {
    fn retain_own(&mut self);
}

impl Own for HeaderMap {
    /// Only what says nothing of who asks.
    fn retain_own(&mut self) {
        const HARMLESS: [&str; 4] = ["accept", "accept-encoding", "accept-language", "user-agent"];
        let names: Vec<HeaderName> = self
            .keys()
            .filter(|name| !HARMLESS.contains(&name.as_str()))
            .cloned()
            .collect();
        for name in names.iter().chain([&AUTHORIZATION, &COOKIE]) {
            self.remove(name);
        }
    }
}

/// Sends one request and takes all of its answer.
async fn exchange(client: &reqwest::Client, step: &Step, most: u64) -> std::result::Result<Answer, Trouble> {
    let host = host(&step.url);
    let mut request = client
        .request(step.method.clone(), step.url.clone())
        .headers(step.headers.clone());
    if let Some(body) = &step.body {
        request = request.body(body.clone());
    }
    let mut response = request.send().await.map_err(|cause| Trouble::of(cause, &host))?;
    let too_big = || {
        let text = format!("what `{host}` answers is bigger than {}", ByteSize(most));
        lasting(Error::invalid(text).hint("the option `max_size` takes more"))
    };
    if response.content_length().is_some_and(|length| length > most) && step.method != Method::HEAD {
        return Err(too_big());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|cause| Trouble::of(cause, &host))? {
        if (body.len() + chunk.len()) as u64 > most {
            return Err(too_big());
        }
        body.extend_from_slice(&chunk);
    }
    let headers = response.headers().iter();
    Ok(Answer {
        status: response.status().as_u16(),
        headers: headers
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect(),
        body,
        host,
    })
}
