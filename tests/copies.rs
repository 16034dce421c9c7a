//! From one registry to another: digests stay, blobs go once, and what belongs to an image goes with it.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::registry::Registry;
use crate::harness::{Faulty, Hoist, Peers, Served, forge, inputs};

fn copy(hoist: &Hoist, from: &str, to: &str, options: &str) -> Value {
    hoist.value(&format!("registry::copy({from:?}, {to:?}, {options})"))
}

fn digest(hoist: &Hoist, name: &str) -> Value {
    hoist.value(&format!(
        "if registry::exists({name:?}) {{ registry::digest({name:?}) }} else {{ `` }}"
    ))
}

/// An image for two platforms with an artifact that refers to it, made by skopeo's and this test's own hands. Gives its digest.
pub(crate) fn filled(peers: &Peers, registry: &Registry) -> String {
    let layout = peers.file("layout");
    let archive = inputs::path("busybox.skopeo.oci.tar");
    for (arch, tag) in [("amd64", "a"), ("arm64", "b")] {
        let script =
            r#"skopeo copy --quiet "oci-archive:$1" "oci:$2:$3" && umoci config --image "$2:$3" --architecture "$4""#;
        let words = [
            "sh",
            "-euc",
            script,
            "sh",
            archive.to_str().unwrap(),
            layout.to_str().unwrap(),
            tag,
            arch,
        ];
        peers.run(&words).success();
        let name = format!("docker://{}", registry.name(&format!("app:{tag}")));
        let source = format!("oci:{}:{tag}", layout.display());
        peers
            .run(&["skopeo", "copy", "--quiet", "--dest-tls-verify=false", &source, &name])
            .success();
    }
    let names = ["a", "b"].map(|tag| registry.name(&format!("app:{tag}")));
    let index = [
        "crane",
        "index",
        "append",
        "--insecure",
        "-t",
        &registry.name("app:1"),
        "-m",
        &names[0],
        "-m",
        &names[1],
    ];
    peers.run(&index).success();
    let found = peers
        .run(&["crane", "digest", "--insecure", &registry.name("app:1")])
        .success();
    found.stdout.trim().to_owned()
}

fn layout_is_sound(peers: &Peers, dir: &Path, name: &str) -> String {
    let source = format!("oci:{}:{name}", dir.display());
    let found = peers
        .run(&["skopeo", "inspect", "--format", "{{.Digest}}", &source])
        .success();
    found.stdout.trim().to_owned()
}

#[test]
fn a_copy_has_the_digest_of_what_was_copied() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (one, other) = (Registry::new(), Registry::new());
    let wanted = filled(&peers, &one);
    let (from, to) = (one.name("app:1"), other.name("deep/er/app:1"));
    let copied = copy(&hoist, &from, &to, "#{}");
    assert_eq!(
        (copied["digest"].as_str(), &copied["unchanged"]),
        (Some(wanted.as_str()), &json!(false)),
        "{copied}"
    );
    assert!(copied["moved"].as_u64().unwrap() > 100_000, "{copied}");
    let seen = peers
        .run(&["crane", "validate", "--insecure", "--remote", &to])
        .success();
    assert!(!seen.stderr.contains("FAIL"), "{}", seen.stderr);
    // Again it is one question on each side.
    let front = Faulty::before(other.address.parse().unwrap());
    let again = copy(&hoist, &from, &format!("{}/deep/er/app:1", front.name()), "#{}");
    assert_eq!((&again["unchanged"], &again["moved"]), (&json!(true), &json!(0)));
    assert_eq!(front.count("* /manifests/"), 1);
    assert_eq!(front.count("* /blobs/"), 0);
}

#[test]
fn within_a_registry_blobs_are_mounted() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    let wanted = filled(&peers, &registry);
    let before = registry.counts();
    let copied = copy(&hoist, &registry.name("app:1"), &registry.name("copy:1"), "#{}");
    assert_eq!(copied["digest"].as_str(), Some(wanted.as_str()));
    assert!(
        copied["mounted"].as_u64().unwrap() > 100_000 && copied["moved"].as_u64().unwrap() < 10_000,
        "{copied}"
    );
    assert_eq!(registry.counts(), before);
}

#[test]
fn some_platforms_are_one_manifest_or_a_new_index() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (one, other) = (Registry::new(), Registry::new());
    filled(&peers, &one);
    let from = one.name("app:1");
    let copied = copy(
        &hoist,
        &from,
        &other.name("app:arm"),
        r#"#{platforms: ["linux/arm64"]}"#,
    );
    assert_eq!(copied["digest"], digest(&hoist, &one.name("app:b")));
    copy(
        &hoist,
        &from,
        &other.name("app:both"),
        r#"#{platforms: ["linux/arm64", "linux/amd64"]}"#,
    );
    let both = hoist.value(&format!("registry::inspect({:?}).platforms", other.name("app:both")));
    assert_eq!(both, json!(["linux/arm64", "linux/amd64"]));
    let missing = hoist.eval(&format!(
        "registry::copy({from:?}, {:?}, #{{platforms: [\"linux/s390x\"]}})",
        other.name("x:1")
    ));
    assert!(
        missing.stderr.contains("is not for `linux/s390x`"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_layout_is_a_side_as_well() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (one, other) = (Registry::new(), Registry::new());
    let wanted = filled(&peers, &one);
    let dir = peers.file("kept");
    let at = format!("oci-dir:{}", dir.display());
    copy(&hoist, &one.name("app:1"), &at, "#{}");
    copy(&hoist, &one.name("app:a"), &format!("{at}:a"), "#{}");
    assert_eq!(layout_is_sound(&peers, &dir, "1"), wanted);
    let planned = hoist.run(&[
        "--dry-run",
        "eval",
        &format!("registry::copy(\"{at}:1\", {:?})", other.name("back:1")),
    ]);
    assert!(planned.success().stderr.contains("registry::copy"));
    assert_eq!(other.counts().0, 0);
    let back = copy(&hoist, &format!("{at}:1"), &other.name("back:1"), "#{}");
    assert_eq!(back["digest"].as_str(), Some(wanted.as_str()));
    // A layout that lies is found out, and leaves the destination as it was.
    let blobs = dir.join("blobs/sha256");
    let largest = std::fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    let third = Registry::new();
    let failed = hoist.eval(&format!("registry::copy(\"{at}:1\", {:?})", third.name("x:1")));
    assert!(failed.stderr.contains("error[corrupt]"), "{}", failed.stderr);
    assert_eq!(digest(&hoist, &third.name("x:1")), json!(""));
    for (from, kind) in [
        (format!("{at}:none"), "not_found"),
        (at.clone(), "invalid"),
        ("docker-archive:/x.tar".into(), "not_found"),
        ("docker-daemon:/x".into(), "unsupported"),
    ] {
        let failed = hoist.eval(&format!("registry::copy({from:?}, {:?})", third.name("x:1")));
        assert!(
            failed.stderr.contains(&format!("error[{kind}]")),
            "{from}: {}",
            failed.stderr
        );
    }
}

#[test]
fn what_a_power_cut_left_of_a_blob_is_not_taken_for_it() {
    let (hoist, peers, one) = (Hoist::new(), Peers::new(), Registry::new());
    let wanted = filled(&peers, &one);
    let dir = peers.file("kept");
    let at = format!("oci-dir:{}", dir.display());
    copy(&hoist, &one.name("app:1"), &at, "#{}");
    let blobs = std::fs::read_dir(dir.join("blobs/sha256")).unwrap();
    let largest = blobs.map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = std::fs::read(&largest).unwrap();
    std::fs::write(&largest, b"").unwrap();
    copy(&hoist, &one.name("app:1"), &format!("{at}:again"), "#{}");
    assert!(std::fs::read(&largest).unwrap() == whole);
    assert_eq!(layout_is_sound(&peers, &dir, "again"), wanted);
}

/// The image id and layers' media types of what a name at a registry stands for.
fn made_of(peers: &Peers, name: &str) -> (Value, Vec<Value>) {
    let name = format!("docker://{name}");
    let raw = peers
        .run(&["skopeo", "inspect", "--tls-verify=false", "--raw", &name])
        .success()
        .json();
    let layers = raw["layers"].as_array().unwrap();
    let layers = layers.iter().map(|layer| layer["mediaType"].clone());
    (raw["config"]["digest"].clone(), layers.collect())
}

#[test]
fn a_docker_archive_is_a_side_as_well() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    filled(&peers, &registry);
    let input = inputs::path("layers.skopeo.docker.tar");
    let (id, there) = (inputs::image_id("layers.skopeo.docker.tar"), registry.name("layers:1"));
    let from = format!("docker-archive:{}", input.display());
    let planned = format!("registry::copy({from:?}, {there:?}).digest.len()");
    let planned = hoist.run(&["--dry-run", "eval", &planned]).success();
    assert!(
        planned.stderr.contains("registry::copy") && digest(&hoist, &there) == "",
        "{}",
        planned.stderr
    );
    let copied = copy(&hoist, &from, &there, "#{}");
    assert_eq!(digest(&hoist, &there), copied["digest"]);
    let (found, layers) = made_of(&peers, &there);
    assert_eq!(found, id.as_str());
    assert!(
        layers.iter().all(|kind| kind.as_str().unwrap().ends_with("+gzip")),
        "{layers:?}"
    );
    // What has the same bytes goes once.
    assert!(copy(&hoist, &from, &there, "#{}")["moved"].as_u64().unwrap() < 5000);
    // Back, from a registry and from a layout, for this platform and for another.
    let layout = format!("oci-dir:{}:b", hoist.file("layout").display());
    copy(&hoist, &registry.name("app:1"), &layout, "#{}");
    let own = made_of(&peers, &registry.name("app:a")).0;
    let other = made_of(&peers, &registry.name("app:b")).0;
    for (source, options, name, wanted) in [
        (registry.name("app:1"), "#{}", "", &own),
        (
            registry.name("app:1"),
            r#"#{platforms: ["linux/arm64"]}"#,
            ":team/app:2",
            &other,
        ),
        (layout, r#"#{platforms: ["linux/arm64"]}"#, ":team/app:2", &other),
        (there.clone(), "#{}", ":team/app:2", &json!(id)),
        (from.clone(), "#{}", ":team/app:2", &json!(id)),
    ] {
        let file = hoist.file("saved.tar");
        copy(
            &hoist,
            &source,
            &format!("docker-archive:{}{name}", file.display()),
            options,
        );
        let brought = Hoist::new().value(&format!("image::load({file:?}).map(|i| [i.id, i.name])"));
        let name = if name.is_empty() { source } else { name[1..].to_owned() };
        assert_eq!(brought, json!([[wanted, name]]), "{options}");
        let said = format!("docker-archive:{}", file.display());
        peers.run(&["skopeo", "inspect", &said]).success();
    }
    let target = format!("oci-dir:{}:new", hoist.file("other").display());
    let copied = copy(&hoist, &from, &target, "#{}");
    assert_eq!(copied["digest"], layout_is_sound(&peers, &hoist.file("other"), "new"));
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
    assert_eq!(hoist.staged().len(), 0);
}

#[test]
fn an_archive_of_several_images_is_asked_for_one() {
    let (hoist, registry, peers) = (Hoist::new(), Registry::new(), Peers::new());
    let file = hoist.file("two.tar");
    let inputs = ["busybox", "layers"].map(|name| inputs::path(&format!("{name}.skopeo.docker.tar")));
    hoist
        .eval(&format!(
            r#"image::load({:?})[0].tag("one:1"); image::load({:?})[0].tag("two:1"); image::save(["one:1", "two:1"], {file:?}).size"#,
            inputs[0], inputs[1]
        ))
        .success();
    let (from, there) = (format!("docker-archive:{}", file.display()), registry.name("app:1"));
    let fails = |from: &str, options: &str, words: &str| {
        let output = hoist.eval(&format!("registry::copy({from:?}, {there:?}, {options})"));
        assert!(output.stderr.contains(words), "{}", output.stderr);
        assert_eq!(digest(&hoist, &there), "");
    };
    fails(&from, "#{}", "write one of its names behind the path: one:1, two:1");
    fails(&format!("{from}:three:1"), "#{}", "has no such image");
    fails(
        &format!("{from}:two:1"),
        "#{referrers: true}",
        "nothing that refers to them",
    );
    fails(
        &format!("{from}:two:1"),
        r#"#{platforms: ["linux/arm64"]}"#,
        "alone, not for `linux/arm64`",
    );
    fails("docker-archive:/nowhere.tar", "#{}", "/nowhere.tar");
    copy(&hoist, &format!("{from}:two:1"), &there, "#{}");
    assert_eq!(
        made_of(&peers, &there).0,
        inputs::image_id("layers.skopeo.docker.tar").as_str()
    );
}

#[test]
fn i35_what_refers_to_an_image_goes_with_it() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (one, other) = (Registry::new(), Registry::new());
    let wanted = filled(&peers, &one);
    // A registry without a list of referrers has them in an index under a tag; signatures of older tools have tags of their own.
    let hex = wanted.trim_start_matches("sha256:");
    let list = format!("sha256-{hex}");
    let script = r#"
        crane append --insecure --new_tag "$1:sig" --new_layer "$3" >&2
        digest=$(crane digest --insecure "$1:sig")
        crane index append --insecure -t "$1:$2" -m "$1:sig" >&2
        crane tag --insecure "$1:sig" "$2.sig"
        echo "$digest""#;
    let empty = peers.file("layer.tar");
    std::fs::write(&empty, [0; 1024]).unwrap();
    let words = [
        "sh",
        "-euc",
        script,
        "sh",
        &one.name("app"),
        &list,
        empty.to_str().unwrap(),
    ];
    let signature = peers.run(&words).success().stdout.trim().to_owned();
    let (from, to) = (one.name("app:1"), other.name("app:1"));
    let listed = |name: &str| hoist.value(&format!("registry::referrers({name:?}).map(|r| r.digest)"));
    assert_eq!(listed(&from), json!([signature]));
    copy(&hoist, &from, &to, "#{referrers: true, digest_tags: true}");
    assert_eq!(digest(&hoist, &to).as_str(), Some(wanted.as_str()));
    assert_eq!(
        digest(&hoist, &other.name(&format!("app@{signature}"))),
        json!(signature)
    );
    assert_eq!(
        digest(&hoist, &other.name(&format!("app:{list}.sig"))),
        json!(signature)
    );
    assert_eq!(listed(&to), json!([signature]));
    // What is there is not set once more.
    for options in ["#{referrers: true}", "#{referrers: true, digest_tags: true}"] {
        let again = copy(&hoist, &from, &to, options);
        assert_eq!(
            (&again["unchanged"], &again["moved"]),
            (&json!(true), &json!(0)),
            "{options}: {again}"
        );
    }
}

#[test]
fn i35_a_list_of_referrers_is_asked_and_kept_by_the_registry() {
    let (hoist, stores) = (Hoist::new(), [Hoist::new(), Hoist::new()]);
    let [one, other] = stores.each_ref().map(|store| Served::start(store, &["--write"]));
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let put = |text: &[u8], tag: Option<&str>, subject: Option<&Value>| {
        one.push_blob("app", text);
        let empty = forge::descriptor("application/vnd.oci.empty.v1+json", text);
        let mut manifest = json!({"schemaVersion": 2, "mediaType": media_type, "artifactType": "text/x", "config": empty, "layers": []});
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        let text = manifest.to_string();
        let described = forge::descriptor(media_type, text.as_bytes());
        one.push_manifest(
            "app",
            tag.unwrap_or(described["digest"].as_str().unwrap()),
            media_type,
            &text,
        );
        described
    };
    let subject = put(b"{}", Some("1"), None);
    let signature = put(b"{\"a\":1}", None, Some(&subject));
    let about = put(b"{\"b\":1}", None, Some(&signature));
    let (from, to) = (format!("{}/app:1", one.name()), format!("{}/app:1", other.name()));
    let copied = copy(&hoist, &from, &to, "#{referrers: true}");
    assert_eq!(copied["manifests"], 3);
    let listed = |name: &Value| {
        let name = format!("{}/app@{}", other.name(), name.as_str().unwrap());
        hoist.value(&format!("registry::referrers({name:?}).map(|r| r.digest)"))
    };
    assert_eq!(listed(&subject["digest"]), json!([signature["digest"]]));
    assert_eq!(listed(&signature["digest"]), json!([about["digest"]]));
    let tags = hoist.value(&format!("registry::tags(\"{}/app\")", other.name()));
    assert_eq!(tags, json!(["1"]), "no list is kept under a tag");
    let again = copy(&hoist, &from, &to, "#{referrers: true}");
    assert_eq!((&again["manifests"], &again["unchanged"]), (&json!(0), &json!(true)));
}

#[test]
fn a_mirror_has_the_tags_that_were_chosen_and_moves_what_changed() {
    let (hoist, one, other) = (Hoist::new(), Registry::new(), Registry::new());
    let path = inputs::path("busybox.skopeo.oci.tar");
    let tags = r#"["1.0.0", "1.1.0", "1.2.0", "2.0.0", "latest"]"#;
    let script = format!(
        r#"let i = image::load({:?})[0]; for tag in {tags} {{ image::push(i, `{}:${{tag}}`); }} image::push(i, "{}");"#,
        path.to_str().unwrap(),
        one.name("app"),
        other.name("app:extra")
    );
    hoist.eval(&script).success();
    let front = Faulty::before(other.address.parse().unwrap());
    let mirror = |flags: &[&str]| {
        let script = format!(
            r#"let r = registry::mirror("{}", "{}/app", #{{semver: "<2", keep_last: 2, delete_extra: true, matching: |t| t != "9"}});
            print(json::stringify(#{{kept: r.kept.map(|i| i.reason), removed: r.removed.map(|i| i.name), errors: r.errors}}));"#,
            one.name("app"),
            front.name()
        );
        let file = hoist.write("mirror.rhai", &script);
        hoist.run(&[flags, &["run", file.to_str().unwrap()]].concat()).success()
    };
    let planned = mirror(&["--dry-run"]);
    assert!(
        planned.stderr.contains("registry::copy") && planned.stderr.contains("registry::delete_tag"),
        "{}",
        planned.stderr
    );
    let there = || hoist.value(&format!("registry::tags({:?}).sort_natural()", other.name("app")));
    assert_eq!(there(), json!(["extra"]));
    let removed = json!([format!("{}/app:extra", front.name())]);
    let first = json!({"kept": ["copied", "copied"], "removed": removed, "errors": []});
    assert_eq!(mirror(&[]).json(), first);
    assert_eq!(there(), json!(["1.1.0", "1.2.0"]));
    let before = front.count("* /manifests/");
    assert_eq!(
        mirror(&[]).json(),
        json!({"kept": ["unchanged", "unchanged"], "removed": [], "errors": []})
    );
    assert_eq!(front.count("* /manifests/") - before, 2, "one question for each tag");
    let nothing = hoist.eval(&format!(
        "registry::mirror({:?}, {:?}, #{{tags: \"x*\", delete_extra: true}})",
        one.name("app"),
        other.name("app")
    ));
    assert!(nothing.stderr.contains("error[invalid]"), "{}", nothing.stderr);
    assert_eq!(there(), json!(["1.1.0", "1.2.0"]));
}
