//! Manifests, indexes and configurations as a registry gives them: small, verified, byte for byte as they came.

use reqwest::Method;
use reqwest::header::ACCEPT;

use super::request::{Registry, Request, Response};
use crate::error::{Error, Result};
use crate::images::content::check_digest;
use crate::images::limits;
use crate::images::manifest::{self, Descriptor, Document, READABLE};
use crate::model::{Context, Digest};

/// What a tag or a digest stands for at a registry, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its digest, as far as the registry says; nothing vouches for it.
    pub digest: Option<Digest>,
    /// Its media type; empty if the registry does not say.
    pub media_type: String,
}

/// A manifest or an index.
#[derive(Debug, Clone)]
pub struct Received {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its media type as the registry told it.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Received {
    /// What it says. Errors: `corrupt`, also where its media type does not fit (CVE-2021-41190); `unsupported`.
    pub(crate) fn document(&self, limits: &limits::Limits) -> Result<Document> {
        // Some registries call everything `application/json`.
        let media_type = Some(self.media_type.as_str()).filter(|said| READABLE.contains(said));
        let described = Descriptor::new(
            media_type.unwrap_or_default(),
            self.digest.clone(),
            self.bytes.len() as u64,
        );
        manifest::parse_described(&self.bytes, &described, limits)
    }
}

impl Registry {
    /// What a tag or a digest of a repository stands for; `None` if the registry does not answer such questions.
    ///
    /// Docker Hub does not count it as a pull. Errors: `not_found`, `unauthorized`, `denied`, `rate_limited`, `network`.
    pub fn head(&self, ctx: &Context, repository: &str, wanted: &str) -> Result<Option<Head>> {
        let answer = self.ask_manifest(Method::HEAD, repository, wanted).send(ctx)?;
        if [400, 405, 501].contains(&answer.status()) {
            return Ok(None);
        }
        let answer = answer.expect(&[200])?;
        Ok(Some(Head {
            digest: stated_digest(&answer),
            media_type: media_type(&answer),
        }))
    }

    /// The manifest or index that a tag or a digest stands for. Errors: as of [`Registry::head`]; `corrupt` if it is not what it is called.
    pub fn manifest(&self, ctx: &Context, repository: &str, wanted: &str) -> Result<Received> {
        let (answer, bytes) = self.ask_manifest(Method::GET, repository, wanted).whole(ctx)?;
        let (stated, media_type) = (stated_digest(&answer), media_type(&answer));
        let named = wanted.parse::<Digest>().ok().or(stated);
        let digest = named
            .as_ref()
            .map_or_else(|| Digest::of(&bytes), |named| named.same_of(&bytes));
        if let Some(named) = named {
            let what = format!("the manifest that `{}` sent", self.name());
            let checked = check_digest(&digest, &named, &what);
            checked.map_err(|error| error.during(self.asking(repository, wanted)))?;
        }
        Ok(Received {
            digest,
            media_type,
            bytes,
        })
    }

    fn ask_manifest(&self, method: Method, repository: &str, wanted: &str) -> Request<'_> {
        let what = self.asking(repository, wanted);
        let request = self
            .about(method, repository, &format!("manifests/{wanted}"), "pull")
            .what(what);
        request.header(ACCEPT, READABLE.join(", "))
    }

    /// What is done where a manifest is asked for.
    pub(crate) fn asking(&self, repository: &str, wanted: &str) -> String {
        let mark = if wanted.contains(':') { '@' } else { ':' };
        format!(
            "get the manifest of `{repository}{mark}{wanted}` from `{}`",
            self.name()
        )
    }

    /// A small blob, verified. Errors: `corrupt` if it has another digest or size, or is longer than documents may be.
    pub(crate) fn document(&self, ctx: &Context, repository: &str, described: &Descriptor) -> Result<Vec<u8>> {
        let limit = self.limits().document;
        let what = format!("get `{}` of `{repository}` from `{}`", described.digest, self.name());
        if described.size > limit {
            return Err(limits::exceeded("the size of the configuration", "document", limit).during(what));
        }
        let request = self.about(Method::GET, repository, &format!("blobs/{}", described.digest), "pull");
        let (_, bytes) = request.what(&what).blob().whole(ctx)?;
        if bytes.len() as u64 != described.size {
            let message = format!("it has {} bytes, and should have {}", bytes.len(), described.size);
            return Err(Error::corrupt(message).during(what));
        }
        check_digest(
            &described.digest.same_of(&bytes),
            &described.digest,
            "the configuration",
        )
        .map_err(|error| error.during(what))?;
        Ok(bytes)
    }

    pub(super) fn limits(&self) -> &limits::Limits {
        &self.transport.settings().limits
    }
}

fn stated_digest(answer: &Response) -> Option<Digest> {
    answer.header("docker-content-digest")?.parse().ok()
}

fn media_type(answer: &Response) -> String {
    let header = answer.header("content-type").unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim().to_owned()
}
