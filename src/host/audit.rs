//! What was done, as lines of JSON in a file that is only ever added to.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use serde_json::json;

use crate::error::{Context as _, Kind, Result};
use crate::model::Effect;

/// How far an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is about to be done. Nothing is done that the file does not tell.
    Begun,
    /// It is done.
    Done,
    /// It was refused or has failed.
    Failed(Kind),
}

/// One effect of one call.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The function, as a script writes it.
    pub function: &'a str,
    /// The effect.
    pub effect: Effect,
    /// What it is done to, where that is known.
    pub target: Option<String>,
    /// How far it is.
    pub outcome: Outcome,
    /// Whether it only would be done.
    pub dry_run: bool,
    /// The script that calls.
    pub script: Option<&'a str>,
    /// Line and column of the call.
    pub position: Option<(usize, usize)>,
}

/// The file.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: Mutex<File>,
    failed: AtomicBool,
}

impl Audit {
    /// Opens the file, which is made if it is not there, for nobody else to read.
    pub fn open(path: &Path) -> Result<Audit> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Audit {
            file: Mutex::new(file.during(|| format!("open the audit file `{}`", path.display()))?),
            path: path.to_owned(),
            failed: AtomicBool::new(false),
        })
    }

    /// Adds a line by one write. Once that has failed, it fails each time: nothing goes on untold.
    pub fn write(&self, entry: &Entry<'_>) -> Result<()> {
        let outcome = match entry.outcome {
            Outcome::Begun => "begun",
            Outcome::Done => "done",
            Outcome::Failed(kind) => kind.name(),
        };
        let mut line = json!({
            "time": Timestamp::now().to_string(),
            "pid": std::process::id(),
            "function": entry.function,
            "effect": entry.effect.name(),
            "target": entry.target,
            "outcome": outcome,
            "script": entry.script,
            "line": entry.position.map(|position| position.0),
            "column": entry.position.map(|position| position.1),
        });
        if entry.dry_run {
            line["dry_run"] = json!(true);
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_all(format!("{line}\n").as_bytes());
        if written.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        written
            .during(|| format!("write to the audit file `{}`", self.path.display()))
            .map_err(|error| {
                error.hint("nothing is done that cannot be told: make room, or name another file by `--audit`")
            })
    }

    /// Whether a line could not be written.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // A pipe or a device has nothing to sync, and nobody is left to tell.
        let _ = self.file.get_mut().unwrap_or_else(PoisonError::into_inner).sync_all();
    }
}
