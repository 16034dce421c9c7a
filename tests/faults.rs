//! What goes wrong around a container: whoever has to do with it is killed at any of its steps, the machine runs short of something, the
//! program does what it likes. After each the list is right, and a removal by force leaves nothing.

use std::fs;

use serde_json::{Value, json};

use crate::harness::fault::{self, Place};
use crate::harness::{Hoist, program};

/// The calls by which the processes of a start tell each other how far they are, and make, join and leave what a container is made of.
const STEPS: [&str; 24] = [
    "sendmsg",
    "recvfrom",
    "clone3",
    "execve",
    "setsid",
    "flock",
    "mkdir",
    "mkdirat",
    "rename",
    "write",
    "fsmount",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "unshare",
    "pivot_root",
    "umount2",
    "sethostname",
    "setresuid",
    "capset",
    "seccomp",
    "waitid",
    "rmdir",
    "poll",
];

/// Whatever became of the container `c`, it is told truthfully, and goes.
#[track_caller]
fn verify(hoist: &Hoist, when: &str) {
    let listed = hoist.value("container::list(#{all: true}).map(|c| [c.name, c.status])");
    for container in listed.as_array().unwrap() {
        let allowed = ["created", "exited", "dead", "running", "paused"].map(|status| json!(["c", status]));
        assert!(allowed.contains(container), "{when}: {listed}");
        if container[1] == "running" {
            let ran = hoist.value(r#"let r = attempt(|| container::get("c").exec(["true"]).code); if r.ok { r.value } else { r.error.kind }"#);
            assert!(
                ran == 0 || ran == "conflict",
                "{when}: it is `running`, and a command in it gave {ran}"
            );
        }
    }
    let removed = hoist.eval("for c in container::list(#{all: true}) { c.remove(#{force: true}); }");
    assert!(removed.status.success(), "{when}: {}", removed.stderr);
    hoist.assert_nothing_left();
    for dir in ["root/containers", "run/containers"] {
        let dir = hoist.root().parent().unwrap().join(dir);
        let left: Vec<_> = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        assert!(left.is_empty(), "{when}: {left:?}");
    }
}

/// Kills whoever comes to a place, at one place after the other, and looks at what is left after each. Gives how many were killed.
fn kill_at_every(hoist: &Hoist, before: &str, act: &str, steps: &[&'static str]) -> u32 {
    let mut kills = 0;
    fault::everywhere(steps, 3, |place: Place| {
        hoist.eval(before).success();
        let killed = fault::kill_whoever(hoist, act, place);
        kills += u32::from(killed);
        verify(hoist, &format!("killed at {place}"));
        killed
    });
    let problems = hoist.value("system::check()");
    assert_eq!(problems["ok"], true, "{problems}");
    kills
}

fn half(first: bool) -> Vec<&'static str> {
    let (one, other) = STEPS.split_at(STEPS.len() / 2);
    if first { one.to_vec() } else { other.to_vec() }
}

const DETACHED: &str = r#"container::run_detached("busybox", ["sh", "-c", "echo out; sleep 0.1"], #{name: "c"})"#;

#[test]
fn a_kill_at_any_step_of_a_detached_start() {
    let kills = kill_at_every(&Hoist::with_busybox(), "", DETACHED, &half(true));
    assert!(kills > 40, "{kills}");
}

#[test]
fn a_kill_at_any_later_step_of_a_detached_start() {
    let kills = kill_at_every(&Hoist::with_busybox(), "", DETACHED, &half(false));
    assert!(kills > 20, "{kills}");
}

#[test]
fn a_kill_at_any_step_of_a_command_inside() {
    let before = r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "c"})"#;
    let act = r#"container::get("c").exec("echo out")"#;
    let steps = [
        "sendmsg",
        "recvfrom",
        "clone3",
        "execve",
        "setns",
        "write",
        "setresuid",
        "seccomp",
        "waitid",
        "poll",
    ];
    let kills = kill_at_every(&Hoist::with_busybox(), before, act, &steps);
    assert!(kills > 15, "{kills}");
}

#[test]
fn a_kill_at_any_step_of_a_stop() {
    let before = r#"container::run_detached("busybox", ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done"], #{name: "c"})"#;
    for act in [
        r#"container::get("c").stop(#{timeout: 1.seconds})"#,
        r#"container::get("c").remove(#{force: true})"#,
        r#"container::get("c").pause()"#,
    ] {
        let steps = [
            "pidfd_send_signal",
            "poll",
            "rename",
            "unlink",
            "unlinkat",
            "rmdir",
            "write",
            "kill",
        ];
        kill_at_every(&Hoist::with_busybox(), before, act, &steps);
    }
}

/// Descriptors run out, at every number of them: what is thrown says so, and nothing is left.
#[test]
fn a_limit_on_open_files() {
    let hoist = Hoist::with_busybox();
    let mut refused = 0;
    for limit in 4..60 {
        let mut prlimit = program("prlimit");
        prlimit.arg(format!("--nofile={limit}:{limit}"));
        let expression = r#"let r = attempt(|| container::run("busybox", ["true"], #{name: "c"})); if r.ok { () } else { [r.error.kind, r.error.message] }"#;
        let output = hoist
            .command(&["--format", "json", "eval", expression])
            .under(prlimit)
            .output();
        assert!(
            output.status.code().is_some_and(|code| code < 128 || code == 134),
            "{limit}: {:?}\n{}",
            output.status,
            output.stderr
        );
        let thrown: Value = serde_json::from_str(output.stdout.trim()).unwrap_or(Value::Null);
        refused += u32::from(
            thrown[1]
                .as_str()
                .is_some_and(|message| message.contains("too many open files")),
        );
        verify(&hoist, &format!("{limit} open files"));
    }
    assert!(refused > 5, "{refused}");
}

/// Somebody else froze it, or it is paused: it is removed all the same.
#[test]
fn a_frozen_container() {
    let hoist = Hoist::with_busybox();
    for act in [
        "c.pause()",
        "c.pause(); c.kill()",
        "c.pause(); attempt(|| c.stop(#{timeout: 0.seconds}))",
    ] {
        hoist
            .eval(&format!(
                r#"let c = container::run_detached("busybox", ["sleep", "1000"], #{{name: "c"}}); {act};"#
            ))
            .success();
        hoist.eval(r#"container::get("c").remove(#{force: true})"#).success();
        verify(&hoist, act);
    }
}

#[test]
fn a_run_root_that_cannot_be_written_to() {
    let hoist = Hoist::with_busybox();
    let start = r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "c"})"#;
    let run = hoist.run_root();
    let prelude = format!("mount --bind {0} {0}; mount -o remount,ro,bind {0}", run.display());
    let output = hoist.run_after(&prelude, &["eval", start]);
    assert!(
        !output.status.success() && output.stderr.contains("read-only file system"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains(run.to_str().unwrap()), "{}", output.stderr);
    verify(&hoist, "at the start");
    // While one runs: it is still told and ended by who can write.
    hoist.eval(start).success();
    hoist.run_after(&prelude, &["eval", "container::list().len()"]);
    verify(&hoist, "while it runs");
}

/// The program asks to be left alone, forks as fast as it can, or takes all memory there is.
#[test]
fn programs_that_do_not_want_to_end() {
    let hoist = Hoist::with_busybox();
    let deaf = "trap '' TERM INT HUP QUIT; touch /ready; while :; do sleep 1000; done";
    let bomb = "touch /ready; f() { f | f & f; }; f 2>/dev/null; while :; do :; done";
    let hog = "touch /ready; tail /dev/zero";
    let orphans = "for i in 1 2 3 4 5 6 7 8; do (trap '' TERM; setsid sleep 1000 &) & done; touch /ready; sleep 1000";
    for (command, options) in [
        (deaf, ""),
        (bomb, "pids_limit: 50"),
        (hog, r#"memory: "32m""#),
        (orphans, ""),
        (orphans, r#"pid: "host""#),
    ] {
        for end in [
            "c.stop(#{timeout: 100.millis})",
            "c.remove(#{force: true})",
            "c.kill(); c.wait()",
        ] {
            let script = format!(
                r#"
                let c = container::run_detached("busybox", ["sh", "-c", {}], #{{name: "c", {options}}});
                while !attempt(|| c.read_file("/ready")).ok {{ }}
                attempt(|| {{ {end}; }});
                let left = container::list(#{{all: true}});
                if left.is_empty() {{ "gone" }} else {{ left[0].status }}"#,
                json!(command)
            );
            let status = hoist.value(&script);
            assert!(
                status == "exited" || status == "gone",
                "`{command}` after `{end}`: {status}"
            );
            verify(&hoist, command);
        }
    }
}

/// The first process is gone before it became the program, by whatever kills it then: memory that is too little for the start itself.
#[test]
fn a_first_process_that_dies_before_its_program_runs() {
    let hoist = Hoist::with_busybox();
    // More than the least that is accepted, less than a start takes.
    let script = r#"
        let told = [];
        for n in 1..12 {
            let r = attempt(|| container::run("busybox", ["true"], #{name: "c", memory: 524_288 + n * 65_536}));
            told.push(if r.ok { "ok" } else { r.error.kind });
        }
        told"#;
    let told = hoist.value(script);
    for outcome in told.as_array().unwrap() {
        assert!(
            ["ok", "invalid", "exit_status", "internal", "no_space"]
                .iter()
                .any(|kind| outcome == kind),
            "{told}"
        );
    }
    verify(&hoist, "with little memory");
}
