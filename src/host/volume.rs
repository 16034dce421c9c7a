//! Named volumes: directories that outlive the containers that use them.
//!
//! A new volume starts as what the image has in its place, as with Docker. That is copied before the transaction that makes the
//! volume, which only moves it into place: copying may take long, and others wait for a transaction.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Host;
use crate::error::{Context as _, Result};
use crate::images::Staging;
use crate::model::Context;
use crate::runtime;
use crate::store::{Tx, VolumeRow};

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

    /// Makes a volume that is not there yet, inside the transaction that makes its first user.
    pub(super) fn ensure_volume(&self, tx: &Tx, name: &str, drafts: &Drafts) -> Result<()> {
        let is_new = tx.insert_volume(&VolumeRow {
            name: name.to_owned(),
            created: Timestamp::now(),
            labels: "{}".to_owned(),
        })?;
        if self.plan().is_some() {
            return Ok(());
        }
        let path = self.volume_path(name);
        let make = || match drafts.of(name) {
            // A directory without a row may be left from a crash; what is in it is not thrown away.
            Some(draft) if is_new && !path.exists() => {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
                std::fs::rename(draft, &path)
            }
            _ => std::fs::create_dir_all(&path),
        };
        make().during(|| format!("make the volume `{}`", path.display()))
    }

    /// Takes back the directories of volumes, by name and place, that came to nothing because the transaction failed.
    pub(super) fn take_back_volumes(&self, mounts: &[(&str, &str)], drafts: &Drafts) -> Result<()> {
        self.store().write(|tx| {
            for (name, _) in mounts {
                if tx.volume(name)?.is_some() {
                    continue;
                }
                let path = self.volume_path(name);
                let _ = match drafts.of(name).filter(|draft| !draft.exists()) {
                    Some(draft) => std::fs::rename(path, draft),
                    // Only an empty one goes.
                    None => std::fs::remove_dir(path),
                };
            }
            Ok(())
        })
    }

    /// The names of volumes that have a directory.
    pub(super) fn volume_dirs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.config().root.join("volumes"));
        let entries = entries.into_iter().flatten().filter_map(|entry| entry.ok());
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> = dirs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
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
        if names.is_empty() {
            return Ok(());
        }
        let trash = self.content().stage()?;
        for name in names {
            self.store().write(|tx| {
                if !tx.users_of_volume(name)?.is_empty() || !tx.delete_volume(name)? {
                    return Ok(());
                }
                // Out of the way within the transaction: a new volume of this name may come right after it.
                match std::fs::rename(self.volume_path(name), trash.free_path()) {
                    Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    other => other.during(|| format!("remove the volume `{name}`")),
                }
            })?;
        }
        Ok(())
    }
}
