//! Health checks: probes that run in the container, what they come to, and who waits for it.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Hoist;

/// Starts a container `c` that sleeps, with these options; its health hangs on the file `/ok`.
fn start(hoist: &Hoist, command: &str, options: &str) {
    let start = format!(
        r#"container::run_detached("busybox", {}, #{{name: "c", {options}}})"#,
        json!(command)
    );
    hoist.eval(&start).success();
}

#[track_caller]
fn kind(hoist: &Hoist, expression: &str) -> Value {
    hoist.value(&format!("attempt(|| {expression}).error.kind"))
}

#[test]
fn health_follows_what_the_probe_says() {
    let hoist = Hoist::with_busybox();
    let check = r#"cmd: "cat /ok; echo $0 >&2; test -e /ok", interval: 20.millis, retries: 2"#;
    start(&hoist, "sleep 1000", &format!("health: #{{{check}}}"));
    let told = r#"let c = container::get("c"); c.wait(#{until: "unhealthy", timeout: 20.seconds}); let h = c.reload().health;
        [h.status, h.failing_streak >= 2, h.log.len() <= 5, h.log[0].exit_code, h.log[0].output, h.log[0].end >= h.log[0].start]"#;
    let output = "cat: can't open '/ok': No such file or directory\n/bin/sh\n";
    assert_eq!(hoist.value(told), json!(["unhealthy", true, true, 1, output, true]));
    assert_eq!(
        kind(&hoist, r#"container::get("c").wait(#{until: "healthy"})"#),
        "conflict"
    );
    // Whoever waits is woken by the change.
    let waiter = hoist.command(&[
        "eval",
        r#"retry(1000, || container::get("c").wait(#{until: "healthy"}), #{delay: 10.millis})"#,
    ]);
    let waiter = waiter.spawn();
    hoist.eval(r#"container::get("c").write_file("/ok", "fine")"#).success();
    assert!(waiter.wait().1.success());
    let inspected = hoist.value(r#"container::get("c").inspect().State.Health"#);
    assert_eq!(inspected["Status"], "healthy");
    assert_eq!(inspected["FailingStreak"], 0);
    let last = inspected["Log"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["ExitCode"], &last["Output"]),
        (&json!(0), &json!("fine/bin/sh\n"))
    );
    assert!(hoist.eval("container::list()").success().stdout.contains("(healthy)"));
    hoist
        .eval(r#"container::get("c").stop(#{timeout: 0.seconds})"#)
        .success();
    assert_eq!(
        kind(&hoist, r#"container::get("c").wait(#{until: "healthy"})"#),
        "conflict"
    );
}

#[test]
fn a_probe_is_a_process_of_the_container() {
    let hoist = Hoist::with_busybox();
    let probe = "id -u; pwd; echo $A; grep -c . /proc/1/cmdline; grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; cat /proc/self/cgroup | head -1";
    let options = format!(
        r#"user: "nobody", workdir: "/var/log", env: #{{A: "b"}}, health: #{{cmd: {}, interval: 10.millis}}"#,
        json!(probe)
    );
    start(&hoist, "sleep 1000", &options);
    let wait = r#"let c = container::get("c"); c.wait(#{until: "healthy", timeout: 20.seconds}); c.reload().health.log[0].output"#;
    let seen = hoist.value(wait);
    let run = hoist.value(&format!(r#"container::get("c").exec({}).stdout"#, json!(probe)));
    assert_eq!(seen, run);
    assert!(seen.as_str().unwrap().starts_with("65534\n/var/log\nb\n1\n"), "{seen}");
}

#[test]
fn a_probe_that_takes_too_long_or_cannot_run_has_failed() {
    let hoist = Hoist::with_busybox();
    start(
        &hoist,
        "sleep 1000",
        r#"health: #{cmd: "echo begun; sleep 1001; true", interval: 10.millis, timeout: 100.millis, retries: 1}"#,
    );
    let told = r#"let c = container::get("c"); c.wait(#{until: "unhealthy", timeout: 20.seconds}); let r = c.reload().health.log[0]; [r.exit_code, r.output]"#;
    assert_eq!(
        hoist.value(told),
        json!([-1, "Health check exceeded timeout (100ms): begun\n"])
    );
    // What the last one started is gone with it.
    let sleepers = r#"let c = container::get("c"); while c.reload().health.log.len() < 4 { sleep(5.millis); }
        c.top().filter(|p| p.command == "sleep 1001").len()"#;
    assert!(hoist.value(sleepers).as_i64().unwrap() <= 1);
    hoist.eval(r#"container::get("c").remove(#{force: true})"#).success();
    start(
        &hoist,
        "sleep 1000",
        r#"health: #{cmd: ["/no/such/probe"], interval: 10.millis, retries: 1}"#,
    );
    let told = hoist.value(told);
    assert_eq!(told[0], -1);
    assert!(told[1].as_str().unwrap().contains("/no/such/probe"), "{told}");
    hoist.eval(r#"container::get("c").remove(#{force: true})"#).success();
    // One that says more than is kept.
    start(
        &hoist,
        "sleep 1000",
        r#"health: #{cmd: "yes | head -c 100000", interval: 10.millis}"#,
    );
    let told = r#"let c = container::get("c"); c.wait(#{until: "healthy", timeout: 20.seconds}); c.reload().health.log[0].output"#;
    let output = hoist.value(told);
    assert_eq!(output.as_str().unwrap().len(), 4096 + "...".len());
}

/// Each probe leaves a line; while all stands still, no new one comes.
#[test]
fn a_paused_container_is_not_probed() {
    let hoist = Hoist::with_busybox();
    start(
        &hoist,
        "sleep 1000",
        r#"health: #{cmd: "echo probed >> /probes", interval: 10.millis}"#,
    );
    hoist
        .eval(r#"container::get("c").wait(#{until: "healthy"}); container::get("c").pause()"#)
        .success();
    let id = hoist.value(r#"container::get("c").id"#);
    let path = hoist
        .run_root()
        .join("containers")
        .join(id.as_str().unwrap())
        .join("health.json");
    let before = fs::read(&path).unwrap();
    hoist.eval("sleep(200.millis)").success();
    assert_eq!(fs::read(&path).unwrap(), before);
    hoist.eval(r#"container::get("c").unpause()"#).success();
    while fs::read(&path).unwrap() == before {
        std::thread::yield_now();
    }
    assert_eq!(hoist.value(r#"container::get("c").health.status"#), "healthy");
}

/// Failures at the start do not count; and each run has a health of its own.
#[test]
fn health_begins_anew_with_each_run() {
    let hoist = Hoist::with_busybox();
    let check =
        "cmd: \"test -e /ok\", interval: 10.millis, start_interval: 10.millis, start_period: 1.hours, retries: 1";
    start(
        &hoist,
        "sleep 1000",
        &format!(r#"restart: "always", health: #{{{check}}}"#),
    );
    let five = r#"let c = container::get("c"); while c.reload().health.log.len() < 5 { sleep(5.millis); } [c.health.status, c.health.failing_streak]"#;
    assert_eq!(hoist.value(five), json!(["starting", 0]));
    hoist
        .eval(r#"let c = container::get("c"); c.write_file("/ok", ""); c.wait(#{until: "healthy"})"#)
        .success();
    hoist.eval(r#"let c = container::get("c"); c.exec("rm /ok"); c.wait(#{until: "unhealthy"}); c.restart(#{timeout: 0.seconds})"#).success();
    assert_eq!(hoist.value(five), json!(["starting", 0]));
}

#[test]
fn the_image_says_how_health_is_checked_and_options_go_over_it() {
    let hoist = Hoist::with_busybox();
    let commit = r#"
        let c = container::run_detached("busybox", ["sleep", "1000"], #{health: #{cmd: ["true"], interval: 10.millis, retries: 9}});
        c.commit("checked"); c.remove(#{force: true});
    "#;
    hoist.script(commit, &[]).success();
    let run =
        |options: &str| format!(r#"let c = container::run_detached("checked", ["sleep", "1000"], #{{{options}}}); "#);
    let healthy = run("") + r#"c.wait(#{until: "healthy", timeout: 20.seconds}); c.reload().health.status"#;
    assert_eq!(hoist.value(&healthy), "healthy");
    for off in ["health: \"none\"", "health: false"] {
        assert_eq!(hoist.value(&(run(off) + "[c.reload().health]")), json!([null]));
        assert_eq!(
            kind(&hoist, &format!("{{ {} c.wait(#{{until: \"healthy\"}}) }}", run(off))),
            "invalid"
        );
    }
    let over = run("health: #{retries: 2}") + "c.inspect().Config.Healthcheck";
    assert_eq!(
        hoist.value(&over),
        json!({"Test": ["CMD", "true"], "Interval": 10_000_000, "Retries": 2})
    );
    for wrong in [
        "#{interval: 10.millis}",
        "#{cmd: []}",
        "#{cmd: [\"true\"], interval: \"1us\"}",
        "\"always\"",
        "#{comand: \"x\"}",
    ] {
        let call = format!(r#"container::create("busybox", ["true"], #{{health: {wrong}}})"#);
        assert_eq!(kind(&hoist, &call), "invalid", "{wrong}");
    }
}

#[test]
fn any_state_can_be_waited_for() {
    let hoist = Hoist::with_busybox();
    let create = r#"container::create("busybox", ["sleep", "1000"], #{name: "c"}).id"#;
    hoist.eval(create).success();
    let wait = |until: &str| {
        let wait = format!(r#"print("waiting"); container::get("c").wait(#{{until: "{until}", timeout: 20.seconds}})"#);
        let mut waiter = hoist.command(&["eval", &wait]).spawn();
        waiter.wait_for("waiting");
        waiter
    };
    for (until, act) in [
        ("running", "start()"),
        ("paused", "pause()"),
        ("running", "unpause()"),
        ("exited", "stop(#{timeout: 0.seconds})"),
        ("removed", "remove()"),
    ] {
        let waiter = wait(until);
        hoist.eval(&format!(r#"container::get("c").{act}"#)).success();
        let (stderr, status) = waiter.wait();
        assert!(status.success(), "{until}: {stderr}");
    }
    hoist.eval(create).success();
    let limit = r#"container::get("c").wait(#{until: "running", timeout: 20.millis})"#;
    assert_eq!(kind(&hoist, limit), "timeout");
    assert_eq!(kind(&hoist, r#"container::get("c").wait(#{until: "up"})"#), "invalid");
}
