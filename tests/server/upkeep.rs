//! What is pushed, and what is kept of other registries, as the store's upkeep sees it: checked, repaired, pruned.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, artifact};
use crate::harness::served::sha256;
use crate::harness::{Hoist, Served};

fn path_of(hoist: &Hoist, digest: &str) -> PathBuf {
    hoist.root().join("content/blobs").join(digest.replace(':', "/"))
}

fn flip(path: PathBuf) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 3).unwrap();
}

fn truncate(path: PathBuf) {
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(2)
        .unwrap();
}

fn remove(path: PathBuf) {
    std::fs::remove_file(path).unwrap();
}

/// Kind and object of each problem.
fn problems(hoist: &Hoist, options: &str) -> Vec<(String, String)> {
    let found = hoist.value(&format!("system::check({options}).problems"));
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let found = found.as_array().unwrap().iter();
    found
        .map(|problem| (text(problem, "kind"), text(problem, "object")))
        .collect()
}

type Damage = (fn(PathBuf), &'static str);
const DAMAGES: [Damage; 3] = [
    (flip, "blob_changed"),
    (truncate, "blob_size"),
    (remove, "blob_missing"),
];

#[test]
fn damage_to_what_was_pushed_is_told_and_a_push_heals_it() {
    for (damage, kind) in DAMAGES {
        let hoist = Hoist::with_busybox();
        let served = Served::start(&hoist, &["--write"]);
        let text = artifact(&served, "a", b"a layer of an artifact");
        let manifest = served.push_manifest("a", "1", MANIFEST, &text);
        let layer = sha256(b"a layer of an artifact");
        assert_eq!(problems(&hoist, "#{}"), []);
        damage(path_of(&hoist, &layer));
        damage(path_of(&hoist, &manifest));
        let mut wanted = vec![(kind.to_owned(), layer.clone()), (kind.to_owned(), manifest.clone())];
        wanted.sort();
        assert_eq!(problems(&hoist, "#{}"), wanted);
        // Nothing else suffers.
        served.ask("GET", "/v2/busybox/manifests/latest").is(200);
        served.ask("GET", "/v2/a/tags/list").is(200);
        assert_eq!(hoist.value("image::list().len()"), 1);
        let told = hoist.value("system::check(#{repair: true}).problems[0]");
        assert_eq!(
            (&told["repaired"], &told["hint"]),
            (&json!(false), &json!("push it again, which brings it back"))
        );
        assert!(!path_of(&hoist, &layer).exists(), "it cannot be taken for the real one");
        served.push_blob("a", b"a layer of an artifact");
        served.push_manifest("a", "1", MANIFEST, &text);
        assert_eq!(problems(&hoist, "#{}"), []);
        assert_eq!(
            served.ask("GET", &format!("/v2/a/blobs/{layer}")).is(200).body,
            b"a layer of an artifact"
        );
    }
}

#[test]
fn damage_to_what_is_kept_of_others_is_repaired_by_forgetting_it() {
    let (store, hoist) = (Hoist::new(), Hoist::new());
    let upstream = Served::start(&store, &["--write"]);
    let text = artifact(&upstream, "a", b"a layer of an artifact");
    let manifest = upstream.push_manifest("a", "1", MANIFEST, &text);
    let layer = sha256(b"a layer of an artifact");
    for (damage, kind) in DAMAGES {
        let proxy = Served::start(&hoist, &["--proxy", upstream.name()]);
        let fetch = || {
            assert_eq!(sha256(&proxy.ask("GET", "/v2/a/manifests/1").is(200).body), manifest);
            let blob = proxy.ask("GET", &format!("/v2/a/blobs/{layer}")).is(200);
            assert_eq!(blob.body, b"a layer of an artifact");
        };
        fetch();
        damage(path_of(&hoist, &layer));
        damage(path_of(&hoist, &manifest));
        let mut wanted = vec![(kind.to_owned(), layer.clone()), (kind.to_owned(), manifest.clone())];
        wanted.sort();
        assert_eq!(problems(&hoist, "#{quick: false}"), wanted);
        assert_eq!(hoist.value("system::check(#{repair: true}).ok"), true);
        assert_eq!(problems(&hoist, "#{}"), []);
        drop(proxy);
        let again = Served::start(&hoist, &["--proxy", upstream.name()]);
        let blob = again.ask("GET", &format!("/v2/a/blobs/{layer}")).is(200);
        assert_eq!(blob.body, b"a layer of an artifact");
    }
}

#[test]
fn what_nothing_leads_to_is_pruned_with_what_it_led_to() {
    let hoist = Hoist::with_busybox();
    let served = Served::start(&hoist, &["--write", "--delete"]);
    let push = |name: &str, layer: &[u8], subject: Option<&str>| {
        let mut text: Value = serde_json::from_str(&artifact(&served, "a", layer)).unwrap();
        if let Some(subject) = subject {
            text["subject"] = json!({"mediaType": MANIFEST, "digest": subject, "size": 1});
        }
        let text = text.to_string();
        let name = if name.is_empty() {
            sha256(text.as_bytes())
        } else {
            name.to_owned()
        };
        served.push_manifest("a", &name, MANIFEST, &text)
    };
    let tagged = push("1", b"tagged", None);
    let signature = push("", b"signature", Some(&tagged));
    let lost = push("", b"lost", None);
    let of_lost = push("", b"about what is lost", Some(&lost));
    let listed = push("", b"listed", None);
    let size = served
        .ask("GET", &format!("/v2/a/manifests/{listed}"))
        .is(200)
        .body
        .len();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": MANIFEST, "digest": listed, "size": size}]});
    let index = served.push_manifest("a", "all", INDEX, &index.to_string());
    served.push_manifest("b", "1", MANIFEST, &artifact(&served, "b", b"other"));

    // What was pushed just now may be about to be led to.
    let early = hoist.value("registry::prune(#{})");
    assert_eq!(early["removed"], json!([]));
    let prune = |options: &str| hoist.value(&format!("registry::prune(#{{older_than: 0.seconds{options}}})"));
    assert_eq!(prune(r#", repository: "b""#)["removed"], json!([]));
    let dry = hoist.run(&["--dry-run", "eval", "registry::prune(#{older_than: 0.seconds})"]);
    assert!(dry.success().stderr.contains(&lost));
    let report = prune("");
    let ids = |report: &Value, part: &str| {
        let items = report[part].as_array().unwrap().iter();
        let mut ids: Vec<String> = items.map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let mut wanted = vec![lost.clone(), of_lost];
    wanted.sort();
    assert_eq!(ids(&report, "removed"), wanted);
    assert_eq!(report["removed"][0]["reason"], "no tag, index or subject leads to it");
    assert!(report["reclaimed"].as_u64().unwrap() > 0);
    let reason = |id: &str| {
        let mut kept = report["kept"].as_array().unwrap().iter();
        let item = kept.find(|item| item["id"] == id).unwrap();
        item["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(&tagged), "tagged `a:1`");
    assert!(reason(&signature).starts_with("refers to `"));
    assert!(reason(&listed).starts_with("listed in `"));
    assert!(!path_of(&hoist, &sha256(b"lost")).exists() && path_of(&hoist, &sha256(b"listed")).exists());

    // The index goes, and what it listed, and what was about what goes with a tag.
    for name in ["all", "1"] {
        served.ask("DELETE", &format!("/v2/a/manifests/{name}")).is(202);
    }
    let mut wanted = vec![index, listed, tagged, signature];
    wanted.sort();
    assert_eq!(ids(&prune(""), "removed"), wanted);
    assert_eq!(ids(&prune(""), "kept").len(), 1);
    assert_eq!(problems(&hoist, "#{}"), []);
}
