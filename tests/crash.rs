//! `kill -9` at any moment: what is listed is whole, nothing half made is in sight, nothing stays mounted, and the next command works.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, Witness, fault, inputs};
use crate::images::verify;

/// How often each act is killed at the least.
const KILLS: u32 = 130;

/// How often a container's run is killed.
const RUNS: u32 = 50;

/// An act on a store, and what has to be true before each time.
struct Act<'a> {
    before: &'a str,
    act: &'a str,
}

/// Kills the act at every call that changes something, and at moments all over its time, and looks at the store after each.
fn kill_everywhere(hoist: &Hoist, act: &Act, mut after_each: impl FnMut(&str)) {
    let mut witness = Witness::default();
    let mut kills = 0;
    let prepare = || hoist.eval(act.before).success();
    for _ in 0..2 {
        // Both what there is before and what there is after.
        prepare();
        witness.learn(hoist);
        hoist.eval(act.act).success();
        witness.learn(hoist);
    }
    let mut look = |when: &str| {
        witness.check(hoist, when);
        hoist.assert_nothing_left();
        after_each(when);
    };
    fault::everywhere(|place| {
        prepare();
        let killed = fault::kill(hoist, act.act, place);
        if killed {
            kills += 1;
            look(&place.to_string());
        }
        killed
    });
    prepare();
    let start = Instant::now();
    hoist.eval(act.act).success();
    let whole = start.elapsed();
    for number in kills..KILLS {
        prepare();
        let part = (f64::from(number - kills) + fraction()) / f64::from(KILLS - kills);
        kill_after(hoist, act.act, whole.mul_f64(part));
        look(&format!("after {part:.2} of the time"));
    }
    println!(
        "killed {} times, at {kills} of them at one call after the other",
        kills.max(KILLS)
    );
}

fn kill_after(hoist: &Hoist, expression: &str, moment: Duration) {
    let running = hoist.command(&["eval", expression]).spawn();
    wait(moment);
    running.signal(Signal::SIGKILL);
    running.wait_only();
}

fn fraction() -> f64 {
    f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment itself is what is tested: no event marks it"
)]
fn wait(moment: Duration) {
    std::thread::sleep(moment);
}

/// An archive of two images with a layer in common; it has all that unpacking has to do: implied directories, links, whiteouts.
fn archive() -> Vec<u8> {
    let base = layer(&[
        ("etc/", Item::Dir),
        ("etc/name", Item::File(b"base")),
        ("bin/sh", Item::File(&[7; 9000])),
        ("bin/ash", Item::Hardlink("bin/sh")),
        ("bin/hush", Item::Symlink("sh")),
        ("gone/", Item::Dir),
        ("gone/x", Item::File(b"x")),
    ]);
    let top = layer(&[
        ("etc/more", Item::File(b"implied")),
        ("etc/.wh.name", Item::File(b"")),
        ("gone/.wh..wh..opq", Item::File(b"")),
        ("pipe", Item::Fifo),
    ]);
    Files::docker(&[base, top], "crash:1").pack()
}

const CLEAR: &str = "for i in image::list(#{all: true}) { i.remove(#{force: true}); }";

#[test]
fn in_a_load() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    let load = format!(r#"image::load("{}")"#, path.display());
    let act = Act {
        before: CLEAR,
        act: &load,
    };
    kill_everywhere(&hoist, &act, |_| {});
}

#[test]
fn in_an_import() {
    let hoist = Hoist::new();
    let files = [
        ("a/b/", Item::Dir),
        ("a/b/c", Item::File(&[1; 5000])),
        ("d", Item::Symlink("a")),
    ];
    let path = hoist.write("root.tar", layer(&files));
    let import = format!(r#"image::import_tar("{}", "crash:1")"#, path.display());
    let act = Act {
        before: CLEAR,
        act: &import,
    };
    kill_everywhere(&hoist, &act, |_| {});
}

#[test]
fn in_a_commit() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    let make = format!(
        r#"image::load("{}"); let c = container::create("crash:1", ["sh"], #{{name: "c"}}); c.write_file("/etc/new", "new");"#,
        path.display()
    );
    hoist.eval(&make).success();
    let act = Act {
        before: r#"for i in image::list(#{all: true}) { if i.used_by.is_empty() { i.remove(#{force: true}); } }"#,
        act: r#"container::get("c").commit("made:1")"#,
    };
    kill_everywhere(&hoist, &act, |_| {});
}

#[test]
fn in_a_tag() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    hoist.eval(&format!(r#"image::load("{}")"#, path.display())).success();
    let act = Act {
        before: r#"image::tag("crash:1", "moved:1")"#,
        act: r#"image::tag("crash:1", "crash:2"); image::tag("crash:2", "moved:1"); image::untag("crash:2");"#,
    };
    kill_everywhere(&hoist, &act, |when| {
        assert_eq!(
            hoist.value(r#"image::exists("crash:1") && image::exists("moved:1")"#),
            true,
            "{when}"
        );
    });
}

#[test]
fn in_a_removal() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    let load = format!(r#"image::load("{}")"#, path.display());
    let act = Act {
        before: &load,
        act: r#"image::remove("crash:1")"#,
    };
    kill_everywhere(&hoist, &act, |_| {});
}

#[test]
fn in_a_prune() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    let load = format!(r#"image::load("{}"); image::untag("crash:1");"#, path.display());
    let act = Act {
        before: &load,
        act: "image::prune()",
    };
    kill_everywhere(&hoist, &act, |_| {});
}

#[test]
fn in_a_save() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    hoist.eval(&format!(r#"image::load("{}")"#, path.display())).success();
    let saved = hoist.file("saved.tar");
    let save = format!(r#"image::save("crash:1", "{}")"#, saved.display());
    hoist.eval(&save).success();
    let whole = std::fs::read(&saved).unwrap();
    let old = b"what was there before";
    let act = Act {
        before: &format!(r#"fs::write("{}", "what was there before")"#, saved.display()),
        act: &save,
    };
    kill_everywhere(&hoist, &act, |when| {
        let found = std::fs::read(&saved).unwrap();
        assert!(
            found == whole || found == old,
            "{when}: the file is neither the new one nor the old"
        );
    });
}

/// What is made of layers for containers: attributes of implied directories, mount points, a volume's first files, the bundle.
#[test]
fn in_an_unpacking_for_a_container() {
    let hoist = Hoist::new();
    let path = hoist.write("image.tar", archive());
    let load = format!(
        r#"for c in container::list(#{{all: true}}) {{ c.remove(#{{volumes: true}}); }} {CLEAR} image::load("{}")"#,
        path.display()
    );
    let act = Act {
        before: &load,
        act: r#"container::create("crash:1", ["sh"], #{volumes: ["crash:/bin"]})"#,
    };
    kill_everywhere(&hoist, &act, |when| {
        let made = hoist.value("container::list(#{all: true}).map(|c| c.id)");
        let dirs = std::fs::read_dir(hoist.root().join("containers")).unwrap().count();
        assert_eq!(made.as_array().unwrap().len(), dirs, "{when}: {made}");
    });
}

#[test]
fn in_a_load_of_debian() {
    let hoist = Hoist::new();
    let archive = inputs::path("debian.docker.tar");
    let load = format!(r#"image::load("{}").len()"#, archive.display());
    for part in [0.1, 0.3, 0.5, 0.7, 0.9, 0.97] {
        let running = hoist.command(&["eval", load.as_str()]).spawn();
        wait(Duration::from_secs(3).mul_f64(part * fraction()));
        running.signal(Signal::SIGKILL);
        running.wait_only();
    }
    assert_eq!(hoist.value(&load), 1);
    verify(&hoist);
    assert!(hoist.staged().is_empty());
}

#[test]
fn in_a_run() {
    let hoist = Hoist::with_busybox();
    let run = r#"container::run("busybox", ["true"]).code"#;
    let start = Instant::now();
    hoist.eval(run).success();
    let whole = start.elapsed();
    for number in 0..RUNS {
        // One in each of as many equal parts of the time, and a random place in it.
        kill_after(
            &hoist,
            run,
            whole.mul_f64((f64::from(number) + fraction()) / f64::from(RUNS)),
        );
        // What the dead process left is finished or rolled back by the next one.
        assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0, "kill {number}");
        hoist.assert_nothing_left();
    }
    verify(&hoist);
}

#[test]
fn while_a_container_runs() {
    let hoist = Hoist::with_busybox();
    let script = hoist.write(
        "wait.rhai",
        r#"print("ready"); container::run("busybox", "echo started; sleep 1000", #{stream: true});"#,
    );
    for number in 0..6 {
        let mut running = hoist.command(&["run", script.to_str().unwrap()]).spawn();
        running.wait_for("started\n");
        running.signal(Signal::SIGKILL);
        running.wait_only();
        // The supervisor sees that its caller is gone, and ends what nobody waits for; the next command may come before or after.
        if number % 2 == 0 {
            hoist.assert_nothing_left();
        }
        assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0, "kill {number}");
        hoist.assert_nothing_left();
        for dir in ["root/containers", "run/containers"] {
            let left = std::fs::read_dir(hoist.root().parent().unwrap().join(dir))
                .unwrap()
                .count();
            assert_eq!(left, 0, "kill {number} left something in {dir}");
        }
    }
}
