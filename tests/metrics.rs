//! Numbers of jobs for Prometheus: what they say, in whose format, and by which ways.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;

use crate::harness::served::{Answered, request};
use crate::harness::{Hoist, PATIENCE, PROGRAM, inputs, program};

fn add(hoist: &Hoist, name: &str, header: &str, code: &str) {
    let path = hoist.write(&format!("{name}.rhai"), format!("//! A job.\n{header}\n{code}"));
    hoist.run(&["jobs", "add", path.to_str().unwrap()]).success();
}

/// The numbers by what stands before them.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}")));
    pairs
        .map(|(name, number)| (name.to_owned(), number.parse().unwrap()))
        .collect()
}

fn numbers(hoist: &Hoist) -> BTreeMap<String, f64> {
    parsed(&hoist.run(&["jobs", "metrics"]).success().stdout)
}

/// What promtool has against numbers: wrong form, or names that nobody else would choose.
fn complaints(text: &str) -> String {
    let mut command = program(inputs::path("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    format!(
        "{}{}",
        if output.status.success() { "" } else { "refused: " },
        String::from_utf8_lossy(&said)
    )
}

#[test]
fn numbers_come_from_runs_and_outlive_their_records() {
    let hoist = Hoist::with_busybox();
    let code = "if image::exists(\"busybox\") { image::remove(\"busybox\") } else { throw \"gone\" }";
    add(&hoist, "prune", "//! allow: delete", code);
    let settings = hoist.write("hoist.toml", "[jobs]\nkeep = 1\n");
    let of = |name: &str| format!("hoist_job_{name}{{name=\"prune\"}}");
    let ended = |how: &str| format!("hoist_job_runs_total{{name=\"prune\",outcome=\"{how}\"}}");
    let last = |how: &str| format!("hoist_job_last_run_outcome{{name=\"prune\",outcome=\"{how}\"}}");
    let fresh = numbers(&hoist);
    assert_eq!((fresh[&ended("ok")], fresh[&of("failures_total")]), (0.0, 0.0));
    assert!(!fresh.contains_key(&of("last_run_timestamp_seconds")), "{fresh:?}");

    let run = || hoist.run(&["--config", settings.to_str().unwrap(), "jobs", "run", "prune"]);
    run().success();
    let first = numbers(&hoist);
    assert_eq!((first[&ended("ok")], first[&last("ok")]), (1.0, 1.0));
    assert_eq!(
        first[&of("duration_seconds_sum")],
        first[&of("last_run_duration_seconds")]
    );
    let reclaimed = first[&of("reclaimed_bytes_total")];
    assert!(reclaimed > 100_000.0, "{first:?}");

    for _ in 0..2 {
        assert_eq!(run().status.code(), Some(1));
    }
    let told = hoist.run(&["jobs", "history", "prune"]).success().stdout;
    assert_eq!(told.lines().count(), 2, "one run is kept: {told}");
    let now = numbers(&hoist);
    for (name, number) in [
        (ended("ok"), 1.0),
        (ended("failed"), 2.0),
        (ended("timeout"), 0.0),
        (of("failures_total"), 2.0),
        (of("duration_seconds_count"), 3.0),
        (of("reclaimed_bytes_total"), reclaimed),
        (last("failed"), 1.0),
        (last("ok"), 0.0),
        (of("running"), 0.0),
        (of("enabled"), 1.0),
        (of("valid"), 1.0),
    ] {
        assert_eq!(now.get(&name), Some(&number), "{name} in {now:?}");
    }
    let success = of("last_success_timestamp_seconds");
    assert_eq!(now[&success], first[&success]);
    assert!(now[&of("last_run_timestamp_seconds")] > now[&success]);
    assert!(now[&of("duration_seconds_sum")] > first[&of("duration_seconds_sum")]);
    hoist.run(&["jobs", "remove", "prune"]).success();
    assert_eq!(numbers(&hoist), BTreeMap::new());
}

#[test]
fn what_was_missed_and_what_comes_next_are_told() {
    let hoist = Hoist::new();
    add(
        &hoist,
        "daily",
        "//! schedule: 0 0 * * *\n//! timezone: UTC\n//! catch_up: true",
        "1",
    );
    let next = "hoist_job_next_run_timestamp_seconds{name=\"daily\"}";
    let now = Timestamp::now().as_second() as f64;
    let due = numbers(&hoist)[next];
    assert!(due % 86400.0 == 0.0 && due > now && due < now + 86401.0, "{due}");
    let later = Timestamp::now()
        .checked_add(SignedDuration::from_hours(24 * 10 + 1))
        .unwrap();
    let at = format!("--at={later}");
    hoist.run(&["jobs", "run", "--scheduled", &at, "daily"]).success();
    let told = numbers(&hoist);
    assert_eq!(told["hoist_job_missed_total{name=\"daily\"}"], 9.0);
    assert_eq!(told["hoist_job_runs_total{name=\"daily\",outcome=\"ok\"}"], 1.0);
    hoist.run(&["jobs", "disable", "daily"]).success();
    let told = numbers(&hoist);
    assert_eq!((told.get(next), told["hoist_job_enabled{name=\"daily\"}"]), (None, 0.0));
    fs::remove_file(hoist.file("daily.rhai")).unwrap();
    assert_eq!(numbers(&hoist)["hoist_job_valid{name=\"daily\"}"], 0.0);
}

#[test]
fn promtool_has_nothing_against_them() {
    let hoist = Hoist::new();
    let text = || hoist.run(&["jobs", "metrics"]).success().stdout;
    assert_eq!(text(), "");
    add(&hoist, "plain", "//! schedule: @daily", "1");
    hoist.run(&["jobs", "run", "plain"]).success();
    let odd = hoist.write("a \"b\" \\ c\nd.rhai", "//! A job.\n");
    hoist
        .run(&["jobs", "add", "--name", "odd", odd.to_str().unwrap()])
        .success();
    assert_eq!(complaints(&text()), "");
    assert!(text().contains("/a \\\"b\\\" \\\\ c\\nd.rhai\"} 1\n"), "{}", text());
    // It would say so.
    assert!(complaints("# TYPE x counter\nx{a=\"b\"} 1\n").contains("_total"));
    assert!(complaints("x{a=\"b\nc\"} 1\n").starts_with("refused: "));
}

#[test]
fn a_file_of_them_is_replaced_as_a_whole() {
    let hoist = Hoist::new();
    add(&hoist, "plain", "", "1");
    let dir = hoist.file("textfile");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("hoist.prom");
    fs::write(&file, "old").unwrap();
    let words = ["jobs", "metrics", "--write", file.to_str().unwrap()];
    let dry = hoist.run(&[&["--dry-run"], &words[..]].concat()).success();
    assert!(dry.stderr.contains("fs::write"), "{}", dry.stderr);
    let denied = hoist.run(&[&["--deny-fs"], &words[..]].concat());
    assert_eq!(denied.status.code(), Some(3), "{}", denied.stderr);
    let before = fs::File::open(&file).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    hoist.run(&words).success();
    assert_eq!(std::io::read_to_string(before).unwrap(), "old", "it was written over");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        hoist.run(&["jobs", "metrics"]).success().stdout
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    let nowhere = hoist.run(&["jobs", "metrics", "--write", "no/such/hoist.prom"]);
    assert!(
        nowhere.stderr.contains("write `no/such/hoist.prom`"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn a_scheduler_answers_to_prometheus_and_keeps_a_file() {
    let hoist = Hoist::new();
    add(&hoist, "tick", "//! schedule: @every 1s", "1");
    let file = hoist.file("hoist.prom");
    let flags = [
        "serve",
        "jobs",
        "--metrics",
        "127.0.0.1:0",
        "--metrics-file",
        file.to_str().unwrap(),
    ];
    let mut scheduler = hoist.command(&flags).spawn();
    let url = scheduler.line();
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    let ask = |method: &str, target: &str| {
        let mut wire = TcpStream::connect(address).unwrap();
        wire.set_read_timeout(Some(PATIENCE)).unwrap();
        wire.write_all(&request(method, target, &[], b"")).unwrap();
        Answered::read(&mut wire, method == "HEAD")
    };
    let name = "hoist_job_runs_total{name=\"tick\",outcome=\"ok\"}";
    let asked = || String::from_utf8(ask("GET", "/metrics").is(200).body).unwrap();
    scheduler.until(|| parsed(&asked())[name] >= 2.0);
    scheduler.until(|| parsed(&fs::read_to_string(&file).unwrap())[name] >= 2.0);
    assert_eq!(complaints(&asked()), "");
    let answer = ask("HEAD", "/metrics").is(200);
    let format = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("Content-Type"), Some(format));
    assert_eq!(ask("POST", "/metrics").is(405).header("Allow"), Some("GET, HEAD"));
    ask("GET", "/").is(404);
    let taken = hoist.run(&["serve", "jobs", "--metrics", address]);
    assert!(
        taken.stderr.contains(&format!("listen at `{address}`")),
        "{}",
        taken.stderr
    );
    scheduler.signal(Signal::SIGTERM);
    assert!(scheduler.wait_only().success());
}

/// Whether a process has something of this kind open.
fn has_open(pid: u32, kind: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = files.filter_map(|file| fs::read_link(file.path()).ok());
    files.any(|file| file.to_string_lossy().contains(kind))
}

#[test]
fn a_scheduler_that_is_not_asked_to_listens_nowhere() {
    let hoist = Hoist::new();
    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    let dir = format!("/proc/{}", scheduler.pid());
    // It waits once it has a file to learn of news by.
    let open = || {
        let files = fs::read_dir(format!("{dir}/fd"))
            .unwrap()
            .map(|file| file.unwrap().path());
        files.filter_map(|file| fs::read_link(file).ok()).collect::<Vec<_>>()
    };
    let has = |word: &str| open().iter().any(|file| file.to_string_lossy().contains(word));
    scheduler.until(|| has("timerfd"));
    assert!(!has("socket:"), "{:?}", open());
    assert_eq!(fs::read_dir(format!("{dir}/task")).unwrap().count(), 1);
    scheduler.signal(Signal::SIGTERM);
    assert!(scheduler.wait_only().success());
}

#[test]
fn a_scheduler_that_sleeps_gives_its_code_back() {
    let hoist = Hoist::new();
    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    let code = || {
        let text = fs::read_to_string(format!("/proc/{}/smaps", scheduler.pid())).unwrap();
        let mut lines = text
            .lines()
            .skip_while(|line| !(line.contains(" r-xp ") && line.ends_with(PROGRAM)));
        let resident = lines.find_map(|line| line.strip_prefix("Rss:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB"));
        kib.map(|text| text.parse::<u64>().unwrap())
    };
    // It sleeps on a timer, which it has from early on.
    scheduler.until(|| has_open(scheduler.pid(), "timerfd") && code().is_some_and(|kib| kib < 8 << 10));
    scheduler.signal(Signal::SIGTERM);
    assert!(scheduler.wait_only().success());
}
