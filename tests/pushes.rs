//! Images into registries: what arrives is what was here, others pull it, and nothing goes that is there.

use std::time::Duration;

use serde_json::Value;

use crate::harness::forge::{self, Files, Item};
use crate::harness::registry::{Guard, Registry, USER};
use crate::harness::{Answer, Fault, Faulty, Hoist, Peers, inputs};

/// The one user of a registry that asks who is there, and the password, which tests look for where it must not be.
const NAME: &str = USER.0;
const PASSWORD: &str = USER.1;

/// Brings an input in under a name.
fn load(hoist: &Hoist, archive: &str, name: &str) -> String {
    let path = inputs::path(archive);
    let script = format!(
        r#"let i = image::load({:?})[0]; i.tag({name:?}); i.id"#,
        path.to_str().unwrap()
    );
    hoist.value(&script).as_str().unwrap().to_owned()
}

fn push(hoist: &Hoist, source: &str, dest: &str) -> Value {
    hoist.value(&format!("image::push({source:?}, {dest:?})"))
}

/// What skopeo finds under a name: digest and configuration.
fn seen(peers: &Peers, name: &str) -> (String, Value) {
    let name = format!("docker://{name}");
    let inspect = ["skopeo", "inspect", "--tls-verify=false"];
    let digest = peers
        .run(&[&inspect[..], &["--format", "{{.Digest}}", &name]].concat())
        .success()
        .stdout;
    let raw = peers.run(&[&inspect[..], &["--raw", &name]].concat()).success();
    (digest.trim().to_owned(), raw.json())
}

#[test]
fn i33_what_is_pushed_is_what_everybody_pulls() {
    let (hoist, registry, peers) = (Hoist::new(), Registry::new(), Peers::new());
    let id = load(&hoist, "layers.skopeo.oci.tar", "layers:1");
    let there = registry.name("team/layers:1");
    let pushed = push(&hoist, "layers:1", &there);
    let digest = pushed["digest"].as_str().unwrap();
    assert_eq!(
        digest,
        hoist.value(r#"image::get("layers:1").digest"#),
        "the manifest goes as it is kept"
    );
    assert_eq!(
        (pushed["sent"].clone(), pushed["present"].clone()),
        (pushed["size"].clone(), 0.into())
    );
    let (found, manifest) = seen(&peers, &there);
    assert_eq!(
        (found.as_str(), manifest["config"]["digest"].as_str()),
        (digest, Some(id.as_str()))
    );
    let crane = peers.run(&["crane", "digest", "--insecure", &there]).success();
    assert_eq!(crane.stdout.trim(), digest);
    peers
        .podman(&["pull", "--quiet", "--tls-verify=false", &there])
        .success();
    let podman = peers
        .podman(&["image", "inspect", "--format", "{{.Id}} {{.Digest}}", &there])
        .success();
    assert_eq!(
        podman.stdout.trim(),
        format!("{} {digest}", id.trim_start_matches("sha256:"))
    );
    let docker = r#"docker pull --quiet "$1" >&2; docker image inspect --format "{{index .RepoDigests 0}}" "$1""#;
    let docker = peers.docker(docker, &[&there]).success();
    assert_eq!(docker.stdout.trim(), registry.name(&format!("team/layers@{digest}")));
}

#[test]
fn i33_what_is_there_is_not_sent_and_what_another_repository_has_is_mounted() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    load(&hoist, "layers.skopeo.oci.tar", "layers:1");
    let (one, other) = (registry.name("one:1"), registry.name("other:1"));
    push(&hoist, "layers:1", &one);
    let blobs = registry.counts();
    let faulty = Faulty::before(registry.address.parse().unwrap());
    let again = push(&hoist, "layers:1", &format!("{}/one:1", faulty.name()));
    assert_eq!(
        (again["sent"].clone(), again["present"].clone()),
        (0.into(), again["size"].clone())
    );
    assert_eq!(faulty.count("HEAD /manifests/"), 1);
    assert_eq!(faulty.count("* /blobs/"), 0, "one question is enough");
    // A name here tells that the other repository may have it.
    hoist.value(&format!("image::tag({:?}, {one:?}).id", "layers:1"));
    let mounted = push(&hoist, "layers:1", &other);
    let sent = mounted["sent"].as_u64().unwrap();
    assert!(sent < 10_000, "{mounted}");
    assert!(mounted["mounted"].as_u64().unwrap() > 0, "{mounted}");
    let after = registry.counts();
    assert_eq!((after.0, after.1), (blobs.0, 0), "no blob came, and no upload is left");
}

#[test]
fn layers_without_a_blob_of_their_own_are_compressed_on_their_way() {
    let (hoist, registry, peers) = (Hoist::new(), Registry::new(), Peers::new());
    hoist
        .eval(r#"image::from_host("made:1", ["/bin/sh", "/bin/cat"]).id"#)
        .success();
    let id = hoist.value(r#"image::get("made:1").id"#);
    for (compression, suffix) in [("gzip", "+gzip"), ("zstd", "+zstd"), ("none", "tar")] {
        let there = registry.name(&format!("made:{compression}"));
        let script = format!(r#"image::push("made:1", {there:?}, #{{compression: "{compression}"}})"#);
        let pushed = hoist.value(&script);
        let (digest, manifest) = seen(&peers, &there);
        assert_eq!(pushed["digest"], digest.as_str());
        assert_eq!(manifest["config"]["digest"], id);
        let media_type = manifest["layers"][0]["mediaType"].as_str().unwrap();
        assert!(media_type.ends_with(suffix), "{media_type}");
        // It unpacks to what the configuration says, which podman checks.
        peers
            .podman(&["pull", "--quiet", "--tls-verify=false", &there])
            .success();
    }
}

#[test]
fn layers_whose_blobs_were_dropped_are_made_again() {
    let (hoist, registry, peers) = (Hoist::new(), Registry::new(), Peers::new());
    let settings = hoist.write("hoist.toml", "[store]\nblobs = \"drop\"\n");
    let path = inputs::path("layers.skopeo.oci.tar");
    let there = registry.name("layers:1");
    let script = format!(
        "let i = image::load({:?})[0]; image::push(i, {there:?}); print(i.id)",
        path.to_str().unwrap()
    );
    let words = ["--config", settings.to_str().unwrap(), "eval", &script];
    let id = hoist.run(&words).success().stdout;
    let (_, manifest) = seen(&peers, &there);
    assert_eq!(manifest["config"]["digest"], id.trim());
    peers
        .podman(&["pull", "--quiet", "--tls-verify=false", &there])
        .success();
}

#[test]
fn i33_an_upload_that_breaks_off_goes_on() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    load(&hoist, "layers.skopeo.oci.tar", "layers:1");
    for (round, fault) in [
        Fault::ResetUpload(1000),
        Fault::Drop,
        Fault::Answer(Answer::status(500)),
        Fault::Answer(Answer::status(413)),
        Fault::Answer(Answer::status(416)),
        Fault::Answer(Answer::status(404)),
        Fault::Answer(Answer::status(429).header("Retry-After", "0")),
    ]
    .into_iter()
    .enumerate()
    {
        let faulty = Faulty::before(registry.address.parse().unwrap());
        // Each hits the sending of a blob, not the words that end it.
        let times = if matches!(&fault, Fault::Answer(_)) { 1 } else { 3 };
        faulty.times(times, "PUT /blobs/uploads/", fault.clone());
        let pushed = push(&hoist, "layers:1", &format!("{}/round{round}:1", faulty.name()));
        assert_eq!(
            pushed["digest"],
            hoist.value(r#"image::get("layers:1").digest"#),
            "{fault:?}"
        );
        assert!(registry.repository(&format!("round{round}")).exists());
    }
}

#[test]
fn i33_pieces_are_as_long_as_the_registry_wants_them_at_least() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    let layer = forge::layer(&[("zeros", Item::File(&vec![0; 44 << 20]))]);
    let size = layer.len() as u64;
    let archive = hoist.write("app.tar", Files::oci(&[layer], "app:1").pack());
    hoist
        .eval(&format!(r#"image::load({archive:?})[0].tag("app:1").id"#))
        .success();
    let pieces = |header: Option<u64>| {
        let front = Faulty::before(registry.address.parse().unwrap());
        if let Some(shortest) = header {
            front.always(
                "POST /blobs/uploads/",
                Fault::Header("OCI-Chunk-Min-Length", shortest.to_string()),
            );
        }
        // A proxy in between that takes no more at once.
        front.times(2, "PUT /blobs/uploads/", Fault::Answer(Answer::status(413)));
        let there = format!("{}/app{}:1", front.name(), header.unwrap_or(0));
        hoist
            .eval(&format!(
                r#"image::push("app:1", {there:?}, #{{compression: "none"}}).digest"#
            ))
            .success();
        let sent = front.seen().into_iter().filter(|request| request.method == "PATCH");
        let mut lengths: Vec<u64> = sent
            .map(|request| request.length)
            .filter(|length| *length > 4096)
            .collect();
        lengths.sort_unstable();
        lengths
    };
    let (usual, wanted) = (32 << 20, 40 << 20);
    assert_eq!(pieces(None), [size - usual, usual]);
    assert_eq!(pieces(Some(wanted)), [size - wanted, wanted]);
}

#[test]
fn i30_a_token_that_ends_while_a_blob_is_sent_is_renewed() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    load(&hoist, "layers.skopeo.oci.tar", "layers:1");
    let front = Faulty::before(registry.address.parse().unwrap());
    let challenge = format!(
        r#"Bearer realm="http://{}/token",service="x",error="invalid_token""#,
        front.name()
    );
    let refused = || Fault::Answer(Answer::status(401).header("WWW-Authenticate", &challenge));
    for token in ["first", "second"] {
        let handed = serde_json::json!({"token": token, "expires_in": 3600}).to_string();
        front.once("GET /token", Fault::Answer(Answer::status(200).body(handed)));
    }
    front.once("HEAD /manifests/", refused());
    front.once("PUT /blobs/uploads/", refused());
    push(&hoist, "layers:1", &format!("{}/app:1", front.name()));
    assert_eq!(front.count("GET /token"), 2);
    let shown = |token: &str| {
        let wanted = format!("Bearer {token}");
        let seen = front.seen().into_iter();
        seen.filter(|request| request.method == "PUT" && request.header("authorization") == Some(&wanted))
            .count()
    };
    assert!(shown("first") > 0 && shown("second") > 0);
    assert_eq!(registry.counts().1, 0, "no upload is left");
    let digests = format!(
        r#"[registry::digest({:?}), image::get("layers:1").digest]"#,
        registry.name("app:1")
    );
    let digests = hoist.value(&digests);
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn i33_what_fails_leaves_no_upload_and_moves_no_tag() {
    let (hoist, registry, peers) = (Hoist::new(), Registry::new(), Peers::new());
    load(&hoist, "busybox.skopeo.oci.tar", "busybox:1");
    let there = registry.name("app:1");
    let before = push(&hoist, "busybox:1", &there);
    load(&hoist, "layers.skopeo.oci.tar", "layers:1");
    let faulty = Faulty::before(registry.address.parse().unwrap());
    faulty.always(
        "PUT /blobs/uploads/",
        Fault::Answer(Answer::status(403).error("DENIED", "quota is used up")),
    );
    let failed = hoist.eval(&format!("image::push(\"layers:1\", \"{}/app:1\")", faulty.name()));
    assert!(
        failed.stderr.contains("error[denied]") && failed.stderr.contains("quota is used up"),
        "{}",
        failed.stderr
    );
    assert_eq!(registry.counts().1, 0, "uploads that were begun are called off");
    assert_eq!(seen(&peers, &there).0, before["digest"].as_str().unwrap());
}

#[test]
fn i33_an_upload_that_is_begun_when_nobody_wants_it_any_more_is_called_off() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    load(&hoist, "layers.skopeo.oci.tar", "layers:1");
    let faulty = Faulty::before(registry.address.parse().unwrap());
    // One upload fails, and so ends the push, while the answer that another was begun is still on its way.
    faulty.once(
        "POST /blobs/uploads/",
        Fault::Late("PUT /blobs/uploads/", Duration::from_millis(300)),
    );
    let refusal = Answer::status(403).error("DENIED", "quota is used up");
    faulty.always("PUT /blobs/uploads/", Fault::Answer(refusal));
    let failed = hoist.eval(&format!("image::push(\"layers:1\", \"{}/app:1\")", faulty.name()));
    assert!(failed.stderr.contains("quota is used up"), "{}", failed.stderr);
    assert!(faulty.count("POST /blobs/uploads/") > 1, "others are on their way");
    assert_eq!(registry.counts().1, 0, "what was begun is called off");
}

#[test]
fn i30_credentials_are_shown_to_the_registry_and_to_nobody_else() {
    let (hoist, registry) = (
        Hoist::new(),
        Registry::guarded(Guard {
            password: true,
            tls: false,
        }),
    );
    load(&hoist, "busybox.skopeo.oci.tar", "busybox:1");
    let there = registry.name("app:1");
    let anonymous = hoist.eval(&format!(r#"image::push("busybox:1", {there:?})"#));
    assert!(anonymous.stderr.contains("error[unauthorized]"), "{}", anonymous.stderr);
    let words = ["registry", "login", "-u", NAME, "--password-stdin", &registry.address];
    hoist.command(&words).stdin(PASSWORD).output().success();
    let pushed = hoist.run(&["push", "busybox:1", &there]).success();
    assert!(
        pushed.stdout.starts_with(&format!("{there}@sha256:")),
        "{}",
        pushed.stdout
    );
    // Another host that an upload is sent to gets the bytes, and not the password.
    let (front, elsewhere) = (Faulty::before(registry.address.parse().unwrap()), Faulty::alone());
    let place = format!("http://{}/place?state=a%2Fb", elsewhere.name());
    let begun = Answer::status(202).header("Location", &place);
    front.always("POST /blobs/uploads/", Fault::Answer(begun));
    elsewhere.always("PUT /place", Fault::Answer(Answer::status(201)));
    let script = format!(
        r#"image::push("busybox:1", "{}/new:1", #{{username: "{NAME}", password: env::get("P")}})"#,
        front.name()
    );
    let pushed = hoist.command(&["eval", &script]).env("P", PASSWORD).output();
    assert!(
        elsewhere.count("PUT /place?state=a%2Fb&digest=sha256%3A") > 0,
        "{:?} {}",
        elsewhere.seen(),
        pushed.stderr
    );
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    elsewhere.assert_never_sent(PASSWORD);
}

#[test]
fn all_tags_of_a_repository_go_and_a_dry_run_sends_nothing() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    load(&hoist, "busybox.skopeo.oci.tar", "app:1");
    hoist.eval(r#"image::tag("app:1", "app:2").id"#).success();
    let script = format!(
        r#"image::push("app", "{}", #{{all_tags: true}}).map(|p| p.reference).sort_natural()"#,
        registry.name("all")
    );
    let planned = hoist.run(&["--dry-run", "eval", &script]).success();
    assert!(planned.stderr.contains("image::push"), "{}", planned.stderr);
    assert_eq!(registry.counts(), (0, 0));
    let pushed = hoist.value(&script);
    assert_eq!(
        pushed,
        serde_json::json!([registry.name("all:1"), registry.name("all:2")])
    );
    let tags = hoist.value(&format!("registry::tags({:?}).sort_natural()", registry.name("all")));
    assert_eq!(tags, serde_json::json!(["1", "2"]));
}

#[test]
fn an_image_without_a_name_is_not_pushed_to_nowhere() {
    let hoist = Hoist::new();
    let path = inputs::path("busybox.skopeo.oci.tar");
    let script = format!(
        "image::push(image::load({:?}, #{{tags: false}})[0])",
        path.to_str().unwrap()
    );
    let failed = hoist.eval(&script);
    assert!(
        failed.stderr.contains("has no name to push it under"),
        "{}",
        failed.stderr
    );
}

/// What a plain layer became is known from before: where the registry has that, the layer is not read again, which a damaged one shows.
#[test]
fn a_layer_that_was_compressed_for_a_registry_is_not_compressed_for_it_again() {
    let (hoist, registry, other) = (Hoist::with_busybox(), Registry::new(), Registry::new());
    let name = registry.name("team/app:1");
    let push = |to: &str, options: &str| hoist.value(&format!(r#"image::push("busybox", "{to}", #{{{options}}})"#));
    let first = push(&name, "");
    let layer = hoist.value(r#"image::inspect("busybox").RootFS.Layers[0]"#);
    let path = hoist
        .root()
        .join("content/blobs")
        .join(layer.as_str().unwrap().replace(':', "/"));
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[600] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let again = push(&name, "");
    assert_eq!((&again["digest"], &again["sent"]), (&first["digest"], &0.into()));
    let tagged = push(&registry.name("team/app:2"), "");
    assert_eq!(tagged["digest"], first["digest"]);
    // Another form, or a registry that lacks it, wants the layer itself.
    let fails = |to: &str, options: &str| {
        hoist
            .eval(&format!(r#"image::push("busybox", "{to}", #{{{options}}})"#))
            .stderr
    };
    assert!(fails(&name, r#"compression: "zstd""#).contains("error[corrupt]"));
    assert!(fails(&other.name("team/app:1"), "").contains("error[corrupt]"));
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(push(&other.name("team/app:1"), "")["digest"], first["digest"]);
    assert_ne!(push(&name, r#"compression: "zstd""#)["digest"], first["digest"]);
}
