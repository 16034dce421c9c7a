//! Archives that are broken or mean harm: each gets a clear error, and neither the machine nor the store shows a trace.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, inputs, tool};

/// What the load of these bytes throws: kind and message. The store must be as before, and work.
#[track_caller]
fn refusal(hoist: &Hoist, bytes: &[u8]) -> (String, String) {
    let path = hoist.write("bad.tar", bytes);
    let script = format!(
        r#"let r = attempt(|| image::load("{}")); if r.ok {{ #{{}} }} else {{ #{{kind: r.error.kind, message: r.error.message}} }}"#,
        path.display()
    );
    let thrown = hoist.value(&script);
    let field = |name: &str| {
        thrown[name]
            .as_str()
            .unwrap_or_else(|| panic!("it was accepted"))
            .to_owned()
    };
    let refusal = (field("kind"), field("message"));
    assert_untouched(hoist);
    refusal
}

#[track_caller]
fn assert_untouched(hoist: &Hoist) {
    assert_eq!(hoist.value("image::list(#{all: true}).len()"), 0);
    assert!(hoist.staged().is_empty(), "left unfinished: {:?}", hoist.staged());
    for dir in ["layers", "content/blobs/sha256"] {
        let left = fs::read_dir(hoist.root().join(dir)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "the failed load left something in `{dir}`");
    }
}

fn good_layer() -> Vec<u8> {
    layer(&[
        ("etc", Item::Dir),
        ("etc/name", Item::File(b"content")),
        ("big", Item::File(&[7; 100_000])),
    ])
}

#[test]
fn forged_archives_are_good_when_nothing_is_wrong_with_them() {
    let hoist = Hoist::new();
    for files in [
        Files::docker(&[good_layer()], "good:docker"),
        Files::oci(&[good_layer()], "good:oci"),
    ] {
        let path = hoist.write("good.tar", files.pack());
        assert_eq!(hoist.value(&format!(r#"image::load("{}").len()"#, path.display())), 1);
    }
}

#[test]
fn truncated() {
    let hoist = Hoist::new();
    let whole = fs::read(inputs::path("busybox.skopeo.docker.tar")).unwrap();
    for part in [whole.len() / 2, 1_000, whole.len() - 2_000_000, 100] {
        assert_eq!(refusal(&hoist, &whole[..part]).0, "corrupt", "cut to {part} bytes");
    }
    assert_ne!(refusal(&hoist, b"").0, "internal");
    let compressed = tool(
        &hoist.dir(),
        "sh",
        &[
            "-c",
            &format!(
                "gzip -c {} > whole.gz && echo done",
                inputs::path("busybox.docker.tar").display()
            ),
        ],
    );
    assert_eq!(compressed.trim(), "done");
    let compressed = fs::read(hoist.file("whole.gz")).unwrap();
    assert_eq!(refusal(&hoist, &compressed[..compressed.len() / 2]).0, "corrupt");
}

#[test]
fn the_digest_of_a_layer_lies() {
    let hoist = Hoist::new();
    let files = Files::oci(&[good_layer()], "lies:1");
    let blob = files.largest();
    let files = files.with(&blob, |mut layer| {
        layer[5000] ^= 1;
        layer
    });
    let (kind, message) = refusal(&hoist, &files.pack());
    assert_eq!(kind, "corrupt");
    assert!(message.contains(&blob[blob.len() - 64..][..12]), "{message}");
}

#[test]
fn the_diff_id_lies() {
    let hoist = Hoist::new();
    let files =
        Files::docker(&[good_layer()], "lies:2").with("layer-0.tar", |_| layer(&[("other", Item::File(b"other"))]));
    assert_eq!(refusal(&hoist, &files.pack()).0, "corrupt");
}

/// Every way out of the directory a layer is unpacked in. A sentinel beside the store shows whether one was taken.
#[test]
fn layers_that_climb_out() {
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    let sentinel = outside.path().join("sentinel");
    fs::write(&sentinel, "untouched").unwrap();
    let (dir, file) = (outside.path().to_str().unwrap(), sentinel.to_str().unwrap());
    let up = "../".repeat(20);
    let (climbing, climbing_dir) = (format!("{up}{}", &file[1..]), format!("{up}{}", &dir[1..]));
    let attacks: Vec<Vec<(&str, Item<'_>)>> = vec![
        vec![(&climbing, Item::File(b"owned"))],
        vec![(file, Item::File(b"owned"))],
        vec![("a", Item::Symlink(dir)), ("a/sentinel", Item::File(b"owned"))],
        vec![
            ("a", Item::Symlink(&climbing_dir)),
            ("a/sentinel", Item::File(b"owned")),
        ],
        vec![("a", Item::Symlink(file)), ("a", Item::File(b"owned"))],
        vec![("a", Item::Hardlink(&climbing)), ("a", Item::File(b"owned"))],
        vec![
            ("a", Item::Symlink(dir)),
            ("b", Item::Hardlink("a/sentinel")),
            ("b", Item::File(b"owned")),
        ],
        vec![("a", Item::Symlink(dir)), ("a/.wh.sentinel", Item::File(b""))],
        vec![("a", Item::Symlink(dir)), ("a/.wh..wh..opq", Item::File(b""))],
        vec![
            ("a", Item::Symlink("b")),
            ("b", Item::Symlink(dir)),
            ("a/sentinel", Item::Fifo),
        ],
        vec![("a/..", Item::Symlink(dir)), ("sentinel", Item::File(b"owned"))],
    ];
    let hoist = Hoist::new();
    for (number, attack) in attacks.iter().enumerate() {
        let path = hoist.write("attack.tar", Files::docker(&[layer(attack)], "attack:1").pack());
        // Refused or held inside are both right.
        hoist
            .eval(&format!(r#"attempt(|| image::load("{}")).ok"#, path.display()))
            .success();
        assert_eq!(fs::read_to_string(&sentinel).unwrap(), "untouched", "attack {number}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "attack {number}");
    }
}

#[test]
fn whiteouts_that_name_nothing_or_the_directory_above() {
    let hoist = Hoist::new();
    for name in [".wh.", ".wh..", ".wh...", "dir/.wh...", ".wh..wh."] {
        let attack = layer(&[("dir", Item::Dir), (name, Item::File(b""))]);
        let path = hoist.write("attack.tar", Files::docker(&[good_layer(), attack], "attack:1").pack());
        let result = hoist.value(&format!(
            r#"let r = attempt(|| image::load("{}")); if r.ok {{ "ok" }} else {{ r.error.kind }}"#,
            path.display()
        ));
        assert!(
            ["ok", "corrupt", "invalid"].contains(&result.as_str().unwrap()),
            "{name}: {result}"
        );
        assert!(hoist.root().join("layers").exists(), "{name}");
    }
}

#[test]
fn manifests_that_are_no_manifests() {
    let hoist = Hoist::new();
    let deep = || [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let huge = || [b"[\"".to_vec(), vec![b'x'; 50 << 20], b"\"]".to_vec()].concat();
    let makers: [(&str, &dyn Fn() -> Vec<u8>); 5] = [
        ("not JSON", &|| b"not json".to_vec()),
        ("nested", &deep),
        ("50 MB", &huge),
        ("empty", &Vec::new),
        ("another shape", &|| br#"{"a": 1}"#.to_vec()),
    ];
    for (what, make) in makers {
        for (files, name) in [
            (Files::docker(&[good_layer()], "bad:1"), "manifest.json"),
            (Files::oci(&[good_layer()], "bad:1"), "index.json"),
        ] {
            let (kind, message) = refusal(&hoist, &files.with(name, |_| make()).pack());
            assert!(kind == "corrupt" || kind == "invalid", "{what}: {kind}: {message}");
            assert!(
                message.len() < 500,
                "{what}: the message is {} bytes long",
                message.len()
            );
        }
    }
}

#[test]
fn manifests_that_point_elsewhere() {
    let hoist = Hoist::new();
    let set = |pointer: &'static str, value: &'static str| {
        move |old: Vec<u8>| {
            let mut manifest: Value = serde_json::from_slice(&old).unwrap();
            *manifest.pointer_mut(pointer).unwrap() = value.into();
            manifest.to_string().into_bytes()
        }
    };
    for (pointer, value) in [
        ("/0/Config", "../../../etc/passwd"),
        ("/0/Config", "missing.json"),
        ("/0/Layers/0", "/etc/shadow"),
        ("/0/Layers/0", "manifest.json"),
    ] {
        let files = Files::docker(&[good_layer()], "bad:1").with("manifest.json", set(pointer, value));
        let (kind, _) = refusal(&hoist, &files.pack());
        assert!(kind == "corrupt" || kind == "invalid", "{pointer} {value}: {kind}");
    }
    for value in ["sha256:../../../../etc/passwd", "sha256:abc", "md5:0", "sha256:"] {
        let files = Files::oci(&[good_layer()], "bad:1").with("index.json", set("/manifests/0/digest", value));
        let (kind, _) = refusal(&hoist, &files.pack());
        assert!(kind == "corrupt" || kind == "invalid", "{value}: {kind}");
    }
}

/// Ten gigabytes of zeros in ten megabytes, as a layer in an archive and as an archive: refused long before they are unpacked.
#[test]
fn bombs() {
    let hoist = Hoist::new();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(10 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    // Members of gzip follow each other as the parts of one stream.
    let bomb = [gzip(header.as_bytes()), gzip(&vec![0; 64 << 20]).repeat(160)].concat();
    assert!(bomb.len() < 16 << 20);
    let archive = Files::docker(&[good_layer()], "bomb:1").with("layer-0.tar", |_| bomb.clone());
    for bytes in [archive.pack(), bomb] {
        let (kind, message) = refusal(&hoist, &bytes);
        assert_eq!(kind, "corrupt");
        assert!(message.contains("ratio"), "{message}");
    }
}

#[test]
fn files_that_are_no_archives() {
    let hoist = Hoist::new();
    for path in ["/dev/null", "/etc/passwd", "/etc"] {
        let result = hoist.value(&format!(r#"attempt(|| image::load("{path}")).error.kind"#));
        assert!(result == "corrupt" || result == "invalid", "{path}: {result}");
    }
    assert_eq!(
        hoist.value(r#"attempt(|| image::load("/no/such/file")).error.kind"#),
        "not_found"
    );
    assert!(!Path::new("/no").exists());
    assert_untouched(&hoist);
}

/// A limit is a setting: it stops an image, names itself and the way to raise it, and does so wherever it is set.
#[test]
fn limits_are_what_the_settings_say() {
    let hoist = Hoist::new();
    let layers = [good_layer(), layer(&[("b", Item::File(b"b"))])];
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
        assert_untouched(&hoist);
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
