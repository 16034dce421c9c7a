//! Files that only a container sees.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Hoist;

const WORD: &str = "correct-horse-battery";

/// The files below a directory that have the word in them.
fn with_word(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            with_word(&entry.path(), found);
        } else if kind.is_file() && String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).contains(WORD) {
            found.push(entry.path().display().to_string());
        }
    }
}

#[test]
fn a_secret_is_seen_by_the_user_of_the_container_alone() {
    let hoist = Hoist::with_busybox();
    let look = "stat -c '%a %u %g' /run/secrets/db; cat /run/secrets/db; echo; touch /run/secrets/new 2>/dev/null || echo read-only; env | grep -c correct; grep -c /run/secrets /proc/self/mountinfo";
    for (options, owner) in [
        ("", "0 0"),
        (r#", user: "7:8""#, "7 8"),
        (r#", user: "7:8", userns: "auto""#, "7 8"),
    ] {
        let script = format!(
            r#"container::run("busybox", {}, #{{secrets: #{{db: "{WORD}"}}, check: false{options}}}).lines()"#,
            json!(look)
        );
        assert_eq!(
            hoist.value(&script),
            json!([format!("400 {owner}"), WORD, "read-only", "0", "1"]),
            "{options}"
        );
    }
    // Whoever else is in the container.
    let other = format!(
        r#"let c = container::run_detached("busybox", ["sleep", "1000"], #{{name: "c", secrets: #{{db: "{WORD}"}}}});
        let others = c.exec(["cat", "/run/secrets/db"], #{{user: "7", check: false}}).code;
        let own = c.exec(["cat", "/run/secrets/db"]).stdout;
        [others, own, c.diff().filter(|d| d.path.contains("db")).len()]"#
    );
    assert_eq!(hoist.value(&other), json!([1, WORD, 0]));
    // Neither where it is kept, nor where it is shown, nor in what becomes of it.
    let shown = hoist.value(r#"let c = container::get("c"); c.commit("committed"); [c.inspect(), image::inspect("committed"), c.top(), container::list().map(|c| c.to_json())]"#);
    assert!(!shown.to_string().contains(WORD));
    let mut found = Vec::new();
    with_word(hoist.dir().parent().unwrap(), &mut found);
    assert_eq!(found, [] as [String; 0]);
    assert_eq!(
        hoist.value(r#"container::run("committed", "ls /run/secrets 2>/dev/null | wc -l").text()"#),
        "0"
    );
}

#[test]
fn a_secret_comes_back_at_the_next_start_if_it_is_known() {
    let hoist = Hoist::with_busybox();
    let script = format!(
        r#"let c = container::create("busybox", ["cat", "/run/secrets/db"], #{{name: "c", secrets: #{{db: "{WORD}"}}}});
        c.start(); c.wait(); c.start(); c.wait(); c.logs()"#
    );
    assert_eq!(hoist.value(&script), WORD.repeat(2));
    // What was in the memory of that script is known to no other.
    let lost = hoist.value(r#"let e = attempt(|| container::get("c").start()).error; [e.kind, e.message.contains("`db`"), e.hint.contains("file")]"#);
    assert_eq!(lost, json!(["conflict", true, true]));
    // A restart does not stop what could not be started again.
    let up = format!(
        r#"container::run_detached("busybox", ["sleep", "1000"], #{{name: "up", secrets: #{{db: "{WORD}"}}}}).name"#
    );
    hoist.value(&up);
    assert_eq!(
        hoist.value(r#"[attempt(|| container::get("up").restart()).error.kind, container::get("up").status]"#),
        json!(["conflict", "running"])
    );
}

#[test]
fn a_secret_in_a_file_is_read_at_each_start() {
    let hoist = Hoist::with_busybox();
    let path = hoist.dir().join("password");
    std::fs::write(&path, "one").unwrap();
    let make = format!(
        r#"container::create("busybox", "cat /run/secrets/password /run/secrets/other", #{{name: "c", secrets: ["{path}", "other={path}"]}}).name"#,
        path = path.display()
    );
    assert_eq!(hoist.value(&make), "c");
    let run = r#"let c = container::get("c"); c.start(); c.wait(); c.logs(#{tail: 1})"#;
    assert_eq!(hoist.value(run), "oneone");
    std::fs::write(&path, "two").unwrap();
    assert!(hoist.value(run).as_str().unwrap().ends_with("twotwo"));
    std::fs::remove_file(&path).unwrap();
    let gone = hoist.value(r#"let e = attempt(|| container::get("c").start()).error; [e.kind, e.message]"#);
    assert_eq!(gone[0], "not_found", "{gone}");
    assert!(gone[1].as_str().unwrap().contains("password"), "{gone}");
    std::fs::write(&path, "x".repeat(512_001)).unwrap();
    assert_eq!(
        hoist.value(r#"attempt(|| container::get("c").start()).error.kind"#),
        "invalid"
    );
}

#[test]
fn what_cannot_be_a_secret_is_refused_without_telling_it() {
    let hoist = Hoist::with_busybox();
    for secrets in [
        format!(r#"#{{"a/b": "{WORD}"}}"#),
        format!(r#"#{{"..": "{WORD}"}}"#),
        format!(r#"#{{db: ["{WORD}"]}}"#),
        r#"["relative"]"#.to_owned(),
        r#"["/"]"#.to_owned(),
        r#"["/a/db", "db=/b"]"#.to_owned(),
    ] {
        let call = format!(
            r#"let e = attempt(|| container::create("busybox", ["true"], #{{secrets: {secrets}}})).error; `${{e.kind}} ${{e.message}}`"#
        );
        let said = hoist.value(&call);
        let Value::String(said) = said else { panic!("{said}") };
        assert!(said.starts_with("invalid") && !said.contains(WORD), "{secrets}: {said}");
    }
}

/// What a script may do with a secret, and whether it goes on: none of it shows what is in it.
const WAYS_OUT: &[(&str, bool)] = &[
    ("print(s)", true),
    ("debug(s)", true),
    ("print(`it is ${s}`)", true),
    ("print([s, #{a: s}])", true),
    ("print(s.to_string() + s.to_debug() + s.to_json() + type_of(s))", true),
    ("print(json::stringify(#{a: [s]}) + json::pretty(s))", true),
    ("print(s.to_map())", true),
    ("table([s, s])", true),
    ("table([#{a: s}])", true),
    ("log::error(s.to_string()); log::warn(`${s}`)", true),
    ("fs::write(fs::temp_file(), `${s}`)", true),
    ("assert::eq(s, s)", true),
    ("assert::eq(s, 1)", false),
    ("assert::ne(s, s)", false),
    ("print(\"a\" + s)", false),
    ("print(s + \"a\")", false),
    ("print(s + s)", false),
    ("let t = \"a\"; t += s; print(t)", false),
    ("throw s", false),
    ("throw #{kind: s}", false),
    ("throw `${s}`", false),
    ("print(attempt(|| throw s))", true),
    ("s.len()", false),
    ("s.sub_string(0, 1)", false),
    ("s[0]", false),
    ("s == \"x\"", true),
    ("for c in s { print(c) }", false),
    ("hash::sha256(s)", false),
    ("regex::is_match(\".*\", s)", false),
    ("env::get(s)", false),
    ("fs::write(fs::temp_file(), s)", false),
    ("fs::read(s)", false),
    ("image::get(s)", false),
    ("registry::digest(s)", false),
    ("image::list(#{reference: s})", false),
    ("image::list(#{reference: [s]})", false),
    ("sleep(s)", false),
    ("exit(s)", false),
    ("container::create(\"busybox\", [\"echo\", s])", false),
    ("container::create(\"busybox\", s)", false),
    ("container::create(\"busybox\", [\"true\"], #{env: #{A: s}})", false),
    ("container::create(\"busybox\", [\"true\"], #{env: [s]})", false),
    ("container::create(\"busybox\", [\"true\"], #{labels: #{A: s}})", false),
    ("container::create(\"busybox\", [\"true\"], #{name: s})", false),
    ("container::create(\"busybox\", [\"true\"], #{volumes: [s]})", false),
    ("print(parallel_map([s], |x| x))", true),
    (
        "print(container::create(\"busybox\", [\"true\"], #{secrets: #{a: s}}).inspect())",
        true,
    ),
    (
        "image::pull(\"127.0.0.1:1/x\", #{username: \"me\", password: s, retries: 0})",
        false,
    ),
    ("registry::login(\"127.0.0.1:1\", \"me\", s)", false),
];

#[test]
fn nothing_that_a_script_does_with_a_secret_shows_it() {
    let (hoist, mut wrong) = (Hoist::with_busybox(), Vec::new());
    for (way, goes_on) in WAYS_OUT {
        let path = hoist.write("way.rhai", format!("let s = secret::env(\"WORD\");\n{way};\n"));
        let path = path.to_str().unwrap();
        for words in [
            &["--audit", "audit.jsonl", "run", path][..],
            &["--dry-run", "run", path],
            &["plan", path, "-o", "plan.json"],
        ] {
            let output = hoist.command(words).env("WORD", WORD).output();
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(!said.contains(WORD), "{way}: {said}");
            if words.contains(&"run") && !words.contains(&"--dry-run") {
                let went_on = output.status.success();
                wrong.extend((went_on != *goes_on).then(|| format!("{way}: {said}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut found = Vec::new();
    with_word(hoist.dir().parent().unwrap(), &mut found);
    assert_eq!(found, [] as [String; 0]);
}

#[test]
fn a_secret_reaches_those_whom_it_is_for() {
    let hoist = Hoist::with_busybox();
    let path = hoist.write("word", format!("{WORD}\n"));
    let script = format!(
        r#"
        let file = secret::file({path:?});
        let cmd = secret::cmd(["cat", {path:?}]);
        assert::eq(file, cmd);
        assert::eq(type_of(cmd), "Secret");
        let told = container::run("busybox", "cat /run/secrets/a", #{{secrets: #{{a: file}}}}).text();
        let said = container::run("busybox", "cat", #{{stdin: cmd}}).text();
        [told.len(), said.len(), told == said, hash::sha256(told) == hash::sha256("{WORD}")]"#
    );
    assert_eq!(hoist.value(&script), json!([WORD.len(), WORD.len(), true, true]));
    for (script, kind) in [
        ("secret::env(\"NO_SUCH_VARIABLE\")", "not_found"),
        ("secret::file(\"/no/such/file\")", "not_found"),
        ("secret::cmd([\"/no/such/program\"])", "not_found"),
        ("secret::cmd([])", "invalid"),
        (
            "secret::cmd([\"sh\", \"-c\", \"echo correct-horse-battery; exit 3\"])",
            "exit_status",
        ),
        ("timeout(100.millis, || secret::cmd([\"sleep\", \"1000\"]))", "timeout"),
    ] {
        let said = hoist.value(&format!("let e = attempt(|| {script}).error; [e.kind, e.message]"));
        assert_eq!(said[0], kind, "{script}: {said}");
        assert!(!said.to_string().contains(WORD), "{script}: {said}");
    }
    // A program of the machine is run only where that is allowed.
    let refused = hoist.run(&["--allow-read", "eval", "secret::cmd([\"true\"])"]);
    refused.fails_with(3).stderr_has(&["--allow-exec"]);
}
