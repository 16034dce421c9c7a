//! Whatever a script waits for, Ctrl-C and `timeout()` end it: each call here would last longer than any test may.

use nix::sys::signal::Signal;

use crate::harness::{Answer, Fault, Faulty, Hoist};

/// Calls that wait; `HOST` is a server that never answers, `c` a container that runs.
const CALLS: &[(&str, &str)] = &[
    ("sleep", "sleep(1000)"),
    ("a container's end", "c.wait()"),
    ("a command in a container", "c.exec([\"sleep\", \"1000\"])"),
    (
        "a container run to its end",
        "container::run(\"busybox\", [\"sleep\", \"1000\"])",
    ),
    ("a log that goes on", "c.follow(|line| true)"),
    ("events", "system::events(|event| true)"),
    ("a program", "host::exec(\"sleep 1000; true\")"),
    ("a program's secret", "secret::cmd([\"sleep\", \"1000\"])"),
    ("an answer", "http::get(\"http://HOST/hang\", #{timeout: 1000})"),
    (
        "a web hook",
        "notify::webhook(\"http://HOST/hang\", 1, #{timeout: 1000})",
    ),
    ("a registry", "image::pull(\"HOST/team/app:1\")"),
    ("tags", "registry::tags(\"HOST/team/app\")"),
    ("branches", "parallel_map([1, 2, 3], |n| sleep(1000 + n))"),
    ("another try", "retry(1000, || throw \"no\", #{delay: 1000})"),
];

fn prepared() -> (Hoist, Faulty, String) {
    let (hoist, server) = (Hoist::with_busybox(), Faulty::alone());
    server.always("* /v2/team", Fault::Hang);
    server.always("* /v2/", Fault::Answer(Answer::status(200)));
    server.always("* /hang", Fault::Hang);
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "c"}).name"#)
        .success();
    let name = server.name();
    (hoist, server, name)
}

#[test]
fn a_timeout_ends_each_call_that_waits() {
    let (hoist, _server, host) = prepared();
    for (what, call) in CALLS {
        let call = call.replace("HOST", &host);
        let script = format!(
            r#"let c = container::get("c"); let r = attempt(|| timeout(300.millis, || {call})); [r.ok, r.error.kind]"#
        );
        assert_eq!(hoist.value(&script), serde_json::json!([false, "timeout"]), "{what}");
    }
    hoist.eval(r#"container::get("c").remove(#{force: true}); 0"#).success();
}

#[test]
fn ctrl_c_ends_each_call_that_waits() {
    let (hoist, _server, host) = prepared();
    for (what, call) in CALLS {
        let call = call.replace("HOST", &host);
        let path = hoist.write(
            "wait.rhai",
            format!("let c = container::get(\"c\"); print(\"ready\"); {call};"),
        );
        let mut running = hoist.command(&["run", path.to_str().unwrap()]).spawn();
        running.wait_for("ready");
        running.signal(Signal::SIGINT);
        let (said, status) = running.wait();
        assert_eq!(status.code(), Some(130), "{what}: {said}");
    }
    hoist.eval(r#"container::get("c").remove(#{force: true}); 0"#).success();
}

#[test]
fn branches_within_branches_do_not_wait_for_each_other_s_places() {
    let hoist = Hoist::new();
    let script = r#"
        let all = [1, 2, 3, 4, 5, 6];
        parallel_map(all, |a| parallel_map(all, |b| parallel_map(all, |c|
            parallel_map(all, |d| a * 1000 + b * 100 + c * 10 + d, #{jobs: 6}), #{jobs: 2}), #{jobs: 2}), #{jobs: 6})
            .flatten().flatten().flatten()"#;
    let leaves = hoist.value(script);
    let leaves: Vec<i64> = leaves
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| leaf.as_i64().unwrap())
        .collect();
    assert_eq!(leaves.len(), 1296);
    assert!(leaves.is_sorted(), "results come in the order of what they are of");
}
