//! Images from registries.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Image, Tag, resolve};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::host::registry::{Asking, within};
use crate::images::registry::{Registry, Traffic};
use crate::images::{self, Wanted};
use crate::model::{Context, Digest, Platform, Reference, Secret, TimeSpan};
use crate::store::{ImageRow, Tx};

/// Options of `image::pull`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullOptions {
    /// When the registry is asked.
    pub policy: Policy,
    /// Another platform than this machine's, such as `linux/arm64`.
    pub platform: Option<String>,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// Whether layers are unpacked at once, which they are without a word; otherwise when their files are wanted.
    pub unpack: Option<bool>,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
    /// How long it may take.
    pub timeout: Option<TimeSpan>,
    /// Whether the registry's certificate must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// Who asks.
    pub username: Option<String>,
    /// The password or access token.
    pub password: Option<Secret>,
}

/// When a registry is asked for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Where the image is not here.
    #[default]
    Missing,
    /// Always.
    Always,
    /// Always, but the image that is here will do if there is no answer.
    Newer,
    /// Never.
    Never,
}

/// What a pull came to.
pub struct PulledImage {
    /// The image.
    pub image: Image,
    /// The names that were set or moved.
    pub tags: Vec<Tag>,
    /// What is odd and does no harm.
    pub warnings: Vec<String>,
    /// Bytes of layers that were fetched.
    pub fetched: u64,
    /// Those of them that had been fetched before.
    pub again: u64,
}

/// What is asked of registries, parsed.
struct Request<'a> {
    reference: &'a Reference,
    platform: Option<Platform>,
    options: &'a PullOptions,
}

impl Host {
    /// Brings an image from a registry and gives it its name here. What is here already is not fetched: an image that is here as the
    /// registry has it costs one question.
    ///
    /// Errors: `not_found`, `unauthorized`, `denied`, `rate_limited`, `network`, `corrupt`, `no_space`, `timeout`; nothing is visible then,
    /// and what came is used by the next pull.
    pub fn pull_image(&self, ctx: &Context, text: &str, options: &PullOptions) -> Result<PulledImage> {
        let reference: Reference = text.parse()?;
        let name = reference.familiar();
        let what = format!("`{name}` was not here");
        let late = (&*what, "what has come by now is not fetched again");
        let pulled = within(ctx, options.timeout.as_ref(), late, |ctx| match options.all_tags {
            true => self.pull_all(ctx, &reference, options),
            false => self.pull_one(ctx, &reference, options),
        });
        pulled.map_err(|error| error.target(name))
    }

    /// Sees to it that what a container is to be made of is here, as far as the policy has a registry asked for it.
    pub(in crate::host) fn pull_for_container(
        &self,
        ctx: &Context,
        text: &str,
        policy: Policy,
        platform: Option<&Platform>,
    ) -> Result<()> {
        let is_enough = matches!(policy, Policy::Missing | Policy::Never);
        let suits = |image: &Image| platform.is_none_or(|platform| platform.suits(&image.platform()).is_some());
        if is_enough && self.find_image(text)?.is_some_and(|image| suits(&image)) {
            return Ok(());
        }
        let options = PullOptions {
            policy,
            platform: platform.map(ToString::to_string),
            ..PullOptions::default()
        };
        self.pull_image(ctx, text, &options).map(drop)
    }

    fn pull_one(&self, ctx: &Context, reference: &Reference, options: &PullOptions) -> Result<PulledImage> {
        let platform = options.platform.as_deref().map(str::parse).transpose()?;
        let request = Request {
            reference,
            platform,
            options,
        };
        let local = self.local(&request)?;
        let pulled = match (options.policy, local) {
            (Policy::Missing | Policy::Never, Some(image)) => return Ok(PulledImage::here(image)),
            (Policy::Never, None) => Err(Error::not_found(format!(
                "image `{}` is not in the store",
                reference.familiar()
            ))
            .hint("the policy `never` asks no registry")),
            (Policy::Newer, Some(image)) => match self.pull_anywhere(ctx, &request) {
                Err(error) if is_no_answer(&error) && ctx.check().is_ok() => {
                    let warning = format!("`{}` stays as it is here: {error}", reference.familiar());
                    Ok(PulledImage {
                        warnings: vec![warning],
                        ..PulledImage::here(image)
                    })
                }
                other => other,
            },
            _ => self.pull_anywhere(ctx, &request),
        }?;
        self.planned("image::pull", &reference.familiar(), pulled.image.id().short());
        self.tell_image("pull", &pulled.image, &reference.familiar());
        Ok(pulled)
    }

    /// Every tag of the repository, one after another, for they share most of what they are.
    fn pull_all(&self, ctx: &Context, reference: &Reference, options: &PullOptions) -> Result<PulledImage> {
        if reference.digest().is_some() {
            return Err(Error::invalid("`all_tags` and a digest exclude each other"));
        }
        let tags = self.anywhere(ctx, reference, options, |registry, repository| {
            registry.tags(ctx, repository)
        })?;
        let mut all: Option<PulledImage> = None;
        for tag in &tags {
            ctx.check()?;
            let next = self.pull_one(ctx, &reference.with_tag(tag)?, options)?;
            all = Some(match all {
                Some(before) => before.and(next, Some(tag.as_str()) == reference.tag()),
                None => next,
            });
        }
        all.ok_or_else(|| Error::not_found(format!("`{}` has no tags", reference.familiar_repository())))
    }

    /// The image that the name means here, if it is for the platform.
    fn local(&self, request: &Request<'_>) -> Result<Option<Image>> {
        let found = self.find_image(&request.reference.familiar())?;
        Ok(found.filter(|image| match &request.platform {
            Some(platform) => platform.suits(&image.platform()).is_some(),
            None => true,
        }))
    }

    fn pull_anywhere(&self, ctx: &Context, request: &Request<'_>) -> Result<PulledImage> {
        self.anywhere(ctx, request.reference, request.options, |registry, repository| {
            self.pull_from(ctx, request, registry, repository)
        })
    }

    /// Asks the places that have a repository, one after another, until one has an answer; the last one's error is told.
    fn anywhere<T>(
        &self,
        ctx: &Context,
        reference: &Reference,
        options: &PullOptions,
        work: impl Fn(&Registry, &str) -> Result<T>,
    ) -> Result<T> {
        let mut outcome = Err(Error::internal("a repository has a place"));
        let own = options.asking();
        own.credential()?;
        // Who we are to a registry is nothing that its mirrors are to know.
        let other = Asking {
            username: None,
            password: None,
            ..own.clone()
        };
        for place in self.places_of(reference, options.tls_verify)? {
            let is_own = place.endpoint.name == reference.registry();
            let registry = self.asked(ctx, &place, if is_own { &own } else { &other })?;
            outcome = work(&registry, &place.repository);
            match &outcome {
                Err(error) if error.kind() != Kind::NoSpace && ctx.check().is_ok() => {}
                _ => break,
            }
        }
        outcome
    }

    fn pull_from(
        &self,
        ctx: &Context,
        request: &Request<'_>,
        registry: &Registry,
        repository: &str,
    ) -> Result<PulledImage> {
        let (reference, platform) = (request.reference, request.platform.as_ref());
        let digest = match reference.digest() {
            Some(digest) => Some(digest.clone()),
            None => {
                let tag = reference.tag().unwrap_or_default();
                registry.head(ctx, repository, tag)?.and_then(|head| head.digest)
            }
        };
        let name = name_of(reference)?;
        if let Some(digest) = &digest
            && let Some(here) = self.known(digest, platform, &name)?
        {
            return Ok(here);
        }
        let version = digest
            .as_ref()
            .map_or_else(|| reference.tag().unwrap_or_default(), Digest::as_str);
        let traffic = Arc::new(Traffic::default());
        let pulled = self.bring_in(|lease| {
            let pairs = self.store().read(|tx| tx.all_layers())?;
            let pairs: BTreeSet<_> = pairs
                .into_iter()
                .map(|(_, layer)| (layer.diff_id, layer.blob))
                .collect();
            let names = vec![name.clone()];
            let wanted = Wanted {
                registry,
                repository,
                version,
                platform,
                names,
                pairs: &pairs,
                packed: request.options.unpack == Some(false),
            };
            let pulled = images::pull(ctx, self.new_content()?, lease, &wanted, &traffic)?;
            let mut brought = self.publish_all(ctx, vec![pulled.loaded], None)?;
            let image = brought.images.pop().expect("one for each");
            if image.digest() != &pulled.digest {
                self.store().write(|tx| tx.set_source(&pulled.digest, image.id()))?;
            }
            drop(pulled.parts);
            Ok((image, brought.tags, brought.warnings))
        })?;
        let (image, tags, warnings) = pulled;
        Ok(PulledImage {
            image,
            tags,
            warnings,
            fetched: traffic.fetched.load(Ordering::Relaxed),
            again: traffic.again.load(Ordering::Relaxed),
        })
    }

    /// The image that is here as a registry has it, under its name by now.
    fn known(&self, digest: &Digest, platform: Option<&Platform>, name: &Reference) -> Result<Option<PulledImage>> {
        let machine = platform.cloned().unwrap_or_else(Platform::machine);
        let find = |tx: &Tx| -> Result<Option<(ImageRow, Option<Digest>)>> {
            let found = resolve::known(tx, digest)?.into_iter();
            let ranked = found.filter_map(|row| Some((machine.suits(&row.platform())?, row)));
            let best = ranked.min_by_key(|(rank, _)| *rank).map(|(_, row)| row);
            best.map(|row| Ok((row, tx.reference(name)?))).transpose()
        };
        let Some((row, named)) = self.store().read(find)? else {
            return Ok(None);
        };
        if named.as_ref() == Some(&row.id) {
            return self.image(row.id.as_str()).map(|image| Some(PulledImage::here(image)));
        }
        let before = self.move_names(|tx| match tx.image(&row.id)? {
            Some(_) => self.set_name(tx, name, &row.id, Timestamp::now()).map(Some),
            None => Ok(None),
        })?;
        // It may have been removed just now; then it is not here.
        let Some(before) = before else { return Ok(None) };
        let tag = Tag {
            name: name.clone(),
            image: row.id.clone(),
            before,
        };
        let image = self.image(row.id.as_str())?;
        Ok(Some(PulledImage {
            tags: vec![tag],
            ..PulledImage::here(image)
        }))
    }
}

impl PullOptions {
    fn asking(&self) -> Asking {
        Asking {
            tls_verify: self.tls_verify,
            username: self.username.clone(),
            password: self.password.clone(),
            retries: self.retries,
            ..Asking::default()
        }
    }
}

impl PulledImage {
    fn here(image: Image) -> PulledImage {
        PulledImage {
            image,
            tags: Vec::new(),
            warnings: Vec::new(),
            fetched: 0,
            again: 0,
        }
    }

    /// This and another, of which the image of one is told.
    fn and(mut self, other: PulledImage, is_meant: bool) -> PulledImage {
        self.tags.extend(other.tags);
        self.warnings.extend(other.warnings);
        self.fetched += other.fetched;
        self.again += other.again;
        if is_meant {
            self.image = other.image;
        }
        self
    }
}

/// Whether nobody could say what the registry has.
fn is_no_answer(error: &Error) -> bool {
    matches!(error.kind(), Kind::Network | Kind::RateLimited | Kind::Timeout)
}

/// The name an image gets: the tag, or where a digest was asked for that digest, which no tag is known to mean.
fn name_of(reference: &Reference) -> Result<Reference> {
    match reference.digest() {
        Some(digest) => format!("{}@{digest}", reference.repository()).parse(),
        None => Ok(reference.clone()),
    }
}
