//! `system::events` and `hoist events`: what happened, in the order in which it did, in Docker's words.

use serde_json::{Value, json};

use crate::harness::{Hoist, inputs};

/// The actions that a filter lets through, from the beginning.
fn actions(hoist: &Hoist, filter: &str) -> Value {
    hoist.value(&format!(
        "let all = []; system::events(#{{since: 1.hours, until: time::now(), filter: #{{{filter}}}}}, |e| all.push(e.action)); all"
    ))
}

#[test]
fn the_life_of_a_container_is_told() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let c = container::create("busybox", "trap 'exit 3' TERM; while true; do sleep 0.01; done", #{name: "c", labels: #{tier: "web"}});
        c.start();
        c.exec("echo hi");
        c.update(#{pids_limit: 100});
        c.pause();
        c.unpause();
        c.rename("d");
        sleep(100.millis);
        c.stop();
        c.remove();
    "#;
    hoist.script(script, &[]).success();
    let expected = json!([
        "create",
        "start",
        "exec_create: /bin/sh -c echo hi",
        "exec_start: /bin/sh -c echo hi",
        "exec_die",
        "update",
        "pause",
        "unpause",
        "rename",
        "kill",
        "die",
        "stop",
        "destroy"
    ]);
    assert_eq!(actions(&hoist, r#"type: "container""#), expected);
    let die = hoist.run(&[
        "--format",
        "jsonl",
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "-f",
        "event=die",
    ]);
    let die = die.success().json();
    let attributes = &die["Actor"]["Attributes"];
    assert_eq!(
        json!([
            die["Type"],
            die["Action"],
            die["status"],
            die["from"],
            attributes["exitCode"],
            attributes["name"],
            attributes["tier"]
        ]),
        json!(["container", "die", "die", "busybox", "3", "d", "web"])
    );
    assert_eq!(die["time"], die["timeNano"].as_i64().unwrap() / 1_000_000_000);
    assert_eq!(actions(&hoist, r#"event: "kill", container: "d""#), json!(["kill"]));
    assert_eq!(
        actions(&hoist, r#"label: "tier=web", event: ["create", "destroy"]"#),
        json!(["create", "destroy"])
    );
    assert_eq!(actions(&hoist, r#"label: "tier=db""#), json!([]));
    let text = hoist
        .run(&["events", "--since", "1h", "--until", "0s", "--filter", "event=rename"])
        .success()
        .stdout;
    assert!(
        text.contains("container rename ") && text.contains("oldName=c"),
        "{text}"
    );
}

#[test]
fn what_happens_by_itself_is_told_too() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let options = #{restart: "on-failure:1", health: #{cmd: "test -e /ok", interval: 10.millis, retries: 1}};
        let c = container::run_detached("busybox", "sleep 0.5; exit 1", options);
        while c.reload().status != "exited" { sleep(5.millis); }
    "#;
    hoist.script(script, &[]).success();
    assert_eq!(
        actions(&hoist, r#"type: "container""#),
        json!([
            "create",
            "start",
            "health_status: unhealthy",
            "die",
            "start",
            "health_status: unhealthy",
            "die"
        ])
    );
    let greedy = r#"container::run("busybox", "dd if=/dev/zero of=/dev/null bs=200M count=1; tail /dev/zero", #{memory: 20.mib, check: false, name: "greedy"}).oom_killed"#;
    assert_eq!(hoist.value(greedy), true);
    assert_eq!(
        actions(&hoist, r#"container: "greedy""#),
        json!(["create", "start", "oom", "die", "destroy"])
    );
}

#[test]
fn images_and_volumes_are_told() {
    let hoist = Hoist::with_busybox();
    let saved = hoist.file("x.tar");
    let script = format!(
        r#"
        image::tag("busybox", "other:1");
        image::untag("other:1");
        image::save("busybox", "{path}");
        let c = container::create("busybox", ["true"], #{{volumes: ["data:/data"]}});
        c.remove(#{{volumes: true}});
        image::remove("busybox");
        image::load("{path}");
        image::prune();
        "#,
        path = saved.display()
    );
    hoist.script(&script, &[]).success();
    assert_eq!(
        actions(&hoist, r#"type: "image""#),
        json!(["import", "tag", "untag", "save", "delete", "load", "prune"])
    );
    assert_eq!(actions(&hoist, r#"volume: "data""#), json!(["create", "destroy"]));
    let _ = inputs::path("busybox.tar");
}

/// A follower is woken by what others do, and ends when it is told to.
#[test]
fn what_is_to_come_is_told_as_it_happens() {
    let hoist = Hoist::with_busybox();
    let script = r#"print("listening"); print(system::events(|e| { print(e.action); e.action != "destroy" }))"#;
    let path = hoist.write("listen.rhai", script);
    let mut listener = hoist.command(&["run", path.to_str().unwrap()]).spawn();
    listener.wait_for("listening\n");
    let events = hoist.run_root().join("events");
    listener.until(|| events.exists());
    let mut seen = hoist.command(&["events", "--filter", "event=start"]).spawn();
    // What was there before it listened is not for it: the runs go on until both have heard.
    let mut runs = 0;
    listener.until_ended(|| {
        hoist.eval(r#"container::run("busybox", ["true"])"#).success();
        runs += 1;
    });
    assert!(runs < 10 && listener.wait().1.success());
    seen.wait_for("container start ");
    seen.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(seen.wait().1.code(), Some(130));
    let limited = "let n = 0; [system::events(#{timeout: 20.millis}, |e| n += 1), n]";
    assert_eq!(hoist.value(limited), json!([0, 0]));
    let thrown = r#"attempt(|| system::events(#{since: 1.hours}, |e| throw "enough")).error"#;
    assert_eq!(hoist.value(thrown), "enough");
}

/// Nothing happens in a dry run, so nothing is told.
#[test]
fn a_dry_run_tells_nothing() {
    let hoist = Hoist::with_busybox();
    let before = actions(&hoist, "");
    let script =
        r#"container::run("busybox", ["true"]); image::tag("busybox", "x"); image::remove("busybox", #{force: true})"#;
    hoist.run(&["--dry-run", "eval", script]).success();
    assert_eq!(actions(&hoist, ""), before);
    for wrong in [["-f", "even=die"], ["-f", "die"], ["--since", "yesterday"]] {
        hoist.run(&[&["events"], &wrong[..]].concat()).fails_with(1);
    }
}
