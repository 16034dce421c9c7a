//! Other tools as clients: what they push is what they pull, byte for byte, and what is made here runs there.

use serde_json::Value;

use crate::harness::served::sha256;
use crate::harness::{Hoist, Peers, Served, inputs};

/// The manifest under a tag, and its digest.
fn manifest(served: &Served, repository: &str, tag: &str) -> (Value, String) {
    let answer = served.ask("GET", &format!("/v2/{repository}/manifests/{tag}")).is(200);
    let digest = answer.header("Docker-Content-Digest").unwrap().to_owned();
    assert_eq!(digest, sha256(&answer.body));
    (answer.json(), digest)
}

#[test]
fn skopeo_crane_and_podman_push_and_pull() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let served = Served::start(&hoist, &["--write", "--delete"]);
    let name = served.name();
    let at = |rest: &str| format!("{name}/{rest}");
    let archive = inputs::path("busybox.skopeo.docker.tar");
    let archive = archive.to_str().unwrap();
    // skopeo: OCI and Docker's manifests, gzip and zstd.
    for (number, flags) in [
        &["--format", "oci"][..],
        &["--format", "v2s2"],
        &["--format", "oci", "--dest-compress-format", "zstd"],
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("docker://{}", at(&format!("skopeo:{number}")));
        let source = format!("docker-archive:{archive}");
        let words = [
            &["skopeo", "copy", "--quiet", "--dest-tls-verify=false"],
            flags,
            &[&source, &target],
        ]
        .concat();
        peers.run(&words).success();
        let (_, digest) = manifest(&served, "skopeo", &number.to_string());
        let layout = format!("dir:{}", peers.file(&format!("back{number}")).display());
        peers
            .run(&[
                "skopeo",
                "copy",
                "--quiet",
                "--src-tls-verify=false",
                "--preserve-digests",
                &target,
                &layout,
            ])
            .success();
        let back = std::fs::read(peers.file(&format!("back{number}")).join("manifest.json")).unwrap();
        assert_eq!(sha256(&back), digest);
        let run = format!(r#"container::run("skopeo:{number}", ["busybox", "echo", "hi"]).text()"#);
        assert_eq!(hoist.eval(&run).success().stdout, "hi\n");
    }
    // crane: a copy within the registry, by mounts; deletion by tag.
    peers
        .run(&["crane", "copy", "--insecure", &at("skopeo:0"), &at("copy/of:1")])
        .success();
    assert_eq!(manifest(&served, "copy/of", "1").1, manifest(&served, "skopeo", "0").1);
    let listed = peers
        .run(&["crane", "ls", "--insecure", &at("skopeo")])
        .success()
        .stdout;
    assert_eq!(listed, "0\n1\n2\n");
    let catalog = peers.run(&["crane", "catalog", "--insecure", name]).success().stdout;
    assert_eq!(catalog, "copy/of\nlibrary/skopeo\n");
    let pulled = peers.file("crane.tar");
    peers
        .run(&[
            "crane",
            "pull",
            "--insecure",
            &at("copy/of:1"),
            pulled.to_str().unwrap(),
        ])
        .success();
    peers
        .run(&["crane", "validate", "--insecure", "--remote", &at("copy/of:1")])
        .success();
    // podman: what was made here.
    hoist.import_busybox();
    peers
        .podman(&["pull", "--quiet", "--tls-verify=false", &at("busybox:latest")])
        .success();
    peers
        .podman(&[
            "push",
            "--quiet",
            "--tls-verify=false",
            &at("busybox:latest"),
            &at("from/podman:1"),
        ])
        .success();
    let id = hoist.value(r#"image::get("busybox").id"#);
    assert_eq!(manifest(&served, "from/podman", "1").0["config"]["digest"], id);
    assert_eq!(hoist.value(r#"image::get("from/podman:1").id"#), id);
    assert_eq!(hoist.value("system::check().problems"), serde_json::json!([]));
}

#[test]
fn docker_pushes_and_pulls() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    hoist.import_busybox();
    let served = Served::start(&hoist, &["--write"]);
    let script = r#"
        docker pull --quiet "$1/busybox"
        docker run --rm --network none "$1/busybox" echo ran
        docker load --quiet --input "$2" >/dev/null
        docker tag "$(docker images --quiet | head -n 1)" "$1/from/docker:1"
        docker push --quiet "$1/from/docker:1"
        docker image inspect --format "{{.Id}}" "$1/from/docker:1"
    "#;
    let archive = inputs::path("busybox.docker.tar");
    let output = peers
        .docker(script, &[served.name(), archive.to_str().unwrap()])
        .success();
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(lines.contains(&"ran"), "{lines:?}");
    let (_, digest) = manifest(&served, "from/docker", "1");
    let id = hoist.value(r#"image::get("from/docker:1").id"#);
    assert!(
        lines.last().is_some_and(|last| id == *last || digest == *last),
        "{lines:?}, {id}"
    );
    assert_eq!(
        hoist
            .eval(r#"container::run("from/docker:1", ["busybox", "echo", "hi"]).text()"#)
            .success()
            .stdout,
        "hi\n"
    );
}

#[test]
fn tools_log_in_by_tls() {
    let (hoist, peers) = (Hoist::with_busybox(), Peers::new());
    let authority = crate::harness::Authority::new();
    let (cert, key) = authority.sign(&["127.0.0.1"]).write(&hoist.dir());
    let users = hoist.write("users", format!("ann:{}\n", bcrypt::hash("secret", 4).unwrap()));
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let flags = ["--write", "--tls", &path(&cert), &path(&key), "--auth", &path(&users)];
    let served = Served::start(&hoist, &flags);
    std::fs::create_dir(peers.file("certs")).unwrap();
    std::fs::write(peers.file("certs/ca.crt"), authority.pem()).unwrap();
    let (certs, image) = (
        path(&peers.file("certs")),
        format!("docker://{}/busybox", served.name()),
    );
    let inspect = |who: &str| peers.run(&["skopeo", "inspect", "--cert-dir", &certs, "--creds", who, &image]);
    inspect("ann:secret").success();
    assert!(!inspect("ann:wrong").status.success());
    let copy = format!("docker://{}/copy:1", served.name());
    let words = [
        "skopeo",
        "copy",
        "--quiet",
        "--src-cert-dir",
        &certs,
        "--dest-cert-dir",
        &certs,
    ];
    let creds = ["--src-creds", "ann:secret", "--dest-creds", "ann:secret", &image, &copy];
    peers.run(&[&words[..], &creds].concat()).success();
    assert_eq!(
        hoist.value(r#"image::get("copy:1").id"#),
        hoist.value(r#"image::get("busybox").id"#)
    );
}
