//! Hoist beside the tools people use today, in turn, in the same root of the same machine: `cargo bench --bench peers -- [CASE…]`.
//!
//! Prints the median of each and the median of the ratios. Machines are noisy; the ratios are what to look at. Everything happens on
//! a fresh ext4 with a journal. The program is the one built for the benchmark, or the one `HOIST_BIN` names. The peers come from
//! `tests/inputs/make`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "this program starts others and prints what it measured"
)]

mod arena;
mod carry;
mod compare;
mod containers;
mod crane;
mod forge;
mod images;
mod jobs;
mod pull;
mod push;
mod registries;
mod scripts;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use arena::Arena;

const PODMAN_IMAGE: &str = "example.org/busybox:skopeo";
/// A kernel's grace periods, and whatever else a loop hides, are over after this.
const REST: Duration = Duration::from_millis(200);

type Case = (&'static str, fn(&Arena));
const CASES: [Case; 25] = [
    ("start", containers::start),
    ("run", containers::container_run),
    ("exec", containers::exec),
    ("oci", containers::oci),
    ("many", containers::many),
    ("crowd", containers::crowd),
    ("log", containers::log),
    ("load", images::load),
    ("unpack", images::unpack),
    ("save", images::save),
    ("commit", images::commit),
    ("list", images::list),
    ("tag", images::tag),
    ("prune", images::prune),
    ("memory", images::memory),
    ("pull", pull::pull),
    ("push", push::push),
    ("copy", carry::copy),
    ("mirror", carry::mirror),
    ("serve", registries::serve),
    ("jobs", jobs::jobs),
    ("eval", scripts::eval),
    ("objects", scripts::objects),
    ("language", scripts::language),
    ("check", scripts::check),
];

/// What holds the arena: a file with a file system, mounted where nobody else sees it, and gone at the end.
const STAGE: &str = r#"
    dir=$1; shift
    finish() { status=$?; umount "$dir/arena" 2>/dev/null || true; rm -rf --one-file-system "$dir"; exit $status; }
    trap finish EXIT
    mkdir "$dir/arena"
    truncate --size 40G "$dir/disk"
    mkfs.ext4 -q "$dir/disk"
    mount -o loop "$dir/disk" "$dir/arena"
    cp "$dir/program" "$dir/bench" "$dir/docker-registry-program" "$dir/arena"
    "$@"
"#;

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
    let stage = tempfile::Builder::new()
        .prefix("hoist-bench-")
        .tempdir_in("/var/tmp")
        .unwrap()
        .keep();
    let program =
        std::env::var_os("HOIST_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hoist")), PathBuf::from);
    fs::copy(program, stage.join("program")).unwrap();
    fs::copy(std::env::current_exe().unwrap(), stage.join("bench")).unwrap();
    // Not among the peers' tools: it is this machine's.
    if fs::copy("/usr/bin/docker-registry", stage.join("docker-registry-program")).is_err() {
        eprintln!("docker-registry is not installed: the case `serve` does without it");
        fs::write(stage.join("docker-registry-program"), "").unwrap();
    }
    let arena = stage.join("arena");
    let mut shell = Command::new("unshare");
    shell
        .args(["--mount", "--propagation", "private", "sh", "-euc", STAGE, "sh"])
        .arg(&stage)
        .arg(package.join("tests/inputs/peers"))
        .arg("dockerd")
        .arg(arena.join("bench"));
    shell
        .args(args)
        .env("HOIST_BENCH_ARENA", &arena)
        .env("HOIST_TEST_INPUTS", &inputs)
        .env("HOIST_DOCKERD", &arena)
        .current_dir(inputs)
        .exec()
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--bench"))
        .collect();
    if let Some((word, words)) = args.split_first()
        && word == arena::MEASURE
    {
        return arena::measure(words);
    }
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
