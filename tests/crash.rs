//! `kill -9` at any moment: what is listed is whole, nothing stays mounted, and the next command works.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Hoist, inputs};
use crate::images::{content, verify};

const KILLS: u32 = 50;

/// Runs the expression again and again, each time killed after another part of the time that it takes in full.
fn kill_at_random_moments(hoist: &Hoist, expression: &str, after_each: impl Fn(u32)) {
    let start = Instant::now();
    hoist.eval(expression).success();
    let whole = start.elapsed();
    for number in 0..KILLS {
        let running = hoist.command(&["eval", expression]).spawn();
        // One in each of as many equal parts of the time, and a random place in it.
        let moment = whole.mul_f64((f64::from(number) + fraction()) / f64::from(KILLS));
        wait(moment);
        running.signal(Signal::SIGKILL);
        running.wait_only();
        after_each(number);
    }
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

#[test]
fn in_a_load() {
    let hoist = Hoist::new();
    let archive = inputs::path("layers.docker.tar");
    // Removed first, so that each load has all its work to do.
    let load = format!(
        r#"for i in image::list(#{{all: true}}) {{ i.remove(#{{force: true}}); }} image::load("{}").len()"#,
        archive.display()
    );
    kill_at_random_moments(&hoist, &load, |number| {
        hoist.eval("image::list(#{all: true}).len()").success();
        assert!(hoist.staged().is_empty(), "kill {number} left {:?}", hoist.staged());
        verify(&hoist);
        hoist.assert_nothing_left();
    });
    assert_eq!(hoist.value(&load), 1);
    hoist
        .eval("for i in image::list(#{all: true}) { i.remove(#{force: true}); }")
        .success();
    assert_eq!(
        content(&hoist),
        Vec::<PathBuf>::new(),
        "what the dead left stays for ever"
    );
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
    kill_at_random_moments(&hoist, r#"container::run("busybox", ["true"]).code"#, |number| {
        // What the dead process left is finished or rolled back by the next one.
        let left = hoist.value(
            r#"let left = container::list(#{all: true}); for c in left { c.remove(#{force: true}); } left.len()"#,
        );
        assert!(left.as_i64().unwrap() <= 1, "kill {number} left {left} containers");
        hoist.assert_nothing_left();
    });
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
