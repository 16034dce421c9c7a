//! One request to a registry: authenticated, sent again where that may help, followed where it is sent elsewhere.

use std::sync::Arc;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::body::Body;
use super::credential::Credential;
use super::endpoint::{self, Endpoint};
use super::failure::{self, Failure};
use super::session::{PROBE, Scope, Session};
use super::token::asked_rest;
use super::transport::{Answer, Call, Transport, Weight};
use crate::error::{Error, Result};
use crate::images::limits;
use crate::model::{Context, Secret};
use crate::web::{Retry, is_transient};

/// A registry as one client sees it. Clones are the same.
#[derive(Clone)]
pub struct Registry {
    pub(super) transport: Transport,
    pub(super) session: Arc<Session>,
    retry: Retry,
}

impl Registry {
    /// The registry at an endpoint, asked under these credentials. Nothing is sent before the first request.
    pub fn new(transport: &Transport, endpoint: Endpoint, credential: Credential) -> Registry {
        Registry {
            session: transport.session(endpoint, credential),
            retry: transport.settings().retry.clone(),
            transport: transport.clone(),
        }
    }

    /// The same, with so many tries of everything after the first.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Registry {
        self.retry.tries = retries.saturating_add(1);
        self
    }

    /// The name people know it by.
    pub fn name(&self) -> &str {
        &self.session.endpoint.name
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.session.endpoint
    }

    /// A request to an address below `/v2/`, such as `library/debian/tags/list?n=100`, which may need a token for `scope`.
    pub fn request(&self, method: Method, path: &str, scope: Scope) -> Request<'_> {
        self.ask(method, Place::Below(path.to_owned()), scope)
    }

    /// A request about a repository, such as for `blobs/sha256:…`, by one who may do these acts there: `pull`, `pull,push`.
    pub fn about(&self, method: Method, repository: &str, path: &str, acts: &str) -> Request<'_> {
        let repository = format!("{}{repository}", self.session.endpoint.prefix);
        self.request(
            method,
            &format!("{repository}/{path}"),
            Scope::repository(&repository, acts),
        )
    }

    /// A request to where an answer of this registry sends: its `Location`, or the next page. Credentials go along only within the
    /// registry itself.
    pub fn at(&self, method: Method, url: Url, scope: Scope) -> Request<'_> {
        self.ask(method, Place::At(url), scope)
    }

    fn ask(&self, method: Method, place: Place, scope: Scope) -> Request<'_> {
        Request {
            registry: self,
            is_repeatable: [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&method),
            method,
            place,
            headers: Vec::new(),
            scope,
            body: Body::Empty,
            weight: Weight::Document,
            grace: Duration::ZERO,
            what: None,
        }
    }

    /// How failures rest, for what is tried again from outside.
    pub(super) fn retry(&self) -> &Retry {
        &self.retry
    }
}

enum Place {
    Below(String),
    At(Url),
}

/// A request that is being put together.
#[must_use = "a request does nothing before it is sent"]
pub struct Request<'a> {
    registry: &'a Registry,
    method: Method,
    place: Place,
    headers: Vec<(HeaderName, String)>,
    scope: Scope,
    body: Body,
    weight: Weight,
    is_repeatable: bool,
    /// How long after the end of its context it may still be answered.
    grace: Duration,
    what: Option<String>,
}

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// How long the answer to what would have to be undone is waited for when nobody wants it any more.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of an error's body that are looked at.
const ERROR_BODY: usize = 64 << 10;
/// How long the rest of what a server says of a failure is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);

impl<'a> Request<'a> {
    /// Adds a header. It goes to wherever the request is sent on to, so it must not be secret.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// It needs leave for this as well.
    pub fn also(mut self, scope: Scope) -> Self {
        self.scope = self.scope.and(scope);
        self
    }

    /// Sets what it carries.
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// It is about a blob, of which only so many are on their way at once.
    pub fn blob(mut self) -> Self {
        self.weight = Weight::Blob;
        self
    }

    /// It must not be sent again once a part of it may have arrived: what it changes would be changed twice.
    pub fn once(mut self) -> Self {
        self.is_repeatable = false;
        self
    }

    /// Its answer is waited for a little even when its context ends: it says what has to be undone.
    pub fn to_be_undone(mut self) -> Self {
        self.grace = GRACE;
        self
    }

    /// What is tried by it, for the error: ``get the manifest of `debian` ``.
    pub fn what(mut self, what: impl Into<String>) -> Self {
        self.what = Some(what.into());
        self
    }

    /// Sends it and waits for the head of the answer, whatever its status. Where the registry asks for credentials, they are shown and the
    /// request is sent once more; what may be temporary is tried again; `GET` and `HEAD` follow redirects, without credentials.
    ///
    /// Errors: `network`; `unauthorized` and `denied` where no token is to be had; `cancelled` and `timeout` by the context.
    pub fn send(self, ctx: &Context) -> Result<Response> {
        self.exchange(ctx)
    }

    /// Sends it and reads the whole answer, which has to be there (200). One that breaks off is asked for again.
    ///
    /// Errors: as of [`Request::send`]; what the registry says is wrong; `corrupt` if it is longer than a document may be.
    pub(super) fn whole(self, ctx: &Context) -> Result<(Response, Vec<u8>)> {
        let (limit, mut tries) = (self.registry.limits().document, 0);
        loop {
            let mut answer = self.exchange(ctx)?.expect(&[200])?;
            tries += 1;
            let failure = match answer.body(ctx, limit) {
                Ok(bytes) => return Ok((answer, bytes)),
                Err(failure) => failure,
            };
            let rest = self.registry.retry.rest(tries, None).filter(|_| failure.is_transient);
            match rest {
                Some(rest) => ctx.sleep(rest)?,
                None if tries > 1 => return Err(self.told(failure.error).after(format!("tried {tries} times"))),
                None => return Err(self.told(failure.error)),
            }
        }
    }

    fn exchange(&self, ctx: &Context) -> Result<Response> {
        let transport = self.registry.transport.clone();
        let answered = transport.wait_out(ctx, self.grace, self.run());
        let (answer, tries) = answered.map_err(|error| self.told(error))?;
        Ok(Response {
            registry: self.registry.clone(),
            url: answer.response.url().clone(),
            answer,
            tries,
            what: self.doing(),
            rest: bytes::Bytes::new(),
        })
    }

    fn doing(&self) -> String {
        let place = match &self.place {
            Place::Below(path) => path.split('?').next().unwrap_or_default().to_owned(),
            Place::At(url) => url.path().to_owned(),
        };
        self.what
            .clone()
            .unwrap_or_else(|| format!("send {} {place} to `{}`", self.method, self.registry.name()))
    }

    fn told(&self, error: Error) -> Error {
        error.during(self.doing())
    }

    async fn run(&self) -> Result<(Answer, u32)> {
        let (retry, mut tries, mut is_renewed) = (self.registry.retry(), 0, false);
        loop {
            tries += 1;
            let outcome = self.try_once(&mut is_renewed).await;
            let rest = match &outcome {
                Ok(None) => {
                    tries -= 1;
                    continue;
                }
                Ok(Some(answer)) => self.rest(answer, tries),
                Err(failure) if failure.is_transient && (self.is_repeatable || failure.is_unsent) => {
                    retry.rest(tries, None)
                }
                Err(_) => None,
            };
            match (rest, outcome) {
                (Some(rest), _) => tokio::time::sleep(rest).await,
                (None, Ok(Some(answer))) => return Ok((answer, tries)),
                (None, Err(failure)) if tries > 1 => return Err(failure.error.after(format!("tried {tries} times"))),
                (None, Err(failure)) => return Err(failure.error),
                (None, Ok(None)) => {}
            }
        }
    }

    /// How long to rest before a request that was answered is sent again; `None` if it is not.
    fn rest(&self, answer: &Answer, tries: u32) -> Option<std::time::Duration> {
        let status = answer.response.status().as_u16();
        let was_refused = status == 429 || status == 503;
        let may = is_transient(status) && (self.is_repeatable || was_refused);
        may.then(|| self.registry.retry().rest(tries, asked_rest(answer)))
            .flatten()
    }

    /// One try; `None` if the registry asked for credentials and is to be shown others now.
    async fn try_once(&self, is_renewed: &mut bool) -> std::result::Result<Option<Answer>, Failure> {
        let (transport, session) = (&self.registry.transport, &self.registry.session);
        if let Some(base) = session.guess().filter(|_| self.is_question()) {
            let asked = tokio::time::timeout(PROBE, self.ask_at(&base, is_renewed)).await;
            // Servers of TLS say 400 to those who speak plain HTTP.
            let is_plain = |answer: &Option<Answer>| answer.as_ref().is_none_or(|it| it.response.status() != 400);
            if asked.as_ref().is_ok_and(|asked| asked.as_ref().is_ok_and(is_plain)) {
                session.settle(&base);
            }
            // It was the right question, whatever came of it.
            if let Ok(asked) = asked
                && session.base(transport).await.is_ok_and(|found| found == base)
            {
                return asked;
            }
        }
        let base = session.base(transport).await?;
        self.ask_at(&base, is_renewed).await
    }

    /// Whether nothing changes by it, so that it may be asked twice.
    fn is_question(&self) -> bool {
        [Method::GET, Method::HEAD].contains(&self.method) && matches!(self.place, Place::Below(_))
    }

    async fn ask_at(&self, base: &Url, is_renewed: &mut bool) -> std::result::Result<Option<Answer>, Failure> {
        let (transport, session) = (&self.registry.transport, &self.registry.session);
        let mut url = self.url(base)?;
        let mut shown: Option<Secret> = None;
        for _ in 0..=REDIRECTS {
            let mut headers = self.headers()?;
            let is_own = endpoint::same_origin(base, &url);
            if is_own && let Some((value, token)) = session.authorization(transport, base, &self.scope).await? {
                headers.insert(AUTHORIZATION, value);
                shown = token;
            }
            let call = Call {
                method: &self.method,
                url: &url,
                headers,
                body: &self.body,
                weight: self.weight,
            };
            let answer = transport.exchange(&session.endpoint, call).await?;
            let status = answer.response.status();
            if status == StatusCode::UNAUTHORIZED && is_own && !*is_renewed {
                *is_renewed = true;
                let headers = answer.response.headers();
                let again = session.refused(base, headers, &self.scope, shown.as_ref()).await;
                return match again.map_err(Failure::lasting)? {
                    true => Ok(None),
                    false => Ok(Some(answer)),
                };
            }
            match self.next(&url, &answer)? {
                Some(next) => url = next,
                None => return Ok(Some(answer)),
            }
        }
        let error = Error::network(format!(
            "`{}` sends on and on, {REDIRECTS} times by now",
            session.endpoint.name
        ));
        Err(Failure::lasting(error))
    }

    fn url(&self, base: &Url) -> std::result::Result<Url, Failure> {
        match &self.place {
            Place::At(url) => Ok(url.clone()),
            Place::Below(path) => base
                .join(path)
                .map_err(|_| Failure::lasting(Error::invalid(format!("`{}` is no address", path.escape_debug())))),
        }
    }

    fn headers(&self) -> std::result::Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value);
            let value =
                value.map_err(|_| Failure::lasting(Error::invalid(format!("`{name}` cannot have this value"))))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Where an answer sends on to.
    fn next(&self, url: &Url, answer: &Answer) -> std::result::Result<Option<Url>, Failure> {
        let status = answer.response.status().as_u16();
        let is_reading = self.method == Method::GET || self.method == Method::HEAD;
        if !is_reading || !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let Some(location) = answer.response.headers().get(LOCATION) else {
            return Ok(None);
        };
        let next = location.to_str().ok().and_then(|location| url.join(location).ok());
        let is_safe = |next: &Url| {
            // A blob's digest vouches for it however it comes; nothing vouches for what a tag means.
            let is_downgrade = url.scheme() == "https" && next.scheme() != "https" && self.weight != Weight::Blob;
            let is_inside = endpoint::is_link_local(next) && next.host_str() != url.host_str();
            ["http", "https"].contains(&next.scheme()) && !is_downgrade && !is_inside
        };
        match next.filter(is_safe) {
            Some(next) => Ok(Some(next)),
            None => {
                let from = failure::host(url);
                Err(Failure::lasting(Error::denied(format!(
                    "`{from}` sends on to where nobody is to be sent"
                ))))
            }
        }
    }
}

/// An answer whose body is still to be read.
pub struct Response {
    registry: Registry,
    answer: Answer,
    url: Url,
    tries: u32,
    what: String,
    /// What came and was not asked for yet.
    rest: bytes::Bytes,
}

impl Response {
    /// The status.
    pub fn status(&self) -> u16 {
        self.answer.response.status().as_u16()
    }

    /// A header, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.response.headers().get(name)?.to_str().ok()
    }

    /// Where it came from in the end.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What the header `Location` means, seen from here.
    pub fn location(&self) -> Option<Url> {
        self.url.join(self.header("location")?).ok()
    }

    /// How long the body is to be, where the header says it.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// Itself if its status is among these. Errors: what the registry says is wrong.
    pub fn expect(self, statuses: &[u16]) -> Result<Response> {
        match statuses.contains(&self.status()) {
            true => Ok(self),
            false => Err(self.into_error()),
        }
    }

    /// The error that the answer is. It is read to its end even where the work it belongs to has been called off: of several parts of
    /// one work that fail together, any may be the one that is told of.
    pub fn into_error(mut self) -> Error {
        let ctx = &Context::new().with_timeout(ERROR_PATIENCE);
        let mut body = Vec::new();
        while body.len() < ERROR_BODY {
            match self.chunk(ctx) {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                // What it says of itself is worth more than why it could not say it all.
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(ERROR_BODY);
        let (status, headers) = (self.status(), self.answer.response.headers());
        failure::refused(&self.registry.session, status, headers, &body, self.tries).during(self.what)
    }

    /// The whole body.
    fn body(&mut self, ctx: &Context, limit: u64) -> std::result::Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(ctx)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                let error = limits::exceeded("the registry's answer", "document", limit);
                return Err(Failure::lasting(error));
            }
        }
        Ok(bytes)
    }

    /// The next bytes of the body, as many as have come; none at its end.
    pub(super) fn read(&mut self, ctx: &Context, buffer: &mut [u8]) -> std::result::Result<usize, Failure> {
        while self.rest.is_empty() {
            match self.chunk(ctx)? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }

    fn chunk(&mut self, ctx: &Context) -> std::result::Result<Option<bytes::Bytes>, Failure> {
        let transport = self.registry.transport.clone();
        let mut failed = None;
        let chunk = transport.wait(ctx, async {
            match transport.chunk(&mut self.answer).await {
                Ok(chunk) => Ok(chunk),
                Err(failure) => {
                    failed = Some(failure);
                    Ok(None)
                }
            }
        });
        match (failed, chunk) {
            (Some(failure), _) => Err(failure),
            (None, chunk) => chunk.map_err(Failure::lasting),
        }
    }
}
