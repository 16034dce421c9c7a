//! `kill -9` at any moment: what is listed is whole, nothing half made is in sight, nothing stays mounted, and the next command works.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::acts::{self, Act};
use crate::harness::fault::CALLS;
use crate::harness::{Hoist, fault, inputs};
use crate::images::verify;

/// How often each act is killed at the least.
const KILLS: u32 = 130;

/// How often a container's run is killed.
const RUNS: u32 = 50;

/// Kills the act at every call that changes something, and at moments all over its time, and looks at the store after each.
fn kill_everywhere(hoist: &Hoist, act: &Act) {
    let witness = act.witness(hoist);
    let mut kills = 0;
    let prepare = || hoist.eval(&act.before).success();
    let look = |when: &str| {
        witness.check(hoist, when);
        hoist.assert_nothing_left();
        (act.look)(hoist, when);
    };
    fault::everywhere(&CALLS, 10, |place| {
        prepare();
        let killed = fault::kill(hoist, &act.act, place);
        if killed {
            kills += 1;
            look(&place.to_string());
        }
        killed
    });
    prepare();
    let start = Instant::now();
    hoist.eval(&act.act).success();
    let whole = start.elapsed();
    for number in kills..KILLS {
        prepare();
        let part = (f64::from(number - kills) + fraction()) / f64::from(KILLS - kills);
        kill_after(hoist, &act.act, whole.mul_f64(part));
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

/// Kills an act at every call that changes something, on a store in the machine's own file system.
fn kill_in(act: fn(&Hoist) -> Act) {
    let hoist = Hoist::new();
    let act = act(&hoist);
    kill_everywhere(&hoist, &act);
}

#[test]
fn in_a_load() {
    kill_in(acts::load);
}

#[test]
fn in_an_import() {
    kill_in(acts::import);
}

#[test]
fn in_a_commit() {
    kill_in(acts::commit);
}

#[test]
fn in_a_tag() {
    kill_in(acts::tag);
}

#[test]
fn in_a_removal() {
    kill_in(acts::removal);
}

#[test]
fn in_a_prune() {
    kill_in(acts::prune);
}

#[test]
fn in_a_save() {
    kill_in(acts::save);
}

#[test]
fn in_a_save_of_a_layout() {
    kill_in(acts::save_layout);
}

#[test]
fn in_an_unpacking_for_a_container() {
    kill_in(acts::create);
}

#[test]
fn in_a_removal_of_a_container_with_its_volume() {
    kill_in(acts::removal_with_volume);
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
