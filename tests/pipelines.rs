//! Pipelines of `scripts/`: each under dry-run, planned and applied, and run, with all it tells and what is there afterwards.
//!
//! What is expected is in `tests/pipelines/NAME.txt`, whole; ids, sizes, times and paths are left out.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::harness::{Hoist, Output};

/// What a pipeline finds: a store with images and containers of some ages and names.
const WORLD: &str = r#"
    image::from_host("app:1.0", ["/bin/sh", "/bin/cat", "/bin/sleep", "/bin/true"], #{labels: #{tier: "web"}});
    image::from_host("app:1.1", ["/bin/sh", "/bin/cat", "/bin/sleep", "/bin/true"], #{env: #{MODE: "fast"}});
    image::from_host("app:2.0-rc", ["/bin/sh", "/bin/sleep"]);
    image::from_host("tools:prod", ["/bin/cat"]);
    image::tag("tools:prod", "tools:old");
    container::run_detached("app:1.0", ["sleep", "300"], #{name: "web"});
    container::create("app:1.1", ["true"], #{name: "left"});
    0"#;

/// What is there afterwards.
const STATE: &str = r#"
    let images = image::list(#{all: true}).map(|i| i.tags).flatten().sort_natural();
    let containers = container::list(#{all: true}).map(|c| `${c.name} of ${c.image} ${c.status}`).sort_natural();
    print(`images ${images.join(" ")}`);
    print(`containers ${containers.join(", ")}`);
    for path in fs::glob("out/*").sort_natural() { print("file " + fs::basename(path)); }"#;

/// The pipelines, and their words.
const PIPELINES: &[(&str, &[&str])] = &[
    (
        "nightly-prune",
        &[
            "--older-than",
            "0s",
            "--keep-last",
            "0",
            "--keep",
            "*:prod",
            "--report",
            "out/report.csv",
        ],
    ),
    ("lru", &["1B", "--younger", "0s", "--keep", "*:prod"]),
    (
        "update",
        &["web", "app:1.1", "--health", "exit 0", "--", "sleep", "300"],
    ),
    ("image-report", &["--by", "size", "-o", "out/images.md"]),
    ("image-diff", &["app:1.0", "app:1.1", "--files", "/bin/*"]),
    (
        "smoke-matrix",
        &[
            "app:1*",
            "-c",
            "test $MODE = fast",
            "-e",
            "MODE=fast,full",
            "--jobs",
            "1",
            "--junit",
            "out/report.xml",
        ],
    ),
    ("batch-cleanup", &["--running", "--timeout", "0s"]),
    ("retag", &["app:*-rc", "app:*", "--move"]),
    ("keep-last", &["1"]),
    ("backup-images", &["out/backup", "--reference", "tools:*"]),
];

fn prepared() -> Hoist {
    let hoist = Hoist::new();
    hoist.eval(WORLD).success();
    fs::create_dir(hoist.file("out")).unwrap();
    hoist
}

/// The text without what is another each time.
fn steady(text: &str, hoist: &Hoist) -> String {
    let mut text = text.replace(&hoist.dir().display().to_string(), "DIR");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .display()
        .to_string();
    text = text.replace(&scripts, "scripts");
    for (pattern, word) in [
        (r"(made|last used) \S+ ago", "$1 SPAN ago"),
        (r"sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{12}\b", "ID"),
        (r"\b\d+(\.\d+)?(B|kB|MB|GB)\b", "SIZE"),
        (r"\d{4}-\d\d-\d\d(T[0-9:.]+Z)?", "TIME"),
        (r"\b\d+(\.\d+)?(ms|µs|us|ns)\b|\b\d+\.\d+s\b", "SPAN"),
        (r"\b[a-z]+_[a-z]+\b of", "NAME of"),
        (r" {2,}", "  "),
        (r" +\n", "\n"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    }
    text
}

fn told(text: &mut String, what: &str, hoist: &Hoist, output: &Output) {
    let code = output.status.code().unwrap_or(-1);
    let _ = write!(text, "=== {what}: {code}\n{}", steady(&output.stdout, hoist));
    let talk = steady(&output.stderr, hoist);
    if !talk.is_empty() {
        let _ = write!(text, "--- said\n{talk}");
    }
}

fn state(text: &mut String, hoist: &Hoist) {
    let output = hoist.script(STATE, &[]).success();
    let _ = write!(text, "--- there is\n{}", steady(&output.stdout, hoist));
}

/// All that a pipeline tells.
fn all(name: &str, words: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scripts/{name}.rhai"));
    let path = path.to_str().unwrap();
    let mut text = String::new();
    let hoist = prepared();
    told(
        &mut text,
        "dry run",
        &hoist,
        &hoist.run(&[&["--dry-run", "run", path], words].concat()),
    );
    let planned = hoist.run(&[&["plan", "-o", "plan.json", path, "--"], words].concat());
    told(&mut text, "plan", &hoist, &planned);
    state(&mut text, &hoist);
    if planned.status.success() {
        told(&mut text, "apply", &hoist, &hoist.run(&["apply", "plan.json"]));
        state(&mut text, &hoist);
    }
    let other = prepared();
    told(&mut text, "run", &other, &other.run(&[&["run", path], words].concat()));
    state(&mut text, &other);
    text
}

#[test]
fn each_tells_what_it_would_do_plans_it_and_does_it() {
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines");
    let mut faults = Vec::new();
    for (name, words) in PIPELINES {
        let found = all(name, words);
        let known = fs::read_to_string(expected.join(format!("{name}.txt"))).unwrap_or_default();
        if found != known {
            faults.push(format!("##### {name}\n{found}"));
        }
    }
    assert!(faults.is_empty(), "not as expected:\n{}", faults.join("\n"));
}

#[test]
fn a_base_that_moves_is_followed() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines/base-check.test.rhai");
    Hoist::new().run(&["test", tests.to_str().unwrap()]).success();
}

#[test]
fn the_readme_has_an_entry_for_each_script() {
    let readme = include_str!("../README.md");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            readme.contains(&format!("](scripts/{name})")),
            "`{name}` is not in the README"
        );
    }
}
