//! Hoist beside podman and crun, in turn, in the same root of the same machine: `cargo bench --bench peers -- [CASE…]`.
//!
//! Prints the median of each and the median of the ratios. Machines are noisy; the ratios are what to look at. The program is the
//! one built for the benchmark, or the one `HOIST_BIN` names. The peers come from `tests/inputs/make`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "this program starts others and prints what it measured"
)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PODMAN_IMAGE: &str = "example.org/busybox:skopeo";
/// A kernel's grace periods, and whatever else a loop hides, are over after this.
const REST: Duration = Duration::from_millis(200);
const RUNS_IN_LOOP: u32 = 200;
const TAGS: usize = 2000;
const DANGLING: usize = 1000;

/// One side of a comparison: what comes before each round, unmeasured, and what is measured.
struct Contestant<'a> {
    name: &'a str,
    prepare: Box<dyn Fn() + 'a>,
    run: Box<dyn Fn() + 'a>,
    /// How often one run does the thing that is compared.
    times: u32,
}

impl<'a> Contestant<'a> {
    fn new<T>(name: &'a str, run: impl Fn() -> T + 'a) -> Contestant<'a> {
        Contestant {
            name,
            prepare: Box::new(|| ()),
            run: Box::new(move || drop(run())),
            times: 1,
        }
    }

    fn before(mut self, prepare: impl Fn() + 'a) -> Contestant<'a> {
        self.prepare = Box::new(prepare);
        self
    }

    fn times(mut self, times: u32) -> Contestant<'a> {
        self.times = times;
        self
    }

    fn measure(&self, rest: Duration) -> f64 {
        (self.prepare)();
        std::thread::sleep(rest);
        let start = Instant::now();
        (self.run)();
        start.elapsed().as_secs_f64() / f64::from(self.times)
    }
}

/// Runs the contestants in turn, and prints a line each; the first is the one that the others are compared with. Of several rounds
/// an additional first one warms caches and does not count.
fn compare(case: &str, rounds: usize, rest: Duration, contestants: &[Contestant<'_>]) {
    let mut seconds = vec![Vec::new(); contestants.len()];
    let warming = usize::from(rounds > 1);
    for round in 0..rounds + warming {
        for (contestant, seconds) in contestants.iter().zip(&mut seconds) {
            let measured = contestant.measure(rest);
            if round >= warming {
                seconds.push(measured);
            }
        }
    }
    let how = if rest.is_zero() {
        String::new()
    } else {
        format!(", after {} ms of rest", rest.as_millis())
    };
    println!("{case}{how} ({rounds} rounds)");
    for (contestant, times) in contestants.iter().zip(&seconds) {
        let best = times.iter().copied().fold(f64::INFINITY, f64::min);
        let ratio = median(seconds[0].iter().zip(times).map(|(own, other)| own / other).collect());
        let line = format!(
            "  {:<8} median {:>10}   best {:>10}",
            contestant.name,
            show(median(times.clone())),
            show(best)
        );
        println!(
            "{line}{}",
            if contestant.name == "hoist" {
                String::new()
            } else {
                format!("   hoist / it {ratio:.3}")
            }
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn show(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Where everything is: the program, the inputs, and a directory for stores.
struct Arena {
    program: PathBuf,
    inputs: PathBuf,
    dir: PathBuf,
}

impl Arena {
    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    fn input(&self, name: &str) -> String {
        self.inputs.join(name).to_str().unwrap().to_owned()
    }

    fn hoist(&self, expression: &str) {
        let program = self.program.to_str().unwrap();
        run(&[
            program,
            "--root",
            &self.path("hoist"),
            "--run-root",
            &self.path("hoist-run"),
            "eval",
            expression,
        ]);
    }

    fn podman(&self, args: &[&str]) -> String {
        let own = [
            "podman",
            "--root",
            &self.path("podman"),
            "--runroot",
            &self.path("podman-run"),
        ];
        run(&[&own, args].concat())
    }

    fn fresh_hoist(&self) {
        for name in ["hoist", "hoist-run"] {
            remove(&self.dir.join(name));
        }
        run(&["sync", "-f", &self.path("")]);
    }

    fn fresh_podman(&self) {
        self.podman(&["rmi", "--all", "--force"]);
        run(&["sync", "-f", &self.path("")]);
    }

    fn with_busybox(&self) {
        self.fresh_hoist();
        self.hoist(&format!(
            r#"image::import_tar("{}", "busybox", #{{changes: ["ENV PATH=/bin"]}})"#,
            self.input("busybox.tar")
        ));
        self.podman(&["load", "--quiet", "--input", &self.input("busybox.skopeo.docker.tar")]);
    }

    /// A bundle with the same root file system, as crun writes it itself.
    fn crun_bundle(&self) -> String {
        let bundle = self.path("bundle");
        fs::create_dir_all(format!("{bundle}/rootfs")).unwrap();
        run(&[
            "tar",
            "--directory",
            &format!("{bundle}/rootfs"),
            "--extract",
            "--file",
            &self.input("busybox.tar"),
        ]);
        run_in(Path::new(&bundle), &["crun", "spec"]);
        let file = format!("{bundle}/config.json");
        let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["true"]);
        fs::write(&file, spec.to_string()).unwrap();
        bundle
    }
}

fn start(arena: &Arena) {
    let sides = [
        Contestant::new("hoist", || arena.hoist("1")),
        Contestant::new("podman", || arena.podman(&["version"])),
    ];
    for rest in [Duration::ZERO, REST] {
        compare("start: a whole process that does nothing", 15, rest, &sides);
    }
}

fn container_run(arena: &Arena) {
    arena.with_busybox();
    let bundle = arena.crun_bundle();
    let podman = || arena.podman(&["run", "--rm", "--network", "none", PODMAN_IMAGE, "true"]);
    let crun = || run(&["crun", "run", "--bundle", &bundle, "hoist-bench"]);
    let sides = [
        Contestant::new("hoist", || arena.hoist(r#"container::run("busybox", ["true"])"#)),
        Contestant::new("podman", podman),
        Contestant::new("crun", crun),
    ];
    for rest in [Duration::ZERO, REST] {
        compare("run: one process that runs `true` in a container", 15, rest, &sides);
    }
    let script = format!(r#"for i in 0..{RUNS_IN_LOOP} {{ container::run("busybox", ["true"]); }}"#);
    let sides = [
        Contestant::new("hoist", || arena.hoist(&script)).times(RUNS_IN_LOOP),
        Contestant::new("podman", podman),
        Contestant::new("crun", crun),
    ];
    compare(
        &format!("loop: one of {RUNS_IN_LOOP} runs in a script"),
        5,
        Duration::ZERO,
        &sides,
    );
}

fn load(arena: &Arena) {
    let archive = arena.input("debian.skopeo.docker.tar");
    let sides = [
        Contestant::new("hoist", || arena.hoist(&format!(r#"image::load("{archive}")"#)))
            .before(|| arena.fresh_hoist()),
        Contestant::new("podman", || arena.podman(&["load", "--quiet", "--input", &archive]))
            .before(|| arena.fresh_podman()),
    ];
    compare("load: a docker archive of Debian, 170 MB", 5, REST, &sides);
}

fn save(arena: &Arena) {
    let archive = arena.input("debian.skopeo.docker.tar");
    arena.fresh_hoist();
    arena.hoist(&format!(r#"image::load("{archive}")"#));
    arena.podman(&["load", "--quiet", "--input", &archive]);
    let out = arena.path("saved.tar");
    let clean = || {
        remove(Path::new(&out));
        run(&["sync", "-f", &arena.path("")]);
    };
    let name = "example.org/debian:skopeo";
    let sides = [
        Contestant::new("hoist", || arena.hoist(&format!(r#"image::save("{name}", "{out}")"#))).before(clean),
        Contestant::new("podman", || arena.podman(&["save", "--quiet", "--output", &out, name])).before(clean),
    ];
    compare("save: Debian as a docker archive", 5, REST, &sides);
    remove(Path::new(&out));
}

fn list(arena: &Arena) {
    arena.with_busybox();
    arena.hoist(&format!(
        r#"for i in 0..{TAGS} {{ image::tag("busybox", `bench/tag-${{i}}:latest`); }}"#
    ));
    name_in_podman(arena);
    let sides = [
        Contestant::new("hoist", || arena.hoist("image::list()")),
        Contestant::new("podman", || arena.podman(&["images"])),
    ];
    compare(&format!("list: images with {TAGS} tags"), 9, Duration::ZERO, &sides);
}

/// Gives podman's one image all the names. `podman tag` would take many minutes for them.
fn name_in_podman(arena: &Arena) {
    let file = arena.path("podman/overlay-images/images.json");
    let mut images: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    images[0]["names"] = (0..TAGS).map(|i| format!("example.org/bench/tag-{i}:latest")).collect();
    fs::write(file, images.to_string()).unwrap();
    assert!(arena.podman(&["images", "--noheading"]).lines().count() >= TAGS);
}

fn prune(arena: &Arena) {
    println!("prune: podman takes some ten minutes to load {DANGLING} images and to prune them");
    let archive = arena.dir.join("dangling.tar");
    write_dangling(&archive);
    let archive = archive.to_str().unwrap().to_owned();
    arena.fresh_hoist();
    arena.fresh_podman();
    arena.hoist(&format!(r#"image::load("{archive}")"#));
    arena.podman(&["load", "--quiet", "--input", &archive]);
    let sides = [
        Contestant::new("hoist", || arena.hoist("image::prune()")),
        Contestant::new("podman", || arena.podman(&["image", "prune", "--force"])),
    ];
    compare(&format!("prune: {DANGLING} dangling images"), 1, Duration::ZERO, &sides);
}

/// A docker archive of images that differ in their configurations only, and have no names.
fn write_dangling(path: &Path) {
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, "file", b"content");
    let layer = layer.into_inner().unwrap();
    let digest = sha256(&layer);
    let mut archive = tar::Builder::new(fs::File::create(path).unwrap());
    append(&mut archive, "layer.tar", &layer);
    let mut manifest = Vec::new();
    for number in 0..DANGLING {
        let config = serde_json::json!({
            "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Labels": {"number": number.to_string()}},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "history": [{"created": "2026-01-01T00:00:00Z"}],
        });
        let config = config.to_string();
        let name = format!("{}.json", sha256(config.as_bytes()));
        append(&mut archive, &name, config.as_bytes());
        manifest.push(serde_json::json!({"Config": name, "RepoTags": null, "Layers": ["layer.tar"]}));
    }
    append(
        &mut archive,
        "manifest.json",
        serde_json::Value::from(manifest).to_string().as_bytes(),
    );
    archive.into_inner().unwrap();
}

fn append(archive: &mut tar::Builder<impl std::io::Write>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, content).unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    hoist::model::Digest::of(bytes).hex().to_owned()
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

fn run(words: &[&str]) -> String {
    run_in(Path::new("."), words)
}

/// Runs a program that must succeed, and returns what it printed.
fn run_in(dir: &Path, words: &[&str]) -> String {
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

type Case = (&'static str, fn(&Arena));
const CASES: [Case; 6] = [
    ("start", start),
    ("run", container_run),
    ("load", load),
    ("save", save),
    ("list", list),
    ("prune", prune),
];

/// Everything Hoist and its peers do happens in the peers' root, so that both have the same machine: go there.
fn enter(args: &[String]) -> std::io::Error {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inputs = std::env::var_os("HOIST_TEST_INPUTS")
        .map_or_else(|| PathBuf::from("/var/tmp/hoist-test-inputs"), PathBuf::from);
    if !inputs.join("peers/etc/hoist-peers").exists() || !inputs.join("layers.crane").exists() {
        eprintln!(
            "the peers and their archives are not in `{}`: make them with `tests/inputs/make`",
            inputs.display()
        );
        std::process::exit(69);
    }
    let arena = tempfile::Builder::new()
        .prefix("hoist-bench-")
        .tempdir_in("/var/tmp")
        .unwrap()
        .keep();
    let program =
        std::env::var_os("HOIST_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hoist")), PathBuf::from);
    fs::copy(program, arena.join("program")).unwrap();
    fs::copy(std::env::current_exe().unwrap(), arena.join("bench")).unwrap();
    // The shell stays outside, and takes everything away at the end.
    let script = "dir=$1; shift; status=0; \"$@\" || status=$?; rm -rf --one-file-system \"$dir\"; exit $status";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(&arena)
        .arg(package.join("tests/inputs/peers"))
        .arg("run")
        .arg(arena.join("bench"));
    shell
        .args(args)
        .env("HOIST_BENCH_ARENA", &arena)
        .env("HOIST_TEST_INPUTS", &inputs)
        .current_dir(inputs)
        .exec()
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let Some(unknown) = args.iter().find(|name| CASES.iter().all(|(case, _)| case != name)) {
        let names = CASES.map(|(name, _)| name).join(" ");
        eprintln!("there is no case `{unknown}`; the cases are: {names}");
        std::process::exit(64);
    }
    let Some(dir) = std::env::var_os("HOIST_BENCH_ARENA").map(PathBuf::from) else {
        panic!("failed to enter the peers' root: {}", enter(&args));
    };
    let arena = Arena {
        program: dir.join("program"),
        inputs: std::env::current_dir().unwrap(),
        dir,
    };
    for (name, case) in CASES {
        if args.is_empty() || args.iter().any(|wanted| wanted == name) {
            case(&arena);
        }
    }
}
