//! What is taken: blobs by every way there is, manifests of every kind, and what becomes of them in the store.

use serde_json::json;

use super::{CONFIG, INDEX, MANIFEST, artifact};
use crate::harness::served::sha256;
use crate::harness::{Hoist, Served, inputs};

#[test]
fn a_blob_comes_by_every_way() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let digest = sha256(&bytes);
    let get = |repository: &str| served.ask("GET", &format!("/v2/{repository}/blobs/{digest}"));
    let start = |repository: &str| {
        let answer = served.ask("POST", &format!("/v2/{repository}/blobs/uploads/")).is(202);
        answer.header("Location").unwrap().to_owned()
    };
    assert_eq!(get("a").is(404).code(), "BLOB_UNKNOWN");
    served.push_blob("a", &bytes);
    // In two steps.
    let place = start("b");
    let answer = served
        .send("PUT", &format!("{place}?digest={digest}"), &[], &bytes)
        .is(201);
    assert_eq!(
        answer.header("Location"),
        Some(format!("/v2/b/blobs/{digest}").as_str())
    );
    // In pieces: one out of order is refused, and the way on told.
    let place = start("c");
    let (one, rest) = bytes.split_at(150_000);
    let piece = |bytes: &[u8], range: &str| served.send("PATCH", &place, &[("Content-Range", range)], bytes);
    assert_eq!(piece(one, "0-149999").is(202).header("Range"), Some("0-149999"));
    let refused = piece(rest, "150001-400000").is(416);
    assert_eq!(
        (refused.header("Range"), refused.header("Location")),
        (Some("0-149999"), Some(place.as_str()))
    );
    assert_eq!(piece(one, "0-149999").is(416).code(), "BLOB_UPLOAD_INVALID");
    assert_eq!(piece(rest, "150000-150001").is(400).code(), "BLOB_UPLOAD_INVALID");
    assert_eq!(served.ask("GET", &place).is(204).header("Range"), Some("0-149999"));
    let target = format!("{place}?digest={digest}");
    served
        .send("PUT", &target, &[("Content-Range", "150000-399999")], rest)
        .is(201);
    served.ask("GET", &place).is(404);
    // As a stream in chunks of HTTP.
    let place = start("d");
    let mut chunked = Vec::new();
    for piece in bytes.chunks(70_000) {
        chunked.extend(
            format!("{:x}\r\n", piece.len())
                .bytes()
                .chain(piece.iter().copied())
                .chain(*b"\r\n"),
        );
    }
    chunked.extend(b"0\r\n\r\n");
    served
        .send("PATCH", &place, &[("Transfer-Encoding", "chunked")], &chunked)
        .is(202);
    served.ask("PUT", &format!("{place}?digest={digest}")).is(201);
    // By SHA-512, asked for or not; and with nothing in it.
    let sha512 = hoist::model::Digest::from_hex(&"0".repeat(128))
        .unwrap()
        .same_of(&bytes);
    for algorithm in ["?digest-algorithm=sha512", ""] {
        let place = served.ask("POST", &format!("/v2/e/blobs/uploads/{algorithm}")).is(202);
        let place = place.header("Location").unwrap().to_owned();
        served
            .send("PUT", &format!("{place}?digest={sha512}"), &[], &bytes)
            .is(201);
        assert!(served.ask("GET", &format!("/v2/e/blobs/{sha512}")).is(200).body == bytes);
    }
    let empty = served.push_blob("e", b"");
    assert!(
        served
            .ask("GET", &format!("/v2/e/blobs/{empty}"))
            .is(200)
            .body
            .is_empty()
    );
    for repository in ["a", "b", "c", "d"] {
        assert!(get(repository).is(200).body == bytes, "{repository}");
    }
    assert!(
        hoist
            .root()
            .join("content/blobs")
            .join(digest.replace(':', "/"))
            .exists()
    );
}

#[test]
fn s21_s42_a_blob_that_is_not_what_it_should_be_leaves_nothing() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let (wrong, empty) = (sha256(b"other"), sha256(b""));
    assert_eq!(
        served
            .send("POST", &format!("/v2/a/blobs/uploads/?digest={wrong}"), &[], b"this")
            .is(400)
            .code(),
        "DIGEST_INVALID"
    );
    for digest in ["", "sha256:00", "md5:x", "sha256:../../../x"] {
        let place = served.ask("POST", "/v2/a/blobs/uploads/").is(202);
        let place = place.header("Location").unwrap();
        assert_eq!(
            served
                .send("PUT", &format!("{place}?digest={digest}"), &[], b"")
                .is(400)
                .code(),
            "DIGEST_INVALID"
        );
        // It can be ended still, by the repository it was begun in alone.
        let elsewhere = place.replace("/v2/a/", "/v2/b/");
        assert_eq!(served.ask("DELETE", &elsewhere).is(404).code(), "BLOB_UPLOAD_UNKNOWN");
        served.ask("DELETE", place).is(204);
        served.ask("DELETE", place).is(404);
    }
    served
        .ask("PUT", &format!("/v2/a/blobs/uploads/..%2F..%2Fx?digest={empty}"))
        .is(404);
    served.ask("GET", &format!("/v2/a/blobs/{wrong}")).is(404);
    drop(served);
    assert_eq!(hoist.staged(), [] as [std::path::PathBuf; 0]);
    let mut blobs = std::fs::read_dir(hoist.root().join("content/blobs/sha256")).unwrap();
    assert!(blobs.next().is_none());
}

/// zot CVE-2024-39897: what is in one repository is no way into another.
#[test]
fn s42_repositories_do_not_see_each_others_blobs() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write", "--delete"]);
    let secret = artifact(&served, "mine", b"secret");
    let manifest = served.push_manifest("mine", "1", MANIFEST, &secret);
    let blob = sha256(b"secret");
    let is_closed = || {
        served.ask("GET", &format!("/v2/other/blobs/{blob}")).is(404);
        served.ask("GET", &format!("/v2/other/blobs/{manifest}")).is(404);
        served.ask("GET", &format!("/v2/other/manifests/{manifest}")).is(404);
        served.ask("DELETE", &format!("/v2/other/blobs/{blob}")).is(404);
    };
    is_closed();
    // Nor does a manifest that names them open them: of layers that are elsewhere, in an index, or as what it refers to.
    served.push_blob("other", CONFIG.as_bytes());
    let target = "/v2/other/manifests/1";
    let put =
        |media_type: &str, text: &str| served.send("PUT", target, &[("Content-Type", media_type)], text.as_bytes());
    assert_eq!(put(MANIFEST, &secret).is(404).code(), "MANIFEST_BLOB_UNKNOWN");
    let config = json!({"mediaType": "a/b", "digest": sha256(CONFIG.as_bytes()), "size": 2});
    let one = |kind: &str, digest: &str| json!({"mediaType": kind, "digest": digest, "size": 6});
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    put(
        MANIFEST,
        &json!({"config": config, "layers": [one(foreign, &blob)]}).to_string(),
    )
    .is(201);
    put(
        INDEX,
        &json!({"manifests": [one(MANIFEST, &manifest), one(MANIFEST, &blob)]}).to_string(),
    )
    .is(201);
    put(
        MANIFEST,
        &json!({"config": config, "layers": [], "subject": one(MANIFEST, &manifest)}).to_string(),
    )
    .is(201);
    is_closed();
    // It is to be had by the repository that has it.
    let mount = |from: &str| served.ask("POST", &format!("/v2/other/blobs/uploads/?mount={blob}&from={from}"));
    for from in ["nowhere", "other", "..%2Fmine", "MINE"] {
        mount(from).is(202);
        is_closed();
    }
    mount("mine").is(201);
    assert_eq!(
        served.ask("GET", &format!("/v2/other/blobs/{blob}")).is(200).body,
        b"secret"
    );
    served
        .ask("POST", &format!("/v2/third/blobs/uploads/?mount={blob}"))
        .is(201);
    // What a manifest needs is not deleted by itself.
    assert_eq!(
        served.ask("DELETE", &format!("/v2/mine/blobs/{blob}")).is(405).code(),
        "DENIED"
    );
    served.ask("DELETE", &format!("/v2/mine/manifests/{manifest}")).is(202);
    served.ask("GET", &format!("/v2/mine/blobs/{blob}")).is(404);
    assert_eq!(
        served.ask("GET", &format!("/v2/other/blobs/{blob}")).is(200).body,
        b"secret"
    );
}

#[test]
fn a_manifest_is_one_thing_and_all_it_names_is_there() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let good = artifact(&served, "a", b"layer");
    let put = |name: &str, kind: &str, text: &str| {
        served.send(
            "PUT",
            &format!("/v2/a/manifests/{name}"),
            &[("Content-Type", kind)],
            text.as_bytes(),
        )
    };
    for (kind, text) in [
        (MANIFEST, "{}"),
        (MANIFEST, "no JSON"),
        (INDEX, good.as_str()),
        (MANIFEST, r#"{"layers":[],"manifests":[]}"#),
        (MANIFEST, r#"{"schemaVersion":1,"fsLayers":[]}"#),
        (
            MANIFEST,
            r#"{"config":{"mediaType":"a/b","digest":"sha256:x","size":1},"layers":[]}"#,
        ),
    ] {
        assert_eq!(put("1", kind, text).is(400).code(), "MANIFEST_INVALID", "{text}");
    }
    assert_eq!(put(&sha256(b"x"), MANIFEST, &good).is(400).code(), "DIGEST_INVALID");
    assert_eq!(put("..", MANIFEST, &good).is(400).code(), "MANIFEST_INVALID");
    let lacking = good.replace(&sha256(b"layer"), &sha256(b"nowhere"));
    assert_eq!(put("1", MANIFEST, &lacking).is(404).code(), "MANIFEST_BLOB_UNKNOWN");
    served.ask("GET", "/v2/a/manifests/1").is(404);
    // What came is what is handed out, spaces, unknown fields and parameters of its type included.
    let odd = good.replace('{', "{ ").replacen('{', "{\"own\": [1,  2],", 1);
    let digest = sha256(odd.as_bytes());
    let answer = put(
        &format!("{digest}?tag=1&tag=two"),
        &format!("{MANIFEST}; charset=utf-8"),
        &odd,
    )
    .is(201);
    assert_eq!(
        answer.header("Location"),
        Some(format!("/v2/a/manifests/{digest}").as_str())
    );
    let tags: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "OCI-Tag")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(tags, ["1", "two"]);
    for name in ["1", "two", &digest] {
        let answer = served.ask("GET", &format!("/v2/a/manifests/{name}")).is(200);
        assert_eq!(
            (answer.header("Content-Type"), answer.body.as_slice()),
            (Some(MANIFEST), odd.as_bytes())
        );
    }
    assert_eq!(
        hoist.value("image::list(#{all: true}).len()"),
        0,
        "an artifact is no image"
    );
}

/// Pushes what an OCI layout holds, as it is; gives the manifest's digest and bytes.
fn push_layout(served: &Served, repository: &str, tag: &str, layout: &str) -> (String, Vec<u8>) {
    let blobs = inputs::path(layout).join("blobs/sha256");
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(inputs::path(layout).join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(blobs.join(&digest[7..])).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    for part in manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .chain([&manifest["config"]])
    {
        let blob = std::fs::read(blobs.join(&part["digest"].as_str().unwrap()[7..])).unwrap();
        served.push_blob(repository, &blob);
    }
    let kind = manifest["mediaType"].as_str().unwrap();
    served.push_manifest(repository, tag, kind, std::str::from_utf8(&bytes).unwrap());
    (digest, bytes)
}

#[test]
fn an_image_that_is_pushed_runs_and_goes_with_its_content() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write", "--delete"]);
    let (digest, bytes) = push_layout(&served, "team/app", "1", "busybox.crane.oci");
    assert_eq!(hoist.value("image::list().map(|i| i.tags)"), json!([["team/app:1"]]));
    assert_eq!(hoist.value(r#"image::get("team/app:1").digest"#), digest);
    assert_eq!(
        hoist
            .eval(r#"container::run("team/app:1", ["busybox", "echo", "it runs"]).text()"#)
            .success()
            .stdout,
        "it runs\n"
    );
    assert_eq!(hoist.value("system::check().ok"), true);
    // Another name here is another tag there; a name that moves takes the tag along.
    hoist.eval(r#"image::tag("team/app:1", "team/app:2")"#).success();
    assert_eq!(
        served.ask("GET", "/v2/team/app/tags/list").is(200).json()["tags"],
        json!(["1", "2"])
    );
    assert!(served.ask("GET", "/v2/team/app/manifests/2").is(200).body == bytes);
    // Without a tag it stays by its digest; once its manifest is deleted, all of it goes.
    served.ask("DELETE", "/v2/team/app/manifests/2").is(202);
    served.ask("DELETE", "/v2/team/app/manifests/1").is(202);
    assert!(
        served
            .ask("GET", &format!("/v2/team/app/manifests/{digest}"))
            .is(200)
            .body
            == bytes
    );
    served
        .ask("DELETE", &format!("/v2/team/app/manifests/{digest}"))
        .is(202);
    served.ask("GET", &format!("/v2/team/app/manifests/{digest}")).is(404);
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
    assert!(
        std::fs::read_dir(hoist.root().join("content/blobs/sha256"))
            .unwrap()
            .next()
            .is_none()
    );
    // The other way round: an image that is removed is no longer served.
    push_layout(&served, "team/app", "1", "busybox.crane.oci");
    hoist.eval(r#"image::remove("team/app:1")"#).success();
    served.ask("GET", &format!("/v2/team/app/manifests/{digest}")).is(404);
    assert!(
        std::fs::read_dir(hoist.root().join("content/blobs/sha256"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn of_an_index_the_image_for_this_machine_becomes_one_and_all_of_it_is_kept() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let (digest, bytes) = push_layout(&served, "app", "only", "busybox.crane.oci");
    let other = artifact(&served, "app", b"for another machine");
    let other = served.push_manifest("app", &sha256(other.as_bytes()), MANIFEST, &other);
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        _ => "arm64",
    };
    let one = |digest: &str, architecture: &str, size: usize| json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}});
    let kind: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let mut own = one(&digest, architecture, bytes.len());
    own["mediaType"] = kind["mediaType"].clone();
    let index =
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [one(&other, "s390x", 3), own]}).to_string();
    let pushed = served.push_manifest("app", "multi", INDEX, &index);
    assert_eq!(hoist.value(r#"image::get("app:multi").digest"#), digest);
    assert!(served.ask("GET", "/v2/app/manifests/multi").is(200).body == index.as_bytes());
    for unneeded in ["image::prune()", "system::check(#{repair: true})"] {
        hoist.eval(unneeded).success();
        for digest in [&pushed, &digest, &other] {
            served.ask("GET", &format!("/v2/app/manifests/{digest}")).is(200);
        }
    }
    // With the image goes what led to it, and what nothing else leads to.
    hoist.eval(r#"image::remove(image::get("app:multi").id)"#).success();
    for digest in [&pushed, &digest, &other] {
        served.ask("GET", &format!("/v2/app/manifests/{digest}")).is(404);
    }
}
