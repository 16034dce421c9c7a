//! Bundles for `hoist oci`, and the containers made of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Output, PROGRAM, inputs, program};

/// A root with busybox, a configuration that a test changes, and a state root. On drop its containers are removed, and it is a
/// failure if a control group of one stays.
pub(crate) struct Bundle {
    dir: TempDir,
    pub(crate) config: Value,
}

impl Bundle {
    /// What `spec` writes, with these words as command, without a terminal, in a root that can be written to.
    pub(crate) fn new(args: &[&str]) -> Bundle {
        super::assert_needs();
        let dir = tempfile::Builder::new()
            .prefix("hoist-oci-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let rootfs = dir.path().join("rootfs");
        fs::create_dir(&rootfs).unwrap();
        super::tool(&rootfs, "tar", &["-xf", inputs::path("busybox.tar").to_str().unwrap()]);
        symlink(PROGRAM, dir.path().join("hoist-oci")).unwrap();
        let mut bundle = Bundle {
            dir,
            config: Value::Null,
        };
        bundle.act(&["spec"]).success();
        bundle.config = serde_json::from_slice(&fs::read(bundle.file("config.json")).unwrap()).unwrap();
        bundle.config["process"]["terminal"] = json!(false);
        bundle.config["process"]["args"] = json!(args);
        bundle.config["process"]["env"] = json!(["PATH=/bin"]);
        bundle.config["root"]["readonly"] = json!(false);
        bundle
    }

    /// The same with a shell that runs a script.
    pub(crate) fn sh(script: &str) -> Bundle {
        Bundle::new(&["sh", "-c", script])
    }

    /// The bundle's directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file in the root.
    pub(crate) fn inside(&self, name: &str) -> PathBuf {
        self.dir.path().join("rootfs").join(name)
    }

    /// The link by which the program is an OCI runtime.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.file("hoist-oci")
    }

    /// `hoist-oci --root … ARGS`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.runtime());
        command
            .arg("--root")
            .arg(self.file("state"))
            .args(args)
            .current_dir(self.dir());
        command
    }

    /// Writes the configuration as it is now.
    pub(crate) fn write(&self) {
        fs::write(self.file("config.json"), self.config.to_string()).unwrap();
    }

    /// Runs `hoist-oci --root … ARGS` to its end.
    pub(crate) fn act(&self, args: &[&str]) -> Output {
        Output::of(self.command(args), None)
    }

    /// `run` of the configuration as it is now.
    pub(crate) fn run(&self) -> Output {
        self.write();
        self.act(&["run", "it"])
    }

    /// `create` of the container `it`. What it prints goes to the file `out`.
    pub(crate) fn create(&self, options: &[&str]) -> Output {
        self.write();
        self.act_aside(&[&["create"], options, &["it"]].concat())
    }

    /// Runs `hoist-oci --root … ARGS` to its end, with the file `out` for what it prints, and what it leaves running.
    pub(crate) fn act_aside(&self, args: &[&str]) -> Output {
        let script = r#"out=$1; shift; exec "$@" >"$out" 2>&1 </dev/null"#;
        let mut command = program("sh");
        let inner = self.command(args);
        command.args(["-c", script, "sh"]).arg(self.file("out"));
        command
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(self.dir());
        let mut output = Output::of(command, None);
        output.stderr = self.out();
        output
    }

    /// What the container, or its creation, has printed.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(self.file("out")).unwrap_or_default()
    }

    /// Waits until the container has printed this.
    #[track_caller]
    pub(crate) fn wait_for_out(&self, text: &str) {
        let end = std::time::Instant::now() + super::PATIENCE;
        while !self.out().contains(text) {
            assert!(
                std::time::Instant::now() < end,
                "it never says `{text}`: {}",
                self.out()
            );
            std::thread::yield_now();
        }
    }

    /// The state of `it`, as `state` tells it.
    #[track_caller]
    pub(crate) fn state(&self) -> Value {
        self.act(&["state", "it"]).success().json()
    }

    /// Waits until it has this status.
    #[track_caller]
    pub(crate) fn wait_for(&self, status: &str) {
        let end = std::time::Instant::now() + super::PATIENCE;
        while self.state()["status"] != status {
            assert!(
                std::time::Instant::now() < end,
                "it is never {status}: {}",
                self.state()
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let deleted = self.act(&["delete", "--force", "it"]);
        if std::thread::panicking() {
            return;
        }
        deleted.success();
        assert!(!self.file("state/it").exists(), "the state of a container stays");
    }
}
