//! The other tools, run in their own root beside a store of this test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Output, inputs};

/// A fresh directory for the other tools' stores, which they see under the same name.
pub(crate) struct Peers(TempDir);

impl Peers {
    /// An empty store for each tool.
    pub(crate) fn new() -> Peers {
        super::assert_needs();
        inputs::path("peers/etc/hoist-peers");
        Peers(
            tempfile::Builder::new()
                .prefix("hoist-peers-")
                .tempdir_in("/var/tmp")
                .unwrap(),
        )
    }

    /// The directory, for files that go from one tool to another.
    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a tool in the directory; nothing it starts outlives it.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.enter("run", args)
    }

    /// Runs `podman ARGS…` on a store of this test, kept from call to call.
    pub(crate) fn podman(&self, args: &[&str]) -> Output {
        let at = |name: &str| self.file(name).to_str().unwrap().to_owned();
        let (root, run_root, temporary) = (at("podman"), at("podman-run"), at("podman-tmp"));
        let own = [
            "podman",
            "--root",
            &root,
            "--runroot",
            &run_root,
            "--tmpdir",
            &temporary,
        ];
        self.run(&[&own, args].concat())
    }

    /// Runs a shell script beside a Docker daemon that starts empty and ends with it. `$1`, `$2`… are `args`.
    pub(crate) fn docker(&self, script: &str, args: &[&str]) -> Output {
        self.enter("dockerd", &[&["sh", "-euc", script, "sh"], args].concat())
    }

    fn enter(&self, how: &str, args: &[&str]) -> Output {
        let mut command: Command = super::program(inputs::peers_program());
        command
            .arg(how)
            .args(args)
            .current_dir(self.dir())
            .env("HOIST_TEST_INPUTS", inputs::dir());
        Output::of(command, None)
    }
}
