//! Line 29: archives of images, of every version of `docker save` and of others, in any order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{at, load, refusal, text};
use crate::harness::forge::{self, Files, sha256};
use crate::harness::members::{Member, archive};
use crate::harness::tree::Tree;
use crate::harness::{Hoist, Merged, inputs, tool};

fn layers() -> Vec<Vec<u8>> {
    vec![
        archive(&[
            Member::dir("d/"),
            Member::file("d/one", "1"),
            Member::file("d/gone", "2"),
        ]),
        archive(&[
            Member::dir("d/"),
            Member::whiteout("d/", "gone"),
            Member::file("two", "2"),
        ]),
    ]
}

/// `docker save` of up to version 24.
fn version_24() -> Vec<Member> {
    let config = forge::config(&layers());
    let name = format!("{}.json", sha256(&config));
    let mut members = Vec::new();
    let ids = [sha256(b"first"), sha256(b"second")];
    for (id, layer) in ids.iter().zip(layers()) {
        members.push(Member::dir(format!("{id}/")));
        members.push(Member::file(format!("{id}/VERSION"), "1.0"));
        members.push(Member::file(format!("{id}/json"), format!("{{\"id\":\"{id}\"}}")));
        members.push(Member::file(format!("{id}/layer.tar"), layer));
    }
    let paths: Vec<String> = ids.iter().map(|id| format!("{id}/layer.tar")).collect();
    let manifest = json!([{"Config": name, "RepoTags": ["it:1", "example.org/it:2"], "Layers": paths}]);
    members.push(Member::file(&name, config));
    members.push(Member::file("manifest.json", manifest.to_string()));
    members.push(Member::file("repositories", json!({"it": {"1": ids[1]}}).to_string()));
    members
}

/// `docker save` from version 25 on: an OCI layout with a `manifest.json`.
fn version_25() -> Vec<Member> {
    let files = Files::oci(&layers(), "docker.io/library/it:1");
    let config = sha256(&forge::config(&layers()));
    let paths: Vec<String> = layers()
        .iter()
        .map(|layer| format!("blobs/sha256/{}", sha256(layer)))
        .collect();
    let manifest = json!([{"Config": format!("blobs/sha256/{config}"), "RepoTags": ["it:1", "example.org/it:2"], "Layers": paths}]);
    let mut members = vec![Member::dir("blobs/"), Member::dir("blobs/sha256/")];
    members.extend(files.0.iter().map(|(name, content)| Member::file(name, content)));
    members.push(Member::file("manifest.json", manifest.to_string()));
    members.push(Member::file("repositories", json!({"it": {"1": "x"}}).to_string()));
    members
}

fn oci() -> Vec<Member> {
    let files = Files::oci(&layers(), "example.org/it:1");
    files
        .0
        .iter()
        .map(|(name, content)| Member::file(name, content))
        .collect()
}

/// The one image of an archive: its ID, its names, what it holds; the archive comes by name, or by a pipe, which is read only once.
fn seen(bytes: &[u8], piped: bool) -> (String, Vec<String>) {
    let hoist = Hoist::new();
    let path = hoist.write("it.tar", bytes);
    let source = if piped { "-" } else { path.to_str().unwrap() };
    let script = format!(
        r#"let i = image::load("{source}"); assert::eq(i.len(), 1); let t = i[0].tags; t.sort(); [i[0].id, t]"#
    );
    let command = hoist.command(&["--format", "json", "eval", &script]);
    let shown: Value = command.stdin(if piped { bytes } else { b"" }).output().success().json();
    let id = shown[0].as_str().unwrap().to_owned();
    let tree = Tree::read(&Merged::of(&hoist, &id).path());
    assert_eq!((tree.0.len(), at(&tree, "d/one").content.clone()), (4, text("1")));
    (id, serde_json::from_value(shown[1].clone()).unwrap())
}

#[test]
fn c29_every_form_is_read_in_any_order_from_files_and_pipes() {
    let id = format!("sha256:{}", sha256(&forge::config(&layers())));
    for (form, members, tags) in [
        ("up to 24", version_24(), &["example.org/it:2", "it:1"][..]),
        ("from 25 on", version_25(), &["example.org/it:2", "it:1"]),
        ("OCI", oci(), &["example.org/it:1"]),
    ] {
        let mut orders = [members.clone(), members.clone(), members.clone()];
        orders[1].reverse();
        orders[2].rotate_left(members.len() / 2);
        for (order, members) in orders.iter().enumerate() {
            for piped in [false, true] {
                let shown = format!("{form}, order {order}, piped: {piped}");
                let (found, names) = seen(&archive(members), piped);
                assert_eq!(found, id, "{shown}");
                assert_eq!(names, tags, "{shown}");
            }
        }
    }
}

/// One layer twice in an image: Docker up to 24 links the second to the first, crane names one file twice.
#[test]
fn c29_a_layer_that_is_twice_in_an_image_is_read_by_link_and_by_name() {
    let one = &layers()[0];
    let config = forge::config(&[one.clone(), layers()[1].clone(), one.clone()]);
    let forms: [(&str, Vec<Member>, [&str; 3]); 3] = [
        (
            "symbolic link",
            vec![
                Member::file("a/layer.tar", one),
                Member::symlink("c/layer.tar", "../a/layer.tar"),
            ],
            ["a/layer.tar", "b/layer.tar", "c/layer.tar"],
        ),
        (
            "hard link",
            vec![
                Member::file("a/layer.tar", one),
                Member::hardlink("c/layer.tar", "a/layer.tar"),
            ],
            ["a/layer.tar", "b/layer.tar", "c/layer.tar"],
        ),
        (
            "one name",
            vec![Member::file("a/layer.tar", one)],
            ["a/layer.tar", "b/layer.tar", "a/layer.tar"],
        ),
    ];
    for (form, mut members, paths) in forms {
        members.push(Member::file("b/layer.tar", &layers()[1]));
        members.push(Member::file("config", &config));
        let manifest = json!([{"Config": "config", "RepoTags": ["it:1"], "Layers": paths}]);
        members.insert(0, Member::file("manifest.json", manifest.to_string()));
        for piped in [false, true] {
            let hoist = Hoist::new();
            let bytes = archive(&members);
            let path = hoist.write("it.tar", &bytes);
            let source = if piped { "-" } else { path.to_str().unwrap() };
            let script = format!(r#"image::load("{source}")[0].layers.len()"#);
            hoist
                .command(&["eval", &script])
                .stdin(if piped { &bytes[..] } else { b"" })
                .output()
                .success()
                .stdout_is("3");
            // The first layer again, on top: what the second hid is there once more.
            let tree = Tree::read(&Merged::of(&hoist, "it:1").path());
            assert_eq!(at(&tree, "d/gone").content, text("2"), "{form}");
        }
    }
}

/// What is written is `docker save`'s form from 25 on, in which others went wrong: no layers in the manifest (moby#47065), layers in
/// another order (moby#47150), a path within a path (`blobs/sha256/blobs/sha256`).
#[test]
fn c29_what_is_saved_is_whole_and_in_order() {
    let hoist = Hoist::new();
    let path = inputs::path("layers.docker.tar");
    let id = hoist.value(&format!(r#"image::load("{}")[0].id"#, path.display()));
    let saved = hoist.file("saved.tar");
    hoist
        .eval(&format!(
            r#"image::tag({id}, "it:1"); image::tag({id}, "example.org/it:2"); image::save(["it:1", "example.org/it:2"], "{}").size"#,
            saved.display()
        ))
        .success();
    let mut files = BTreeMap::new();
    let bytes = std::fs::read(&saved).unwrap();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        assert!(files.insert(name.clone(), content).is_none(), "{name} is there twice");
    }
    let document = |name: &str| -> Value { serde_json::from_slice(&files[name]).unwrap() };
    let saved = &document("manifest.json")[0];
    let config = document(saved["Config"].as_str().unwrap());
    let mut tags: Vec<&str> = saved["RepoTags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_str().unwrap())
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, ["example.org/it:2", "it:1"]);
    let paths: Vec<&str> = saved["Layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(paths.len(), diff_ids.len());
    for (path, diff_id) in paths.iter().zip(diff_ids) {
        // Docker's own archive has plain layers, and they stay as they are.
        assert_eq!(format!("sha256:{}", sha256(&files[*path])), *diff_id);
        assert_eq!(*path, format!("blobs/sha256/{}", sha256(&files[*path])));
    }
    let index = document("index.json");
    let mut names: Vec<&str> = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        names.push(entry["annotations"]["io.containerd.image.name"].as_str().unwrap());
        let manifest = document(&format!("blobs/sha256/{}", &entry["digest"].as_str().unwrap()[7..]));
        let found: Vec<String> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| format!("blobs/sha256/{}", &layer["digest"].as_str().unwrap()[7..]))
            .collect();
        assert_eq!(found, paths);
    }
    names.sort_unstable();
    assert_eq!(names, ["docker.io/library/it:1", "example.org/it:2"]);
    assert_eq!(document("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    assert!(document("repositories")["it"]["1"].is_string());
    assert!(
        files.keys().all(|name| !name.contains("sha256/blobs")),
        "a path within a path"
    );
}

#[test]
fn c29_an_image_without_layers_goes_out_and_comes_back() {
    let hoist = Hoist::new();
    let id = load(&hoist, &Files::docker(&[], "it:1"));
    for format in ["docker", "oci-archive"] {
        let path = hoist.file(format);
        hoist
            .eval(&format!(
                r#"image::save("it:1", "{}", #{{format: "{format}"}}).size"#,
                path.display()
            ))
            .success();
        let again = Hoist::new();
        assert_eq!(
            again.value(&format!(r#"image::load("{}")[0].id"#, path.display())),
            id.as_str()
        );
    }
}

#[test]
fn c29_several_images_share_layers_and_keep_their_names() {
    let all = layers();
    let (one, two) = (vec![all[0].clone()], all);
    let mut members = vec![Member::file("a.tar", &two[0]), Member::file("b.tar", &two[1])];
    members.push(Member::file("one", forge::config(&one)));
    members.push(Member::file("two", forge::config(&two)));
    let manifest = json!([
        {"Config": "one", "RepoTags": ["one:1"], "Layers": ["a.tar"]},
        {"Config": "two", "RepoTags": ["two:1", "two:2"], "Layers": ["a.tar", "b.tar"]},
        {"Config": "two", "RepoTags": null, "Layers": ["a.tar", "b.tar"]},
    ]);
    members.push(Member::file("manifest.json", manifest.to_string()));
    let hoist = Hoist::new();
    let path = hoist.write("it.tar", archive(&members));
    hoist
        .eval(&format!(r#"image::load("{}").len()"#, path.display()))
        .success();
    let names = hoist.value(r"let n = []; for i in image::list() { n += i.tags; } n.sort(); n");
    assert_eq!(names, json!(["one:1", "two:1", "two:2"]));
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 2);
}

#[test]
fn c29_archives_are_read_in_every_wrapping() {
    let hoist = Hoist::new();
    for (form, members) in [("docker", version_24()), ("oci", oci())] {
        hoist.write("it.tar", archive(&members));
        for program in ["gzip", "zstd -q", "xz"] {
            tool(&hoist.dir(), "sh", &["-euc", &format!("{program} <it.tar >packed")]);
            let bytes = std::fs::read(hoist.file("packed")).unwrap();
            for piped in [false, true] {
                let id = format!("sha256:{}", sha256(&forge::config(&layers())));
                assert_eq!(seen(&bytes, piped).0, id, "{form} {program} {piped}");
            }
        }
    }
}

#[test]
fn c29_what_is_missing_or_leads_nowhere_is_named() {
    for (lacking, members) in [
        ("layer.tar", version_24()),
        ("manifest.json", vec![Member::file("x", "")]),
    ] {
        let kept: Vec<_> = members
            .into_iter()
            .filter(|member| !member.name().ends_with(lacking))
            .collect();
        let (kind, message) = refusal(&archive(&kept));
        assert!(
            ["corrupt", "invalid"].contains(&kind.as_str()) && message.contains(lacking),
            "{kind}: {message}"
        );
    }
    let looped = [
        Member::symlink("a", "b"),
        Member::symlink("b", "a"),
        Member::file("config", forge::config(&layers()[..1])),
        Member::file(
            "manifest.json",
            json!([{"Config": "config", "Layers": ["a"]}]).to_string(),
        ),
    ];
    assert_eq!(refusal(&archive(&looped)).0, "corrupt");
}
