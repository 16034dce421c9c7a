//! Images to registries.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::look::Asking;
use super::{Place, within};
use crate::error::{Error, Result};
use crate::host::{Host, Image};
use crate::images;
use crate::images::registry::{Moved, Packed, Packing, Registry, pack, recall};
use crate::model::{Context, Digest, Reference, Secret, TimeSpan};
use crate::store::PackedRow;

/// Options of `image::push`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushOptions {
    /// What layers that are not compressed become: `gzip` (the default), `zstd`, or `none` for what they are.
    pub compression: Option<String>,
    /// Whether layers that are compressed otherwise become that, too.
    pub force_compression: bool,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
    /// How long it may take.
    pub timeout: Option<TimeSpan>,
    /// Whether the registry's certificate must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// Who pushes.
    pub username: Option<String>,
    /// The password or access token.
    pub password: Option<Secret>,
}

/// What a push came to.
#[derive(Debug, Clone)]
pub struct PushedImage {
    /// The name there.
    pub reference: Reference,
    /// The digest of the manifest there.
    pub digest: Digest,
    /// Bytes of manifest, configuration and layers there.
    pub size: u64,
    /// Which of them went how.
    pub moved: Moved,
}

impl PushOptions {
    fn asking(&self) -> Asking {
        Asking {
            tls_verify: self.tls_verify,
            username: self.username.clone(),
            password: self.password.clone(),
            retries: self.retries,
            ..Asking::default()
        }
    }

    fn packing(&self) -> Result<Packing> {
        Ok(Packing {
            compression: self.compression.as_deref().map(str::parse).transpose()?,
            force: self.force_compression,
        })
    }
}

impl Host {
    /// Sends an image to a registry: under the name `dest`, or under its own. Under `all_tags` both name a repository, whose every
    /// tag goes.
    ///
    /// Counts as a use. Errors: `not_found`, `invalid` for an image without a name and no `dest`, `unauthorized`, `denied`,
    /// `rate_limited`, `network`, `timeout`; what tags stood for there they stand for then.
    pub fn push_image(
        &self,
        ctx: &Context,
        source: &str,
        dest: Option<&str>,
        options: &PushOptions,
    ) -> Result<Vec<PushedImage>> {
        let what = format!("`{source}` was not pushed");
        let late = (&*what, "layers that have arrived are not sent again");
        let pushed = within(ctx, options.timeout.as_ref(), late, |ctx| match options.all_tags {
            true => self.push_all(ctx, source, dest, options),
            false => self.push_one(ctx, source, dest, options).map(|pushed| vec![pushed]),
        });
        pushed.map_err(|error| error.target(dest.unwrap_or(source)))
    }

    fn push_all(
        &self,
        ctx: &Context,
        source: &str,
        dest: Option<&str>,
        options: &PushOptions,
    ) -> Result<Vec<PushedImage>> {
        let here: Reference = source.parse()?;
        let there: Reference = dest.unwrap_or(source).parse()?;
        let named = self.store().read(|tx| tx.references())?;
        let of_it = |name: &&Reference| name.registry() == here.registry() && name.path() == here.path();
        let tags = named
            .iter()
            .map(|(name, _)| name)
            .filter(of_it)
            .filter_map(Reference::tag);
        let tags: Vec<&str> = tags.collect();
        if tags.is_empty() {
            let text = format!("there is no image of `{}` in the store", here.familiar_repository());
            return Err(Error::not_found(text).target(source));
        }
        let push = |tag: &&str| {
            let (from, to) = (here.with_tag(tag)?.to_string(), there.with_tag(tag)?.to_string());
            self.push_one(ctx, &from, Some(&to), options)
        };
        tags.iter().map(push).collect()
    }

    fn push_one(&self, ctx: &Context, source: &str, dest: Option<&str>, options: &PushOptions) -> Result<PushedImage> {
        let lease = self.hold()?;
        let (image, stored) = self.held_image(&lease, source)?;
        let reference = destination(&image, source, dest)?;
        let (packing, asking) = (options.packing()?, options.asking());
        asking.credential()?;
        let content = self.content_of(&stored)?;
        let staging = self.new_content()?.stage()?;
        let packed = match self.packed_before(ctx, &stored, &reference, packing, options)? {
            Some(packed) => packed,
            None => {
                let packed = pack(ctx, content, &staging, &stored, packing)?;
                self.remember_packed(&stored, &packed, packing)?;
                packed
            }
        };
        let mut pushed = PushedImage {
            digest: packed.digest.clone(),
            size: packed.size(),
            moved: Moved::default(),
            reference,
        };
        let name = pushed.reference.familiar();
        if let Some(digest) = pushed.reference.digest().filter(|digest| **digest != pushed.digest) {
            return Err(Error::invalid(format!(
                "`{source}` has the digest `{}`, not `{digest}`",
                pushed.digest
            )));
        }
        self.check_remote_move(ctx, &pushed.reference, &pushed.digest, &asking)?;
        if self.planned("image::push", &name, &format!("{} as {}", image, pushed.digest)) {
            self.imagine_name(&pushed.reference, Some(&pushed.digest));
            return Ok(pushed);
        }
        let (place, registry) = self.pushed_to(ctx, &pushed.reference, options)?;
        let from = self.repositories_with(&place.endpoint.name, &place.repository)?;
        let wanted = match pushed.reference.tag() {
            Some(tag) => tag.to_owned(),
            None => pushed.digest.to_string(),
        };
        pushed.moved = registry.push(ctx, &place.repository, &wanted, &packed, &from)?;
        self.store().write(|tx| tx.touch_image(image.id(), Timestamp::now()))?;
        self.tell_image("push", &image, &name);
        Ok(pushed)
    }

    /// The registry that a push goes to, and where in it.
    fn pushed_to(&self, ctx: &Context, reference: &Reference, options: &PushOptions) -> Result<(Place, Registry)> {
        let place = self.destination_of(reference, options.tls_verify)?;
        let registry = self.asked(ctx, &place, &options.asking())?;
        Ok((place, registry))
    }

    /// The image as it was made ready before, if the registry has what its layers became: then nothing is made of them again.
    fn packed_before(
        &self,
        ctx: &Context,
        image: &images::Image,
        reference: &Reference,
        packing: Packing,
        options: &PushOptions,
    ) -> Result<Option<Packed>> {
        if self.plan().is_some() {
            return Ok(None);
        }
        let known = |diff_id: &Digest| {
            let row = self.store().read(|tx| tx.packed(diff_id, packing.name()))?;
            Ok(row.map(|row| (row.digest, row.size, row.media_type)))
        };
        let Some(packed) = recall(self.content_of(image)?, image, packing, known)? else {
            return Ok(None);
        };
        let (place, registry) = self.pushed_to(ctx, reference, options)?;
        // What keeps it from saying so is told by the push itself.
        let is_there = registry.has_absent(ctx, &place.repository, &packed).unwrap_or(false);
        Ok(is_there.then_some(packed))
    }

    fn remember_packed(&self, image: &images::Image, packed: &Packed, packing: Packing) -> Result<()> {
        let made = packed.made(image).into_iter();
        let rows: Vec<PackedRow> = made
            .map(|(diff_id, digest, size, media_type)| PackedRow {
                diff_id,
                digest,
                size,
                media_type,
            })
            .collect();
        match rows.is_empty() || self.plan().is_some() {
            true => Ok(()),
            false => self.store().write(|tx| tx.set_packed(&rows, packing.name())),
        }
    }

    /// Which repositories of a registry may have which blobs, as far as names here tell.
    fn repositories_with(&self, registry: &str, but: &str) -> Result<BTreeMap<Digest, Vec<String>>> {
        let (names, layers) = self.store().read(|tx| Ok((tx.references()?, tx.all_layers()?)))?;
        let mut blobs: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (image, layer) in layers {
            blobs.entry(image).or_default().push(layer.blob);
        }
        let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        let there = names
            .into_iter()
            .filter(|(name, _)| name.registry() == registry && name.path() != but);
        for (name, image) in there {
            for blob in blobs.get(&image).into_iter().flatten() {
                let repositories = found.entry(blob.clone()).or_default();
                if !repositories.iter().any(|known| known == name.path()) {
                    repositories.push(name.path().to_owned());
                }
            }
        }
        Ok(found)
    }
}

/// The name that an image goes under.
fn destination(image: &Image, source: &str, dest: Option<&str>) -> Result<Reference> {
    if let Some(dest) = dest {
        return dest.parse();
    }
    let by_name = source
        .parse::<Reference>()
        .ok()
        .filter(|name| image.references().contains(name));
    match (by_name, image.references()) {
        (Some(name), _) => Ok(name),
        (None, [name]) => Ok(name.clone()),
        (None, []) => Err(Error::invalid(format!("image `{image}` has no name to push it under"))
            .hint("say where to: `image::push(IMAGE, \"registry.example.com/team/app:1\")`")),
        (None, names) => {
            let names: Vec<String> = names.iter().map(Reference::familiar).collect();
            Err(
                Error::invalid(format!("image `{image}` has several names: {}", names.join(", ")))
                    .hint("name the one it is to be pushed under"),
            )
        }
    }
}
