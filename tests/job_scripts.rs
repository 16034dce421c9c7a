//! The jobs of `scripts/jobs`: checked, run dry, and run, on real data.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::served::Served;
use crate::harness::{Hoist, Output};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/jobs")
}

/// Adds a job of the project with these arguments.
fn add(hoist: &Hoist, name: &str, args: &[&str]) {
    let path = dir().join(format!("{name}.rhai"));
    let words = [&["jobs", "add", path.to_str().unwrap(), "--"], args].concat();
    hoist.run(&words).success();
}

/// Runs it dry, which changes nothing of these, and then really.
#[track_caller]
fn run(hoist: &Hoist, name: &str, state: &str) -> [Output; 2] {
    let before = hoist.value(state);
    let dry = hoist.run(&["--dry-run", "jobs", "run", name]);
    assert_eq!(hoist.value(state), before, "{name}");
    [dry, hoist.run(&["jobs", "run", name])]
}

const NAMES: &str = "image::list(#{all: true}).map(|i| i.tags).flatten().sort_natural()";

#[test]
fn each_is_checked_and_tells_when_it_runs() {
    let hoist = Hoist::new();
    let mut count = 0;
    for entry in fs::read_dir(dir()).unwrap() {
        let path = entry.unwrap().path();
        let path = path.to_str().unwrap();
        hoist.run(&["check", path]).success();
        hoist.run(&["jobs", "check", path]).success();
        hoist.run(&["run", path, "--help"]).success();
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn by_night_what_is_old_and_unused_goes() {
    let hoist = Hoist::new();
    hoist
        .eval(r#"for n in ["old:1", "old:prod", "web:1"] { image::from_host(n, ["/bin/true"], #{labels: #{n: n}}); } container::create("web:1", ["true"], #{name: "web"}); 0"#)
        .success();
    add(
        &hoist,
        "nightly-prune",
        &["--older-than", "0s", "--keep-last", "0", "--keep", "*:prod"],
    );
    let [dry, done] = run(&hoist, "nightly-prune", NAMES);
    dry.success().stderr_has(&["image::prune", "old:1"]);
    done.success()
        .stdout_has(&["old:1", "removed", "1 images and 0 containers removed"]);
    assert_eq!(hoist.value(NAMES), json!(["old:prod", "web:1"]));
}

#[test]
fn a_disk_that_is_full_loses_what_was_not_used_for_longest() {
    let hoist = Hoist::on_disk("64m");
    hoist
        .eval(r#"image::from_host("spare:1", ["/bin/cat"]); image::from_host("web:1", ["/bin/sleep"]); container::create("web:1", ["sleep"], #{name: "web"}); 0"#)
        .success();
    let path = dir().join("disk-guard.rhai");
    let young = [
        "jobs",
        "add",
        "--name",
        "young",
        path.to_str().unwrap(),
        "--",
        "--free",
        "100",
    ];
    hoist.run(&young).success();
    hoist
        .run(&["jobs", "run", "young"])
        .fails_with(4)
        .stdout_has(&["kept spare:1: last used", "0B reclaimed"]);
    add(&hoist, "disk-guard", &["--free", "100", "--younger", "0s"]);
    let [dry, done] = run(&hoist, "disk-guard", NAMES);
    dry.fails_with(4).stderr_has(&["image::prune", "spare:1"]);
    done.fails_with(4).stdout_has(&[
        "removed spare:1 (",
        "least recently used",
        "kept web:1: used by container `web`",
    ]);
    assert_eq!(hoist.value(NAMES), json!(["web:1"]));
    let calm = [
        "jobs",
        "add",
        "--name",
        "calm",
        path.to_str().unwrap(),
        "--",
        "--free",
        "1",
    ];
    hoist.run(&calm).success();
    hoist.run(&["jobs", "run", "calm"]).success().stdout_is("");
}

#[test]
fn backups_are_verified_and_only_then_older_ones_go() {
    let hoist = Hoist::new();
    hoist.eval(r#"image::from_host("app:1", ["/bin/true"]); 0"#).success();
    let place = hoist.file("backups");
    fs::create_dir_all(place.join("2000-01-02")).unwrap();
    fs::write(place.join("2000-01-02/SHA256SUMS"), "").unwrap();
    add(&hoist, "weekly-backup", &[place.to_str().unwrap(), "--keep-last", "1"]);
    let [dry, done] = run(&hoist, "weekly-backup", &format!("fs::glob(\"{}/*\")", place.display()));
    drop(dry);
    done.success()
        .stdout_has(&["1 images saved to", "2000-01-02: 1 newer ones are there"]);
    let left: Vec<_> = fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.len() == 1 && left[0].join("SHA256SUMS").exists(), "{left:?}");
    hoist
        .run(&["jobs", "run", "weekly-backup"])
        .success()
        .stdout_has(&["is there already"]);
}

#[test]
fn tags_of_a_registry_are_kept_by_rule_and_followed_elsewhere() {
    let (hoist, far, near) = (Hoist::new(), Hoist::new(), Hoist::new());
    let upstream = Served::start(&far, &["--write", "--delete"]);
    let own = Served::start(&near, &["--write"]);
    let push = format!(
        r#"for n in ["pr-1", "pr-2", "main"] {{ image::from_host("x:" + n, ["/bin/true"], #{{labels: #{{n: n}}}}); image::push("x:" + n, "{}/app:" + n); }} 0"#,
        upstream.name()
    );
    hoist.eval(&push).success();
    let (from, to) = (format!("{}/app", upstream.name()), format!("{}/copy", own.name()));
    add(&hoist, "mirror-upstream", &[&from, &to, "--tags", "pr-*"]);
    let [dry, done] = run(&hoist, "mirror-upstream", "1");
    dry.success();
    done.success().stdout_has(&["2 tags copied, 0 unchanged"]);
    hoist
        .run(&["jobs", "run", "mirror-upstream"])
        .success()
        .stdout_has(&["0 tags copied, 2 unchanged"]);

    add(&hoist, "registry-retention", &[&from, "--only", "pr-*"]);
    let tags = format!("registry::tags(\"{from}\").sort_natural()");
    let [dry, done] = run(&hoist, "registry-retention", &tags);
    dry.success().stderr_has(&["registry::delete_tag"]);
    done.success().stdout_has(&["removed 1 of 3 tags"]);
    let left = hoist.value(&tags);
    assert!(
        left.as_array().unwrap().len() == 2 && left.to_string().contains("main"),
        "{left}"
    );
    upstream.stop();
    own.stop();
}

#[test]
fn what_is_unhealthy_is_restarted() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(
            r#"for n in ["sick", "well"] {
                let cmd = if n == "sick" { ["false"] } else { ["true"] };
                let c = container::run_detached("busybox", ["sleep", "1000"], #{name: n, health: #{cmd: cmd, interval: 20.millis, retries: 1}});
                c.wait(#{until: if n == "sick" { "unhealthy" } else { "healthy" }});
            } 0"#,
        )
        .success();
    add(&hoist, "restart-unhealthy", &["--timeout", "0s"]);
    let started = "container::list().map(|c| [c.name, c.started.unix]).sort_natural()";
    let [dry, done] = run(
        &hoist,
        "restart-unhealthy",
        "container::list().map(|c| [c.name, c.pid])",
    );
    dry.success().stderr_has(&["sick"]);
    let done = done.success();
    assert!(
        done.stdout.contains("restarted sick: ") && !done.stdout.contains("well"),
        "{}",
        done.stdout
    );
    assert_eq!(hoist.value(started).as_array().unwrap().len(), 2);
}
