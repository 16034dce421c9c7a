//! The façade: all the product can do, as plain blocking Rust. Scripts, commands and servers call nothing below it.
//!
//! It joins the store (what there is), `images` (bytes) and `runtime` (processes), and knows the rules between them: names
//! move, images in use stay, content is visible only when whole. Under dry-run it works on a private copy of the database,
//! so that later reads see what would have happened, and keeps its hands off everything else.

mod audit;
mod check;
mod container;
mod errand;
mod events;
mod garbage;
mod hold;
mod image;
mod imagined;
mod info;
mod job;
mod names;
mod notify;
mod outside;
mod pairing;
mod pin;
mod plan;
mod protection;
mod proxy;
mod registry;
mod report;
mod repository;
mod scratch;
mod secret;
mod trash;
mod usage;
mod volume;
mod volumes;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::Config;
use crate::error::{Context as _, Result};
use crate::images::registry::Transport;
use crate::images::{Abandoned, Content};
use crate::model::{ContainerId, Digest, Reference};
use crate::runtime::{self, Contents};
use crate::store::{Lease, Store, Tx, forget_leases};
use crate::sys::file;

pub use audit::{Audit, Entry, Outcome};
pub use check::{CheckOptions, Checked, Damage, Problem};
pub use container::{
    Boot, Booted, Container, ContainerFilter, ContainerOptions, ExecOptions, HealthOption, HealthOptions, LogOption,
    LogOptions, Logged, Mount, Played, Player, RemoveContainer, Run, Sink, StopOptions, Talked, UpdateOptions,
};
pub use errand::{ErrandOptions, Ran, program_of, run_errand};
pub use events::{EventFilter, EventQuery};
pub use image::{
    BroughtIn, CommitOptions, FromHostOptions, Image, ImageFilter, ImportOptions, Matching, Policy, PullOptions,
    PulledImage, RemoveImage, SaveOptions, SketchOptions,
};
pub use info::Info;
pub use job::{Actors, Cause, Claim, Effects, Job, JobRun, Outcome as RunOutcome, RunReport, Ticket, TimerUnit, Told};
pub use notify::{MailOptions, Notice, Sign, SlackOptions, WebhookOptions, mailer};
pub use outside::{Content as Sent, FetchOptions, Outside};
pub use pin::Pin;
pub use plan::{Action, Plan};
pub use proxy::{CacheFilter, CachedManifest, ProxiedBlob, ProxiedManifest, Proxy};
pub use registry::{
    Asking, CopyOptions, EntryOptions, Index, IndexOptions, IndexPushOptions, IndexRecipe, MirrorOptions,
    MutateOptions, PushOptions, PushedImage, SearchOptions, path_of_side, search_place,
};
pub use report::{Item, Report};
pub use repository::{Document, FoundManifest, ManifestName, Pushed, Receiving, Referrer, ServedBlob, UntaggedFilter};
pub use secret::secret_of;
pub use trash::{Trashed, Undone};
pub use usage::{Disk, Usage};
pub use volumes::{ANONYMOUS, Volume, VolumeFilter, VolumeOptions};

pub use crate::model::host_of;
pub use crate::store::REBUILD;
pub use crate::web::Answer;

use imagined::Imagined;
use scratch::Scratch;

struct Inner {
    config: Config,
    store: Store,
    content: Content,
    changed_names: AtomicBool,
    /// The number of a change of names that is on disk, and those before it.
    durable_change: AtomicI64,
    /// Present exactly under dry-run.
    plan: Option<Arc<Plan>>,
    scratch: OnceLock<Scratch>,
    /// What this use of the store is called, once that matters, and the number of what is done in it now.
    run: OnceLock<String>,
    run_number: AtomicU64,
    /// The connections to registries, once there are any.
    transport: OnceLock<Transport>,
    /// What is set about registries, once one is to be asked.
    ways: OnceLock<registry::Ways>,
    /// What would be, under dry-run.
    imagined: Mutex<Imagined>,
    /// What was done here.
    effects: Mutex<Effects>,
    /// What is in the secrets of containers made here, which is kept nowhere else.
    secrets: Mutex<HashMap<ContainerId, Contents>>,
}

/// A store and the containers that belong to it. Clones are the same host.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

impl Host {
    /// Opens the store the settings name, and finishes or rolls back what a dead process left in it.
    ///
    /// With a plan, nothing of it is changed: mutations are recorded there instead.
    pub fn open(config: &Config, plan: Option<Arc<Plan>>) -> Result<Host> {
        Host::miss_database(config)?;
        let database = config.root.join("hoist.db");
        let (store, content) = match &plan {
            Some(_) => {
                pairing::pair(config, false)?;
                (
                    Store::open_copy(&database)?,
                    Content::view(&config.root, &config.limits),
                )
            }
            None => {
                make_dir(&config.root)?;
                make_dir(&config.run_root)?;
                pairing::pair(config, true)?;
                (Store::open(&database)?, Content::open(&config.root, &config.limits)?)
            }
        };
        let host = Host(Arc::new(Inner {
            config: config.clone(),
            store,
            content,
            changed_names: AtomicBool::new(false),
            durable_change: AtomicI64::new(0),
            plan,
            scratch: OnceLock::new(),
            run: OnceLock::new(),
            run_number: AtomicU64::new(0),
            transport: OnceLock::new(),
            ways: OnceLock::new(),
            imagined: Mutex::default(),
            effects: Mutex::default(),
            secrets: Mutex::default(),
        }));
        if host.plan().is_none() {
            host.recover();
        }
        Ok(host)
    }

    /// The settings the host was opened with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The plan that mutations go to under dry-run; `None` when they are carried out.
    pub fn plan(&self) -> Option<&Plan> {
        self.0.plan.as_deref()
    }

    /// Under dry-run, records an action and returns true: the caller then leaves the machine alone.
    fn planned(&self, action: &str, target: &str, detail: &str) -> bool {
        match self.plan() {
            Some(plan) => {
                plan.record(action, target, detail);
                true
            }
            None => false,
        }
    }

    /// What this process has done to the store and to registries so far.
    pub fn effects(&self) -> Effects {
        *self.0.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was done; under dry-run nothing is.
    fn count(&self, count: impl FnOnce(&mut Effects)) {
        if self.plan().is_none() {
            count(&mut self.0.effects.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn content(&self) -> &Content {
        &self.0.content
    }

    fn lease_dir(&self) -> PathBuf {
        self.0.config.run_root.join("leases")
    }

    /// Finishes or rolls back what dead processes left: what they had staged, removals they had begun, content that came to
    /// nothing, the index. What cannot be put right now, on a disk that is full or read-only, is left to the next process: it must
    /// keep nobody from reading, or from making room.
    fn recover(&self) {
        let _ = self.clear_staged();
        let _ = self.finish_removals();
        let _ = self.settle_volumes();
        let _ = self.end_dead_leases();
        let _ = self.0.write_index();
    }

    fn clear_staged(&self) -> Result<()> {
        self.content().abandoned()?.iter().try_for_each(Abandoned::remove)?;
        self.content().forget_partials()
    }

    fn end_dead_leases(&self) -> Result<()> {
        let dead = self.store().dead_leases(&self.lease_dir())?;
        if !dead.is_empty() {
            self.collect_leases(&dead)?;
            self.content().forget_whole_partials()?;
            forget_leases(&self.lease_dir(), &dead);
        }
        Ok(())
    }

    /// A writing transaction after which the OCI layout's index has to be written again; it is on disk when this returns.
    fn write_names<T>(&self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        let (value, change) = self.store().write_durably(|tx| with_stale_index(tx, work))?;
        self.0.durable_change.store(change, Ordering::Relaxed);
        self.0.changed_names.store(true, Ordering::Relaxed);
        Ok(value)
    }

    /// The same where no content comes or goes: it does not wait for the disk, and a power cut may take the last of it back.
    fn move_names<T>(&self, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
        let (value, _) = self.store().write(|tx| with_stale_index(tx, work))?;
        self.0.changed_names.store(true, Ordering::Relaxed);
        Ok(value)
    }

    /// Brings `content/index.json` up to date with the names, if this process changed any; done at the end of the process, too.
    pub fn write_index(&self) -> Result<()> {
        self.0.write_index()
    }

    /// Whether the index says what the names are, or somebody has yet to write it.
    fn is_index_true(&self) -> Result<bool> {
        // A writing transaction: whoever writes the index does so in one.
        self.store()
            .write(|tx| Ok(tx.index_mark()?.is_some() || self.content().has_index(&self.0.index_entries(tx)?)))
    }

    /// Writes the index, whether or not a name changed.
    fn write_index_anew(&self) -> Result<()> {
        self.store().write(|tx| tx.mark_index_stale())?;
        self.write_index()
    }
}

fn with_stale_index<T>(tx: &Tx, work: impl FnOnce(&Tx) -> Result<T>) -> Result<(T, i64)> {
    let value = work(tx)?;
    Ok((value, tx.mark_index_stale()?))
}

impl Inner {
    /// The index is for other tools: Hoist itself reads names from the database only, so it is written once, not at each change.
    fn write_index(&self) -> Result<()> {
        if self.plan.is_some() || self.store.read(|tx| tx.index_mark())?.is_none() {
            return Ok(());
        }
        while !self.write_index_of_durable_names()? {
            // Were a power cut to take back what the index tells, it would be behind with nothing to say so.
            let change = self.store.write_durably(|tx| tx.mark_index_stale())?;
            self.durable_change.store(change, Ordering::Relaxed);
        }
        Ok(())
    }

    /// False if names changed that may not be on disk yet.
    fn write_index_of_durable_names(&self) -> Result<bool> {
        // Inside the write lock, so that of two processes the later one writes the later state.
        self.store.write(|tx| {
            let Some(change) = tx.index_mark()? else {
                return Ok(true);
            };
            let entries = self.index_entries(tx)?;
            // As in a new store.
            let is_written = entries.is_empty() && self.content.has_index(&entries);
            if !is_written && change != self.durable_change.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if !is_written {
                self.content.write_index(&entries)?;
            }
            tx.mark_index_written().map(|()| true)
        })
    }

    /// What the index says: name, manifest and its size.
    fn index_entries(&self, tx: &Tx) -> Result<Vec<(Reference, Digest, u64)>> {
        let manifests: HashMap<Digest, Digest> = tx.manifests()?.into_iter().collect();
        let names = tx.references()?.into_iter();
        let entries = names.filter_map(|(name, image)| {
            let manifest = manifests.get(&image)?;
            Some((name, manifest.clone(), self.content.blob_size(manifest).ok()?))
        });
        Ok(entries.collect())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        runtime::await_ending();
        if *self.changed_names.get_mut() {
            // Nobody is left to tell: the next process to open the store writes it.
            let _ = self.write_index();
        }
    }
}

impl crate::images::Holder for Lease<'_> {
    fn hold(&self, digests: &[Digest]) -> Result<()> {
        Lease::hold(self, digests)
    }
}

fn make_dir(path: &std::path::Path) -> Result<()> {
    file::make_private_dir(path).during(|| format!("make the directory `{}`", path.display()))
}
