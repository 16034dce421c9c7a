//! The end of the server in the middle of something.

use std::io::Write;

use nix::sys::signal::Signal;

use super::{MANIFEST, artifact};
use crate::harness::served::{Answered, request, sha256};
use crate::harness::{Hoist, Served};

#[test]
fn of_what_was_under_way_when_it_was_killed_nothing_is_left() {
    let hoist = Hoist::new();
    let blob: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
    let digest = sha256(&blob);
    for whole in [100_000, 1_000_000, 1_999_999] {
        let served = Served::start(&hoist, &["--write"]);
        let place = served
            .ask("POST", "/v2/a/blobs/uploads/")
            .is(202)
            .header("Location")
            .unwrap()
            .to_owned();
        served.send("PATCH", &place, &[], &blob[..1000]).is(202);
        let mut wire = served.connect();
        let bytes = request("POST", &format!("/v2/a/blobs/uploads/?digest={digest}"), &[], &blob);
        wire.write_all(&bytes[..bytes.len() - blob.len() + whole]).unwrap();
        // Answered after what was sent before it has been read, since the kernel keeps only part of it.
        served.ask("GET", "/v2/").is(200);
        served.kill();
        hoist.eval("image::list()").success();
        assert_eq!(hoist.staged(), [] as [std::path::PathBuf; 0]);
        let served = Served::start(&hoist, &["--write"]);
        served.ask("GET", &format!("/v2/a/blobs/{digest}")).is(404);
        assert_eq!(served.ask("GET", &place).is(404).code(), "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(hoist.value("system::check().ok"), true);
}

/// At every point of a push: what was answered with success is there after the next start, and what was not is whole or absent.
#[test]
fn what_was_answered_is_there_after_a_kill() {
    let hoist = Hoist::new();
    for round in 0..12u32 {
        let served = Served::start(&hoist, &["--write"]);
        let layer = round.to_le_bytes().repeat(300_000);
        let text = artifact(&served, "a", &layer);
        let mut wire = served.connect();
        let tag = format!("t{round}");
        let kind = [("Content-Type", MANIFEST)];
        wire.write_all(&request(
            "PUT",
            &format!("/v2/a/manifests/{tag}"),
            &kind,
            text.as_bytes(),
        ))
        .unwrap();
        let answered = round % 2 == 0;
        if answered {
            Answered::read(&mut wire, false).is(201);
        }
        served.kill();
        let served = Served::start(&hoist, &["--write"]);
        served.ask("GET", &format!("/v2/a/blobs/{}", sha256(&layer))).is(200);
        let found = served.ask("GET", &format!("/v2/a/manifests/{tag}"));
        match answered {
            true => assert!(found.is(200).body == text.as_bytes()),
            false => assert!(found.status == 404 || found.body == text.as_bytes()),
        }
    }
    assert_eq!(hoist.value("system::check().problems"), serde_json::json!([]));
}

#[test]
fn who_is_in_the_middle_of_something_is_let_end() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let blob = vec![7; 3_000_000];
    let mut idle = served.connect();
    idle.write_all(&request("GET", "/v2/", &[], b"")[..20]).unwrap();
    let mut wire = served.connect();
    let bytes = request(
        "POST",
        &format!("/v2/a/blobs/uploads/?digest={}", sha256(&blob)),
        &[],
        &blob,
    );
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    wire.write_all(first).unwrap();
    served.ask("GET", "/v2/").is(200);
    served.signal(Signal::SIGTERM);
    // It takes no new connections from some moment on, and goes on with this one.
    let address = served.address();
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    wire.write_all(rest).unwrap();
    let answer = Answered::read(&mut wire, false).is(201);
    assert_eq!(answer.header("Connection"), Some("close"));
    drop(idle);
    assert_eq!(served.wait(), (String::new(), Some(0)));
}

#[test]
fn what_was_pushed_outlives_a_damaged_database() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let text = artifact(&served, "a", b"kept");
    let digest = served.push_manifest("a", "1", MANIFEST, &text);
    drop(served);
    let database = hoist.root().join("hoist.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&database).unwrap();
    bytes[..100].fill(0);
    std::fs::write(&database, bytes).unwrap();
    hoist.eval("system::check(#{repair: true})").success();
    let served = Served::start(&hoist, &[]);
    assert_eq!(
        served
            .ask("GET", "/v2/a/manifests/1")
            .is(200)
            .header("Docker-Content-Digest"),
        Some(digest.as_str())
    );
    assert_eq!(
        served
            .ask("GET", &format!("/v2/a/blobs/{}", sha256(b"kept")))
            .is(200)
            .body,
        b"kept"
    );
    assert_eq!(hoist.value("system::check().problems"), serde_json::json!([]));
}
