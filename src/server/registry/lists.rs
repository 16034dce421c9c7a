//! Lists, in pages: tags, repositories, and what refers to a manifest.

use serde_json::json;

use super::refusal::Refusal;
use super::route::Named;
use super::{Answer, Registry};
use crate::model::Digest;
use crate::server::http::{Head, Reply};

/// Names on a page, whoever asks for more.
const PAGE: usize = 10_000;
/// Descriptors on a page: with annotations it is to stay below what clients read of an index.
const REFERRERS: usize = 500;

impl Registry {
    pub(super) fn tags(&self, head: &Head, named: &Named) -> Answer {
        let (count, last) = page(head)?;
        let found = self.host.repository_tags(&named.repository, last, count + 1)?;
        let tags = found
            .ok_or_else(|| Refusal::unknown("NAME_UNKNOWN", format!("there is no repository `{}`", named.name)))?;
        let (tags, next) = cut(tags, count);
        let reply = Reply::new(200).json(&json!({"name": named.name, "tags": tags}));
        Ok(linked(
            reply,
            &format!("/v2/{}/tags/list?n={count}", named.name),
            next.as_deref(),
        ))
    }

    pub(super) fn catalog(&self, head: &Head) -> Answer {
        names(head, self.host.repositories()?)
    }

    pub(super) fn referrers(&self, head: &Head, named: &Named, digest: &Digest) -> Answer {
        let mut found = self.host.referrers(&named.repository, digest)?;
        let kind = head.parameter("artifactType").filter(|kind| !kind.is_empty());
        if let Some(kind) = kind {
            found.retain(|referrer| referrer.artifact_type.as_deref() == Some(kind));
        }
        let last = head.parameter("last").unwrap_or_default();
        found.retain(|referrer| referrer.digest.as_str() > last);
        let more = found.len() > REFERRERS;
        found.truncate(REFERRERS);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": found,
        });
        let mut reply = Reply::new(200).json_as(INDEX, &index);
        if kind.is_some() {
            reply = reply.header("OCI-Filters-Applied", "artifactType");
        }
        let next = found.last().filter(|_| more).map(|referrer| referrer.digest.as_str());
        let kind = kind
            .map(|kind| format!("artifactType={}", encoded(kind)))
            .unwrap_or_default();
        Ok(linked(
            reply,
            &format!("/v2/{}/referrers/{digest}?{kind}", named.name),
            next,
        ))
    }
}

/// Answers with a page of repositories, which are in order.
pub(super) fn names(head: &Head, mut names: Vec<String>) -> Answer {
    let (count, last) = page(head)?;
    names.retain(|name| name.as_str() > last);
    let (names, next) = cut(names, count);
    let reply = Reply::new(200).json(&json!({"repositories": names}));
    Ok(linked(reply, &format!("/v2/_catalog?n={count}"), next.as_deref()))
}

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How many names are asked for, and after which.
fn page(head: &Head) -> Result<(usize, &str), Refusal> {
    let count = match head.parameter("n") {
        None => PAGE,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| Refusal::new(400, "UNSUPPORTED", "`n` is no number of names"))?
            .min(PAGE),
    };
    Ok((count, head.parameter("last").unwrap_or_default()))
}

/// The first names, and the last of them if there are more. Of no names there is none to go on from.
fn cut(mut names: Vec<String>, count: usize) -> (Vec<String>, Option<String>) {
    let more = names.len() > count;
    names.truncate(count);
    let next = names.last().filter(|_| more).cloned();
    (names, next)
}

/// With the way to the next page (RFC 8288).
fn linked(reply: Reply, base: &str, next: Option<&str>) -> Reply {
    match next {
        Some(next) => reply.header("Link", format!("<{base}&last={}>; rel=\"next\"", encoded(next))),
        None => reply,
    }
}

/// A parameter's value as an address has it (RFC 3986, 2.3).
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
