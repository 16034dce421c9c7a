//! The other tools, run in their own root beside a store of this test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::tree::Tree;
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
        self.docker_with("", script, args)
    }

    /// The same with more options for the daemon.
    pub(crate) fn docker_with(&self, options: &str, script: &str, args: &[&str]) -> Output {
        let words = [&["sh", "-euc", script, "sh"], args].concat();
        self.enter_with("dockerd", &words, &[("DOCKERD_OPTIONS", options)])
    }

    /// What podman makes of the one image in each archive.
    pub(crate) fn podman_trees(&self, archives: &[&Path]) -> Vec<Tree> {
        let script = r#"
            podman() { command podman --root "$PWD/podman" --runroot "$PWD/podman-run" --tmpdir "$PWD/podman-tmp" "$@"; }
            for archive; do
                image=$(podman load --quiet --input "$archive")
                cp --archive "$(podman image mount "${image#Loaded image: }")" "$archive.podman"
            done"#;
        self.trees("run", script, archives, "podman")
    }

    /// What Docker makes of the one image in each archive.
    pub(crate) fn docker_trees(&self, archives: &[&Path]) -> Vec<Tree> {
        // A stopped container has no mount, and `docker export` leaves out attributes and fractions of seconds.
        // The new mount calls take no more than 255 bytes of directories.
        let script = r#"
            mkdir empty merged
            for archive; do
                image=$(docker load --quiet --input "$archive")
                image=${image#Loaded image: }
                dirs=$(docker image inspect --format "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}" "${image#Loaded image ID: }")
                LIBMOUNT_FORCE_MOUNT2=always mount -t overlay overlay -o "ro,lowerdir=${dirs%:<no value>}:$PWD/empty" merged
                cp --archive merged "$archive.docker"
                umount merged
            done"#;
        self.trees("dockerd", script, archives, "docker")
    }

    /// What umoci makes of the one image in each OCI archive.
    pub(crate) fn umoci_trees(&self, archives: &[&Path]) -> Vec<Tree> {
        let script = r#"
            for archive; do
                skopeo copy --quiet "oci-archive:$archive" "oci:$archive.layout:it"
                umoci unpack --image "$archive.layout:it" bundle
                mv bundle/rootfs "$archive.umoci"
                rm -r bundle
            done"#;
        self.trees("run", script, archives, "umoci")
    }

    fn trees(&self, how: &str, script: &str, archives: &[&Path], tool: &str) -> Vec<Tree> {
        let names: Vec<_> = archives.iter().map(|path| path.to_str().unwrap()).collect();
        self.enter(how, &[&["sh", "-euc", script, "sh"], &names[..]].concat())
            .success();
        let tree = |name: &&str| Tree::read(Path::new(&format!("{name}.{tool}")));
        names.iter().map(tree).collect()
    }

    fn enter(&self, how: &str, args: &[&str]) -> Output {
        self.enter_with(how, args, &[])
    }

    fn enter_with(&self, how: &str, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command: Command = super::program(inputs::peers_program());
        command
            .arg(how)
            .args(args)
            .current_dir(self.dir())
            .env("HOIST_TEST_INPUTS", inputs::dir())
            .envs(variables.iter().copied());
        Output::of(command, None)
    }
}
