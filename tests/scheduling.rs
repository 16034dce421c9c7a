//! When jobs run: ten years of schedules and a month of crashes by a clock of the test's own, and schedulers that are killed.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hoist::config::Config;
use hoist::host::{Claim, Host, RunOutcome, RunReport};
use hoist::model::{Context, Schedule, Timetable, zone};
use hoist::server::jobs::Agenda;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::calendar::{EVENTS, ZONES, told};
use crate::harness::{Hoist, PATIENCE, PROGRAM, tool};

/// Schedules of cron, and the calendar events that mean the same where no clock changes. With the others they are 60.
const SAME: [(&str, &str); 33] = [
    ("0 3 * * *", "*-*-* 03:00"),
    ("30 2 * * *", "*-*-* 02:30"),
    ("*/15 * * * *", "*:0/15"),
    ("0 * * * *", "hourly"),
    ("0 0 1 * *", "monthly"),
    ("0 0 1 1 *", "yearly"),
    ("@daily", "daily"),
    ("@weekly", "Sun *-*-* 00:00"),
    ("5 4 * * SUN", "Sun 04:05"),
    ("0 22 * * 1-5", "Mon..Fri 22:00"),
    ("0 0,12 1 */2 *", "*-1/2-01 00,12:00"),
    ("23 0-20/2 * * *", "0..20/2:23"),
    ("0 9 1-7 * *", "*-*-01..07 09:00"),
    ("45 23 * * 6", "Sat 23:45"),
    ("0 0 29 2 *", "*-02-29"),
    ("0 0 31 * *", "*-*-31"),
    ("15 14 1 * *", "*-*-01 14:15"),
    ("0 4 8-14 * *", "*-*-08..14 04:00"),
    ("10 0 */5 * *", "*-*-1/5 00:10"),
    ("0 12 * 1,7 *", "*-01,07-* 12:00"),
    ("59 23 31 12 *", "*-12-31 23:59"),
    ("0 6-18/3 * * 1,3,5", "Mon,Wed,Fri 06..18/3:00"),
    ("7 7 7 7 *", "*-07-07 07:07"),
    ("0 0 * * 0", "Sun *-*-* 00:00"),
    ("0 0 * * 7", "Sun *-*-* 00:00"),
    ("20,50 1 * * *", "01:20,50"),
    ("0 0 15 3-9 *", "*-03..09-15"),
    ("0 1 * * MON", "Mon 01:00"),
    ("35 5 28 2 *", "*-02-28 05:35"),
    ("@monthly", "monthly"),
    ("@yearly", "yearly"),
    ("@hourly", "hourly"),
    ("0 0 30 4,6,9,11 *", "*-04,06,09,11-30"),
];

/// Whether to take hours instead of seconds: as often and as far as it is worth on a machine of one's own.
fn is_long() -> bool {
    hoist::config::variable("HOIST_TEST_LONG").is_some()
}

/// What a scheduler whose clock jumps from one alarm to the next has run from a time on.
fn simulated(text: &str, name: &str, base: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
    let schedule = Schedule::parse(text, &zone(name).unwrap()).unwrap();
    let table = Timetable::new(schedule, Duration::ZERO, false);
    let (mut agenda, mut seen, mut ran, mut now) = (Agenda::default(), base, Vec::new(), base);
    agenda.set("job", table.clone(), base);
    while ran.len() < most {
        let Some(next) = agenda.next(now).map(|(next, _)| next).filter(|next| *next <= until) else {
            break;
        };
        // A machine is never exactly on time.
        now = next.checked_add(SignedDuration::from_millis(300)).unwrap();
        assert_eq!(agenda.due(now), ["job"], "{text} at {now}");
        let due = table.look(seen, now);
        assert_eq!(due.missed, None, "{text} at {now}");
        seen = due.run.unwrap().at;
        ran.push(seen);
        assert!(agenda.due(now).is_empty(), "{text} at {now}: twice");
    }
    ran
}

/// Whether the clocks of a zone change within two days of a time.
fn is_changing(zone_name: &str, time: Timestamp) -> bool {
    let zone = zone(zone_name).unwrap();
    let offset = |hours| zone.to_offset(time.checked_add(SignedDuration::from_hours(hours)).unwrap());
    offset(-48) != offset(48)
}

#[test]
fn ten_years_of_sixty_schedules_in_eight_zones_are_as_systemd_tells() {
    let base: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let until: Timestamp = "2036-01-01T00:00:00Z".parse().unwrap();
    // Every quarter of an hour for ten years.
    let most = if is_long() { 400_000 } else { 1000 };
    let compared = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for half in ZONES.chunks(4) {
            scope.spawn(move || {
                for name in half {
                    for (cron, event) in SAME {
                        let ran = simulated(cron, name, base, until, most);
                        // Where clocks change, the two differ as their manuals say.
                        let plain = |times: Vec<Timestamp>| -> Vec<Timestamp> {
                            times
                                .into_iter()
                                .filter(|time| *time <= until && !is_changing(name, *time))
                                .collect()
                        };
                        let expected = told(event, name, base, (ran.len() + ran.len() / 10 + 10).min(most));
                        let (mut expected, mut ran) = (plain(expected), plain(ran));
                        let length = expected.len().min(ran.len());
                        assert!(length * 10 >= ran.len() * 9, "{cron} in {name}");
                        expected.truncate(length);
                        ran.truncate(length);
                        assert_eq!(ran, expected, "{cron} in {name}");
                        compared.fetch_add(length, Ordering::Relaxed);
                    }
                    for event in EVENTS {
                        let ran = simulated(event, name, base, until, most);
                        // One more, which must be beyond the end.
                        let mut expected = told(event, name, base, (ran.len() + 1).min(most));
                        expected.retain(|time| *time <= until);
                        assert_eq!(ran, expected, "{event} in {name}");
                        compared.fetch_add(ran.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    println!("{} times were compared", compared.load(Ordering::Relaxed));
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A store in memory, with as many jobs, and what their schedules say.
fn jobs(dir: &Path, count: usize) -> (Host, BTreeMap<String, Timetable>) {
    let config = Config::new(Some(dir.join("root")), None, false).unwrap();
    let host = Host::open(&config, None).unwrap();
    let texts = [
        "0 3 * * *",
        "*:17",
        "@every 5h",
        "30 1,13 * * *",
        "Mon..Fri 09:00",
        "0 0 1 * *",
        "@weekly",
        "*/37 4 * * *",
    ];
    let mut tables = BTreeMap::new();
    for number in 0..count {
        let name = format!("job-{number:03}");
        let path = dir.join(format!("{name}.rhai"));
        let catch_up = number % 3 == 0;
        let text = texts[number % texts.len()];
        std::fs::write(
            &path,
            format!("//! schedule: {text}\n//! timezone: UTC\n//! catch_up: {catch_up}\n"),
        )
        .unwrap();
        let job = host.add_job(&path, None, None).unwrap();
        tables.insert(name, job.timetable(&job.header().unwrap().job).unwrap());
    }
    (host, tables)
}

#[test]
fn a_month_of_crashes_loses_no_run_and_doubles_none() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (count, days) = if is_long() { (200, 31) } else { (40, 10) };
    let (host, tables) = jobs(dir.path(), count);
    let start = host.jobs().unwrap().iter().map(|job| job.seen()).max().unwrap();
    let end = start.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
    let ctx = Context::new();
    let (mut dice, mut now, mut agenda) = (Dice(7), start, Agenda::default());
    let load = |agenda: &mut Agenda| {
        for job in host.jobs().unwrap() {
            agenda.set(job.name(), tables[job.name()].clone(), job.seen());
        }
    };
    load(&mut agenda);
    while now < end {
        for name in agenda.due(now) {
            match dice.below(20) {
                // The scheduler dies before the claim, and after it.
                0 => load(&mut agenda),
                1 => drop(host.claim_due(&ctx, &name, now).unwrap()),
                fate => {
                    // A second one asks as well.
                    let first = host.claim_due(&ctx, &name, now).unwrap();
                    assert!(!matches!(host.claim_due(&ctx, &name, now).unwrap(), Claim::Begun(_)));
                    if let Claim::Begun(ticket) = first {
                        let outcome = if fate == 2 { RunOutcome::Failed } else { RunOutcome::Ok };
                        ticket.end(&host, outcome, Some(0), RunReport::default()).unwrap();
                    }
                }
            }
        }
        let next = agenda.next(now).unwrap().0;
        // Now and then the machine is off.
        let off = if dice.below(200) == 0 { dice.below(40) } else { 0 };
        now = next
            .max(now)
            .checked_add(SignedDuration::from_hours(off.cast_signed()))
            .unwrap();
    }
    let mut counted = (0, 0);
    for (name, table) in &tables {
        let runs = host.job_runs(Some(name), 100_000).unwrap();
        let job = host.job(name).unwrap();
        let expected = table.times(job.added()).take_while(|time| *time <= job.seen()).count();
        let told: usize = runs.iter().map(|run| run.count() as usize).sum();
        assert_eq!(told, expected, "{name}");
        let mut times: Vec<Timestamp> = runs
            .iter()
            .filter(|run| run.has_begun())
            .filter_map(|run| run.scheduled())
            .collect();
        let before = times.len();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), before, "{name} ran twice for one time");
        counted = (counted.0 + before, counted.1 + told);
    }
    println!("{count} jobs in {days} days: {} runs of {} times", counted.0, counted.1);
}

fn write_job(hoist: &Hoist, name: &str, header: &str, code: &str) {
    let path = hoist.write(&format!("{name}.rhai"), format!("//! A job.\n{header}\n{code}"));
    hoist.run(&["jobs", "add", path.to_str().unwrap()]).success();
}

fn history(hoist: &Hoist, name: &str) -> Vec<Value> {
    let told = hoist
        .run(&["--format", "json", "jobs", "history", name, "--count", "100000"])
        .success()
        .json();
    told.as_array().unwrap().clone()
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

#[test]
fn schedulers_that_are_killed_and_doubled_run_nothing_twice() {
    let hoist = Hoist::new();
    let (count, rounds) = if is_long() { (20, 40) } else { (4, 3) };
    for number in 0..count {
        write_job(&hoist, &format!("tick-{number}"), "//! schedule: @every 2s", "1");
    }
    let beside = hoist.command(&["serve", "jobs"]).spawn();
    for round in 0..rounds {
        let scheduler = hoist.command(&["serve", "jobs"]).spawn();
        let ran = || history(&hoist, "tick-0").len();
        let before = ran();
        until(|| ran() >= before + 1 + round % 2);
        scheduler.signal(Signal::SIGKILL);
        let _ = scheduler.wait_only();
    }
    beside.signal(Signal::SIGTERM);
    assert!(beside.wait_only().success());
    until(|| {
        (0..count).all(|number| {
            history(&hoist, &format!("tick-{number}"))
                .iter()
                .all(|run| run["outcome"] != "running")
        })
    });
    let mut total = 0;
    for number in 0..count {
        let runs = history(&hoist, &format!("tick-{number}"));
        let mut times: Vec<&str> = runs.iter().filter_map(|run| run["scheduled"].as_str()).collect();
        let before = times.len();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), before, "{runs:?}");
        assert!(runs.iter().any(|run| run["outcome"] == "ok"), "{runs:?}");
        total += before;
    }
    println!("{count} jobs, {rounds} schedulers killed: {total} runs, none twice");
}

/// The first line of what a service manager is told.
fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 64];
    let length = socket.recv(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    if let Some((first, time)) = text.split_once("\nMONOTONIC_USEC=") {
        assert!(time.parse::<u64>().unwrap() > 0, "{text}");
        return first.to_owned();
    }
    text
}

#[test]
fn a_scheduler_sees_what_is_new_and_waits_for_what_runs() {
    let hoist = Hoist::new();
    let socket = UnixDatagram::bind(hoist.file("notify")).unwrap();
    let scheduler = hoist
        .command(&["serve", "jobs"])
        .env("NOTIFY_SOCKET", hoist.file("notify"))
        .spawn();
    let hear = || heard(&socket);
    assert_eq!(hear(), "READY=1");
    let go = hoist.file("go");
    let code = format!("while !fs::exists(\"{}\") {{ sleep(20.millis); }}", go.display());
    write_job(&hoist, "waits", "//! schedule: @every 1s\n//! allow: fs", &code);
    assert_eq!([hear(), hear()], ["RELOADING=1", "READY=1"]);
    let is_running = || history(&hoist, "waits").iter().any(|run| run["outcome"] == "running");
    until(is_running);
    scheduler.signal(Signal::SIGHUP);
    assert_eq!([hear(), hear()], ["RELOADING=1", "READY=1"]);
    assert!(is_running());
    scheduler.signal(Signal::SIGTERM);
    assert_eq!(hear(), "STOPPING=1");
    assert!(is_running());
    std::fs::write(&go, "").unwrap();
    assert!(scheduler.wait_only().success());
    let runs = history(&hoist, "waits");
    let begun: Vec<&Value> = runs.iter().filter(|run| run["attempts"] != 0).collect();
    assert!(
        begun
            .iter()
            .all(|run| run["outcome"] == "ok" && run["trigger"] == "schedule"),
        "{runs:?}"
    );
}

#[test]
fn a_scheduler_says_that_it_does_not_hang_for_as_long_as_it_works() {
    let hoist = Hoist::new();
    let socket = UnixDatagram::bind(hoist.file("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let started = |pid: Option<&str>| {
        let scheduler = hoist
            .command(&["serve", "jobs"])
            .env("NOTIFY_SOCKET", hoist.file("notify"));
        let scheduler = scheduler.env("WATCHDOG_USEC", "100000");
        match pid {
            Some(pid) => scheduler.env("WATCHDOG_PID", pid).spawn(),
            None => scheduler.spawn(),
        }
    };
    let until = |words: &str| while heard(&socket) != words {};
    let scheduler = started(None);
    assert_eq!(heard(&socket), "READY=1");
    // There is no job, and nothing else to wake up for.
    for _ in 0..3 {
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }
    let go = hoist.file("go");
    let code = format!(
        "print(env::get(\"NOTIFY_SOCKET\", \"\") + env::get(\"WATCHDOG_USEC\", \"\"));\n\
         while !fs::exists(\"{}\") {{ sleep(20.millis); }}",
        go.display()
    );
    write_job(&hoist, "waits", "//! schedule: @every 1s\n//! allow: fs", &code);
    let is_running = || history(&hoist, "waits").iter().any(|run| run["outcome"] == "running");
    // Nobody listens meanwhile: that holds nothing up.
    scheduler.until(is_running);
    scheduler.signal(Signal::SIGTERM);
    until("STOPPING=1");
    for _ in 0..3 {
        until("WATCHDOG=1");
    }
    std::fs::write(&go, "").unwrap();
    assert!(scheduler.wait_only().success());
    // What the manager gave was for the scheduler, and its runs know nothing of it.
    let run = history(&hoist, "waits").pop().unwrap();
    let log = hoist.run(&["jobs", "logs", "waits", &run["id"].to_string()]).success();
    assert_eq!((run["outcome"].as_str(), log.stdout.as_str()), (Some("ok"), "\n"));

    // Of another process nothing is wanted.
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 64]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    let scheduler = started(Some("1"));
    assert_eq!(heard(&socket), "READY=1");
    scheduler.signal(Signal::SIGTERM);
    assert_eq!(heard(&socket), "STOPPING=1");
    assert!(scheduler.wait_only().success());
}

/// The processes that this one is the parent of, each with its state (proc_pid_stat(5)).
fn children(parent: u64) -> Vec<char> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let found = stats.filter_map(|stat| {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        (fields.next()?.parse() == Ok(parent)).then_some(state)
    });
    found.collect()
}

#[test]
fn as_the_first_process_of_a_container_it_runs_jobs_takes_in_orphans_and_waits_for_what_runs() {
    let hoist = Hoist::new();
    // Without what only a debugger reads.
    tool(&hoist.dir(), "strip", &["-o", "hoist", PROGRAM]);
    let own = hoist.file("hoist").display().to_string();
    hoist
        .eval(&format!(
            r#"image::from_host("scheduler", ["{own}", "/bin/sh", "/bin/sleep"]); 0"#
        ))
        .success();
    let dir = hoist.file("w");
    std::fs::create_dir(&dir).unwrap();
    // It outlives the shell that starts it, and says whose child it is then.
    let orphan = "(while read -r _ _ _ parent _ </proc/self/stat && [ $parent = $$ ]; do sleep 0.02; done; echo $parent >/w/parent) &";
    let code = "//! A job.\n//! schedule: @every 1s\n//! allow: exec, fs\nfn see(file) { while !fs::exists(file) { sleep(20.millis); } }\n\
                host::exec([\"sh\", \"/w/orphan.sh\"]); see(\"/w/parent\"); print(\"waits\"); see(\"/w/go\"); print(\"done\");";
    std::fs::write(dir.join("orphan.sh"), orphan).unwrap();
    std::fs::write(dir.join("job.rhai"), code).unwrap();
    let own = format!("{own} --root /w/root --run-root /w/run");
    let line = format!("{own} jobs add /w/job.rhai && exec {own} serve jobs");
    let start = format!(
        "container::run_detached(\"scheduler\", {}, #{{name: \"first\", volumes: [\"{}:/w\"]}}).inspect().State.Pid",
        json!(line),
        dir.display()
    );
    let first = hoist.value(&start).as_u64().unwrap();
    let logs = || {
        let entries = std::fs::read_dir(dir.join("root/jobs/job"))
            .into_iter()
            .flatten()
            .flatten();
        let texts = entries.map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default());
        texts.collect::<Vec<_>>()
    };
    until(|| logs() == ["waits\n"]);
    assert_eq!(std::fs::read_to_string(dir.join("parent")).unwrap(), "1\n");
    // The orphan has ended, and is not kept as a zombie; what is left is the run.
    until(|| matches!(children(first)[..], [state] if state != 'Z'));
    hoist.eval("container::get(\"first\").kill(\"TERM\")").success();
    assert_eq!(hoist.value("container::get(\"first\").status"), "running");
    std::fs::write(dir.join("go"), "").unwrap();
    let ended = hoist.value("container::get(\"first\").wait()");
    assert_eq!((ended, logs()), (json!(0), vec!["waits\ndone\n".to_owned()]));
}

#[test]
fn a_timer_runs_what_is_due_once_and_makes_up_for_what_was_missed() {
    let hoist = Hoist::new();
    write_job(&hoist, "daily", "//! schedule: 0 0 * * *\n//! catch_up: true", "1");
    assert!(
        hoist
            .run(&["jobs", "run", "--scheduled", "daily"])
            .success()
            .stdout
            .is_empty()
    );
    assert_eq!(history(&hoist, "daily").len(), 0);
    let later = Timestamp::now()
        .checked_add(SignedDuration::from_hours(24 * 10 + 1))
        .unwrap();
    let at = format!("--at={later}");
    for _ in 0..2 {
        hoist.run(&["jobs", "run", "--scheduled", &at, "daily"]).success();
    }
    let runs = history(&hoist, "daily");
    let facts: Vec<Value> = runs
        .iter()
        .map(|run| json!([run["outcome"], run["trigger"], run["count"]]))
        .collect();
    assert_eq!(facts, [json!(["ok", "catch_up", 1]), json!(["missed", "schedule", 9])]);
    assert!(
        hoist
            .run(&["jobs", "why", "daily"])
            .success()
            .stdout
            .contains("by catch_up")
    );
}
