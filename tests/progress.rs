//! How far long work is, as a terminal shows it, a log tells it, and programs read it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Fault, Faulty, Hoist, Screen, Served};

const COUNTING: &str = r#"
let work = progress(4, "copying");
work.step();
print("one");
log::info("two");
work.label("checking");
work.step(2);
print("three");
work.step();
work.done();
print("four");
"#;

fn on_screen(hoist: &Hoist, words: &[&str]) -> Screen {
    hoist.command(words).env("TERM", "xterm").on_screen()
}

/// The objects of JSON that standard error has, one a line.
#[track_caller]
fn events(hoist: &Hoist, expression: &str) -> Vec<Value> {
    let output = hoist.run(&["--format", "jsonl", "eval", expression]).success();
    let lines = output.stderr.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|cause| panic!("{line}: {cause}")))
        .collect()
}

#[test]
fn a_bar_stays_below_what_is_said_and_goes_in_the_end() {
    let hoist = Hoist::new();
    let file = hoist.write("counting.rhai", COUNTING);
    let mut screen = on_screen(&hoist, &["run", file.to_str().unwrap()]);
    screen.wait_for("copying: [-----");
    screen.wait_for("copying: [#####---------------] 1 of 4");
    screen.wait_for("checking: [###############-----] 3 of 4");
    assert_eq!(screen.code(), 0);
    assert_eq!(
        screen.lines(),
        ["one", "info: two", "three", "four", ""],
        "{}",
        screen.shown()
    );
}

#[test]
fn a_question_is_not_written_over() {
    let hoist = Hoist::new();
    let script = r#"
        let work = progress(200, "copying");
        parallel([|| print(confirm("really?")), || for i in 0..200 { work.step(); sleep(1.millis); }]);
        work.done();
    "#;
    let file = hoist.write("asking.rhai", script);
    let mut screen = on_screen(&hoist, &["run", file.to_str().unwrap()]);
    screen.wait_for("really? [y/N] ");
    screen.press("y\n");
    assert_eq!(screen.code(), 0);
    assert_eq!(
        screen.lines(),
        ["really? [y/N] y", "[1] true", ""],
        "{}",
        screen.shown()
    );
}

#[test]
fn without_a_terminal_few_lines_tell_it_and_none_if_quiet() {
    let hoist = Hoist::new();
    let file = hoist.write("counting.rhai", COUNTING);
    let file = file.to_str().unwrap();
    let output = hoist.run(&["run", file]).success();
    assert_eq!(output.stdout, "one\nthree\nfour\n");
    assert_eq!(
        output.stderr,
        "info: copying: 1 of 4\ninfo: two\ninfo: checking: 3 of 4\ninfo: checking: 4 of 4\n"
    );
    let output = hoist.run(&["--quiet", "run", file]).success();
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("one\nthree\nfour\n", "")
    );
    // Nor are there bars where a terminal is asked to be quiet.
    let mut screen = on_screen(&hoist, &["--quiet", "run", file]);
    assert_eq!(screen.code(), 0);
    assert_eq!(screen.shown(), "one\r\nthree\r\nfour\r\n");
    let mut screen = hoist.command(&["run", file]).on_screen();
    assert_eq!(screen.code(), 0);
    assert!(!screen.shown().contains('['), "{}", screen.shown());
}

#[test]
fn programs_get_an_object_for_each_step() {
    let hoist = Hoist::new();
    let told = events(
        &hoist,
        "let w = progress(2, \"copying\"); w.step(); w.step(); w.done();",
    );
    let event = |state: &str, steps: u64| json!({"event": "progress", "work": "script", "name": "copying", "state": state, "steps": steps, "total": 2});
    assert_eq!(
        told,
        [
            event("begun", 0),
            event("moving", 1),
            event("moving", 2),
            event("done", 2)
        ]
    );
}

/// The words of a transfer's events; each must tell all there is, and no more than there is.
#[track_caller]
fn states(events: &[Value], work: &str) -> Vec<String> {
    let own = events.iter().filter(|event| event["work"] == work);
    let state = |event: &Value| {
        let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{event}"));
        assert!(
            number("bytes") <= number("total") && number("parts_done") <= number("parts"),
            "{event}"
        );
        event["state"].as_str().unwrap().to_owned()
    };
    let mut states: Vec<String> = own.map(state).filter(|state| state != "moving").collect();
    // Parts end as they come.
    let last = states.len() - 1;
    states[1..last].sort();
    states
}

#[test]
fn every_transfer_tells_programs_of_its_parts() {
    let hoist = Hoist::with_busybox();
    let served = Served::start(&hoist, &["--write"]);
    let (name, other) = (
        format!("{}/busy:1", served.name()),
        format!("{}/other:1", served.name()),
    );
    let path = hoist.file("saved.tar");
    let path = path.display();
    for (work, expression, wanted) in [
        (
            "save",
            format!("image::save(\"busybox\", \"{path}\")"),
            &["begun", "part", "done"][..],
        ),
        (
            "push",
            format!("image::push(\"busybox\", \"{name}\")"),
            &["begun", "part", "was_there", "done"],
        ),
        (
            "copy",
            format!("registry::copy(\"{name}\", \"{other}\")"),
            &["begun", "was_there", "was_there", "done"],
        ),
        (
            "pull",
            format!("image::pull(\"{other}\", #{{policy: \"always\"}})"),
            &["begun", "was_there", "done"],
        ),
        (
            "load",
            format!("image::remove(\"busybox\", #{{force: true}}); image::load(\"{path}\")"),
            &["begun", "was_there", "done"],
        ),
        (
            "import",
            format!(
                "image::import_tar(\"{}\", \"again\")",
                crate::harness::inputs::path("busybox.tar").display()
            ),
            &["begun", "part", "done"],
        ),
    ] {
        let told = events(&hoist, &expression);
        assert_eq!(states(&told, work), wanted, "{work}: {told:?}");
        let last = told.iter().rfind(|event| event["work"] == work).unwrap();
        assert_eq!(last["bytes"], last["total"], "{last}");
        assert_eq!(last["parts_done"], last["parts"], "{last}");
    }
    served.stop();
}

#[test]
fn a_pull_at_a_terminal_has_bars_that_go() {
    let (hoist, fresh) = (Hoist::with_busybox(), Hoist::new());
    let served = Served::start(&hoist, &[]);
    let front = Faulty::before(served.address());
    // Slow enough to be seen.
    front.always("GET /blobs/", Fault::Drip(20_000, Duration::from_millis(10)));
    let name = format!("{}/busybox", front.name());
    let mut screen = on_screen(&fresh, &["pull", &name]);
    screen.wait_for(&format!("pull {name}: ["));
    screen.wait_for("0 of 1 layers, ");
    screen.wait_for("\r\n  ");
    screen.wait_for("[#");
    assert_eq!(screen.code(), 0);
    let lines = screen.lines();
    assert!(
        lines[0].starts_with(&format!("info: `{name}` has 1 layer of ")),
        "{lines:?}"
    );
    assert_eq!(lines.last().map(String::as_str), Some(""));
    assert!(!lines.iter().any(|line| line.contains("##")), "{lines:?}");
    served.stop();
}

#[test]
fn output_of_parallel_containers_comes_by_whole_marked_lines() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        parallel_map(["a", "b"], |name| {
            let words = `for i in 1 2 3; do printf 'x'; sleep 0.01; echo ${name}; done; printf end`;
            container::run("busybox", words, #{stream: true});
            parallel([|| print(1), || print(2)]);
        });
        ()
    "#;
    let output = hoist.eval(script).success();
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "[a/1] 1", "[a/2] 2", "[a] end", "[a] xa", "[a] xa", "[a] xa", "[b/1] 1", "[b/2] 2", "[b] end", "[b] xb",
            "[b] xb", "[b] xb"
        ]
    );
}
