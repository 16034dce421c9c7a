//! Starting a process, and running commands in containers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::arena::{Arena, run, run_in};
use crate::compare::{Contestant, compare};
use crate::{PODMAN_IMAGE, REST};

const RUNS_IN_LOOP: usize = 200;
const RESTED_RUNS: usize = 20;

pub(crate) fn start(arena: &Arena) {
    let sides = [
        Contestant::new("hoist", || arena.hoist("1")),
        Contestant::new("podman", || arena.podman(&["version"])),
    ];
    for rest in [Duration::ZERO, REST] {
        compare("start: a whole process that does nothing", 15, rest, &sides);
    }
}

/// A bundle with the same root file system, as crun writes it itself.
fn crun_bundle(arena: &Arena, args: &[&str]) -> String {
    let bundle = arena.fresh_dir("bundle");
    fs::create_dir_all(format!("{bundle}/rootfs")).unwrap();
    run(&[
        "tar",
        "--directory",
        &format!("{bundle}/rootfs"),
        "--extract",
        "--file",
        &arena.input("busybox.tar"),
    ]);
    run_in(Path::new(&bundle), &["crun", "spec"]);
    let file = format!("{bundle}/config.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(args);
    fs::write(&file, spec.to_string()).unwrap();
    bundle
}

pub(crate) fn container_run(arena: &Arena) {
    arena.with_busybox();
    let bundle = crun_bundle(arena, &["true"]);
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
    let script = resting_script(r#"container::run("busybox", ["true"])"#);
    let sides = [
        Contestant::new("hoist", || arena.hoist(&script))
            .times(RESTED_RUNS)
            .resting(REST),
        Contestant::new("podman", podman),
        Contestant::new("crun", crun),
    ];
    compare(
        &format!("loop: one of {RESTED_RUNS} runs in a script that rests before each"),
        5,
        REST,
        &sides,
    );
}

/// A script that does something again and again, each time after a rest.
fn resting_script(act: &str) -> String {
    format!(
        "for i in 0..{RESTED_RUNS} {{ sleep({}.millis); {act}; }}",
        REST.as_millis()
    )
}

/// A command in a container that runs, in a process of its own and in a script.
pub(crate) fn exec(arena: &Arena) {
    arena.with_busybox();
    let bundle = crun_bundle(arena, &["sleep", "100000"]);
    arena.hoist(r#"container::run_detached("busybox", ["sleep", "100000"], #{name: "c"})"#);
    let sleep = [
        "run",
        "--detach",
        "--name",
        "c",
        "--network",
        "none",
        PODMAN_IMAGE,
        "sleep",
        "100000",
    ];
    arena.podman(&sleep);
    run(&[
        "sh",
        "-c",
        &format!("crun run --detach --bundle {bundle} hoist-bench </dev/null >/dev/null 2>&1"),
    ]);
    let podman = || arena.podman(&["exec", "c", "true"]);
    let crun = || run(&["crun", "exec", "hoist-bench", "true"]);
    let sides = [
        Contestant::new("hoist", || arena.hoist(r#"container::get("c").exec(["true"])"#)),
        Contestant::new("podman", podman),
        Contestant::new("crun", crun),
    ];
    for rest in [Duration::ZERO, REST] {
        compare(
            "exec: one process that runs `true` in a running container",
            15,
            rest,
            &sides,
        );
    }
    let script = format!(r#"let c = container::get("c"); for i in 0..{RUNS_IN_LOOP} {{ c.exec(["true"]); }}"#);
    let sides = [
        Contestant::new("hoist", || arena.hoist(&script)).times(RUNS_IN_LOOP),
        Contestant::new("podman", podman),
        Contestant::new("crun", crun),
    ];
    let case = format!("loop: one of {RUNS_IN_LOOP} commands in a script");
    compare(&case, 5, Duration::ZERO, &sides);
    let script = format!(
        r#"let c = container::get("c"); {}"#,
        resting_script(r#"c.exec(["true"])"#)
    );
    let sides = [
        Contestant::new("hoist", || arena.hoist(&script))
            .times(RESTED_RUNS)
            .resting(REST),
        Contestant::new("podman", podman),
        Contestant::new("crun", crun),
    ];
    let case = format!("loop: one of {RESTED_RUNS} commands in a script that rests before each");
    compare(&case, 5, REST, &sides);
    run(&["crun", "delete", "--force", "hoist-bench"]);
    arena.podman(&["rm", "--force", "--time", "0", "c"]);
    arena.hoist(r#"container::get("c").remove(#{force: true})"#);
}

/// One bundle, run by the one and the other runtime.
pub(crate) fn oci(arena: &Arena) {
    let bundle = crun_bundle(arena, &["true"]);
    let program = crate::arena::text(&arena.program);
    let root = arena.path("oci");
    let hoist = [
        &program,
        "oci",
        "--root",
        &root,
        "run",
        "--bundle",
        &bundle,
        "hoist-bench",
    ];
    let sides = [
        Contestant::new("hoist", || run(&hoist)),
        Contestant::new("crun", || run(&["crun", "run", "--bundle", &bundle, "hoist-bench"])),
    ];
    for rest in [Duration::ZERO, REST] {
        compare("oci: one bundle that runs `true`", 25, rest, &sides);
    }
}

const MANY: usize = 1000;
const PODMANS: usize = 100;

/// Many containers at once: made from one script, stopped and removed by another.
pub(crate) fn many(arena: &Arena) {
    arena.with_busybox();
    let start = format!(
        r#"for i in 0..{MANY} {{ container::run_detached("busybox", ["sleep", "100000"], #{{name: `c${{i}}`}}); }}"#
    );
    let podman = |act: &str| {
        let root = format!(
            "podman --root {} --runroot {}",
            arena.path("podman"),
            arena.path("podman-run")
        );
        let each = format!("for i in $(seq {PODMANS}); do {root} {act}; done");
        run(&["sh", "-euc", &each])
    };
    let run_podman = format!("run --detach --network none --name c$i {PODMAN_IMAGE} sleep 100000 >/dev/null");
    let sides = [
        Contestant::new("hoist", || arena.hoist(&start)).times(MANY),
        Contestant::new("podman", || podman(&run_podman)).times(PODMANS),
    ];
    compare(
        &format!("start: one of {MANY} detached containers, of podman's {PODMANS}"),
        1,
        Duration::ZERO,
        &sides,
    );
    let sides = [
        Contestant::new("hoist", || {
            arena.hoist("for c in container::list() { c.remove(#{force: true}); }")
        })
        .times(MANY),
        Contestant::new("podman", || podman("rm --force --time 0 c$i >/dev/null")).times(PODMANS),
    ];
    compare("stop and remove: one of them", 1, Duration::ZERO, &sides);
}

/// What a crowd of containers that do nothing costs.
pub(crate) fn crowd(arena: &Arena) {
    arena.with_busybox();
    let count = 2 * MANY;
    arena.hoist(&format!(
        r#"for i in 0..{count} {{ container::run_detached("busybox", ["sleep", "100000"]); }}"#
    ));
    let running = arena.hoist(r#"container::list(#{status: "running"}).len()"#);
    println!("crowd: {} containers run", running.trim());
    let sides = [Contestant::new("hoist", || arena.hoist("container::list().len()"))];
    compare("list: a whole process that lists them", 15, Duration::ZERO, &sides);
    let mut weights: Vec<u64> = supervisors().map(|pid| private(&pid)).collect();
    weights.sort_unstable();
    let at = |part: usize| weights[(weights.len() - 1) * part / 100] as f64 / 1024.0;
    println!(
        "  private memory of {} supervisors, MiB: median {:.2}, 99th percentile {:.2}",
        weights.len(),
        at(50),
        at(99)
    );
    arena.hoist("for c in container::list() { c.remove(#{force: true}); }");
}

fn supervisors() -> impl Iterator<Item = String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.starts_with(b"hoist-supervisor\0")
    })
}

/// KiB of memory that a process shares with no other.
fn private(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

const LINES: usize = 100_000;

/// What a container writes goes through its log and is read back.
pub(crate) fn log(arena: &Arena) {
    arena.with_busybox();
    let write = format!("seq {LINES}");
    let script = format!(
        r#"let c = container::run_detached("busybox", "{write}", #{{name: "c"}}); c.wait(); c.logs().split("\n").len()"#
    );
    let (root, run_root) = (arena.path("podman"), arena.path("podman-run"));
    let podman = format!(
        "p='podman --root {root} --runroot {run_root}'; $p run --detach --log-driver k8s-file --network none --name c {PODMAN_IMAGE} {write} >/dev/null; \
         $p wait c >/dev/null; $p logs c | wc -l"
    );
    let sides = [
        Contestant::new("hoist", || arena.hoist(&script))
            .before(|| arena.hoist(r#"for c in container::list(#{all: true}) { c.remove(#{force: true}); }"#)),
        Contestant::new("podman", || run(&["sh", "-euc", &podman]))
            .before(|| arena.podman(&["rm", "--force", "--ignore", "c"])),
    ];
    compare(
        &format!("log: {LINES} lines written, waited for and read"),
        5,
        REST,
        &sides,
    );
    let sides = [
        Contestant::new("hoist", || arena.hoist(r#"container::get("c").logs(#{tail: 10})"#)),
        Contestant::new("podman", || arena.podman(&["logs", "--tail", "10", "c"])),
    ];
    compare("log: its last ten lines", 15, Duration::ZERO, &sides);
}
