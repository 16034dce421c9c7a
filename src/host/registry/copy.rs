//! From one registry, or layout, to another.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::archive::{self, is_archive};
use super::look::Asking;
use crate::error::{Context as _, Error, Result};
use crate::host::Host;
use crate::images::registry::{Copied, Copying, Layout, Side, copy};
use crate::model::{Context, Reference, Words};

/// Options of `registry::copy`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CopyOptions {
    /// Of an image for several platforms, these; all by default.
    pub platforms: Words,
    /// Also what says of itself that it is about the image.
    pub referrers: bool,
    /// Also tags made of the image's digest.
    pub digest_tags: bool,
    /// Even what the destination says it has.
    pub force: bool,
    /// Whether the registries' certificates must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
}

impl CopyOptions {
    pub(super) fn asking(&self) -> Asking {
        Asking {
            tls_verify: self.tls_verify,
            retries: self.retries,
            ..Asking::default()
        }
    }

    pub(super) fn copying(&self) -> Result<Copying> {
        Ok(Copying {
            platforms: self
                .platforms
                .0
                .iter()
                .map(|platform| platform.parse())
                .collect::<Result<_>>()?,
            referrers: self.referrers,
            digest_tags: self.digest_tags,
            force: self.force,
        })
    }
}

/// What is before the path of a layout.
const LAYOUT: &str = "oci-dir:";

impl Host {
    /// Copies what a name stands for to another: names at registries, `oci-dir:PATH:NAME`, or `docker-archive:PATH:NAME`. Digests stay
    /// what they are, unless some of several platforms are chosen, or an archive is a side. Nothing is unpacked, and nothing comes into
    /// the store.
    ///
    /// Errors: `not_found`, `corrupt`, `invalid`, `unauthorized`, `denied`, `network`, `no_space`; the destination's name means then
    /// what it meant before.
    pub fn copy_image(&self, ctx: &Context, from: &str, to: &str, options: &CopyOptions) -> Result<Copied> {
        if is_archive(from) || is_archive(to) {
            if let Ok(name) = to.parse::<Reference>()
                && self.config().protect.remote(&name).is_some()
                && self.remote_digest(ctx, to, &options.asking())?.is_some()
            {
                self.check_remote(&name)?;
            }
            let copied = self.copy_by_archive(ctx, from, to, options);
            return copied.map_err(|error| error.target(to));
        }
        let asking = options.asking();
        let source = self.side(ctx, from, &asking)?;
        let mut dest = self.side(ctx, to, &asking)?;
        if let (Side::Layout(layout), Side::Registry { wanted, .. }) = (&dest, &source)
            && !wanted.contains(':')
        {
            dest = Side::Layout(layout.clone().or_name(wanted));
        }
        if let (Ok(name), Side::Registry { .. }) = (to.parse::<Reference>(), &dest)
            && self.config().protect.remote(&name).is_some()
            && let Some(there) = dest.standing(ctx)?
            && Some(there) != source.standing(ctx)?
        {
            self.check_remote(&name)?;
        }
        if self.plan().is_some() {
            return self.plan_copy(ctx, (&source, from), (&dest, to), options);
        }
        if let Side::Layout(layout) = &dest {
            make_layout(layout)?;
        }
        let copied = copy(ctx, &self.config().limits, &source, &dest, &options.copying()?);
        copied.map_err(|error| error.during(format!("copy `{from}` to `{to}`")).target(to))
    }

    fn plan_copy(
        &self,
        ctx: &Context,
        (source, from): (&Side, &str),
        (dest, to): (&Side, &str),
        options: &CopyOptions,
    ) -> Result<Copied> {
        let missing = || Error::not_found(format!("there is no `{from}`")).target(from);
        let digest = source.standing(ctx)?.ok_or_else(missing)?;
        let is_whole = options.platforms.0.is_empty() && !options.force && !options.referrers && !options.digest_tags;
        let unchanged = match (dest, to.parse::<Reference>()) {
            (Side::Registry { .. }, Ok(name)) if is_whole => {
                self.imagined_digest(&name, dest.standing(ctx)?) == Some(digest.clone())
            }
            _ => false,
        };
        if !unchanged {
            self.planned("registry::copy", to, &format!("{from}, {digest}"));
            if let Ok(name) = to.parse() {
                self.imagine_name(&name, Some(&digest));
            }
        }
        Ok(Copied {
            digest,
            unchanged,
            moved: Default::default(),
            manifests: 0,
        })
    }

    pub(super) fn side(&self, ctx: &Context, text: &str, asking: &Asking) -> Result<Side> {
        if let Some(path) = text.strip_prefix(LAYOUT) {
            return Ok(Side::Layout(Layout::named(path)));
        }
        if let Some((form, _)) = text
            .split_once(":/")
            .filter(|(form, _)| !Path::new(form).has_root() && form.contains('-'))
        {
            return Err(Error::unsupported(format!("`{form}` is no side of a copy"))
                .target(text)
                .hint("copy between names at registries, `oci-dir:PATH:NAME` and `docker-archive:PATH:NAME`"));
        }
        let there = self.there(ctx, text, asking)?;
        Ok(Side::Registry {
            registry: there.registry,
            repository: there.repository,
            wanted: there.wanted,
        })
    }
}

/// The path of a side of a copy that lies on this machine; `None` for one at a registry.
pub fn path_of_side(text: &str) -> Option<PathBuf> {
    match text.strip_prefix(LAYOUT) {
        Some(path) => Some(Layout::named(path).dir().to_owned()),
        None => archive::path_of(text),
    }
}

/// Makes the directory of a layout.
pub(super) fn make_layout(layout: &Layout) -> Result<()> {
    std::fs::create_dir_all(layout.dir()).during(|| format!("make `{}`", layout.dir().display()))
}
