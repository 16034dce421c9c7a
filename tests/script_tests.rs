//! `hoist test`: tests of scripts that pass, fail, throw, hang and end badly, in worlds of their own; and what is told of them.

use std::fs;

use crate::harness::Hoist;

const MODULE: &str = "fn twice(n) {\n    if n > 100 {\n        return 0;\n    }\n    n * 2\n}\n";

const TESTS: &str = r#"import "lib" as lib;
fn setup() { #{ number: 3 } }
fn teardown(given) { print(`down ${given.number}`); }
fn test_passes(given) { print("not shown"); assert::eq(lib::twice(given.number), 6); }
fn test_fails() {
    print("before");
    log::warn("careful");
    assert::eq(lib::twice(2), 5);
}
fn test_throws() { image::get("nope") }
fn test_hangs() { loop {} }
fn test_exits() { exit(3) }
"#;

/// A store, and the tests and their module beside each other.
fn prepared() -> Hoist {
    let hoist = Hoist::new();
    hoist.write("lib.rhai", MODULE);
    hoist.write("a.test.rhai", TESTS);
    hoist
}

#[test]
fn each_test_is_told_with_its_fault_and_what_it_printed() {
    let hoist = prepared();
    let output = hoist.run(&["--timeout", "2s", "test", "--coverage"]).fails_with(1);
    let untimed = regex::Regex::new(r" \(\d+ ms\)")
        .unwrap()
        .replace_all(&output.stdout, "");
    let expected = "a.test.rhai
  ok      test_passes
  FAILED  test_fails
  BROKEN  test_throws
  BROKEN  test_hangs
  BROKEN  test_exits

--- a.test.rhai: test_fails
error[invalid]: expected `5`, got `4`
 --> a.test.rhai:8:13
  |
8 |     assert::eq(lib::twice(2), 5);
  |             ^^
--- output
before
warn: careful
down 3

--- a.test.rhai: test_throws
error[not_found]: image `nope` is not in the store
  --> a.test.rhai:10:27
   |
10 | fn test_throws() { image::get(\"nope\") }
   |                           ^^^
help: `image::list(#{all: true})` shows what is there; `image::load` and `image::import_tar` bring images in
--- output
down 3

--- a.test.rhai: test_hangs
error[timeout]: the time allowed is over
  --> a.test.rhai:11:1
   |
11 | fn test_hangs() { loop {} }
   | ^^
help: a test may take 2s (`--timeout`)
--- output
down 3

--- a.test.rhai: test_exits
error: the test called `exit(3)`
help: `fake::script` runs a script and tells its exit code
--- output
down 3

FILE       LINES   RUN   COVERED   MISSED
lib.rhai   3       2     66%       3

1 passed, 1 failed, 3 broken
";
    assert_eq!(untimed, expected);
}

#[test]
fn codes_filters_and_files_tell_the_same() {
    let hoist = prepared();
    hoist.run(&["test", "-k", "passes"]).success();
    hoist
        .run(&["test", "a.test.rhai", "-k", "no such"])
        .fails_with(2)
        .stderr_has(&["no test fits"]);
    hoist.run(&["test", "nowhere"]).fails_with(2).stderr_has(&["`nowhere`"]);
    let listed = hoist.run(&["test", "--list", "-k", "test_e", "-k", "test_f"]).success();
    listed.stdout_is("a.test.rhai: test_fails\na.test.rhai: test_exits");
    hoist
        .run(&[
            "test",
            "-k",
            "test_fails",
            "--junit",
            "report.xml",
            "--lcov",
            "lines.info",
        ])
        .fails_with(1);
    let report = fs::read_to_string(hoist.file("report.xml")).unwrap();
    for part in [
        "<testsuite name=\"a.test.rhai\" tests=\"1\" failures=\"1\" errors=\"0\"",
        "<testcase classname=\"a\" name=\"test_fails\" file=\"a.test.rhai\" line=\"5\"",
        "<failure message=\"error[invalid]: expected `5`, got `4`\">",
        "<system-out>before\nwarn: careful\ndown 3\n</system-out>",
    ] {
        assert!(report.contains(part), "`{part}` is not in\n{report}");
    }
    let lines = fs::read_to_string(hoist.file("lines.info")).unwrap();
    assert_eq!(
        lines,
        "TN:\nSF:lib.rhai\nDA:2,1\nDA:3,0\nDA:5,1\nLF:3\nLH:2\nend_of_record\n"
    );
    hoist.write("broken.test.rhai", "fn test_x() {\n  let = 1;\n}");
    let output = hoist.run(&["test", "-k", "passes"]).fails_with(2);
    assert!(output.stdout.contains("broken.test.rhai:2:") && output.stdout.ends_with("1 passed, 1 unreadable\n"));
    let verdicts = hoist
        .run(&["--format", "json", "test", "a.test.rhai", "-k", "exits"])
        .fails_with(1);
    let verdicts: serde_json::Value = serde_json::from_str(&verdicts.stdout).unwrap();
    assert_eq!(verdicts[0]["outcome"], "broken");
}

#[test]
fn a_test_has_a_store_of_its_own_and_leaves_nothing() {
    let hoist = Hoist::new();
    hoist.import_busybox();
    let text = r#"
        fn bring() { image::from_host("tools", ["/bin/sh", "/bin/sleep"]); }
        fn test_one() {
            assert::eq(image::list(), []);
            bring();
            container::run_detached("tools", ["sleep", "1000"], #{ name: "left" });
            image::tag("tools", "mine:1");
        }
        fn test_two() { assert::eq(image::list(), []); bring(); assert::ok(container::run("tools", "exit 0").ok); }
        fn test_three() {
            bring();
            container::run_detached("tools", ["sleep", "1000"]);
            sleep(1.hours);
        }"#;
    hoist.write("store.test.rhai", text);
    // Whatever the user protects is no matter of tests.
    let output = hoist.run(&["--timeout", "5s", "test", "--jobs", "3"]).fails_with(1);
    assert!(output.stdout.contains("2 passed, 1 broken"), "{}", output.stdout);
    assert_eq!(
        hoist.value("image::list().map(|i| i.name)"),
        serde_json::json!(["busybox:latest"])
    );
}

#[test]
fn containers_are_played_without_rights() {
    let hoist = Hoist::new();
    let text = r#"
        fn setup() { fake::image("app:1", #{ cmd: ["serve"] }); fake::container("app:*", "serve", #{ stdout: "ready\n", health: "healthy" }); }
        fn test_run_and_exec() {
            let n = 0;
            fake::container("app:*", "work *", |asked| { n += 1; `${asked.function} ${asked.cmd[1]} ${n}` });
            assert::eq(container::run("app:1", ["work", "x"]).text(), "container::run x 1");
            let web = container::run_detached("app:1", (), #{ name: "web" });
            assert::eq([web.status, web.logs(), web.health.status], ["running", "ready\n", "healthy"]);
            web.wait(#{ until: "healthy" });
            assert::eq(web.exec(["work", "y"]).text(), "Container.exec y 2");
            assert::eq(container::list().map(|c| c.name), ["web"]);
            web.stop();
            assert::eq([web.reload().status, web.exit_code], ["exited", 143]);
            assert::eq(container::prune().removed.len(), 1);
            assert::eq(fake::calls().map(|asked| asked.line), ["work x", "serve", "work y"]);
        }
        fn test_codes() {
            fake::container("app:*", "flaky", [#{ code: 1, stderr: "oops" }, "fine"]);
            let e = assert::throws("exit_status", || container::run("app:1", ["flaky"]));
            assert::matches(e.message, "oops");
            assert::eq(container::run("app:1", ["flaky"]).text(), "fine");
            fake::container("app:*", "batch", #{ code: 3 });
            let c = container::create("app:1", ["batch"]);
            assert::eq(c.status, "created");
            c.start();
            assert::eq([c.reload().status, c.wait()], ["exited", 3]);
        }
        fn test_unhealthy() {
            fake::container("app:*", "serve", #{ health: "unhealthy" });
            let c = container::run_detached("app:1");
            assert::throws("conflict", || c.wait(#{ until: "healthy" }));
        }
        fn test_nobody_answers() { attempt(|| container::run("app:1", ["other"])); }
        fn test_a_script() {
            let dir = fs::temp_dir();
            fs::write(dir + "/s.rhai", `let r = container::run("app:1", ["serve"]); print(r.text()); image::remove("app:1", #{ force: true }); exit(4);`);
            let dry = fake::script(dir + "/s.rhai", [], #{ dry_run: true });
            assert::ok(image::exists("app:1"));
            assert::matches(dry.stderr, "image::remove");
            assert::eq(fake::script(dir + "/s.rhai", []), #{ code: 4, stdout: "ready\n", stderr: "" });
            assert::ok(!image::exists("app:1"));
        }"#;
    hoist.write("played.test.rhai", text);
    let output = hoist.run(&["test"]).fails_with(1);
    assert!(output.stdout.contains("4 passed, 1 failed"), "{}", output.stdout);
    assert!(
        output
            .stdout
            .contains("no fake answers for `container::run` of `app:1` with `other`, and that was caught"),
        "{}",
        output.stdout
    );
    // Another user can do the same.
    let path = hoist.file("played.test.rhai");
    let text = fs::read_to_string(&path).unwrap();
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("p.test.rhai"), text).unwrap();
    fs::copy(crate::harness::PROGRAM, place.path().join("hoist")).unwrap();
    fs::create_dir(place.path().join("tmp")).unwrap();
    let script = format!(
        "cd {dir} && chmod 755 . hoist && chmod 644 p.test.rhai && chmod 777 tmp && setpriv --reuid 65534 --regid 65534 --clear-groups env -i TMPDIR={dir}/tmp HOME={dir}/tmp {dir}/hoist test p.test.rhai -k unhealthy -k codes",
        dir = place.path().display()
    );
    let shown = crate::harness::tool(place.path(), "sh", &["-c", &script]);
    drop(shown);
}

#[test]
fn a_closure_that_answers_wrongly_is_told_with_its_place() {
    let hoist = Hoist::new();
    let text = "fn test_x() {\n  fake::image(\"app:1\");\n  fake::container(\"*\", \"*\", |asked| throw \"broken\");\n  container::run(\"app:1\", [\"work\"]);\n}\n\
        fn test_y() { fake::container(\"*\", \"*\", #{ cod: 1 }); }\n";
    hoist.write("answers.test.rhai", text);
    let output = hoist.run(&["test"]).fails_with(1);
    for part in ["broken", "answers.test.rhai:4:14", "did you mean `code`?"] {
        assert!(output.stdout.contains(part), "`{part}` is not in\n{}", output.stdout);
    }
}

#[test]
fn the_modules_that_come_along_keep_what_their_tests_promise() {
    let stdlib = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
    for module in hoist::script::stdlib::MODULES {
        let tests = stdlib.join(format!("{}.test.rhai", module.name));
        assert!(tests.is_file(), "`{}` has no tests: {}", module.name, tests.display());
    }
    let hoist = Hoist::new();
    hoist
        .run(&["--timeout", "60s", "test", stdlib.to_str().unwrap()])
        .success();
}

#[test]
fn modules_are_found_beside_the_script_then_in_the_library_then_with_hoist() {
    let hoist = Hoist::new();
    let script = r#"import "names" as names; print(names::parts("a:1").tag);"#;
    hoist.script(script, &[]).success().stdout_is("1");
    hoist.write("names.rhai", r#"fn parts(name) { #{ tag: "beside" } }"#);
    hoist.script(script, &[]).success().stdout_is("beside");
    let own = r#"import "std/names" as names; print(names::parts("a:1").tag);"#;
    hoist.script(own, &[]).success().stdout_is("1");
    let output = hoist.script(r#"import "name" as names;"#, &[]).fails_with(1);
    output.stderr_has(&[
        "error[not_found]: there is no module `name`",
        "did you mean `names`? looked at `",
        "name.rhai`, `/etc/hoist/lib/name.rhai`, what comes with Hoist (backup, batch, ci, names,",
    ]);
}

#[test]
fn a_login_in_a_test_is_not_that_of_the_person_who_runs_it() {
    let hoist = Hoist::new();
    let home = hoist.dir().parent().unwrap().join("home");
    fs::create_dir_all(home.join(".docker")).unwrap();
    let own = "{\"auths\": {\"example.org\": {\"auth\": \"bWU6c2VjcmV0\"}}}";
    fs::write(home.join(".docker/config.json"), own).unwrap();
    hoist.write(
        "login.test.rhai",
        "fn test_login() {\n    let registry = fake::registry();\n    registry::login(registry, \"ann\", \"pw\");\n    registry::logout(registry);\n}\n",
    );
    let mut command = hoist.command(&["test"]).into_command();
    command.env("HOME", &home);
    crate::harness::Output::of(command, None).success();
    assert_eq!(fs::read_to_string(home.join(".docker/config.json")).unwrap(), own);
}
