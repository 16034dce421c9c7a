//! Blobs on their way into a registry (OCI distribution-spec, "Pushing blobs"): mounted where it has them, else sent as a whole, and where
//! that does not work in pieces, from where the last one ended.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, Url};

use super::body::{Body, Opener};
use super::endpoint;
use super::request::{Registry, Request, Response};
use super::session::Scope;
use crate::error::{Error, Kind, Result};
use crate::images::manifest::Descriptor;
use crate::images::watched::Watched;
use crate::model::{Context, Digest};

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// It was there.
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

/// Gives the bytes of a blob from an offset on.
pub(crate) type Source = Arc<dyn Fn(u64) -> Result<Box<dyn Read + Send>> + Send + Sync>;

/// A blob that is to be in a repository.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) descriptor: Descriptor,
    pub(crate) source: Source,
    /// Repositories of the same registry that may have it.
    pub(crate) from: Vec<String>,
}

/// An upload that a registry has begun.
struct Session {
    url: Url,
    /// The shortest piece but the last that it takes (`OCI-Chunk-Min-Length`).
    shortest: u64,
}

/// What the registry makes of the wish for a blob.
enum Start {
    Mounted,
    Begun(Session),
}

/// The length of pieces for a registry, or for a proxy before it, that refuses the whole as too large.
const PIECE: u64 = 32 << 20;
/// How long an upload that has failed may take to be called off.
const FAREWELL: Duration = Duration::from_secs(5);

/// The same bytes, told of as they are read.
fn watched(ctx: &Context, source: Source, digest: &Digest) -> Source {
    let (ctx, part) = (ctx.clone(), digest.short().to_owned());
    Arc::new(move |offset| Ok(Box::new(Watched::new(&ctx, source(offset)?, &part, offset)) as Box<dyn Read + Send>))
}

impl Registry {
    /// Whether a repository has a blob. Errors: `unauthorized`, `denied`, `network`, `rate_limited`.
    pub(crate) fn has_blob(&self, ctx: &Context, repository: &str, digest: &Digest) -> Result<bool> {
        let what = format!("look for `{digest}` in `{repository}` at `{}`", self.name());
        let request = self.about(Method::HEAD, repository, &format!("blobs/{digest}"), "pull,push");
        let answer = request.what(what).send(ctx)?;
        match answer.status() {
            200 => Ok(true),
            // Registries that do not answer such questions will be sent the blob.
            404 | 400 | 405 => Ok(false),
            _ => Err(answer.into_error()),
        }
    }

    /// Has a blob in a repository, by as few bytes as it takes.
    ///
    /// Errors: as of [`Registry::has_blob`]; `corrupt` if the registry finds that the bytes are not those of the digest. What was begun
    /// is called off then.
    pub(crate) fn bring(&self, ctx: &Context, repository: &str, parcel: &Parcel) -> Result<Brought> {
        self.bring_prepared(ctx, repository, &parcel.descriptor, &parcel.from, || {
            Ok(Arc::clone(&parcel.source))
        })
    }

    /// The same with a source that is made ready only where it is needed.
    pub(crate) fn bring_prepared(
        &self,
        ctx: &Context,
        repository: &str,
        descriptor: &Descriptor,
        from: &[String],
        prepare: impl FnOnce() -> Result<Source>,
    ) -> Result<Brought> {
        if self.has_blob(ctx, repository, &descriptor.digest)? {
            return Ok(Brought::Present);
        }
        match self.start(ctx, repository, &descriptor.digest, from)? {
            Start::Mounted => Ok(Brought::Mounted),
            Start::Begun(session) => {
                let sending = Sending::new(ctx, self, repository, descriptor, session);
                match prepare() {
                    Ok(source) => {
                        let source = watched(ctx, source, &descriptor.digest);
                        sending.run(&source).map(|()| Brought::Sent)
                    }
                    Err(error) => {
                        sending.abandon();
                        Err(error)
                    }
                }
            }
        }
    }

    /// Asks for a mount, which a registry that cannot makes an upload of. One that refuses it is asked for an upload alone: it may
    /// want other credentials for the other repository, or know of no mounts.
    fn start(&self, ctx: &Context, repository: &str, digest: &Digest, from: &[String]) -> Result<Start> {
        let from = from.iter().find(|from| *from != repository);
        let mount = match from {
            Some(from) => {
                let scope = Scope::pull(&format!("{}{from}", self.endpoint().prefix));
                let path = format!("blobs/uploads/?mount={digest}&from={}{from}", self.endpoint().prefix);
                self.about(Method::POST, repository, &path, "pull,push").also(scope)
            }
            None => self.about(
                Method::POST,
                repository,
                &format!("blobs/uploads/?mount={digest}"),
                "pull,push",
            ),
        };
        let what = format!("begin to send `{digest}` to `{repository}` at `{}`", self.name());
        // Whoever may not read the other repository gets no token for both.
        if let Ok(answer) = mount.what(&what).to_be_undone().send(ctx) {
            match answer.status() {
                201 => return Ok(Start::Mounted),
                202 => return self.session(ctx, repository, &answer, &what).map(Start::Begun),
                _ => {}
            }
        }
        ctx.check()?;
        self.begin(ctx, repository, &what).map(Start::Begun)
    }

    fn begin(&self, ctx: &Context, repository: &str, what: &str) -> Result<Session> {
        let request = self.about(Method::POST, repository, "blobs/uploads/", "pull,push");
        let answer = request.what(what).to_be_undone().send(ctx)?.expect(&[202])?;
        self.session(ctx, repository, &answer, what)
    }

    /// The upload that an answer tells of. One that nobody wants any more by then is called off.
    fn session(&self, ctx: &Context, repository: &str, answer: &Response, what: &str) -> Result<Session> {
        let shortest = answer
            .header("oci-chunk-min-length")
            .and_then(|length| length.parse().ok());
        let url = self.place(answer).map_err(|error| error.during(what))?;
        if let Err(error) = ctx.check() {
            self.call_off(repository, url, what);
            return Err(error);
        }
        Ok(Session {
            url,
            shortest: shortest.unwrap_or(0),
        })
    }

    /// A request about an upload at its place.
    fn about_upload(&self, method: Method, repository: &str, url: Url) -> Request<'_> {
        let repository = format!("{}{repository}", self.endpoint().prefix);
        self.at(method, url, Scope::push(&repository)).blob().once()
    }

    /// Calls an upload off, so that the registry need not keep what it has of it. Nobody waits long for that, whatever comes of it.
    fn call_off(&self, repository: &str, url: Url, what: &str) {
        let ctx = Context::new().with_timeout(FAREWELL);
        let _ = self.about_upload(Method::DELETE, repository, url).what(what).send(&ctx);
    }

    /// Where an upload goes on: relative, absolute, or at another host. Errors: `corrupt`, `denied`.
    fn place(&self, answer: &Response) -> Result<Url> {
        let Some(mut url) = answer.location() else {
            let name = self.name();
            return Err(Error::corrupt(format!("`{name}` does not say where an upload goes on")));
        };
        let asked = answer.url();
        // A registry behind a proxy that ends TLS may not know how it was asked.
        if url.host_str() == asked.host_str() && asked.scheme() == "https" && url.scheme() == "http" {
            let _ = url.set_scheme("https");
            if url.port() == Some(80) {
                let _ = url.set_port(None);
            }
        }
        let is_web = ["http", "https"].contains(&url.scheme());
        let is_inside = endpoint::is_link_local(&url) && url.host_str() != asked.host_str();
        match is_web && !is_inside {
            true => Ok(url),
            false => Err(Error::denied(format!(
                "`{}` has an upload go on where nobody is to be sent",
                self.name()
            ))),
        }
    }
}

/// A blob being sent.
struct Sending<'a> {
    ctx: &'a Context,
    registry: &'a Registry,
    repository: &'a str,
    descriptor: &'a Descriptor,
    session: Session,
    /// How much the registry has.
    at: u64,
    /// The length of pieces; the whole rest if there is none.
    piece: Option<u64>,
    tries: u32,
    /// How much it had when these tries began.
    tried_at: u64,
}

/// How one step ended that did not fail for good.
enum Step {
    Done,
    Further,
    /// The registry expects other bytes than these (status 416), or has lost the upload (404).
    Astray,
    /// Something that may go better in a moment.
    Failed(Error),
}

impl<'a> Sending<'a> {
    fn new(
        ctx: &'a Context,
        registry: &'a Registry,
        repository: &'a str,
        descriptor: &'a Descriptor,
        session: Session,
    ) -> Sending<'a> {
        Sending {
            ctx,
            registry,
            repository,
            descriptor,
            session,
            at: 0,
            piece: None,
            tries: 0,
            tried_at: 0,
        }
    }

    fn what(&self) -> String {
        let digest = &self.descriptor.digest;
        format!("send `{digest}` to `{}` at `{}`", self.repository, self.registry.name())
    }

    fn run(mut self, source: &Source) -> Result<()> {
        loop {
            let failed = match self.step(source) {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Further) => continue,
                Ok(Step::Astray) => self.again(None),
                Ok(Step::Failed(error)) => self.again(Some(error)),
                Err(error) => Err(error),
            };
            if let Err(error) = failed {
                self.abandon();
                return Err(error);
            }
        }
    }

    fn step(&mut self, source: &Source) -> Result<Step> {
        let size = self.descriptor.size;
        let (answer, end) = if self.at == 0 && self.piece.is_none() {
            (self.whole(source), size)
        } else if self.at < size {
            let length = self.piece.map_or(u64::MAX, |piece| piece.max(self.session.shortest));
            let end = self.at.saturating_add(length).min(size);
            (self.part(source, end), end)
        } else {
            (self.close(), size)
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if self.may_pass(&error) => return Ok(Step::Failed(error)),
            Err(error) => return Err(error),
        };
        match answer.status() {
            201 => Ok(Step::Done),
            202 | 204 if self.at < size && (self.at > 0 || self.piece.is_some()) => {
                self.session.url = self.place(&answer)?;
                self.at = received(&answer).unwrap_or(end).clamp(self.at, end);
                Ok(Step::Further)
            }
            413 if self.piece.is_none() => {
                self.piece = Some(PIECE);
                Ok(Step::Astray)
            }
            404 | 416 => Ok(Step::Astray),
            408 | 429 | 500 | 502 | 503 | 504 => Ok(Step::Failed(answer.into_error())),
            _ => Err(answer.into_error()),
        }
    }

    /// All of it by one request.
    fn whole(&self, source: &Source) -> Result<Response> {
        let size = self.descriptor.size;
        let request = self.to(Method::PUT, self.closing_url()).body(body(source, 0, size));
        request.header(CONTENT_TYPE, "application/octet-stream").send(self.ctx)
    }

    /// The bytes from where the registry is, up to another place.
    fn part(&self, source: &Source, end: u64) -> Result<Response> {
        let request = self
            .to(Method::PATCH, self.session.url.clone())
            .body(body(source, self.at, end));
        let range = format!("{}-{}", self.at, end - 1);
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        request.header(CONTENT_RANGE, range).send(self.ctx)
    }

    /// Says that it is all there.
    fn close(&self) -> Result<Response> {
        self.to(Method::PUT, self.closing_url())
            .header(CONTENT_LENGTH, "0")
            .send(self.ctx)
    }

    /// The place of the upload as the registry gave it, with the digest behind what it says already.
    fn closing_url(&self) -> Url {
        let mut url = self.session.url.clone();
        url.query_pairs_mut()
            .append_pair("digest", self.descriptor.digest.as_str());
        url
    }

    fn to(&self, method: Method, url: Url) -> Request<'a> {
        self.registry
            .about_upload(method, self.repository, url)
            .what(self.what())
    }

    fn place(&self, answer: &Response) -> Result<Url> {
        self.registry.place(answer).map_err(|error| error.during(self.what()))
    }

    /// Makes ready for another try: rests, and finds out where the registry is. Errors: the last one, when enough was tried.
    fn again(&mut self, error: Option<Error>) -> Result<()> {
        let is_slow = error.as_ref().is_some_and(|error| error.kind() == Kind::Timeout);
        if self.at > self.tried_at && !is_slow {
            self.tries = 0;
        }
        self.tries += 1;
        self.tried_at = self.at;
        let Some(rest) = self.registry.retry().rest(self.tries, None) else {
            let error =
                error.unwrap_or_else(|| Error::corrupt("the registry loses what it is sent").during(self.what()));
            return Err(error.after(format!("tried {} times", self.tries)));
        };
        if error.is_some() {
            self.ctx.sleep(rest)?;
        }
        match self.status()? {
            Some(at) => self.at = at,
            None => {
                self.abandon();
                self.session = self.registry.begin(self.ctx, self.repository, &self.what())?;
                self.at = 0;
            }
        }
        Ok(())
    }

    /// How many bytes the registry has of an upload that was begun; `None` if it does not know of it any more, or does not say.
    fn status(&mut self) -> Result<Option<u64>> {
        let answer = match self.to(Method::GET, self.session.url.clone()).send(self.ctx) {
            Ok(answer) if answer.status() == 204 => answer,
            Ok(_) => return Ok(None),
            Err(error) if self.may_pass(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if answer.header("location").is_some() {
            self.session.url = self.place(&answer)?;
        }
        Ok(received(&answer).filter(|at| *at <= self.descriptor.size))
    }

    /// Whether it is the way to the registry that failed, and not the work as a whole.
    fn may_pass(&self, error: &Error) -> bool {
        matches!(error.kind(), Kind::Network | Kind::Timeout) && self.ctx.check().is_ok()
    }

    /// Calls the upload off.
    fn abandon(&self) {
        self.registry
            .call_off(self.repository, self.session.url.clone(), &self.what());
    }
}

fn body(source: &Source, start: u64, end: u64) -> Body {
    let source = Arc::clone(source);
    let open: Opener = Arc::new(move || Ok(Box::new(source(start)?.take(end - start))));
    Body::Stream(open, Some(end - start))
}

/// How many bytes have come, by the header `Range: 0-N`. Nothing and one byte are told by the same words, of which nothing is the
/// likelier.
fn received(answer: &Response) -> Option<u64> {
    let range = answer.header("range")?;
    let last: u64 = range
        .strip_prefix("bytes=")
        .unwrap_or(range)
        .strip_prefix("0-")?
        .parse()
        .ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
