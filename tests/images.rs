//! Names, removal, filters: `image::` behaves as people who know Docker expect.

use std::fs;
use std::path::PathBuf;

use crate::harness::forge::{Files, Item, layer, sha256};
use crate::harness::{Hoist, inputs};

/// Loads a small image of its own for each word, named by it, and returns the IDs.
fn images(hoist: &Hoist, names: &[&str]) -> Vec<String> {
    let make = |name: &&str| {
        let content = layer(&[("name", Item::File(name.as_bytes()))]);
        let path = hoist.write("image.tar", Files::docker(&[content], name).pack());
        hoist
            .value(&format!(r#"image::load("{}")[0].id"#, path.display()))
            .as_str()
            .unwrap()
            .to_owned()
    };
    names.iter().map(make).collect()
}

#[track_caller]
fn kind(hoist: &Hoist, expression: &str) -> String {
    let kind = hoist.value(&format!("attempt(|| {expression}).error.kind"));
    kind.as_str()
        .unwrap_or_else(|| panic!("`{expression}` threw nothing"))
        .to_owned()
}

#[test]
fn names_are_normalised() {
    let hoist = Hoist::new();
    let id = &images(&hoist, &["debian:latest"])[0];
    for name in [
        "debian",
        "library/debian",
        "docker.io/debian",
        "docker.io/library/debian:latest",
        "index.docker.io/debian",
    ] {
        assert_eq!(hoist.value(&format!(r#"image::get("{name}").id"#)), *id, "{name}");
    }
    for name in ["debian:12", "localhost/debian", "example.org/library/debian"] {
        assert_eq!(hoist.value(&format!(r#"image::exists("{name}")"#)), false, "{name}");
    }
    assert_eq!(kind(&hoist, r#"image::get("UPPER/case:!")"#), "invalid");
    assert_eq!(kind(&hoist, r#"image::tag("debian", "UPPER/case:!")"#), "invalid");
}

#[test]
fn a_moved_tag_leaves_the_old_image_dangling() {
    let hoist = Hoist::new();
    let ids = images(&hoist, &["app:1", "other:1"]);
    hoist.eval(r#"image::tag("other:1", "app:1").id"#).success();
    assert_eq!(hoist.value(r#"image::get("app:1").id"#), ids[1].as_str());
    let old = &ids[0];
    assert_eq!(
        hoist.value(&format!(r#"let i = image::get("{old}"); [i.dangling, i.tags.len()]"#)),
        serde_json::json!([true, 0])
    );
    assert_eq!(
        hoist.value("image::prune().removed.map(|r| r.id)"),
        serde_json::json!([old])
    );
    assert_eq!(hoist.value("image::list().len()"), 1);
}

#[test]
fn removing_a_name_keeps_the_others_and_removing_the_id_takes_all() {
    let hoist = Hoist::new();
    let id = &images(&hoist, &["app:1"])[0];
    hoist
        .eval(r#"image::tag("app:1", "app:2"); image::tag("app:1", "else:3").id"#)
        .success();
    hoist.eval(r#"image::remove("app:1").removed.len()"#).success();
    assert_eq!(
        hoist.value(&format!(r#"let t = image::get("{id}").tags; t.sort(); t"#)),
        serde_json::json!(["app:2", "else:3"])
    );
    hoist.eval(&format!(r#"image::remove("{id}").removed.len()"#)).success();
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
    assert_eq!(kind(&hoist, r#"image::remove("app:2")"#), "not_found");
}

#[test]
fn a_unique_prefix_is_an_id_and_another_is_an_error() {
    let hoist = Hoist::new();
    // Of seventeen IDs two start with the same digit.
    let names: Vec<String> = (0..17).map(|number| format!("many:{number}")).collect();
    let ids = images(&hoist, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let digits: Vec<&str> = ids.iter().map(|id| &id["sha256:".len()..]).collect();
    let shared = digits
        .iter()
        .map(|id| &id[..1])
        .find(|start| digits.iter().filter(|id| id.starts_with(start)).count() > 1)
        .unwrap();
    assert_eq!(kind(&hoist, &format!(r#"image::get("{shared}")"#)), "invalid");
    for (id, digits) in ids.iter().zip(&digits) {
        assert_eq!(
            hoist.value(&format!(r#"image::get("{}").id"#, &digits[..12])),
            id.as_str()
        );
        assert_eq!(hoist.value(&format!(r#"image::get("{}").id"#, id)), id.as_str());
    }
}

#[test]
fn a_filter_selects_what_it_prunes_and_says_why() {
    let hoist = Hoist::new();
    images(&hoist, &["app:1.0.0", "app:1.1.0", "app:2.0.0", "base:1", "tool:1"]);
    let filters = [
        (r#"#{reference: "app:*"}"#, "app:1.0.0 app:1.1.0 app:2.0.0"),
        // A pattern without a tag is about the repository, all its tags.
        (r#"#{reference: ["app:1.*", "tool"]}"#, "app:1.0.0 app:1.1.0 tool:1"),
        (r#"#{reference: ["app:1.*", "too"]}"#, "app:1.0.0 app:1.1.0"),
        (
            r#"#{reference: ["app:1.*", "tool:*"], keep: "app:1.1.*"}"#,
            "app:1.0.0 tool:1",
        ),
        (r#"#{older_than: 1.days, keep: ["app:*"]}"#, "base:1 tool:1"),
        (r"#{newer_than: 1.hours}", ""),
        (r"#{dangling: true}", ""),
        (r#"#{larger_than: "1GB"}"#, ""),
        (r#"#{matching: |i| i.name == "base:1"}"#, "base:1"),
    ];
    for (filter, expected) in filters {
        let names = hoist.value(&format!(
            r#"let n = image::select({filter}).map(|i| i.name); n.sort(); n.join(" ")"#
        ));
        assert_eq!(names, expected, "{filter}");
    }
    let report = hoist
        .value(r#"let r = image::prune(#{reference: "app:*", keep_last: 1}); #{removed: r.removed, kept: r.kept}"#);
    for item in report["removed"]
        .as_array()
        .unwrap()
        .iter()
        .chain(report["kept"].as_array().unwrap())
    {
        assert!(!item["reason"].as_str().unwrap().is_empty(), "{item}");
    }
    assert_eq!(report["removed"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(hoist.value("image::list().len()"), 3);
}

#[test]
fn an_option_that_does_not_exist_is_named_with_the_one_that_was_meant() {
    let hoist = Hoist::new();
    let output = hoist.eval("image::list(#{danglign: true})").fails_with(1);
    output.stderr_has(&["danglign", "dangling", "older_than"]);
}

#[test]
fn an_image_in_use_stays() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::create("busybox", ["true"], #{name: "user"}).id"#)
        .success();
    assert_eq!(kind(&hoist, r#"image::remove("busybox")"#), "in_use");
    assert_eq!(hoist.value(r#"image::prune(#{unused: true}).removed.len()"#), 0);
    assert_eq!(hoist.value(r#"image::get("busybox").used_by.len()"#), 1);
}

#[test]
fn two_processes_tag_and_remove_the_same_image_a_thousand_times() {
    let hoist = Hoist::new();
    let archive = inputs::path("busybox.docker.tar");
    // What one may find when the other was faster, and nothing else.
    let expecting = r#"let act = |what| { let r = attempt(what); assert::ok(r.ok || r.error.kind == "not_found", `${r.error}`); };"#;
    let tagging = format!(
        r#"{expecting} for i in 0..1000 {{ image::load("{}"); act.call(|| image::tag("example.org/busybox:docker", `race:${{i % 7}}`)); }}"#,
        archive.display()
    );
    let removing = format!(
        r#"{expecting} for i in 0..1000 {{ act.call(|| image::remove("example.org/busybox:docker")); act.call(|| image::remove(`race:${{i % 7}}`)); image::prune(); }}"#
    );
    let running = [
        hoist.command(&["eval", tagging.as_str()]).spawn(),
        hoist.command(&["eval", removing.as_str()]).spawn(),
    ];
    for process in running {
        let (stderr, status) = process.wait();
        assert!(status.success(), "{stderr}");
    }
    verify(&hoist);
    hoist
        .eval(r#"for i in image::list(#{all: true}) { i.remove(#{force: true}); }"#)
        .success();
    assert_eq!(content(&hoist), Vec::<PathBuf>::new(), "nothing needs it");
}

/// All blobs and layers of the store.
pub(crate) fn content(hoist: &Hoist) -> Vec<PathBuf> {
    let dirs = ["content/blobs/sha256", "layers"].map(|dir| hoist.root().join(dir));
    let entries = dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Every image that is listed is whole: its layers are unpacked, and its archive is written and loads in an empty store. What is
/// in the store under a digest has that digest.
#[track_caller]
pub(crate) fn verify(hoist: &Hoist) {
    for blob in fs::read_dir(hoist.root().join("content/blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let digest = sha256(&fs::read(blob.path()).unwrap());
        assert_eq!(*digest, *blob.file_name(), "a blob is not what its name says");
    }
    let layers = hoist.value("image::list(#{all: true}).map(|i| i.inspect().RootFS.Layers)");
    for layer in layers
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|layers| layers.as_array().unwrap())
    {
        let digits = layer.as_str().unwrap().strip_prefix("sha256:").unwrap();
        let dir = hoist.root().join("layers").join(digits);
        assert!(dir.is_dir(), "the layer {digits} is not unpacked");
        assert!(dir.with_extension("json").is_file(), "the layer {digits} has no record");
    }
    let ids = hoist.value("image::list(#{all: true}).map(|i| i.id)");
    for id in ids.as_array().unwrap() {
        let path = hoist.file("verify.tar");
        hoist
            .eval(&format!(r#"image::save({id}, "{}").size"#, path.display()))
            .success();
        let other = Hoist::new();
        assert_eq!(other.value(&format!(r#"image::load("{}")[0].id"#, path.display())), *id);
    }
}

#[test]
fn a_store_that_cannot_be_written_says_so() {
    let hoist = Hoist::new();
    let archive = inputs::path("busybox.docker.tar");
    let load = format!(r#"image::load("{}").len()"#, archive.display());
    let read_only = "mount --bind \"$root\" \"$root\"; mount -o remount,bind,ro \"$root\"";
    hoist
        .run_after(read_only, &["eval", &load])
        .fails_with(3)
        .stderr_has(&["read-only", "--root"]);
    let full = "mount -t tmpfs -o size=1m tmpfs \"$root\"";
    hoist
        .run_after(full, &["eval", &load])
        .fails_with(1)
        .stderr_has(&["no space left"]);
    assert_eq!(hoist.value(&load), 1);
    hoist
        .run_after(read_only, &["--dry-run", "eval", "image::list().len()"])
        .success()
        .stdout_is("1");
}
