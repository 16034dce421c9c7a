//! Scripts that run by themselves: what makes a job of them, one run of it, and what is kept of that.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Hoist, PATIENCE, program};

/// A job's script whose header says this before its code.
fn script(hoist: &Hoist, name: &str, header: &[&str], code: &str) -> PathBuf {
    let lines: String = header.iter().map(|line| format!("//! {line}\n")).collect();
    hoist.write(&format!("{name}.rhai"), format!("//! A job.\n{lines}{code}"))
}

fn add(hoist: &Hoist, name: &str, header: &[&str], code: &str) {
    let path = script(hoist, name, header, code);
    hoist.run(&["jobs", "add", path.to_str().unwrap()]).success();
}

/// The runs of a job, the newest first.
fn history(hoist: &Hoist, name: &str) -> Vec<Value> {
    let told = hoist
        .run(&["--format", "json", "jobs", "history", name])
        .success()
        .json();
    told.as_array().unwrap().clone()
}

fn outcomes(hoist: &Hoist, name: &str) -> Vec<String> {
    let outcome = |run: &Value| run["outcome"].as_str().unwrap().to_owned();
    history(hoist, name).iter().map(outcome).collect()
}

#[test]
fn a_job_is_added_listed_paused_and_removed() {
    let hoist = Hoist::new();
    add(
        &hoist,
        "nightly",
        &["schedule: 0 3 * * *", "timezone: Asia/Kathmandu"],
        "1",
    );
    let path = hoist.file("nightly.rhai");
    let taken = hoist.run(&["jobs", "add", path.to_str().unwrap()]);
    assert!(
        taken.stderr.contains("there is a job `nightly` already"),
        "{}",
        taken.stderr
    );
    let other = ["jobs", "add", "--name", "other", path.to_str().unwrap(), "--", "-x"];
    assert_eq!(hoist.run(&other).success().stdout, "other\n");

    let list = hoist.run(&["jobs", "list"]).success().stdout;
    let row = list.lines().find(|line| line.starts_with("nightly")).unwrap();
    assert!(
        row.contains("0 3 * * *") && row.contains("03:00 Asia/Kathmandu") && row.ends_with("never ran"),
        "{list}"
    );
    let next = hoist.run(&["jobs", "next", "nightly", "--count", "3"]).success().stdout;
    assert_eq!(
        next.lines().filter(|line| line.ends_with(" 03:00:00 +05:45")).count(),
        3,
        "{next}"
    );

    hoist.run(&["jobs", "disable", "nightly"]).success();
    let shown = hoist
        .run(&["--format", "json", "jobs", "show", "nightly"])
        .success()
        .json();
    assert_eq!((&shown["enabled"], &shown["next"]), (&json!(false), &Value::Null));
    assert!(
        hoist
            .run(&["jobs", "why", "nightly"])
            .success()
            .stdout
            .contains("next: disabled")
    );
    hoist.run(&["jobs", "enable", "nightly"]).success();
    hoist.run(&["jobs", "remove", "nightly", "other"]).success();
    assert_eq!(hoist.value("job::list()"), json!([]));
    let gone = hoist.run(&["jobs", "show", "nightly"]);
    assert!(gone.stderr.contains("there is no job `nightly`"), "{}", gone.stderr);
}

/// What somebody else runs in the place of the scheduler.
fn installed(hoist: &Hoist, words: &[&str]) -> Vec<PathBuf> {
    let dir = hoist.file("installed");
    fs::create_dir_all(&dir).unwrap();
    let write = format!("--write={}", dir.display());
    let said = hoist
        .run(&[&["jobs", "install", write.as_str()], words].concat())
        .success()
        .stdout;
    said.lines().map(PathBuf::from).collect()
}

#[test]
fn systemd_takes_the_units_of_a_timer() {
    let hoist = Hoist::new();
    add(
        &hoist,
        "nightly",
        &["schedule: 30 3 * * MON-FRI", "timezone: Asia/Tokyo", "jitter: 1h"],
        "1",
    );
    add(&hoist, "often", &["schedule: @every 10m"], "1");
    add(&hoist, "by-hand", &[], "1");
    let units = installed(&hoist, &["--systemd"]);
    assert_eq!(units.len(), 4, "{units:?}");
    let output = program("systemd-analyze").arg("verify").args(&units).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !words.contains("hoist-job"), "{words}");
    let timer = fs::read_to_string(
        units
            .iter()
            .find(|unit| unit.ends_with("hoist-job-nightly.timer"))
            .unwrap(),
    )
    .unwrap();
    assert!(
        timer.contains("\nOnCalendar=MON,TUE,WED,THU,FRI *-*-* 03:30:00 Asia/Tokyo\n"),
        "{timer}"
    );
    let refused = hoist.run(&["jobs", "install", "--systemd", "by-hand"]);
    assert!(refused.stderr.contains("has no schedule"), "{}", refused.stderr);
    let dry = hoist
        .run(&["--dry-run", "jobs", "install", "--systemd", "--write=/nowhere"])
        .success();
    assert!(dry.stderr.contains("fs::write"), "{}", dry.stderr);
}

#[test]
fn a_line_of_a_crontab_runs_what_is_due() {
    let hoist = Hoist::new();
    add(&hoist, "often", &["schedule: @every 1s"], "print(\"ran\")");
    let files = installed(&hoist, &["--cron"]);
    let text = fs::read_to_string(&files[0]).unwrap();
    let line = text.trim_end().strip_prefix("* * * * * root ").unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    while history(&hoist, "often").is_empty() {
        assert!(std::time::Instant::now() < end, "it was never due: {line}");
        let status = program("sh").args(["-c", line]).status().unwrap();
        assert!(status.success(), "{line}");
    }
    let run = &history(&hoist, "often")[0];
    assert_eq!((&run["outcome"], &run["trigger"]), (&json!("ok"), &json!("schedule")));
}

#[test]
fn what_is_wrong_with_a_job_is_told_when_it_is_added() {
    let hoist = Hoist::new();
    for (header, words) in [
        ("overlap: sometimes", "read line 2 of the header of"),
        ("schedule: * */15 * * * *", "there is no field for seconds"),
        ("retries: many", "`many` is no number of retries"),
    ] {
        let path = script(&hoist, "wrong", &[header], "fs::write(\"ran\", \"\")");
        let output = hoist.run(&["jobs", "add", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    let path = script(&hoist, "-x", &[], "1");
    let output = hoist.run(&["jobs", "add", "--", path.to_str().unwrap()]);
    assert!(output.stderr.contains("`-x` cannot name a job"), "{}", output.stderr);
    assert!(!hoist.file("ran").exists());
}

#[test]
fn a_run_is_shown_kept_and_told_of() {
    let hoist = Hoist::with_busybox();
    add(
        &hoist,
        "prune",
        &["args: --keep 'a b'", "allow: delete, write"],
        "print(args);\nimage::tag(\"busybox\", \"old:1\");\nimage::untag(\"old:1\");\nimage::remove(\"busybox\");\n",
    );
    let ran = hoist.run(&["jobs", "run", "prune"]).success();
    assert!(ran.stdout.contains("a b"), "{}", ran.stdout);
    let run = &history(&hoist, "prune")[0];
    assert_eq!(
        (&run["outcome"], &run["trigger"], &run["code"]),
        (&json!("ok"), &json!("manual"), &json!(0))
    );
    assert_eq!(
        (&run["effects"]["images_removed"], &run["effects"]["tags_deleted"]),
        (&json!(1), &json!(1))
    );
    assert!(run["effects"]["reclaimed"].as_u64().unwrap() > 100_000, "{run}");
    assert_eq!(hoist.run(&["jobs", "logs", "prune"]).success().stdout, ran.stdout);
    let list = hoist.run(&["jobs", "list"]).success().stdout;
    assert!(list.contains("ok, ") && list.contains("MB"), "{list}");
}

#[test]
fn a_run_that_fails_says_where_and_is_tried_again() {
    let hoist = Hoist::new();
    add(
        &hoist,
        "broken",
        &["retries: 2 after 10ms"],
        "print(\"try\");\n\nimage::get(\"no-such\")",
    );
    let output = hoist.run(&["jobs", "run", "broken"]);
    assert_eq!(output.status.code(), Some(1));
    let run = &history(&hoist, "broken")[0];
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("failed"), &json!(3)));
    assert_eq!(
        (&run["error"]["kind"], &run["error"]["line"]),
        (&json!("not_found"), &json!(5))
    );
    let log = hoist.run(&["jobs", "logs", "broken"]).success().stdout;
    assert_eq!(log.matches("try\n").count(), 3, "{log}");
    assert!(
        log.contains("[failed; again in 10ms]") && log.contains("again in 20ms"),
        "{log}"
    );
    let told = hoist.run(&["jobs", "history"]).success().stdout;
    assert!(told.contains("broken.rhai:5: "), "{told}");
}

#[test]
fn a_job_only_reads_unless_its_header_allows_more() {
    let hoist = Hoist::with_busybox();
    add(&hoist, "sly", &[], "image::list(); image::remove(\"busybox\")");
    let output = hoist.run(&["jobs", "run", "sly"]);
    assert_eq!(output.status.code(), Some(3), "{}", output.stdout);
    assert_eq!(history(&hoist, "sly")[0]["error"]["kind"], json!("denied"));
    add(&hoist, "open", &["allow: delete"], "image::remove(\"busybox\")");
    let denied = hoist.run(&["--deny-delete=busybox", "jobs", "run", "open"]);
    assert_eq!(denied.status.code(), Some(3), "{}", denied.stdout);
    let planned = hoist.run(&["--dry-run", "jobs", "run", "open"]).success();
    assert!(planned.stderr.contains("image::remove"), "{}", planned.stderr);
    assert_eq!(history(&hoist, "open").len(), 1);
    hoist.run(&["jobs", "run", "open"]).success();
    assert_eq!(hoist.value("image::exists(\"busybox\")"), json!(false));
}

#[test]
fn a_time_limit_ends_all_of_a_run_after_its_clean_up() {
    let hoist = Hoist::with_busybox();
    let mark = hoist.file("cleaned");
    let code = format!(
        "defer(|| fs::write(\"{}\", \"\"));\ncontainer::run_detached(\"busybox\", [\"sleep\", \"1000\"]);\n\
         container::run_detached(\"busybox\", [\"sleep\", \"1000\"], #{{ name: \"stays\", keep: true }});\nloop {{ sleep(1.hours); }}",
        mark.display()
    );
    add(&hoist, "slow", &["timeout: 3s", "allow: run, fs"], &code);
    let output = hoist.run(&["jobs", "run", "slow"]);
    assert_eq!(output.status.code(), Some(124), "{}", output.stdout);
    let run = &history(&hoist, "slow")[0];
    assert_eq!(
        (&run["outcome"], &run["error"]["message"]),
        (&json!("timeout"), &json!("it took longer than 3s"))
    );
    assert!(mark.exists());
    let left = hoist.value("container::list(#{all: true}).map(|c| [c.name, c.status, c.labels[\"hoist.run\"]])");
    assert_eq!(left, json!([["stays", "running", run["id"].to_string()]]));
}

#[test]
fn what_overlaps_is_left_out_waits_or_takes_over() {
    let hoist = Hoist::new();
    let code = "print(\"here\");\nwhile !fs::exists(args[0]) { sleep(10.millis); }";
    let go = |name: &str| hoist.file(&format!("{name}-goes"));
    for way in ["skip", "queue", "replace"] {
        let header = [
            format!("overlap: {way}"),
            format!("args: {}", go(way).display()),
            "allow: fs".to_owned(),
        ];
        add(&hoist, way, &header.each_ref().map(String::as_str), code);
    }
    let start = |name: &str| {
        let mut run = hoist.command(&["jobs", "run", name]).spawn();
        run.wait_for("here\n");
        run
    };
    let first = start("skip");
    let second = hoist.run(&["jobs", "run", "skip"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains("runs already"), "{}", second.stderr);
    assert_eq!(outcomes(&hoist, "skip"), ["skipped", "running"]);
    fs::write(go("skip"), "").unwrap();
    assert!(first.wait_only().success());
    assert_eq!(outcomes(&hoist, "skip"), ["skipped", "ok"]);

    let first = start("queue");
    let second = hoist.command(&["jobs", "run", "queue"]).spawn();
    second.until(|| hoist.run(&["jobs", "list"]).success().stdout.contains("running"));
    fs::write(go("queue"), "").unwrap();
    assert!(first.wait_only().success() && second.wait_only().success());
    assert_eq!(outcomes(&hoist, "queue"), ["ok", "ok"]);

    let first = start("replace");
    let second = start("replace");
    assert_eq!(first.wait_only().code(), Some(130));
    fs::write(go("replace"), "").unwrap();
    assert!(second.wait_only().success());
    assert_eq!(outcomes(&hoist, "replace"), ["ok", "replaced"]);
}

#[test]
fn a_run_that_is_cut_off_is_told_as_interrupted() {
    let hoist = Hoist::with_busybox();
    let code =
        "container::run_detached(\"busybox\", [\"sleep\", \"1000\"]);\nprint(\"here\");\nloop { sleep(1.hours); }";
    add(&hoist, "cut", &["allow: run"], code);
    let mut run = hoist.command(&["jobs", "run", "cut"]).spawn();
    run.wait_for("here\n");
    run.signal(Signal::SIGKILL);
    let _ = run.wait_only();
    assert_eq!(outcomes(&hoist, "cut"), ["interrupted"]);
    script(&hoist, "cut", &[], "1");
    hoist.run(&["jobs", "run", "cut"]).success();
    assert_eq!(outcomes(&hoist, "cut"), ["ok", "interrupted"]);
    assert!(history(&hoist, "cut")[1]["ended"].is_string());
    assert_eq!(hoist.value("container::list(#{all: true})"), json!([]));
}

#[test]
fn a_script_has_jobs_run_and_learns_what_became_of_them() {
    let hoist = Hoist::new();
    add(&hoist, "good", &["schedule: @daily"], "print(1)");
    add(&hoist, "bad", &[], "throw \"no\"");
    let told = hoist.value(
        "let good = job::run(\"good\"); let bad = job::run(\"bad\"); job::pause(\"good\");\n\
         [good.ok, good.trigger, bad.outcome, bad.code, job::get(\"good\").enabled, job::next(\"good\", #{count: 2}).len(), job::history(\"bad\").len()]",
    );
    assert_eq!(told, json!([true, "manual", "failed", 1, false, 2, 1]));
}

#[test]
fn what_is_no_script_is_no_job() {
    let hoist = Hoist::new();
    let host_name = hoist.write("hostname", "vm\n");
    let broken = hoist.write("broken.rhai", "//! A job.\nlet x = ;\n");
    for (path, place) in [(&host_name, ":1:1: "), (&broken, ":2:9: ")] {
        let path = path.to_str().unwrap();
        let output = hoist.run(&["jobs", "add", path]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        assert!(output.stderr.contains(&format!("{path}{place}")), "{}", output.stderr);
        assert!(output.stderr.contains("`hoist check`"), "{}", output.stderr);
    }
    let added = hoist.value(&format!("attempt(|| job::add({broken:?})).error.kind"));
    assert_eq!(added, json!("invalid"));
    let doubtful = script(&hoist, "doubtful", &[], "image::prune(#{ older_then: 1.days })");
    let doubtful = doubtful.to_str().unwrap();
    let output = hoist.run(&["jobs", "add", doubtful]).success();
    assert!(
        output.stderr.contains(&format!("warn: {doubtful}:2:")),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("older_then"), "{}", output.stderr);
}
