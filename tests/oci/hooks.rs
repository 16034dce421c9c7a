//! Programs that an engine has run on the way.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Bundle;

/// A hook that writes a line with its name and the state it is given to the file `calls`.
fn noting(bundle: &Bundle, name: &str, then: &str) -> Value {
    let calls = bundle.file("calls");
    let script = format!("read -r state; echo \"{name} $state\" >>{}; {then}", calls.display());
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

fn calls(bundle: &Bundle) -> Vec<(String, Value)> {
    let text = fs::read_to_string(bundle.file("calls")).unwrap_or_default();
    let call = |line: &str| {
        let (name, state) = line.split_once(' ').unwrap();
        (name.to_owned(), serde_json::from_str(state).unwrap())
    };
    text.lines().map(call).collect()
}

fn names(bundle: &Bundle) -> Vec<String> {
    calls(bundle).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn hooks_are_run_in_their_order_with_the_state() {
    let mut bundle = Bundle::sh("echo program; sleep 1000");
    // Inside there is a busybox, and the file is reached by a mount.
    let inside = "read -r state; echo \"startContainer $state\" >>/calls";
    let start_container = json!({"path": "/bin/sh", "args": ["sh", "-c", inside]});
    fs::write(bundle.file("calls"), "").unwrap();
    let calls_file = json!({"destination": "/calls", "type": "bind", "source": "calls", "options": ["bind"]});
    bundle.config["mounts"].as_array_mut().unwrap().push(calls_file);
    let note = |name| noting(&bundle, name, "");
    let hooks = json!({
        "prestart": [note("prestart")],
        "createRuntime": [note("createRuntime"), note("createRuntime2")],
        "createContainer": [note("createContainer")],
        "startContainer": [start_container],
        "poststart": [note("poststart")],
        "poststop": [noting(&bundle, "poststop", "exit 1"), note("poststop2")],
    });
    bundle.config["hooks"] = hooks;
    bundle.create(&[]).success();
    let created = ["prestart", "createRuntime", "createRuntime2", "createContainer"];
    assert_eq!(names(&bundle), created);
    let pid = bundle.state()["pid"].clone();
    bundle.act(&["start", "it"]).success();
    assert_eq!(names(&bundle)[4..], ["startContainer", "poststart"]);
    bundle.act(&["kill", "it", "KILL"]).success();
    bundle.wait_for("stopped");
    bundle.act(&["delete", "it"]).success();
    assert_eq!(names(&bundle)[6..], ["poststop", "poststop2"]);
    for (name, state) in calls(&bundle) {
        let (status, number) = match name.as_str() {
            "prestart" | "createRuntime" | "createRuntime2" => ("creating", pid.clone()),
            "createContainer" => ("creating", json!(1)),
            "startContainer" => ("created", json!(1)),
            "poststart" => ("running", pid.clone()),
            _ => ("stopped", json!(0)),
        };
        assert_eq!(
            (state["status"].as_str(), &state["pid"]),
            (Some(status), &number),
            "{name}"
        );
        assert_eq!(
            (state["id"].as_str(), state["bundle"].as_str()),
            (Some("it"), bundle.dir().to_str()),
            "{name}"
        );
    }
}

#[test]
fn a_hook_that_fails_ends_the_container() {
    for point in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = Bundle::sh("true");
        bundle.config["hooks"] = json!({
            point: [noting(&bundle, point, "echo why >&2; exit 3")],
            "poststop": [noting(&bundle, "poststop", "")],
        });
        bundle
            .create(&[])
            .fails_with(1)
            .stderr_has(&[point, "ended with 3: why"]);
        assert!(!bundle.file("state/it").exists());
        assert_eq!(names(&bundle), [point, "poststop"]);
    }
    let mut bundle = Bundle::sh("sleep 1000");
    bundle.config["hooks"] = json!({"poststart": [{"path": "/bin/false"}]});
    bundle.create(&[]).success();
    bundle
        .act(&["start", "it"])
        .fails_with(1)
        .stderr_has(&["poststart", "ended with 1"]);
    bundle.wait_for("stopped");
}

#[test]
fn a_hook_without_variables_has_those_around_it() {
    let mut bundle = Bundle::sh("true");
    bundle.config["process"]["env"] = json!(["PATH=/bin", "A=of the process"]);
    let check = "test \"$A\" = 'of the process'";
    bundle.config["hooks"] = json!({
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "test \"$LC_ALL\" = C.UTF-8"]}],
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", check]}],
    });
    bundle.run().success();
    bundle.config["hooks"]["startContainer"][0]["env"] = json!([]);
    bundle.run().fails_with(1).stderr_has(&["startContainer hook 0"]);
}

#[test]
fn a_hook_has_its_own_environment_and_time() {
    let mut bundle = Bundle::sh("true");
    let env = bundle.file("env");
    let script = format!("echo $A $HOME >{}", env.display());
    bundle.config["hooks"] = json!({
        "createRuntime": [
            {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=own"]},
            {"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1},
        ],
    });
    bundle
        .create(&[])
        .fails_with(1)
        .stderr_has(&["createRuntime hook 1", "longer than 1 seconds"]);
    assert_eq!(fs::read_to_string(env).unwrap(), "own\n");
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "relative"}]});
    bundle
        .create(&[])
        .fails_with(1)
        .stderr_has(&["its path is not absolute"]);
}
