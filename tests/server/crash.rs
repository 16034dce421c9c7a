//! The end of the server in the middle of something.

use std::io::Write;

use nix::sys::signal::Signal;

use super::{MANIFEST, artifact};
use crate::harness::served::{Answered, request, sha256};
use crate::harness::{Hoist, Served};

#[test]
fn of_what_was_under_way_when_it_was_killed_nothing_can_be_seen() {
    let hoist = Hoist::new();
    let blob: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
    let digest = sha256(&blob);
    for whole in [100_000, 1_000_000, 1_999_999] {
        let served = Served::start(&hoist, &["--write"]);
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
    }
    assert_eq!(hoist.value("system::check().ok"), true);
}

fn begun(served: &Served, query: &str) -> String {
    let answer = served.ask("POST", &format!("/v2/a/blobs/uploads/{query}")).is(202);
    answer.header("Location").unwrap().to_owned()
}

#[test]
fn an_upload_goes_on_after_the_server_was_killed_or_stopped() {
    let hoist = Hoist::new();
    let blob: Vec<u8> = (0..900_000u32).map(|n| (n % 251) as u8).collect();
    let by_sha512 = hoist::model::Digest::from_hex(&"0".repeat(128)).unwrap().same_of(&blob);
    for (query, digest) in [("", sha256(&blob)), ("?digest-algorithm=sha512", by_sha512.to_string())] {
        let served = Served::start(&hoist, &["--write"]);
        let place = begun(&served, query);
        served.send("PATCH", &place, &[], &blob[..300_000]).is(202);
        served.kill();
        hoist.eval("image::list()").success();
        let served = Served::start(&hoist, &["--write"]);
        served.ask("GET", &format!("/v2/a/blobs/{digest}")).is(404);
        // In no other repository, and from nowhere but its end.
        let elsewhere = place.replace("/v2/a/", "/v2/b/");
        assert_eq!(served.ask("GET", &elsewhere).is(404).code(), "BLOB_UPLOAD_UNKNOWN");
        assert_eq!(served.ask("GET", &place).is(204).header("Range"), Some("0-299999"));
        let late = [("Content-Range", "300001-300004")];
        assert_eq!(
            served.send("PATCH", &place, &late, b"late").is(416).header("Range"),
            Some("0-299999")
        );
        let next = [("Content-Range", "300000-599999")];
        served.send("PATCH", &place, &next, &blob[300_000..600_000]).is(202);
        assert_eq!(served.stop().1, Some(0));
        let served = Served::start(&hoist, &["--write"]);
        let end = format!("{place}?digest={digest}");
        served.send("PUT", &end, &[], &blob[600_000..]).is(201);
        assert!(served.ask("GET", &format!("/v2/a/blobs/{digest}")).is(200).body == blob);
        assert_eq!(served.ask("GET", &place).is(404).code(), "BLOB_UPLOAD_UNKNOWN");
        drop(served);
        assert_eq!(hoist.staged(), [] as [std::path::PathBuf; 0]);
    }
    assert_eq!(hoist.value("system::check().problems"), serde_json::json!([]));
}

#[test]
fn an_upload_that_nobody_came_back_for_expires_with_the_next_server() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let place = begun(&served, "");
    served.send("PATCH", &place, &[], b"some").is(202);
    // What is not in its place is none: a number is no path.
    for id in ["x", "..", "%2e%2e%2fx", &"g".repeat(32)] {
        let answer = served.ask("GET", &format!("/v2/a/blobs/uploads/{id}"));
        assert!([400, 404].contains(&answer.status), "{id}: {}", answer.status);
    }
    served.kill();
    let kept = hoist.staged();
    assert!(
        kept.iter()
            .any(|path| path.extension().is_some_and(|kind| kind == "upload")),
        "{kept:?}"
    );
    let _served = Served::start(&hoist, &["--write", "--expiry", "1s"]);
    let is_upload = |path: &std::path::PathBuf| path.extension().is_some_and(|kind| kind == "upload");
    while hoist.staged().iter().any(is_upload) {
        std::thread::yield_now();
    }
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
