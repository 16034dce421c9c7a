//! Starting a process, and running commands in containers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::arena::{Arena, run, run_in};
use crate::compare::{Contestant, compare};
use crate::{PODMAN_IMAGE, REST};

const RUNS_IN_LOOP: usize = 200;

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
fn crun_bundle(arena: &Arena) -> String {
    let bundle = arena.path("bundle");
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
    spec["process"]["args"] = serde_json::json!(["true"]);
    fs::write(&file, spec.to_string()).unwrap();
    bundle
}

pub(crate) fn container_run(arena: &Arena) {
    arena.with_busybox();
    let bundle = crun_bundle(arena);
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
