//! `image::pull` from Debian's registry, and from ones that fail: the image is the one that was put there, or there is none.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::registry::USER;
use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Guard, Hoist, Peers, Registry, inputs};

/// Where skopeo finds an input.
fn archive(name: &str) -> String {
    format!("docker-archive:{}", inputs::path(name).display())
}

fn pull(hoist: &Hoist, name: &str, options: &str) -> String {
    let expression = format!(r#"image::pull("{name}", #{{{options}}}).id"#);
    hoist.value(&expression).as_str().unwrap().to_owned()
}

/// Kind, message and hint of what is thrown.
fn error(hoist: &Hoist, expression: &str) -> (String, String, String) {
    let thrown = hoist.value(&format!(
        "let e = attempt(|| {expression}).error; [e.kind, e.message, `${{e.hint}}`]"
    ));
    let text = |place: usize| thrown[place].as_str().unwrap_or_else(|| panic!("{thrown}")).to_owned();
    (text(0), text(1), text(2))
}

#[track_caller]
fn assert_sound(hoist: &Hoist) {
    let check = hoist.value("let c = system::check(); [c.ok, c.problems]");
    assert_eq!(check, json!([true, []]));
}

/// The names of the unpacked layers.
fn hoist_layers(hoist: &Hoist) -> Vec<String> {
    let entries = std::fs::read_dir(hoist.root().join("layers"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let dirs = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = dirs.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_pulled_image_is_the_loaded_one() {
    let (registry, peers) = (Registry::new(), Peers::new());
    for (image, flags) in [("debian", &[][..]), ("layers", &["--dest-compress-format", "zstd"][..])] {
        let input = format!("{image}.skopeo.docker.tar");
        registry.put(&peers, &archive(&input), &format!("team/{image}:1"), flags);
        let (pulled, loaded) = (Hoist::new(), Hoist::new());
        let id = pull(&pulled, &registry.name(&format!("team/{image}:1")), "");
        // To have zstd, skopeo makes an OCI image of it, with a configuration of its own.
        assert!(!flags.is_empty() || id == inputs::image_id(&input), "{id}");
        let path = inputs::path(&input);
        loaded
            .eval(&format!(r#"image::load("{}").len()"#, path.display()))
            .success();
        let layers = hoist_layers(&loaded);
        assert_eq!(hoist_layers(&pulled), layers);
        for layer in &layers {
            let tree = |hoist: &Hoist| {
                let mut tree = Tree::read(&hoist.root().join("layers").join(layer));
                // Whiteouts have the time at which they were made.
                let whiteouts = tree.0.values_mut().filter(|entry| entry.device == Some((0, 0)));
                whiteouts.for_each(|entry| entry.mtime = (0, 0));
                tree
            };
            tree(&loaded).assert_same(&tree(&pulled), Ignore::default());
        }
        assert_sound(&pulled);
        assert_eq!(pulled.staged(), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn an_image_stays_packed_until_its_files_are_wanted() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "app:1", &[]);
    let (name, whole) = (registry.name("app:1"), Hoist::new());
    let id = pull(&hoist, &name, "unpack: false");
    assert_eq!(pull(&whole, &name, ""), id);
    assert_eq!(hoist_layers(&hoist), [""; 0]);
    assert_sound(&hoist);
    // It is as good as any other to those who want no files.
    let facts = format!(
        r#"let i = image::get("{name}"); [i.id, i.digest, i.size, i.unique_size, i.layers, image::list().len()]"#
    );
    assert_eq!(hoist.value(&facts), whole.value(&facts));
    assert_eq!(
        hoist.value(&format!(r#"image::inspect("{name}").GraphDriver.Data == ()"#)),
        true
    );
    let (saved, other) = (hoist.file("app.tar"), registry.name("other:1"));
    let moved = format!(
        r#"image::save("{name}", {saved:?}); image::tag("{name}", "app:2"); [image::push("app:2", "{other}").digest, image::get("app:2").digest]"#
    );
    let digests = hoist.value(&moved);
    assert_eq!(digests[0], digests[1]);
    assert_eq!(Hoist::new().value(&format!("image::load({saved:?})[0].id")), id);
    let files = format!(r#"image::files("{name}", "**").map(|f| [f.path, f.size, f.layer])"#);
    let planned = hoist.run(&["--dry-run", "--format", "json", "eval", &files]).success();
    assert_eq!(planned.json(), whole.value(&files));
    assert_eq!(hoist_layers(&hoist), [""; 0], "a dry run unpacks elsewhere");
    assert_eq!(hoist.value(&files), whole.value(&files));
    assert_eq!(hoist_layers(&hoist), hoist_layers(&whole));
    assert_sound(&hoist);
    let remove = r#"image::remove("app:2"); image::prune(#{unused: true, all: true}); image::list(#{all: true}).len()"#;
    assert_eq!(hoist.value(remove), 0);
    pull(&hoist, &name, "unpack: false");
    hoist.eval(remove.split_once("; ").unwrap().1).success();
    assert_eq!(std::fs::read_dir(hoist.root().join("layers")).unwrap().count(), 0);
}

#[test]
fn a_container_unpacks_what_its_image_kept_packed() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    let settings = hoist.write("hoist.toml", "[store]\nblobs = \"drop\"\n");
    let run = |words: &[&str]| {
        hoist
            .run(&[&["--config", settings.to_str().unwrap()], words].concat())
            .success()
    };
    run(&["pull", "--unpack=false", &name]);
    assert_sound(&hoist);
    let blobs = || {
        let mut find = crate::harness::program("find");
        find.arg(hoist.root().join("content/blobs/sha256")).args(["-type", "f"]);
        crate::harness::Output::of(find, None).stdout.lines().count()
    };
    assert_eq!(
        (blobs(), hoist_layers(&hoist).len()),
        (3, 0),
        "what is packed is not dropped"
    );
    run(&[
        "eval",
        &format!(r#"container::run("{name}", ["/bin/echo", "hi"]).text()"#),
    ]);
    assert_eq!(
        (blobs(), hoist_layers(&hoist).is_empty()),
        (2, false),
        "what is unpacked is"
    );
    assert_sound(&hoist);
    // A packed layer has its blob alone: without it the image is gone.
    let lost = Hoist::new();
    pull(&lost, &name, "unpack: false");
    let mut largest = crate::harness::program("sh");
    largest
        .args(["-c", "truncate -s -1 \"$(ls -S \"$0\"/* | head -n 1)\""])
        .arg(lost.root().join("content/blobs/sha256"));
    crate::harness::Output::of(largest, None).success();
    let problems = lost.value("system::check().problems.map(|p| [p.kind, p.object])");
    assert_ne!(problems, json!([]));
    let failed = lost
        .eval(&format!(r#"container::run("{name}", ["/bin/echo"])"#))
        .fails_with(1);
    assert!(
        failed.stderr.contains("error[corrupt]: failed to unpack the layer"),
        "{}",
        failed.stderr
    );
}

#[test]
fn what_is_here_is_not_fetched() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "team/layers:1", &[]);
    let name = registry.name("team/layers:1");
    registry.asked();
    let id = pull(&hoist, &name, "");
    let blobs = registry
        .asked()
        .iter()
        .filter(|asked| asked.contains("/blobs/"))
        .count();
    assert!(blobs > 2, "{blobs}");
    for (options, asked) in [
        ("", 0),
        (r#"policy: "never""#, 0),
        (r#"policy: "always""#, 1),
        (r#"policy: "newer""#, 1),
    ] {
        assert_eq!(pull(&hoist, &name, options), id);
        assert_eq!(
            registry.asked(),
            vec!["HEAD /v2/team/layers/manifests/1".to_owned(); asked],
            "{options}"
        );
    }
    // Another name for it costs one question as well.
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "team/layers:2", &[]);
    registry.asked();
    assert_eq!(pull(&hoist, &registry.name("team/layers:2"), ""), id);
    assert_eq!(registry.asked(), ["HEAD /v2/team/layers/manifests/2"]);
    assert_eq!(hoist.value(&format!(r#"image::get("{name}").tags.len()"#)), 2);
}

#[test]
fn policies_decide_who_is_asked() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    let name = registry.name("app:1");
    let (kind, message, _) = error(&hoist, &format!(r#"image::pull("{name}", #{{policy: "never"}})"#));
    assert_eq!(
        (kind.as_str(), message.contains("not in the store")),
        ("not_found", true)
    );
    assert_eq!(error(&hoist, &format!(r#"image::pull("{name}")"#)).0, "not_found");
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let first = pull(&hoist, &name, "");
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "app:1", &[]);
    assert_eq!(pull(&hoist, &name, ""), first);
    let second = pull(&hoist, &name, r#"policy: "newer""#);
    assert_ne!(second, first);
    assert_eq!(hoist.value(&format!(r#"image::get("{first}").dangling"#)), true);
    drop(registry);
    assert_eq!(pull(&hoist, &name, r#"policy: "newer""#), second);
    let (kind, message, _) = error(&hoist, &format!(r#"image::pull("{name}", #{{policy: "always"}})"#));
    assert!(kind == "network" && message.contains("connection refused"), "{message}");
    let unknown = error(&hoist, r#"image::pull("x", #{policy: "allways"})"#);
    assert_eq!(unknown.0, "invalid");
}

#[test]
fn a_container_gets_the_platform_it_asks_for() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    let name = registry.name("app:1");
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let tar = inputs::path("busybox.tar");
    let import = format!(r#"image::import_tar({tar:?}, {name:?}, #{{platform: "linux/riscv64"}})"#);
    hoist.eval(&import).success();
    let own = hoist::model::Platform::host().to_string();
    let run = |options: &str| format!(r#"container::run({name:?}, ["echo", "here"], #{{{options}}}).text()"#);
    let (kind, message, _) = error(&hoist, &run(&format!("platform: {own:?}")));
    assert_eq!(kind, "not_found");
    let both = format!("is here for linux/riscv64, not for {own}");
    assert!(message.contains(&both), "{message}");
    let create = format!(r#"container::create({name:?}, ["true"], #{{platform: "linux/riscv64"}}).status"#);
    assert_eq!(hoist.value(&create), "created");
    let (kind, _, _) = error(&hoist, &run(r#"platform: "riscv""#));
    assert_eq!(kind, "invalid");
    assert_eq!(
        hoist.value(&run(&format!(r#"platform: {own:?}, pull: "missing""#))),
        "here"
    );
}

#[test]
fn an_image_asked_for_by_digest_is_known_by_it() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let id = pull(&hoist, &registry.name("app:1"), "");
    let digest = hoist.value(&format!(r#"image::get("{id}").digest"#));
    let pinned = format!("{}@{}", registry.name("app"), digest.as_str().unwrap());
    let other = Hoist::new();
    assert_eq!(pull(&other, &pinned, ""), id);
    let facts = other.value(&format!(
        r#"let i = image::get("{pinned}"); [i.id, i.dangling, i.inspect().RepoTags]"#
    ));
    assert_eq!(facts, json!([id, false, []]));
    assert_eq!(other.value("image::prune().removed.len()"), 0);
    let saved = other.file("saved.tar");
    other
        .eval(&format!(r#"image::save("{id}", "{}").size"#, saved.display()))
        .success();
    assert_eq!(hoist.value(&format!(r#"image::load("{}")[0].id"#, saved.display())), id);
}

#[test]
fn every_tag_comes_at_once() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "app:2", &[]);
    let name = registry.name("app");
    pull(&hoist, &name, "all_tags: true");
    let tags = hoist.value("image::list().map(|i| i.name)");
    assert_eq!(tags.as_array().unwrap().len(), 2, "{tags}");
    assert_eq!(
        error(
            &hoist,
            &format!(r#"image::pull("{}", #{{all_tags: true}})"#, registry.name("none"))
        )
        .0,
        "not_found"
    );
}

#[test]
fn a_dry_run_brings_nothing() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    let script = format!(r#"let i = image::pull("{name}"); print(image::get("{name}").id == i.id); print(i.size > 0)"#);
    let output = hoist.run(&["--dry-run", "eval", &script]).success();
    assert!(output.stdout.starts_with("true\ntrue"), "{}", output.stdout);
    assert!(output.stderr.contains("image::pull"), "{}", output.stderr);
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
}

#[test]
fn a_guarded_registry_is_shown_the_password_and_nobody_else_sees_it() {
    let (registry, peers, hoist) = (
        Registry::guarded(Guard {
            password: true,
            tls: false,
        }),
        Peers::new(),
        Hoist::new(),
    );
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    let (kind, message, hint) = error(&hoist, &format!(r#"image::pull("{name}")"#));
    assert_eq!(kind, "unauthorized");
    assert!(
        message.contains("answered 401") && hint.contains("`username`"),
        "{message} {hint}"
    );
    let script = format!(
        "let p = `wrong-{}`;\nimage::pull(`{name}`, #{{username: `ann`, password: p}});",
        USER.1
    );
    let wrong = hoist.script(&script, &[]);
    assert!(
        !format!("{}{}", wrong.stdout, wrong.stderr).contains(USER.1),
        "{}",
        wrong.stderr
    );
    wrong.fails_with(1);
    let options = format!(r#"username: "{}", password: "{}""#, USER.0, USER.1);
    let output = hoist
        .eval(&format!(r#"image::pull("{name}", #{{{options}}}).id"#))
        .success();
    assert!(!format!("{}{}", output.stdout, output.stderr).contains(USER.1));
    let dir = hoist.root();
    let found = crate::harness::program("grep")
        .args(["-rl", USER.1])
        .arg(dir)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_certificate_of_its_own_making_is_refused_unless_told_otherwise() {
    let (registry, peers, hoist) = (
        Registry::guarded(Guard {
            password: false,
            tls: true,
        }),
        Peers::new(),
        Hoist::new(),
    );
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    let (kind, message, hint) = error(
        &hoist,
        &format!(r#"image::pull("{name}", #{{tls_verify: true, retries: 0}})"#),
    );
    assert_eq!(kind, "network");
    assert!(
        message.contains("certificate") && hint.contains("`tls_verify: false`"),
        "{message} {hint}"
    );
    let id = pull(&hoist, &name, "tls_verify: false");
    // On the loopback Docker asks for no certificate either.
    assert_eq!(pull(&Hoist::new(), &name, ""), id);
}

#[test]
fn a_pull_that_takes_too_long_says_so() {
    let hoist = Hoist::new();
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app:1", deaf.local_addr().unwrap());
    let (kind, message, _) = error(&hoist, &format!(r#"image::pull("{name}", #{{timeout: 1.seconds}})"#));
    assert_eq!(kind, "timeout");
    assert!(message.ends_with("was not here within 1s"), "{message}");
}

#[test]
fn the_command_prints_what_it_pulled() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    for words in [&["pull", &name][..], &["image", "pull", "--tls-verify=false", &name]] {
        hoist.run(words).success().stdout_is(&name);
    }
    let output = hoist
        .run(&["--quiet", "pull", &name, &registry.name("none:1")])
        .fails_with(1);
    assert_eq!(output.stdout.trim(), name);
    assert!(
        output
            .stderr
            .starts_with("Error: failed to get the manifest of `none:1` from `127.0.0.1:"),
        "{}",
        output.stderr
    );
    hoist
        .eval(&format!(r#"container::run("{name}", ["true"]).code"#))
        .success();
}

#[test]
fn a_killed_pull_goes_on_where_it_was() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("debian.skopeo.docker.tar"), "debian:1", &[]);
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "layers:1", &[]);
    for (image, rounds) in [("debian", 12), ("layers", 8)] {
        let name = registry.name(&format!("{image}:1"));
        let remove = format!(r#"if image::exists("{name}") {{ image::remove("{name}"); }}"#);
        for round in 0..rounds {
            hoist.eval(&remove).success();
            let running = hoist.command(&["pull", &name]).spawn();
            wait(Duration::from_millis(20 + round * 45));
            running.signal(Signal::SIGKILL);
            running.wait();
        }
        let id = pull(&hoist, &name, "");
        assert_eq!(id, inputs::image_id(&format!("{image}.skopeo.docker.tar")));
        assert_sound(&hoist);
    }
    assert_eq!(hoist.staged().len(), 0, "{:?}", hoist.staged());
}

#[test]
fn nothing_is_fetched_again_after_a_kill_but_what_was_on_its_way() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("debian.skopeo.docker.tar"), "debian:1", &[]);
    let name = registry.name("debian:1");
    let running = hoist.command(&["pull", &name]).spawn();
    let is_part = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "part");
    let parts = || hoist.staged().into_iter().filter(is_part);
    let had = || {
        parts()
            .filter_map(|path| Some(path.metadata().ok()?.len()))
            .sum::<u64>()
    };
    running.until(|| had() > 1 << 20);
    running.signal(Signal::SIGKILL);
    running.wait();
    assert!(had() > 1 << 20);
    let again = hoist.run(&["pull", &name]).success();
    assert!(!again.stderr.contains("fetched again"), "{}", again.stderr);
    assert!(registry.answered().contains(&206), "by range");
    assert_sound(&hoist);
}

#[test]
fn a_container_has_its_image_pulled_if_it_says_so() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("busybox.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    let run = |options: &str| format!(r#"container::run("{name}", ["/bin/echo", "hi"], #{{{options}}}).text()"#);
    assert_eq!(error(&hoist, &run("")).0, "not_found");
    assert_eq!(error(&hoist, &run(r#"pull: "never""#)).0, "not_found");
    assert_eq!(hoist.value(&run(r#"pull: "missing""#)), "hi");
    registry.asked();
    assert_eq!(hoist.value(&run(r#"pull: "missing""#)), "hi");
    assert!(registry.asked().is_empty());
    assert_eq!(hoist.value(&run(r#"pull: "always""#)), "hi");
    assert_eq!(registry.asked(), ["HEAD /v2/app/manifests/1"]);
}

#[test]
fn on_a_terminal_a_line_tells_how_far_it_is() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    registry.put(&peers, &archive("layers.skopeo.docker.tar"), "app:1", &[]);
    let name = registry.name("app:1");
    let pull = hoist.command(&["pull", &name]).env("TERM", "xterm");
    let mut screen = pull.on_screen();
    screen.wait_for(" layers, ");
    assert_eq!(screen.code(), 0);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment itself is what is tested: no event marks it"
)]
fn wait(moment: Duration) {
    std::thread::sleep(moment);
}
