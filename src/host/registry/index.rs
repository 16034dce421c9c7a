//! Indexes at registries: images for several platforms under one name, put together here and set there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::look::Asking;
use super::push::PushOptions;
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::images::registry::index::{
    IndexDraft, Listing, check_unmoved, gather, image_entry, listed, platform_of, settle,
};
use crate::images::registry::{Copied, Copying, Moved, Packing, Side, pack};
use crate::model::{Context, Digest, Pairs, Platform, Reference};

/// Options of `registry::index`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexOptions {
    /// Whether it begins empty, whatever the name stands for.
    pub create: bool,
    /// What one that begins is written as: `oci`, the default, or `docker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether the registry's certificate must be right; if not, plain HTTP will do as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
    /// How often what fails is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

/// Options of `Index.add`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntryOptions {
    /// Of an index, the image for this platform; of an image, what it is for, whatever its configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What is said of it where it is listed.
    pub annotations: Pairs,
    /// An index as one entry, not entry by entry.
    pub nested: bool,
    /// Whether its registry's certificate must be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verify: Option<bool>,
}

/// Options of `Index.push`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexPushOptions {
    /// Also what says of itself that it is about the images.
    pub referrers: bool,
    /// Even where the name has moved since it was looked at.
    pub force: bool,
    /// Whether the certificate of the registry it goes to must be right.
    pub tls_verify: Option<bool>,
}

/// What is to be in an index in place of what is there now. Clones are the same.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    name: Reference,
    options: IndexOptions,
    state: Mutex<State>,
}

struct State {
    draft: IndexDraft,
    /// What the name stood for when it was looked at.
    base: Option<Digest>,
    /// Where entries are to be had; those of the index itself are in its repository.
    from: BTreeMap<Digest, Origin>,
    /// Whether it begins with nothing, and not with what is there.
    begins: bool,
    /// Whether a part of it is only what a dry run takes for set, of which not all is known.
    is_guess: bool,
    /// What was done to it since, for plans.
    steps: Vec<Step>,
}

#[derive(Clone)]
enum Origin {
    /// Another side of a copy, and what it was called.
    Side(String, Side),
    /// An image of the store, by its id.
    Image(Digest),
    /// What a dry run would have set before.
    Imagined,
}

/// A change of an index.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Add(String, EntryOptions),
    AddImage(String, EntryOptions),
    Remove(String),
    Annotate(Pairs),
}

/// An index as a plan holds it: how it comes to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexRecipe {
    name: String,
    options: IndexOptions,
    steps: Vec<Step>,
    /// What it comes to, where that is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
}

impl PartialEq for Index {
    fn eq(&self, other: &Index) -> bool {
        self.0.name == other.0.name && self.digest() == other.digest()
    }
}

impl Index {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name it is about.
    pub fn name(&self) -> &Reference {
        &self.0.name
    }

    /// The digest it has, as it is now.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.state().draft.bytes())
    }

    /// Its media type.
    pub fn media_type(&self) -> String {
        self.state().draft.media_type()
    }

    /// What is said of it.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.state().draft.annotations()
    }

    /// What its images are for.
    pub fn platforms(&self) -> Vec<String> {
        self.state().draft.platforms()
    }

    /// What it lists: `digest`, `media_type`, `size`, `platform` where it is for one, `artifact_type`, `annotations`.
    pub fn manifests(&self) -> Vec<Value> {
        let state = self.state();
        let facts = |entry: &Value| {
            json!({
                "digest": entry["digest"],
                "media_type": entry["mediaType"],
                "size": entry["size"],
                "platform": platform_of(entry),
                "artifact_type": entry["artifactType"],
                "annotations": entry["annotations"].as_object().cloned().unwrap_or_default(),
            })
        };
        state.draft.entries().iter().map(facts).collect()
    }

    /// Lists no longer what is for a platform, or has a digest, nor what attests to it. Errors: `not_found`, `invalid`.
    pub fn remove(&self, what: &str) -> Result<()> {
        let mut state = self.state();
        state.draft.remove(what)?;
        state.steps.push(Step::Remove(what.to_owned()));
        Ok(())
    }

    /// Says something of it. Errors: `unsupported` for Docker's lists.
    pub fn annotate(&self, pairs: &Pairs) -> Result<()> {
        let mut state = self.state();
        state.draft.annotate(&pairs.0)?;
        state.steps.push(Step::Annotate(pairs.clone()));
        Ok(())
    }

    /// Names that its images are taken from, as they were given, and whether certificates must be right there; and images of the store, by their ids.
    pub fn sources(&self) -> (Vec<(String, Option<bool>)>, Vec<Digest>) {
        let (mut names, mut images) = (Vec::new(), Vec::new());
        let state = self.state();
        for step in &state.steps {
            match step {
                Step::Add(name, options) => names.push((name.clone(), options.tls_verify)),
                Step::AddImage(id, _) => images.extend(id.parse::<Digest>().ok()),
                Step::Remove(_) | Step::Annotate(_) => {}
            }
        }
        (names, images)
    }

    /// How it comes to be.
    pub fn recipe(&self) -> IndexRecipe {
        let digest = self.digest();
        let state = self.state();
        IndexRecipe {
            name: self.0.name.to_string(),
            options: IndexOptions {
                create: state.begins,
                format: self.0.options.format.clone().filter(|_| state.begins),
                ..self.0.options.clone()
            },
            steps: state.steps.clone(),
            digest: (!state.is_guess).then_some(digest),
        }
    }

    /// Takes note of having been set: from now on all it lists is there.
    fn was_set(&self, name: &Reference, digest: &Digest) {
        if name == self.name() {
            let mut state = self.state();
            state.base = Some(digest.clone());
            state.begins = false;
            state.from.clear();
            state.steps.clear();
        }
    }

    /// Whether certificates must be right, as an option says or the index itself.
    pub fn tls_verify(&self, own: Option<bool>) -> Option<bool> {
        own.or(self.0.options.tls_verify)
    }

    fn asking(&self, own: Option<bool>) -> Asking {
        Asking {
            tls_verify: self.tls_verify(own),
            retries: self.0.options.retries,
            ..Asking::default()
        }
    }

    fn list(&self, host: &Host, mut entries: Vec<Value>, origin: &Origin, step: Step) -> Result<()> {
        let options = match &step {
            Step::Add(_, options) | Step::AddImage(_, options) => options,
            Step::Remove(_) | Step::Annotate(_) => return Ok(()),
        };
        let mut state = self.state();
        state.draft.mark(&mut entries, &options.annotations.0)?;
        for entry in &entries {
            let digest = entry["digest"].as_str().unwrap_or_default().parse()?;
            state.from.insert(digest, origin.clone());
        }
        state.is_guess |= matches!(origin, Origin::Imagined);
        state.draft.add(entries, &host.config().limits)?;
        state.steps.push(step);
        Ok(())
    }
}

impl Host {
    /// The index that a name at a registry stands for, or one that begins.
    ///
    /// Errors: `not_found`, `corrupt`; `invalid` where the name stands for an image, `unauthorized`, `denied`, `network`.
    pub fn index(&self, ctx: &Context, name: &str, options: &IndexOptions) -> Result<Index> {
        let is_docker = match options.format.as_deref() {
            None | Some("oci") => false,
            Some("docker") => true,
            Some(other) => {
                let text = format!("`{}` is no format of an index", other.escape_debug());
                return Err(Error::invalid(text).hint("it is `oci` or `docker`"));
            }
        };
        if options.format.is_some() && !options.create {
            return Err(Error::invalid("`format` is for an index that is begun").hint("add `create: true`"));
        }
        let asking = Asking {
            tls_verify: options.tls_verify,
            retries: options.retries,
            ..Asking::default()
        };
        let reference: Reference = name.parse()?;
        let (draft, base) = match options.create {
            true => (IndexDraft::new(is_docker), self.remote_digest(ctx, name, &asking)?),
            false => self.index_there(ctx, &reference, &asking)?,
        };
        let is_guess = !options.create && self.imagined_document(&reference).is_some();
        Ok(Index(Arc::new(Inner {
            name: reference,
            options: options.clone(),
            state: Mutex::new(State {
                draft,
                base,
                begins: options.create,
                from: BTreeMap::new(),
                is_guess,
                steps: Vec::new(),
            }),
        })))
    }

    fn index_there(&self, ctx: &Context, name: &Reference, asking: &Asking) -> Result<(IndexDraft, Option<Digest>)> {
        if let Some((digest, bytes)) = self.imagined_document(name) {
            return Ok((IndexDraft::of(bytes)?, Some(digest)));
        }
        let side = self.side(ctx, &name.to_string(), asking)?;
        let (draft, digest) = IndexDraft::read(ctx, &self.config().limits, &side)?;
        Ok((draft, Some(digest)))
    }

    /// Lists in an index what a name stands for: a name at a registry, or a layout.
    ///
    /// Errors: `not_found`, `corrupt`; `invalid` for a platform that it is not for.
    pub fn add_to_index(&self, ctx: &Context, index: &Index, from: &str, options: &EntryOptions) -> Result<()> {
        let side = self.side(ctx, from, &index.asking(options.tls_verify))?;
        let listing = Listing {
            platform: options.platform.as_deref().map(str::parse).transpose()?,
            nested: options.nested,
        };
        let step = Step::Add(from.to_owned(), options.clone());
        let found = listed(ctx, &self.config().limits, &side, &listing);
        match found {
            Ok(entries) => index.list(self, entries, &Origin::Side(from.to_owned(), side), step),
            Err(error) => match self.imagined_entries(from, options) {
                Some(entries) if error.kind() == Kind::NotFound => index.list(self, entries, &Origin::Imagined, step),
                _ => Err(error.during(format!("add `{from}` to the index")).target(from)),
            },
        }
    }

    /// What a dry run would have set under a name before, as far as that is known.
    fn imagined_entries(&self, from: &str, options: &EntryOptions) -> Option<Vec<Value>> {
        let name: Reference = from.parse().ok()?;
        let digest = self.imagined_digest(&name, None).filter(|_| self.plan().is_some())?;
        if let Some((_, bytes)) = self.imagined_document(&name) {
            return Some(IndexDraft::of(bytes).ok()?.entries().to_vec());
        }
        let manifest = json!({ "mediaType": crate::images::registry::index::IMAGE }).to_string();
        let platform = options.platform.as_deref().and_then(|text| text.parse().ok());
        let platform = platform.unwrap_or_else(Platform::host);
        let entry = image_entry(manifest.as_bytes(), &digest, b"{}", Some(&platform));
        entry.ok().map(|entry| vec![entry])
    }

    /// Lists an image of the store in an index. It is sent when the index is.
    ///
    /// Errors: `not_found`, `corrupt`.
    pub fn add_image_to_index(&self, ctx: &Context, index: &Index, image: &str, options: &EntryOptions) -> Result<()> {
        if options.nested {
            return Err(Error::invalid(
                "`nested` is for an index, and an image of the store is none",
            ));
        }
        let lease = self.hold()?;
        let (image, stored) = self.held_image(&lease, image)?;
        let staging = self.new_content()?.stage()?;
        let packed = pack(ctx, self.content_of(&stored)?, &staging, &stored, Packing::default())?;
        let platform: Option<Platform> = options.platform.as_deref().map(str::parse).transpose()?;
        let entry = image_entry(&packed.manifest, &packed.digest, &stored.config, platform.as_ref())?;
        let step = Step::AddImage(image.id().to_string(), options.clone());
        index.list(self, vec![entry], &Origin::Image(image.id().clone()), step)
    }

    /// Sets an index at its registry, under its own name or another; all that it lists is there by then.
    ///
    /// Errors: `conflict` where its own name has moved since it was looked at; as of [`Host::copy_image`].
    pub fn push_index(
        &self,
        ctx: &Context,
        index: &Index,
        dest: Option<&str>,
        options: &IndexPushOptions,
    ) -> Result<Copied> {
        let own = index.name().to_string();
        let text = dest.unwrap_or(&own);
        let name: Reference = text.parse()?;
        let pushed = self.push_index_to(ctx, index, &name, options);
        pushed.map_err(|error| error.during(format!("push the index `{text}`")).target(text))
    }

    fn push_index_to(
        &self,
        ctx: &Context,
        index: &Index,
        name: &Reference,
        options: &IndexPushOptions,
    ) -> Result<Copied> {
        if name.digest().is_some() {
            return Err(
                Error::invalid(format!("`{name}` is a digest, and an index is set under a tag"))
                    .hint("say which: `index.push(\"NAME:TAG\")`"),
            );
        }
        let (draft, base, from) = {
            let state = index.state();
            (state.draft.clone(), state.base.clone(), state.from.clone())
        };
        let digest = index.digest();
        let asking = index.asking(options.tls_verify);
        let expected = (name == index.name() && !options.force).then_some(base.as_ref());
        if let Some(expected) = expected {
            let standing = self.remote_digest(ctx, &name.to_string(), &asking)?;
            if standing.as_ref() != Some(&digest) {
                check_unmoved(&name.familiar(), expected, standing.as_ref())?;
            }
        }
        self.check_remote_move(ctx, name, &digest, &asking)?;
        if self.planned(
            "Index.push",
            &name.familiar(),
            &format!("{digest}, {}", draft.platforms().join(", ")),
        ) {
            self.imagine_document(name, &digest, draft.bytes());
            index.was_set(name, &digest);
            return Ok(copied(digest, false, Moved::default(), 0));
        }
        let to = self.side(ctx, &name.to_string(), &asking)?;
        let (mut moved, mut manifests) = (Moved::default(), 0);
        for (origin, entries) in self.origins(ctx, index, &draft, &from)? {
            let (brought, set) = self.bring_entries(ctx, (&origin, &to), name, &entries, (options, &asking))?;
            moved.add(brought);
            manifests += set;
        }
        let unchanged = settle(ctx, &to, &draft, expected)?;
        if !unchanged {
            moved.sent += draft.bytes().len() as u64;
            manifests += 1;
        }
        index.was_set(name, &digest);
        Ok(copied(digest, unchanged, moved, manifests))
    }

    /// The entries of an index by where they are to be had.
    fn origins(
        &self,
        ctx: &Context,
        index: &Index,
        draft: &IndexDraft,
        from: &BTreeMap<Digest, Origin>,
    ) -> Result<Vec<(Origin, Vec<Value>)>> {
        let own = self.side(ctx, &index.name().to_string(), &index.asking(None))?;
        let mut all: Vec<(Origin, Vec<Value>)> = Vec::new();
        for entry in draft.entries() {
            let digest: Digest = entry["digest"].as_str().unwrap_or_default().parse()?;
            let origin = from.get(&digest).cloned();
            let origin = origin.unwrap_or_else(|| Origin::Side(index.name().to_string(), own.clone()));
            match all.iter_mut().find(|(known, _)| known.is(&origin)) {
                Some((_, entries)) => entries.push(entry.clone()),
                None => all.push((origin, vec![entry.clone()])),
            }
        }
        Ok(all)
    }

    fn bring_entries(
        &self,
        ctx: &Context,
        (origin, to): (&Origin, &Side),
        name: &Reference,
        entries: &[Value],
        (options, asking): (&IndexPushOptions, &Asking),
    ) -> Result<(Moved, usize)> {
        match origin {
            Origin::Side(_, side) => {
                let copying = Copying {
                    referrers: options.referrers,
                    ..Copying::default()
                };
                gather(ctx, &self.config().limits, (side, to), entries, &copying)
            }
            Origin::Image(id) => {
                let push = PushOptions {
                    tls_verify: asking.tls_verify,
                    retries: asking.retries,
                    ..PushOptions::default()
                };
                let digest = entries.first().and_then(|entry| entry["digest"].as_str());
                let there = format!("{}@{}", name.repository(), digest.unwrap_or_default());
                let pushed = self.push_image(ctx, id.as_str(), Some(&there), &push)?;
                let moved = pushed.into_iter().next().map(|pushed| pushed.moved).unwrap_or_default();
                Ok((moved, usize::from(moved.sent > 0)))
            }
            Origin::Imagined => Err(Error::internal("what was only imagined cannot be sent")),
        }
    }

    /// An index as a plan holds it, made once more. Errors: `conflict` where it comes to something else.
    pub fn index_again(&self, ctx: &Context, recipe: &IndexRecipe) -> Result<Index> {
        let index = self.index(ctx, &recipe.name, &recipe.options)?;
        for step in &recipe.steps {
            match step {
                Step::Add(from, options) => self.add_to_index(ctx, &index, from, options)?,
                Step::AddImage(id, options) => self.add_image_to_index(ctx, &index, id, options)?,
                Step::Remove(what) => index.remove(what)?,
                Step::Annotate(pairs) => index.annotate(pairs)?,
            }
        }
        match &recipe.digest {
            Some(digest) if *digest != index.digest() => {
                let text = format!("the index `{}` comes to {}, not {digest}", recipe.name, index.digest());
                Err(Error::new(Kind::Conflict, text).hint("make a new plan"))
            }
            _ => Ok(index),
        }
    }
}

impl Origin {
    /// Whether it is the same.
    fn is(&self, other: &Origin) -> bool {
        match (self, other) {
            (Origin::Side(one, _), Origin::Side(other, _)) => one == other,
            (Origin::Image(one), Origin::Image(other)) => one == other,
            _ => false,
        }
    }
}

fn copied(digest: Digest, unchanged: bool, moved: Moved, manifests: usize) -> Copied {
    Copied {
        digest,
        unchanged,
        moved,
        manifests,
    }
}
