//! Archives that are broken or lie about their content: each gets a clear error, and neither the machine nor the store shows a trace.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::{Beside, load, load_with};
use crate::harness::forge::{Files, Item, layer, sha256};
use crate::harness::{Hoist, inputs, tool};

/// What the load of these bytes throws: kind and message. The store must be as before.
#[track_caller]
fn refusal(hoist: &Hoist, bytes: &[u8]) -> (String, String) {
    let refusal = load(hoist, bytes).expect_err("it was accepted");
    (refusal.kind, refusal.message)
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
fn s21_archives_that_end_early() {
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
fn s21_the_digest_of_a_layer_lies() {
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
fn s27_the_diff_id_lies() {
    let hoist = Hoist::new();
    let files =
        Files::docker(&[good_layer()], "lies:2").with("layer-0.tar", |_| layer(&[("other", Item::File(b"other"))]));
    assert_eq!(refusal(&hoist, &files.pack()).0, "corrupt");
}

#[test]
fn s22_s23_manifests_that_are_no_manifests() {
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
fn s24_manifests_that_point_elsewhere() {
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
fn s10_bombs() {
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
    assert!(hoist.staged().is_empty());
}

/// A header block of this kind, as GNU tar would write it, and data.
fn part(kind: u8, name: &str, data: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[156] = kind;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An archive of one such layer.
fn archive_of(parts: &[Vec<u8>]) -> Vec<u8> {
    Files::docker(&[parts.concat()], "bomb:1").pack()
}

/// CVE-2025-58183, CVE-2017-14992: what is said about an entry may not be larger than what is set, nor a map of holes longer.
#[test]
fn s09_bombs_in_headers() {
    let hoist = Hoist::new();
    let map: String = (0..20_000).map(|n| format!(",{},0", n * 2)).collect();
    let record = |key: &str, value: &str| {
        let rest = key.len() + value.len() + 3;
        let length = (rest + 1..)
            .find(|length| rest + length.to_string().len() == *length)
            .unwrap();
        format!("{length} {key}={value}\n")
    };
    let sparse = [record("GNU.sparse.size", "99999"), record("GNU.sparse.map", &map[1..])].concat();
    let numbers = [("major", "1"), ("minor", "0"), ("realsize", "9")];
    let numbers = numbers
        .map(|(key, value)| record(&format!("GNU.sparse.{key}"), value))
        .concat();
    let many = [b"1000000000\n".to_vec(), vec![b'1'; 502]].concat();
    for (parts, setting) in [
        (vec![part(b'x', "x", b"", 4 << 30)], "entry_metadata"),
        (vec![part(b'L', "x", b"", 1 << 40)], "entry_metadata"),
        (vec![part(b'K', "x", &vec![b'k'; 2 << 20], 2 << 20)], "entry_metadata"),
        (vec![part(b'g', "x", b"", 2 << 20)], "entry_metadata"),
        (
            vec![
                part(b'x', "x", sparse.as_bytes(), sparse.len() as u64),
                part(b'0', "f", b"", 0),
            ],
            "sparse_segments",
        ),
        (
            vec![
                part(b'x', "x", numbers.as_bytes(), numbers.len() as u64),
                part(b'0', "f", &many, 513),
            ],
            "sparse_segments",
        ),
    ] {
        let (kind, message) = refusal(&hoist, &archive_of(&parts));
        assert_eq!(kind, "corrupt", "{message}");
        assert!(message.contains(&format!("`{setting}`")), "{setting}: {message}");
    }
}

/// GHSA-x86f-5xw2-fm2r: decoders are part of the program, and none takes more memory than is set.
#[test]
fn s11_decoders_are_no_programs_of_the_path_and_bounded() {
    let hoist = Hoist::new();
    let good = hoist.write("good.tar", Files::docker(&[good_layer()], "packed:1").pack());
    tool(
        &hoist.dir(),
        "sh",
        &[
            "-c",
            "xz -k good.tar; zstd -q --long=30 -k good.tar -o wide.zst; gzip -k good.tar",
        ],
    );
    let trap = hoist.file("trap");
    for name in ["xz", "unxz", "unpigz", "gzip", "zstd", "tar", "sh"] {
        let path = hoist.file(name);
        fs::write(&path, format!("#!/bin/sh\n: > {}\nexit 1\n", trap.display())).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for name in ["good.tar.xz", "good.tar.gz"] {
        let script = format!(r#"image::load("{}").len()"#, hoist.file(name).display());
        hoist
            .command(&["eval", &script])
            .env("PATH", hoist.dir())
            .output()
            .success();
    }
    assert!(!trap.exists(), "a program of the PATH was run");
    assert!(good.exists());
    let wide = zstd_with_window(30);
    let (_, message) = refusal(&hoist, &wide);
    assert!(message.contains("`zstd_window_log` of 27"), "{message}");
    let xz = fs::read(hoist.file("good.tar.xz")).unwrap();
    let refused = load_with(&hoist, &xz, &["--limit", "xz_memory=64KiB"]).unwrap_err();
    assert!(
        refused.message.contains("`xz_memory`") && refused.hint.contains("--limit xz_memory"),
        "{refused:?}"
    );
}

/// The header of a zstd frame without stated size whose window has this logarithm, and a block.
fn zstd_with_window(log: u8) -> Vec<u8> {
    let block = [1u8, 0, 0];
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3][..], &block].concat()
}

/// Linux has twelve bits for a major and twenty for a minor number: what does not fit is refused and not cut.
#[test]
fn s12_device_numbers_that_do_not_fit() {
    let hoist = Hoist::new();
    for device in [Item::Device(4096, 0), Item::Device(0, 1 << 20)] {
        let (kind, message) = refusal(&hoist, &Files::docker(&[layer(&[("d", device)])], "bad:1").pack());
        assert_eq!(kind, "corrupt");
        assert!(message.contains("device number"), "{message}");
    }
    load(
        &hoist,
        &Files::docker(&[layer(&[("d", Item::Device(4095, (1 << 20) - 1))])], "good:1").pack(),
    )
    .unwrap();
}

/// Names longer than the kernel takes, paths as deep as it takes, and very many entries: an error or a layer, in little memory.
#[test]
fn s13_too_many_too_deep_too_long() {
    let hoist = Hoist::new();
    let long = |length: usize| {
        archive_of(&[
            part(b'L', "x", &vec![b'n'; length], length as u64),
            part(b'0', "f", b"", 0),
        ])
    };
    assert_eq!(refusal(&hoist, &long(256)).0, "corrupt");
    assert!(refusal(&hoist, &long(64 << 10)).1.contains("`path`"));
    let deep = "d/".repeat(2047) + "f";
    let deep = archive_of(&[part(b'L', "x", deep.as_bytes(), 4095), part(b'0', "f", b"x", 1)]);
    load(&hoist, &deep).unwrap();
    let names: Vec<String> = (0..100_000).map(|n| format!("n{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Item::File(b""))).collect();
    let many = Files::docker(&[layer(&many)], "many:1").pack();
    let refused = load_with(&hoist, &many, &["--limit", "entries=99999"]).unwrap_err();
    assert!(refused.message.contains("`entries` of 99999"), "{refused:?}");
    let archive = hoist.write("many.tar", &many);
    // A million entries are no more than the default allows; a tenth of them fits into memory that would not hold them twice.
    let script = format!(r#"image::load("{}").len()"#, archive.display());
    hoist.eval(&script).success();
    hoist
        .eval(r#"image::remove("many:1"); image::prune(#{all: true}); ()"#)
        .success();
}

/// A blob is as long as its descriptor says, not longer and not shorter.
#[test]
fn s21_the_size_of_a_blob_lies() {
    let hoist = Hoist::new();
    for change in [-1i64, 1, 1 << 40] {
        let files = Files::oci(&[good_layer()], "lies:1");
        let bytes = relabelled(files, |manifest| {
            let size = &mut manifest["layers"][0]["size"];
            *size = json!(size.as_i64().unwrap() + change);
        });
        let (kind, message) = refusal(&hoist, &bytes.pack());
        assert_eq!(kind, "corrupt");
        assert!(message.contains("bytes"), "{message}");
    }
    let bytes = relabelled(Files::oci(&[good_layer()], "lies:1"), |manifest| {
        manifest["layers"][0]["size"] = json!(-1);
    });
    assert_eq!(refusal(&hoist, &bytes.pack()).0, "corrupt");
}

/// The same layout with another manifest, truly named by its index.
fn relabelled(mut files: Files, change: impl FnOnce(&mut Value)) -> Files {
    let index: Value = serde_json::from_slice(&files.0["index.json"]).unwrap();
    let old = index["manifests"][0]["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/");
    let mut manifest: Value = serde_json::from_slice(&files.0.remove(&old).unwrap()).unwrap();
    change(&mut manifest);
    let bytes = manifest.to_string().into_bytes();
    let entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", sha256(&bytes)), "size": bytes.len()});
    files.0.insert(format!("blobs/sha256/{}", sha256(&bytes)), bytes);
    indexed(files, &[entry])
}

fn indexed(mut files: Files, entries: &[Value]) -> Files {
    let index = json!({"schemaVersion": 2, "manifests": entries});
    files.0.insert("index.json".into(), index.to_string().into_bytes());
    files
}

/// CVE-2020-1702, CVE-2023-25153: no document is read beyond its limit, whatever its descriptor says.
#[test]
fn s22_documents_that_are_too_large() {
    let hoist = Hoist::new();
    let padding = vec![b' '; 5 << 20];
    for name in ["manifest.json", "config"] {
        let files = Files::docker(&[good_layer()], "bad:1");
        let name = match name {
            "config" => files.0.keys().find(|name| name.len() == 69).unwrap().clone(),
            name => name.to_owned(),
        };
        let (kind, message) = refusal(
            &hoist,
            &files.with(&name, |text| [text, padding.clone()].concat()).pack(),
        );
        assert_eq!(kind, "corrupt");
        assert!(message.contains("`document`"), "{message}");
    }
    let layers: Vec<String> = (0..1001).map(|n| format!("layer-{n}.tar")).collect();
    let files = Files::docker(&[good_layer()], "bad:1").with("manifest.json", |text| {
        let mut manifest: Value = serde_json::from_slice(&text).unwrap();
        manifest[0]["Layers"] = json!(layers);
        manifest.to_string().into_bytes()
    });
    let (_, message) = refusal(&hoist, &files.pack());
    assert!(message.contains("`layers`"), "{message}");
}

/// CVE-2021-41190: a document that could be taken for a manifest and for an index is neither.
#[test]
fn s25_a_manifest_that_is_an_index_too() {
    let hoist = Hoist::new();
    let changes: [fn(&mut Value); 3] = [
        |manifest| manifest["manifests"] = json!([]),
        |manifest| manifest["mediaType"] = json!("application/vnd.oci.image.index.v1+json"),
        |manifest| {
            manifest.as_object_mut().unwrap().remove("config");
        },
    ];
    for change in changes {
        let files = relabelled(Files::oci(&[good_layer()], "both:1"), change);
        assert_eq!(refusal(&hoist, &files.pack()).0, "corrupt");
    }
}

/// An index may lie within an index, but not without end. A cycle cannot be made, as each is named by its digest.
#[test]
fn s26_indexes_within_indexes() {
    let hoist = Hoist::new();
    for (depth, is_fine) in [(1, true), (4, true), (5, false), (50, false)] {
        let loaded = load(&hoist, &nested(depth).pack());
        match loaded {
            Ok(()) => assert!(is_fine, "{depth} deep"),
            Err(refusal) => assert!(
                !is_fine && refusal.message.contains("`index_depth`"),
                "{depth}: {refusal:?}"
            ),
        }
    }
}

/// A layout whose image lies this deep in indexes.
pub(super) fn nested(depth: usize) -> Files {
    let mut files = Files::oci(&[good_layer()], "deep:1");
    for _ in 0..depth {
        let bytes = files.0["index.json"].clone();
        let digest = sha256(&bytes);
        let entry = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": format!("sha256:{digest}"), "size": bytes.len()});
        files.0.insert(format!("blobs/sha256/{digest}"), bytes);
        files = indexed(files, &[entry]);
    }
    files
}

/// CVE-2026-50195: an archive sets the names it says, and they are told; under `tags: false` none moves, and one that is pinned
/// by its digest stays what it is.
#[test]
fn s28_names_that_an_archive_sets() {
    let hoist = Hoist::new();
    let good = hoist.write(
        "good.tar",
        Files::docker(&[good_layer()], "docker.io/library/base:1").pack(),
    );
    let evil = layer(&[("evil", Item::File(b"evil"))]);
    let evil = hoist.write("evil.tar", Files::docker(&[evil], "base:1").pack());
    let script = format!(
        r#"
        let good = image::load("{}")[0];
        let pinned = good.digest;
        let quiet = image::load("{evil}", #{{tags: false}})[0];
        let stays = image::get("base:1").id == good.id;
        let told = image::load("{evil}")[0].tags;
        [quiet.tags, stays, told, image::get("base:1").id == quiet.id, image::get(good.id).id == good.id]"#,
        good.display(),
        evil = evil.display()
    );
    assert_eq!(hoist.value(&script), json!([[], true, ["base:1"], true, true]));
    // Names that are none set nothing.
    for name in ["../../etc/passwd", "a b", "UPPER", "a:b:c", "sha256:"] {
        let (kind, _) = refusal(&hoist, &Files::docker(&[good_layer()], name).pack());
        assert_eq!(kind, "corrupt", "{name}");
    }
}

/// CVE-2021-20291: a layer that is no archive, and one that says it is compressed and is not, end in an error, and one that never
/// comes in the end of the operation.
#[test]
fn s29_bogus_layers_do_not_hang() {
    let beside = Beside::new();
    let hoist = &beside.hoist;
    let magic = [
        b"\xfd7zXZ\0".to_vec(),
        b"\x1f\x8b\x08".to_vec(),
        b"\x28\xb5\x2f\xfd".to_vec(),
        b"\x50\x2a\x4d\x18\xff\xff\xff\xff".to_vec(),
        b"BZh91AY&SY".to_vec(),
        vec![b'x'; 100_000],
    ];
    for start in magic {
        let layer = [start.as_slice(), &[7; 5000]].concat();
        let (kind, _) = refusal(hoist, &Files::docker(&[layer.clone(), good_layer()], "bogus:1").pack());
        assert!(
            kind == "corrupt" || kind == "unsupported",
            "{}: {kind}",
            start.escape_ascii()
        );
        let (kind, _) = refusal(hoist, &layer);
        assert!(["corrupt", "unsupported", "invalid"].contains(&kind.as_str()), "{kind}");
    }
    let fifo = hoist.file("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for call in ["image::load(", "image::import_tar("] {
        let name = if call.contains("import") { r#", "never""# } else { "" };
        let script = format!(r#"{call}"{}"{name})"#, fifo.display());
        hoist.run(&["--timeout", "300ms", "eval", &script]).fails_with(124);
        assert!(hoist.staged().is_empty());
    }
}
