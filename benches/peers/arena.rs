//! Where the contestants meet: one root, one disk, the same inputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program, the inputs, and a directory for stores.
pub(crate) struct Arena {
    pub(crate) program: PathBuf,
    pub(crate) inputs: PathBuf,
    pub(crate) dir: PathBuf,
}

impl Arena {
    pub(crate) fn path(&self, name: &str) -> String {
        text(&self.dir.join(name))
    }

    pub(crate) fn input(&self, name: &str) -> String {
        text(&self.inputs.join(name))
    }

    fn words<'a>(&'a self, place: &'a [String; 3], words: &[&'a str]) -> Vec<&'a str> {
        let own = [&place[0], "--root", &place[1], "--run-root", &place[2]];
        [&own, words].concat()
    }

    fn place(&self) -> [String; 3] {
        [text(&self.program), self.path("hoist"), self.path("hoist-run")]
    }

    /// `hoist WORDS` on its store.
    pub(crate) fn command(&self, words: &[&str]) -> Vec<String> {
        let place = self.place();
        self.words(&place, words).into_iter().map(str::to_owned).collect()
    }

    /// `podman WORDS` on its store.
    pub(crate) fn podman_command(&self, words: &[&str]) -> Vec<String> {
        let (root, run_root) = (self.path("podman"), self.path("podman-run"));
        let all = [&["podman", "--root", &root, "--runroot", &run_root], words].concat();
        all.into_iter().map(str::to_owned).collect()
    }

    /// Runs `hoist eval EXPRESSION`.
    pub(crate) fn hoist(&self, expression: &str) -> String {
        run(&self.words(&self.place(), &["eval", expression]))
    }

    /// The most memory that `hoist eval EXPRESSION` had at once, in KiB.
    pub(crate) fn hoist_memory(&self, expression: &str) -> u64 {
        memory(&self.words(&self.place(), &["eval", expression]))
    }

    pub(crate) fn podman(&self, args: &[&str]) -> String {
        let (root, run_root) = (self.path("podman"), self.path("podman-run"));
        run(&[&["podman", "--root", &root, "--runroot", &run_root], args].concat())
    }

    /// The most memory that podman had at once, in KiB.
    pub(crate) fn podman_memory(&self, args: &[&str]) -> u64 {
        let (root, run_root) = (self.path("podman"), self.path("podman-run"));
        memory(&[&["podman", "--root", &root, "--runroot", &run_root], args].concat())
    }

    pub(crate) fn fresh_hoist(&self) {
        for name in ["hoist", "hoist-run"] {
            remove(&self.dir.join(name));
        }
        self.sync();
    }

    pub(crate) fn fresh_podman(&self) {
        self.podman(&["rmi", "--all", "--force"]);
        self.sync();
    }

    pub(crate) fn fresh_docker(&self) {
        run(&[
            "sh",
            "-c",
            "docker rmi --force $(docker images --all --quiet | sort -u) >/dev/null 2>&1 || true",
        ]);
        self.sync();
    }

    /// The path of a directory, which is emptied or made.
    pub(crate) fn fresh_dir(&self, name: &str) -> String {
        remove(&self.dir.join(name));
        fs::create_dir(self.dir.join(name)).unwrap();
        self.sync();
        self.path(name)
    }

    pub(crate) fn sync(&self) {
        run(&["sync", "-f", &self.path("")]);
    }

    pub(crate) fn with_busybox(&self) {
        self.fresh_hoist();
        self.hoist(&format!(
            r#"image::import_tar("{}", "busybox", #{{changes: ["ENV PATH=/bin"]}})"#,
            self.input("busybox.tar")
        ));
        self.podman(&["load", "--quiet", "--input", &self.input("busybox.skopeo.docker.tar")]);
    }
}

/// The word by which this program measures another.
pub(crate) const MEASURE: &str = "measure-memory";

/// The most memory that a program had at once, in KiB.
fn memory(words: &[&str]) -> u64 {
    let bench = text(&std::env::current_exe().unwrap());
    let measured = [&[bench.as_str(), MEASURE], words].concat();
    run(&measured).lines().last().unwrap().parse().unwrap()
}

/// Runs a program, and prints the most memory it had at once, in KiB (getrusage(2)).
pub(crate) fn measure(words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run(&words);
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    println!("{}", usage.max_rss());
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(crate) fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

pub(crate) fn run(words: &[&str]) -> String {
    run_in(Path::new("."), words)
}

/// Runs a program that must succeed, and returns what it printed.
pub(crate) fn run_in(dir: &Path, words: &[&str]) -> String {
    let output = Command::new(words[0])
        .args(&words[1..])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap_or_else(|error| panic!("failed to start `{}`: {error}", words[0]));
    let shown = words.iter().take(8).copied().collect::<Vec<_>>().join(" ");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{shown}` failed: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
