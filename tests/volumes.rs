//! Volumes by themselves: made, listed, filled and emptied by archives, removed, and what protects them.

use serde_json::json;

use crate::harness::{Hoist, tool};

#[test]
fn a_volume_keeps_what_containers_put_there_and_goes_only_unused() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let v = volume::create("data", #{labels: #{tier: "db"}});
        assert::eq(volume::create("data"), v);
        container::run("busybox", "echo kept > /d/file", #{volumes: ["data:/d"]});
        let c = container::create("busybox", ["true"], #{name: "user", volumes: ["data:/d"]});
        let used = attempt(|| volume::remove("data")).error;
        let before = [volume::get("data").used_by, used.kind, used.message, fs::read(v.path + "/file")];
        c.remove();
        volume::remove(v);
        before + [volume::exists("data"), fs::exists(v.path), attempt(|| v.reload()).error.kind]"#;
    assert_eq!(
        hoist.value(script),
        json!([
            ["user"],
            "in_use",
            "volume `data` is used by container `user`",
            "kept\n",
            false,
            false,
            "not_found"
        ])
    );
    for (call, kind) in [
        (r#"volume::create("a/b")"#, "invalid"),
        (r#"volume::create("/etc")"#, "invalid"),
        (r#"volume::create("x1", #{driver_opts: #{type: "nfs"}})"#, "unsupported"),
        (r#"volume::remove("nosuch")"#, "not_found"),
    ] {
        assert_eq!(hoist.value(&format!("attempt(|| {call}).error.kind")), kind, "{call}");
    }
}

#[test]
fn a_volume_moves_by_an_archive_with_owners_and_modes() {
    let hoist = Hoist::with_busybox();
    let tar = hoist.file("v.tar");
    let script = format!(
        r#"container::run("busybox", "mkdir -m 700 /d/dir; echo x > /d/dir/file; chown 7:8 /d/dir/file; chmod 4711 /d/dir/file; ln -s file /d/dir/link", #{{volumes: ["from:/d"]}});
        volume::get("from").save({tar:?});
        let to = volume::create("to");
        fs::write(to.path + "/own", "stays");
        to.load({tar:?});
        container::run("busybox", "cat /d/own /d/dir/link; stat -c '%a %u %g' /d/dir /d/dir/file", #{{volumes: ["to:/d"]}}).lines()"#
    );
    assert_eq!(hoist.value(&script), json!(["staysx", "700 0 0", "4711 7 8"]));
    assert!(tool(&hoist.dir(), "tar", &["-tf", "v.tar"]).contains("dir/file"));
    // A compressed one; and what is none leaves the volume as it is.
    tool(&hoist.dir(), "gzip", &["v.tar"]);
    std::fs::write(hoist.file("bad.tar"), "no tar").unwrap();
    let script = format!(
        r#"let v = volume::create("third"); v.load("{0}/v.tar.gz");
        let bad = attempt(|| v.load("{0}/bad.tar")).error.kind;
        [fs::exists(v.path + "/dir/file"), bad, fs::list(v.path).len()]"#,
        hoist.dir().display()
    );
    assert_eq!(hoist.value(&script), json!([true, "corrupt", 1]));
}

#[test]
fn clean_ups_take_what_nobody_named_or_all_and_say_why() {
    let hoist = Hoist::with_busybox();
    let config = hoist.write("hoist.toml", "[protect]\nvolumes = [\"prod-*\"]\n");
    let script = r#"
        volume::create((), #{}); volume::create("old", #{labels: #{tmp: ""}}); volume::create("prod-db"); volume::create("used");
        container::create("busybox", ["true"], #{name: "c", volumes: ["used:/d"]});
        let first = volume::prune();
        let second = volume::prune(#{all: true, label: "tmp"});
        let third = volume::prune(#{all: true});
        print(json::stringify([first.removed.len(), second.removed.map(|i| i.name), third.removed, volume::list().map(|v| v.name),
            third.kept.map(|i| i.reason), attempt(|| volume::remove("prod-db")).error.kind]));"#;
    let path = hoist.write("prune.rhai", script);
    let output = hoist
        .run(&["--config", config.to_str().unwrap(), "run", path.to_str().unwrap()])
        .success();
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(told[0], 1);
    assert_eq!(told[1], json!(["old"]));
    assert_eq!(told[2], json!([]));
    assert_eq!(told[3], json!(["prod-db", "used"]));
    assert!(
        told[4].to_string().contains("used by container `c`") && told[4].to_string().contains("prod-*"),
        "{told}"
    );
    assert_eq!(told[5], "denied");
    // By name, as everything else.
    for (flag, name, code) in [
        ("--allow-delete=us*", "old", 3),
        ("--allow-write", "new", 0),
        ("--allow-read", "new", 3),
    ] {
        let call = if code == 0 || flag == "--allow-read" {
            "create"
        } else {
            "remove"
        };
        let path = hoist.write("call.rhai", format!("volume::{call}(\"{name}\")"));
        let output = hoist.run(&[flag, "run", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(code), "{flag}: {}", output.stderr);
    }
}

#[test]
fn a_dry_run_and_a_plan_know_volumes() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"volume::create("old"); volume::create("data").name"#)
        .success();
    let script = r#"
        volume::create("new"); volume::remove("old");
        assert::eq(volume::list().map(|v| v.name), ["data", "new"]);
        volume::get("new").save("new.tar"); volume::get("data").load("new.tar");
        volume::prune(#{all: true});
        assert::eq(volume::list(), []);"#;
    let path = hoist.write("dry.rhai", script);
    let output = hoist.run(&["--dry-run", "run", path.to_str().unwrap()]).success();
    for action in ["volume::create", "volume::remove", "Volume.save", "Volume.load"] {
        assert!(output.stderr.contains(action), "{action}: {}", output.stderr);
    }
    assert_eq!(hoist.value("volume::list().map(|v| v.name)"), json!(["data", "old"]));
    let path = hoist.write(
        "plan.rhai",
        r#"volume::create("kept").remove(); volume::prune(#{all: true, keep: "data"});"#,
    );
    hoist
        .run(&["plan", path.to_str().unwrap(), "-o", "plan.json"])
        .success();
    hoist.run(&["apply", "plan.json"]).success();
    assert_eq!(hoist.value("volume::list().map(|v| v.name)"), json!(["data"]));
    // Somebody uses it since the plan was made.
    let path = hoist.write("plan.rhai", r#"volume::remove("data")"#);
    hoist
        .run(&["plan", path.to_str().unwrap(), "-o", "plan.json"])
        .success();
    hoist
        .eval(r#"container::create("busybox", ["true"], #{name: "late", volumes: ["data:/d"]}).name"#)
        .success();
    let refused = hoist.run(&["apply", "plan.json"]);
    assert!(
        !refused.status.success() && refused.stderr.contains("volume `data` is used by `late` now"),
        "{}",
        refused.stderr
    );
}
