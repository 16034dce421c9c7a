//! Lines 24 to 27: the documents around layers, Docker's and OCI's, true and false.

use serde_json::{Value, json};

use super::{at, load, loaded, refusal, text};
use crate::harness::forge::{self, Files};
use crate::harness::members::{Member, archive};
use crate::harness::tree::Tree;
use crate::harness::{Hoist, Merged, Peers};

const OCI: &str = "application/vnd.oci.image";
const DOCKER: &str = "application/vnd.docker";

fn layer() -> Vec<u8> {
    archive(&[Member::file("a", "a")])
}

/// The one layer as a blob of this media type.
fn blob(media_type: &str) -> Vec<(Value, Vec<u8>)> {
    vec![(forge::descriptor(media_type, &layer()), layer())]
}

/// An image of the layer whose manifest is what `change` makes of it.
fn image(change: impl FnOnce(&mut Value)) -> Files {
    let manifest = |mut it: Value| {
        change(&mut it);
        forge::bytes(&it)
    };
    Files::oci_by(
        forge::config(&[layer()]),
        &blob(&format!("{OCI}.layer.v1.tar")),
        manifest,
        named,
    )
}

fn named(mut index: Value) -> Vec<u8> {
    index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "it:1"});
    forge::bytes(&index)
}

/// Docker's manifest of the image, in a layout.
fn docker_image() -> Files {
    let manifest = |mut it: Value| {
        it["mediaType"] = json!(format!("{DOCKER}.distribution.manifest.v2+json"));
        it["config"]["mediaType"] = json!(format!("{DOCKER}.container.image.v1+json"));
        forge::bytes(&it)
    };
    let index = |mut it: Value| {
        it["manifests"][0]["mediaType"] = json!(format!("{DOCKER}.distribution.manifest.v2+json"));
        named(it)
    };
    Files::oci_by(
        config(),
        &blob(&format!("{DOCKER}.image.rootfs.diff.tar")),
        manifest,
        index,
    )
}

/// A configuration with what only Docker has.
fn config() -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(&forge::config(&[layer()])).unwrap();
    config["config"] = json!({
        "Cmd": ["sh"], "OnBuild": ["RUN true"], "Shell": ["/bin/x", "-c"], "StopTimeout": 7, "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "StartInterval": 2_000_000_000},
    });
    forge::bytes(&config)
}

/// Docker's documents stay Docker's where nothing forces a change; with other compression they become OCI's, configuration untouched.
#[test]
fn c24_docker_and_oci_documents_are_read_kept_and_converted() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let id = load(&hoist, &docker_image());
    let mut archives = Vec::new();
    for format in ["docker", "oci-archive"] {
        for compression in ["none", "gzip", "zstd"] {
            let path = peers.file(&format!("{format}-{compression}.tar"));
            hoist
                .eval(&format!(
                    r#"image::save("it:1", "{}", #{{format: "{format}", compression: "{compression}"}}).size"#,
                    path.display()
                ))
                .success();
            let again = Hoist::new();
            let shown = again.value(&format!(
                r#"let i = image::load("{}")[0]; [i.id, i.tags]"#,
                path.display()
            ));
            assert_eq!(shown, json!([id, ["it:1"]]), "{format} {compression}");
            assert_eq!(
                at(&Tree::read(&Merged::of(&again, "it:1").path()), "a").content,
                text("a")
            );
            archives.push(path);
        }
    }
    let script = r#"for archive; do
            case $archive in */docker-*) ;; *) continue ;; esac
            docker rmi --force it:1 >/dev/null 2>&1 || true
            docker load --quiet --input "$archive" >/dev/null
            docker image inspect --format "{{.Id}} {{.Config.OnBuild}} {{.Config.Shell}} {{.Config.Healthcheck.Test}} {{.Config.StopSignal}}" it:1
        done"#;
    let paths: Vec<&str> = archives.iter().map(|path| path.to_str().unwrap()).collect();
    let line = format!("{id} [RUN true] [/bin/x -c] [CMD true] SIGINT");
    peers
        .docker(script, &paths)
        .success()
        .stdout_is(&[line.as_str(); 3].join("\n"));
    for path in paths {
        peers.podman(&["rmi", "--all", "--force"]);
        peers.podman(&["load", "--quiet", "--input", path]).success();
        let shown = peers
            .podman(&["image", "inspect", "--format", "{{.Id}}", "it:1"])
            .success();
        assert_eq!(format!("sha256:{}", shown.text()), id, "{path}");
    }
}

#[test]
fn c24_schema_one_is_refused_with_the_way_out() {
    let files = image(|it| *it = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}));
    let (kind, message) = refusal(&files.pack());
    assert_eq!(kind, "unsupported");
    assert!(message.contains("schema 1") && message.contains("skopeo"), "{message}");
}

#[test]
fn c25_documents_that_could_be_two_things_are_refused() {
    let index_type = format!("{OCI}.index.v1+json");
    let manifest_type = format!("{OCI}.manifest.v1+json");
    let digest = |text: &'static str| image(move |it| it["layers"][0]["digest"] = json!(text));
    let in_index = |change: fn(&mut Value)| {
        Files::oci_by(
            forge::config(&[layer()]),
            &blob(&format!("{OCI}.layer.v1.tar")),
            |it| forge::bytes(&it),
            |mut it| {
                change(&mut it);
                forge::bytes(&it)
            },
        )
    };
    let twice = |field: &'static str| {
        let manifest = move |it: Value| {
            it.to_string()
                .replacen('{', &format!("{{\"{field}\":{},", it[field]), 1)
                .into_bytes()
        };
        Files::oci_by(
            forge::config(&[layer()]),
            &blob(&format!("{OCI}.layer.v1.tar")),
            manifest,
            named,
        )
    };
    let cases = [
        ("layers and manifests", image(|it| it["manifests"] = json!([]))),
        ("neither", image(|it| *it = json!({"schemaVersion": 2}))),
        ("says it is an index", image(|it| it["mediaType"] = json!(index_type))),
        (
            "is said to be an index",
            in_index(|it| it["manifests"][0]["mediaType"] = json!("application/vnd.oci.image.index.v1+json")),
        ),
        (
            "is said to be Docker's list",
            in_index(|it| {
                it["manifests"][0]["mediaType"] = json!("application/vnd.docker.distribution.manifest.list.v2+json");
            }),
        ),
        (
            "the index says it is a manifest",
            in_index(|it| it["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json")),
        ),
        ("the index has layers", in_index(|it| it["layers"] = json!([]))),
        ("a negative size", image(|it| it["layers"][0]["size"] = json!(-1))),
        ("a size of a half", image(|it| it["layers"][0]["size"] = json!(0.5))),
        ("a size beyond all", image(|it| it["layers"][0]["size"] = json!(1e30))),
        ("a path for a digest", digest("sha256:../../../../etc/passwd")),
        ("a short digest", digest("sha256:00")),
        (
            "an upper-case digest",
            digest("sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ),
        ("an unknown algorithm", digest("md5:d41d8cd98f00b204e9800998ecf8427e")),
        (
            "no algorithm",
            digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ),
        ("layers twice", twice("layers")),
        ("config twice", twice("config")),
    ];
    for (what, files) in cases {
        let (kind, message) = refusal(&files.pack());
        assert_eq!(kind, "corrupt", "{what}: {message}");
    }
    // What fits is fine: the type may be said twice or not at all.
    for files in [
        image(|_| ()),
        image(|it| it["mediaType"] = json!(manifest_type)),
        in_index(|it| it["manifests"][0]["mediaType"] = json!("")),
        docker_image(),
    ] {
        load(&Hoist::new(), &files);
    }
}

/// A layer that must not be distributed is an ordinary one where the archive has it, and keeps its type and addresses; where it does
/// not, the error says why.
#[test]
fn c26_foreign_layers_are_kept_where_they_are_and_named_where_they_are_not() {
    for media_type in [
        format!("{OCI}.layer.nondistributable.v1.tar"),
        format!("{DOCKER}.image.rootfs.foreign.diff.tar.gzip"),
    ] {
        let foreign = |it: &mut Value| {
            it["layers"][0]["mediaType"] = json!(media_type);
            it["layers"][0]["urls"] = json!(["https://example.org/layer"]);
        };
        let files = image(foreign);
        let hoist = Hoist::new();
        assert_eq!(at(&loaded(&hoist, &files), "a").content, text("a"));
        let path = hoist.file("saved.tar");
        hoist
            .eval(&format!(
                r#"image::save("it:1", "{}", #{{format: "oci-archive"}}).size"#,
                path.display()
            ))
            .success();
        let saved = std::fs::read(&path).unwrap();
        let manifest = files
            .0
            .values()
            .find(|content| content.windows(6).any(|part| part == b"\"urls\""))
            .unwrap();
        assert!(
            saved.windows(manifest.len()).any(|part| part == manifest),
            "the manifest is not the same"
        );
        let mut lacking = files;
        lacking.0.remove(&format!("blobs/sha256/{}", forge::sha256(&layer())));
        let (kind, message) = refusal(&lacking.pack());
        assert_eq!(kind, "unsupported", "{message}");
        assert!(message.contains(&media_type), "{message}");
        // In another compression it still is not to be handed on.
        hoist
            .eval(&format!(
                r#"image::save("it:1", "{}", #{{format: "oci-archive", compression: "zstd"}}).size"#,
                path.display()
            ))
            .success();
        let saved = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(
            saved.contains(&format!("{OCI}.layer.nondistributable.v1.tar+zstd")),
            "{saved}"
        );
        assert!(!saved.contains(&format!("{OCI}.layer.v1.tar")), "{saved}");
    }
}

/// Addresses are the maker's word about where a layer is: nothing is read from them, least of all from this machine.
#[test]
fn c26_addresses_of_layers_are_not_followed() {
    let hoist = Hoist::new();
    let here = hoist.write("layer.tar", layer());
    for address in [
        format!("file://{}", here.display()),
        here.display().to_string(),
        "http://user:password@127.0.0.1:1/layer".to_owned(),
        "ftp://127.0.0.1:1/layer".to_owned(),
    ] {
        for media_type in [
            format!("{OCI}.layer.nondistributable.v1.tar"),
            format!("{OCI}.layer.v1.tar"),
        ] {
            let mut files = image(|it| {
                it["layers"][0]["mediaType"] = json!(media_type);
                it["layers"][0]["urls"] = json!([address]);
            });
            assert_eq!(
                at(&loaded(&Hoist::new(), &files), "a").content,
                text("a"),
                "it is there"
            );
            files.0.remove(&format!("blobs/sha256/{}", forge::sha256(&layer())));
            let (kind, message) = refusal(&files.pack());
            assert!(
                kind == "unsupported" || kind == "corrupt",
                "{address}: {kind}: {message}"
            );
            assert!(!message.contains("password"), "{message}");
        }
    }
}

/// An index of images for these platforms, each with its own configuration, in this order; and their IDs.
fn index_of(platforms: &[Value]) -> (Files, Vec<String>) {
    let mut all = Files::oci(&[layer()], "it:1");
    let (mut entries, mut ids) = (Vec::new(), Vec::new());
    for (number, platform) in platforms.iter().enumerate() {
        let mut config: Value = serde_json::from_slice(&config()).unwrap();
        config["author"] = json!(number.to_string());
        let config = forge::bytes(&config);
        ids.push(format!("sha256:{}", forge::sha256(&config)));
        let layers = blob(&format!("{OCI}.layer.v1.tar"));
        let one = Files::oci_by(config, &layers, |it| forge::bytes(&it), |it| forge::bytes(&it));
        let mut index: Value = serde_json::from_slice(&one.0["index.json"]).unwrap();
        index["manifests"][0]["platform"] = platform.clone();
        entries.push(index["manifests"][0].take());
        all.0.extend(one.0);
    }
    let index = forge::bytes(&json!({"schemaVersion": 2, "manifests": entries}));
    let top = json!({"schemaVersion": 2, "manifests": [forge::descriptor(&format!("{OCI}.index.v1+json"), &index)]});
    all.0.insert(format!("blobs/sha256/{}", forge::sha256(&index)), index);
    all.0.insert("index.json".into(), forge::bytes(&top));
    (all, ids)
}

#[test]
fn c27_an_index_gives_the_image_for_this_machine() {
    let host = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let of = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    let attestation = json!({"os": "unknown", "architecture": "unknown"});
    for (platforms, chosen) in [
        (vec![of("s390x"), of(host), of("ppc64le")], 1),
        (vec![attestation.clone(), of("s390x"), of(host)], 2),
        (vec![json!({"os": "windows", "architecture": host}), of(host)], 1),
        // One that is alone is taken whatever it is for.
        (vec![of("s390x"), attestation], 0),
    ] {
        let (files, ids) = index_of(&platforms);
        assert_eq!(load(&Hoist::new(), &files), ids[chosen], "{platforms:?}");
    }
    let (kind, message) = refusal(&index_of(&[of("s390x"), of("ppc64le")]).0.pack());
    assert_eq!(kind, "not_found");
    assert!(
        message.contains("linux/s390x") && message.contains("linux/ppc64le"),
        "{message}"
    );
}
