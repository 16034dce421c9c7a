//! Archives in every order and form their makers may choose, and what is told of the odd ones.

use serde_json::{Value, json};

use super::*;
use crate::error::Kind as ErrorKind;
use crate::images::archive::{Entry, Kind};
use crate::images::manifest;
use crate::images::testing::{self, NoHolder, Shop, file, link, tar};
use crate::images::{Format, save};
use crate::model::Platform;

/// The files of an archive, in an order of their own.
#[derive(Clone, Default)]
struct Forge(Vec<(Entry, Vec<u8>)>);

impl Forge {
    fn file(&mut self, name: &str, data: &[u8]) {
        let entry = Entry {
            size: data.len() as u64,
            ..Entry::new(name.into(), Kind::Regular, 0o644)
        };
        self.0.push((entry, data.to_vec()));
    }

    /// A blob named by the algorithm; gives its descriptor.
    fn blob(&mut self, algorithm: &str, media_type: &str, data: &[u8]) -> Value {
        let digest = named_by(algorithm, data);
        self.file(&format!("blobs/{algorithm}/{}", digest.hex()), data);
        json!({"mediaType": media_type, "digest": digest, "size": data.len()})
    }

    fn json(&mut self, algorithm: &str, media_type: &str, document: &Value) -> Value {
        self.blob(algorithm, media_type, document.to_string().as_bytes())
    }

    /// An image whose blobs are all named by the algorithm; gives the descriptor of its manifest.
    fn image(&mut self, algorithm: &str, platform: &str, layers: &[Vec<u8>], layer_type: &str) -> Value {
        let platform: Platform = platform.parse().unwrap();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| named_by(algorithm, &plain(layer))).collect();
        let config = json!({"os": platform.os, "architecture": platform.architecture,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.json(algorithm, "application/vnd.oci.image.config.v1+json", &config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| self.blob(algorithm, layer_type, layer))
            .collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut manifest = self.json(algorithm, manifest::OCI_MANIFEST, &manifest);
        manifest["platform"] = json!(platform);
        manifest
    }

    fn index(&mut self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        self.file("index.json", index.as_bytes());
        self.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    fn load(&self, shop: &Shop) -> Result<Vec<Loaded>> {
        let bytes = tar(&self.0);
        let source = Source::Reader(Box::new(bytes.as_slice()));
        load(&Context::new(), &shop.content, &NoHolder, source)
    }
}

fn named_by(algorithm: &str, data: &[u8]) -> Digest {
    let digits = if algorithm == "sha512" { 128 } else { 64 };
    let like: Digest = format!("{algorithm}:{}", "0".repeat(digits)).parse().unwrap();
    like.same_of(data)
}

fn plain(layer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let limits = crate::images::Limits::default();
    let mut decoder = crate::images::compression::decoder(layer, &limits).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

fn packed(layer: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, layer).unwrap();
    encoder.finish().unwrap()
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn some_layers() -> Vec<Vec<u8>> {
    vec![tar(&[file("a", "one")]), tar(&[file("b", "two")])]
}

/// Every order of a few things, and of more than a few those that matter: turned, reversed, each first, each last.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let turned = |by: usize| (0..count).map(move |n| (n + by) % count);
    let all = (0..count).flat_map(|by| {
        let forward: Vec<usize> = turned(by).collect();
        let backward = forward.iter().rev().copied().collect();
        let mut last: Vec<usize> = (0..count).filter(|n| *n != by).collect();
        last.push(by);
        [forward, backward, last]
    });
    all.collect()
}

#[test]
fn entries_come_in_any_order() {
    let mut oci = Forge::default();
    let mut manifest = oci.image("sha256", "linux/amd64", &some_layers(), LAYER);
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "x/y:1"});
    oci.index(&[manifest]);
    let mut docker = Forge::default();
    let diff_ids: Vec<Digest> = some_layers().iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    docker.file("config.json", config.to_string().as_bytes());
    docker.file("0/layer.tar", &some_layers()[0]);
    // Up to version 24, Docker stores a layer that several images have once, and links from the others.
    docker.0.push(link(Kind::Symlink, "1/layer.tar", "../common/layer.tar"));
    docker.file("common/layer.tar", &some_layers()[1]);
    let saved = json!([
        {"Config": "config.json", "RepoTags": ["x/y:1"], "Layers": ["0/layer.tar", "1/layer.tar"]},
        {"Config": "config.json", "RepoTags": ["x/y:2"], "Layers": ["0/layer.tar", "common/layer.tar"]}]);
    docker.file("manifest.json", saved.to_string().as_bytes());
    for forge in [oci, docker] {
        let shop = Shop::new();
        let expected = forge.load(&shop).unwrap();
        assert_eq!(expected[0].names, ["x/y:1".parse().unwrap()]);
        for order in orders(forge.0.len()) {
            let turned = Forge(order.iter().map(|n| forge.0[*n].clone()).collect());
            let loaded = turned.load(&shop).unwrap();
            assert!(
                loaded
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| a.image == b.image && a.names == b.names),
                "{order:?}"
            );
        }
        let other = Shop::new();
        let backward = Forge(forge.0.iter().rev().cloned().collect());
        assert_eq!(backward.load(&other).unwrap()[0].image, expected[0].image);
    }
}

/// What a load is told to choose from: platforms in an index within the index, and what comes of it.
fn choice(platforms: &[&str], missing: &[&str]) -> Result<(String, Vec<String>)> {
    let (mut forge, mut entries) = (Forge::default(), Vec::new());
    for platform in platforms {
        let mut image = Forge::default();
        let layer = tar(&[file("platform", platform)]);
        entries.push(image.image("sha256", platform, &[layer], LAYER));
        if !missing.contains(platform) {
            forge.0.extend(image.0);
        }
    }
    let index = json!({"schemaVersion": 2, "manifests": entries});
    let index = forge.json("sha256", manifest::OCI_INDEX, &index);
    forge.index(&[index]);
    let shop = Shop::new();
    let loaded = forge.load(&shop)?.remove(0);
    let dir = shop.content.layer_dir(&loaded.image.layers[0].diff_id);
    Ok((std::fs::read_to_string(dir.join("platform")).unwrap(), loaded.warnings))
}

#[test]
fn of_several_platforms_the_one_that_suits_is_taken() {
    let host = Platform::host().to_string();
    let attestation = "unknown/unknown";
    for platforms in [
        &[attestation, "linux/s390x", &host][..],
        &["linux/s390x", "linux/riscv64", &host],
        &[&host, attestation],
    ] {
        assert_eq!(choice(platforms, &[]).unwrap(), (host.clone(), vec![]), "{platforms:?}");
    }
    // Saved with one platform's image only, as Docker does it.
    let alone = choice(
        &["linux/s390x", &host, "linux/riscv64"],
        &["linux/s390x", "linux/riscv64"],
    )
    .unwrap();
    assert_eq!(alone, (host.clone(), vec![]));
    let (taken, warnings) = choice(&["linux/s390x", attestation], &[]).unwrap();
    assert_eq!(taken, "linux/s390x");
    assert!(
        warnings[0].starts_with("the image is for `linux/s390x`, and this machine is `"),
        "{warnings:?}"
    );
    let none = choice(&["linux/s390x", "linux/riscv64"], &[]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    assert!(
        none.message().ends_with("only for linux/s390x, linux/riscv64"),
        "{none}"
    );
}

#[test]
fn indexes_within_indexes_end_somewhere() {
    let mut forge = Forge::default();
    let mut entry = forge.image("sha256", "linux/amd64", &some_layers(), LAYER);
    for depth in 0..8 {
        let mut layout = forge.clone();
        layout.index(std::slice::from_ref(&entry));
        let loaded = layout.load(&Shop::new());
        match depth {
            0..=4 => drop(loaded.unwrap()),
            _ => assert!(loaded.unwrap_err().message().contains("`index_depth`"), "{depth}"),
        }
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        entry = forge.json("sha256", manifest::OCI_INDEX, &index);
    }
}

#[test]
fn digests_of_sha512_are_verified_and_kept() {
    let (mut forge, shop, ctx) = (Forge::default(), Shop::new(), Context::new());
    let manifest = forge.image("sha512", "linux/amd64", &some_layers(), LAYER);
    forge.index(&[manifest]);
    let image = forge.load(&shop).unwrap().remove(0).image;
    assert!(image.digests().iter().all(|digest| digest.algorithm() == "sha512"));
    for layer in &image.layers {
        shop.content.verify_layer(&ctx, layer).unwrap();
    }
    let mut held = image.digests();
    held.retain(|digest| shop.content.has_blob(digest));
    assert_eq!((held, image.digests().len()), (shop.content.blobs().unwrap(), 4));
    assert_eq!(shop.content.layers().unwrap().len(), 2);
    for (format, compression) in [
        (Format::OciArchive, None),
        (Format::OciDir, None),
        (Format::Docker, None),
    ] {
        let dest = shop.path(&format!("{format:?}"));
        save(&ctx, &shop.content, &[(&image, vec![])], &dest, format, compression).unwrap();
        let other = Shop::new();
        let again = load(&ctx, &other.content, &NoHolder, Source::Path(&dest)).unwrap();
        assert_eq!(again[0].image, image, "{format:?}");
    }
    // A bit flipped in any blob is found.
    for (at, (entry, data)) in forge.0.iter().enumerate().filter(|(_, (_, data))| !data.is_empty()) {
        let mut bad = forge.clone();
        bad.0[at].1[data.len() / 2] ^= 1;
        let empty = Shop::new();
        let refused = bad.load(&empty).err();
        let is_blob = entry.path.starts_with(b"blobs/");
        assert!(!is_blob || refused.is_some_and(|error| error.kind() == ErrorKind::Corrupt));
        assert!(!is_blob || empty.is_empty());
    }
}

#[test]
fn blobs_and_layers_may_be_named_by_different_algorithms() {
    let layer = testing::tar(&[file("a", "one")]);
    let packed = packed(&layer);
    for (blob, diff_id) in [("sha512", "sha256"), ("sha256", "sha512")] {
        for bytes in [&layer, &packed] {
            let mut forge = Forge::default();
            let config = json!({"os": "linux", "architecture": "amd64",
                "rootfs": {"type": "layers", "diff_ids": [named_by(diff_id, &layer)]}});
            let config = forge.json("sha256", "application/vnd.oci.image.config.v1+json", &config);
            let described = forge.blob(blob, LAYER, bytes);
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": [described]});
            let manifest = forge.json("sha256", manifest::OCI_MANIFEST, &manifest);
            forge.index(&[manifest]);
            let shop = Shop::new();
            let image = forge.load(&shop).unwrap().remove(0).image;
            shop.content.verify_layer(&Context::new(), &image.layers[0]).unwrap();
            assert_eq!(
                (image.layers[0].blob.algorithm(), image.layers[0].diff_id.algorithm()),
                (blob, diff_id)
            );
        }
    }
}

#[test]
fn an_unknown_algorithm_is_refused_by_name() {
    let mut forge = Forge::default();
    let entry = json!({"mediaType": manifest::OCI_MANIFEST, "digest": "blake3:00", "size": 2});
    forge.index(&[entry]);
    let error = forge.load(&Shop::new()).unwrap_err();
    assert!(error.message().contains("`blake3:00` is not a digest"), "{error}");
}

/// A configuration of one image with the blobs of another, when the store has both images already.
#[test]
fn a_blob_and_a_layer_that_are_here_are_not_taken_for_each_other() {
    let (shop, layers) = (Shop::new(), some_layers());
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| packed(layer)).collect();
    for layer in [&packed[..1], &packed[1..], &layers[..1], &layers[1..]] {
        let mut forge = Forge::default();
        let manifest = forge.image("sha256", "linux/amd64", layer, LAYER);
        forge.index(&[manifest]);
        forge.load(&shop).unwrap();
        assert_eq!(forge.load(&shop).unwrap().len(), 1, "a second time");
    }
    for blob in [&packed[1], &layers[1]] {
        let mut forge = Forge::default();
        let config = json!({"os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layers[0])]}});
        let config = forge.json("sha256", "application/vnd.oci.image.config.v1+json", &config);
        let described = forge.blob("sha256", LAYER, blob);
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [described]});
        let manifest = forge.json("sha256", manifest::OCI_MANIFEST, &manifest);
        forge.index(&[manifest]);
        assert_eq!(forge.load(&shop).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn what_is_odd_and_harmless_is_told() {
    let shop = Shop::new();
    let mut forge = Forge::default();
    let lies = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let manifest = forge.image("sha256", "linux/amd64", &some_layers()[..1], lies);
    forge.index(&[manifest]);
    let warnings = forge.load(&shop).unwrap().remove(0).warnings;
    let stated = format!("is stored as plain tar, though its media type is `{lies}`");
    assert!(warnings.len() == 1 && warnings[0].ends_with(&stated), "{warnings:?}");
    // A second time nothing is unpacked, and the same is told.
    assert_eq!(forge.load(&shop).unwrap().remove(0).warnings, warnings);

    let layers = some_layers();
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    for (steps, told) in [
        (json!([]), 0),
        (json!([{}, {"empty_layer": true}, {}]), 0),
        (json!([{}]), 1),
    ] {
        let mut docker = Forge::default();
        let config = json!({"os": "linux", "architecture": "amd64", "history": steps,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        docker.file("c.json", config.to_string().as_bytes());
        docker.file("0", &layers[0]);
        docker.file("1", &layers[1]);
        docker.file(
            "manifest.json",
            json!([{"Config": "c.json", "Layers": ["0", "1"]}])
                .to_string()
                .as_bytes(),
        );
        let warnings = docker.load(&shop).unwrap().remove(0).warnings;
        assert_eq!(warnings.len(), told, "{warnings:?}");
        assert!(
            warnings
                .iter()
                .all(|text| text.ends_with("tells of 1 layers, but there are 2")),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_layer_that_may_not_be_handed_on_is_asked_for_by_name() {
    for kind in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
    ] {
        let mut forge = Forge::default();
        let manifest = forge.image("sha256", "linux/amd64", &some_layers(), kind);
        forge.index(&[manifest]);
        forge.load(&Shop::new()).unwrap();
        let digest = Digest::of(&some_layers()[1]);
        forge
            .0
            .retain(|(entry, _)| !entry.path.ends_with(digest.hex().as_bytes()));
        let shop = Shop::new();
        let error = forge.load(&shop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.message().contains(digest.as_str()) && error.message().contains(kind),
            "{error}"
        );
        assert!(shop.is_empty());
    }
}
