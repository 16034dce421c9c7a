//! Manifests and tags in a registry: set, moved, taken away (OCI distribution-spec, "Pushing Manifests" and "Content Management").

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};

use super::body::Body;
use super::documents::{Head, Received};
use super::request::{Registry, Response};
use super::upload::Parcel;
use crate::error::{Error, Kind, Result};
use crate::images::content::check_digest;
use crate::images::manifest::{self, Descriptor, OCI_CONFIG, OCI_MANIFEST, READABLE};
use crate::model::{Context, Digest, random_hex};

impl Registry {
    /// What a tag or digest stands for, asked by one who is to push: one token then does for all that follows.
    pub(super) fn head_to_push(&self, ctx: &Context, repository: &str, wanted: &str) -> Result<Option<Head>> {
        let request = self.about_manifest(Method::HEAD, repository, wanted, "pull,push");
        let what = format!("look for `{wanted}` in `{repository}` at `{}`", self.name());
        let answer = request.what(what).header(ACCEPT, READABLE.join(", ")).send(ctx)?;
        match answer.status() {
            200 => Ok(Some(Head {
                digest: answer
                    .header("docker-content-digest")
                    .and_then(|digest| digest.parse().ok()),
                media_type: answer.header("content-type").unwrap_or_default().to_owned(),
            })),
            400 | 404 | 405 | 501 => Ok(None),
            _ => Err(answer.into_error()),
        }
    }

    /// Sets what a tag or a digest stands for, byte for byte. Whether the registry took note of the manifest's subject is told back.
    ///
    /// Errors: `corrupt` if the registry made something else of it; what it says is wrong.
    pub(crate) fn put_manifest(
        &self,
        ctx: &Context,
        repository: &str,
        wanted: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool> {
        let what = format!("set `{wanted}` of `{repository}` at `{}`", self.name());
        let request = self
            .about_manifest(Method::PUT, repository, wanted, "pull,push")
            .what(&what);
        let request = request
            .header(CONTENT_TYPE, media_type)
            .body(Body::Bytes(bytes.to_vec().into()));
        let answer = request.send(ctx)?.expect(&[200, 201, 202])?;
        if let Some(made) = stated(&answer) {
            check_digest(&made, &made.same_of(bytes), "what the registry made of the manifest")
                .map_err(|error| error.during(what))?;
        }
        Ok(answer.header("oci-subject").is_some())
    }

    /// Has a tag stand for a manifest that the repository has.
    pub fn retag(&self, ctx: &Context, repository: &str, tag: &str, received: &Received) -> Result<()> {
        self.put_manifest(
            ctx,
            repository,
            tag,
            &manifest::media_type_of(&received.bytes),
            &received.bytes,
        )
        .map(drop)
    }

    /// Removes a manifest, and with it every tag that stands for it. Errors: `not_found`; `unsupported` where nothing is removed.
    pub fn delete(&self, ctx: &Context, repository: &str, digest: &Digest) -> Result<()> {
        let request = self.about_manifest(Method::DELETE, repository, digest.as_str(), "delete");
        let what = format!("delete `{digest}` from `{repository}` at `{}`", self.name());
        let answer = request.what(what).send(ctx)?;
        match answer.status() {
            200 | 202 => Ok(()),
            405 | 501 => {
                let name = self.name().to_owned();
                let error = answer.into_error().with_kind(Kind::Unsupported);
                Err(error.hint(format!("`{name}` is not set to delete anything")))
            }
            _ => Err(answer.into_error()),
        }
    }

    /// Removes a tag, and no other: by itself where the registry can, else by moving it to a manifest that nothing else stands for, and
    /// removing that.
    ///
    /// Errors: `not_found`; `unsupported` where nothing is removed: the tag means then what it meant before.
    pub fn untag(&self, ctx: &Context, repository: &str, tag: &str) -> Result<()> {
        let Some(head) = self.head_to_push(ctx, repository, tag)? else {
            let text = format!("there is no `{repository}:{tag}` at `{}`", self.name());
            return Err(Error::not_found(text).target(format!("{}/{repository}:{tag}", self.name())));
        };
        let request = self.about_manifest(Method::DELETE, repository, tag, "delete");
        let what = format!("delete the tag `{tag}` of `{repository}` at `{}`", self.name());
        let answer = request.what(what).send(ctx)?;
        match answer.status() {
            200 | 202 => Ok(()),
            400 | 404 | 405 | 501 => self.delete_moved(ctx, repository, tag, head.digest),
            _ => Err(answer.into_error()),
        }
    }

    /// Moves a tag to a manifest of its own and removes that; if it cannot be removed, the tag goes back.
    fn delete_moved(&self, ctx: &Context, repository: &str, tag: &str, before: Option<Digest>) -> Result<()> {
        let before = match before {
            Some(before) => before,
            None => self.manifest(ctx, repository, tag)?.digest,
        };
        let was = self.manifest(ctx, repository, before.as_str())?;
        // Two that are made at once must not be one.
        let mark = format!("hoist:{}", random_hex(16)?);
        let config = format!(
            r#"{{"architecture":"none","os":"none","rootfs":{{"type":"layers","diff_ids":[]}},"author":"{mark}"}}"#
        );
        let config = config.into_bytes();
        let described = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
        let parcel = Parcel {
            descriptor: described.clone(),
            source: super::push::of_bytes(config),
            from: Vec::new(),
        };
        self.bring(ctx, repository, &parcel)?;
        let empty = manifest::manifest_bytes(&described, &[]);
        self.put_manifest(ctx, repository, tag, OCI_MANIFEST, &empty)?;
        let deleted = self.delete(ctx, repository, &Digest::of(&empty));
        if deleted.is_err() {
            self.put_manifest(ctx, repository, tag, &was.media_type, &was.bytes)?;
        }
        deleted
    }

    fn about_manifest(&self, method: Method, repository: &str, wanted: &str, acts: &str) -> super::Request<'_> {
        self.about(method, repository, &format!("manifests/{wanted}"), acts)
    }
}

fn stated(answer: &Response) -> Option<Digest> {
    answer.header("docker-content-digest")?.parse().ok()
}
