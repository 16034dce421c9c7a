//! Jobs: a long history, and what a scheduler costs that has nothing to do.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::arena::{Arena, run};
use crate::compare::{Contestant, compare};

const ROUNDS: usize = 9;
const RUNS: &str = "10000";
const JOBS: usize = 500;
/// How long an idle scheduler is watched.
const WATCHED: Duration = Duration::from_secs(150);

/// Runs as a year leaves them.
const FILL: &str = r#"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
    INSERT INTO run (job, cause, scheduled, count, started, ended, outcome, code, attempts, error, effects)
    SELECT 'job-0', 'schedule', 1760000000000000 + i * 3600000000, 1, 1760000000000000 + i * 3600000000,
    1760000000000000 + i * 3600000000 + 1234567, iif(i % 7, 'ok', 'failed'), i % 7 = 0, 1,
    iif(i % 7, NULL, '{"kind":"not_found","message":"there is no image `app:1`","file":"/etc/hoist/job-0.rhai","line":7,"column":1}'),
    '{"images_removed":3,"reclaimed":123456789,"tags_deleted":0,"images_pulled":0,"containers_created":0,"containers_removed":0}' FROM n"#;

/// The same rows as a script of another language would show them.
const PYTHON: &str = "import sqlite3, sys\n\
    for row in sqlite3.connect(sys.argv[1]).execute('SELECT * FROM run ORDER BY id DESC LIMIT 10000'): print(*row)";

fn add(arena: &Arena, count: usize) {
    arena.fresh_hoist();
    let dir = arena.fresh_dir("scripts");
    for number in 0..count {
        let (minute, hour) = (number % 60, number % 24);
        let text = format!("//! A job.\n//! schedule: {minute} {hour} 1 1 *\n//! jitter: 10m\n1\n");
        fs::write(format!("{dir}/job-{number}.rhai"), text).unwrap();
    }
    arena.hoist(&format!("for n in 0..{count} {{ job::add(`{dir}/job-${{n}}.rhai`) }}"));
}

fn history(arena: &Arena) {
    add(arena, 1);
    let database = arena.path("hoist/hoist.db");
    let fill = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1])\nd.execute(sys.argv[2])\nd.commit()";
    run(&["python3", "-c", fill, &database, FILL]);
    let contestant = |name, words: Vec<String>| {
        Contestant::new(name, move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            run(&words)
        })
    };
    let contestants = [
        contestant("hoist", arena.command(&["jobs", "history", "job-0", "--count", RUNS])),
        contestant(
            "json",
            arena.command(&["--format", "json", "jobs", "history", "job-0", "--count", RUNS]),
        ),
        contestant(
            "python3",
            ["python3", "-c", PYTHON, &database].map(str::to_owned).to_vec(),
        ),
    ];
    compare("history of 10,000 runs", ROUNDS, Duration::ZERO, &contestants);
}

/// A number in a file of the kernel's, by what stands before it.
fn number(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let rest = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// How often its only thread went to sleep, which is how often it was woken.
fn idle(arena: &Arena) {
    add(arena, JOBS);
    let words = arena.command(&["serve", "jobs"]);
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut scheduler = command.spawn().unwrap();
    let mut said = std::io::BufReader::new(scheduler.stderr.take().unwrap());
    let mut line = String::new();
    // It says what comes next before it goes to sleep.
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let dir = format!("/proc/{}", scheduler.id());
    let woken = || number(&format!("{dir}/status"), "voluntary_ctxt_switches:");
    let (begun, before) = (Instant::now(), woken());
    std::thread::sleep(WATCHED);
    let (times, minutes) = (woken() - before, begun.elapsed().as_secs_f64() / 60.0);
    let rollup = format!("{dir}/smaps_rollup");
    let private = number(&rollup, "Private_Clean:") + number(&rollup, "Private_Dirty:");
    println!("idle scheduler of {JOBS} jobs");
    println!(
        "  hoist    private {private} KiB   woken {times} times in {minutes:.1} min ({:.2} a minute)",
        times as f64 / minutes
    );
    kill(Pid::from_raw(scheduler.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(scheduler.wait().unwrap().success());
}

/// What a scheduler and its records cost.
pub(crate) fn jobs(arena: &Arena) {
    history(arena);
    idle(arena);
    arena.fresh_hoist();
}
