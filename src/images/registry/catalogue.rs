//! What is asked of a registry as a whole: whether it is one and takes who asks, and which repositories it has.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::request::{Registry, Response};
use super::session::Scope;
use crate::error::{Error, Kind, Result};
use crate::model::{Context, Digest};

impl Registry {
    /// Asks whether there is a registry, and whether it takes the credentials (OCI distribution-spec, "Determining Support").
    ///
    /// Errors: `unauthorized`, `not_found` for something that is no registry, `network`.
    pub fn greet(&self, ctx: &Context) -> Result<()> {
        let request = self.request(Method::GET, "", Scope::none());
        let answer = request.what(format!("log in to `{}`", self.name())).send(ctx)?;
        match answer.status() {
            200 => Ok(()),
            404 => Err(Error::not_found(format!("there is no registry at `{}`", self.name())).target(self.name())),
            _ => {
                let error = answer.into_error();
                let way_out = "look at user and password; a registry may want an access token in place of the password";
                Err(match error.kind() {
                    Kind::Unauthorized => error.hint(way_out),
                    _ => error,
                })
            }
        }
    }

    /// All repositories, as far as the registry tells (`_catalog`, which is Docker's and no part of the specification).
    ///
    /// Errors: `unsupported` where it does not, `unauthorized`.
    pub fn repositories(&self, ctx: &Context) -> Result<Vec<String>> {
        let what = format!("list the repositories of `{}`", self.name());
        let mut all = Vec::new();
        let listed = self.pages(
            ctx,
            "_catalog?n=1000",
            &Scope::catalogue(),
            &what,
            |page: Repositories| {
                all.extend(page.repositories.unwrap_or_default());
                Ok(true)
            },
        );
        match listed {
            Ok(()) => Ok(all),
            Err(error) if matches!(error.http_status(), Some(404 | 405 | 501)) => Err(error
                .with_kind(Kind::Unsupported)
                .hint("many registries tell nobody what they have: name the repositories")),
            Err(error) => Err(error),
        }
    }

    /// The manifests that say they are about another, as descriptors: of one type, or of all. By the registry's own list, or where it
    /// has none by the index under the tag that stands for the digest (OCI distribution-spec, "Listing Referrers").
    pub(crate) fn referrers(
        &self,
        ctx: &Context,
        repository: &str,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Value>> {
        let prefix = &self.endpoint().prefix;
        let path = format!("{prefix}{repository}/referrers/{digest}");
        let what = format!("list what refers to `{digest}` in `{repository}` at `{}`", self.name());
        let mut found = Vec::new();
        let scope = Scope::pull(&format!("{prefix}{repository}"));
        let listed = self.pages(ctx, &path, &scope, &what, |page: Index| {
            found.extend(page.manifests);
            Ok(found.len() < self.limits().manifests)
        });
        match listed {
            Ok(()) => {}
            Err(error) if matches!(error.http_status(), Some(400 | 404 | 405 | 501)) => {
                found = self.tagged_referrers(ctx, repository, digest)?;
            }
            Err(error) => return Err(error),
        }
        // A registry need not sort them out by itself.
        found.retain(|entry| artifact_type.is_none_or(|wanted| entry["artifactType"] == wanted));
        Ok(found)
    }

    fn tagged_referrers(&self, ctx: &Context, repository: &str, digest: &Digest) -> Result<Vec<Value>> {
        match self.manifest(ctx, repository, &referrers_tag(digest)) {
            Ok(received) => {
                let index: Index = serde_json::from_slice(&received.bytes)
                    .map_err(|cause| Error::corrupt(format!("the list of referrers is not valid: {cause}")))?;
                Ok(index.manifests)
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What the registry allows who asks; `None` where it does not say. Asking does not count at Docker Hub.
    pub fn allowance(&self, ctx: &Context) -> Result<Option<Allowance>> {
        let answer = match self.name() {
            // The repository that is there to ask this.
            "docker.io" => self.about(Method::HEAD, "ratelimitpreview/test", "manifests/latest", "pull"),
            _ => self.request(Method::GET, "", Scope::none()),
        };
        let answer = answer.what(format!("ask `{}` for its limits", self.name())).send(ctx)?;
        Ok(Allowance::of(&answer))
    }
}

/// How much may be pulled in some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Pulls in all.
    pub limit: u64,
    /// Those that are left.
    pub remaining: u64,
    /// The time they are for, in seconds.
    pub window: u64,
    /// Whom they are counted for: an address or a user, as the registry names it.
    pub source: Option<String>,
}

impl Allowance {
    fn of(answer: &Response) -> Option<Allowance> {
        let (limit, window) = counted(answer.header("ratelimit-limit")?)?;
        let (remaining, _) = counted(answer.header("ratelimit-remaining")?)?;
        Some(Allowance {
            limit,
            remaining,
            window,
            source: answer.header("docker-ratelimit-source").map(str::to_owned),
        })
    }
}

/// `100;w=21600`: a number, and the seconds it is for.
fn counted(header: &str) -> Option<(u64, u64)> {
    let (number, rest) = header.split_once(';').unwrap_or((header, ""));
    let window = rest.trim().strip_prefix("w=").and_then(|window| window.parse().ok());
    Some((number.trim().parse().ok()?, window.unwrap_or(0)))
}

/// The tag under which a registry without a list of referrers keeps one.
pub(super) fn referrers_tag(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.hex())
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i37_what_is_left_is_read_from_the_headers() {
        assert_eq!(counted("100;w=21600"), Some((100, 21600)));
        assert_eq!(counted("76"), Some((76, 0)));
        assert_eq!(counted("many"), None);
    }
}
