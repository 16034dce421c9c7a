//! Archives that no honest tool writes: any name, any kind, any lie.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// What an entry of a forged layer is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    File(&'a [u8]),
    Dir,
    Symlink(&'a str),
    Hardlink(&'a str),
    Fifo,
}

/// A layer with these entries, whose names are written as they are.
pub(crate) fn layer(entries: &[(&str, Item<'_>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, item) in entries {
        let (kind, content, target) = match *item {
            Item::File(content) => (EntryType::Regular, content, ""),
            Item::Dir => (EntryType::Directory, &b""[..], ""),
            Item::Symlink(target) => (EntryType::Symlink, &b""[..], target),
            Item::Hardlink(target) => (EntryType::Link, &b""[..], target),
            Item::Fifo => (EntryType::Fifo, &b""[..], ""),
        };
        let mut header = Header::new_ustar();
        // Past the checks of the crate, which is a polite one.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The files of an archive, by name, open to any change before they are packed.
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files {
    /// A docker archive of one image with these layers.
    pub(crate) fn docker(layers: &[Vec<u8>], name: &str) -> Files {
        let config = config(layers);
        let config_name = format!("{}.json", sha256(&config));
        let mut files = BTreeMap::from([(config_name.clone(), config)]);
        let names: Vec<_> = (0..layers.len()).map(|number| format!("layer-{number}.tar")).collect();
        files.extend(names.iter().cloned().zip(layers.iter().cloned()));
        let manifest = json!([{"Config": config_name, "RepoTags": [name], "Layers": names}]);
        files.insert("manifest.json".into(), bytes(&manifest));
        Files(files)
    }

    /// An OCI layout of one image with these layers, uncompressed.
    pub(crate) fn oci(layers: &[Vec<u8>], name: &str) -> Files {
        let mut files = BTreeMap::from([("oci-layout".to_owned(), bytes(&json!({"imageLayoutVersion": "1.0.0"})))]);
        let mut blob = |kind: &str, content: Vec<u8>| {
            let digest = sha256(&content);
            let descriptor = json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": format!("sha256:{digest}"),
                "size": content.len(),
            });
            files.insert(format!("blobs/sha256/{digest}"), content);
            descriptor
        };
        let config = blob("config.v1+json", config(layers));
        let layers: Vec<_> = layers.iter().map(|layer| blob("layer.v1.tar", layer.clone())).collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut manifest = blob("manifest.v1+json", bytes(&manifest));
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        files.insert(
            "index.json".into(),
            bytes(&json!({"schemaVersion": 2, "manifests": [manifest]})),
        );
        Files(files)
    }

    /// The same with this file's content replaced by what `change` makes of it.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Files {
        let old = self.0.remove(name).unwrap_or_default();
        self.0.insert(name.to_owned(), change(old));
        self
    }

    /// The name of the largest blob, which is a layer.
    pub(crate) fn largest(&self) -> String {
        let (name, _) = self
            .0
            .iter()
            .max_by_key(|(_, content)| content.len())
            .expect("an archive has files");
        name.clone()
    }

    /// The archive.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let entries: Vec<_> = self
            .0
            .iter()
            .map(|(name, content)| (name.as_str(), Item::File(content)))
            .collect();
        layer(&entries)
    }
}

/// A configuration that is true to the layers.
fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    bytes(&json!({
        "architecture": match std::env::consts::ARCH { "aarch64" => "arm64", _ => "amd64" },
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": layers.iter().map(|_| json!({"created": "2026-01-01T00:00:00Z"})).collect::<Vec<_>>(),
    }))
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The hexadecimal digits of the SHA-256 digest.
pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
