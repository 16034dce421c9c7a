//! What containers do and use, and limits that change while they run.

use serde_json::json;

use crate::harness::Hoist;

/// A busybox container `up` that runs a command.
fn up(command: &str, options: &str) -> Hoist {
    let hoist = Hoist::with_busybox();
    let script = format!(
        r#"container::run_detached("busybox", {}, #{{name: "up", {options}}}).id"#,
        json!(command)
    );
    hoist.eval(&script).success();
    hoist
}

#[track_caller]
fn kind(hoist: &Hoist, call: &str) -> serde_json::Value {
    hoist.value(&format!("attempt(|| {call}).error.kind"))
}

#[test]
fn top_tells_the_processes_by_the_numbers_of_both_sides() {
    let hoist = up("sleep 1000 & exec sleep 2000", r#"user: "7:7""#);
    let script = r#"
        let c = container::get("up");
        let all = timeout(10.seconds, || { let all = c.top(); while all.len() < 2 { all = c.top(); } all });
        let first = all.filter(|p| p.inside == 1)[0];
        let age = first.started - c.created;
        let child = all.filter(|p| p.inside != 1)[0];
        [first.pid == c.pid, child.parent == first.pid, first.uid, first.command, child.command, age > 0.seconds - 1.seconds && age < 1.minutes,
         first.memory > 0, first.threads]
    "#;
    let expected = json!([true, true, 7, "sleep 2000", "sleep 1000", true, true, 1]);
    assert_eq!(hoist.value(script), expected);
    hoist.eval(r#"container::get("up").kill()"#).success();
    hoist.eval(r#"container::get("up").wait()"#).success();
    for call in ["top()", "stats()"] {
        assert_eq!(kind(&hoist, &format!(r#"container::get("up").{call}"#)), "conflict");
    }
}

#[test]
fn stats_count_what_the_processes_use() {
    let fill = "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>/dev/null; while :; do :; done";
    let hoist = up(fill, "memory: 64.mib, pids_limit: 9, cpus: 0.5");
    let script = r#"
        let c = container::get("up");
        let s = timeout(30.seconds, || { let s = c.stats(); while s.cpu < 300.millis || s.throttled == 0.seconds { s = c.stats(); } s });
        [s.memory >= 20.mib, s.memory <= s.memory_limit, s.memory_peak >= 20.mib, s.memory_limit == 64.mib, s.pids, s.pids_limit]
    "#;
    assert_eq!(hoist.value(script), json!([true, true, true, true, 1, 9]));
    let quiet = up("exec sleep 1000", "");
    let limits = r#"let s = container::get("up").stats(); [s.memory_limit, s.pids_limit]"#;
    assert_eq!(quiet.value(limits), json!([null, null]));
}

#[test]
fn limits_change_while_a_container_runs_and_stay_changed() {
    let hoist = up("exec sleep 1000", "memory: 64.mib, pids_limit: 50");
    let now = r#"let s = container::get("up").stats(); let h = container::get("up").inspect().HostConfig; [s.memory_limit, s.pids_limit, h.Memory, h.PidsLimit]"#;
    let told = |mib: u64, pids: u64| json!([mib << 20, pids, mib << 20, pids]);
    // Up past what memory and swap were together, and down again.
    for (mib, pids) in [(300, 20), (32, 3)] {
        let update = format!(r#"container::get("up").update(#{{memory: {mib}.mib, pids_limit: {pids}}})"#);
        hoist.eval(&update).success();
        assert_eq!(hoist.value(now), told(mib, pids));
    }
    let forks = r#"container::get("up").exec("for i in 1 2 3 4 5; do sleep 1000 & done", #{check: false}).stderr"#;
    let refused = hoist.value(forks);
    assert!(refused.as_str().unwrap().contains("can't fork"), "{refused}");
    hoist.eval(r#"container::get("up").restart(#{timeout: 0})"#).success();
    assert_eq!(hoist.value(now), told(32, 3));
    for (wrong, expected) in [
        ("memory: 1", "invalid"),
        ("pids_limit: 0", "invalid"),
        ("cpus: 2, memory_swap: 1", "invalid"),
    ] {
        assert_eq!(
            kind(&hoist, &format!(r#"container::get("up").update(#{{{wrong}}})"#)),
            expected,
            "{wrong}"
        );
    }
    let unknown = hoist
        .eval(r#"container::get("up").update(#{memry: 1})"#)
        .fails_with(1)
        .stderr;
    assert!(unknown.contains("memory"), "{unknown}");
    assert_eq!(hoist.value(now), told(32, 3));
}

/// Under v1 the kernel refuses; the limit that held before holds on, the other ones of the same call too.
#[test]
fn a_limit_below_what_is_used_changes_nothing() {
    let fill = "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 2>/dev/null; echo full; exec sleep 1000";
    let hoist = up(fill, "memory: 64.mib, memory_swap: 64.mib, pids_limit: 50");
    let full = r#"let c = container::get("up"); timeout(30.seconds, || { while c.logs() == "" {} true })"#;
    assert_eq!(hoist.value(full), true);
    let update = r#"container::get("up").update(#{memory: 8.mib, memory_swap: 8.mib, pids_limit: 40})"#;
    assert_eq!(kind(&hoist, update), "in_use");
    let now = r#"let s = container::get("up").stats(); [s.memory_limit, s.pids_limit, container::get("up").running]"#;
    assert_eq!(hoist.value(now), json!([64 << 20, 50, true]));
}

#[test]
fn a_container_that_does_not_run_has_new_limits_at_its_next_start() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::create("busybox", ["sleep", "1000"], #{name: "up"}).id"#)
        .success();
    hoist
        .eval(r#"container::get("up").update(#{memory: 40.mib})"#)
        .success();
    hoist.eval(r#"container::get("up").start()"#).success();
    assert_eq!(hoist.value(r#"container::get("up").stats().memory_limit"#), 40 << 20);
}

#[test]
fn two_updates_at_once_lose_nothing() {
    let hoist = up("exec sleep 1000", "memory: 64.mib, pids_limit: 50");
    let many = |limit: &str| format!(r#"for n in 1..=40 {{ container::get("up").update(#{{{limit}}}); }}"#);
    std::thread::scope(|scope| {
        for limit in ["memory: (64 + n).mib", "pids_limit: 50 + n"] {
            let script = many(limit);
            let hoist = &hoist;
            scope.spawn(move || hoist.eval(&script).success());
        }
    });
    let now = r#"let h = container::get("up").inspect().HostConfig; let s = container::get("up").stats(); [h.Memory, h.PidsLimit, s.memory_limit, s.pids_limit]"#;
    assert_eq!(hoist.value(now), json!([104 << 20, 90, 104 << 20, 90]));
}
