//! A disk without room: the error says so, what was there stays whole, and room can be made again with Hoist itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use crate::harness::{Hoist, inputs};
use crate::images::{content, verify};

/// What the expression throws: its kind.
#[track_caller]
fn kind(hoist: &Hoist, expression: &str) -> String {
    let script =
        format!("let r = attempt(|| {expression}); if r.ok {{ `nothing but ${{r.value}}` }} else {{ r.error.kind }}");
    hoist.value(&script).as_str().unwrap().to_owned()
}

/// Takes all that is left of the disk, to the last byte.
fn fill(hoist: &Hoist) {
    let path = hoist.root().join("filler");
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    let full = loop {
        // The last piece of a page fits where a whole one does not.
        if let Err(error) = file.write_all(&[1; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

fn make_room(hoist: &Hoist) {
    fs::remove_file(hoist.root().join("filler")).unwrap();
}

#[test]
fn what_is_too_large_for_it_comes_in_not_at_all() {
    let hoist = Hoist::on_disk("24m");
    hoist.import_busybox();
    let before = content(&hoist);
    for archive in ["debian.docker.tar", "debian.podman.oci.tar"] {
        let path = inputs::path(archive);
        assert_eq!(
            kind(&hoist, &format!(r#"image::load("{}")"#, path.display())),
            "no_space"
        );
    }
    let path = inputs::path("debian.tar");
    assert_eq!(
        kind(&hoist, &format!(r#"image::import_tar("{}", "debian")"#, path.display())),
        "no_space"
    );
    let target = hoist.root().join("saved.tar");
    fill(&hoist);
    let saved = format!(r#"image::save("busybox", "{}")"#, target.display());
    assert_eq!(kind(&hoist, &saved), "no_space");
    make_room(&hoist);
    assert_eq!(content(&hoist), before);
    assert_eq!(hoist.staged(), Vec::<PathBuf>::new());
    assert!(!target.exists());
    assert_eq!(hoist.value("image::list().len()"), 1);
    assert_eq!(hoist.value(r#"container::run("busybox", ["true"]).code"#), 0);
    verify(&hoist);
}

#[test]
fn images_are_listed_and_removed_on_a_disk_that_is_full_to_the_last_byte() {
    let hoist = Hoist::on_disk("96m");
    hoist.import_busybox();
    let archive = inputs::path("layers.docker.tar");
    let load = format!(r#"image::load("{}").len()"#, archive.display());
    assert_eq!(hoist.value(&load), 1);
    fill(&hoist);
    assert_eq!(hoist.value("image::list().len()"), 2);
    let before = content(&hoist).len();
    assert_eq!(
        hoist.value(r#"image::remove("example.org/layers:docker").removed.len()"#),
        1
    );
    assert!(content(&hoist).len() < before);
    verify(&hoist);
}

#[test]
fn a_container_is_not_begun_without_room_and_runs_when_there_is() {
    let hoist = Hoist::on_disk("24m");
    hoist.import_busybox();
    fill(&hoist);
    for start in ["run", "run_detached", "create"] {
        assert_eq!(
            kind(&hoist, &format!(r#"container::{start}("busybox", ["true"])"#)),
            "no_space",
            "{start}"
        );
    }
    make_room(&hoist);
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
    assert_eq!(hoist.value(r#"container::run("busybox", ["true"]).code"#), 0);
    verify(&hoist);
}

#[test]
fn the_end_of_a_container_that_fills_it_is_known() {
    let hoist = Hoist::on_disk("96m");
    hoist.import_busybox();
    let filling = "cat /dev/zero > /full; echo said; exit 7";
    let run = hoist.value(&format!(
        r#"let r = container::run("busybox", "{filling}", #{{check: false}}); [r.code, r.stdout, r.stderr.contains("No space")]"#
    ));
    assert_eq!(run, serde_json::json!([7, "said\n", true]));
    let detached = hoist.value(&format!(
        r#"let c = container::run_detached("busybox", "{filling}"); let code = c.wait(); c.reload(); [code, c.status, c.exit_code]"#
    ));
    assert_eq!(detached, serde_json::json!([7, "exited", 7]));
}
