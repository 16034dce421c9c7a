//! From `create` to `delete`, and what is refused on the way.

use std::fs;

use serde_json::json;

use crate::harness::{Bundle, Output, program};

#[test]
fn a_run_is_its_program_and_leaves_nothing() {
    let bundle = Bundle::sh("echo hello; echo sorry >&2; exit 7");
    bundle.run().fails_with(7).stdout_is("hello").stderr_is("sorry");
    bundle
        .act(&["state", "it"])
        .fails_with(1)
        .stderr_has(&["container `it` does not exist"]);
    bundle.act(&["list", "-q"]).success().stdout_is("");
}

#[test]
fn what_it_reads_is_what_its_caller_reads() {
    let bundle = Bundle::new(&["cat"]);
    bundle.write();
    Output::of(bundle.command(&["run", "it"]), Some(b"some words".to_vec()))
        .success()
        .stdout_is("some words");
}

#[test]
fn the_program_waits_for_its_start() {
    let bundle = Bundle::sh("echo started; sleep 1000");
    let pid_file = bundle.file("pid");
    bundle.create(&["--pid-file", pid_file.to_str().unwrap()]).success();
    let state = bundle.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], "it");
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["bundle"], bundle.dir().to_str().unwrap());
    assert_eq!(state["pid"].to_string(), fs::read_to_string(pid_file).unwrap());
    assert_eq!(bundle.out(), "");
    bundle.act(&["start", "it"]).success();
    assert_eq!(bundle.state()["status"], "running");
    bundle
        .act(&["start", "it"])
        .fails_with(1)
        .stderr_has(&["cannot start container `it`: it is running"]);
    bundle
        .act(&["delete", "it"])
        .fails_with(1)
        .stderr_has(&["it is running"]);
    bundle.wait_for_out("started");
    bundle.act(&["kill", "it", "KILL"]).success();
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["pid"], 0);
    assert_eq!(bundle.out(), "started\n");
    bundle
        .act(&["kill", "it", "KILL"])
        .fails_with(1)
        .stderr_has(&["is not running"]);
    bundle
        .act(&["start", "it"])
        .fails_with(1)
        .stderr_has(&["it is stopped"]);
    bundle.act(&["delete", "it"]).success();
    bundle
        .act(&["delete", "it"])
        .fails_with(1)
        .stderr_has(&["does not exist"]);
    bundle.act(&["delete", "--force", "it"]).success();
}

#[test]
fn a_configuration_counts_as_it_was_at_the_creation() {
    let mut bundle = Bundle::sh("echo first");
    bundle.create(&[]).success();
    bundle.config["process"]["args"] = json!(["echo", "second"]);
    bundle.write();
    bundle.act(&["start", "it"]).success();
    bundle.wait_for("stopped");
    assert_eq!(bundle.out(), "first\n");
}

#[test]
fn one_that_was_only_created_goes_by_force() {
    let bundle = Bundle::sh("true");
    bundle.create(&[]).success();
    bundle
        .create(&[])
        .fails_with(1)
        .stderr_has(&["container with id `it` already exists"]);
    bundle
        .act(&["delete", "it"])
        .fails_with(1)
        .stderr_has(&["it is created"]);
    let list = bundle.act(&["list"]).success();
    assert!(
        list.stdout.contains("it ") && list.stdout.contains("created"),
        "{}",
        list.stdout
    );
    bundle.act(&["delete", "--force", "it"]).success();
    bundle.act(&["list", "--format", "json"]).success().stdout_is("[]");
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let mut bundle = Bundle::new(&["/bin/nothing"]);
    let missing = ["no such file or directory"];
    bundle.create(&[]).fails_with(1).stderr_has(&missing);
    bundle.config["process"]["args"] = json!(["nothing"]);
    bundle
        .create(&[])
        .fails_with(1)
        .stderr_has(&["executable file not found in $PATH"]);
    bundle.config["process"]["args"] = json!(["/etc"]);
    bundle.create(&[]).fails_with(1).stderr_has(&["permission denied"]);
    for (pointer, value, words) in [
        ("/ociVersion", json!("2.0.0"), "version `2.0.0`"),
        ("/process/cwd", json!("tmp"), "`process.cwd` is `tmp`"),
        ("/root/path", json!("nowhere"), "find the root"),
        ("/process/args", json!([]), "no `process.args`"),
        (
            "/linux/sysctl",
            json!({"kernel.panic": "1"}),
            "belongs to the whole machine",
        ),
        (
            "/linux/resources",
            json!({"network": {"classID": 1}}),
            "`network.classID`",
        ),
        ("/linux/cgroupsPath", json!("/"), "is not a path of a control group"),
        ("/linux/namespaces/0", json!({"type": "mount"}), "is there twice"),
    ] {
        let mut bad = Bundle::sh("true");
        if pointer == "/linux/sysctl" || pointer == "/linux/resources" || pointer == "/linux/cgroupsPath" {
            bad.config["linux"][pointer.trim_start_matches("/linux/")] = value;
        } else {
            *bad.config.pointer_mut(pointer).unwrap() = value;
        }
        bad.create(&[]).fails_with(1).stderr_has(&[words]);
        assert!(!bad.file("state/it").exists(), "{pointer}");
    }
    for id in ["../it", ".it", "a b"] {
        bundle
            .act(&["state", id])
            .fails_with(1)
            .stderr_has(&["cannot be the id of a container"]);
    }
}

#[test]
fn a_newer_version_of_the_specification_is_taken() {
    let mut bundle = Bundle::sh("echo fine");
    bundle.config["ociVersion"] = json!("1.9.7");
    bundle.config["somethingNew"] = json!({"a": 1});
    bundle.run().success().stdout_is("fine");
}

#[test]
fn errors_are_told_where_engines_look() {
    let bundle = Bundle::sh("true");
    let log = bundle.file("log");
    let mut command = program(bundle.runtime());
    command.arg("--root").arg(bundle.file("state")).arg("--log").arg(&log);
    command.args(["--log-format", "json", "start", "nothing"]);
    Output::of(command, None)
        .fails_with(1)
        .stderr_has(&["container `nothing` does not exist"]);
    let line: serde_json::Value = serde_json::from_str(fs::read_to_string(&log).unwrap().trim()).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["msg"].as_str()),
        (Some("error"), Some("container `nothing` does not exist"))
    );
    assert!(line["time"].as_str().unwrap().starts_with("20"));
    let mut systemd = program(bundle.runtime());
    systemd.args(["--systemd-cgroup", "list"]);
    Output::of(systemd, None)
        .fails_with(1)
        .stderr_has(&["control groups cannot be made by systemd"]);
}

#[test]
fn a_pause_holds_until_the_resume() {
    let bundle = Bundle::sh("sleep 1000");
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    bundle
        .act(&["resume", "it"])
        .fails_with(1)
        .stderr_has(&["it is running"]);
    bundle.act(&["pause", "it"]).success();
    assert_eq!(bundle.state()["status"], "paused");
    bundle
        .act(&["exec", "it", "true"])
        .fails_with(255)
        .stderr_has(&["it is paused"]);
    bundle.act(&["resume", "it"]).success();
    assert_eq!(bundle.state()["status"], "running");
    bundle.act(&["pause", "it"]).success();
    // A kill reaches what stands still.
    bundle.act(&["kill", "it", "KILL"]).success();
    bundle.wait_for("stopped");
}

#[test]
fn signals_to_a_run_go_to_its_program() {
    let bundle = Bundle::sh("trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.01; done");
    bundle.write();
    let mut command = bundle.command(&["run", "it"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut words = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut words, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
    line.clear();
    std::io::BufRead::read_line(&mut words, &mut line).unwrap();
    assert_eq!(line, "caught\n");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}
