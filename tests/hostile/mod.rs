//! Images that mean harm. Each test is an attack that worked against some engine once; its number is the row of a list of such attacks.
//!
//! `s01` to `s08` name paths that lead out, `s09` to `s13` ask for more than there is, `s14` to `s20` wait for the container, `s21` to
//! `s29` lie about their content. Where a fault shows best in a unit test, that test has the number: `cargo test s04`.

mod content;
mod limits;
mod paths;
mod running;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::Hoist;
use crate::harness::forge::{Files, Item, layer};
use crate::harness::tree::{Ignore, Tree};

/// A store beside files of the host that must stay byte for byte as they are.
pub(super) struct Beside {
    pub(super) hoist: Hoist,
    outside: TempDir,
    before: Tree,
}

impl Beside {
    pub(super) fn new() -> Beside {
        let outside = tempfile::Builder::new()
            .prefix("hoist-outside-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let path = outside.path();
        fs::create_dir_all(path.join("dir/deep")).unwrap();
        fs::write(path.join("secret"), "host's own").unwrap();
        fs::write(path.join("dir/deep/file"), "host's own, too").unwrap();
        fs::set_permissions(path.join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let before = Tree::read(path);
        Beside {
            hoist: Hoist::new(),
            outside,
            before,
        }
    }

    pub(super) fn with_busybox() -> Beside {
        let beside = Beside::new();
        beside.hoist.import_busybox();
        beside
    }

    /// The host's directory, as an absolute path.
    pub(super) fn path(&self) -> &Path {
        self.outside.path()
    }

    /// The same as text.
    pub(super) fn dir(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// Fails if the host's files are not as they were.
    #[track_caller]
    pub(super) fn assert_untouched(&self) {
        self.before.assert_same(&Tree::read(self.path()), Ignore::default());
    }

    /// Loads an archive of these layers. What it throws, if it does, must leave nothing.
    #[track_caller]
    pub(super) fn load(&self, layers: &[Vec<u8>]) -> Result<(), Refusal> {
        let loaded = load(&self.hoist, &Files::docker(layers, "attack:1").pack());
        self.assert_untouched();
        loaded
    }

    /// The file of the topmost layer of the image that was loaded last.
    pub(super) fn layer(&self) -> PathBuf {
        let ids = self.hoist.value(r#"image::get("attack:1").inspect().RootFS.Layers"#);
        let id = ids.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
        self.hoist.root().join("layers").join(id.trim_start_matches("sha256:"))
    }

    /// Layers of one attack each, loaded one after the other: what became of each.
    #[track_caller]
    pub(super) fn load_each(&self, attacks: &[Vec<(&str, Item<'_>)>]) -> Vec<Result<(), Refusal>> {
        attacks.iter().map(|attack| self.load(&[layer(attack)])).collect()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_untouched();
        }
    }
}

/// What was thrown.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Loads an archive. What it throws, if it does, must leave no layer and no blob that was not there before.
#[track_caller]
pub(super) fn load(hoist: &Hoist, bytes: &[u8]) -> Result<(), Refusal> {
    load_with(hoist, bytes, &[])
}

/// The same with flags of the program.
#[track_caller]
pub(super) fn load_with(hoist: &Hoist, bytes: &[u8], flags: &[&str]) -> Result<(), Refusal> {
    let before = contents(hoist);
    let path = hoist.write("attack.tar", bytes);
    let script = format!(
        r#"let r = attempt(|| image::load({})); if r.ok {{ [] }} else {{ [r.error.kind, r.error.message, r.error.hint ?? ""] }}"#,
        json!(path)
    );
    let thrown = hoist
        .run(&[flags, &["--format", "json", "eval", &script]].concat())
        .success()
        .json();
    if thrown == json!([]) {
        return Ok(());
    }
    assert!(hoist.staged().is_empty(), "left unfinished: {:?}", hoist.staged());
    assert_eq!(contents(hoist), before, "the refused archive left something");
    let text = |at: usize| thrown[at].as_str().unwrap_or_default().to_owned();
    Err(Refusal {
        kind: text(0),
        message: text(1),
        hint: text(2),
    })
}

/// Names of all blobs and layers.
fn contents(hoist: &Hoist) -> Vec<PathBuf> {
    let dirs = ["layers", "content/blobs/sha256"].map(|dir| hoist.root().join(dir));
    let entries = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// The kind of error that must have been thrown.
#[track_caller]
pub(super) fn kind_of(result: &Result<(), Refusal>) -> &str {
    &result.as_ref().expect_err("it was accepted").kind
}
