//! The language: how soon it is there, how fast it goes, and what it costs to look at a store by it.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::arena::{Arena, run};
use crate::compare::{Contestant, compare};

const ROUNDS: usize = 9;
const EACH: usize = 20;
/// Containers and images that are listed.
const OBJECTS: usize = 100;
const ITEMS: usize = 10_000;

fn repeated(name: &'static str, words: Vec<String>) -> Contestant<'static> {
    let all = move || {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        (0..EACH).for_each(|_| drop(run(&words)));
    };
    Contestant::new(name, all).times(EACH)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// From nothing to the first value.
pub(crate) fn eval(arena: &Arena) {
    arena.fresh_hoist();
    arena.hoist("1");
    let contestants = [
        repeated("hoist", arena.command(&["eval", "1"])),
        repeated("true", words(&["/bin/true"])),
        repeated("podman", words(&["podman", "version"])),
        repeated("python3", words(&["python3", "-c", "import docker"])),
    ];
    compare("eval 1", ROUNDS, Duration::ZERO, &contestants);
}

/// Lists of so many containers, and of so many images.
pub(crate) fn objects(arena: &Arena) {
    arena.with_busybox();
    let busybox = arena.input("busybox.skopeo.docker.tar");
    run(&["docker", "load", "--quiet", "--input", &busybox]);
    let image = crate::PODMAN_IMAGE;
    arena.hoist(&format!(
        r#"for n in 0..{OBJECTS} {{ container::create("busybox", ["true"], #{{name: `c${{n}}`}}); image::tag("busybox", `app:${{n}}`); }}"#
    ));
    for number in 0..OBJECTS {
        let (name, tag) = (format!("c{number}"), format!("example.org/app:{number}"));
        arena.podman(&["create", "--name", &name, image, "true"]);
        arena.podman(&["tag", image, &tag]);
        run(&["docker", "create", "--name", &name, image, "true"]);
        run(&["docker", "tag", image, &tag]);
    }
    for (case, hoist, other) in [
        ("ps --all of 100 containers", vec!["ps", "--all"], "ps --all"),
        ("images of 100 names", vec!["images"], "images"),
    ] {
        let other: Vec<&str> = other.split(' ').collect();
        let contestants = [
            repeated("hoist", arena.command(&hoist)),
            repeated("docker", words(&[&["docker"], &other[..]].concat())),
            repeated("podman", arena.podman_command(&other)),
        ];
        compare(case, ROUNDS, Duration::ZERO, &contestants);
    }
    run(&["sh", "-c", "docker rm $(docker ps --all --quiet) >/dev/null"]);
    arena.podman(&["rm", "--all", "--force"]);
    arena.hoist("for c in container::list(#{all: true}) { c.remove() }");
    arena.fresh_docker();
    arena.fresh_podman();
}

/// The same work in Rhai, Lua and Python.
pub(crate) fn language(arena: &Arena) {
    arena.fresh_hoist();
    arena.hoist("1");
    for (case, hoist, lua, python) in [
        (
            "a million turns of a loop",
            "let x = 0; for i in 0..1000000 { x += i; } x".to_owned(),
            "local x = 0; for i = 0, 999999 do x = x + i end; print(x)".to_owned(),
            "def main():\n    x = 0\n    for i in range(1000000):\n        x += i\n    print(x)\nmain()".to_owned(),
        ),
        (
            "a million native calls",
            r#"for i in 0..1000000 { "image".len(); } 0"#.to_owned(),
            r#"for i = 0, 999999 do string.len("image") end"#.to_owned(),
            "for i in range(1000000): len('image')".to_owned(),
        ),
        (
            "10,000 trivial items in parallel (lua: one after the other)",
            format!("let items = []; items.pad({ITEMS}, 1); parallel_map(items, |i| i + 1).len()"),
            format!("local t = {{}}; for i = 1, {ITEMS} do t[i] = (function(i) return i + 1 end)(i) end; print(#t)"),
            format!(
                "from concurrent.futures import ThreadPoolExecutor\nprint(len(list(ThreadPoolExecutor().map(lambda i: i + 1, range({ITEMS})))))"
            ),
        ),
    ] {
        let contestants = [
            Contestant::new("hoist", || arena.hoist(&hoist)),
            Contestant::new("lua", || run(&["lua5.1", "-e", &lua])),
            Contestant::new("python3", || run(&["python3", "-c", &python])),
        ];
        compare(case, ROUNDS, Duration::ZERO, &contestants);
    }
}

/// Looking at a script of 5,000 lines without running it.
pub(crate) fn check(arena: &Arena) {
    arena.fresh_hoist();
    arena.hoist("1");
    let mut script = String::new();
    for number in 0..1000 {
        let _ = write!(
            script,
            "fn clean_{number}(keep) {{\n    let report = image::prune(#{{reference: \"app-{number}/*\", keep_last: keep}});\n    print(report.reclaimed);\n}}\nclean_{number}({number});\n"
        );
    }
    let path = arena.path("long.rhai");
    fs::write(&path, script).unwrap();
    let contestants = [
        repeated("hoist", arena.command(&["check", &path])),
        repeated("luac", words(&["luac5.1", "-p", "/dev/null"])),
    ];
    compare(
        "check of 5,000 lines (luac: of none)",
        ROUNDS,
        Duration::ZERO,
        &contestants,
    );
}
