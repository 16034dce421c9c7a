//! Pipelines of `scripts/`: each under dry-run, planned and applied, and run, with all it tells and what is there afterwards.
//!
//! What is expected is in `tests/pipelines/NAME.txt`, whole; ids, sizes, times and paths are left out.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::harness::served::Served;
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
        "jobs/nightly-prune",
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

/// Images that pipelines between registries find in the first of two, and a part of them in the second.
const PUBLISHED: &str = r#"
    for tag in ["1.0.0", "1.1.0", "2.0.0"] {
        image::from_host("made:1", ["/bin/true"], #{labels: #{tag: tag}});
        image::push("made:1", "FROM/team/app:" + tag);
    }
    registry::tag("FROM/team/app:1.0.0", "latest");
    registry::copy("FROM/team/app:1.1.0", "TO/mirror/app:1.1.0");
    registry::copy("FROM/team/app:1.0.0", "TO/mirror/app:2.0.0");
    0"#;

/// What is in both afterwards.
const IN_REGISTRIES: &str = r#"
    for place in ["FROM", "TO"] {
        for repository in registry::repos(place).sort_natural() {
            print(`${place}/${repository} ${registry::tags(`${place}/${repository}`).sort_natural().join(" ")}`);
        }
    }
    for path in fs::glob("out/*").sort_natural() { print("file " + fs::basename(path)); }"#;

/// The pipelines between registries, and their words: `FROM` and `TO` are two of them.
const BETWEEN_REGISTRIES: &[(&str, &[&str])] = &[
    ("mirror", &["list.toml"]),
    ("promote", &["FROM/team/app:2.0.0", "TO/prod/app:2.0.0"]),
    (
        "prune-tags",
        &[
            "FROM/team/app",
            "--older-than",
            "0s",
            "--keep-last",
            "1",
            "--tags",
            "[0-9]*",
        ],
    ),
    (
        "airgap-export",
        &["out/bundle", "FROM/team/app:1.0.0", "FROM/team/app:latest"],
    ),
    ("airgap-import", &["bundle", "TO/mirror"]),
    ("sync-check", &["FROM/team/app", "TO/mirror/app"]),
];

/// Where pipelines run: a store, and maybe two registries.
struct World {
    hoist: Hoist,
    registries: Vec<(&'static str, Served, Hoist)>,
}

impl World {
    fn with_images() -> World {
        let world = World {
            hoist: Hoist::new(),
            registries: Vec::new(),
        };
        world.hoist.eval(WORLD).success();
        world.with_places()
    }

    fn with_registries() -> World {
        let registries = ["FROM", "TO"].map(|name| {
            let store = Hoist::new();
            let served = Served::start(&store, &["--write", "--delete"]);
            (name, served, store)
        });
        let world = World {
            hoist: Hoist::new(),
            registries: registries.into(),
        };
        world.hoist.eval(&world.named(PUBLISHED)).success();
        let list =
            "[[mirror]]\nfrom = \"FROM/team/app\"\nto = \"TO/mirror/app\"\nsemver = \">=1.1\"\ndelete_extra = true\n";
        world.hoist.write("list.toml", world.named(list));
        let path = script("airgap-export");
        let name = world.named("FROM/team/app:1.0.0");
        world.hoist.run(&["run", &path, "bundle", &name]).success();
        world.with_places()
    }

    fn with_places(self) -> World {
        fs::create_dir(self.hoist.file("out")).unwrap();
        self
    }

    /// A text in which registries are as they are called here.
    fn named(&self, text: &str) -> String {
        let registries = self.registries.iter();
        registries.fold(text.to_owned(), |text, (name, served, _)| {
            text.replace(name, served.name())
        })
    }

    fn state(&self) -> &'static str {
        if self.registries.is_empty() {
            STATE
        } else {
            IN_REGISTRIES
        }
    }
}

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scripts/{name}.rhai"));
    path.to_str().unwrap().to_owned()
}

/// The text without what is another each time.
fn steady(text: &str, world: &World) -> String {
    let mut text = text.replace(&world.hoist.dir().display().to_string(), "DIR");
    for (name, served, _) in &world.registries {
        text = text.replace(served.name(), name);
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .display()
        .to_string();
    text = text.replace(&scripts, "scripts");
    for (pattern, word) in [
        (r"(made|last used) \S+ ago", "$1 SPAN ago"),
        (r"sha256:[0-9a-f]{64}|\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{12}\b", "ID"),
        (r"image-[0-9a-f]{16}", "image-NAME"),
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

fn told(text: &mut String, what: &str, world: &World, output: &Output) {
    let code = output.status.code().unwrap_or(-1);
    let _ = write!(text, "=== {what}: {code}\n{}", steady(&output.stdout, world));
    let talk = steady(&output.stderr, world);
    if !talk.is_empty() {
        let _ = write!(text, "--- said\n{talk}");
    }
}

fn state(text: &mut String, world: &World) {
    let output = world.hoist.script(&world.named(world.state()), &[]).success();
    let _ = write!(text, "--- there is\n{}", steady(&output.stdout, world));
}

/// All that a pipeline tells.
fn all(name: &str, words: &[&str], prepared: fn() -> World) -> String {
    let path = script(name);
    let (mut text, world) = (String::new(), prepared());
    let run = |world: &World, before: &[&str], between: &[&str]| {
        let named: Vec<String> = words.iter().map(|word| world.named(word)).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        world.hoist.run(&[before, &[&path], between, &named].concat())
    };
    world.hoist.run(&["check", &path]).success();
    told(&mut text, "dry run", &world, &run(&world, &["--dry-run", "run"], &[]));
    let planned = run(&world, &["plan", "-o", "plan.json"], &["--"]);
    told(&mut text, "plan", &world, &planned);
    state(&mut text, &world);
    if planned.status.success() {
        told(&mut text, "apply", &world, &world.hoist.run(&["apply", "plan.json"]));
        state(&mut text, &world);
    }
    let other = prepared();
    told(&mut text, "run", &other, &run(&other, &["run"], &[]));
    state(&mut text, &other);
    text
}

#[track_caller]
fn assert_told(pipelines: &[(&str, &[&str])], prepared: fn() -> World) {
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines");
    let mut faults = Vec::new();
    for (name, words) in pipelines {
        let found = all(name, words, prepared);
        let file = name.rsplit('/').next().unwrap_or(name);
        let known = fs::read_to_string(expected.join(format!("{file}.txt"))).unwrap_or_default();
        if found != known {
            faults.push(format!("##### {file}\n{found}"));
        }
    }
    assert!(faults.is_empty(), "not as expected:\n{}", faults.join("\n"));
}

#[test]
fn each_tells_what_it_would_do_plans_it_and_does_it() {
    assert_told(PIPELINES, World::with_images);
}

#[test]
fn so_does_each_between_registries() {
    assert_told(BETWEEN_REGISTRIES, World::with_registries);
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
