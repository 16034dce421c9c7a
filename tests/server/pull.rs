//! What is handed out: the images of the store under their names, whole and in part.

use super::MANIFEST;
use crate::harness::served::sha256;
use crate::harness::{Hoist, Served, inputs};

#[test]
fn an_image_is_served_under_each_form_of_its_name_and_nothing_is_copied() {
    let hoist = Hoist::with_busybox();
    let before = blobs(&hoist);
    let served = Served::start(&hoist, &[]);
    let by_tag = served.ask("GET", "/v2/busybox/manifests/latest").is(200);
    assert_eq!(by_tag.header("Content-Type"), Some(MANIFEST));
    let digest = by_tag.header("Docker-Content-Digest").unwrap();
    assert_eq!(digest, sha256(&by_tag.body));
    assert_eq!(hoist.value(r#"image::get("busybox").digest"#), digest);
    for repository in ["library/busybox", "docker.io/library/busybox"] {
        for name in ["latest", digest] {
            let same = served.ask("GET", &format!("/v2/{repository}/manifests/{name}")).is(200);
            assert_eq!(same.body, by_tag.body);
        }
        let head = served
            .ask("HEAD", &format!("/v2/{repository}/manifests/latest"))
            .is(200);
        assert_eq!(
            head.header("Content-Length"),
            Some(by_tag.body.len().to_string().as_str())
        );
        assert!(head.body.is_empty());
    }
    let manifest = by_tag.json();
    for part in [&manifest["config"], &manifest["layers"][0]] {
        let digest = part["digest"].as_str().unwrap();
        let blob = served.ask("GET", &format!("/v2/busybox/blobs/{digest}")).is(200);
        assert_eq!(
            (sha256(&blob.body).as_str(), blob.body.len() as u64),
            (digest, part["size"].as_u64().unwrap())
        );
    }
    assert_eq!(
        served.ask("GET", "/v2/_catalog").is(200).json()["repositories"],
        serde_json::json!(["library/busybox"])
    );
    assert_eq!(blobs(&hoist), before);
    // A name that is set while it is served counts at once.
    hoist.eval(r#"image::tag("busybox", "ghcr.io/team/app:2")"#).success();
    assert_eq!(
        served.ask("GET", "/v2/ghcr.io/team/app/manifests/2").is(200).body,
        by_tag.body
    );
    hoist.eval(r#"image::untag("ghcr.io/team/app:2")"#).success();
    assert_eq!(
        served.ask("GET", "/v2/ghcr.io/team/app/manifests/2").is(404).code(),
        "NAME_UNKNOWN"
    );
    assert_eq!(
        served.ask("GET", "/v2/busybox/manifests/no").is(404).code(),
        "MANIFEST_UNKNOWN"
    );
    assert_eq!(served.stop(), (String::new(), Some(0)));
}

fn blobs(hoist: &Hoist) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(hoist.root().join("content/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names
}

#[test]
fn a_blob_comes_in_parts() {
    let hoist = Hoist::with_busybox();
    let served = Served::start(&hoist, &[]);
    let manifest = served.ask("GET", "/v2/busybox/manifests/latest").is(200).json();
    let target = format!(
        "/v2/busybox/blobs/{}",
        manifest["layers"][0]["digest"].as_str().unwrap()
    );
    let whole = served.ask("GET", &target).is(200).body;
    let size = whole.len();
    let part = |range: &str| served.send("GET", &target, &[("Range", range)], b"");
    for (range, first, last) in [
        ("bytes=0-0".to_owned(), 0, 0),
        (format!("bytes=1000-{}", size / 2), 1000, size / 2),
        (format!("bytes={}-", size - 7), size - 7, size - 1),
        ("bytes=-5".to_owned(), size - 5, size - 1),
    ] {
        let answer = part(&range).is(206);
        assert_eq!(
            answer.header("Content-Range"),
            Some(format!("bytes {first}-{last}/{size}").as_str())
        );
        assert!(answer.body == whole[first..=last], "{range}");
    }
    let beyond = part(&format!("bytes={size}-")).is(416);
    assert_eq!(beyond.header("Content-Range"), Some(format!("bytes */{size}").as_str()));
    let head = served.ask("HEAD", &target).is(200);
    assert_eq!(
        (head.header("Content-Length"), head.header("Accept-Ranges")),
        (Some(size.to_string().as_str()), Some("bytes"))
    );
}

#[test]
fn what_is_for_reading_only_takes_nothing() {
    let hoist = Hoist::with_busybox();
    let served = Served::start(&hoist, &[]);
    let digest = sha256(b"");
    for (method, target) in [
        ("POST", "/v2/a/blobs/uploads/".to_owned()),
        ("PUT", "/v2/busybox/manifests/latest".to_owned()),
        ("DELETE", "/v2/busybox/manifests/latest".to_owned()),
        ("DELETE", format!("/v2/busybox/blobs/{digest}")),
        ("PATCH", "/v2/a/blobs/uploads/x".to_owned()),
        ("TRACE", "/v2/".to_owned()),
    ] {
        assert_eq!(
            served.ask(method, &target).is(405).code(),
            "UNSUPPORTED",
            "{method} {target}"
        );
    }
    served.ask("GET", "/v2/busybox/manifests/latest").is(200);
}

/// With `blobs = "drop"` layers that are stored as they are come from their files, and what cannot be had is not offered.
#[test]
fn an_image_without_its_blobs_is_made_again_or_not_offered() {
    let hoist = Hoist::new();
    let settings = hoist.write("settings.toml", "[store]\nblobs = \"drop\"\n");
    let flags = ["--config", settings.to_str().unwrap()];
    let load = |name: &str, tag: &str| {
        let path = inputs::path(name);
        let text = format!(
            r#"image::tag(image::load("{}", #{{tags: false}})[0], "{tag}").digest"#,
            path.display()
        );
        hoist.run(&[&flags[..], &["eval", &text]].concat()).success();
    };
    load("busybox.crane.docker.tar", "packed:1");
    hoist
        .run(
            &[
                &flags[..],
                &[
                    "eval",
                    &format!(
                        r#"image::import_tar("{}", "plain:1")"#,
                        inputs::path("busybox.tar").display()
                    ),
                ],
            ]
            .concat(),
        )
        .success();
    let served = Served::start(&hoist, &[]);
    let manifest = served.ask("GET", "/v2/plain/manifests/1").is(200).json();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    assert!(
        !hoist
            .root()
            .join("content/blobs")
            .join(digest.replace(':', "/"))
            .exists()
    );
    let target = format!("/v2/plain/blobs/{digest}");
    let blob = served.ask("GET", &target).is(200).body;
    assert_eq!(sha256(&blob), digest);
    let part = served
        .send("GET", &target, &[("Range", "bytes=1000-2999")], b"")
        .is(206)
        .body;
    assert!(part == blob[1000..3000]);
    let gone = served.ask("GET", "/v2/packed/manifests/1").is(404);
    assert_eq!(gone.code(), "MANIFEST_UNKNOWN");
    assert!(String::from_utf8_lossy(&gone.body).contains("were dropped"));
}
