//! What clients may cost.

use std::io::{Read, Write};
use std::time::Instant;

use super::{MANIFEST, artifact};
use crate::harness::served::{Answered, sha256};
use crate::harness::{Hoist, PATIENCE, Served};

#[test]
fn s22_a_manifest_is_taken_up_to_its_limit() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let small = artifact(&served, "a", b"x");
    let filled = |size: usize| {
        let filler = "x".repeat(size - small.len() - r#","annotations":{"x":""}"#.len());
        format!(
            r#"{},"annotations":{{"x":"{filler}"}}}}"#,
            small.strip_suffix('}').unwrap()
        )
    };
    let put = |text: &str, headers: &[(&str, &str)]| {
        let headers = [&[("Content-Type", MANIFEST)], headers].concat();
        served.send("PUT", "/v2/a/manifests/1", &headers, text.as_bytes())
    };
    let most = 4 << 20;
    put(&filled(most), &[]).is(201);
    assert_eq!(put(&filled(most + 1), &[]).is(413).code(), "SIZE_INVALID");
    let endless = format!("{:x}\r\n{}\r\n", most + 10, " ".repeat(most + 10));
    assert_eq!(
        put(&endless, &[("Transfer-Encoding", "chunked")]).is(413).code(),
        "SIZE_INVALID"
    );
    drop(served);
    let served = Served::start(&hoist, &["--write", "--limit", "document=64KiB"]);
    let target = "/v2/a/manifests/2";
    served
        .send("PUT", target, &[("Content-Type", MANIFEST)], filled(70_000).as_bytes())
        .is(413);
}

#[test]
fn no_more_is_taken_than_the_quota_allows() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write", "--quota", "100000"]);
    let blob = vec![1; 60_000];
    served.push_blob("a", &blob);
    let target = format!("/v2/a/blobs/uploads/?digest={}", sha256(&vec![2; 60_000]));
    let refused = served.send("POST", &target, &[], &vec![2; 60_000]).is(403);
    assert_eq!(refused.code(), "DENIED");
    // Also of one whose size is not told, and of one that is still under way.
    let start = || {
        served
            .ask("POST", "/v2/a/blobs/uploads/")
            .is(202)
            .header("Location")
            .unwrap()
            .to_owned()
    };
    let chunk = [b"9c40\r\n", &vec![3; 40_000][..], b"\r\n"].concat();
    let twice = [chunk.clone(), chunk.clone(), b"0\r\n\r\n".to_vec()].concat();
    served
        .send("PATCH", &start(), &[("Transfer-Encoding", "chunked")], &twice)
        .is(403);
    // What is there already costs nothing where else it is wanted.
    let mount = format!("/v2/b/blobs/uploads/?mount={}&from=a", sha256(&blob));
    served.ask("POST", &mount).is(201);
}

#[test]
fn what_nobody_goes_on_with_expires() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write", "--expiry", "1s"]);
    let place = served
        .ask("POST", "/v2/a/blobs/uploads/")
        .is(202)
        .header("Location")
        .unwrap()
        .to_owned();
    served.send("PATCH", &place, &[], b"some").is(202);
    let kept = artifact(&served, "a", b"kept");
    served.push_manifest("a", "1", MANIFEST, &kept);
    let lost = served.push_blob("a", b"lost");
    let until_gone = |target: &str| {
        while served.ask("GET", target).status != 404 {
            std::thread::yield_now();
        }
    };
    until_gone(&place);
    until_gone(&format!("/v2/a/blobs/{lost}"));
    // Its row goes first.
    let file = hoist.root().join("content/blobs").join(lost.replace(':', "/"));
    let end = Instant::now() + PATIENCE;
    while file.exists() {
        assert!(Instant::now() < end, "`{}` stays", file.display());
        std::thread::yield_now();
    }
    served.ask("GET", &format!("/v2/a/blobs/{}", sha256(b"kept"))).is(200);
}

#[test]
fn what_is_no_request_is_told_so_and_ends_the_connection() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let say = |text: &str| {
        let mut wire = served.connect();
        wire.write_all(text.as_bytes()).unwrap();
        let answer = Answered::read(&mut wire, false);
        assert_eq!(answer.header("Connection"), Some("close"));
        assert_eq!(wire.read(&mut [0]).unwrap_or(0), 0);
        answer.status
    };
    assert_eq!(say("no request\r\n\r\n"), 400);
    assert_eq!(say("GET /v2/%zz HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(
        say("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400
    );
    assert_eq!(
        say(&format!(
            "GET /v2/ HTTP/1.1\r\n{}\r\n",
            format!("A: {}\r\n", "x".repeat(9000)).repeat(8)
        )),
        431
    );
    // One connection takes many requests, and they may be said at once.
    let mut wire = served.connect();
    let last = "GET /v2/ HTTP/1.1\r\nConnection: close\r\n\r\n";
    let requests = "GET /v2/ HTTP/1.1\r\n\r\n".repeat(2) + last;
    wire.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    wire.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answers}");
}
