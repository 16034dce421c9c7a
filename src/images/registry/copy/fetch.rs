//! A blob of a registry as a stream that starts when it is first read, from any offset on.

use std::io::{self, Read};

use reqwest::Method;
use reqwest::header::RANGE;

use crate::error::{Error, Result};
use crate::images::manifest::Descriptor;
use crate::images::registry::{Registry, Response};
use crate::model::Context;

/// The stream. Whoever sends it on starts another one where this one breaks off.
pub(super) struct Fetch {
    ctx: Context,
    registry: Registry,
    repository: String,
    blob: Descriptor,
    at: u64,
    answer: Option<Response>,
}

impl Fetch {
    pub(super) fn new(ctx: &Context, registry: &Registry, repository: &str, blob: &Descriptor, offset: u64) -> Fetch {
        Fetch {
            ctx: ctx.clone(),
            registry: registry.clone(),
            repository: repository.to_owned(),
            blob: blob.clone(),
            at: offset,
            answer: None,
        }
    }

    fn open(&self) -> Result<Response> {
        let path = format!("blobs/{}", self.blob.digest);
        let what = format!(
            "get `{}` of `{}` from `{}`",
            self.blob.digest,
            self.repository,
            self.registry.name()
        );
        let request = self
            .registry
            .about(Method::GET, &self.repository, &path, "pull")
            .blob()
            .what(&what);
        if self.at == 0 {
            return request.send(&self.ctx)?.expect(&[200]);
        }
        let range = format!("bytes={}-", self.at);
        let mut answer = request.header(RANGE, range).send(&self.ctx)?.expect(&[200, 206])?;
        if answer.status() == 206 {
            let goes_on = answer
                .header("content-range")
                .is_some_and(|range| range.starts_with(&format!("bytes {}-", self.at)));
            return match goes_on {
                true => Ok(answer),
                false => Err(Error::corrupt("the answer has another part than was asked for").during(what)),
            };
        }
        let (mut left, mut buffer) = (self.at, vec![0; 64 << 10]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match answer
                .read(&self.ctx, &mut buffer[..most])
                .map_err(|failure| failure.error)?
            {
                0 => return Err(Error::network("the connection ended before the blob did").during(what)),
                length => left -= length as u64,
            }
        }
        Ok(answer)
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.at == self.blob.size {
            return Ok(0);
        }
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => self.open()?,
        };
        let left = usize::try_from(self.blob.size - self.at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let length = answer
            .read(&self.ctx, &mut buffer[..left])
            .map_err(|failure| failure.error)?;
        if length == 0 {
            return Err(Error::network("the connection ended before the blob did"));
        }
        self.at += length as u64;
        self.answer = Some(answer);
        Ok(length)
    }
}

impl Read for Fetch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(io::Error::other)
    }
}
