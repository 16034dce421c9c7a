//! Pulls from registries that have what they should, and from those that lie or break off.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::compression::{Compression, Encoder, Pool};
use super::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use super::registry::testing::{Asked, Reply, Server, reply};
use super::registry::{Credential, Traffic};
use super::testing::{NoHolder, Shop, dir, file, tar};
use super::{Pulled, Wanted, pull};
use crate::error::{Kind, Result};
use crate::model::{Context, Digest, Platform};

/// What a registry has, by the paths it is asked for.
#[derive(Clone, Default)]
struct Shelf {
    files: BTreeMap<String, (String, Vec<u8>)>,
}

impl Shelf {
    fn put(&mut self, kind: &str, name: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        for name in [name, digest.as_str()] {
            self.files.insert(
                format!("/v2/team/app/{kind}/{name}"),
                (media_type.to_owned(), bytes.to_vec()),
            );
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// An image of these layers, compressed; gives its manifest's descriptor.
    fn image(&mut self, tag: &str, layers: &[Vec<u8>], platform: &str) -> Value {
        let platform: Platform = platform.parse().unwrap();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({"os": platform.os, "architecture": platform.architecture, "variant": platform.variant,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let described: Vec<Value> = layers
            .iter()
            .map(|layer| self.put("blobs", "-", &format!("{OCI_LAYER}+gzip"), &packed(layer)))
            .collect();
        self.manifest(tag, &config, &described)
    }

    fn manifest(&mut self, tag: &str, config: &Value, layers: &[Value]) -> Value {
        let config = self.put("blobs", "-", OCI_CONFIG, config.to_string().as_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        self.put("manifests", tag, OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    fn index(&mut self, tag: &str, entries: &[(Value, Value)]) -> Value {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(entry, platform)| {
                let mut entry = entry.clone();
                entry["platform"] = platform.clone();
                entry
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        self.put("manifests", tag, OCI_INDEX, index.to_string().as_bytes())
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let Some((media_type, bytes)) = self.files.get(&asked.path) else {
            return reply(
                404,
                &[],
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            );
        };
        let from = asked
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                reply(206, &[("Content-Range", &range)], &bytes[from..])
            }
            None => reply(200, &[("Content-Type", media_type)], bytes),
        }
    }

    fn serve(&self) -> Server {
        let shelf = self.clone();
        Server::new(move |asked| shelf.answer(asked))
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let pool = Pool::new();
    let mut encoder = Encoder::new(Vec::new(), Compression::Gzip, &pool);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress.
fn noise(length: usize) -> String {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 57) as u8 % 90)
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn layers() -> Vec<Vec<u8>> {
    vec![
        tar(&[dir("etc", 0o755), file("etc/a", "one"), file("noise", &noise(900_000))]),
        tar(&[file("etc/.wh.a", ""), file("b", "two")]),
    ]
}

fn pull_into(
    ctx: &Context,
    shop: &Shop,
    server: &Server,
    version: &str,
    platform: Option<&str>,
) -> (Result<Pulled>, Arc<Traffic>) {
    pull_so(ctx, shop, server, version, (platform, false))
}

fn pull_so(
    ctx: &Context,
    shop: &Shop,
    server: &Server,
    version: &str,
    (platform, packed): (Option<&str>, bool),
) -> (Result<Pulled>, Arc<Traffic>) {
    let (registry, traffic, pairs) = (
        server.registry(Credential::Anonymous),
        Arc::new(Traffic::default()),
        BTreeSet::new(),
    );
    let platform: Option<Platform> = platform.map(|text| text.parse().unwrap());
    let names = vec!["reg.example/team/app:1".parse().unwrap()];
    let wanted = Wanted {
        registry: &registry,
        repository: "team/app",
        version,
        platform: platform.as_ref(),
        names,
        pairs: &pairs,
        packed,
    };
    (pull(ctx, &shop.content, &NoHolder, &wanted, &traffic), traffic)
}

fn pulled(shop: &Shop, server: &Server, version: &str, platform: Option<&str>) -> Result<Pulled> {
    pull_into(&Context::new(), shop, server, version, platform).0
}

fn parts(shop: &Shop) -> Vec<u64> {
    let entries = std::fs::read_dir(shop.path("root/ingest"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    parts.map(|entry| entry.metadata().unwrap().len()).collect()
}

#[test]
fn a_pulled_image_is_whole_and_nothing_of_it_is_fetched_twice() {
    let mut shelf = Shelf::default();
    shelf.image("1", &layers(), "linux/amd64");
    let (server, shop) = (shelf.serve(), Shop::new());
    let image = pulled(&shop, &server, "1", None).unwrap().loaded.image;
    for layer in &image.layers {
        shop.content.verify_layer(&Context::new(), layer).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(shop.content.layer_dir(&image.layers[1].diff_id).join("b")).unwrap(),
        "two"
    );
    assert_eq!(parts(&shop), [0u64; 0]);
    let (again, traffic) = pull_into(&Context::new(), &shop, &server, "1", None);
    assert_eq!(again.unwrap().loaded.image, image);
    assert_eq!(traffic.fetched.load(Ordering::Relaxed), 0);
    let mut shared = layers();
    shared[1] = tar(&[file("c", "three")]);
    shelf.image("2", &shared, "linux/amd64");
    let server = shelf.serve();
    let (_, traffic) = pull_into(&Context::new(), &shop, &server, "2", None);
    assert_eq!(
        traffic.fetched.load(Ordering::Relaxed),
        packed(&shared[1]).len() as u64,
        "only the layer that is new"
    );
    // What was lost of an image comes again, and no more.
    std::fs::remove_dir_all(shop.content.layer_dir(&image.layers[1].diff_id)).unwrap();
    let (again, traffic) = pull_into(&Context::new(), &shop, &server, "1", None);
    assert_eq!(
        (again.unwrap().loaded.image, traffic.fetched.load(Ordering::Relaxed)),
        (image, 0)
    );
}

#[test]
fn r27_the_platform_that_suits_is_chosen_through_indexes() {
    let mut shelf = Shelf::default();
    let of = |shelf: &mut Shelf, platform: &str| {
        let layer = tar(&[file("platform", platform)]);
        let (os, rest) = platform.split_once('/').unwrap();
        let (architecture, variant) = rest.split_once('/').map_or((rest, None), |(a, v)| (a, Some(v)));
        let entry = shelf.image(&platform.replace('/', "-"), &[layer], platform);
        (
            entry,
            json!({"os": os, "architecture": architecture, "variant": variant}),
        )
    };
    let arm: Vec<_> = ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"]
        .map(|platform| of(&mut shelf, platform))
        .into();
    let arm = shelf.index("arm", &arm);
    let (amd, attested) = (of(&mut shelf, "linux/amd64"), of(&mut shelf, "linux/s390x").0);
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    shelf.index(
        "all",
        &[
            (attested, unknown),
            amd.clone(),
            (arm, json!({"os": "linux", "architecture": "arm"})),
        ],
    );
    let single = of(&mut shelf, "linux/riscv64");
    shelf.index("single", std::slice::from_ref(&single));
    let (server, shop) = (shelf.serve(), Shop::new());
    let platform = |version: &str, wanted: Option<&str>| -> Result<String> {
        let pulled = pulled(&shop, &server, version, wanted)?;
        let config = pulled.loaded.image.config()?;
        Ok([&config.architecture, config.variant.as_deref().unwrap_or("")].join("/"))
    };
    assert_eq!(platform("all", Some("linux/amd64")).unwrap(), "amd64/");
    assert_eq!(platform("all", Some("linux/arm/v6")).unwrap(), "arm/v6");
    assert_eq!(platform("all", Some("linux/arm")).unwrap(), "arm/v7");
    let error = platform("all", Some("linux/s390x")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(
        error
            .message()
            .contains("no image for `linux/s390x`, only for linux/amd64, linux/arm"),
        "{error}"
    );
    assert_eq!(platform("single", None).unwrap(), "riscv64/");
    assert!(
        !pulled(&shop, &server, "single", None)
            .unwrap()
            .loaded
            .warnings
            .is_empty()
    );
    assert_eq!(
        platform("single", Some("linux/amd64")).unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(
        platform("linux-riscv64", Some("linux/amd64")).unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(platform("none", None).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn s26_indexes_within_indexes_end() {
    let mut shelf = Shelf::default();
    let mut entry = shelf.image("0", &layers(), "linux/amd64");
    for depth in 1..=6 {
        entry = shelf.index(&depth.to_string(), &[(entry, Value::Null)]);
    }
    let (server, shop) = (shelf.serve(), Shop::new());
    pulled(&shop, &server, "4", Some("linux/amd64")).unwrap();
    assert!(
        pulled(&shop, &server, "5", None)
            .err()
            .unwrap()
            .message()
            .contains("`index_depth`")
    );
}

/// What a registry changes of a good image, and the diff ids it tells then, if others.
type Lie<'a> = dyn Fn(&mut Shelf, &mut Vec<Value>) -> Option<Vec<Digest>> + 'a;

#[test]
fn s21_what_lies_leaves_nothing_behind() {
    let good = layers();
    let config = |diff_ids: &[Digest]| json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let diff_ids: Vec<Digest> = good.iter().map(|layer| Digest::of(layer)).collect();
    let put = |shelf: &mut Shelf, bytes: &[u8]| shelf.put("blobs", "-", &format!("{OCI_LAYER}+gzip"), &packed(bytes));
    let lie = |change: &Lie<'_>| {
        let mut shelf = Shelf::default();
        let mut described: Vec<Value> = good.iter().map(|layer| put(&mut shelf, layer)).collect();
        let ids = change(&mut shelf, &mut described).unwrap_or(diff_ids.clone());
        shelf.manifest("1", &config(&ids), &described);
        let shop = Shop::new();
        let error = pulled(&shop, &shelf.serve(), "1", None).err().unwrap();
        assert!(
            shop.content.blobs().unwrap().is_empty() && shop.content.layers().unwrap().is_empty(),
            "{error}"
        );
        assert!(parts(&shop).len() < 2, "what is good of the other layer waits: {error}");
        (error.kind(), error.to_string())
    };
    let blob_path = |described: &Value| format!("/v2/team/app/blobs/{}", described["digest"].as_str().unwrap());
    let flipped = lie(&|shelf, described| {
        let bytes = &mut shelf.files.get_mut(&blob_path(&described[0])).unwrap().1;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        None
    });
    assert_eq!(flipped.0, Kind::Corrupt, "{flipped:?}");
    assert!(
        flipped
            .1
            .starts_with("failed to bring in layer 1 of 2 of `reg.example/team/app:1`: "),
        "{flipped:?}"
    );
    let other = lie(&|shelf, described| {
        let place = blob_path(&described[1]);
        let size = shelf.files[&place].1.len();
        shelf.files.get_mut(&place).unwrap().1 = vec![0; size];
        None
    });
    assert_eq!(other.0, Kind::Corrupt, "{other:?}");
    for by in [-1i64, 1] {
        let size = lie(&|_, described| {
            described[1]["size"] = json!(described[1]["size"].as_i64().unwrap() + by);
            None
        });
        assert!(
            size.0 == Kind::Corrupt && size.1.contains("and should have"),
            "{size:?}"
        );
    }
    let id = lie(&|_, _| Some(vec![Digest::of(&good[1]), Digest::of(b"lie")]));
    assert_eq!(id.0, Kind::Corrupt, "{id:?}");
    let few = lie(&|_, _| Some(vec![Digest::of(&good[0])]));
    assert!(few.1.contains("2 layers but the configuration 1"), "{few:?}");
    let gone = lie(&|shelf, described| {
        shelf.files.remove(&blob_path(&described[1]));
        None
    });
    assert_eq!(gone.0, Kind::NotFound, "{gone:?}");
    let mut shelf = Shelf::default();
    shelf.put(
        "manifests",
        "1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        br#"{"schemaVersion":1,"fsLayers":[]}"#,
    );
    shelf.put("manifests", "2", OCI_INDEX, br#"{"schemaVersion":2,"config":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#);
    let (server, shop) = (shelf.serve(), Shop::new());
    assert!(
        pulled(&shop, &server, "1", None)
            .err()
            .unwrap()
            .message()
            .contains("schema 1")
    );
    assert_eq!(pulled(&shop, &server, "2", None).err().unwrap().kind(), Kind::Corrupt);
}

#[test]
fn r26_layers_that_are_not_handed_on_come_from_where_they_are() {
    let mut shelf = Shelf::default();
    let (layer, other) = (layers().remove(1), Shelf::default());
    let elsewhere = packed(&layer);
    let source = Server::new(move |_| reply(200, &[], &elsewhere));
    drop(other);
    let mut described = shelf.put(
        "blobs",
        "-",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        &packed(&layer),
    );
    shelf.files.retain(|path, _| !path.contains("/blobs/"));
    described["urls"] = json!(["ftp://x/y", format!("http://localhost:{}/layer", source.address.port())]);
    let config =
        json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
    shelf.manifest("1", &config, &[described]);
    let (server, shop) = (shelf.serve(), Shop::new());
    let image = pulled(&shop, &server, "1", None).unwrap().loaded.image;
    shop.content.verify_layer(&Context::new(), &image.layers[0]).unwrap();
}

#[test]
fn r32_a_pull_that_ended_goes_on_and_what_is_wrong_of_it_is_fetched_again() {
    let mut shelf = Shelf::default();
    shelf.image("1", &layers(), "linux/amd64");
    let big = packed(&layers()[0]).len() as u64;
    let broken = shelf.clone();
    let server = Server::new(move |asked| match broken.answer(asked) {
        reply if reply.bytes.len() > 600_000 => reply.cut(300_000),
        _ if asked.header("range").is_some() => Reply {
            bytes: Vec::new(),
            is_last: true,
        },
        reply => reply,
    });
    for damage in [false, true] {
        let shop = Shop::new();
        assert_eq!(pulled(&shop, &server, "1", None).err().unwrap().kind(), Kind::Network);
        let had: u64 = parts(&shop).into_iter().max().unwrap();
        assert!(had > 200_000, "{had}");
        if damage {
            let part = std::fs::read_dir(shop.path("root/ingest"))
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let part = part.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
            std::fs::write(part, vec![0; had as usize]).unwrap();
        }
        let whole = shelf.serve();
        let (image, traffic) = pull_into(&Context::new(), &shop, &whole, "1", None);
        let image = image.unwrap().loaded.image;
        image
            .layers
            .iter()
            .for_each(|layer| shop.content.verify_layer(&Context::new(), layer).unwrap());
        let (fetched, again) = (
            traffic.fetched.load(Ordering::Relaxed),
            traffic.again.load(Ordering::Relaxed),
        );
        match damage {
            false => assert!(fetched < big - 200_000 && again == 0, "{fetched} {again}"),
            true => assert!(fetched >= big && again == had, "{fetched} {again}"),
        }
        assert_eq!(parts(&shop), [0u64; 0]);
    }
}

#[test]
fn two_that_want_the_same_fetch_it_once() {
    let mut shelf = Shelf::default();
    shelf.image("1", &layers(), "linux/amd64");
    let (server, shop, fetched) = (shelf.serve(), Shop::new(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (pulled, traffic) = pull_into(&Context::new(), &shop, &server, "1", None);
                pulled.unwrap();
                fetched.fetch_add(traffic.fetched.load(Ordering::Relaxed) as usize, Ordering::Relaxed);
            });
        }
    });
    let size: usize = layers().iter().map(|layer| packed(layer).len()).sum();
    assert_eq!(fetched.into_inner(), size);
}

#[test]
fn a_pull_ends_with_its_context_and_keeps_what_came() {
    let mut shelf = Shelf::default();
    shelf.image("1", &layers(), "linux/amd64");
    let ctx = Context::new();
    let (stop, asked) = (ctx.clone(), Arc::new(Mutex::new(())));
    let slow = shelf.clone();
    let held = asked.lock().unwrap();
    let gate = Arc::clone(&asked);
    let server = Server::new(move |asked| {
        let reply = slow.answer(asked);
        if reply.bytes.len() > 600_000 {
            stop.cancel();
            drop(gate.lock());
        }
        reply
    });
    let shop = Shop::new();
    let (pulled, _) = pull_into(&ctx, &shop, &server, "1", None);
    assert_eq!(pulled.err().unwrap().kind(), Kind::Cancelled);
    assert!(shop.content.layers().unwrap().is_empty());
    drop(held);
}

#[test]
fn what_stays_packed_is_checked_as_well_and_fetched_once() {
    let good = layers();
    let mut shelf = Shelf::default();
    shelf.image("1", &good, "linux/amd64");
    let described: Vec<Value> = good
        .iter()
        .map(|layer| shelf.put("blobs", "-", &format!("{OCI_LAYER}+gzip"), &packed(layer)))
        .collect();
    let lie = json!({"os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&good[0]), Digest::of(b"lie")]}});
    shelf.manifest("2", &lie, &described);
    let (server, shop, ctx) = (shelf.serve(), Shop::new(), Context::new());
    let pull = |version: &str, packed| pull_so(&ctx, &shop, &server, version, (Some("linux/amd64"), packed));
    let error = pull("2", true).0.err().unwrap();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(shop.content.layers().unwrap().is_empty() && shop.content.blobs().unwrap().is_empty());
    let image = pull("1", true).0.unwrap().loaded.image;
    let is_packed = |packed: bool| {
        let all = image.layers.iter();
        all.for_each(|layer| {
            assert_eq!(
                (
                    shop.content.is_packed(&layer.diff_id),
                    shop.content.has_layer(&layer.diff_id)
                ),
                (packed, !packed)
            );
            shop.content.verify_layer(&ctx, layer).unwrap();
        });
    };
    is_packed(true);
    for packed in [true, false] {
        let (again, traffic) = pull("1", packed);
        assert_eq!(again.unwrap().loaded.image, image);
        assert_eq!(traffic.fetched.load(Ordering::Relaxed), 0);
        is_packed(packed);
    }
    let other = Shop::new();
    let (image, _) = pull_so(&ctx, &other, &server, "1", (Some("linux/amd64"), true));
    let layers = image.unwrap().loaded.image.layers;
    other.content.unpack_from(&ctx, &other.content, layers.iter()).unwrap();
    for layer in &layers {
        assert!(!other.content.is_packed(&layer.diff_id));
        assert_eq!(
            other.content.record(&layer.diff_id).unwrap(),
            shop.content.record(&layer.diff_id).unwrap()
        );
    }
}
