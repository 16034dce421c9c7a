//! Where things are and how a run behaves: the only reader of the environment and the home directory.

#![expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]

mod file;
mod header;
mod jobs;
mod limits;
mod permissions;
mod protect;
mod proxies;
mod registries;
mod target;
mod trash;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

pub use header::{
    Given, Header, JobHeader, Misuse, Notify, Overlap, Parameter, Place, Retries, Type, part_words, read_words,
    split_words,
};
pub use jobs::Jobs;
pub use limits::Limits;
pub use permissions::{Demand, Permissions, Rule, Rules};
pub use protect::{Protect, protected};
pub use proxies::Proxies;
pub use registries::Registries;
pub use target::{ImageNames, Scope, Target};
pub use trash::Trash;

/// Settings of one invocation: the defaults, what the settings file says over them, and flags over both.
#[derive(Debug, Clone)]
pub struct Config {
    /// The store: images, layers, containers (`--root`).
    pub root: PathBuf,
    /// Sockets, locks and process state, gone after a reboot (`--run-root`).
    pub run_root: PathBuf,
    /// Record mutations instead of carrying them out (`--dry-run`).
    pub dry_run: bool,
    /// What an image may cost before it is refused (`[limits]`, `--limit`).
    pub limits: Limits,
    /// What becomes of layers' blobs once they are unpacked (`blobs` under `[store]`).
    pub blobs: Blobs,
    /// What is never removed and whose names never move (`[protect]`).
    pub protect: Protect,
    /// How long what is removed can be brought back (`[trash]`, `--trash`).
    pub trash: Trash,
    /// What is kept of the runs of jobs (`[jobs]`).
    pub jobs: Jobs,
    /// The run of a job that this process is, if it is one.
    pub run: Option<i64>,
    /// The flags by which this program has these settings once more.
    pub flags: Vec<OsString>,
    /// Modules of the user's own: `lib` beside the settings file.
    pub library: Option<PathBuf>,
    /// What scripts may do (`--allow-…`, `--deny-…`).
    pub permissions: Permissions,
    /// The one file for logins, where it is not to be the user's own.
    pub logins: Option<PathBuf>,
}

/// What becomes of a layer's blob once the layer is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blobs {
    /// It stays, so that the image can be saved as it came.
    #[default]
    Keep,
    /// It goes as soon as its tar can be made again from the unpacked files, which are then all there is of the layer.
    Drop,
}

/// A variable's setting, as `NAME=value`: as it is given, or for a name alone as it is in the environment of this process. `None` if
/// it is not there, or no text.
pub fn setting(word: &str) -> Option<String> {
    match word.contains('=') {
        true => Some(word.to_owned()),
        false => std::env::var(word).ok().map(|value| format!("{word}={value}")),
    }
}

impl Config {
    /// The settings for the given flags; an absent one has its default, which depends on who runs the program.
    pub fn new(root: Option<PathBuf>, run_root: Option<PathBuf>, dry_run: bool) -> Result<Config> {
        let is_root = nix::unistd::geteuid().is_root();
        let root = match root {
            Some(root) => root,
            None if is_root => PathBuf::from("/var/lib/hoist"),
            None => data_home()?.join("hoist"),
        };
        // Without a run root of its own, another store keeps its process state below itself, so that two stores never meet.
        let run_root = match run_root {
            Some(run_root) => run_root,
            None if root == Path::new("/var/lib/hoist") => PathBuf::from("/run/hoist"),
            None => root.join("run"),
        };
        let (root, run_root) = (absolute(&root)?, absolute(&run_root)?);
        Ok(Config {
            flags: [
                "--root".into(),
                root.clone().into(),
                "--run-root".into(),
                run_root.clone().into(),
            ]
            .to_vec(),
            root,
            run_root,
            dry_run,
            limits: Limits::default(),
            blobs: Blobs::default(),
            protect: Protect::default(),
            trash: Trash::default(),
            jobs: Jobs::default(),
            run: None,
            library: Config::usual_library(),
            permissions: Permissions::default(),
            logins: None,
        })
    }

    /// Where modules of one's own are.
    pub fn usual_library() -> Option<PathBuf> {
        Config::usual_directory().map(|directory| directory.join("lib"))
    }

    /// The settings file that is read unless another is named: root's is the machine's, others have their own.
    pub fn usual_file() -> Option<PathBuf> {
        Some(Config::usual_directory()?.join("hoist.toml"))
    }

    /// Where settings and the user's own modules are: root's are the machine's, others have their own.
    fn usual_directory() -> Option<PathBuf> {
        if nix::unistd::geteuid().is_root() {
            return Some(PathBuf::from("/etc/hoist"));
        }
        let config = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(home()?.join(".config")))?;
        Some(config.join("hoist"))
    }

    /// Where people keep commands of their own, as `NAME.rhai`: root's are the machine's, others have their own, and
    /// `$HOIST_COMMANDS` names another place.
    pub fn commands_dir() -> Option<PathBuf> {
        let named = variable("HOIST_COMMANDS").map(PathBuf::from);
        if named.is_some() {
            return named;
        }
        Some(Config::usual_file()?.parent()?.join("commands"))
    }

    /// Where the REPL keeps its history.
    pub fn history_file() -> Option<PathBuf> {
        let state = variable("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.or_else(|| Some(home()?.join(".local/state")))?;
        Some(state.join("hoist/history"))
    }
}

/// An environment variable of this process, if it is set and valid text.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// All environment variables of this process that are valid text.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

fn data_home() -> Result<PathBuf> {
    let data = variable("XDG_DATA_HOME").map(PathBuf::from);
    data.or_else(|| Some(home()?.join(".local/share"))).ok_or_else(|| {
        Error::invalid("there is no home directory to keep the store in")
            .hint("set HOME, or name a directory with `--root`")
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|cause| Error::invalid(format!("`{}` is not a usable path: {cause}", path.display())).source(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_root_keeps_its_processes_to_itself() {
        let config = Config::new(Some("/srv/x".into()), None, false).unwrap();
        assert_eq!(config.run_root, Path::new("/srv/x/run"));
        let config = Config::new(Some("/srv/x".into()), Some("/run/y".into()), false).unwrap();
        assert_eq!(config.run_root, Path::new("/run/y"));
    }
}
