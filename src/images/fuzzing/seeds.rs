//! Where fuzzers start: small inputs that each get far.

use super::archive::{DIGEST, FILE, NAMES, PLAIN, SIZE, compressed};
use super::layer::RAW;
use crate::images::archive::{Entry, Kind, Mtime, Writer};
use crate::images::compression::Compression;

/// xz of a line of text, for nothing here writes xz.
const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\x01\x00\x07\x78\x7a\x20\x74\x65\x78\x74\x0a\x00\x87\x26\xb6\x89\x1d\xfd\x75\xcb\x00\x01\x20\x08\xbb\x19\xd9\xbb\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

/// Archives in every dialect, with every kind of entry and of extended header.
pub(super) fn tars() -> Vec<Vec<u8>> {
    let old_sparse = {
        let mut block = block(b'S', b"sparse", 5, *b"ustar  \0");
        block[386..410].copy_from_slice(b"00000000100\x0000000000005\0");
        block[483..495].copy_from_slice(b"00000001000\0");
        [&block[..], b"hello"].concat()
    };
    let v7 = [
        &block(0, b"dir/", 0, [0; 8])[..],
        &block(b'0', b"dir/f", 3, [0; 8]),
        b"abc",
    ];
    vec![
        written(&every_kind()),
        padded(&[
            &block(b'L', b"x", 200, *b"ustar  \0"),
            &[b'n'; 200],
            &block(b'0', b"n", 0, *b"ustar  \0"),
        ]),
        padded(&[
            &block(b'K', b"x", 200, *b"ustar  \0"),
            &[b'n'; 200],
            &block(b'2', b"n", 0, *b"ustar  \0"),
        ]),
        padded(&[&old_sparse]),
        padded(&[&v7[..1].concat(), &v7[1..].concat()]),
        with_pax(
            &[
                record("GNU.sparse.major", b"1"),
                record("GNU.sparse.minor", b"0"),
                record("GNU.sparse.realsize", b"100"),
            ],
            b"1\n50\n4\n",
        ),
        with_pax(
            &[
                record("GNU.sparse.size", b"100"),
                record("GNU.sparse.numblocks", b"1"),
                record("GNU.sparse.map", b"9,2"),
            ],
            b"ab",
        ),
        with_pax(
            &[
                record("GNU.sparse.size", b"9"),
                record("GNU.sparse.numblocks", b"1"),
                record("GNU.sparse.offset", b"5"),
                record("GNU.sparse.numbytes", b"2"),
            ],
            b"ab",
        ),
        with_pax(
            &[record("size", b"25"), record("path", b"long")],
            b"more than the header says",
        ),
        with_pax(&pax(), b""),
    ]
}

/// Records of extended headers.
pub(super) fn pax() -> Vec<Vec<u8>> {
    vec![
        record("path", b"a/b"),
        record("linkpath", b""),
        record("mtime", b"-1.5000000"),
        record("uid", b"1000"),
        record("gid", b"1000"),
        record("SCHILY.xattr.user.a", b"\0\n\xff"),
        record("LIBARCHIVE.xattr.b%20c", b"aGk="),
        record("GNU.sparse.name", b"x"),
        record("comment", b""),
    ]
}

/// `LENGTH KEY=VALUE`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length);
    let start = format!("{} {key}=", length.expect("a length fits itself"));
    [start.as_bytes(), value, b"\n"].concat()
}

/// Layers: streams as they are, and bytes that become entries.
pub(super) fn layers() -> Vec<Vec<u8>> {
    let raw = tars().into_iter().map(|tar| [&[RAW], tar.as_slice()].concat());
    // Any bytes are entries; these go round through all values from different starts.
    let made = (1..=8u8).map(|step| (0..step * 20).map(|n| n.wrapping_mul(step * 2 + 35)).collect());
    raw.chain(made).collect()
}

/// Manifests, indexes, `manifest.json` and configurations.
pub(super) fn documents() -> Vec<Vec<u8>> {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let descriptor = |kind: &str| format!(r#"{{"mediaType":"application/vnd.{kind}","digest":"{digest}","size":0}}"#);
    let (config, layer) = (
        descriptor("oci.image.config.v1+json"),
        descriptor("oci.image.layer.v1.tar+gzip"),
    );
    let texts = [
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{layer}],"annotations":{{"a":"b"}}}}"#),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":0,"platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}}]}}"#
        ),
        r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]"#.to_owned(),
        format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"User":"1:2","ExposedPorts":{{"80/tcp":{{}}}},"Env":["A=1"],"Cmd":["sh"],"Volumes":{{"/v":{{}}}},"Healthcheck":{{"Test":["CMD","x"],"Interval":1}}}},"rootfs":{{"type":"layers","diff_ids":["{digest}"]}},"history":[{{"created":"2020-01-01T00:00:00Z","empty_layer":true}}],"x":1.5}}"#
        ),
        r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
        "[[[[[[[[".to_owned(),
    ];
    texts.map(String::into_bytes).into()
}

/// Names of images, and digests.
pub(super) fn references() -> Vec<Vec<u8>> {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let texts = [
        "debian".to_owned(),
        "docker.io/library/debian:12".to_owned(),
        "docker.io/localhost/x".to_owned(),
        "docker.io/a.b/c".to_owned(),
        "localhost:5000/team/app:1.2".to_owned(),
        "[::1]:5000/a__b/c-d:_".to_owned(),
        "UPPER/x".to_owned(),
        format!("example.org/a@{digest}"),
        format!("a:1@{digest}"),
        digest.to_owned(),
        digest[7..].to_owned(),
    ];
    texts.map(String::into_bytes).into()
}

/// Archives as lists of files that name each other.
pub(super) fn archives() -> Vec<Vec<u8>> {
    let layer = written(&every_kind());
    let layer = layer.as_slice();
    let config = [
        br#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:"#,
        &[PLAIN, b'0'][..],
        br#""]}}"#,
    ]
    .concat();
    let docker = [
        br#"[{"Config":""#,
        &[DIGEST, b'1'][..],
        br#".json","RepoTags":["a:1"],"Layers":["a/layer.tar"]}]"#,
    ];
    let manifest = [
        br#"{"schemaVersion":2,"config":"#.as_slice(),
        &descriptor(b'1'),
        br#","layers":["#,
        &descriptor(b'0'),
        b"]}",
    ];
    let index = [
        br#"{"schemaVersion":2,"manifests":["#.as_slice(),
        &descriptor(b'2'),
        b"]}",
    ];
    let nested = [
        br#"{"schemaVersion":2,"manifests":["#.as_slice(),
        &descriptor(b'3'),
        b"]}",
    ];
    let docker = [
        file("a/layer.tar", 0, layer),
        file("*.json", 0, &config),
        file("manifest.json", 0, &docker.concat()),
        file("b/layer.tar", 3, b"../a/layer.tar"),
    ];
    let blobs = [
        file("blobs/sha256/*", 0, layer),
        file("blobs/sha256/*", 0, &config),
        file("blobs/sha256/*", 0, &manifest.concat()),
    ];
    let (index, inner) = (
        file("index.json", 0, &index.concat()),
        file("blobs/sha256/*", 0, &index.concat()),
    );
    let oci = [blobs.concat(), index].concat();
    let deep = [blobs.concat(), inner, file("index.json", 0, &nested.concat())].concat();
    vec![
        docker.concat(),
        [file("a/layer.tar", 1, layer), docker[1..].concat()].concat(),
        [file("a/layer.tar", 2, layer), docker[1..].concat()].concat(),
        oci,
        deep,
        layer.to_vec(),
        compressed(layer, Compression::Gzip),
    ]
}

/// Streams in every compression, in several parts and with tails.
pub(super) fn framings() -> Vec<Vec<u8>> {
    let text = b"some text, ".repeat(30);
    let (gzip, zstd) = (
        compressed(&text, Compression::Gzip),
        compressed(&text, Compression::Zstd),
    );
    let skipped = b"\x50\x2a\x4d\x18\x02\0\0\0xx";
    vec![
        [gzip.as_slice(), &gzip, &[0; 20]].concat(),
        [zstd.as_slice(), skipped, &zstd].concat(),
        XZ.to_vec(),
        [XZ, XZ].concat(),
        compressed(&[0; 100_000], Compression::Gzip),
        compressed(&[0; 100_000], Compression::Zstd),
        b"BZh91AY&SY".to_vec(),
        text,
        gzip,
    ]
}

fn descriptor(number: u8) -> Vec<u8> {
    let start = br#"{"mediaType":"","digest":"sha256:"#;
    [
        start.as_slice(),
        &[DIGEST, number],
        br#"","size":"#,
        &[SIZE, number],
        b"}",
    ]
    .concat()
}

fn file(name: &str, form: u8, content: &[u8]) -> Vec<u8> {
    let number = NAMES
        .iter()
        .position(|known| *known == name)
        .expect("a name of the table");
    [&[FILE, number as u8, form], content].concat()
}

fn every_kind() -> Vec<(Entry, &'static [u8])> {
    let mut all = Vec::new();
    for (name, kind) in [
        ("d/", Kind::Directory),
        ("d/f", Kind::Regular),
        ("l", Kind::Symlink),
        ("h", Kind::Hardlink),
        ("c", Kind::Character),
        ("b", Kind::Block),
        ("p", Kind::Fifo),
        (".wh.gone", Kind::Regular),
        ("d/.wh..wh..opq", Kind::Regular),
    ] {
        let mut entry = Entry::new(name.into(), kind, 0o755);
        match kind {
            Kind::Symlink | Kind::Hardlink => entry.link = b"d/f".to_vec(),
            Kind::Character | Kind::Block => entry.device = (1, 3),
            _ => {}
        }
        let data: &[u8] = if name == "d/f" { b"hello" } else { b"" };
        entry.size = data.len() as u64;
        all.push((entry, data));
    }
    all[1].0.mtime = Mtime { seconds: -2, nanos: 5 };
    all[1].0.xattrs = vec![(b"user.a".to_vec(), b"\0\n".to_vec())];
    all
}

fn written(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.entry(entry).expect("memory takes all");
        writer.data(data).expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

fn with_pax(records: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let records = records.concat();
    let posix = *b"ustar\x0000";
    let mut data = data.to_vec();
    if data.starts_with(b"1\n") {
        data.resize(512, 0);
        data.extend_from_slice(b"abcd");
    }
    padded(&[
        &block(b'x', b"x", records.len(), posix),
        &records,
        &block(b'0', b"f", data.len(), posix),
        &data,
    ])
}

/// A header block as old as the magic says.
fn block(kind: u8, name: &[u8], size: usize, magic: [u8; 8]) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    for (at, text) in [
        (100, "0000644"),
        (108, "0000000"),
        (116, "0000000"),
        (136, "00000000001"),
    ] {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(&magic);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn padded(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
