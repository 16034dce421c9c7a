//! 14 to 17: what follows an archive's end, members and frames, the bytes that tell a compression, and what is verified of a layer.

use super::layers::ALL;
use super::{at, by_tar, load, loaded, refusal, text};
use serde_json::{Value, json};

use crate::harness::forge::{self, Files};
use crate::harness::members::{Member, archive};
use crate::harness::tree::Tree;
use crate::harness::{Hoist, Merged, Peers, tool};

fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("it"), bytes).unwrap();
    tool(dir.path(), "sh", &["-euc", &format!("{program} <it >packed")]);
    std::fs::read(dir.path().join("packed")).unwrap()
}

/// An image of one layer whose blob is not what is hashed for the configuration.
fn image_of(plain: &[u8], blob: &[u8], media_type: &str) -> Files {
    Files::oci_of(&[(plain.to_vec(), blob.to_vec(), media_type)], "it")
}

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

#[test]
fn c14_what_follows_the_end_of_the_archive_is_hashed() {
    let members = archive(&[Member::file("a", "a")]);
    let tails: [Vec<u8>; 4] = [
        vec![0; 10_000],
        b"no header".to_vec(),
        vec![7; 300_000],
        archive(&[Member::file("b", "b")]),
    ];
    for tail in tails {
        let plain = [members.clone(), tail].concat();
        for (program, media_type) in [("cat", PLAIN), ("gzip -n", GZIP), ("zstd -q", ZSTD)] {
            let hoist = Hoist::new();
            let tree = loaded(&hoist, &image_of(&plain, &packed(program, &plain), media_type));
            assert_eq!(tree.0.len(), 2, "what follows the end is no entry");
            // Hashed: without the tail it is another layer.
            let (kind, message) = refusal(&image_of(&members, &packed(program, &plain), media_type).pack());
            assert_eq!(kind, "corrupt", "{message}");
        }
    }
}

/// Zeros are what tape blocks leave, and belong to the blob; anything else after gzip's end is refused, as Docker and Podman do.
#[test]
fn c14_zeros_after_the_last_gzip_member_belong_to_the_blob() {
    let plain = archive(&[Member::file("a", "a")]);
    let gzip = packed("gzip -n", &plain);
    for count in [1, 512, 100_000] {
        let hoist = Hoist::new();
        let padded = [gzip.clone(), vec![0; count]].concat();
        let id = load(&hoist, &image_of(&plain, &padded, GZIP));
        let blob = hoist.root().join("content/blobs/sha256").join(forge::sha256(&padded));
        assert_eq!(std::fs::read(blob).unwrap(), padded, "{id}");
    }
    for tail in [&b"junk"[..], &[0, 0, 1]] {
        let (kind, message) = refusal(&image_of(&plain, &[&gzip, tail].concat(), GZIP).pack());
        assert_eq!(kind, "corrupt", "{message}");
    }
}

#[test]
fn c15_members_and_frames_are_read_to_the_last() {
    let members: Vec<_> = (0..50).map(|n| Member::file(format!("f{n}"), [n; 40_000])).collect();
    let plain = archive(&members);
    let (half, rest) = plain.split_at(plain.len() / 2);
    let both = |program: &str| [packed(program, half), packed(program, rest)].concat();
    // One member for each entry, as in eStargz.
    let each: Vec<u8> = plain
        .chunks(512 * 79)
        .flat_map(|chunk| packed("gzip -n", chunk))
        .collect();
    let skippable = b"\x5a\x2a\x4d\x18\x05\0\0\0skip!";
    for (what, blob, media_type) in [
        ("two members", both("gzip -n"), GZIP),
        ("a member for each entry", each, GZIP),
        ("pigz", packed("pigz -p 4 -b 128", &plain), GZIP),
        (
            "an empty member",
            [packed("gzip -n", &plain), packed("gzip -n", b"")].concat(),
            GZIP,
        ),
        ("two frames", both("zstd -q"), ZSTD),
        ("pzstd", packed("pzstd -q -p 4", &plain), ZSTD),
        (
            "a frame to skip first",
            [skippable.to_vec(), packed("zstd -q", &plain)].concat(),
            ZSTD,
        ),
        (
            "a frame to skip last",
            [packed("zstd -q", &plain), skippable.to_vec()].concat(),
            ZSTD,
        ),
    ] {
        let hoist = Hoist::new();
        let tree = loaded(&hoist, &image_of(&plain, &blob, media_type));
        assert_eq!(tree.0.len(), members.len() + 1, "{what}");
        let differences = by_tar(&plain).differences(&tree, ALL);
        assert!(differences.is_empty(), "{what}: {differences:?}");
    }
}

/// As skopeo makes it: a frame for each file, then frames to skip with a table of contents. Plain it is the same layer.
#[test]
fn c15_what_skopeo_makes_of_layers_as_zstd_chunked_is_the_same_image() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let plain = archive(
        &(0..9)
            .map(|n| Member::file(format!("f{n}"), [n; 40_000]))
            .collect::<Vec<_>>(),
    );
    let path = peers.file("plain.tar");
    std::fs::write(&path, Files::oci(std::slice::from_ref(&plain), "it:1").pack()).unwrap();
    let (source, made) = (format!("oci-archive:{}", path.display()), peers.file("chunked.tar"));
    let dest = format!("oci-archive:{}:it:1", made.display());
    let copy = [
        "skopeo",
        "copy",
        "--quiet",
        "--dest-compress-format",
        "zstd:chunked",
        &source,
        &dest,
    ];
    peers.run(&copy).success();
    let bytes = std::fs::read(&made).unwrap();
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    assert!(contains(b"GNUlInUx"), "there is no table of contents");
    let ids = hoist.value(&format!(
        r#"["{}", "{}"].map(|path| image::load(path)[0]).map(|i| [i.id, i.layers])"#,
        path.display(),
        made.display()
    ));
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0][1], json!([format!("sha256:{}", forge::sha256(&plain))]));
    // What was not there before is unpacked from it as well.
    let other = Hoist::new();
    other
        .eval(&format!(r#"image::load("{}").len()"#, made.display()))
        .success();
    by_tar(&plain).assert_same(&Tree::read(&Merged::of(&other, "it:1").path()), ALL);
}

/// As crane makes it: a gzip member for each file, landmarks and a table of contents that are files of the layer.
#[test]
fn c15_what_crane_makes_as_estargz_is_read_as_tar_reads_it() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let members: Vec<_> = (0..9).map(|n| Member::file(format!("f{n}"), [n; 40_000])).collect();
    std::fs::write(peers.file("layer.tar"), archive(&members)).unwrap();
    let script =
        "GGCR_EXPERIMENT_ESTARGZ=1 crane append --new_layer layer.tar --new_tag example.org/it:1 --output it.tar
        mkdir it && tar -xf it.tar -C it && gzip -dc it/*.tar.gz >plain.tar && tail -c 51 it/*.tar.gz >footer";
    peers.run(&["sh", "-euc", script]).success();
    let footer = std::fs::read(peers.file("footer")).unwrap();
    assert!(footer.windows(6).any(|part| part == b"STARGZ"), "it is none");
    let layers = hoist.value(&format!(
        r#"image::load("{}")[0].layers"#,
        peers.file("it.tar").display()
    ));
    let plain = std::fs::read(peers.file("plain.tar")).unwrap();
    assert_eq!(layers, json!([format!("sha256:{}", forge::sha256(&plain))]));
    let tree = Tree::read(&Merged::of(&hoist, "example.org/it:1").path());
    by_tar(&plain).assert_same(&tree, ALL);
    assert!(at(&tree, "stargz.index.json").size > 0);
    assert_eq!(
        at(&tree, "f8").content,
        text(std::str::from_utf8(&[8; 40_000]).unwrap())
    );
}

#[test]
fn c16_bytes_tell_the_compression_and_not_what_is_said_of_them() {
    let plain = archive(&[Member::file("a", "a")]);
    let types = [PLAIN, GZIP, ZSTD, "application/vnd.docker.image.rootfs.diff.tar.gzip"];
    let hoist = Hoist::new();
    for program in ["cat", "gzip -n", "zstd -q"] {
        let blob = packed(program, &plain);
        for media_type in types {
            let files = image_of(&plain, &blob, media_type);
            let tree = loaded(&hoist, &files);
            assert_eq!(at(&tree, "a").content, text("a"), "{program} as {media_type}");
            // It is kept and told.
            let is_true = match program {
                "cat" => media_type == PLAIN,
                "zstd -q" => media_type == ZSTD,
                _ => media_type.ends_with("gzip"),
            };
            let path = hoist.write("again.tar", files.pack());
            let told = hoist
                .eval(&format!(r#"image::load("{}").len()"#, path.display()))
                .success();
            let lie = format!("though its media type is `{media_type}`");
            assert_eq!(
                told.stderr.contains(&lie),
                !is_true,
                "{program} as {media_type}: {}",
                told.stderr
            );
        }
    }
}

#[test]
fn c17_digest_size_diff_id_and_number_of_layers_are_verified() {
    let (one, two) = (archive(&[Member::file("a", "a")]), archive(&[Member::file("b", "b")]));
    let good = Files::oci(&[one.clone(), two.clone()], "it");
    let blob = format!("blobs/sha256/{}", forge::sha256(&one));
    let flip = |mut bytes: Vec<u8>| {
        bytes[5] ^= 1;
        bytes
    };
    let longer = |mut bytes: Vec<u8>| {
        bytes.push(0);
        bytes
    };
    let shorter = |mut bytes: Vec<u8>| {
        bytes.pop();
        bytes
    };
    let with_config = |field: &str, value: Value| {
        let mut config: Value = serde_json::from_slice(&forge::config(&[one.clone(), two.clone()])).unwrap();
        config[field] = value;
        let layers = [&one, &two].map(|layer| (forge::descriptor(PLAIN, layer), layer.clone()));
        Files::oci_by(
            forge::bytes(&config),
            &layers,
            |it| forge::bytes(&it),
            |it| forge::bytes(&it),
        )
    };
    let first = format!("sha256:{}", forge::sha256(&one));
    let short = with_config("rootfs", json!({"type": "layers", "diff_ids": [first]}));
    let cases = [
        ("digest", good.clone().with(&blob, flip)),
        ("size", good.clone().with(&blob, longer)),
        ("size", good.clone().with(&blob, shorter)),
        ("digest", Files::oci_of(&[(two.clone(), one.clone(), PLAIN)], "it")),
        ("layers", short),
        (
            "layers",
            with_config("rootfs", json!({"type": "layers", "diff_ids": []})),
        ),
    ];
    for (what, files) in cases {
        let (kind, message) = refusal(&files.pack());
        assert_eq!(kind, "corrupt", "{what}: {message}");
    }
    // What the history tells is for people: it may be wrong.
    let hoist = Hoist::new();
    let id = load(&hoist, &with_config("history", json!([])));
    assert_eq!(hoist.value(&format!(r#"image::history("{id}").len()"#)), 2);
}
