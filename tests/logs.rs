//! What containers wrote, and reading along while they write.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Hoist, program};

fn start(hoist: &Hoist, command: &str, options: &str) {
    let script = format!(
        r#"container::run_detached("busybox", {}, #{{name: "box", {options}}}); ()"#,
        json!(command)
    );
    hoist.eval(&script).success();
}

fn dir(hoist: &Hoist) -> PathBuf {
    let id = hoist.value(r#"container::get("box").id"#);
    hoist.root().join("containers").join(id.as_str().unwrap())
}

/// Names and sizes of the files of a log.
fn files(hoist: &Hoist) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir(hoist)).unwrap().map(Result::unwrap);
    let facts = entries.map(|entry| {
        (
            entry.file_name().into_string().unwrap(),
            entry.metadata().unwrap().len(),
        )
    });
    let mut files: Vec<_> = facts.filter(|(name, _)| name.starts_with("log")).collect();
    files.sort();
    files
}

/// The numbers that the lines of a text are.
fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn follow(hoist: &Hoist, options: &str) -> Value {
    hoist.value(&format!(
        r#"let lines = []; container::get("box").follow(|line| lines.push(line), #{{{options}}}); lines"#
    ))
}

#[test]
fn lines_are_followed_until_the_end() {
    let hoist = Hoist::with_busybox();
    start(
        &hoist,
        "echo one; echo two >&2; while [ ! -e /go ]; do sleep 0.02; done; echo three; printf four",
        "",
    );
    let script = r#"
        let c = container::get("box");
        let lines = [];
        container::get("box").follow(|line| { lines.push(line); if line == "two" { c.exec("touch /go"); } });
        lines
    "#;
    let all = json!(["one", "two", "three", "four"]);
    assert_eq!(hoist.value(script), all);
    assert_eq!(follow(&hoist, ""), all);
    assert_eq!(follow(&hoist, "tail: 1"), json!(["four"]));
    assert_eq!(follow(&hoist, r#"stream: "stderr""#), json!(["two"]));
    let stamped = follow(&hoist, "timestamps: true, tail: 2");
    assert!(stamped[0].as_str().unwrap().ends_with("Z three"), "{stamped}");
    // What the closure says ends it, and so does what it throws.
    let enough = r#"let lines = []; container::get("box").follow(|line| { lines.push(line); line != "two" }); lines"#;
    assert_eq!(hoist.value(enough), json!(["one", "two"]));
    let thrown = r#"attempt(|| container::get("box").follow(|line| throw "no")).error"#;
    assert_eq!(hoist.value(thrown), "no");
    let late = r#"let c = container::run_detached("busybox", ["sleep", "1000"]); attempt(|| timeout(200.millis, || c.follow(|line| ()))).error.kind"#;
    assert_eq!(hoist.value(late), "timeout");
}

#[test]
fn a_hundred_thousand_lines_come_whole_and_in_order() {
    let hoist = Hoist::with_busybox();
    start(&hoist, "seq 1 100000", r#"log: #{max_size: "1m", max_files: 20}"#);
    // Read along while files are set aside.
    let followed = hoist.run(&["logs", "-f", "box"]).success().stdout;
    assert_eq!(numbers(&followed), (1..=100_000).collect::<Vec<_>>());
    assert!(files(&hoist).len() > 3, "{:?}", files(&hoist));
    let count = r#"let n = 0; let last = ""; container::get("box").follow(|line| { n += 1; last = line; }); [n, last]"#;
    assert_eq!(hoist.value(count), json!([100_000, "100000"]));
    let logs = hoist.value(r#"container::get("box").logs()"#);
    assert!(logs.as_str().unwrap() == followed);
    assert_eq!(hoist.run(&["logs", "--tail", "2", "box"]).stdout, "99999\n100000\n");
}

#[test]
fn a_log_keeps_to_its_bounds() {
    let hoist = Hoist::with_busybox();
    start(&hoist, "seq 1 20000", r#"log: #{max_size: 10.kib, max_files: 3}"#);
    let script = r#"let c = container::get("box"); c.wait(); c.logs()"#;
    let kept = numbers(hoist.value(script).as_str().unwrap());
    assert_eq!(
        kept,
        (20_001 - u32::try_from(kept.len()).unwrap()..=20_000).collect::<Vec<_>>()
    );
    let found = files(&hoist);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    assert!(found.iter().all(|(_, size)| *size <= 10 << 10), "{found:?}");
    let config = hoist.value(r#"container::get("box").inspect().HostConfig.LogConfig.Config"#);
    assert_eq!(config, json!({"max-size": "10240", "max-file": "3"}));
    for (options, kind) in [
        ("max_files: 0", "invalid"),
        ("max_size: 1, age: 2", "invalid"),
        (r#"max_size: "much""#, "invalid"),
    ] {
        let call = format!(r#"attempt(|| container::create("busybox", #{{log: #{{{options}}}}})).error.kind"#);
        assert_eq!(hoist.value(&call), kind, "{options}");
    }
    let words = [
        "container",
        "run",
        "-d",
        "--log-opt",
        "max-size=1k",
        "--log-opt",
        "max-file=2",
        "--name",
        "other",
        "busybox",
        "true",
    ];
    hoist.run(&words).success();
    let config = hoist.value(r#"container::get("other").inspect().HostConfig.LogConfig.Config"#);
    assert_eq!(config, json!({"max-size": "1024", "max-file": "2"}));
    hoist
        .run(&["container", "run", "--log-opt", "max-age=1", "busybox"])
        .fails_with(125);
}

#[test]
fn a_killed_supervisor_leaves_a_log_that_can_be_read() {
    let hoist = Hoist::with_busybox();
    // It is killed as soon as it has set so many files aside, wherever it is then.
    for aside in 1..=8 {
        start(
            &hoist,
            "exec seq 1 100000000",
            r#"log: #{max_size: 4.kib, max_files: 50}"#,
        );
        let state = hoist.value(r#"container::get("box").id"#);
        let file = hoist
            .run_root()
            .join("containers")
            .join(state.as_str().unwrap())
            .join("state.json");
        let state: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let pid = |name: &str| Pid::from_raw(i32::try_from(state[name]["pid"].as_i64().unwrap()).unwrap());
        let wanted = dir(&hoist).join(format!("log.{aside}"));
        while !wanted.exists() {
            std::thread::yield_now();
        }
        // The program with it: another supervisor would go on behind what is lost in its pipes.
        kill(pid("supervisor"), Signal::SIGKILL).unwrap();
        let _ = kill(pid("init"), Signal::SIGKILL);
        let logs = hoist.value(r#"container::get("box").logs()"#);
        let kept = numbers(logs.as_str().unwrap());
        let expected: Vec<u32> = (kept[0]..).take(kept.len()).collect();
        assert!(kept == expected, "{} lines from {}", kept.len(), kept[0]);
        let again = r#"let c = container::get("box"); c.remove(#{force: true}); ()"#;
        hoist.eval(again).success();
    }
}

#[test]
fn logs_are_shown_as_they_were_written() {
    let hoist = Hoist::with_busybox();
    start(&hoist, r"echo out; echo err >&2; printf '\377\n'; printf rest", "");
    hoist.eval(r#"container::get("box").wait()"#).success();
    let mut shell = program("sh");
    shell.args(["-c", r#""$@" > out 2> err"#, "sh"]);
    hoist.command(&["logs", "box"]).under(shell).output().success();
    assert_eq!(fs::read(hoist.file("out")).unwrap(), b"out\n\xff\nrest");
    assert_eq!(fs::read(hoist.file("err")).unwrap(), b"err\n");
    let stamped = hoist
        .run(&["container", "logs", "-t", "-n", "1", "box"])
        .success()
        .stdout;
    assert!(stamped.ends_with("Z rest"), "{stamped}");
    assert_eq!(
        hoist.run(&["logs", "--since", "1h", "box"]).stdout,
        hoist.run(&["logs", "box"]).stdout
    );
    hoist.run(&["logs", "--until", "1h", "box"]).success().stdout_is("");
    hoist.run(&["logs", "--tail", "some", "box"]).fails_with(125);
    hoist.run(&["logs", "nobody"]).fails_with(1);
    // Who has seen enough is no error.
    start_flood(&hoist);
    let mut shell = program("sh");
    shell.args(["-c", r#""$@" | head -n 1"#, "sh"]);
    hoist
        .command(&["logs", "-f", "flood"])
        .under(shell)
        .output()
        .success()
        .stdout_is("y");
}

#[test]
fn who_follows_a_flood_may_have_enough_of_it() {
    let hoist = Hoist::with_busybox();
    start_flood(&hoist);
    for options in ["", "tail: 3"] {
        let follow =
            format!(r#"let n = 0; container::get("flood").follow(|line| {{ n += 1; n < 5 }}, #{{{options}}}); n"#);
        assert_eq!(hoist.value(&follow), 5, "{options}");
    }
}

fn start_flood(hoist: &Hoist) {
    hoist
        .eval(r#"container::run_detached("busybox", ["yes"], #{name: "flood"}); ()"#)
        .success();
}

#[test]
fn a_program_that_reads_nothing_can_be_watched() {
    let hoist = Hoist::with_busybox();
    start(
        &hoist,
        "echo before; trap 'echo got; exit 6' TERM; while :; do echo tick; sleep 0.05; done",
        "",
    );
    let mut watching = hoist.command(&["attach", "box"]).spawn();
    watching.wait_for("tick\n");
    watching.signal(Signal::SIGTERM);
    watching.wait_for("got\n");
    assert_eq!(watching.wait().1.code(), Some(6));
}
