//! `registry::mutate`: what is changed of an image at its registry, and that nothing else moves.

use serde_json::{Value, json};

use crate::copies::filled;
use crate::harness::forge::{self, Files, Item};
use crate::harness::{Faulty, Hoist, Peers, Registry, inputs};

fn mutate(hoist: &Hoist, name: &str, to: &str, options: &str) -> Value {
    hoist.value(&format!("registry::mutate({name:?}, {to:?}, {options})"))
}

fn inspect(hoist: &Hoist, name: &str, platform: &str) -> Value {
    hoist.value(&format!("registry::inspect({name:?}, #{{platform: {platform:?}}})"))
}

fn layers(image: &Value) -> Vec<&str> {
    let layers = image["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["digest"].as_str().unwrap()).collect()
}

/// Pushes an image of layers of one file each.
fn push(hoist: &Hoist, name: &str, files: &[&str]) {
    let layers: Vec<Vec<u8>> = files
        .iter()
        .map(|file| forge::layer(&[(file, Item::File(file.as_bytes()))]))
        .collect();
    let archive = hoist.write("made.tar", Files::oci(&layers, "made:1").pack());
    hoist
        .eval(&format!("image::load({archive:?})[0].push({name:?}).digest"))
        .success();
}

#[test]
fn other_words_are_told_for_every_platform_and_no_layer_moves() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    filled(&peers, &registry);
    let front = Faulty::before(registry.address.parse().unwrap());
    let at = |name: &str| format!("{}/{name}", front.name());
    let (from, to) = (at("app:1"), at("app:2"));
    let options =
        r#"#{labels: #{stage: "test"}, env: #{PATH: "/x", NEW: 1}, cmd: ["/bin/true"], annotations: #{note: "n"}}"#;
    let planned = format!("registry::mutate({from:?}, {to:?}, {options}).digest");
    let planned = hoist
        .run(&["--dry-run", "--format", "json", "eval", &planned])
        .success();
    assert!(planned.stderr.contains("registry::mutate"), "{}", planned.stderr);
    assert_eq!(hoist.value(&format!("registry::exists({to:?})")), false);
    let made = mutate(&hoist, &from, &to, options);
    assert_eq!(made["digest"], planned.json(), "a dry run tells the digest");
    assert_eq!(made["manifests"], 3);
    assert_eq!(
        front.count("PUT /blobs/uploads/"),
        2,
        "two configurations, and no layer"
    );
    for platform in ["linux/amd64", "linux/arm64"] {
        let (before, after) = (inspect(&hoist, &from, platform), inspect(&hoist, &to, platform));
        assert_eq!(layers(&before), layers(&after));
        assert_ne!(before["id"], after["id"]);
        assert_eq!(
            (&after["labels"]["stage"], &after["cmd"]),
            (&json!("test"), &json!(["/bin/true"]))
        );
        let env: Vec<&str> = after["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap())
            .collect();
        assert!(env.contains(&"PATH=/x") && env.contains(&"NEW=1"), "{env:?}");
        assert_eq!(env.iter().filter(|text| text.starts_with("PATH=")).count(), 1);
        assert_eq!(before["architecture"], after["architecture"]);
        let layer = format!("GET /blobs/{}", layers(&after)[0]);
        assert_eq!(front.count(&layer), 0);
    }
    assert_eq!(
        hoist.value(&format!("registry::manifest({to:?}).annotations.note")),
        "n"
    );
    let again = mutate(&hoist, &from, &to, options);
    assert_eq!(
        (&again["digest"], &again["unchanged"], &again["moved"]),
        (&made["digest"], &json!(true), &json!(0))
    );
    // To another repository of the registry layers are mounted.
    let other = mutate(&hoist, &from, &at("other:1"), options);
    assert_eq!(other["digest"], made["digest"]);
    assert!(other["mounted"].as_u64() > other["moved"].as_u64(), "{other}");
    let crane = peers.run(&["crane", "validate", "--remote", &registry.name("app:2"), "--insecure"]);
    crane.success();
    assert_eq!(
        hoist.value(&format!("image::pull({to:?}).labels.stage")),
        "test",
        "what is made is an image"
    );
}

#[test]
fn an_image_is_put_on_another_base() {
    let (hoist, registry, other) = (Hoist::new(), Registry::new(), Registry::new());
    let at = |name: &str| registry.name(name);
    push(&hoist, &at("base:1"), &["base-1"]);
    push(&hoist, &other.name("base:2"), &["base-2", "base-2-more"]);
    push(&hoist, &at("app:1"), &["base-1", "app", "app-more"]);
    push(&hoist, &at("alien:1"), &["base-2", "app"]);
    let rebase = |name: &str| {
        let (old, new) = (at("base:1"), other.name("base:2"));
        format!(
            "registry::mutate({name:?}, {:?}, #{{rebase: #{{from: {old:?}, to: {new:?}}}}})",
            at("app:2")
        )
    };
    let failed = hoist.eval(&rebase(&at("alien:1"))).fails_with(1);
    assert!(
        failed.stderr.contains("error[conflict]") && failed.stderr.contains("does not stand on"),
        "{}",
        failed.stderr
    );
    let made = hoist.value(&rebase(&at("app:1")));
    let facts = format!(
        r#"let i = image::pull({:?}); [i.digest, image::files(i, "**").filter(|f| f.kind == "file").map(|f| f.path).sort_natural(), i.layers.len(), i.history().len()]"#,
        at("app:2")
    );
    let wanted = ["/app", "/app-more", "/base-2", "/base-2-more"];
    assert_eq!(hoist.value(&facts), json!([made["digest"], wanted, 4, 4]));
    let annotations = hoist.value(&format!("registry::manifest({:?}).annotations", at("app:2")));
    assert_eq!(annotations["org.opencontainers.image.base.name"], other.name("base:2"));
    let base = hoist.value(&format!("registry::digest({:?})", other.name("base:2")));
    assert_eq!(annotations["org.opencontainers.image.base.digest"], base);
}

#[test]
fn an_image_becomes_one_layer() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    let archive = format!("docker-archive:{}", inputs::path("layers.skopeo.docker.tar").display());
    registry.put(&peers, &archive, "app:1", &[]);
    let (from, to) = (registry.name("app:1"), registry.name("app:flat"));
    let made = mutate(&hoist, &from, &to, r#"#{squash: true, labels: #{flat: "yes"}}"#);
    assert_eq!(
        mutate(&hoist, &from, &to, r#"#{squash: true, labels: #{flat: "yes"}}"#)["digest"],
        made["digest"]
    );
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
    assert_eq!(hoist.staged().len(), 0);
    let files = |name: &str| {
        hoist.value(&format!(
            r#"let i = image::pull({name:?}); [i.layers.len(), image::files(i, "**").map(|f| [f.path, f.kind, f.size, f.mode, f.link])]"#
        ))
    };
    let (before, after) = (files(&from), files(&to));
    assert!(
        before[0].as_u64() > Some(1) && after[0] == 1,
        "{} {}",
        before[0],
        after[0]
    );
    assert_eq!(before[1], after[1]);
    assert_eq!(hoist.value(&format!("image::get({to:?}).labels.flat")), "yes");
}

#[test]
fn what_cannot_be_changed_is_told() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    push(&hoist, &registry.name("app:1"), &["a"]);
    let name = registry.name("app:1");
    for (options, words) in [
        ("#{}", "nothing is to be changed"),
        (
            r#"#{squash: true, rebase: #{from: "a", to: "b"}}"#,
            "exclude each other",
        ),
        (r#"#{rebase: #{from: "a"}}"#, "needs the option `to`"),
        (r#"#{label: #{}}"#, "did you mean `labels`?"),
    ] {
        let failed = hoist
            .eval(&format!("registry::mutate({name:?}, {name:?}, {options})"))
            .fails_with(1);
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
    }
}

#[test]
fn a_name_that_is_protected_stays_what_it_is() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    let (name, other) = (registry.name("app:prod"), registry.name("app:1"));
    push(&hoist, &name, &["a"]);
    push(&hoist, &other, &["b"]);
    let archive = hoist.file("other.tar");
    let archive = format!("docker-archive:{}", archive.display());
    hoist
        .eval(&format!("registry::copy({other:?}, {archive:?}).digest"))
        .success();
    let config = hoist.write("hoist.toml", format!("[protect]\nimages = [{name:?}]\n"));
    for script in [
        format!(r#"registry::mutate({name:?}, {name:?}, #{{labels: #{{a: "b"}}}})"#),
        format!("registry::copy({other:?}, {name:?})"),
        format!("registry::copy({archive:?}, {name:?})"),
    ] {
        let words = ["--config", config.to_str().unwrap(), "eval", &script];
        hoist.run(&words).fails_with(3).stderr_has(&["is protected by `"]);
    }
}
