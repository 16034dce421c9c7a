//! Plans: what a script would do, written down and pinned, and done later exactly so or not at all.

use std::fs;

use serde_json::{Value, json};

use crate::harness::served::Served;
use crate::harness::tree::{content, differing};
use crate::harness::{Hoist, Output};

/// A store with an image `tools`, one `app:pr-1`, one `app:prod`, a container `old` that never ran and `web`, which runs.
fn prepared() -> Hoist {
    let hoist = Hoist::new();
    let script = r#"
        image::from_host("tools", ["/bin/sh", "/bin/cat", "/bin/sleep", "/bin/true"]);
        image::from_host("app:pr-1", ["/bin/true"]);
        image::from_host("app:prod", ["/bin/cat"]);
        container::create("tools", ["true"], #{name: "old"});
        container::run_detached("tools", ["sleep", "300"], #{name: "web"});
        0"#;
    hoist.eval(script).success();
    hoist
}

fn plan(hoist: &Hoist, script: &str) -> Output {
    let path = hoist.write("planned.rhai", script);
    hoist.run(&["plan", path.to_str().unwrap(), "-o", "plan.json"])
}

fn apply(hoist: &Hoist) -> Output {
    hoist.run(&["apply", "plan.json"])
}

fn read(hoist: &Hoist) -> Value {
    serde_json::from_str(&fs::read_to_string(hoist.file("plan.json")).unwrap()).unwrap()
}

const CLEAN: &str = r#"print("cleaning");
image::tag("app:prod", "app:stable");
image::prune(#{ reference: ["app:pr-*"], unused: true });
container::prune();
let c = container::get("web");
c.stop(#{ timeout: 0.seconds });
c.remove();
let n = container::run_detached("tools", ["sleep", "300"], #{ name: "web" });
if container::run("tools", ["true"]).ok { fs::write("report", "now " + n.id); }
"#;

#[test]
fn a_plan_is_what_is_done_and_nothing_before() {
    let hoist = prepared();
    let before = content(&hoist.root());
    let planned = plan(&hoist, CLEAN)
        .success()
        .stderr_has(&["cleaning", "`hoist apply plan.json` does exactly this"]);
    assert_eq!(
        differing(&before, &content(&hoist.root())),
        Vec::<std::path::PathBuf>::new()
    );
    assert!(!hoist.file("report").exists());
    let steps: Vec<Vec<&str>> = planned
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let starts: Vec<String> = steps.iter().map(|step| step[..3].join(" ")).collect();
    let report = format!("8 fs::write {}", hoist.file("report").display());
    let expected = [
        "STEP ACTION TARGET",
        "1 image::tag app:stable",
        "2 image::remove app:pr-1",
        "3 Container.remove old",
        "4 Container.stop web",
        "5 Container.remove web",
        "6 container::run_detached tools:latest",
        "7 container::run tools:latest",
        &report,
    ];
    assert_eq!(starts, expected);
    assert!(
        planned.stdout.contains("unused, name `app:pr-1` fits"),
        "{}",
        planned.stdout
    );
    apply(&hoist).success();
    let names = hoist.value("image::list().map(|i| i.tags).flatten().sort_natural()");
    assert_eq!(names, json!(["app:prod", "app:stable", "tools:latest"]));
    let id = hoist.value(r#"container::get("web").id"#);
    assert_eq!(
        fs::read_to_string(hoist.file("report")).unwrap(),
        format!("now {}", id.as_str().unwrap())
    );
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 1);
}

#[test]
fn nothing_is_done_once_anything_has_moved_and_all_of_it_is_named() {
    let hoist = prepared();
    for (change, named) in [
        (r#"image::tag("tools", "app:prod")"#, "`app:prod` meant"),
        (
            r#"container::get("web").restart(#{timeout: 0.seconds})"#,
            "container `web` was restarted",
        ),
        (
            r#"container::get("web").kill(); container::get("web").wait()"#,
            "container `web` was running and is exited now",
        ),
        (r#"container::get("old").remove()"#, "container `old` is gone"),
        (
            r#"container::create("app:pr-1", ["true"], #{name: "user"})"#,
            "image `app:pr-1` is used by container `user` now",
        ),
        (
            r#"image::tag("app:pr-1", "app:kept")"#,
            "image `app:pr-1` was called `app:pr-1` and is called `app:kept`, `app:pr-1` now",
        ),
        (r#"image::remove("app:pr-1")"#, "is gone"),
        (r#"fs::write("report", "x")"#, "report` is there now"),
    ] {
        plan(&hoist, CLEAN).success();
        hoist.eval(&format!("{change}; 0")).success();
        let before = content(&hoist.root());
        apply(&hoist)
            .fails_with(1)
            .stderr_has(&["error: the plan no longer fits: ", named, "help: make a new plan"]);
        assert_eq!(
            differing(&before, &content(&hoist.root())),
            Vec::<std::path::PathBuf>::new(),
            "{change}"
        );
        let again = r#"
            for name in ["app:pr-1", "app:prod", "app:kept"] { attempt(|| image::untag(name)); }
            for c in container::list(#{all: true}) { c.remove(#{force: true}); }
            image::prune(#{all: true, keep: ["tools"]});
            attempt(|| fs::remove("report"));
            image::from_host("app:pr-1", ["/bin/true"]);
            image::from_host("app:prod", ["/bin/cat"]);
            container::create("tools", ["true"], #{name: "old"});
            container::run_detached("tools", ["sleep", "300"], #{name: "web"});
            0"#;
        hoist.eval(again).success();
    }
}

#[test]
fn what_cannot_be_known_beforehand_is_refused_where_the_script_relies_on_it() {
    let hoist = prepared();
    for (script, place, named) in [
        (
            "let r = container::run(\"tools\", [\"cat\", \"/x\"]);\nif r.stdout == \"x\" { image::remove(\"app:pr-1\"); }",
            "planned.rhai:2:6",
            "`stdout` of a command cannot be planned",
        ),
        (
            "\n\nif container::run(\"tools\", [\"true\"], #{check: false}).code == 0 { }",
            "planned.rhai:3:",
            "`code` of a command cannot be planned",
        ),
        (
            "let c = container::create(\"tools\", [\"true\"]);\nc.start();\nc.wait();\nprint(c.logs());",
            "planned.rhai:4:",
            "`Container.logs` of a program cannot be planned",
        ),
        (
            "registry::serve(#{listen: \"127.0.0.1:0\"});",
            "planned.rhai:1:",
            "a server lasts as long as its script",
        ),
        (
            "container::run(\"tools\", [\"true\"], #{secrets: #{token: \"s3cret\"}});",
            "planned.rhai:1:",
            "would hold the option `secrets`",
        ),
        (
            "registry::login(\"localhost:1\", \"me\", \"s3cret\");",
            "planned.rhai:1:",
            "would hold the password",
        ),
    ] {
        plan(&hoist, script).fails_with(1).stdout_is("").stderr_has(&[
            "error[unsupported]: ",
            named,
            place,
            "no plan was made",
        ]);
        assert!(!hoist.file("plan.json").exists());
    }
}

#[test]
fn what_a_step_makes_later_steps_find() {
    let hoist = prepared();
    let script = r#"
        let dir = fs::temp_dir();
        fs::write(dir + "/greeting", "hello");
        let c = container::create("tools", ["cat", "/greeting"], #{ labels: #{ of: "plan" } });
        c.copy_in(dir + "/greeting", "/greeting");
        let img = c.commit("greeter", #{ changes: [`CMD ["cat", "/greeting"]`] });
        c.start();
        c.wait();
        c.remove();
        container::run(img);
        image::save(img, "greeter.tar");
        img.tag("greeter:" + img.id.sub_string(7, 4));
    "#;
    plan(&hoist, script).success();
    apply(&hoist).success();
    assert_eq!(hoist.value(r#"container::run("greeter").text()"#), "hello");
    assert_eq!(
        hoist.value(r#"image::load("greeter.tar")[0].id == image::get("greeter").id"#),
        true
    );
    assert_eq!(
        hoist.value("container::list(#{all: true, label: \"of=plan\"}).len()"),
        0
    );
}

#[test]
fn a_step_that_fails_ends_it_and_says_which() {
    let hoist = prepared();
    plan(
        &hoist,
        "image::untag(\"app:pr-1\");\ncontainer::run(\"tools\", \"exit 7\");\nimage::untag(\"app:prod\");",
    )
    .success();
    apply(&hoist).fails_with(1).stderr_has(&[
        "failed to do step 2 of 3, `container::run` of `tools:latest`",
        "ended with code 7",
    ]);
    assert_eq!(
        hoist.value(r#"[image::exists("app:pr-1"), image::exists("app:prod")]"#),
        json!([false, true])
    );
    plan(
        &hoist,
        "let c = container::create(\"tools\", \"exit 3\");\nc.start();\nc.wait();",
    )
    .success();
    apply(&hoist)
        .fails_with(1)
        .stderr_has(&["`Container.wait` gave 3, where the plan relies on 0"]);
}

#[test]
fn tags_at_registries_are_pinned_by_digest() {
    let (hoist, far) = (prepared(), Hoist::new());
    let served = Served::start(&far, &["--write", "--delete"]);
    let name = |tag: &str| format!("{}/app:{tag}", served.name());
    for (image, tag) in [("app:prod", "1"), ("app:pr-1", "2"), ("tools", "3")] {
        hoist
            .eval(&format!("image::push({image:?}, {:?}); 0", name(tag)))
            .success();
    }
    let before = content(&far.root());
    let script = format!(
        r#"
        registry::delete_tag("{two}");
        registry::tag("{three}", "stable");
        registry::copy("{one}", "{host}/copy:1");
        let report = registry::mirror("{host}/app", "{host}/mirror", #{{ tags: ["1"] }});
        image::push("tools", "{host}/tools:1");
        image::pull("{one}");
        print(registry::tags("{host}/app"));
        print(registry::exists("{two}"));
        "#,
        one = name("1"),
        two = name("2"),
        three = name("3"),
        host = served.name(),
    );
    plan(&hoist, &script)
        .success()
        .stderr_has(&["[\"1\", \"3\", \"stable\"]\nfalse\n"]);
    assert_eq!(
        differing(&before, &content(&far.root())),
        Vec::<std::path::PathBuf>::new()
    );
    let actions = read(&hoist)["actions"].clone();
    let functions: Vec<&str> = actions
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["function"].as_str().unwrap())
        .collect();
    let expected = [
        "registry::delete_tag",
        "registry::tag",
        "registry::copy",
        "registry::copy",
        "image::push",
        "image::pull",
    ];
    assert_eq!(functions, expected);
    assert_eq!(
        actions[0]["pins"][0]["digest"],
        hoist.value(&format!("registry::digest({:?})", name("2")))
    );
    assert!(
        actions[3]["arguments"][0].as_str().unwrap().contains("/app@sha256:"),
        "{actions}"
    );

    hoist
        .eval(&format!("registry::tag({:?}, \"2\"); 0", name("3")))
        .success();
    apply(&hoist).fails_with(1).stderr_has(&[
        &format!("`{}` stood for ", name("2")),
        " at its registry and stands for ",
    ]);
    hoist
        .eval(&format!("image::push(\"app:pr-1\", {:?}); 0", name("2")))
        .success();
    apply(&hoist).success();
    let tags = hoist.value(&format!("registry::tags(\"{}/app\").sort_natural()", served.name()));
    assert_eq!(tags, json!(["1", "3", "stable"]));
    let there = |name: &str| hoist.value(&format!("registry::exists(\"{}/{name}\")", served.name()));
    assert_eq!(
        [there("copy:1"), there("mirror:1"), there("tools:1")],
        [json!(true), json!(true), json!(true)]
    );
    served.stop();
}

#[test]
fn a_plan_is_applied_under_the_rules_of_a_run() {
    let hoist = prepared();
    plan(&hoist, CLEAN).success();
    hoist
        .run(&["--allow-read", "apply", "plan.json"])
        .fails_with(3)
        .stderr_has(&["`image::tag` is not allowed to write `app:stable`"]);
    let output = hoist.run(&["--dry-run", "apply", "plan.json"]).success();
    assert!(
        output.stderr.contains("dry run: nothing was changed"),
        "{}",
        output.stderr
    );
    assert_eq!(hoist.value(r#"image::exists("app:stable")"#), false);
    hoist.run(&["--audit", "audit", "apply", "plan.json"]).success();
    let told = fs::read_to_string(hoist.file("audit")).unwrap();
    assert_eq!(
        told.lines().filter(|line| line.contains("\"image::remove\"")).count(),
        2,
        "{told}"
    );
    assert!(
        told.contains("\"line\":3,") && told.contains("planned.rhai\""),
        "{told}"
    );
}

#[test]
fn what_is_no_plan_or_not_for_this_store_is_told() {
    let (hoist, other) = (prepared(), Hoist::new());
    plan(&hoist, CLEAN).success();
    let mut value = read(&hoist);
    other.write("plan.json", value.to_string());
    apply(&other)
        .fails_with(1)
        .stderr_has(&["the plan is for the store `", "`, not for `"]);
    value["hoist_plan"] = json!(7);
    hoist.write("plan.json", value.to_string());
    apply(&hoist)
        .fails_with(1)
        .stderr_has(&["it is a plan of form 7, and this version reads form 1"]);
    for text in ["{}", "no", "{\"hoist_plan\": 1}"] {
        hoist.write("plan.json", text);
        let output = apply(&hoist);
        assert!(
            !output.status.success() && output.stderr.contains("failed to read the plan `plan.json`"),
            "{}",
            output.stderr
        );
    }
    assert_eq!(hoist.value(r#"image::exists("app:pr-1")"#), true);
}

#[test]
fn a_plan_is_printed_for_programs_too() {
    let hoist = prepared();
    let path = hoist.write("planned.rhai", CLEAN);
    let words = |format| {
        hoist
            .run(&["--format", format, "plan", path.to_str().unwrap()])
            .success()
    };
    assert_eq!(words("json").json()["actions"].as_array().unwrap().len(), 8);
    assert_eq!(words("jsonl").stdout.lines().count(), 8);
    let nothing = hoist.write("nothing.rhai", "image::list()");
    hoist
        .run(&["plan", nothing.to_str().unwrap()])
        .success()
        .stdout_is("nothing is to be done\n");
}
