//! The same protocol for a registry that stands before another: reading only, from what is kept and from what comes.

use serde_json::json;

use super::blobs;
use super::lists::{self, INDEX};
use super::refusal::Refusal;
use super::route::{Named, Route};
use super::{Answer, Registry};
use crate::error::{Error, Kind};
use crate::host::{CacheFilter, ManifestName, ProxiedBlob, Proxy, ServedBlob};
use crate::images::Follower;
use crate::model::{ByteSize, Context, Digest};
use crate::server::http::{Content, Head, Reply};

/// What tells a client that an answer is from before, and that nobody could say whether it still holds (RFC 7234, 5.5.1; RFC 9111 lets
/// it stand for people).
const STALE: (&str, &str) = ("Warning", "110 - \"the upstream registry gives no answer\"");

impl Registry {
    pub(super) fn proxied(&self, proxy: &Proxy, ctx: &Context, head: &Head, route: &Route) -> Answer {
        // Clients say so which registry they mean where one is asked for all of them; another's images are not to pass for its own.
        let meant = head.parameter("ns").filter(|meant| *meant != proxy.upstream());
        if let Some(meant) = meant {
            let meant: String = meant.escape_debug().take(200).collect();
            return Err(Refusal::unknown(
                "NAME_UNKNOWN",
                format!("this registry stands before `{}`, not `{meant}`", proxy.upstream()),
            ));
        }
        match (head.method.as_str(), route) {
            ("GET" | "HEAD", Route::Root) => Ok(Reply::new(200).json(&json!({}))),
            ("GET", Route::Catalog) => lists::names(head, proxy.repositories()?),
            ("GET", Route::Tags(named)) => proxied_tags(proxy, ctx, head, named),
            ("GET", Route::Referrers(named, digest)) => proxied_referrers(proxy, ctx, head, named, digest),
            ("GET" | "HEAD", Route::Manifest(named, manifest)) => {
                self.proxied_manifest(proxy, ctx, head, named, manifest)
            }
            ("HEAD", Route::Blob(named, digest)) => {
                let size = proxy
                    .blob_size(ctx, &named.name, digest)
                    .map_err(|error| refused(&error))?;
                let size = size.ok_or_else(|| blobs::unknown(named, digest))?;
                // Nothing of it is read for a head.
                let empty = ServedBlob::Made(Box::new(std::io::empty()), size);
                blobs::hand_out(head, digest, size, |first, length| blobs::part(empty, first, length))
            }
            ("GET", Route::Blob(named, digest)) => proxied_blob(proxy, ctx, head, named, digest),
            _ => Err(Refusal::unsupported(format!(
                "this registry hands on what `{}` has, and takes nothing",
                proxy.upstream()
            ))),
        }
    }

    fn proxied_manifest(
        &self,
        proxy: &Proxy,
        ctx: &Context,
        head: &Head,
        named: &Named,
        manifest: &ManifestName,
    ) -> Answer {
        let found = proxy
            .manifest(ctx, &named.name, manifest)
            .map_err(|error| refused(&error))?;
        let Some(found) = found else {
            return Err(Refusal::unknown(
                "MANIFEST_UNKNOWN",
                format!("`{}` has no such manifest in `{}`", proxy.upstream(), named.name),
            ));
        };
        let reply = self.hand_out(head, named, &found.found)?;
        Ok(match found.is_stale {
            true => reply.header(STALE.0, STALE.1),
            false => reply,
        })
    }

    /// Keeps to the quota: what was not wanted for longest goes.
    pub(super) fn tidy(&self) {
        if let (Some(_), Some(quota)) = (&self.proxy, self.quota) {
            let filter = CacheFilter {
                total_at_most: Some(ByteSize(quota)),
                ..CacheFilter::default()
            };
            // What cannot be removed now is tried again.
            let _ = self.host.prune_cache(&filter);
        }
    }
}

fn proxied_blob(proxy: &Proxy, ctx: &Context, head: &Head, named: &Named, digest: &Digest) -> Answer {
    let found = proxy.blob(ctx, &named.name, digest).map_err(|error| refused(&error))?;
    match found.ok_or_else(|| blobs::unknown(named, digest))? {
        ProxiedBlob::File(file, size) => {
            blobs::hand_out(head, digest, size, |first, length| Content::File(file, first, length))
        }
        ProxiedBlob::Coming(relay) => blobs::hand_out(head, digest, relay.size(), |first, length| {
            Content::Stream(Box::new(Follower::new(&relay, first, length)), 0, length)
        }),
    }
}

fn proxied_tags(proxy: &Proxy, ctx: &Context, head: &Head, named: &Named) -> Answer {
    let pairs = head.query().filter(|(name, _)| *name != "ns");
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{}={}", lists::encoded(name), lists::encoded(value)))
        .collect();
    let found = proxy.tags(ctx, &named.name, &pairs.join("&"));
    let (tags, next, is_stale) = found.map_err(|error| match error.kind() {
        Kind::NotFound => Refusal::unknown(
            "NAME_UNKNOWN",
            format!("`{}` has no repository `{}`", proxy.upstream(), named.name),
        ),
        _ => refused(&error),
    })?;
    let mut reply = Reply::new(200).json(&json!({"name": named.name, "tags": tags}));
    if let Some(next) = next {
        reply = reply.header("Link", format!("</v2/{}/tags/list?{next}>; rel=\"next\"", named.name));
    }
    Ok(match is_stale {
        true => reply.header(STALE.0, STALE.1),
        false => reply,
    })
}

fn proxied_referrers(proxy: &Proxy, ctx: &Context, head: &Head, named: &Named, digest: &Digest) -> Answer {
    let kind = head.parameter("artifactType").filter(|kind| !kind.is_empty());
    let found = proxy.referrers(ctx, &named.name, digest, kind);
    let found = found.map_err(|error| refused(&error))?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": found});
    let reply = Reply::new(200).json_as(INDEX, &index);
    Ok(match kind {
        Some(_) => reply.header("OCI-Filters-Applied", "artifactType"),
        None => reply,
    })
}

/// What the other registry said instead of giving what was wanted. Its words are passed on: they name no secret.
fn refused(error: &Error) -> Refusal {
    let (status, code) = match error.kind() {
        Kind::NotFound => (404, "NAME_UNKNOWN"),
        // Who asks here has nothing that could be shown there.
        Kind::Unauthorized | Kind::Denied => (403, "DENIED"),
        Kind::RateLimited => (429, "TOOMANYREQUESTS"),
        Kind::Network | Kind::Corrupt => (502, "UNKNOWN"),
        Kind::Timeout => (504, "UNKNOWN"),
        Kind::Unsupported | Kind::Invalid => (400, "UNSUPPORTED"),
        _ => return Refusal::of(error, &[], 500, "UNKNOWN"),
    };
    Refusal::new(status, code, error.message())
}
