//! `hoist system boot`: what runs after the machine was restarted.

use std::fs;

use nix::sys::signal::{Signal::SIGKILL, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::Hoist;

/// Restarts the machine: no process is left, nor what is kept in memory, and it is another life of it.
fn restart(hoist: &Hoist) {
    let run = hoist.run_root().join("containers");
    let ids: Vec<_> = fs::read_dir(hoist.root().join("containers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    for id in &ids {
        let Ok(record) = fs::read(run.join(id).join("state.json")) else {
            continue;
        };
        let record: Value = serde_json::from_slice(&record).unwrap();
        for process in ["supervisor", "init"] {
            // Most have ended.
            let _ = kill(pid(&record[process]["pid"]), SIGKILL);
        }
    }
    fs::remove_dir_all(hoist.run_root()).unwrap();
    for id in &ids {
        let path = hoist.root().join("containers").join(id).join("boot.json");
        if let Ok(text) = fs::read(&path) {
            let mut boot: Value = serde_json::from_slice(&text).unwrap();
            boot["boot_id"] = json!("another");
            fs::write(&path, boot.to_string()).unwrap();
        }
    }
}

fn pid(number: &Value) -> Pid {
    Pid::from_raw(i32::try_from(number.as_i64().unwrap()).unwrap())
}

#[test]
fn what_is_to_run_does_after_a_restart() {
    let hoist = Hoist::with_busybox();
    let make = r#"
        for policy in ["no", "on-failure", "always", "unless-stopped"] {
            container::run_detached("busybox", ["sleep", "1000"], #{name: policy, restart: policy});
            container::run_detached("busybox", ["sleep", "1000"], #{name: policy + "-stopped", restart: policy}).stop(#{timeout: 0.seconds});
            container::create("busybox", ["sleep", "1000"], #{name: policy + "-new", restart: policy});
        }
        container::run_detached("busybox", ["sleep", "1000"], #{name: "sharer", restart: "always", pid: "container:always"});
        container::run_detached("busybox", ["sleep", "1000"], #{name: "lost", restart: "always", pid: "container:no"});
    "#;
    hoist.script(make, &[]).success();
    restart(&hoist);
    assert_eq!(hoist.value("container::list().len()"), 0);
    let planned = hoist.run(&["--dry-run", "system", "boot"]);
    assert_eq!(
        planned.stderr.matches("container.start").count(),
        5,
        "{}",
        planned.stderr
    );
    assert_eq!(hoist.value("container::list().len()"), 0);
    let booted = hoist.run(&["--format", "json", "system", "boot"]).fails_with(4);
    assert!(
        booted.stderr.contains("container `lost` was not started"),
        "{}",
        booted.stderr
    );
    let started = |name: &str, started: bool| json!([name, started]);
    let told = booted.json();
    let told: Vec<Value> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["name"], one["started"]]))
        .collect();
    let expected = [
        started("always", true),
        started("always-stopped", true),
        started("unless-stopped", true),
        started("sharer", true),
        started("lost", false),
    ];
    assert_eq!(told, expected);
    let running = r#"container::list().map(|c| c.name).sort_by(|n| n)"#;
    let all = json!(["always", "always-stopped", "sharer", "unless-stopped"]);
    assert_eq!(hoist.value(running), all);
    // What runs goes on, and what could not be started is tried once more.
    hoist.eval(r#"container::get("no").start()"#).success();
    let again = hoist.run(&["--format", "json", "system", "boot"]).success().json();
    assert_eq!(again[0]["name"], "lost");
    assert_eq!(again.as_array().unwrap().len(), 1);
}
