//! Images at registries with other words, on another base, or in one layer.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use super::archive::Unheld;
use super::look::Asking;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images::registry::{Change, Copied, Flat, Flatten, Packing, Rebase, Side, mutate, pack};
use crate::images::{self, Content, Wanted};
use crate::model::{Command, Context, Digest, Pairs, Reference};

/// Options of `registry::mutate`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MutateOptions {
    /// Labels that are set.
    pub labels: Pairs,
    /// Variables of the environment that are set.
    pub env: Pairs,
    /// The default command.
    pub cmd: Option<Command>,
    /// Annotations that are set.
    pub annotations: Pairs,
    /// Another base.
    pub rebase: Option<Bases>,
    /// One layer of all.
    pub squash: bool,
    /// Whether the registries' certificates must be right; if not, plain HTTP will do as well.
    pub tls_verify: Option<bool>,
    /// How often what fails is tried again.
    pub retries: Option<u32>,
}

/// What an image stands on, and what it is to stand on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bases {
    /// The name of the base it stands on.
    pub from: String,
    /// The name of the other one.
    pub to: String,
}

impl Host {
    /// Has a name stand for what another stands for with changes. Layers that stay are left where they are or mounted; only those that
    /// are made one are read.
    ///
    /// Errors: `conflict` for an image that does not stand on the old base, `unsupported` for what is no image, `invalid` where nothing
    /// is to be changed; as of [`Host::copy_image`].
    pub fn mutate_image(&self, ctx: &Context, name: &str, to: &str, options: &MutateOptions) -> Result<Copied> {
        let asking = Asking {
            tls_verify: options.tls_verify,
            retries: options.retries,
            ..Asking::default()
        };
        let (source, dest) = (self.side(ctx, name, &asking)?, self.side(ctx, to, &asking)?);
        if let Ok(name) = to.parse::<Reference>()
            && self.config().protect.remote(&name).is_some()
            && self.remote_digest(ctx, to, &asking)?.is_some()
        {
            self.check_remote(&name)?;
        }
        let change = self.change(ctx, options, &asking)?;
        let flatten = |digest: &Digest| self.flat(ctx, &source, digest);
        let flatten: Option<&Flatten<'_>> = if options.squash { Some(&flatten) } else { None };
        let (limits, sides, dry) = (&self.config().limits, (&source, &dest), self.plan().is_some());
        if let (Ok(name), Side::Registry { .. }) = (to.parse::<Reference>(), &dest)
            && self.config().protect.remote(&name).is_some()
        {
            let wanted = mutate(ctx, limits, sides, &change, flatten, true)?.digest;
            self.check_remote_move(ctx, &name, &wanted, &asking)?;
        }
        if let (Side::Layout(layout), false) = (&dest, dry) {
            super::copy::make_layout(layout)?;
        }
        let made = mutate(ctx, limits, sides, &change, flatten, dry);
        let made = made.map_err(|error| error.during(format!("change `{name}` to `{to}`")).target(name))?;
        if self.planned("registry::mutate", to, &format!("{name} as {}", made.digest))
            && let Ok(name) = to.parse()
        {
            self.imagine_name(&name, Some(&made.digest));
        }
        Ok(made)
    }

    fn change(&self, ctx: &Context, options: &MutateOptions, asking: &Asking) -> Result<Change> {
        let rebase = options.rebase.as_ref().map(|bases| {
            Ok(Rebase {
                old: self.side(ctx, &bases.from, asking)?,
                new: self.side(ctx, &bases.to, asking)?,
            })
        });
        let change = Change {
            labels: options.labels.0.clone(),
            env: options.env.0.clone(),
            cmd: options.cmd.as_ref().map(Command::words),
            annotations: options.annotations.0.clone(),
            rebase: rebase.transpose()?,
        };
        let words = [&change.labels, &change.env, &change.annotations];
        let is_empty = words.iter().all(|pairs| pairs.is_empty()) && change.cmd.is_none();
        match (change.rebase.is_some(), options.squash) {
            (true, true) => Err(Error::invalid(
                "`rebase` and `squash` exclude each other: one layer stands on nothing",
            )),
            (false, false) if is_empty => Err(Error::invalid("nothing is to be changed")
                .hint("say what: `labels`, `env`, `cmd`, `annotations`, `rebase` or `squash`")),
            _ => Ok(change),
        }
    }

    /// One layer of an image at a registry; it is unpacked where nobody sees it.
    fn flat(&self, ctx: &Context, source: &Side, digest: &Digest) -> Result<Flat> {
        let Side::Registry {
            registry, repository, ..
        } = source
        else {
            return Err(Error::unsupported("only an image at a registry is made one layer")
                .hint("copy the layout to a registry first"));
        };
        let staging = self.new_content()?.stage()?;
        let content = Content::open(&staging.free_path(), &self.config().limits)?;
        let wanted = Wanted {
            registry,
            repository,
            version: digest.as_str(),
            platform: None,
            names: Vec::new(),
            pairs: &BTreeSet::new(),
            packed: false,
        };
        let image = images::pull(ctx, &content, &Unheld, &wanted, &Arc::default())?
            .loaded
            .image;
        let missing = || Error::internal("a squashed image has one layer");
        // An empty directory on top that has the attributes of the image's root.
        let dirs = content.lowers_with_init(ctx, &image.layers, &|_| Ok(()))?;
        let (upper, lowers) = dirs.split_first().ok_or_else(missing)?;
        let options = images::CommitOptions {
            squash: true,
            ..images::CommitOptions::default()
        };
        let squashed = images::commit(ctx, &content, &Unheld, Some(&image), lowers, upper, &options)?;
        let packed = pack(ctx, &content, &staging, &squashed, Packing::default())?;
        let diff_id = squashed.layers.first().map(|layer| layer.diff_id.clone());
        packed
            .into_flat(diff_id.ok_or_else(missing)?, staging)
            .ok_or_else(missing)
    }
}
