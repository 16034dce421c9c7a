//! What a script may do: nothing that is not allowed is begun, whatever way the script goes to it, and all that is done is told.

use std::collections::BTreeSet;
use std::fs;

use hoist::bindings::effects::{self, Effect, Of};
use hoist::script::docs::{self, Function, Use};
use serde_json::Value;

use crate::harness::served::Served;
use crate::harness::tree::{content, differing};
use crate::harness::{Hoist, Output};

/// The lines of an audit file.
fn audited(hoist: &Hoist, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(hoist.file(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `FUNCTION EFFECT TARGET OUTCOME` of each line.
fn told(lines: &[Value]) -> Vec<String> {
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or("-").to_owned();
    let words = |line: &Value| {
        ["function", "effect", "target", "outcome"]
            .map(|key| word(line, key))
            .join(" ")
    };
    lines.iter().map(words).collect()
}

fn limited(hoist: &Hoist, flags: &[&str], script: &str) -> Output {
    let path = hoist.write("limited.rhai", script);
    hoist.run(&[flags, &["run", path.to_str().unwrap()]].concat())
}

/// A store with the image `tools`, a container of it, `c`, and the volume `v`.
fn prepared() -> Hoist {
    let hoist = Hoist::new();
    hoist
        .eval(
            r#"image::from_host("tools", ["/bin/true", "/bin/sleep"]);
            volume::create("v");
            container::create("tools", ["true"], #{name: "c"}).id"#,
        )
        .success();
    hoist
}

/// A call with arguments of the right types. What they are does not come to matter; `registry` is one that may be asked.
fn call(function: &Function, registry: &str) -> String {
    let value = |kind: &str| match kind {
        "map" => "#{}",
        "array" => r#"["/bin/sh"]"#,
        "blob" => "blob(1)",
        "int" | "number" => "1",
        "float" => "1.0",
        "closure" => "|x| x",
        _ => r#""/tools""#,
    };
    let words: Vec<&str> = function
        .parameters
        .iter()
        .map(|parameter| match parameter.name.as_str() {
            "url" => r#""http://127.0.0.2/""#,
            _ => value(&parameter.kind),
        })
        .collect();
    let receiver = match &function.usage {
        Use::Method(kind) if kind == "Image" => r#"image::get("tools")."#.to_owned(),
        Use::Method(kind) if kind == "Volume" => r#"volume::get("v")."#.to_owned(),
        Use::Method(kind) if kind == "Index" => format!(r#"registry::index("{registry}/app:1", #{{create: true}})."#),
        Use::Method(_) => r#"container::get("c")."#.to_owned(),
        Use::Namespace(name) => format!("{name}::"),
        _ => String::new(),
    };
    format!("{receiver}{}({})", function.name, words.join(", "))
}

/// Effects that a call without options has, and that are more than reading.
fn demanded(name: &str) -> BTreeSet<&'static str> {
    let acts = effects::acts(name).unwrap_or_default().iter();
    let always =
        acts.filter(|(_, of)| !matches!(of, Of::Own | Of::Options | Of::Repair | Of::Served(_) | Of::Extra(_)));
    always
        .map(|(effect, _)| *effect)
        .filter(|effect| *effect != Effect::Read)
        .map(Effect::name)
        .collect()
}

#[test]
fn every_function_of_the_table_is_refused_before_anything_is_done_and_that_is_told() {
    let hoist = prepared();
    let functions: Vec<Function> = docs::functions()
        .into_iter()
        .filter(|function| !demanded(&function.qualified_name()).is_empty())
        .collect();
    assert!(functions.len() > 100, "only {} overloads have effects", functions.len());
    // An index to be put together can be had where a registry may be asked.
    let other = Hoist::new();
    let served = Served::start(&other, &[]);
    let asked = format!("--allow-net={}", served.name());
    let calls = functions.iter().map(|function| {
        let (call, name) = (call(function, served.name()), function.signature());
        format!("try {{ {call}; print(`{name}: allowed`) }} catch (e) {{ if e.kind != \"denied\" {{ print(`{name}: ${{e.kind}} ${{e.message}}`) }} }}\n")
    });
    let script: String = calls.collect();
    let before = content(&hoist.root());
    limited(&hoist, &["--allow-read", &asked, "--audit", "audit"], &script)
        .success()
        .stdout_is("");
    assert_eq!(
        differing(&before, &content(&hoist.root())),
        Vec::<std::path::PathBuf>::new()
    );
    let refused = audited(&hoist, "audit")
        .into_iter()
        .filter(|line| line["outcome"] == "denied");
    let refused: BTreeSet<String> = refused
        .map(|line| line["function"].as_str().unwrap().to_owned())
        .collect();
    let all: BTreeSet<String> = functions.iter().map(Function::qualified_name).collect();
    assert_eq!(refused, all);
}

#[test]
fn a_script_cannot_get_round_it() {
    let hoist = prepared();
    hoist.write(
        "helper.rhai",
        r#"fn tidy() { image::untag("tools") } fn with_it(f) { f.call() }"#,
    );
    for way in [
        r#"let f = || image::untag("tools"); f.call()"#,
        r#"eval("image::" + "untag(\"tools\")")"#,
        r#"import "helper" as image2; image2::tidy()"#,
        r#"import "helper" as helper; helper::with_it(|| image::untag("tools"))"#,
        r#"fn untag(name) { image::untag(name) } untag("tools")"#,
        r#"parallel_map(["tools"], |name| image::untag(name))"#,
        r#"["tools"].map(|name| image::get(name).untag(name))"#,
        r#"let img = image::get("tools"); img.untag("tools")"#,
        r#"defer(|| image::untag("tools"))"#,
        r#"timeout(1.minutes, || retry(2, || image::untag("tools")))"#,
    ] {
        let output = limited(&hoist, &["--allow-read"], way);
        assert!(
            output.stderr.contains("is not allowed to delete `tools:latest`"),
            "{way}\n{}",
            output.stderr
        );
        assert_eq!(hoist.value(r#"image::exists("tools")"#), true, "{way}");
    }
}

#[test]
fn the_error_names_the_flag_to_add_and_the_code_is_3() {
    let hoist = prepared();
    let script = "\nimage::remove(\"tools\")";
    limited(&hoist, &["--allow-run"], script).fails_with(3).stderr_is(
        "error[denied]: `image::remove` is not allowed to delete `tools:latest`
 --> [DIR]/limited.rhai:2:8
  |
2 | image::remove(\"tools\")
  |        ^^^^^^
help: allow it by `--allow-delete=tools:latest`
"
        .replace("[DIR]", hoist.dir().to_str().unwrap())
        .as_str(),
    );
    limited(&hoist, &["--deny-delete"], script)
        .fails_with(3)
        .stderr_has(&["`--deny-delete` forbids it"]);
    let path = hoist.write("limited.rhai", script);
    let by_variable = hoist
        .command(&["run", path.to_str().unwrap()])
        .env("HOIST_ALLOW_READ", "1")
        .output();
    by_variable.fails_with(3);
    limited(&hoist, &["--allow-delete=tools"], r#"container::get("c").remove()"#).fails_with(3);
    limited(
        &hoist,
        &["--allow-delete=tools,c"],
        r#"container::get("c").remove(); image::remove("tools")"#,
    )
    .success();
}

#[test]
fn an_image_that_goes_by_its_id_goes_with_all_its_names() {
    let hoist = Hoist::new();
    let make = r#"image::from_host("app/web:pr-1", ["/bin/true"]).tag("app/web:prod").id"#;
    hoist.eval(make).success();
    let allow = "--allow-delete=app/*:pr-*";
    limited(&hoist, &[allow], r#"image::get("app/web:pr-1").remove()"#)
        .fails_with(3)
        .stderr_has(&["not allowed to delete"]);
    limited(
        &hoist,
        &["--deny-run=app/web:prod"],
        r#"container::run("app/web:pr-1", ["true"])"#,
    )
    .fails_with(3);
    limited(&hoist, &[allow], r#"image::remove("app/web:pr-1")"#).success();
    assert_eq!(
        hoist.value("image::list().map(|i| i.name)"),
        serde_json::json!(["app/web:prod"])
    );
}

#[test]
fn a_clean_up_passes_over_what_it_may_not_remove() {
    let hoist = Hoist::new();
    hoist
        .eval(r#"image::from_host("app:pr-1", ["/bin/true"]); image::from_host("app:prod", ["/bin/false"]); container::create("app:pr-1", ["true"], #{name: "db"}); 0"#)
        .success();
    let script = r#"
        let report = container::prune();
        for item in report.kept { print(`${item.name}: ${item.reason}`); }
        report = image::prune(#{all: true});
        for item in report.kept { print(`${item.name}: ${item.reason}`); }
        print(report.removed.map(|item| item.name));"#;
    let shown = "db: no `--allow-delete` names it\napp:prod: no `--allow-delete` names it\napp:pr-1: used by container `db`\n[]\n";
    limited(&hoist, &["--allow-delete=app:pr-*"], script)
        .success()
        .stdout_is(shown);
    limited(&hoist, &["--allow-delete=app:pr-*,db", "--audit", "audit"], script)
        .success()
        .stdout_is("app:prod: no `--allow-delete` names it\n[\"app:pr-1\"]\n");
    let told = told(&audited(&hoist, "audit"));
    let expected = [
        "container::prune delete - begun",
        "container::prune delete - done",
        "container::prune delete db done",
        "image::prune delete - begun",
        "image::prune delete - done",
        "image::prune delete app:pr-1 done",
    ];
    assert_eq!(told, expected);
}

#[test]
fn files_are_where_they_are_whatever_path_leads_there() {
    let hoist = Hoist::new();
    let dir = hoist.dir();
    fs::create_dir(dir.join("backup")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.join("backup/etc")).unwrap();
    let allow = format!("--allow-fs={}", dir.join("backup").display());
    let may = |script: &str| limited(&hoist, &[&allow], script);
    may(r#"fs::write("backup/a", "x"); fs::copy("backup/a", "backup/b"); fs::read("backup/../backup/b")"#).success();
    may(r#"let t = fs::temp_file(); fs::write(t, "x"); fs::read(t)"#).success();
    for script in [
        r#"fs::read("backup/etc/passwd")"#,
        r#"fs::read("backup/../limited.rhai")"#,
        r#"fs::copy("backup/a", "elsewhere")"#,
        r#"fs::copy("backup", fs::temp_dir() + "/all")"#,
        r#"fs::copy("backup/etc", fs::temp_dir() + "/etc")"#,
        r#"fs::glob("/etc/*")"#,
        r#"fs::write(fs::temp_dir() + "/../x", "")"#,
        r#"image::load("archive.tar")"#,
        r#"container::run("x", ["true"], #{volumes: ["/etc:/etc"]})"#,
    ] {
        may(script).fails_with(3).stderr_has(&["is not allowed to"]);
    }
}

#[test]
fn a_container_gets_nothing_of_the_machine_that_is_not_allowed() {
    let hoist = prepared();
    for (options, refused) in [
        (
            "privileged: true",
            "reach the machine itself, as the option `privileged` does",
        ),
        (r#"pid: "host""#, "as the option `pid` does"),
        (r#"network: "container:c""#, "run commands in, stop or signal `c`"),
        (
            r#"mounts: ["type=bind,source=/etc,target=/e"]"#,
            "use the files in `/etc`",
        ),
        (r#"volumes: ["data:/data"]"#, "write `data`"),
        (r#"pull: "always""#, "pull `tools:latest`"),
    ] {
        let script = format!(r#"container::run("tools", ["true"], #{{{options}}})"#);
        limited(&hoist, &["--allow-run=tools"], &script)
            .fails_with(3)
            .stderr_has(&[refused]);
    }
    limited(&hoist, &["--allow-run=tools"], r#"container::run("tools", ["true"])"#).success();
    limited(&hoist, &["--allow-run=other"], r#"container::run("tools", ["true"])"#).fails_with(3);
    limited(&hoist, &["--allow-run=other"], r#"container::get("c").start()"#).fails_with(3);
}

#[test]
fn a_header_says_what_a_script_needs_and_it_gets_no_more() {
    let hoist = prepared();
    let script = "//! allow: delete=tools, run\nprint(\"began\"); image::tag(\"tools\", \"new\")";
    limited(&hoist, &[], script)
        .fails_with(3)
        .stdout_is("began\n")
        .stderr_has(&[
            "not allowed to write `new:latest`",
            "add `write=new:latest` to its line `//! allow:`",
        ]);
    for flags in [&["--allow-run"][..], &["--deny-delete"], &["--allow-read"]] {
        limited(&hoist, flags, script)
            .fails_with(3)
            .stdout_is("")
            .stderr_has(&["the script needs `delete=tools`"]);
    }
    limited(&hoist, &["--allow-run", "--allow-delete"], script)
        .fails_with(3)
        .stdout_is("began\n");
    limited(&hoist, &[], "//! allow: remove=tools\n1")
        .fails_with(2)
        .stderr_has(&["line 1", "unknown permission `remove`"]);
}

#[test]
fn what_is_protected_stays_whatever_a_script_and_flags_say() {
    let hoist = Hoist::new();
    hoist
        .eval(r#"image::from_host("app:prod", ["/bin/true"]); image::from_host("app:pr-1", ["/bin/false"]); container::create("app:pr-1", ["true"], #{name: "db"}); 0"#)
        .success();
    let config = hoist.write(
        "hoist.toml",
        "[protect]\nimages = [\"app:prod\"]\ncontainers = [\"db\"]\n",
    );
    let flags = ["--config", config.to_str().unwrap(), "--allow-delete", "--allow-write"];
    for script in [
        r#"image::remove("app:prod", #{force: true})"#,
        r#"image::untag("app:prod")"#,
        r#"image::tag("app:pr-1", "app:prod")"#,
        r#"image::get("app:prod").remove()"#,
        r#"container::get("db").remove(#{force: true})"#,
        r#"container::get("db").rename("other")"#,
        r#"image::from_host("app:prod", ["/bin/cat"])"#,
    ] {
        let flags = [&flags[..], &["--allow-fs"]].concat();
        limited(&hoist, &flags, script)
            .fails_with(3)
            .stderr_has(&["is protected by `", "no script and no flag overrides it"]);
    }
    hoist
        .run(&["--config", config.to_str().unwrap(), "container", "rm", "db"])
        .fails_with(3)
        .stderr_has(&["protected by `db`"]);
    let script = r#"
        for item in container::prune().kept { print(`${item.name}: ${item.reason}`); }
        for item in image::prune(#{all: true}).kept { print(`${item.name}: ${item.reason}`); }"#;
    limited(&hoist, &flags, script)
        .success()
        .stdout_is("db: protected by `db`\napp:pr-1: used by container `db`\napp:prod: protected by `app:prod`\n");
}

#[test]
fn the_audit_tells_every_effect_and_where_it_was_called() {
    let hoist = prepared();
    let script = "let img = image::get(\"tools\");\nimg.tag(\"tools:2\");\ntry { image::untag(\"nothing\") } catch {}\ncontainer::run(img, [\"true\"]);";
    limited(&hoist, &["--audit", "audit"], script).success();
    let lines = audited(&hoist, "audit");
    let expected = [
        "image::get read tools:2 done",
        "Image.tag read tools:2 begun",
        "Image.tag write tools:2 begun",
        "Image.tag read tools:2 done",
        "Image.tag write tools:2 done",
        "image::untag delete nothing:latest begun",
        "image::untag delete nothing:latest not_found",
        "container::run run tools:2 begun",
        "container::run run tools:2 done",
    ];
    let told = told(&lines);
    // Which of its names an image is told by that is meant by its id is all the same.
    let names = |line: &String| line.replace("tools:latest", "tools:2");
    assert_eq!(told.iter().map(names).collect::<Vec<_>>(), expected);
    assert_eq!((&lines[2]["line"], &lines[2]["column"]), (&2.into(), &5.into()));
    assert!(lines[1]["script"].as_str().unwrap().ends_with("limited.rhai"));
    assert!(lines[1]["time"].as_str().unwrap().ends_with('Z'));
    hoist.run(&["--audit", "audit", "container", "rm", "c"]).success();
    let last = audited(&hoist, "audit").split_off(lines.len());
    let last: Vec<_> = last.into_iter().filter(|line| line["effect"] != "read").collect();
    assert_eq!(
        self::told(&last),
        ["Container.remove delete c begun", "Container.remove delete c done"]
    );
}

#[test]
fn nothing_is_done_that_the_audit_cannot_be_told() {
    let hoist = prepared();
    let script = r#"try { image::untag("tools") } catch { print("caught") } image::untag("tools")"#;
    limited(&hoist, &["--audit", "/no/such/dir/audit"], script)
        .fails_with(1)
        .stdout_is("")
        .stderr_has(&["failed to open the audit file `/no/such/dir/audit`"]);
    limited(&hoist, &["--audit", "/dev/full"], script)
        .fails_with(1)
        .stdout_is("")
        .stderr_has(&["failed to write to the audit file `/dev/full`: no space left on device"]);
    assert_eq!(hoist.value(r#"image::exists("tools")"#), true);
}

#[test]
fn no_secret_comes_into_the_audit() {
    let hoist = prepared();
    let script = r#"
        container::run("tools", ["true", "s3cret-word"], #{secrets: #{token: "s3cret-word"}, env: #{PASSWORD: "s3cret-word"}, stdin: "s3cret-word"});
        attempt(|| registry::login("localhost:1", "me", "s3cret-word"));
        attempt(|| image::pull("localhost:1/x", #{password: "s3cret-word", username: "me", retries: 0}));"#;
    limited(&hoist, &["--audit", "audit"], script).success();
    let text = fs::read_to_string(hoist.file("audit")).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!(text.matches("registry::login").count(), 4, "{text}");
}

#[test]
fn a_registry_is_protected_from_here_and_from_those_it_is_served_to() {
    let (hoist, far) = (prepared(), prepared());
    let config = far.write("far.toml", "[protect]\nimages = [\"tools\"]\n");
    let served = Served::start(&far, &["--write", "--delete", "--config", config.to_str().unwrap()]);
    let host = served.name();
    let push = format!(r#"image::push("tools", "{host}/app:1"); image::push("tools", "{host}/app:prod"); 0"#);
    hoist.eval(&push).success();
    let near = format!("[protect]\nimages = [\"*:prod\"]\nregistries = [\"{host}/base\"]\n");
    let near = hoist.write("near.toml", near);
    let flags = ["--config", near.to_str().unwrap()];
    for script in [
        format!(r#"registry::delete_tag("{host}/app:prod")"#),
        format!(r#"registry::delete("{host}/app:prod@" + registry::digest("{host}/app:1"))"#),
        format!(r#"image::from_host("other", ["/bin/cat"]); image::push("other", "{host}/app:prod")"#),
    ] {
        limited(&hoist, &flags, &script)
            .fails_with(3)
            .stderr_has(&["is protected by `"]);
    }
    let mirror = format!(
        r#"registry::copy("{host}/app:1", "{host}/copy:prod"); registry::copy("{host}/app:1", "{host}/copy:2");
        let report = registry::mirror("{host}/app", "{host}/copy", #{{tags: ["1"], delete_extra: true}});
        for item in report.kept {{ print(item.reason); }}
        print(report.removed.len());"#
    );
    limited(&hoist, &flags, &mirror)
        .success()
        .stdout_is("copied\nprotected by `*:prod`\n1\n");
    // One who is served is refused what the server's settings protect.
    let digest = hoist.value(&format!(r#"registry::digest("{host}/tools:latest")"#));
    let output = limited(&hoist, &[], &format!(r#"registry::delete("{host}/tools@" + {digest})"#));
    assert!(!output.status.success(), "{}", output.stderr);
    assert_eq!(far.value(r#"image::exists("tools")"#), true);
    served.stop();
}

#[test]
fn who_sits_at_the_terminal_is_asked_where_that_is_wanted() {
    let hoist = prepared();
    let script = r#"image::tag("tools", "a"); image::tag("tools", "a"); image::tag("tools", "b")"#;
    let path = hoist.write("asks.rhai", script);
    let words = ["--allow-read", "--ask", "run", path.to_str().unwrap()];
    let mut screen = hoist.command(&words).on_screen();
    screen.wait_for("`image::tag` is not allowed to write `a:latest`: allow it? [y]es, [a]lways in this run, [N]o: ");
    screen.press("a\n");
    screen.wait_for("write `b:latest`: allow it?");
    screen.press("\n");
    assert_eq!(screen.code(), 3);
    assert_eq!(
        hoist.value(r#"[image::exists("a:latest"), image::exists("b:latest")]"#),
        serde_json::json!([true, false])
    );
    // Nobody is there to be asked.
    hoist
        .run(&words)
        .fails_with(3)
        .stderr_has(&["allow it by `--allow-write=a:latest`"]);
}
