//! The language from the outside: how scripts are run and how they fail. And every script of `scripts/`, on real data.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Faulty, Hoist, Served, inputs, tool};

/// A script of the project.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)
}

/// Runs a script of the project, which must succeed.
#[track_caller]
fn run(hoist: &Hoist, name: &str, args: &[&str]) -> crate::harness::Output {
    hoist
        .run(&[&["run", script(name).to_str().unwrap()], args].concat())
        .success()
}

#[test]
fn a_script_runs_from_a_file_by_its_name_and_from_the_input() {
    let hoist = Hoist::new();
    let path = hoist.write("hello.rhai", "#!/usr/bin/env hoist\nprint(`hello ${args[0]}`);");
    let path = path.to_str().unwrap();
    hoist.run(&["run", path, "a b"]).success().stdout_is("hello a b");
    hoist.run(&[path, "--flag"]).success().stdout_is("hello --flag");
    hoist
        .command(&["-", "x"])
        .stdin("print(`hello ${args[0]}`);")
        .output()
        .success()
        .stdout_is("hello x");
    hoist.eval("1 + 1").success().stdout_is("2");
    hoist.eval("exit(7)").fails_with(7);
}

#[test]
fn exit_codes_tell_what_happened() {
    let hoist = Hoist::new();
    hoist.script("let x = ;", &[]).fails_with(2);
    hoist.script(r#"throw "no""#, &[]).fails_with(1);
    hoist.run(&["--no-such-flag"]).fails_with(2);
    hoist.run(&["--timeout", "200ms", "eval", "loop {}"]).fails_with(124);
    hoist
        .run(&["--timeout", "200ms", "eval", "sleep(1.hours)"])
        .fails_with(124);
}

#[test]
fn an_error_shows_where_it_is_and_what_was_meant() {
    let hoist = Hoist::new();
    let output = hoist.script("let a = 1;\nlet b = image::lst();\n", &[]).fails_with(1);
    output.stderr_has(&["script.rhai:2", "let b = image::lst();", "^", "list"]);
    let output = hoist.script("let a = 1;\nlet b = (a + ;\n", &[]).fails_with(2);
    output.stderr_has(&["script.rhai:2", "let b = (a + ;", "^"]);
    let output = hoist.script("image::get(42);", &[]).fails_with(1);
    output.stderr_has(&["script.rhai:1", "image::get"]);
    let output = hoist.script(r#"image::get("no-such-image");"#, &[]).fails_with(1);
    output.stderr_has(&["error[not_found]:", "`no-such-image", "script.rhai:1"]);
}

#[test]
fn a_throw_in_parallel_stops_its_siblings_and_is_caught_as_itself() {
    let hoist = Hoist::new();
    let text = r#"
        let caught = ();
        try {
            parallel_map([1, 2, 3, 4], |n| { if n == 2 { image::get("missing") } else { sleep(1.hours) } }, #{jobs: 4});
        } catch (e) { caught = e.kind; }
        print(caught);"#;
    hoist.script(text, &[]).success().stdout_is("not_found");
    let collected = r#"parallel_map([3, 1, 2], |n| n * 10)"#;
    assert_eq!(hoist.value(collected), json!([30, 10, 20]));
}

#[test]
fn clean_up_runs_whatever_happens() {
    let hoist = Hoist::new();
    for (end, code) in [("", 0), ("throw 1;", 1), ("exit(5);", 5)] {
        hoist
            .script(&format!("defer(|| print(\"cleaned\")); {end}"), &[])
            .fails_with(code)
            .stdout_is("cleaned");
    }
}

#[test]
fn under_dry_run_nothing_changes() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"image::tag("busybox", "keep:1"); container::create("busybox", ["true"], #{name: "job"}).id"#)
        .success();
    let before = hoist.value("[image::list(#{all: true}).map(|i| [i.id, i.tags]), container::list(#{all: true}).map(|c| [c.id, c.name, c.status])]");
    let text = r#"
        image::tag("busybox", "new:1"); image::untag("keep:1"); container::get("job").start();
        container::get("job").remove(#{force: true}); image::remove("busybox", #{force: true}); image::prune(#{unused: true});
        fs::write("written", "text");"#;
    let path = hoist.write("change.rhai", text);
    let output = hoist.run(&["--dry-run", "run", path.to_str().unwrap()]).success();
    output.stderr_has(&["ACTION", "image::tag", "job", "fs::write"]);
    let after = hoist.value("[image::list(#{all: true}).map(|i| [i.id, i.tags]), container::list(#{all: true}).map(|c| [c.id, c.name, c.status])]");
    assert_eq!(before, after);
    assert!(!hoist.file("written").exists());
}

#[test]
fn lists_are_tables_for_people_and_json_for_programs() {
    let hoist = Hoist::with_busybox();
    let table = hoist.eval("image::list()").success();
    let head: Vec<&str> = table.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head.join(" "), "REPOSITORY TAG IMAGE ID CREATED SIZE");
    let lines = hoist.run(&["--format", "jsonl", "eval", "[1, 2]"]).success();
    lines.stdout_is("1\n2");
}

#[test]
fn every_script_has_a_test_here() {
    let tests = [
        include_str!("scripts.rs"),
        include_str!("pipelines.rs"),
        include_str!("job_scripts.rs"),
    ]
    .concat();
    let dirs = [script(""), script("jobs")];
    for entry in dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap()) {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "jobs" {
            continue;
        }
        let stem = name.trim_end_matches(".rhai");
        assert!(
            tests.contains(&format!("\"{name}\""))
                || tests.contains(&format!("\"{stem}\""))
                || tests.contains(&format!("/{stem}.test.rhai")),
            "`scripts/{name}` is run by no test"
        );
    }
}

#[test]
fn the_tour() {
    let hoist = Hoist::new();
    let shown = run(&hoist, "tour.rhai", &[]).stdout;
    for part in [
        "# An image of this machine's own programs",
        "tour/app     1.0",
        "exit_status: command",
        "written inside: version 1.1",
        "the new image says: version 1.1",
        "ready\nbye\n",
        "loaded: tour/app:1.1",
        "the import says: version 1.1",
        "<none>       <none>",
        "exited with code 0",
        "dangling, label `hoist.tour`",
    ] {
        assert!(shown.contains(part), "the tour does not show `{part}`:\n{shown}");
    }
    let left = hoist.value("[image::list(#{all: true}).len(), container::list(#{all: true}).len()]");
    assert_eq!(left, json!([0, 0]));
}

#[test]
fn prune_dangling() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(&format!(
            r#"image::import_tar("{}", "busybox").id"#,
            inputs::path("debian.tar").display()
        ))
        .success();
    let count = || hoist.value("image::list(#{all: true}).len()");
    assert_eq!(count(), 2);
    let path = script("prune-dangling.rhai");
    hoist.run(&["--dry-run", "run", path.to_str().unwrap()]).success();
    run(&hoist, "prune-dangling.rhai", &["--older-than", "7d"]);
    assert_eq!(count(), 2);
    run(&hoist, "prune-dangling.rhai", &[]);
    assert_eq!(
        hoist.value("image::list(#{all: true}).map(|i| i.name)"),
        json!(["busybox:latest"])
    );
}

#[test]
fn batch_cleanup() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        container::run("busybox", ["true"], #{keep: true});
        container::create("busybox", ["true"]);
        container::run_detached("busybox", ["sleep", "1000"], #{name: "running"});"#;
    hoist.script(text, &[]).success();
    run(&hoist, "batch-cleanup.rhai", &[]);
    assert_eq!(
        hoist.value("container::list(#{all: true}).map(|c| c.name)"),
        json!(["running"])
    );
    assert_eq!(hoist.value("image::list().len()"), 1);
}

#[test]
fn remove_all() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"]).id"#)
        .success();
    let path = script("remove-all.rhai");
    let refused = hoist.command(&["run", path.to_str().unwrap()]).stdin("n\n").output();
    assert_eq!(hoist.value("image::list().len()"), 1, "{refused:?}");
    run(&hoist, "remove-all.rhai", &["--yes"]);
    assert_eq!(
        hoist.value("[image::list(#{all: true}).len(), container::list(#{all: true}).len()]"),
        json!([0, 0])
    );
}

#[test]
fn export_import() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"let c = container::create("busybox", "echo kept > /kept", #{name: "source"}); c.start(); c.wait()"#)
        .success();
    run(&hoist, "export-import.rhai", &["source", "copy:1"]);
    assert_eq!(
        hoist.value(r#"container::run("copy:1", ["cat", "/kept"]).text()"#),
        "kept"
    );
}

#[test]
fn backup_and_restore() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(&format!(
            r#"image::load("{}"); image::tag("busybox", "second:name")"#,
            inputs::path("layers.docker.tar").display()
        ))
        .success();
    let sorted = |hoist: &Hoist| {
        let mut images: Vec<String> = hoist
            .value("image::list().map(|i| [i.id, i.tags])")
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        images.sort();
        images
    };
    let dir = hoist.file("backup");
    run(&hoist, "backup-images.rhai", &[dir.to_str().unwrap()]);
    let other = Hoist::new();
    run(&other, "restore-images.rhai", &[dir.to_str().unwrap()]);
    assert_eq!(sorted(&hoist), sorted(&other));
    // A backup that has rotted is refused, and nothing of the rotten part comes in.
    let archive = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "tar"))
        .unwrap();
    tool(
        &dir,
        "sh",
        &[
            "-c",
            &format!(
                "printf x | dd of='{}' bs=1 seek=5000 conv=notrunc status=none",
                archive.display()
            ),
        ],
    );
    let third = Hoist::new();
    let path = script("restore-images.rhai");
    let rotten = third.run(&["run", path.to_str().unwrap(), dir.to_str().unwrap()]);
    assert!(!rotten.status.success(), "{rotten:?}");
}

#[test]
fn retag() {
    let hoist = Hoist::with_busybox();
    hoist.eval(r#"image::tag("busybox", "app:1.0-rc"); image::tag("busybox", "app:2.0-rc"); image::tag("busybox", "app:dev")"#).success();
    run(&hoist, "retag.rhai", &["app:*-rc", "app:*"]);
    let has = |name: &str| hoist.value(&format!(r#"image::exists("{name}")"#));
    assert_eq!(
        [has("app:1.0"), has("app:2.0"), has("app:dev"), has("busybox")],
        [true; 4].map(serde_json::Value::from)
    );
}

#[test]
fn keep_last() {
    let hoist = Hoist::with_busybox();
    // As text 1.10.0 comes before 1.9.0.
    hoist
        .eval(r#"for v in ["1.9.0", "1.10.0", "1.2.0", "2.0.0-rc.1"] { image::tag("busybox", `app:${v}`); }"#)
        .success();
    run(&hoist, "keep-last.rhai", &["2"]);
    let tags = hoist.value(r#"image::get("busybox").tags.filter(|t| t.starts_with("app:"))"#);
    let mut tags: Vec<&str> = tags
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, ["app:1.10.0", "app:2.0.0-rc.1"]);
}

#[test]
fn scripts_tell_how_they_are_used() {
    let hoist = Hoist::new();
    for name in [
        "backup-images.rhai",
        "export-import.rhai",
        "restore-images.rhai",
        "retag.rhai",
        "mirror.rhai",
        "airgap-import.rhai",
    ] {
        let path = script(name);
        let output = hoist.run(&["run", path.to_str().unwrap()]).fails_with(2);
        output.stderr_has(&["usage: ", name]);
    }
    let path = script("prune-dangling.rhai");
    let output = hoist
        .run(&["run", path.to_str().unwrap(), "--oldr-than", "7d"])
        .fails_with(2);
    output.stderr_has(&["unknown flag `--oldr-than`", "did you mean `--older-than`?"]);
}

#[test]
fn batch_cleanup_stops_what_runs_if_told_and_spares_what_is_kept() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        container::run_detached("busybox", ["sleep", "1000"], #{name: "db-1"});
        container::run_detached("busybox", ["sleep", "1000"], #{name: "web-1"});"#;
    hoist.script(text, &[]).success();
    let args = ["--running", "--timeout", "0s", "--keep", "db-*"];
    let path = script("batch-cleanup.rhai");
    let dry = [&["--dry-run", "run", path.to_str().unwrap()], args.as_slice()].concat();
    hoist.run(&dry).success().stderr_has(&["web-1"]);
    assert_eq!(hoist.value("container::list().len()"), 2);
    run(&hoist, "batch-cleanup.rhai", &args);
    let left = hoist.value("container::list(#{all: true}).map(|c| [c.name, c.status])");
    assert_eq!(left, json!([["db-1", "running"]]));
}

#[test]
fn export_import_keeps_the_settings() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        let options = #{name: "source", env: #{GREETING: `a "b" $c`}, workdir: "/tmp", labels: #{tier: "web"}};
        container::create("busybox", ["sh", "-c", "echo $GREETING in $(pwd)"], options);"#;
    hoist.script(text, &[]).success();
    run(&hoist, "export-import.rhai", &["source", "copy:1"]);
    let outcome = hoist.value(r#"[container::run("copy:1").text(), image::get("copy:1").labels.tier]"#);
    assert_eq!(outcome, json!([r#"a "b" $c in /tmp"#, "web"]));
}

#[test]
fn retag_refuses_a_name_that_is_taken_and_changes_nothing() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        image::from_host("app:1.0", ["/bin/true"]);
        for v in ["1.0-rc", "2.0-rc"] { image::tag("busybox", `app:${v}`); }"#;
    hoist.script(text, &[]).success();
    let path = script("retag.rhai");
    let args = ["run", path.to_str().unwrap(), "app:*-rc", "app:*"];
    hoist.run(&args).fails_with(1).stderr_has(&["app:1.0", "--overwrite"]);
    assert_eq!(hoist.value(r#"image::exists("app:2.0")"#), false);
    run(&hoist, "retag.rhai", &["app:*-rc", "app:*", "--move", "--overwrite"]);
    let tags = hoist.value(r#"image::get("busybox").tags"#);
    assert_eq!(tags, json!(["app:1.0", "app:2.0", "busybox:latest"]));
}

#[test]
fn keep_last_spares_what_a_container_uses_and_tags_that_are_no_version() {
    let hoist = Hoist::with_busybox();
    let text = r#"
        image::from_host("app:1.0.0", ["/bin/true"]);
        for tag in ["1.1.0", "latest", "2.0.0"] { image::tag("busybox", `app:${tag}`); }
        container::create("app:1.0.0", ["true"]);"#;
    hoist.script(text, &[]).success();
    let output = run(&hoist, "keep-last.rhai", &["1", "--reference", "app"]);
    assert!(
        output.stdout.contains("kept: image `app:1.0.0` is used by container"),
        "{output:?}"
    );
    let has = |name: &str| hoist.value(&format!(r#"image::exists("{name}")"#));
    let names = ["app:1.0.0", "app:1.1.0", "app:latest", "app:2.0.0"];
    assert_eq!(names.map(has), [true, false, true, true].map(serde_json::Value::from));
}

#[test]
fn remove_all_under_dry_run_tells_and_removes_nothing() {
    let hoist = Hoist::with_busybox();
    let path = script("remove-all.rhai");
    let args = ["--dry-run", "run", path.to_str().unwrap(), "--yes"];
    hoist
        .run(&args)
        .success()
        .stderr_has(&["image::prune", "busybox:latest"]);
    assert_eq!(hoist.value("image::list().len()"), 1);
}

/// A registry with versions of an image under `team/app`, and an empty one that takes all, each on a store of its own.
fn two_registries(hoist: &Hoist) -> [(Hoist, Served); 2] {
    let stores = [Hoist::new(), Hoist::new()];
    let both = stores.map(|store| {
        let served = Served::start(&store, &["--write", "--delete"]);
        (store, served)
    });
    let push = format!(
        r#"for tag in ["1.0.0", "1.1.0", "2.0.0", "latest"] {{
            let c = container::create("busybox", ["echo", tag]);
            c.commit("made:1", #{{changes: [`LABEL tag=${{tag}}`]}});
            image::push("made:1", "{}/team/app:" + tag);
        }}"#,
        both[0].1.name()
    );
    hoist.eval(&push).success();
    both
}

fn digest(hoist: &Hoist, name: &str) -> String {
    hoist
        .value(&format!("registry::digest({})", json!(name)))
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn mirrors_follow_their_list_and_differences_are_told() {
    let hoist = Hoist::with_busybox();
    let [(_a, from), (_b, to)] = two_registries(&hoist);
    let (app, mirror) = (format!("{}/team/app", from.name()), format!("{}/mirror/app", to.name()));
    let entry = |from: &str, to: &str, more: &str| format!("[[mirror]]\nfrom = \"{from}\"\nto = \"{to}\"\n{more}\n");
    let list = hoist.write(
        "list.toml",
        entry(&app, &mirror, "semver = \">=1.1\"\ndelete_extra = true"),
    );
    let list = list.to_str().unwrap();
    let path = script("mirror.rhai");
    hoist.run(&["--dry-run", "run", path.to_str().unwrap(), list]).success();
    assert_eq!(
        hoist.value(&format!("registry::exists(\"{mirror}:2.0.0\")")),
        json!(false)
    );
    for (copied, unchanged) in [("2", "0"), ("0", "2")] {
        let shown = run(&hoist, "mirror.rhai", &[list]).stdout;
        let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..3], [mirror.as_str(), copied, unchanged], "{shown}");
    }
    let check = |flags: &[&str]| {
        let path = script("sync-check.rhai");
        hoist.run(&[&["run", path.to_str().unwrap(), &app, &mirror], flags].concat())
    };
    let told = check(&[]).fails_with(1).stdout;
    assert!(
        told.contains("1.0.0") && told.contains("latest") && !told.contains("2.0.0"),
        "{told}"
    );
    assert_eq!(check(&["--tags", "2*"]).success().text(), "1 tags, all alike");
    // One that fails does not stop the others, and is told of by the code.
    let absent = entry(&format!("{}/no", from.name()), &format!("{}/no", to.name()), "");
    let text = absent + entry(&app, &format!("{}/other", to.name()), "").as_str();
    let both = hoist.write("both.toml", text);
    let ran = hoist
        .run(&["run", path.to_str().unwrap(), both.to_str().unwrap()])
        .fails_with(4);
    assert!(
        ran.stdout.contains("404") && ran.stdout.contains("/other"),
        "{}",
        ran.stdout
    );
    let wrong = hoist.write("wrong.toml", "[[mirrors]]\nfrom = \"x\"\n");
    hoist
        .run(&["run", path.to_str().unwrap(), wrong.to_str().unwrap()])
        .fails_with(2)
        .stderr_has(&["mirrors"]);
}

#[test]
fn old_tags_go_and_what_they_stood_for_stays_where_it_has_another() {
    let hoist = Hoist::with_busybox();
    let [(_a, from), (_b, _to)] = two_registries(&hoist);
    let app = format!("{}/team/app", from.name());
    let stable = digest(&hoist, &format!("{app}:1.0.0"));
    hoist
        .eval(&format!(r#"registry::tag("{app}:1.0.0", "stable"); ()"#))
        .success();
    let flags = ["--older-than", "0s", "--keep-last", "1", "--keep", "{latest,stable}"];
    let path = script("prune-tags.rhai");
    let dry = hoist
        .run(&[&["--dry-run", "run", path.to_str().unwrap(), &app], &flags[..]].concat())
        .success();
    let shown = run(&hoist, "prune-tags.rhai", &[&[app.as_str()], &flags[..]].concat()).stdout;
    assert_eq!(dry.stdout, shown, "a dry run tells the same");
    assert!(shown.ends_with("removed 2 of 5 tags\n"), "{shown}");
    // The newest by its date.
    assert_eq!(
        hoist.value(&format!("registry::tags(\"{app}\")")),
        json!(["2.0.0", "latest", "stable"])
    );
    assert_eq!(digest(&hoist, &format!("{app}:stable")), stable);
}

#[test]
fn what_is_promoted_is_what_was_expected() {
    let hoist = Hoist::with_busybox();
    let [(_a, from), (_b, to)] = two_registries(&hoist);
    let (app, prod) = (
        format!("{}/team/app:2.0.0", from.name()),
        format!("{}/prod/app:2", to.name()),
    );
    let tested = digest(&hoist, &app);
    let other = digest(&hoist, &format!("{}/team/app:latest", from.name()));
    let path = script("promote.rhai");
    hoist
        .run(&["run", path.to_str().unwrap(), &app, &prod, "--expect", &other])
        .fails_with(1)
        .stderr_has(&[&tested, "nothing was done"]);
    assert_eq!(hoist.value(&format!("registry::exists(\"{prod}\")")), json!(false));
    run(&hoist, "promote.rhai", &[&app, &prod, "--expect", &tested]);
    assert_eq!(digest(&hoist, &prod), tested);
}

#[test]
fn images_cross_a_gap_in_a_directory() {
    let hoist = Hoist::with_busybox();
    let [(_a, from), (_b, to)] = two_registries(&hoist);
    let names = ["1.0.0", "latest"].map(|tag| format!("{}/team/app:{tag}", from.name()));
    let bundle = hoist.file("bundle");
    let bundle = bundle.to_str().unwrap();
    for _ in 0..2 {
        run(&hoist, "airgap-export.rhai", &[bundle, &names[0]]);
    }
    let shown = run(&hoist, "airgap-export.rhai", &[bundle, &names[1]]).stdout;
    assert!(shown.ends_with(&format!("2 images in {bundle}\n")), "{shown}");
    let digests = names.each_ref().map(|name| digest(&hoist, name));
    // There is no network where it is taken to.
    drop(from);
    let registry = format!("{}/gap", to.name());
    let front = Faulty::before(to.address());
    let registry = registry.replace(to.name(), &front.name());
    run(&hoist, "airgap-import.rhai", &[bundle, &registry]);
    let set = front.count("PUT /manifests/");
    let again = run(&hoist, "airgap-import.rhai", &[bundle, &registry]).stdout;
    assert_eq!(again.matches("was there").count(), 2, "{again}");
    assert!(
        set > 0 && front.count("PUT /manifests/") == set,
        "no manifest is sent again"
    );
    for (tag, taken) in ["1.0.0", "latest"].into_iter().zip(digests) {
        assert_eq!(digest(&hoist, &format!("{registry}/team/app:{tag}")), taken);
    }
    let empty = hoist.file("empty");
    fs::create_dir(&empty).unwrap();
    let path = script("airgap-import.rhai");
    hoist
        .run(&["run", path.to_str().unwrap(), empty.to_str().unwrap(), &registry])
        .fails_with(2)
        .stderr_has(&["images.json"]);
}
