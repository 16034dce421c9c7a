//! A disk without room: the error says so, what was there stays whole, and room can be made again with Hoist itself.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use crate::acts::{self, Act};
use crate::harness::fault::{self, Place};
use crate::harness::{Hoist, Output, Peers, Registry, Served, Witness, inputs};
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

/// Takes the disk but for this many KiB, the database's reserve included, and returns how many bytes were used before, by anything but
/// the database.
fn fill_but(hoist: &Hoist, left: u64) -> u64 {
    let _ = fs::remove_file(hoist.root().join("hoist.db-reserve"));
    let before = used(hoist);
    let disk = statvfs(&hoist.root()).unwrap();
    let filler = File::create(hoist.root().join("filler")).unwrap();
    let free = disk.blocks_available() * disk.fragment_size();
    posix_fallocate(filler.as_fd(), 0, (free - (1 << 20)).cast_signed()).unwrap();
    fill(hoist);
    let full = filler.metadata().unwrap().len();
    filler.set_len(full - (left << 10)).unwrap();
    before
}

/// Bytes of the disk that are used, but for the database's files, which grow as SQLite thinks best.
fn used(hoist: &Hoist) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let disk = statvfs(&hoist.root()).unwrap();
    let files = ["hoist.db", "hoist.db-wal", "hoist.db-shm", "hoist.db-reserve"];
    let sizes = files.map(|name| fs::metadata(hoist.root().join(name)).map_or(0, |facts| facts.blocks() * 512));
    (disk.blocks() - disk.blocks_free()) * disk.fragment_size() - sizes.iter().sum::<u64>()
}

/// KiB that are left when an act begins: each stops it somewhere else.
const LEFT: [u64; 14] = [0, 4, 8, 12, 16, 20, 28, 36, 48, 64, 96, 160, 320, 2600];

/// An act that ended without room said so, and what there is no room for.
#[track_caller]
fn assert_no_space(output: &Output, when: &str) {
    let told = &output.stderr;
    assert!(told.contains("error[no_space]"), "{when}: {told}");
    assert!(told.contains("`/"), "{when}: no path is named: {told}");
}

/// Does the act with hardly any room, again and again, and then has each call fail at which the disk may be found full.
fn without_room(act: fn(&Hoist) -> Act) {
    let hoist = Hoist::on_ext4("200m");
    let act = act(&hoist);
    let witness = act.witness(&hoist);
    let failures = with_so_much_left(&hoist, &act, &witness) + with_calls_refused(&hoist, &act, &witness);
    assert!(failures > 0, "there was always room");
    println!("without room {failures} times");
}

fn with_so_much_left(hoist: &Hoist, act: &Act, witness: &Witness) -> u32 {
    let mut failures = 0;
    hoist.eval(&act.before).success();
    let at_first = used(hoist);
    for left in LEFT {
        let when = format!("with {left} KiB left");
        hoist.eval(&act.before).success();
        let before = fill_but(hoist, left);
        assert_eq!(before, at_first, "before {when}: something was kept");
        let output = hoist.eval(&act.act);
        let failed = !output.status.success();
        if failed {
            failures += 1;
            assert_no_space(&output, &when);
        }
        make_room(hoist);
        witness.check(hoist, &when);
        // What is made of layers for any container stays as long as they do.
        if failed && !hoist.has_derived_layers() {
            assert_eq!(used(hoist), before, "{when}: it keeps what it took: {}", output.stderr);
        }
        (act.look)(hoist, &when);
    }
    failures
}

/// Calls that a full disk makes fail. Those that remove something are not among them.
const REFUSED: [&str; 7] = [
    "fdatasync",
    "fsync",
    "mkdir",
    "mkdirat",
    "pwrite64",
    "symlinkat",
    "syncfs",
];

fn with_calls_refused(hoist: &Hoist, act: &Act, witness: &Witness) -> u32 {
    let mut failures = 0;
    fault::everywhere(&REFUSED, 3, |place| {
        let when = format!("refused from {place} on");
        hoist.eval(&act.before).success();
        let output = fault::no_space(hoist, &act.act, place);
        let failed = !output.status.success();
        if failed {
            failures += 1;
            assert_no_space(&output, &when);
        }
        witness.check(hoist, &when);
        (act.look)(hoist, &when);
        failed
    });
    failures
}

/// The kernel's word for it is another one.
#[test]
fn a_quota_that_is_used_up_is_no_space_too() {
    let hoist = Hoist::new();
    let act = acts::load(&hoist);
    for call in REFUSED {
        hoist.eval(&act.before).success();
        let output = fault::over_quota(&hoist, &act.act, Place { call, number: 1 });
        if !output.status.success() {
            assert_no_space(&output, call);
            assert!(output.stderr.contains("quota exceeded"), "{call}: {}", output.stderr);
        }
    }
}

/// The run root is memory, and mostly small: `$run` has no room left once `$run/filler` is there.
const SMALL_RUN_ROOT: &str =
    r#"mkdir -p "$root/../run"; mount -t tmpfs -o "$options" none "$root/../run"; mkdir "$root/../run/leases""#;

#[test]
fn a_container_is_not_begun_where_the_state_of_its_process_has_no_room() {
    let hoist = Hoist::with_busybox();
    let filler = hoist.run_root().join("filler");
    for (options, fill) in [
        ("size=32k", "dd if=/dev/zero bs=4k of=FILLER 2> /dev/null || true"),
        (
            "size=1m,nr_inodes=20",
            "mkdir FILLER; for i in $(seq 20); do touch FILLER/$i 2> /dev/null || break; done",
        ),
    ] {
        let fill = fill.replace("FILLER", filler.to_str().unwrap());
        let prelude = format!("options={options}; {SMALL_RUN_ROOT}; {fill}");
        let script = format!(
            r#"let kinds = ["run", "run_detached", "create"].map(|start| {{
                let r = attempt(|| switch start {{
                    "run" => container::run("busybox", ["true"]),
                    "run_detached" => container::run_detached("busybox", ["true"]),
                    _ => container::create("busybox", ["true"]).start(),
                }});
                for c in container::list(#{{all: true}}) {{ c.remove(); }}
                if r.ok {{ "nothing" }} else {{ `${{r.error.kind}} ${{r.error.message}}` }}
            }});
            fs::remove("{}", #{{recursive: true}});
            [kinds, container::list(#{{all: true}}).len(), container::run("busybox", ["true"]).code, system::check().problems]"#,
            filler.display()
        );
        let output = hoist
            .run_after(&prelude, &["--format", "json", "eval", script.as_str()])
            .success();
        println!("{options}: {}", output.stdout);
        let told = output.json();
        for kind in told[0].as_array().unwrap() {
            let kind = kind.as_str().unwrap();
            assert!(kind.starts_with("no_space "), "{options}: {told:#}");
            assert!(kind.contains(hoist.run_root().to_str().unwrap()), "{options}: {told:#}");
        }
        assert_eq!(
            told.as_array().unwrap()[1..],
            [0.into(), 0.into(), serde_json::json!([])],
            "{options}"
        );
        hoist.assert_nothing_left();
        verify(&hoist);
    }
}

#[test]
fn a_load_fails_as_if_nothing_had_been() {
    without_room(acts::load);
}

#[test]
fn an_import_fails_as_if_nothing_had_been() {
    without_room(acts::import);
}

#[test]
fn a_commit_fails_as_if_nothing_had_been() {
    without_room(acts::commit);
}

#[test]
fn a_tag_fails_as_if_nothing_had_been() {
    without_room(acts::tag);
}

#[test]
fn a_removal_without_any_reserve_is_whole_or_nothing() {
    without_room(acts::removal);
}

#[test]
fn a_prune_without_any_reserve_is_whole_or_nothing() {
    without_room(acts::prune);
}

#[test]
fn a_save_fails_as_if_nothing_had_been() {
    without_room(acts::save);
}

#[test]
fn an_export_fails_as_if_nothing_had_been() {
    without_room(acts::export);
}

#[test]
fn an_image_of_this_host_fails_as_if_nothing_had_been() {
    without_room(acts::from_host);
}

#[test]
fn an_unpacking_for_a_container_fails_as_if_nothing_had_been() {
    without_room(acts::create);
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

#[test]
fn a_pull_that_finds_no_room_gives_back_what_it_took() {
    let (registry, peers, hoist) = (Registry::new(), Peers::new(), Hoist::on_disk("24m"));
    let archive = inputs::path("debian.crane.docker.tar");
    let source = format!("docker-archive:{}", archive.display());
    registry.put(&peers, &source, "debian:1", &[]);
    let name = registry.name("debian:1");
    assert_eq!(kind(&hoist, &format!("image::pull({name:?})")), "no_space");
    assert_eq!(hoist.staged(), Vec::<PathBuf>::new());
    let proxy = Served::start(&hoist, &["--proxy", &registry.address]);
    let other = Hoist::new();
    let through = format!("{}/debian:1", proxy.name());
    other.eval(&format!("image::pull({through:?})")).fails_with(1);
    let (told, _) = proxy.stop();
    assert!(told.contains("a blob cannot be kept"), "{told}");
    assert_eq!(hoist.staged(), Vec::<PathBuf>::new());
    verify(&hoist);
}
