//! The program under test, on a store of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::disk::{Cut, Disk, Kind};
use super::leftovers::Leftovers;
use super::output::read_all;
use super::{Filters, Output, Screen, assert_needs, inputs, program};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hoist");

/// A fresh store and the program that works on it. On drop its containers are removed, and it is a failure if a mount, a process or
/// a control group stays.
pub(crate) struct Hoist {
    dir: TempDir,
    /// What the store is on, if that is a disk of its own.
    disk: Option<Disk>,
    leftovers: Leftovers,
    /// How long what is removed can be brought back.
    trash: &'static str,
}

impl Hoist {
    /// An empty store.
    pub(crate) fn new() -> Hoist {
        Hoist::place(None)
    }

    /// An empty store on a disk of its own of this size, such as `32m`.
    pub(crate) fn on_disk(size: &str) -> Hoist {
        Hoist::place(Some((Kind::Tmpfs, size)))
    }

    /// The same with the file system most people have, and power that can be cut.
    pub(crate) fn on_ext4(size: &str) -> Hoist {
        Hoist::on(Kind::Ext4, size)
    }

    /// An empty store on a disk of this kind and size.
    pub(crate) fn on(kind: Kind, size: &str) -> Hoist {
        Hoist::place(Some((kind, size)))
    }

    fn place(disk: Option<(Kind, &str)>) -> Hoist {
        assert_needs();
        // On a disk: the upper directory of an overlay cannot be everywhere.
        let dir = tempfile::Builder::new()
            .prefix("hoist-test-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let root = dir.path().join("root");
        for dir in [&root, &dir.path().join("home"), &dir.path().join("work")] {
            fs::create_dir(dir).unwrap();
        }
        let disk = disk.map(|(kind, size)| Disk::mount(kind, &root, size));
        let containers = disk
            .as_ref()
            .map_or(root.clone(), |disk| disk.view(&root))
            .join("containers");
        fs::DirBuilder::new().mode(0o700).create(&containers).unwrap();
        let leftovers = Leftovers::watch(dir.path(), &containers);
        Hoist {
            dir,
            disk,
            leftovers,
            // Tests look at the disk: what is removed has to be gone from it.
            trash: "0",
        }
    }

    /// The same store, where what is removed can be brought back for so long.
    pub(crate) fn keeping_trash(mut self, time: &'static str) -> Hoist {
        self.trash = time;
        self
    }

    /// A store with the image `busybox`, which has a shell and its tools.
    pub(crate) fn with_busybox() -> Hoist {
        let hoist = Hoist::new();
        hoist.import_busybox();
        hoist
    }

    /// Brings in the image `busybox`.
    pub(crate) fn import_busybox(&self) {
        let tar = inputs::path("busybox.tar");
        let changes = r#"["ENV PATH=/bin", "CMD [\"sh\"]"]"#;
        self.eval(&format!(
            r#"image::import_tar("{}", "busybox", #{{changes: {changes}}}).id"#,
            tar.display()
        ))
        .success();
    }

    /// The store's root, as it is to be seen from here.
    pub(crate) fn root(&self) -> PathBuf {
        let root = self.dir.path().join("root");
        self.disk.as_ref().map_or(root.clone(), |disk| disk.view(&root))
    }

    /// Where the state of processes is.
    pub(crate) fn run_root(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Cuts the power of the store's disk and starts the machine again: what was in memory is gone.
    pub(crate) fn cut_power(&self, cut: Cut) {
        let disk = self.disk.as_ref().expect("the store is on a disk of its own");
        disk.cut_power(cut);
        let _ = fs::remove_dir_all(self.run_root());
    }

    /// The directory scripts run in, for files of the test.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// `hoist --root … ARGS`, to be refined.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Invocation {
        self.command_under(&[], args)
    }

    /// The same, started by another program: `tracer … hoist --root … ARGS`.
    pub(crate) fn command_under<S: AsRef<OsStr>>(&self, tracer: &[&str], args: &[S]) -> Invocation {
        let at = |name: &str| self.dir.path().join(name);
        let words = [tracer, &[PROGRAM]].concat();
        let mut command = match &self.disk {
            Some(disk) => disk.program(words[0], &self.dir()),
            None => program(words[0]),
        };
        command
            .args(&words[1..])
            .arg("--root")
            .arg(at("root"))
            .arg("--run-root")
            .arg(at("run"))
            .args(args);
        command
            .current_dir(self.dir())
            .env("HOME", at("home"))
            .env("COLUMNS", "120")
            .env("TERM", "dumb")
            .env("HOIST_TRASH", self.trash)
            .env("TZ", "UTC");
        Invocation { command, stdin: None }
    }

    /// Runs `hoist ARGS` to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command(args).output()
    }

    /// Runs `hoist eval EXPRESSION` to its end.
    pub(crate) fn eval(&self, expression: &str) -> Output {
        self.run(&["eval", expression])
    }

    /// What the expression evaluates to, as JSON.
    #[track_caller]
    pub(crate) fn value(&self, expression: &str) -> serde_json::Value {
        self.run(&["--format", "json", "eval", expression]).success().json()
    }

    /// Runs a script with arguments to its end.
    pub(crate) fn script(&self, text: &str, args: &[&str]) -> Output {
        let path = self.write("script.rhai", text);
        self.run(&[&["run", path.to_str().unwrap()], args].concat())
    }

    /// Runs `hoist ARGS` after `prelude`, a shell script that may change the mounts: they are its own. `$root` is the store's root.
    pub(crate) fn run_after(&self, prelude: &str, args: &[&str]) -> Output {
        let inner = self.command(args).command;
        let mut outer = program("unshare");
        let script = format!("root={}; {prelude}\nexec \"$@\"", self.root().display());
        outer
            .args(["--mount", "--propagation", "private", "sh", "-euc", &script, "sh"])
            .arg(PROGRAM)
            .args(inner.get_args());
        outer.current_dir(self.dir());
        Output::of(outer, None)
    }

    /// Filters that also hide where this store is.
    pub(crate) fn filters(&self) -> Filters {
        Filters::new().path(self.dir.path(), "[HOIST]")
    }

    /// Files and directories of unfinished work. After any command that has ended there are none; the lock of the place stays.
    pub(crate) fn staged(&self) -> Vec<PathBuf> {
        let ingest = self.root().join("ingest");
        list(&ingest)
            .into_iter()
            .filter(|path| *path != ingest.join("lock"))
            .collect()
    }

    /// Whether anything was made of layers for containers: it stays as long as they do.
    pub(crate) fn has_derived_layers(&self) -> bool {
        let layers = list(&self.root().join("layers"));
        layers
            .iter()
            .any(|path| path.extension().is_some_and(|kind| kind != "json"))
    }

    /// Fails if a mount, a process or a control group of a container stays. Containers that run would be found.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let found = self.leftovers.find();
        assert!(
            found.is_empty(),
            "the store in `{}` left behind:\n{}",
            self.dir.path().display(),
            found.join("\n")
        );
    }

    fn remove_containers(&self) {
        if !list(&self.root().join("containers")).is_empty() {
            self.eval("for c in container::list(#{all: true}) { c.remove(#{force: true}); }")
                .success();
        }
    }
}

impl Drop for Hoist {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has failed already, and what it left may be why: report, do not judge.
            let _ = self.eval("for c in container::list(#{all: true}) { c.remove(#{force: true}); }");
            return;
        }
        self.remove_containers();
        // Who holds the disk sees its mount.
        self.disk = None;
        self.assert_nothing_left();
    }
}

/// A call of the program, with what it gets.
pub(crate) struct Invocation {
    command: Command,
    stdin: Option<Vec<u8>>,
}

impl Invocation {
    /// Also this variable in its environment.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Invocation {
        self.command.env(name, value);
        self
    }

    /// This on its standard input, which is empty otherwise.
    #[must_use]
    pub(crate) fn stdin(mut self, text: impl Into<Vec<u8>>) -> Invocation {
        self.stdin = Some(text.into());
        self
    }

    /// The same by way of another program, which runs what its last arguments say.
    #[must_use]
    pub(crate) fn under(self, mut outer: Command) -> Invocation {
        outer.arg(self.command.get_program()).args(self.command.get_args());
        outer.current_dir(self.command.get_current_dir().unwrap());
        let variables = self.command.get_envs();
        outer.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        Invocation {
            command: outer,
            stdin: self.stdin,
        }
    }

    /// Starts it in a terminal of its own.
    pub(crate) fn on_screen(self) -> Screen {
        let mut outer = program("setsid");
        outer.arg("--ctty");
        Screen::start(self.under(outer).command)
    }

    /// The command itself.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end.
    pub(crate) fn output(self) -> Output {
        Output::of(self.command, self.stdin)
    }

    /// Starts it, so that the test can do something to it meanwhile.
    pub(crate) fn spawn(mut self) -> Running {
        let child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running(child)
    }
}

/// A program that was started and has not been waited for.
pub(crate) struct Running(Child);

impl Running {
    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal; one that has ended already does not mind.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    /// Reads its standard output up to and with this text, so that the test knows how far it is.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut seen = Vec::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        while !seen.ends_with(text.as_bytes()) {
            let length = std::io::Read::read(stdout, &mut byte).unwrap();
            assert!(
                length > 0,
                "it ended before it said `{text}`; it said: {}",
                String::from_utf8_lossy(&seen)
            );
            seen.push(byte[0]);
        }
    }

    /// Reads a line of its standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut seen = Vec::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut byte = [0];
        while std::io::Read::read(stdout, &mut byte).unwrap() > 0 && byte[0] != b'\n' {
            seen.push(byte[0]);
        }
        let mut errors = String::new();
        if seen.is_empty() {
            errors = read_all(self.0.stderr.take().unwrap());
        }
        assert!(!seen.is_empty(), "it said no line, but on standard error: {errors}");
        String::from_utf8(seen).unwrap()
    }

    /// Waits until it has a file or directory open below this directory.
    #[track_caller]
    pub(crate) fn wait_until_it_has_open(&self, dir: &Path) {
        let files = PathBuf::from(format!("/proc/{}/fd", self.0.id()));
        let is_open = || {
            let open = list(&files).into_iter().filter_map(|file| fs::read_link(file).ok());
            open.into_iter().any(|path| path.starts_with(dir))
        };
        while !is_open() {
            assert!(
                files.exists(),
                "it ended before it opened anything in `{}`",
                dir.display()
            );
            std::thread::yield_now();
        }
    }

    /// The numbers of its children that go by this name.
    pub(crate) fn children(&self, name: &str) -> Vec<u32> {
        let parent = format!("PPid:\t{}", self.0.id());
        let is_one = |process: &PathBuf| {
            let words = fs::read(process.join("cmdline")).unwrap_or_default();
            let status = fs::read_to_string(process.join("status")).unwrap_or_default();
            words.starts_with(&[name.as_bytes(), &[0]].concat()) && status.lines().any(|line| line == parent)
        };
        let all = list(Path::new("/proc")).into_iter().filter(is_one);
        all.filter_map(|process| process.file_name()?.to_str()?.parse().ok())
            .collect()
    }

    /// Waits until something is so, which is to come about before its end.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            assert!(self.is_alive(), "it ended too early");
            std::thread::yield_now();
        }
    }

    /// Does something again and again until its end.
    pub(crate) fn until_ended(&self, mut work: impl FnMut()) {
        while self.is_alive() {
            work();
            std::thread::yield_now();
        }
    }

    /// One that has ended and was not waited for has no descriptors any more.
    fn is_alive(&self) -> bool {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).is_ok_and(|mut fds| fds.next().is_some())
    }

    /// Waits for its end, and returns the rest of its errors and its status.
    pub(crate) fn wait(mut self) -> (String, ExitStatus) {
        let stderr = read_all(self.0.stderr.take().unwrap());
        (stderr, self.0.wait().unwrap())
    }

    /// Waits for its end without reading: what it started may still hold its output open.
    pub(crate) fn wait_only(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

fn list(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}
