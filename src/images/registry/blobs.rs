//! A blob on its way: a stream of exactly the bytes its descriptor promises, however often the connection breaks.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::header::RANGE;
use reqwest::{Method, Url};

use super::failure::Failure;
use super::request::{Registry, Response};
use crate::error::{Error, Kind, Result};
use crate::images::manifest::Descriptor;
use crate::model::{Context, Digest};

/// What a transfer cost.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes of blobs that came.
    pub fetched: AtomicU64,
    /// Those of them that were here before, or had come before.
    pub again: AtomicU64,
}

/// A blob from a registry, from some offset on. Its digest is for the reader to check; its size is checked here.
pub(crate) struct Download {
    registry: Registry,
    ctx: Context,
    repository: String,
    described: Descriptor,
    traffic: Arc<Traffic>,
    /// The offset of the next byte.
    at: u64,
    answer: Option<Response>,
    /// Whether parts may be asked for; one that answered wrongly is not asked for them again.
    has_ranges: bool,
    tries: u32,
    /// Where the first of these tries began.
    tried_at: u64,
}

/// Bytes that show that a connection is of some use, so that failures are counted anew.
const PROGRESS: u64 = 64 << 10;

impl Download {
    /// Asks for nothing yet.
    pub(crate) fn new(
        ctx: &Context,
        registry: &Registry,
        repository: &str,
        described: &Descriptor,
        offset: u64,
        traffic: &Arc<Traffic>,
    ) -> Download {
        Download {
            registry: registry.clone(),
            ctx: ctx.clone(),
            repository: repository.to_owned(),
            described: described.clone(),
            traffic: Arc::clone(traffic),
            at: offset,
            answer: None,
            has_ranges: true,
            tries: 0,
            tried_at: offset,
        }
    }

    fn what(&self) -> String {
        format!(
            "get the blob `{}` of `{}` from `{}`",
            self.described.digest,
            self.repository,
            self.registry.name()
        )
    }

    /// The answer that goes on at the current offset. What it takes to get an answer at all has been tried by then.
    fn open(&mut self) -> std::result::Result<Response, Failure> {
        let answer = self.ask().map_err(Failure::lasting)?;
        match answer.status() {
            200 => self.skip(answer),
            206 if self.goes_on(&answer) => Ok(answer),
            // It does not know what a range is, or is not sure how long the blob is.
            206 | 416 if self.has_ranges => {
                self.has_ranges = false;
                let answer = self.ask().and_then(|answer| answer.expect(&[200]));
                self.skip(answer.map_err(Failure::lasting)?)
            }
            _ => Err(Failure::lasting(answer.into_error())),
        }
    }

    fn ask(&self) -> Result<Response> {
        let own = format!("blobs/{}", self.described.digest);
        let request = self.registry.about(Method::GET, &self.repository, &own, "pull");
        let answer = self.send(request)?;
        if answer.status() != 404 || !self.described.is_undistributed() {
            return Ok(answer);
        }
        // What a registry must not keep it may say the source of.
        let urls = self
            .described
            .urls
            .iter()
            .flatten()
            .filter_map(|url| Url::parse(url).ok());
        let mut urls = urls.filter(|url| ["http", "https"].contains(&url.scheme()) && url.username().is_empty());
        match urls.next() {
            Some(url) => self.send(self.registry.at(Method::GET, url, super::Scope::none())),
            None => Ok(answer),
        }
    }

    fn send(&self, request: super::Request<'_>) -> Result<Response> {
        let mut request = request.blob().what(self.what());
        if self.at > 0 && self.has_ranges {
            request = request.header(RANGE, format!("bytes={}-", self.at));
        }
        request.send(&self.ctx)
    }

    /// Whether an answer has the rest of the blob, from the offset on (RFC 9110, 14.4).
    fn goes_on(&self, answer: &Response) -> bool {
        let Some(range) = answer
            .header("content-range")
            .and_then(|header| header.strip_prefix("bytes "))
        else {
            return false;
        };
        let Some((range, total)) = range.split_once('/') else {
            return false;
        };
        let first = range.split('-').next().and_then(|first| first.parse::<u64>().ok());
        let is_whole = total == "*" || total.parse() == Ok(self.described.size);
        first == Some(self.at) && is_whole
    }

    /// Goes on in an answer that starts at the beginning.
    fn skip(&self, mut answer: Response) -> std::result::Result<Response, Failure> {
        if let Some(length) = answer.length().filter(|length| *length != self.described.size) {
            return Err(Failure::lasting(self.wrong_size(format!("{length} bytes"))));
        }
        let (mut left, mut buffer) = (self.at, vec![0; 64 << 10]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let length = answer.read(&self.ctx, &mut buffer[..most])? as u64;
            if length == 0 {
                return Err(truncated());
            }
            self.traffic.fetched.fetch_add(length, Ordering::Relaxed);
            self.traffic.again.fetch_add(length, Ordering::Relaxed);
            left -= length;
        }
        Ok(answer)
    }

    fn wrong_size(&self, found: impl std::fmt::Display) -> Error {
        let size = self.described.size;
        Error::corrupt(format!("it has {found}, and should have {size}")).during(self.what())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.step(buffer) {
                Ok(length) => return Ok(length),
                Err(failure) => self.rest(failure)?,
            }
        }
    }

    fn step(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Failure> {
        let is_whole = self.at == self.described.size;
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None if is_whole => return Ok(0),
            None => self.open()?,
        };
        let length = answer.read(&self.ctx, buffer)?;
        if length == 0 {
            return if is_whole { Ok(0) } else { Err(truncated()) };
        }
        self.at += length as u64;
        self.traffic.fetched.fetch_add(length as u64, Ordering::Relaxed);
        if self.at > self.described.size {
            return Err(Failure::lasting(self.wrong_size("more bytes")));
        }
        self.answer = Some(answer);
        Ok(length)
    }

    /// Rests after a failure, or gives up.
    fn rest(&mut self, failure: Failure) -> Result<()> {
        // However much comes of one that drips, it is not gone on with for ever.
        if self.at - self.tried_at >= PROGRESS && failure.error.kind() != Kind::Timeout {
            self.tries = 0;
        }
        self.tries += 1;
        self.tried_at = self.at;
        let rest = self
            .registry
            .retry()
            .rest(self.tries, None)
            .filter(|_| failure.is_transient);
        match rest {
            Some(rest) => self.ctx.sleep(rest),
            None if failure.is_transient && self.tries > 1 => Err(failure
                .error
                .during(self.what())
                .after(format!("tried {} times", self.tries))),
            None => Err(failure.error),
        }
    }
}

impl Registry {
    /// The bytes of a blob, as the registry says; `None` if it has none. Errors: `unsupported` where it does not say.
    pub fn blob_size(&self, ctx: &Context, repository: &str, digest: &Digest) -> Result<Option<u64>> {
        let what = format!("look for the blob `{digest}` of `{repository}` at `{}`", self.name());
        let request = self.about(Method::HEAD, repository, &format!("blobs/{digest}"), "pull");
        let answer = request.what(&what).blob().send(ctx)?;
        if answer.status() == 404 {
            return Ok(None);
        }
        let answer = answer.expect(&[200])?;
        let unknown = || Error::unsupported("the registry does not say how long it is").during(&what);
        answer.length().map(Some).ok_or_else(unknown)
    }
}

fn truncated() -> Failure {
    Failure {
        error: Error::network("the connection ended before the blob did"),
        is_transient: true,
        is_unsent: false,
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(io::Error::other)
    }
}
