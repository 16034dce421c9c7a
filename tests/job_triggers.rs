//! Jobs that run when something happens: pulls and exits for real, disks that fill up, and schedulers that are killed meanwhile.

use std::time::Instant;

use hoist::config::Config;
use hoist::host::{Claim, Host, JobRun, RunOutcome, RunReport};
use hoist::model::Context;
use hoist::runtime::{Event, Journal};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::served::Served;
use crate::harness::{Hoist, PATIENCE, PROGRAM, Running, program};

fn write(hoist: &Hoist, name: &str, header: &str, code: &str) -> String {
    let path = hoist.write(&format!("{name}.rhai"), format!("//! A job.\n{header}\n{code}"));
    path.to_str().unwrap().to_owned()
}

fn add(hoist: &Hoist, name: &str, header: &str, code: &str) {
    hoist.run(&["jobs", "add", &write(hoist, name, header, code)]).success();
}

/// The runs of a job, the newest first: outcome, trigger, reason.
fn runs(hoist: &Hoist, name: &str) -> Vec<Value> {
    let told = hoist.run(&["--format", "json", "jobs", "history", name]);
    let told = told.success().json();
    let facts = |run: &Value| json!([run["outcome"], run["trigger"], run["reason"]]);
    told.as_array().unwrap().iter().map(facts).collect()
}

/// Waits for something to be so.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it did not come about");
        std::thread::yield_now();
    }
}

/// A registry that has images `app:1`, `app:2` and so on, and how to pull one.
fn upstream(far: &Hoist, count: usize) -> (Served, impl Fn(&Hoist, usize)) {
    let served = Served::start(far, &["--write"]);
    let name = served.name().to_owned();
    for number in 1..=count {
        let script = format!(
            r#"image::from_host("x:{number}", ["/bin/true"], #{{labels: #{{n: "{number}"}}}}); image::push("x:{number}", "{name}/app:{number}"); 0"#
        );
        far.eval(&script).success();
    }
    let pull = move |hoist: &Hoist, number: usize| {
        hoist
            .eval(&format!(r#"image::pull("{name}/app:{number}"); 0"#))
            .success();
    };
    (served, pull)
}

/// Has a scheduler end what it does, and end.
fn drain(scheduler: Running) {
    scheduler.signal(Signal::SIGTERM);
    assert!(scheduler.wait_only().success());
}

#[test]
fn a_pull_and_an_exit_have_jobs_run_that_say_why() {
    let (hoist, far) = (Hoist::with_busybox(), Hoist::new());
    let (served, pull) = upstream(&far, 1);
    add(&hoist, "pulls", "//! on: image.pull", "print(1)");
    add(
        &hoist,
        "exits",
        "//! schedule: @yearly\n//! on: container.exit, disk>99%",
        "print(1)",
    );
    let list = hoist.run(&["jobs", "list"]).success().stdout;
    let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("pulls").matches("on image.pull").count() == 2, "{list}");
    assert!(row("exits").contains(", or on container.exit, disk>99%"), "{list}");

    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    pull(&hoist, 1);
    hoist
        .eval(r#"container::run("busybox", ["false"], #{name: "one", check: false}); 0"#)
        .success();
    until(|| {
        [runs(&hoist, "pulls"), runs(&hoist, "exits")]
            .iter()
            .all(|runs| !runs.is_empty())
    });
    drain(scheduler);
    let name = format!("{}/app:1", served.name());
    assert_eq!(runs(&hoist, "pulls"), [json!(["ok", "image.pull", name])]);
    assert_eq!(runs(&hoist, "exits"), [json!(["ok", "container.exit", "one"])]);
    let why = hoist.run(&["jobs", "why", "pulls"]).success().stdout;
    assert!(why.contains(&format!(" by image.pull ({name}), ")), "{why}");
    assert!(why.contains("on: image.pull (when an image was pulled)"), "{why}");
    let history = hoist.run(&["jobs", "history", "exits"]).success().stdout;
    assert!(history.contains("container.exit (one)"), "{history}");
    served.stop();
}

#[test]
fn what_a_run_brings_about_has_others_run_but_never_itself() {
    let (hoist, far) = (Hoist::with_busybox(), Hoist::new());
    let (served, pull) = upstream(&far, 2);
    let name = served.name();
    // Each has the other run, and would go on for ever.
    let code =
        format!("image::pull(\"{name}/app:2\", #{{policy: \"always\"}}); image::tag(\"{name}/app:1\", \"seen\");");
    add(
        &hoist,
        "pulls",
        "//! on: image.pull\n//! overlap: queue\n//! allow: pull, net, write",
        &code,
    );
    add(
        &hoist,
        "tags",
        "//! on: image.tag\n//! overlap: queue\n//! allow: pull, net, write",
        &code,
    );
    // What it ends was there before it.
    let code = "for c in container::list() { c.kill(); c.wait(); }";
    add(
        &hoist,
        "exits",
        "//! on: container.exit\n//! overlap: queue\n//! allow: exec",
        code,
    );
    // Another program acts for it.
    let flags = format!(
        "--root {} --run-root {}",
        hoist.root().display(),
        hoist.run_root().display()
    );
    let header = format!(
        "//! on: image.load\n//! overlap: queue\n//! allow: exec\n//! args: {PROGRAM} {flags} load -i saved.tar"
    );
    add(&hoist, "loads", &header, "host::exec(args);");
    add(&hoist, "last", "//! on: volume.create", "print(1)");
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "two"}); 0"#)
        .success();
    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    pull(&hoist, 1);
    hoist
        .eval(r#"container::run("busybox", ["true"], #{name: "one"}); 0"#)
        .success();
    let ended = |name: &str| runs(&hoist, name).iter().any(|run| run[0] != "running");
    until(|| ended("pulls") && ended("tags") && ended("exits"));
    hoist
        .eval(r#"image::save("busybox", "saved.tar"); image::load("saved.tar"); 0"#)
        .success();
    until(|| ended("loads"));
    // All that came before it has been heard when it runs.
    hoist.eval(r#"volume::create("v"); 0"#).success();
    until(|| !runs(&hoist, "last").is_empty());
    drain(scheduler);
    assert_eq!(
        runs(&hoist, "pulls"),
        [json!(["ok", "image.pull", format!("{name}/app:1")])]
    );
    assert_eq!(runs(&hoist, "tags"), [json!(["ok", "image.tag", "seen:latest"])]);
    assert_eq!(runs(&hoist, "exits"), [json!(["ok", "container.exit", "one"])]);
    assert_eq!(runs(&hoist, "loads").len(), 1, "{:?}", runs(&hoist, "loads"));
    assert_eq!(
        runs(&hoist, "loads")[0][0],
        "ok",
        "{:?}",
        hoist.run(&["jobs", "why", "loads"]).stdout
    );
    assert_eq!(hoist.value("container::list()"), json!([]));
    served.stop();
}

#[test]
fn what_comes_while_a_run_goes_on_is_left_out_or_waits() {
    let (hoist, far) = (Hoist::new(), Hoist::new());
    let (served, pull) = upstream(&far, 3);
    let go = hoist.file("go");
    let code = format!(
        "print(\"here\");\nwhile !fs::exists(\"{}\") {{ sleep(10.millis); }}",
        go.display()
    );
    add(&hoist, "skip", "//! on: image.pull\n//! allow: fs", &code);
    add(
        &hoist,
        "queue",
        "//! on: image.pull\n//! overlap: queue\n//! allow: fs",
        &code,
    );
    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    pull(&hoist, 1);
    let is_running = |name: &str| runs(&hoist, name).iter().any(|run| run[0] == "running");
    until(|| is_running("skip") && is_running("queue"));
    pull(&hoist, 2);
    until(|| runs(&hoist, "skip").len() == 2);
    pull(&hoist, 3);
    std::fs::write(&go, "").unwrap();
    until(|| runs(&hoist, "queue").iter().filter(|run| run[0] == "ok").count() >= 2);
    drain(scheduler);
    let outcomes = |name: &str| runs(&hoist, name).iter().map(|run| run[0].clone()).collect::<Vec<_>>();
    assert!(
        outcomes("skip").contains(&json!("skipped")),
        "{:?}",
        runs(&hoist, "skip")
    );
    assert!(
        outcomes("queue").iter().all(|outcome| outcome == "ok"),
        "{:?}",
        runs(&hoist, "queue")
    );
    served.stop();
}

#[test]
fn a_scheduler_that_was_killed_goes_on_where_it_was() {
    let (hoist, far) = (Hoist::new(), Hoist::new());
    let (served, pull) = upstream(&far, 2);
    add(&hoist, "pulls", "//! on: image.pull", "print(1)");
    for number in 1..=2 {
        // It came while nobody was there, and just now.
        pull(&hoist, number);
        let scheduler = hoist.command(&["serve", "jobs"]).spawn();
        until(|| runs(&hoist, "pulls").iter().filter(|run| run[0] == "ok").count() == number);
        scheduler.signal(Signal::SIGKILL);
        let _ = scheduler.wait_only();
    }
    // A timer finds nothing that was not seen to.
    hoist.run(&["jobs", "run", "--scheduled", "pulls"]).success();
    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    add(&hoist, "last", "//! on: volume.create", "print(1)");
    hoist.eval(r#"volume::create("v"); 0"#).success();
    until(|| !runs(&hoist, "last").is_empty());
    drain(scheduler);
    assert_eq!(runs(&hoist, "pulls").len(), 2);
    served.stop();
}

/// A store with one job, driven by a clock of the test's own.
struct Bench {
    host: Host,
    journal: Journal,
    start: Timestamp,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(header: &str) -> Bench {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let config = Config::new(Some(dir.path().join("root")), None, false).unwrap();
        let host = Host::open(&config, None).unwrap();
        let path = dir.path().join("job.rhai");
        std::fs::write(&path, format!("{header}\n1")).unwrap();
        let start = host.add_job(&path, None, None).unwrap().added();
        Bench {
            journal: Journal::of(&config.run_root),
            host,
            start,
            _dir: dir,
        }
    }

    fn at(&self, seconds: i64) -> Timestamp {
        self.start.checked_add(SignedDuration::from_secs(seconds)).unwrap()
    }

    fn pull(&self, seconds: i64, name: &str) {
        let event = Event::now("image", "pull", "sha256:0").with("name", name);
        self.journal.add(&Event {
            time: self.at(seconds),
            ..event
        });
    }

    /// The reason of the run that is due then, if one is.
    fn run(&self, seconds: i64) -> Option<String> {
        match self.host.claim_due(&Context::new(), "job", self.at(seconds)).unwrap() {
            Claim::Begun(ticket) => {
                let run = ticket.end(&self.host, RunOutcome::Ok, Some(0), RunReport::default());
                Some(run.unwrap().reason().unwrap().to_owned())
            }
            _ => None,
        }
    }

    fn history(&self) -> Vec<JobRun> {
        self.host.job_runs(Some("job"), 100).unwrap()
    }
}

#[test]
fn a_debounce_waits_for_quiet_and_makes_one_run_of_many() {
    let bench = Bench::new("//! on: image.pull debounce 1m");
    for (second, name) in [(0, "a"), (50, "b"), (100, "c")] {
        bench.pull(second + 1, name);
    }
    assert_eq!(bench.run(150), None);
    assert_eq!(bench.run(161).as_deref(), Some("3 times, last c"));
    assert_eq!(bench.run(200), None);
    // One that never rests has its run all the same.
    (300..1000).step_by(30).for_each(|second| bench.pull(second, "d"));
    assert_eq!(bench.run(890), None);
    assert_eq!(bench.run(901).as_deref(), Some("21 times, last d"));
}

#[test]
fn what_nobody_was_there_for_is_missed_or_made_up_for_once() {
    for (header, reason) in [
        ("//! on: image.pull", None),
        (
            "//! on: image.pull\n//! catch_up: true",
            Some("2 times, last b, while nobody was there"),
        ),
    ] {
        let bench = Bench::new(header);
        bench.pull(1, "a");
        bench.pull(2, "b");
        assert_eq!(bench.run(4000).as_deref(), reason);
        assert_eq!(bench.run(4001), None);
        let facts: Vec<_> = bench.history().iter().map(|run| (run.outcome(), run.count())).collect();
        match reason {
            None => assert_eq!(facts, [(RunOutcome::Missed, 2)]),
            Some(_) => assert_eq!(facts, [(RunOutcome::Ok, 1)]),
        }
        bench.pull(4002, "c");
        assert_eq!(bench.run(4003).as_deref(), Some("c"), "{header}");
    }
}

#[test]
fn a_clock_that_was_set_back_loses_no_event() {
    let bench = Bench::new("//! on: image.pull");
    bench.pull(10_000, "a");
    assert_eq!(bench.run(10_001).as_deref(), Some("a"));
    bench.pull(100, "b");
    assert_eq!(bench.run(101).as_deref(), Some("b"));
    assert_eq!(bench.run(102), None);
}

#[test]
fn a_disk_that_fills_up_has_its_job_run_once_each_time() {
    let hoist = Hoist::on_disk("64m");
    add(&hoist, "guard", "//! on: disk>60%", "print(1)");
    let filler = hoist.root().join("filler");
    let look = || drop(hoist.run(&["jobs", "run", "--scheduled", "guard"]).success());
    look();
    assert_eq!(runs(&hoist, "guard").len(), 0);
    for round in 1..=2 {
        std::fs::write(&filler, vec![0; 45 << 20]).unwrap();
        look();
        look();
        assert_eq!(runs(&hoist, "guard").len(), round);
        std::fs::remove_file(&filler).unwrap();
        look();
        assert_eq!(runs(&hoist, "guard").len(), round);
    }
    let run = &runs(&hoist, "guard")[0];
    assert_eq!((&run[0], &run[1]), (&json!("ok"), &json!("disk>60%")));
    assert!(run[2].as_str().unwrap().contains(" % of the disk of `"), "{run}");
    // One that is full when the scheduler comes, and stays so, has it run once, and again after an hour.
    std::fs::write(&filler, vec![0; 45 << 20]).unwrap();
    let scheduler = hoist.command(&["serve", "jobs"]).spawn();
    until(|| runs(&hoist, "guard").iter().filter(|run| run[0] == "ok").count() == 3);
    scheduler.signal(Signal::SIGHUP);
    drain(scheduler);
    let at = |minutes| {
        let time = Timestamp::now()
            .checked_add(SignedDuration::from_mins(minutes))
            .unwrap();
        let at = format!("--at={time}");
        hoist.run(&["jobs", "run", "--scheduled", &at, "guard"]).success();
        runs(&hoist, "guard").len()
    };
    assert_eq!((at(50), at(61)), (3, 4));
}

#[test]
fn timers_ask_each_minute_for_what_waits() {
    let hoist = Hoist::new();
    add(
        &hoist,
        "pulls",
        "//! schedule: 0 3 * * *\n//! on: image.pull",
        "print(1)",
    );
    let cron = hoist.run(&["jobs", "install", "--cron"]).success().stdout;
    assert!(cron.contains("\n* * * * * root "), "{cron}");
    let dir = hoist.file("units");
    std::fs::create_dir(&dir).unwrap();
    let write = format!("--write={}", dir.display());
    let units = hoist.run(&["jobs", "install", "--systemd", &write]).success().stdout;
    let output = program("systemd-analyze")
        .arg("verify")
        .args(units.lines())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !words.contains("hoist-job"), "{words}");
}

#[test]
fn a_check_tells_what_a_job_waits_for() {
    let hoist = Hoist::new();
    let path = write(
        &hoist,
        "waits",
        "//! on: image.pull debounce 5m\n//! on: disk>80% of /srv",
        "1",
    );
    let told = hoist.run(&["jobs", "check", &path]).success().stdout;
    let expected = [
        format!("{path}: on events"),
        "  on image.pull debounce 5m: when an image was pulled, once none has come for 5m, or after 50m".to_owned(),
        "  on disk>80% of /srv: when more than 80 % of the disk of `/srv` come to be in use, and each hour while they are".to_owned(),
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    let path = write(&hoist, "wrong", "//! on: image.puled", "1");
    let output = hoist.run(&["jobs", "add", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        output.stderr.contains("line 2 of the header of") && output.stderr.contains("did you mean `image.pull`?"),
        "{}",
        output.stderr
    );
}
