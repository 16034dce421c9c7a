//! Archives whole, odd and hostile.

use std::io::Write as _;

use super::*;
use crate::error::Kind;
use crate::images::Limits;
use crate::images::compression::{Compression, Encoder, Pool};
use crate::images::testing::{self, NoHolder, Shop, dir, docker_archive, docker_archive_of, file, tar};

fn load_bytes(shop: &Shop, bytes: &[u8]) -> Result<Vec<Loaded>> {
    let path = shop.path("archive");
    std::fs::write(&path, bytes).unwrap();
    load(&Context::new(), &shop.content, &NoHolder, Source::Path(&path))
}

fn packed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let pool = Pool::new();
    let mut encoder = Encoder::new(Vec::new(), compression, &pool);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn some_layers() -> Vec<Vec<u8>> {
    vec![
        tar(&[dir("etc", 0o755), file("etc/a", "one")]),
        tar(&[file("etc/.wh.a", ""), file("b", "two")]),
    ]
}

#[test]
fn an_archive_gives_the_same_image_however_it_is_wrapped() {
    let archive = docker_archive(&some_layers());
    let mut ids = Vec::new();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let shop = Shop::new();
        let loaded = load_bytes(&shop, &packed(&archive, compression)).unwrap();
        let image = &loaded[0].image;
        assert_eq!(loaded[0].names, ["test/image:1".parse().unwrap()]);
        assert_eq!(image.layers.iter().map(|layer| layer.size).collect::<Vec<_>>(), [3, 3]);
        for layer in &image.layers {
            shop.content.verify_layer(&Context::new(), layer).unwrap();
        }
        shop.content.verify_blob(&Context::new(), &image.manifest).unwrap();
        let bytes = archive.as_slice();
        let again = load(
            &Context::new(),
            &shop.content,
            &NoHolder,
            Source::Reader(Box::new(bytes)),
        )
        .unwrap();
        assert_eq!(&again[0].image, image);
        ids.push(image.clone());
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn compressed_layers_inside_are_told_by_their_bytes() {
    let layers = some_layers();
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let inner = [
        packed(&layers[0], Compression::Gzip),
        packed(&layers[1], Compression::Zstd),
    ];
    let shop = Shop::new();
    let image = load_bytes(&shop, &docker_archive_of(&inner, &diff_ids))
        .unwrap()
        .remove(0)
        .image;
    assert_eq!(image.layers[0].blob, Digest::of(&inner[0]));
    assert!(image.layers[0].media_type.ends_with("+gzip") && image.layers[1].media_type.ends_with("+zstd"));
    assert!(shop.content.layer_dir(&diff_ids[0]).join("etc/a").exists());
}

#[test]
fn what_lies_or_breaks_leaves_nothing_behind() {
    let good = some_layers();
    let lie = Digest::of(b"something else");
    let whole = docker_archive(&good);
    let mut flipped = whole.clone();
    let at = flipped.windows(3).position(|bytes| bytes == b"two").unwrap();
    flipped[at] ^= 1;
    let bad_layer =
        |entries: &[(crate::images::archive::Entry, Vec<u8>)]| docker_archive(&[good[0].clone(), tar(entries)]);
    let manifest = |text: String| tar(&[file("manifest.json", &text)]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cut in a layer", whole[..whole.len() - 2000].to_vec()),
        ("a layer's bit flipped", flipped),
        ("a diff id lies", docker_archive_of(&good, &[Digest::of(&good[0]), lie])),
        ("too few diff ids", docker_archive_of(&good, &[Digest::of(&good[0])])),
        ("a path leads out", bad_layer(&[file("../../outside", "x")])),
        (
            "a hard link leads out",
            bad_layer(&[testing::link(
                crate::images::archive::Kind::Hardlink,
                "x",
                "/etc/shadow",
            )]),
        ),
        ("a whiteout of ..", bad_layer(&[file(".wh...", "")])),
        ("no JSON", manifest("{]".into())),
        ("nested deep", manifest("[".repeat(100_000))),
        ("fifty megabytes", manifest(" ".repeat(50 << 20))),
        (
            "a missing layer",
            manifest(r#"[{"Config":"c.json","Layers":["x"]}]"#.into()),
        ),
        ("cut gzip", packed(&whole, Compression::Gzip)[..400].to_vec()),
    ];
    for (what, bytes) in cases {
        let shop = Shop::new();
        let error = load_bytes(&shop, &bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{what}: {error}");
        assert!(shop.is_empty(), "{what} left something behind");
    }
    let shop = Shop::new();
    assert_eq!(load_bytes(&shop, &good[0]).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn limits_stop_bombs_of_size_names_and_ratio() {
    let zeros = tar(&[file("zeros", &"\0".repeat(4 << 20))]);
    let many: Vec<_> = (0..200).map(|n| file(&format!("n{n}"), "")).collect();
    let limits = Limits {
        entries: 100,
        layer_size: 5 << 20,
        ratio: 50,
        ratio_floor: 1 << 20,
        ..Limits::default()
    };
    let gzipped = packed(&zeros, Compression::Gzip);
    let cases = [
        (docker_archive(&[tar(&many)]), "entries"),
        (docker_archive(&[tar(&[file("a", &"x".repeat(6 << 20))])]), "layer_size"),
        (docker_archive_of(&[gzipped], &[Digest::of(&zeros)]), "ratio"),
        (packed(&docker_archive(&[zeros]), Compression::Gzip), "ratio"),
    ];
    for (bytes, setting) in cases {
        let shop = Shop::with_limits(&limits);
        let error = load_bytes(&shop, &bytes).unwrap_err();
        assert!(error.message().contains(&format!("`{setting}`")), "{setting}: {error}");
        assert!(shop.is_empty(), "{setting}");
    }
}

#[test]
fn a_layout_whose_digest_or_size_lies_is_refused() {
    let layer = tar(&[file("a", "x")]);
    let config = serde_json::json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}}).to_string();
    let build = |blob: &[u8], layer_digest: &Digest, size: usize| {
        let manifest = serde_json::json!({"schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(config.as_bytes()), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": size}]})
        .to_string();
        let digest = Digest::of(manifest.as_bytes());
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest, "size": manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "x/y:2"}}]});
        let blob_file = |digest: &Digest, bytes: &str| file(&format!("blobs/sha256/{}", digest.hex()), bytes);
        let text = String::from_utf8(blob.to_vec()).unwrap();
        tar(&[
            blob_file(layer_digest, &text),
            blob_file(&digest, &manifest),
            blob_file(&Digest::of(config.as_bytes()), &config),
            file("index.json", &index.to_string()),
            file("oci-layout", "{}"),
        ])
    };
    let shop = Shop::new();
    let loaded = load_bytes(&shop, &build(&layer, &Digest::of(&layer), layer.len())).unwrap();
    assert_eq!(loaded[0].names, ["x/y:2".parse().unwrap()]);
    let other = tar(&[file("a", "y")]);
    for bytes in [
        build(&other, &Digest::of(&layer), layer.len()),
        build(&layer, &Digest::of(&layer), layer.len() + 1),
    ] {
        let shop = Shop::new();
        assert_eq!(load_bytes(&shop, &bytes).unwrap_err().kind(), Kind::Corrupt);
        assert!(shop.is_empty());
    }
}

#[test]
fn cancelling_leaves_nothing_behind() {
    let shop = Shop::new();
    let ctx = Context::new();
    ctx.cancel();
    let bytes = docker_archive(&some_layers());
    let error = load(
        &ctx,
        &shop.content,
        &NoHolder,
        Source::Reader(Box::new(bytes.as_slice())),
    )
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(shop.is_empty());
}
