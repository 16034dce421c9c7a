//! Every bound on images is a setting: one that is exceeded names itself and how it is raised, leaves nothing, and can be raised.

use std::io::Write;

use serde_json::Value;

use super::content::nested;
use super::load_with;
use crate::harness::Hoist;
use crate::harness::forge::{Files, Item, layer};

/// A limit, an archive that exceeds it, the flags that make it low enough for that and the value that lets the archive pass.
struct Row {
    name: &'static str,
    archive: Vec<u8>,
    low: &'static str,
    high: &'static str,
}

fn small() -> Vec<u8> {
    layer(&[("a", Item::File(b"a")), ("b", Item::File(b"b"))])
}

fn docker(layers: &[Vec<u8>]) -> Vec<u8> {
    Files::docker(layers, "limits:1").pack()
}

/// A layer written with a long name, which is metadata of its own.
fn with_long_name() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "long/".repeat(50) + "name", &b""[..])
        .unwrap();
    builder.into_inner().unwrap()
}

/// A layer with a file of three parts and holes between them, as GNU tar writes it.
fn sparse() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..1].copy_from_slice(b"s");
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(3);
    let gnu = header.as_gnu_mut().unwrap();
    for (segment, offset) in gnu
        .sparse
        .iter_mut()
        .zip([b"00000001000", b"00000002000", b"00000003000"])
    {
        segment.offset[..11].copy_from_slice(offset);
        segment.numbytes[..11].copy_from_slice(b"00000000001");
    }
    gnu.realsize[..11].copy_from_slice(b"00000010000");
    header.set_cksum();
    let mut bytes = [header.as_bytes().as_slice(), b"abc"].concat();
    bytes.resize(2048, 0);
    bytes
}

fn zeros() -> Vec<u8> {
    let plain = docker(&[layer(&[("zeros", Item::File(&vec![0; 4 << 20]))])]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).unwrap();
    encoder.finish().unwrap()
}

fn compressed_by(hoist: &Hoist, command: &str) -> Vec<u8> {
    let path = hoist.write("plain.tar", docker(&[small()]));
    let mut shell = crate::harness::program("sh");
    shell
        .args(["-c", &format!("{command} < {} > packed", path.display())])
        .current_dir(hoist.dir());
    crate::harness::Output::of(shell, None).success();
    std::fs::read(hoist.file("packed")).unwrap()
}

fn two_images() -> Vec<u8> {
    let files = Files::docker(&[small()], "limits:1").with("manifest.json", |text| {
        let mut manifest: Value = serde_json::from_slice(&text).unwrap();
        let again = manifest[0].clone();
        manifest.as_array_mut().unwrap().push(again);
        manifest.to_string().into_bytes()
    });
    files.pack()
}

fn rows(hoist: &Hoist) -> Vec<Row> {
    let row = |name, archive, low, high| Row {
        name,
        archive,
        low,
        high,
    };
    vec![
        row(
            "entry_metadata",
            docker(&[with_long_name()]),
            "entry_metadata=200",
            "2KiB",
        ),
        row("path", docker(&[with_long_name()]), "path=200", "300"),
        row("sparse_segments", docker(&[sparse()]), "sparse_segments=2", "3"),
        row("entries", docker(&[layer(&[("a", Item::Dir); 9])]), "entries=8", "9"),
        row("layers", docker(&[small(), sparse()]), "layers=1", "2"),
        row("document", docker(&[small()]), "document=100", "1MiB"),
        row("manifests", two_images(), "manifests=1", "2"),
        row("index_depth", nested(1).pack(), "index_depth=0", "1"),
        row(
            "layer_size",
            docker(&[layer(&[("a", Item::File(&[7; 5000]))])]),
            "layer_size=4999",
            "5000",
        ),
        row("ratio", zeros(), "ratio_floor=1MiB", "10000"),
        row(
            "zstd_window_log",
            compressed_by(hoist, "zstd -q --long=25"),
            "zstd_window_log=20",
            "25",
        ),
        row("xz_memory", compressed_by(hoist, "xz -9"), "xz_memory=1MiB", "128MiB"),
    ]
}

#[test]
fn every_limit_names_itself_leaves_nothing_and_can_be_raised() {
    let hoist = Hoist::new();
    for row in rows(&hoist) {
        let name = row.name;
        let refused = load_with(&hoist, &row.archive, &["--limit", row.low]).expect_err(name);
        assert!(
            refused.message.contains(&format!("`{name}`")),
            "{name}: {}",
            refused.message
        );
        assert!(
            refused.hint.contains(&format!("--limit {name}=VALUE")),
            "{name}: {}",
            refused.hint
        );
        let raised = format!("{name}={}", row.high);
        load_with(&hoist, &row.archive, &["--limit", row.low, "--limit", &raised]).expect(name);
        hoist
            .eval("image::prune(#{all: true}); for i in image::list(#{all: true}) { i.remove(#{force: true}); }")
            .success();
    }
}

/// The floor below which no ratio is looked at is a setting, too.
#[test]
fn the_floor_of_the_ratio_can_be_raised() {
    let hoist = Hoist::new();
    let refused = load_with(&hoist, &zeros(), &["--limit", "ratio_floor=1MiB"]).unwrap_err();
    assert!(refused.message.contains("`ratio`"), "{refused:?}");
    load_with(&hoist, &zeros(), &["--limit", "ratio_floor=8MiB"]).unwrap();
}

/// A limit is a setting: it stops an image, names itself and the way to raise it, and does so wherever it is set.
#[test]
fn limits_are_what_the_settings_say() {
    let hoist = Hoist::new();
    let layers = [small(), layer(&[("b", Item::File(b"b"))])];
    let archive = hoist.write("two.tar", Files::docker(&layers, "two:1").pack());
    let load = format!(r#"image::load("{}").len()"#, archive.display());
    let strict = hoist.write("strict.toml", "[limits]\nlayers = 1\n");
    let strict = strict.to_str().unwrap();
    for flags in [
        &["--limit", "layers=1"][..],
        &["--config", strict],
        &["--dry-run", "--config", strict],
        &["--limit", "ratio=300,layers=1"],
    ] {
        let refused = hoist.run(&[flags, &["eval", &load]].concat()).fails_with(1);
        assert!(
            refused.stderr.contains("exceeds the limit `layers` of 1"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("--limit layers=VALUE"), "{}", refused.stderr);
        assert!(hoist.staged().is_empty());
        assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
    }
    let from_environment = hoist.command(&["eval", &load]).env("HOIST_LIMIT", "layers=1,ratio=300");
    from_environment.output().fails_with(1);
    // The flag has the last word over the file.
    let raised = hoist.run(&["--config", strict, "--limit", "layers=2", "eval", &load]);
    raised.success().stdout_is("1");
}

#[test]
fn a_setting_that_does_not_exist_is_an_error_of_the_command_line() {
    let hoist = Hoist::new();
    let file = hoist.write("bad.toml", "[limits]\nlayer = 1\n");
    for (flag, value) in [("--config", file.to_str().unwrap()), ("--limit", "layer=1")] {
        let refused = hoist.run(&[flag, value, "eval", "1"]).fails_with(2);
        assert!(refused.stderr.contains("unknown limit `layer`"), "{}", refused.stderr);
        assert!(refused.stderr.contains("did you mean `layers`?"), "{}", refused.stderr);
    }
    let missing = hoist.run(&["--config", "/no/such/file", "eval", "1"]).fails_with(1);
    assert!(missing.stderr.contains("`/no/such/file`"), "{}", missing.stderr);
}
