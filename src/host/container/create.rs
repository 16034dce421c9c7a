//! Making a container: a row, a bundle, and the volumes it names, all or nothing.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::options::ContainerOptions;
use super::recipe::Recipe;
use super::{Container, KeptRow, Status, events};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::host::image::Image;
use crate::host::volume::Drafts;
use crate::model::{Command, ContainerId, ContainerName, Context, Platform};
use crate::runtime::{self, Request};
use crate::store::{ContainerRow, Lease, Tx};

/// How often a generated name may be taken before we give up.
const NAME_ATTEMPTS: u32 = 16;

/// How long a container is to last.
#[derive(Clone, Copy)]
pub(super) enum Term<'a> {
    /// Until it is removed. While an owner prepares to start it, it is nobody else's to clean up.
    Lasting(Option<&'a Lease<'a>>),
    /// Until its owner ends, by whoever opens the store next if need be.
    OfOwner(&'a Lease<'a>),
}

impl<'a> Term<'a> {
    fn owner(self) -> Option<&'a Lease<'a>> {
        match self {
            Term::Lasting(owner) => owner,
            Term::OfOwner(owner) => Some(owner),
        }
    }

    fn is_lasting(self) -> bool {
        matches!(self, Term::Lasting(_))
    }
}

impl Host {
    /// Makes a container of an image, without starting it. Counts as a use of the image.
    ///
    /// Errors: `not_found` for the image; `already_exists` for the name; `invalid`, `unsupported` for options.
    pub fn create_container(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
    ) -> Result<Container> {
        let container = self.make_container(ctx, image, cmd, options, Term::Lasting(None))?;
        self.planned("container::create", container.name(), container.image());
        Ok(container)
    }

    /// Makes a container.
    pub(super) fn make_container(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
        term: Term<'_>,
    ) -> Result<Container> {
        let made = self.try_make_container(ctx, image, cmd, options, term);
        made.map_err(|error| self.without_room(error, "a container"))
    }

    fn try_make_container(
        &self,
        ctx: &Context,
        image_name: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
        term: Term<'_>,
    ) -> Result<Container> {
        ctx.check()?;
        let platform = options.platform.as_deref().map(str::parse).transpose()?;
        if let Some(policy) = options.pull {
            self.pull_for_container(ctx, image_name, policy, platform.as_ref())?;
        }
        let owner = term.owner();
        let own = match owner {
            Some(_) => None,
            None => Some(self.hold()?),
        };
        let lease = owner.or(own.as_deref()).expect("one of the two is there");
        let (image, stored) = self.held_image(lease, image_name)?;
        check_platform(&image, platform.as_ref())?;
        let id = ContainerId::generate()?;
        let owner_of = |name: &str| self.container(name);
        let mut recipe = Recipe::new(image.config()?.config, cmd, options, &id, &owner_of)?;
        self.label_with_run(&mut recipe.config.labels, options.keep);
        let lower = match self.imagines() {
            true => Vec::new(),
            false => self
                .unpacked(ctx, &[&stored])?
                .lowers_with_init(ctx, &stored.layers, &|init| {
                    runtime::make_mount_points(init.lowers, init.upper, init.work)
                })?,
        };
        let drafts = self.draft_volumes(ctx, &lower, &recipe.volumes())?;
        let shown = if image_name.starts_with("sha256:") {
            image.to_string()
        } else {
            image_name.to_owned()
        };
        let lacks_volume = self.lacks_volume(&recipe.volumes());
        let bundle = self.bundle(&id);
        // The bundle is made inside the transaction: a directory without a row is therefore always garbage, never work under way.
        let make = |tx: &Tx| {
            // Here nobody else chooses a range of users at the same time.
            if recipe.userns.is_own() {
                recipe.userns.settle(&tx.containers()?)?;
            }
            let mut request = recipe.request(lower, !term.is_lasting(), |volume| self.volume_path(volume))?;
            if recipe.rm && term.is_lasting() {
                request.after = self.removal_of(&id);
            }
            let row = ContainerRow {
                id: id.clone(),
                name: free_name(tx, options.name.as_deref())?,
                image: image.id().clone(),
                image_name: shown,
                created: Timestamp::now(),
                options: serde_json::to_string(&recipe).expect("a recipe has text keys only"),
                removing: false,
                owner: owner.map(|lease| lease.owner().to_owned()),
            };
            self.insert_row(tx, &row, &image)?;
            if !self.imagines() {
                let attributes = events::attributes(&row.image_name, &row.name, &recipe.config.labels);
                runtime::create(&bundle, &Request { attributes, ..request })?;
            }
            if !self.imagines() && term.is_lasting() {
                KeptRow::write(&row, &bundle).inspect_err(|_| drop(runtime::delete(&bundle)))?;
            }
            self.use_volumes(tx, &id, &recipe, &drafts)?;
            Ok(row)
        };
        let made = match lacks_volume {
            // A power cut must not find the directory in its place and the row gone.
            true => self.store().write_durably(make),
            false => self.store().write(make),
        };
        if self.imagines() {
            self.simulate(&id, Status::Created);
            return Container::read(self, made?);
        }
        let row = made.inspect_err(|_| {
            let _ = runtime::delete(&bundle);
            let _ = self.settle_volumes();
        })?;
        self.settle_volumes().inspect_err(|_| drop(self.finish_removal(&id)))?;
        self.remember_secrets(&id, &options.secrets);
        let container = Container::made(self, row, recipe);
        container.tell("create", &[]);
        Ok(container)
    }

    /// The arguments by which this program removes a container that has ended.
    fn removal_of(&self, id: &ContainerId) -> Vec<String> {
        let config = self.config();
        let dirs = [("--root", &config.root), ("--run-root", &config.run_root)];
        let dirs = dirs.map(|(flag, dir)| [flag.to_owned(), dir.to_string_lossy().into_owned()]);
        let words = ["container", "rm", id.as_str()].map(str::to_owned);
        dirs.concat().into_iter().chain(words).collect()
    }

    fn insert_row(&self, tx: &Tx, row: &ContainerRow, image: &Image) -> Result<()> {
        if tx.image(image.id())?.is_none() {
            return Err(Error::not_found(format!("image `{image}` was removed meanwhile")).target(image.to_string()));
        }
        tx.insert_container(row)?;
        tx.touch_image(image.id(), row.created)
    }

    fn use_volumes(&self, tx: &Tx, id: &ContainerId, recipe: &Recipe, drafts: &Drafts) -> Result<()> {
        let volumes: BTreeSet<&str> = recipe.volumes().into_iter().map(|(volume, _)| volume).collect();
        volumes.into_iter().try_for_each(|volume| {
            self.ensure_volume(tx, volume, drafts)?;
            tx.use_volume(id, volume)
        })
    }
}

/// That an image is for the platform that was asked for. Errors: `not_found`.
fn check_platform(image: &Image, wanted: Option<&Platform>) -> Result<()> {
    let offered = image.platform();
    match wanted.filter(|wanted| wanted.suits(&offered).is_none()) {
        None => Ok(()),
        Some(wanted) => Err(
            Error::not_found(format!("image `{image}` is here for {offered}, not for {wanted}"))
                .target(image.to_string())
                .hint("`pull: \"missing\"` asks a registry for it"),
        ),
    }
}

/// The name asked for if it is valid, or one made up that is free.
fn free_name(tx: &Tx, wanted: Option<&str>) -> Result<String> {
    if let Some(name) = wanted {
        return name.parse::<ContainerName>().map(String::from);
    }
    for attempt in 0..NAME_ATTEMPTS {
        let name = ContainerName::generate(attempt)?;
        if tx.container_by_name(name.as_str())?.is_none() {
            return Ok(name.into());
        }
    }
    Err(Error::new(Kind::Conflict, "failed to find a free name").hint("give the container a name: `#{name: \"…\"}`"))
}
