//! `registry::index`: images for several platforms under one name, put together from anywhere, and what others make of them.

use serde_json::{Value, json};

use crate::copies::filled;
use crate::harness::{Faulty, Hoist, Peers, Registry, Served};

/// What skopeo makes of a name at a registry: the raw document.
fn raw(peers: &Peers, name: &str) -> Value {
    let name = format!("docker://{name}");
    let words = ["skopeo", "inspect", "--tls-verify=false", "--raw", &name];
    peers.run(&words).success().json()
}

/// All that a name stands for can be had, and is for what the index says, says crane; and skopeo copies it for every platform.
fn is_whole(peers: &Peers, name: &str) {
    let seen = peers
        .run(&["crane", "validate", "--insecure", "--remote", name])
        .success();
    assert!(!seen.stderr.contains("FAIL"), "{}", seen.stderr);
    is_copied(peers, name);
}

fn is_copied(peers: &Peers, name: &str) {
    let (from, to) = (
        format!("docker://{name}"),
        format!("dir:{}", peers.file("all").display()),
    );
    let words = [
        "skopeo",
        "copy",
        "--quiet",
        "--all",
        "--src-tls-verify=false",
        &from,
        &to,
    ];
    peers.run(&words).success();
}

fn platforms(index: &Value) -> Vec<String> {
    let entries = index["manifests"].as_array().unwrap();
    let text = |entry: &Value| {
        let platform = &entry["platform"];
        format!(
            "{}/{}",
            platform["os"].as_str().unwrap(),
            platform["architecture"].as_str().unwrap()
        )
    };
    entries.iter().map(text).collect()
}

#[test]
fn an_index_is_put_together_from_elsewhere_and_others_read_it() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (one, other) = (Registry::new(), Registry::new());
    filled(&peers, &one);
    let to = other.name("team/app:1");
    let script = format!(
        r#"
        let index = registry::index({to:?}, #{{create: true}});
        index.add({:?}).add({:?}, #{{annotations: #{{tested: "no"}}}});
        index.annotate(#{{"org.opencontainers.image.version": "1"}});
        let foretold = index.digest;
        let pushed = index.push();
        assert::eq([pushed.digest, pushed.unchanged, pushed.manifests], [foretold, false, 3]);
        assert::eq(index.push().unchanged, true);
        let read = registry::index({to:?});
        assert::eq(read, index);
        assert::eq(read.platforms, ["linux/amd64", "linux/arm64"]);
        assert::eq(read.manifests[1].annotations, #{{tested: "no"}});
        assert::eq(read.digest, registry::digest({to:?}));
        pushed.moved"#,
        one.name("app:a"),
        one.name("app:b")
    );
    let moved = hoist.value(&script);
    assert!(moved.as_u64().unwrap() > 100_000, "{moved}");
    let index = raw(&peers, &to);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["annotations"], json!({"org.opencontainers.image.version": "1"}));
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    is_whole(&peers, &to);
    let seen = peers
        .run(&["podman", "manifest", "inspect", "--tls-verify=false", &to])
        .success()
        .json();
    assert_eq!(platforms(&seen), ["linux/amd64", "linux/arm64"]);
}

#[test]
fn within_a_registry_images_of_other_repositories_are_mounted() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    filled(&peers, &registry);
    let before = registry.counts();
    let (from, to) = (registry.name("app:1"), registry.name("all/in/one:1"));
    // An index is added entry by entry.
    let script = format!("registry::index({to:?}, #{{create: true}}).add({from:?}).push()");
    let pushed = hoist.value(&script);
    assert!(
        pushed["mounted"].as_u64().unwrap() > 100_000 && pushed["moved"].as_u64().unwrap() < 10_000,
        "{pushed}"
    );
    assert_eq!(registry.counts().0, before.0 + 1, "the index alone is new");
    is_whole(&peers, &to);
}

#[test]
fn images_are_taken_out_and_put_in_the_place_of_others() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    let before = filled(&peers, &registry);
    let name = registry.name("app:1");
    let front = Faulty::before(registry.address.parse().unwrap());
    let at = |tag: &str| format!("{}/app:{tag}", front.name());
    // One that nothing was changed of is the very same.
    let script = format!("let i = registry::index({:?}); [i.digest, i.push().unchanged]", at("1"));
    assert_eq!(hoist.value(&script), json!([before, true]));
    let script = format!(
        r#"
        let index = registry::index({:?});
        index.remove("linux/arm64");
        assert::eq(index.platforms, ["linux/amd64"]);
        // The same image for another platform, and then another for the same one.
        index.add({:?}, #{{platform: "linux/arm/v7"}});
        index.add({:?}, #{{platform: "linux/amd64"}});
        assert::eq(index.platforms, ["linux/amd64"]);
        index.remove(registry::digest({:?}));
        assert::eq(index.platforms, []);
        index.add({:?}, #{{platform: "linux/arm64"}}).push();
        registry::index({:?}).platforms"#,
        at("1"),
        at("b"),
        at("b"),
        at("b"),
        at("1"),
        at("1"),
    );
    assert_eq!(hoist.value(&script), json!(["linux/arm64"]));
    assert_eq!(
        front.count("PUT /blobs/"),
        0,
        "what is there is named, and no blob is sent"
    );
    assert_eq!(front.count("PUT /manifests/"), 1);
    is_whole(&peers, &name);
    for (script, kind, says) in [
        (
            format!("registry::index({:?}).remove(\"linux/s390x\")", at("1")),
            "not_found",
            "lists images for linux/arm64",
        ),
        (
            format!(
                "registry::index({:?}).add({:?}, #{{platform: \"linux/s390x\"}})",
                at("1"),
                at("1")
            ),
            "invalid",
            "it is for linux/arm64",
        ),
        (format!("registry::index({:?})", at("a")), "invalid", "create: true"),
        (format!("registry::index({:?})", at("none")), "not_found", ""),
        (
            format!(
                "registry::index({:?}, #{{create: true}}).add({:?})",
                at("1"),
                at("none")
            ),
            "not_found",
            "app:none",
        ),
        (
            format!("registry::index({:?}, #{{format: \"docker\"}})", at("1")),
            "invalid",
            "create: true",
        ),
        (
            format!("registry::index({:?}).push(\"x@{before}\")", at("1")),
            "invalid",
            "under a tag",
        ),
    ] {
        let failed = hoist.eval(&script).fails_with(1);
        failed.stderr_has(&[&format!("error[{kind}]"), says]);
    }
}

#[test]
fn dockers_lists_and_indexes_within_indexes_are_written_as_well() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (one, other) = (Registry::new(), Registry::new());
    filled(&peers, &one);
    let (list, nested) = (other.name("app:list"), other.name("app:nested"));
    let script = format!(
        r#"
        let list = registry::index({list:?}, #{{create: true, format: "docker"}}).add({:?});
        assert::throws("unsupported", || list.annotate(#{{a: "b"}}));
        list.push();
        let nested = registry::index({nested:?}, #{{create: true}}).add({:?}, #{{nested: true}});
        nested.push();
        nested.manifests[0].platform == ()"#,
        one.name("app:1"),
        one.name("app:1")
    );
    assert_eq!(hoist.value(&script), true);
    let written = raw(&peers, &list);
    assert_eq!(
        written["mediaType"],
        "application/vnd.docker.distribution.manifest.list.v2+json"
    );
    assert_eq!(platforms(&written), ["linux/amd64", "linux/arm64"]);
    is_whole(&peers, &list);
    let outer = raw(&peers, &nested);
    assert_eq!(
        outer["manifests"][0]["digest"],
        hoist.value(&format!("registry::digest({:?})", one.name("app:1")))
    );
    let seen = peers
        .run(&["crane", "validate", "--insecure", "--remote", &nested])
        .success();
    assert!(!seen.stderr.contains("FAIL"), "{}", seen.stderr);
}

#[test]
fn nobodys_work_is_lost_where_two_change_one_index() {
    let (hoist, peers, registry) = (Hoist::new(), Peers::new(), Registry::new());
    filled(&peers, &registry);
    let (name, arm) = (registry.name("app:1"), registry.name("app:b"));
    let script = format!(
        r#"
        let mine = registry::index({name:?}).remove("linux/arm64");
        registry::index({name:?}).add({arm:?}, #{{platform: "linux/riscv64"}}).push();
        let theirs = registry::digest({name:?});
        let refused = attempt(|| mine.push());
        assert::eq(refused.error.kind, "conflict");
        assert::ok(refused.error.message.contains("has moved since it was looked at"), refused.error.message);
        assert::eq(registry::digest({name:?}), theirs);
        // One that was not there when it was begun, and one that is gone.
        let begun = registry::index({:?}, #{{create: true}}).add({arm:?});
        registry::tag({arm:?}, "new");
        assert::throws("conflict", || begun.push());
        begun.push({:?});
        mine.push(#{{force: true}}).digest == mine.digest"#,
        registry.name("app:new"),
        registry.name("app:other"),
    );
    assert_eq!(hoist.value(&script), true);
}

#[test]
fn images_of_the_store_come_along_as_plans_and_dry_runs_foretell() {
    let (hoist, far, peers) = (Hoist::new(), Hoist::new(), Peers::new());
    hoist
        .eval(r#"image::from_host("tools", ["/bin/true"]); image::from_host("other", ["/bin/false"]); 0"#)
        .success();
    let served = Served::start(&far, &["--write", "--delete"]);
    let name = format!("{}/team/tools:1", served.name());
    let script = format!(
        r#"
        image::push("other", "{0}/build/other:arm64");
        let index = registry::index({name:?}, #{{create: true}}).add(image::get("tools"));
        index.add("{0}/build/other:arm64", #{{platform: "linux/arm64"}}).push();
        index.annotate(#{{stage: "two"}}).push();
        let read = registry::index({name:?});
        assert::eq(read.platforms, ["linux/amd64", "linux/arm64"]);
        print(read.annotations.stage);
        "#,
        served.name()
    );
    let path = hoist.write("made.rhai", &script);
    let path = path.to_str().unwrap();
    let dry = hoist.run(&["--dry-run", "run", path]).success();
    assert_eq!(dry.text(), "two");
    assert!(dry.stderr.contains("Index.push"), "{}", dry.stderr);
    assert_eq!(hoist.value(&format!("registry::exists({name:?})")), false);
    hoist.run(&["plan", path, "-o", "plan.json"]).success();
    assert_eq!(hoist.value(&format!("registry::exists({name:?})")), false);
    hoist.run(&["apply", "plan.json"]).success();
    let read = hoist.value(&format!("registry::index({name:?}).annotations"));
    assert_eq!(read, json!({"stage": "two"}));
    is_copied(&peers, &name);
    // A plan whose source has moved is refused, with what moved.
    hoist.run(&["plan", path, "-o", "plan.json"]).success();
    let moved = format!("image::push(\"tools\", \"{}/build/other:arm64\").digest", served.name());
    hoist.eval(&moved).success();
    let refused = hoist.run(&["apply", "plan.json"]).fails_with(1);
    refused.stderr_has(&["build/other:arm64"]);
    // Rules hold for what it is pushed to and for where it comes from.
    let script = format!("registry::index({name:?}).add(image::get(\"other\"), #{{platform: \"linux/s390x\"}}).push()");
    let refused = hoist.run(&["--allow-net", "--allow-push=else/*", "eval", &script]);
    refused.fails_with(3).stderr_has(&["--allow-push"]);
    served.stop();
}
