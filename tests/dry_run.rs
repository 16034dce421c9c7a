//! A dry run: nothing is changed, here or at a registry, and what is read later is as it would be.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hoist::bindings::effects;
use hoist::script::docs;

use crate::harness::Hoist;
use crate::harness::served::Served;
use crate::harness::tree::{content, differing};

const PREPARATION: &str = r#"
    image::from_host("tools", ["/bin/sh", "/bin/cat", "/bin/sleep", "/bin/true"]);
    image::from_host("app:1", ["/bin/cat"]);
    container::create("tools", ["cat"], #{name: "c"});
    container::run_detached("tools", ["sleep", "300"], #{name: "web"});
    0"#;

/// Each statement ends with what is read after it.
const WORLD: &str = r#"
    let before = system::df();
    image::tag("tools", "tools:2");
    assert::eq(image::get("tools:2").tags, ["tools:2", "tools:latest"]);
    image::tag("app:1", "tools:2");
    assert::eq(image::get("tools").tags, ["tools:latest"]);
    let n = container::create("tools", ["true"], #{name: "n"});
    assert::eq(container::list(#{all: true}).map(|c| c.name).sort_natural(), ["c", "n", "web"]);
    n.start();
    assert::eq(n.reload().status, "running");
    n.wait();
    assert::eq(n.reload().status, "exited");
    n.remove();
    assert::ok(!container::exists("n"));
    let web = container::get("web");
    web.pause();
    assert::eq(web.reload().status, "paused");
    web.unpause();
    web.rename("front");
    assert::ok(!container::exists("web") && container::get("front").running);
    web.stop();
    assert::eq(container::list(), []);
    web.restart();
    web.kill();
    assert::eq(web.reload().status, "exited");
    let c = container::get("c");
    c.update(#{memory: 64.mib});
    assert::eq(c.reload().inspect().HostConfig.Memory, 64.mib);
    c.write_file("/note", "hello");
    assert::eq(c.read_file("/note"), "hello");
    let file = fs::temp_file();
    fs::write(file, "copied");
    c.copy_in(file, "/copied");
    c.copy_out("/copied", "out");
    assert::eq(fs::read("out"), "copied");
    c.export_tar("c.tar");
    assert::ok(fs::size("c.tar") > 1000);
    c.commit("made:1");
    assert::eq(image::get("made:1").tags, ["made:1"]);
    let saved = image::save("made:1", "made.tar");
    assert::eq(fs::size("made.tar"), saved.size);
    assert::eq(hash::sha256_file("made.tar"), saved.sha256);
    image::untag("made:1");
    assert::eq(image::load("made.tar").map(|i| i.name), ["made:1"]);
    assert::eq(container::prune().removed.len(), 2);
    assert::eq(image::prune(#{all: true}).removed.len(), 3);
    assert::eq(image::list(#{all: true}), []);
    let df = system::df();
    assert::eq([df.images.count, df.containers.count], [0, 0]);
    assert::ok(df.images.size < before.images.size / 10);
    assert::ok(df.containers.size < before.containers.size);
    assert::eq(system::info().images, 0);
"#;

#[test]
fn what_is_read_later_is_as_it_would_be() {
    let hoist = Hoist::new();
    hoist.eval(PREPARATION).success();
    let before = (content(&hoist.root()), content(&hoist.dir()));
    let path = hoist.write("world.rhai", WORLD);
    hoist.run(&["--dry-run", "run", path.to_str().unwrap()]).success();
    let mut after = content(&hoist.dir());
    after.retain(|path, _| !path.ends_with("world.rhai"));
    assert_eq!(differing(&before.0, &content(&hoist.root())), Vec::<PathBuf>::new());
    let work = differing(&before.1, &after);
    assert!(work.iter().all(|path| path.file_name().is_none()), "{work:?}");
    assert_eq!(hoist.value(r#"container::get("web").running"#), true);
}

/// What changes registries, and what is read there afterwards.
fn at_registry(host: &str) -> String {
    r#"
    let app = "HOST/app";
    registry::tag(app + ":1", "2");
    assert::eq(registry::digest(app + ":2"), registry::digest(app + ":1"));
    assert::eq(registry::tags(app).sort_natural(), ["1", "2", "old"]);
    registry::delete_tag(app + ":old");
    assert::ok(!registry::exists(app + ":old"));
    registry::copy(app + ":1", "HOST/other:1");
    assert::eq(registry::tags("HOST/other"), ["1"]);
    registry::mirror(app, "HOST/mirror", #{tags: ["1"]});
    assert::eq(registry::digest("HOST/mirror:1"), registry::digest(app + ":1"));
    registry::mutate(app + ":1", app + ":labelled", #{labels: #{of: "dry run"}});
    assert::ok(registry::exists(app + ":labelled"));
    registry::index("HOST/both:1", #{create: true}).add(app + ":1").push();
    assert::eq(registry::index("HOST/both:1").platforms.len(), 1);
    image::push("tools", "HOST/tools:1");
    assert::ok(registry::exists("HOST/tools:1"));
    image::get("tools").push("HOST/tools:2");
    registry::copy(app + ":1", "oci-dir:layout:1");
    image::pull(app + ":1");
    assert::ok(image::exists(app + ":1"));
    registry::delete(app + "@" + registry::digest(app + ":1"));
    assert::ok(!registry::exists(app + ":1"));
    let server = registry::serve(#{listen: "127.0.0.1:0", write: true});
    server.stop();
    registry::login("HOST", "me", "secret");
    registry::logout("HOST");
    system::boot();
    system::check(#{repair: true});
    registry::prune_cache(#{not_used_for: 1.days});
    http::post("http://HOST/v2/app/blobs/uploads/");
    http::put("http://HOST/v2/app/manifests/9", #{body: "{}"});
    http::patch("http://HOST/v2/app/blobs/uploads/1");
    http::delete("http://HOST/v2/app/manifests/1");
    notify::webhook("http://HOST/hook", #{});
    notify::slack("http://HOST/slack", "x");
    notify::mail("a@example.org", "s", "t", #{sendmail: "/bin/true"});
    job::add("job.rhai");
    job::pause("job");
    job::resume("job");
    job::run("job");
    job::remove("job");
    "#
    .replace("HOST", host)
}

#[test]
fn no_registry_is_changed_and_every_mutator_of_the_table_is_tried() {
    let (hoist, far) = (Hoist::new(), Hoist::new());
    hoist.eval(PREPARATION).success();
    let served = Served::start(&far, &["--write", "--delete"]);
    for (image, name) in [("app:1", "app:1"), ("tools", "app:old")] {
        hoist
            .eval(&format!("image::push({image:?}, \"{}/{name}\"); 0", served.name()))
            .success();
    }
    let before = (content(&hoist.root()), content(&far.root()));
    let script = at_registry(served.name());
    let path = hoist.write("registry.rhai", &script);
    hoist.write("job.rhai", "//! Cleans up.\n//! schedule: 0 3 * * *\n");
    hoist.run(&["--dry-run", "run", path.to_str().unwrap()]).success();
    assert_eq!(differing(&before.0, &content(&hoist.root())), Vec::<PathBuf>::new());
    assert_eq!(differing(&before.1, &content(&far.root())), Vec::<PathBuf>::new());
    assert!(!hoist.file("layout").exists());
    served.stop();

    // Examples that need images run under dry-run, too; those of `fs` and the like beside the code.
    let examples: String = docs::functions()
        .iter()
        .flat_map(docs::Function::examples)
        .filter(|example| !example.flags.iter().any(|flag| flag == "no_run"))
        .map(|example| example.code)
        .collect();
    let tried = [examples.as_str(), WORLD, &script].concat();
    let is_tried = |name: &&str| {
        let called = match name.split_once('.') {
            Some((_, method)) => format!(".{method}("),
            None => format!("{name}("),
        };
        tried.contains(&called)
    };
    let left: BTreeSet<&str> = effects::names()
        .filter(|name| !effects::only_looks(name))
        .filter(|name| !is_tried(name))
        .collect();
    assert_eq!(left, BTreeSet::new());
}

#[test]
fn a_script_is_told_where_it_relies_on_what_was_not_run() {
    let hoist = Hoist::new();
    hoist.eval(PREPARATION).success();
    let script = "let r = container::run(\"tools\", [\"cat\", \"/x\"]);\nif r.ok { print(r.text()) }\nlet c = container::run_detached(\"tools\", [\"true\"]);\nc.logs();";
    let path = hoist.write("relies.rhai", script);
    let output = hoist.run(&["--dry-run", "run", path.to_str().unwrap()]).success();
    let told: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("warn: "))
        .collect();
    let places = [
        "relies.rhai:2: `stdout` of a command",
        "relies.rhai:4: `Container.logs` of a program",
    ];
    assert_eq!(told.len(), places.len(), "{}", output.stderr);
    assert!(
        told.iter().zip(places).all(|(line, place)| line.contains(place)),
        "{told:?}"
    );
}
