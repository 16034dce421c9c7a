//! Named volumes: directories that outlive the containers that use them.
//!
//! A new volume starts as what the image has in its place, as with Docker. That is copied before the transaction that makes the
//! volume, which only moves it beside its place: copying may take long, and others wait for a transaction.
//!
//! Rows decide. A directory that comes or goes is beside its place under a name that no volume has, `.NAME`, until the transaction is
//! on disk; then it is settled by whether there is a row: into its place, or away. Whoever opens the store does so for a dead process.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Host;
use crate::error::{Context as _, Result};
use crate::images::Staging;
use crate::model::Context;
use crate::runtime;
use crate::store::{Tx, VolumeRow};
use crate::sys::file;

/// The first content of volumes that are not there yet; what is not used goes with it.
pub(super) struct Drafts {
    /// Volume and directory.
    drafts: Vec<(String, PathBuf)>,
    staging: Option<Staging>,
}

impl Drafts {
    fn of(&self, volume: &str) -> Option<&Path> {
        let mut drafts = self.drafts.iter();
        drafts.find(|(name, _)| name == volume).map(|(_, dir)| dir.as_path())
    }
}

impl Host {
    /// Where a volume's files are. The name was checked when it was taken from the options.
    pub(super) fn volume_path(&self, name: &str) -> PathBuf {
        self.config().root.join("volumes").join(name)
    }

    /// What the layers (topmost first) have at the places of those volumes, by name and place, that are new; a volume that has
    /// several places takes after the first.
    pub(super) fn draft_volumes(&self, ctx: &Context, layers: &[PathBuf], mounts: &[(&str, &str)]) -> Result<Drafts> {
        let mut made = Drafts {
            drafts: Vec::new(),
            staging: None,
        };
        for (volume, place) in mounts {
            let is_known = self.store().read(|tx| tx.volume(volume))?.is_some();
            if is_known || layers.len() < 2 || made.of(volume).is_some() {
                continue;
            }
            let staging = match made.staging.take() {
                Some(staging) => staging,
                None => self.content().stage()?,
            };
            let dir = staging.free_path();
            made.staging = Some(staging);
            if runtime::files::copy_directory(ctx, layers, place, &dir)? {
                made.drafts.push(((*volume).to_owned(), dir));
            }
        }
        match &made.staging {
            Some(staging) if !made.drafts.is_empty() => staging.sync()?,
            _ => {}
        }
        Ok(made)
    }

    /// Whether one of these volumes has yet to get its directory.
    pub(super) fn lacks_volume(&self, mounts: &[(&str, &str)]) -> bool {
        mounts.iter().any(|(name, _)| !self.volume_path(name).is_dir())
    }

    /// Where a volume's directory is while it comes or goes.
    fn volume_aside(&self, name: &str) -> PathBuf {
        self.volume_path(&format!(".{name}"))
    }

    /// Moves a volume's directory, if it has one, beside its place, and waits for the disk: a power cut must not find the row gone
    /// and the directory in its place, which is nobody's then.
    fn set_volume_aside(&self, name: &str) -> std::io::Result<()> {
        match std::fs::rename(self.volume_path(name), self.volume_aside(name)) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(cause),
            Ok(()) => file::sync_directory(&self.config().root.join("volumes")),
        }
    }

    /// Makes a volume that is not there yet, inside the transaction that makes its first user: to be settled after that.
    pub(super) fn ensure_volume(&self, tx: &Tx, name: &str, drafts: &Drafts) -> Result<()> {
        let row = VolumeRow {
            name: name.to_owned(),
            created: Timestamp::now(),
            labels: "{}".to_owned(),
        };
        self.insert_volume(tx, &row, drafts)
    }

    /// Makes an empty volume that is not there yet.
    pub(super) fn make_volume(&self, row: &VolumeRow) -> Result<()> {
        let drafts = Drafts {
            drafts: Vec::new(),
            staging: None,
        };
        self.store().write_durably(|tx| self.insert_volume(tx, row, &drafts))?;
        self.settle_volumes()
    }

    fn insert_volume(&self, tx: &Tx, row: &VolumeRow, drafts: &Drafts) -> Result<()> {
        let name = row.name.as_str();
        let is_new = tx.insert_volume(row)?;
        let (path, aside) = (self.volume_path(name), self.volume_aside(name));
        // A directory without a row is nothing of ours; what is in it is not thrown away.
        if self.imagines() || path.exists() || (!is_new && aside.exists()) {
            return Ok(());
        }
        let volumes = self.config().root.join("volumes");
        let make = || {
            file::make_private_dir(&volumes)?;
            // Of one that never came to be.
            file::remove_tree_at(File::open(&volumes)?.as_fd(), aside.file_name().unwrap_or_default())?;
            match drafts.of(name) {
                Some(draft) => std::fs::rename(draft, &aside)?,
                None => std::fs::create_dir(&aside)?,
            }
            file::sync_directory(&volumes)
        };
        make().during(|| format!("make the volume `{}`", path.display()))
    }

    /// Puts directories of volumes that came or went where their rows, which are on disk, say: into place, or away.
    pub(super) fn settle_volumes(&self) -> Result<()> {
        if self.unsettled_volumes().is_empty() {
            return Ok(());
        }
        // Deleting many files takes time: that happens when what was taken is dropped, after the transaction.
        let mut taken = None;
        self.store().write(|tx| {
            for name in self.unsettled_volumes() {
                let (path, aside) = (self.volume_path(&name), self.volume_aside(&name));
                let is_wanted = tx.volume(&name)?.is_some() && !path.exists();
                let settled = match is_wanted {
                    true => std::fs::rename(&aside, &path).inspect(|()| self.tell_volume("create", &name)),
                    false => {
                        let staging = taken.take().map_or_else(|| self.content().stage(), Ok)?;
                        let moved = std::fs::rename(&aside, staging.free_path());
                        taken = Some(staging);
                        moved
                    }
                };
                settled.during(|| format!("settle the volume `{}`", path.display()))?;
            }
            Ok(())
        })
    }

    /// The names of volumes that have a directory.
    pub(super) fn volume_dirs(&self) -> Vec<String> {
        let mut names = dirs_in(&self.config().root.join("volumes"));
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// The names of volumes whose directory is beside its place.
    pub(super) fn unsettled_volumes(&self) -> Vec<String> {
        let names = dirs_in(&self.config().root.join("volumes")).into_iter();
        names
            .filter_map(|name| Some(name.strip_prefix('.')?.to_owned()))
            .collect()
    }

    /// Makes a volume of a directory that has none.
    pub(super) fn adopt_volume(&self, name: &str) -> Result<()> {
        let row = VolumeRow {
            name: name.to_owned(),
            created: Timestamp::now(),
            labels: "{}".to_owned(),
        };
        self.store().write(|tx| tx.insert_volume(&row)).map(drop)
    }

    /// Removes those volumes that no container uses.
    pub(super) fn remove_unused_volumes(&self, names: &[String]) -> Result<()> {
        for name in names.iter().filter(|name| self.config().protect.volume(name).is_none()) {
            let is_gone = self.store().write_durably(|tx| {
                if !tx.users_of_volume(name)?.is_empty() || !tx.delete_volume(name)? {
                    return Ok(false);
                }
                // Out of the way within the transaction: a new volume of this name may come right after it.
                self.set_volume_aside(name)
                    .during(|| format!("remove the volume `{name}`"))?;
                Ok(true)
            })?;
            if is_gone {
                self.tell_volume("destroy", name);
            }
        }
        self.settle_volumes()
    }
}

/// The names of directories in a directory.
fn dirs_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok());
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
