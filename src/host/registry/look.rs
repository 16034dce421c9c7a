//! What is in registries: looked at, named, taken away; nothing of it comes here.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Place;
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::images::registry::{Allowance, Credential, Described, Registry};
use crate::model::{Context, Digest, Platform, Reference, Secret};

/// How a registry is asked: options that all functions of `registry::` have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asking {
    /// Whether the registry's certificate must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// Who asks.
    pub username: Option<String>,
    /// The password or access token.
    pub password: Option<Secret>,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
    /// The most that is listed.
    pub limit: Option<usize>,
    /// Of an image for several platforms, the one to look at.
    pub platform: Option<String>,
    /// What kind of artifact is looked for.
    pub artifact_type: Option<String>,
}

impl Asking {
    pub(in crate::host) fn credential(&self) -> Result<Option<Credential>> {
        Credential::given(self.username.as_deref(), self.password.as_ref())
    }
}

/// A reference at the registry that has it.
pub(super) struct There {
    pub(super) reference: Reference,
    pub(super) registry: Registry,
    pub(super) repository: String,
    /// Its tag or digest; a digest says more.
    pub(super) wanted: String,
}

impl Host {
    /// Where something is in truth, as one who writes sees it: no mirror.
    pub(super) fn there(&self, ctx: &Context, text: &str, asking: &Asking) -> Result<There> {
        let reference: Reference = text.parse()?;
        let place = self.destination_of(&reference, asking.tls_verify)?;
        let registry = self.asked(ctx, &place, asking)?;
        let wanted = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        Ok(There {
            registry,
            repository: place.repository,
            wanted,
            reference,
        })
    }

    pub(in crate::host) fn asked(&self, ctx: &Context, place: &Place, asking: &Asking) -> Result<Registry> {
        let registry = self.registry_at(ctx, place, asking.credential()?)?;
        Ok(match asking.retries {
            Some(retries) => registry.with_retries(retries),
            None => registry,
        })
    }

    /// A registry as a whole.
    pub(super) fn whole(&self, ctx: &Context, host: &str, asking: &Asking) -> Result<Registry> {
        let somewhere: Reference = format!("{host}/any").parse()?;
        let place = self.destination_of(&somewhere, asking.tls_verify)?;
        let place = Place {
            repository: String::new(),
            ..place
        };
        self.asked(ctx, &place, asking)
    }

    /// The repositories of a registry. Errors: `unsupported` where it does not tell.
    pub fn remote_repositories(&self, ctx: &Context, host: &str, asking: &Asking) -> Result<Vec<String>> {
        let registry = self.whole(ctx, host, asking)?;
        let mut found = registry.repositories(ctx)?;
        found.truncate(asking.limit.unwrap_or(usize::MAX));
        Ok(found)
    }

    /// The tags of a repository. Errors: `not_found` if there is no such repository.
    pub fn remote_tags(&self, ctx: &Context, repository: &str, asking: &Asking) -> Result<Vec<String>> {
        let there = self.there(ctx, repository, asking)?;
        let found = there.registry.tags(ctx, &there.repository);
        let mut tags = match found {
            // A dry run may have copied something there.
            Err(error) if error.kind() == Kind::NotFound && self.plan().is_some() => Vec::new(),
            found => found?,
        };
        self.imagined_tags(&there.reference, &mut tags);
        tags.truncate(asking.limit.unwrap_or(usize::MAX));
        Ok(tags)
    }

    /// The digest that a name stands for; `None` if there is no such name.
    pub fn remote_digest(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<Option<Digest>> {
        let there = self.digest_there(ctx, name, asking)?;
        Ok(match self.plan() {
            None => there,
            Some(_) => self.imagined_digest(&name.parse()?, there),
        })
    }

    fn digest_there(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<Option<Digest>> {
        let there = self.there(ctx, name, asking)?;
        let (registry, repository) = (&there.registry, &there.repository);
        let found = match registry.head(ctx, repository, &there.wanted) {
            Ok(Some(head)) if head.digest.is_some() => return Ok(head.digest),
            Ok(_) => registry
                .manifest(ctx, repository, &there.wanted)
                .map(|found| Some(found.digest)),
            Err(error) => Err(error),
        };
        match found {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            found => found,
        }
    }

    /// The manifest or index of a name, parsed. Errors: `not_found`, `corrupt`.
    pub fn remote_manifest(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<Value> {
        let there = self.there(ctx, name, asking)?;
        let found = there.registry.manifest(ctx, &there.repository, &there.wanted)?;
        serde_json::from_slice(&found.bytes)
            .map_err(|cause| Error::corrupt(format!("the manifest of `{name}` is not valid: {cause}")))
    }

    /// What is known of an image without its layers. Errors: `not_found`, `corrupt`; `invalid` for a platform it is not for.
    pub fn remote_image(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<Value> {
        let there = self.there(ctx, name, asking)?;
        let platform: Option<Platform> = asking.platform.as_deref().map(str::parse).transpose()?;
        let found = there
            .registry
            .describe(ctx, &there.repository, &there.wanted, platform.as_ref())?;
        Ok(described(&there.reference, &found))
    }

    /// What says of itself that it is about an image: signatures, lists of contents. Descriptors, as the registry has them.
    pub fn remote_referrers(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<Vec<Value>> {
        let there = self.there(ctx, name, asking)?;
        let digest = self.remote_digest(ctx, name, asking)?.ok_or_else(|| missing(name))?;
        let artifact_type = asking.artifact_type.as_deref();
        let mut found = there
            .registry
            .referrers(ctx, &there.repository, &digest, artifact_type)?;
        found.truncate(asking.limit.unwrap_or(usize::MAX));
        Ok(found)
    }

    /// How many pulls a registry allows; `None` where it does not say.
    pub fn remote_allowance(&self, ctx: &Context, host: &str, asking: &Asking) -> Result<Option<Allowance>> {
        self.whole(ctx, host, asking)?.allowance(ctx)
    }

    /// Has a further tag stand for what a name stands for, within its repository: nothing is moved but the manifest's bytes.
    pub fn remote_tag(&self, ctx: &Context, name: &str, tag: &str, asking: &Asking) -> Result<Reference> {
        let there = self.there(ctx, name, asking)?;
        let tagged = there.reference.with_tag(tag)?;
        let found = there.registry.manifest(ctx, &there.repository, &there.wanted)?;
        self.check_remote_move(ctx, &tagged, &found.digest, asking)?;
        match self.planned("registry::tag", &tagged.familiar(), &found.digest.to_string()) {
            true => self.imagine_name(&tagged, Some(&found.digest)),
            false => there.registry.retag(ctx, &there.repository, tag, &found)?,
        }
        Ok(tagged)
    }

    /// Removes a manifest by its digest, and with it every tag that stands for it. Errors: `invalid` for a name without a digest.
    pub fn remote_delete(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<()> {
        let there = self.there(ctx, name, asking)?;
        let Some(digest) = there.reference.digest() else {
            let text = format!("`{name}` names no digest, and a tag alone may be one of several");
            return Err(Error::invalid(text).target(name).hint(
                "name what is to go by its digest, `NAME@sha256:…`, or take the tag away by `registry::delete_tag`",
            ));
        };
        if self.remote_digest(ctx, name, asking)?.is_none() {
            return Err(missing(name));
        }
        self.check_remote(&there.reference)?;
        match self.planned("registry::delete", name, "with every tag that stands for it") {
            true => {
                self.imagine_gone(there.reference.repository(), digest);
                Ok(())
            }
            false => there.registry.delete(ctx, &there.repository, digest),
        }
    }

    /// Takes a tag away; other tags of the same image stay.
    pub fn remote_delete_tag(&self, ctx: &Context, name: &str, asking: &Asking) -> Result<()> {
        let there = self.there(ctx, name, asking)?;
        let tag = match (there.reference.digest(), there.reference.tag()) {
            (None, Some(tag)) if name.ends_with(&format!(":{tag}")) => tag,
            _ => {
                return Err(Error::invalid(format!("`{name}` names no tag"))
                    .target(name)
                    .hint("a tag is named as `NAME:TAG`"));
            }
        };
        if self.remote_digest(ctx, name, asking)?.is_none() {
            return Err(missing(name));
        }
        self.check_remote(&there.reference)?;
        match self.planned("registry::delete_tag", &there.reference.familiar(), "") {
            true => {
                self.imagine_name(&there.reference, None);
                Ok(())
            }
            false => {
                there.registry.untag(ctx, &there.repository, tag)?;
                self.count(|effects| effects.tags_deleted += 1);
                Ok(())
            }
        }
    }
}

pub(super) fn missing(name: &str) -> Error {
    Error::not_found(format!("there is no `{name}` at its registry")).target(name)
}

fn described(reference: &Reference, found: &Described) -> Value {
    let config: Value = serde_json::from_slice(&found.config).unwrap_or_default();
    let run = &config["config"];
    let layers: Vec<Value> = found
        .layers
        .iter()
        .map(|(digest, size, media_type)| json!({ "digest": digest, "size": size, "media_type": media_type }))
        .collect();
    json!({
        "name": reference.familiar(),
        "digest": found.digest,
        "media_type": found.media_type,
        "platforms": found.platforms,
        "manifest_digest": found.manifest,
        "id": found.id,
        "created": config["created"],
        "os": config["os"],
        "architecture": config["architecture"],
        "labels": run["Labels"].as_object().cloned().unwrap_or_default(),
        "env": run["Env"],
        "cmd": run["Cmd"],
        "entrypoint": run["Entrypoint"],
        "size": found.size(),
        "layers": layers,
    })
}
