//! A registry that stands before another: what it fetches, keeps and hands out, and what it does when the other is down, slow or lies.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{MANIFEST, artifact};
use crate::harness::served::{Answered, request, sha256};
use crate::harness::{Answer, Fault, Faulty, Guard, Hoist, Peers, Registry, Served, inputs};

/// A registry, something before it that can fail, and a proxy before that which asks each time what a tag stands for.
struct Line {
    // Ended in this order: a store proves that nothing of it runs.
    proxy: Option<Served>,
    upstream: Served,
    faulty: Faulty,
    hoist: Hoist,
    _upstream_store: Hoist,
}

impl Line {
    fn new() -> Line {
        Line::with(&["--ttl", "0s"])
    }

    fn with(flags: &[&str]) -> Line {
        let (store, hoist) = (Hoist::new(), Hoist::new());
        let upstream = Served::start(&store, &["--write", "--delete"]);
        let faulty = Faulty::before(upstream.address());
        let name = faulty.name();
        let proxy = Served::start(&hoist, &[&["--proxy", &name], flags].concat());
        Line {
            hoist,
            proxy: Some(proxy),
            faulty,
            upstream,
            _upstream_store: store,
        }
    }

    fn proxy(&self) -> &Served {
        self.proxy.as_ref().unwrap()
    }

    /// Pushes an artifact with this layer under a tag of `team/app` to the registry; gives the digests of manifest and layer.
    fn push(&self, tag: &str, layer: &[u8]) -> (String, String) {
        let text = artifact(&self.upstream, "team/app", layer);
        let digest = self.upstream.push_manifest("team/app", tag, MANIFEST, &text);
        (digest, sha256(layer))
    }

    fn has_blob(&self, digest: &str) -> bool {
        let root = self.hoist.root().join("content/blobs");
        root.join(digest.replace(':', "/")).exists()
    }
}

fn bytes(length: u32) -> Vec<u8> {
    (0..length)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

fn blob(digest: &str) -> String {
    format!("/v2/team/app/blobs/{digest}")
}

const TAG: &str = "/v2/team/app/manifests/1";

#[test]
fn what_is_wanted_is_fetched_once_and_kept() {
    let line = Line::new();
    let layer = bytes(300_000);
    let (manifest, digest) = line.push("1", &layer);
    let (proxy, faulty) = (line.proxy(), &line.faulty);
    for _ in 0..2 {
        let answer = proxy.ask("GET", TAG).is(200);
        assert_eq!(sha256(&answer.body), manifest);
        assert_eq!(answer.header("Docker-Content-Digest"), Some(manifest.as_str()));
        assert_eq!(answer.header("Content-Type"), Some(MANIFEST));
        assert_eq!(answer.header("Warning"), None);
        proxy.ask("HEAD", TAG).is(200);
        let by_digest = format!("/v2/team/app/manifests/{manifest}");
        assert_eq!(sha256(&proxy.ask("GET", &by_digest).is(200).body), manifest);
        let head = proxy.ask("HEAD", &blob(&digest)).is(200);
        assert_eq!(head.header("Content-Length"), Some("300000"));
        assert!(proxy.ask("GET", &blob(&digest)).is(200).body == layer);
        let part = proxy.send("GET", &blob(&digest), &[("Range", "bytes=1000-2999")], b"");
        assert!(part.is(206).body == layer[1000..3000]);
    }
    assert_eq!(
        (faulty.count("GET /manifests/"), faulty.count("GET /blobs/")),
        (1, 1),
        "each is fetched once"
    );
    assert_eq!(faulty.count("HEAD /manifests/"), 4, "and asked for by tag each time");
    // It is no image of this store, and can be seen and removed all the same.
    assert_eq!(line.hoist.value("image::list(#{all: true}).len()"), 0);
    assert_eq!(line.hoist.value("system::check().problems"), json!([]));
    let kept = line
        .hoist
        .value("registry::cached().map(|k| #{names: k.names, digest: k.digest, size: k.size})");
    let size = 300_000 + proxy.ask("GET", TAG).body.len();
    assert_eq!(
        kept,
        json!([{"names": [format!("{}/team/app:1", faulty.name())], "digest": manifest, "size": size}])
    );
    assert_eq!(
        proxy.ask("GET", "/v2/_catalog").is(200).json()["repositories"],
        json!(["team/app"])
    );
    let dry = line
        .hoist
        .run(&["--dry-run", "eval", "registry::prune_cache(#{not_used_for: 0.seconds})"]);
    assert!(dry.success().stderr.contains("registry::prune_cache"));
    assert!(line.has_blob(&digest));
    let report = line.hoist.value("registry::prune_cache(#{not_used_for: 0.seconds})");
    assert_eq!(
        (&report["removed"][0]["id"], &report["reclaimed"]),
        (&json!(manifest), &json!(size))
    );
    assert!(!line.has_blob(&digest) && !line.has_blob(&manifest));
    assert!(proxy.ask("GET", &blob(&digest)).is(200).body == layer);
    assert_eq!(line.hoist.value("system::check().problems"), json!([]));
}

#[test]
fn it_takes_nothing_and_knows_whose_images_it_has() {
    let line = Line::new();
    let (manifest, _) = line.push("1", b"layer");
    let proxy = line.proxy();
    for (method, target) in [
        ("POST", "/v2/team/app/blobs/uploads/"),
        ("PUT", TAG),
        ("DELETE", TAG),
        ("DELETE", &blob(&sha256(b"layer"))),
        ("PATCH", "/v2/team/app/blobs/uploads/x"),
    ] {
        assert_eq!(
            proxy.ask(method, target).is(405).code(),
            "UNSUPPORTED",
            "{method} {target}"
        );
    }
    assert_eq!(
        proxy.ask("GET", "/v2/team/app/manifests/no").is(404).code(),
        "MANIFEST_UNKNOWN"
    );
    assert_eq!(
        proxy.ask("GET", "/v2/nobody/manifests/1").is(404).code(),
        "MANIFEST_UNKNOWN"
    );
    assert_eq!(proxy.ask("GET", &blob(&sha256(b"?"))).is(404).code(), "BLOB_UNKNOWN");
    // Some clients say which registry they mean.
    proxy.ask("GET", &format!("{TAG}?ns={}", line.faulty.name())).is(200);
    let other = proxy.ask("GET", &format!("{TAG}?ns=docker.io")).is(404);
    assert_eq!(other.code(), "NAME_UNKNOWN");
    // What refers to an image, and tags page by page, are the other registry's.
    let mut refers: serde_json::Value = serde_json::from_str(&artifact(&line.upstream, "team/app", b"signed")).unwrap();
    refers["subject"] = json!({"mediaType": MANIFEST, "digest": manifest, "size": 1});
    let refers = line
        .upstream
        .push_manifest("team/app", "sig", MANIFEST, &refers.to_string());
    let found = proxy.ask("GET", &format!("/v2/team/app/referrers/{manifest}")).is(200);
    assert_eq!(found.json()["manifests"][0]["digest"], refers);
    let page = proxy.ask("GET", "/v2/team/app/tags/list?n=1").is(200);
    assert_eq!(page.json(), json!({"name": "team/app", "tags": ["1"]}));
    let next = page.header("Link").unwrap();
    let next = next.strip_prefix('<').unwrap().split('>').next().unwrap();
    assert_eq!(proxy.ask("GET", next).is(200).json()["tags"], json!(["sig"]));
    // What is here for others is not here for everybody: the plain registry does not have it.
    let plain = Served::start(&line.hoist, &[]);
    plain.ask("GET", TAG).is(404);
    let refused = line.hoist.run(&["serve", "registry", "--proxy", "nowhere"]);
    assert!(
        refused.stderr.contains("`nowhere` is no registry to stand before"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_registry_does_not_stand_before_itself() {
    let hoist = Hoist::new();
    for (listen, proxy) in [
        ("127.0.0.1:5999", "localhost:5999"),
        ("127.0.0.1:5999", "http://127.0.0.1:5999/team"),
        ("0.0.0.0:5999", "127.0.0.1:5999"),
    ] {
        let refused = hoist.run(&["serve", "registry", "--listen", listen, "--proxy", proxy]);
        refused
            .fails_with(2)
            .stderr_has(&["it would stand before itself", "another port"]);
    }
}

#[test]
fn a_registry_that_is_silent_about_a_tag_is_not_waited_for_long() {
    let line = Line::new();
    let (digest, _) = line.push("1", b"layer");
    line.proxy().ask("GET", TAG).is(200);
    line.faulty.always("HEAD /manifests/", Fault::Hang);
    // The harness waits for three minutes, and the registry for a minute four times over.
    let kept = line.proxy().ask("GET", TAG).is(200);
    assert_eq!(kept.header("Docker-Content-Digest"), Some(digest.as_str()));
    assert!(
        kept.header("Warning").unwrap().starts_with("110 "),
        "{:?}",
        kept.headers
    );
}

#[test]
fn a_tag_that_moves_is_followed_and_one_that_goes_is_gone() {
    let line = Line::new();
    let (first, _) = line.push("1", b"first");
    let proxy = line.proxy();
    let stands_for = |answer: Answered| answer.header("Docker-Content-Digest").unwrap().to_owned();
    assert_eq!(stands_for(proxy.ask("GET", TAG).is(200)), first);
    let (second, _) = line.push("1", b"second");
    assert_eq!(stands_for(proxy.ask("GET", TAG).is(200)), second);
    line.upstream.ask("DELETE", TAG).is(202);
    proxy.ask("GET", TAG).is(404);
    // Also when nobody can be asked any more.
    line.faulty.always("* /", Fault::Drop);
    proxy.ask("GET", TAG).is(502);
    // By its digest it is what it always was.
    proxy.ask("GET", &format!("/v2/team/app/manifests/{first}")).is(200);
}

#[test]
fn within_the_time_it_is_taken_to_hold_nobody_is_asked() {
    let line = Line::with(&["--ttl", "1h"]);
    line.push("1", b"layer");
    for _ in 0..3 {
        line.proxy().ask("GET", TAG).is(200);
    }
    assert_eq!(line.faulty.count("* /manifests/"), 2, "one HEAD, one GET");
}

#[test]
fn what_is_kept_is_handed_out_when_nobody_answers_and_that_is_said() {
    let mut line = Line::new();
    let (_, digest) = line.push("1", b"layer");
    let proxy = line.proxy.take().unwrap();
    proxy.ask("GET", TAG).is(200);
    proxy.ask("GET", &blob(&digest)).is(200);
    line.faulty.always("* /", Fault::Drop);
    for _ in 0..2 {
        let stale = proxy.ask("GET", TAG).is(200);
        assert!(
            stale.header("Warning").unwrap().starts_with("110 "),
            "{:?}",
            stale.headers
        );
        assert_eq!(proxy.ask("GET", &blob(&digest)).is(200).body, b"layer");
        let tags = proxy.ask("GET", "/v2/team/app/tags/list").is(200);
        assert_eq!(
            (tags.json()["tags"].clone(), tags.header("Warning").is_some()),
            (json!(["1"]), true)
        );
    }
    let unknown = proxy.ask("GET", "/v2/team/app/manifests/2").is(502);
    assert!(String::from_utf8_lossy(&unknown.body).contains(&line.faulty.name()));
    // One that wants it slower is as good as down.
    line.faulty.heal();
    line.faulty.always("* /", Fault::Answer(Answer::status(429)));
    assert!(proxy.ask("GET", TAG).is(200).header("Warning").is_some());
    line.faulty.heal();
    // After a moment it is asked again.
    while proxy.ask("GET", TAG).is(200).header("Warning").is_some() {
        std::thread::yield_now();
    }
    let (said, code) = proxy.stop();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("gives no answer, so what is kept of it is handed out"),
        "{said}"
    );
    assert!(said.contains("answers again"), "{said}");
}

#[test]
fn many_who_want_a_blob_wait_for_one_transfer() {
    let line = Line::new();
    let layer = bytes(1_000_000);
    let (_, digest) = line.push("1", &layer);
    line.proxy().ask("GET", TAG).is(200);
    line.faulty
        .always("GET /blobs/", Fault::Drip(50_000, std::time::Duration::from_millis(10)));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8u32)
            .map(|number| {
                let (line, digest, layer) = (&line, &digest, &layer);
                scope.spawn(move || match number % 2 {
                    0 => assert!(line.proxy().ask("GET", &blob(digest)).is(200).body == *layer),
                    _ => {
                        let range = [("Range", "bytes=500000-")];
                        let answer = line.proxy().send("GET", &blob(digest), &range, b"").is(206);
                        assert!(answer.body == layer[500_000..]);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert_eq!(line.faulty.count("GET /blobs/"), 1);
    // Manifests, too.
    let before = line.faulty.count("GET /manifests/");
    let (_, other) = line.push("2", b"other");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| line.proxy().ask("GET", "/v2/team/app/manifests/2").is(200));
        }
    });
    assert_eq!(line.faulty.count("GET /manifests/") - before, 1);
    line.proxy().ask("GET", &blob(&other)).is(200);
}

#[test]
fn a_blob_that_is_wrong_is_never_handed_out_whole_and_not_kept() {
    let line = Line::new();
    let layer = bytes(1_000_000);
    let (manifest, digest) = line.push("1", &layer);
    let proxy = line.proxy();
    proxy.ask("GET", TAG).is(200);
    // Whole, and where only a part is wanted, which might be the wrong one.
    for range in [None, Some("bytes=0-99999")] {
        line.faulty.once("GET /blobs/", Fault::Flip(77_777));
        let headers: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
        let cut = proxy.send("GET", &blob(&digest), &headers, b"");
        let promised: usize = cut.header("Content-Length").unwrap().parse().unwrap();
        assert!(cut.body.len() < promised, "{} of {promised}", cut.body.len());
        assert!(!line.has_blob(&digest) && parts(&line.hoist).is_empty());
    }
    assert!(proxy.ask("GET", &blob(&digest)).is(200).body == layer);
    // A manifest that is not what it is called is no answer at all.
    let (other, _) = line.push("2", b"other");
    line.faulty.once("GET /manifests/", Fault::Flip(30));
    let target = format!("/v2/team/app/manifests/{other}");
    proxy.ask("GET", &target).is(502);
    proxy.ask("GET", &target).is(200);
    assert_eq!(line.hoist.value("registry::cached().len()"), 2);
    assert_ne!(manifest, other);
}

/// The parts of blobs that wait for the rest.
fn parts(hoist: &Hoist) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(hoist.root().join("ingest")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "part"))
        .collect()
}

#[test]
fn a_blob_is_handed_on_while_it_comes_and_goes_on_after_a_kill() {
    let mut line = Line::new();
    let layer = bytes(1_000_000);
    let (_, digest) = line.push("1", &layer);
    let proxy = line.proxy.take().unwrap();
    proxy.ask("GET", TAG).is(200);
    // The connection ends in the middle, and on the next one nothing is ever said.
    line.faulty.once("GET /blobs/", Fault::Truncate(400_000));
    line.faulty.once("GET /blobs/", Fault::Hang);
    let mut wire = proxy.connect();
    std::io::Write::write_all(&mut wire, &request("GET", &blob(&digest), &[], b"")).unwrap();
    let mut came = Vec::new();
    while !came.ends_with(&layer[399_000..400_000]) {
        let mut piece = vec![0; 4096];
        let length = wire.read(&mut piece).unwrap();
        assert!(length > 0);
        came.extend_from_slice(&piece[..length]);
    }
    assert!(!line.has_blob(&digest));
    while line.faulty.count("GET /blobs/") < 2 {
        std::thread::yield_now();
    }
    proxy.kill();
    assert_eq!(wire.read_to_end(&mut Vec::new()).unwrap_or(0), 0, "nothing more comes");
    line.hoist.eval("image::list()").success();
    assert_eq!(parts(&line.hoist).len(), 1);
    let name = line.faulty.name();
    let proxy = Served::start(&line.hoist, &["--proxy", &name]);
    assert!(proxy.ask("GET", &blob(&digest)).is(200).body == layer);
    let asked = line.faulty.seen();
    let last = asked.iter().rfind(|request| request.fits("GET /blobs/")).unwrap();
    assert_eq!(last.header("Range"), Some("bytes=400000-"));
    assert!(parts(&line.hoist).is_empty());
    assert_eq!(line.hoist.value("system::check().problems"), json!([]));
}

#[test]
fn no_more_is_kept_than_the_quota_allows() {
    let line = Line::with(&["--quota", "250000", "--expiry", "1s", "--ttl", "0s"]);
    for tag in ["1", "2", "3"] {
        let (_, digest) = line.push(tag, &bytes(100_000 + tag.parse::<u32>().unwrap()));
        line.proxy()
            .ask("GET", &format!("/v2/team/app/manifests/{tag}"))
            .is(200);
        line.proxy().ask("GET", &blob(&digest)).is(200);
    }
    while line.hoist.value("registry::cached().len()") != 2 {
        std::thread::yield_now();
    }
    let names = line
        .hoist
        .value("registry::cached().map(|kept| kept.names[0].split(\":\").pop())");
    assert_eq!(names, json!(["2", "3"]));
}

/// A store that pulls through a proxy which keeps in the same store waits for nobody.
#[test]
fn a_script_pulls_through_its_own_proxy() {
    let (store, hoist) = (Hoist::with_busybox(), Hoist::new());
    let upstream = Served::start(&store, &[]);
    let script = format!(
        r#"let server = registry::serve(#{{listen: "127.0.0.1:0", proxy: "{}"}});
           let name = server.addr + "/busybox";
           image::pull(name);
           print(container::run(name, ["busybox", "echo", "hi"]).text());"#,
        upstream.name()
    );
    assert_eq!(hoist.script(&script, &[]).success().stdout, "hi\n");
    assert_eq!(hoist.value("system::check().problems"), json!([]));
}

#[test]
fn who_we_are_upstream_no_client_learns_or_needs_to_know() {
    let upstream = Registry::guarded(Guard {
        password: true,
        tls: false,
    });
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let archive = format!("docker-archive:{}", inputs::path("busybox.skopeo.docker.tar").display());
    upstream.put(&peers, &archive, "team/busybox:1", &[]);
    let (user, password) = crate::harness::registry::USER;
    let words = [
        "registry",
        "login",
        "--username",
        user,
        "--password-stdin",
        &upstream.address,
    ];
    hoist.command(&words).stdin(password).output().success();
    let served = Served::start(&hoist, &["--proxy", &upstream.address]);
    let answer = served.ask("GET", "/v2/team/busybox/manifests/1").is(200);
    let told = format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body));
    assert!(!told.contains(password) && !told.contains("Authorization"), "{told}");
    let (none, stranger) = (Hoist::new(), "/v2/team/busybox/manifests/1");
    let anonymous = Served::start(&none, &["--proxy", &upstream.address]);
    let refused = anonymous.send(
        "GET",
        stranger,
        &[("Authorization", "Basic YW5uOmNvcnJlY3QtaG9yc2U=")],
        b"",
    );
    assert_eq!(refused.is(403).code(), "DENIED", "what a client shows is not passed on");
}

#[test]
fn podman_skopeo_and_docker_pull_through_it() {
    let (upstream, peers, hoist) = (Registry::new(), Peers::new(), Hoist::new());
    let archive = |name: &str| format!("docker-archive:{}", inputs::path(name).display());
    upstream.put(&peers, &archive("busybox.skopeo.docker.tar"), "library/busybox:1", &[]);
    let served = Served::start(&hoist, &["--proxy", &upstream.address, "--ttl", "0s"]);
    let at = format!("{}/library/busybox:1", served.name());
    let into = |path: &Path| format!("oci:{}", path.display());
    let copy = |name: &str| {
        let target = into(&peers.file(name));
        let source = format!("docker://{at}");
        peers.run(&["skopeo", "copy", "--quiet", "--src-tls-verify=false", &source, &target])
    };
    copy("first").success();
    let asked = upstream.asked();
    let fetched = |asked: &[String]| {
        asked
            .iter()
            .filter(|asked| asked.starts_with("GET") && asked.contains("/blobs/"))
            .count()
    };
    assert!(fetched(&asked) >= 2, "{asked:?}");
    peers.podman(&["pull", "--quiet", "--tls-verify=false", &at]).success();
    let ran = peers.docker(
        r#"docker pull --quiet "$1" && docker run --rm --network none "$1" busybox echo ran"#,
        &[&at],
    );
    assert!(ran.success().stdout.contains("ran"));
    let asked = upstream.asked();
    assert_eq!(fetched(&asked), 0, "{asked:?}");
    // With nobody behind it.
    drop(upstream);
    copy("second").success();
}
