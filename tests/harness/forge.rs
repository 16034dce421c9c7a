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
    /// A character device with these numbers, written as they are.
    Device(u32, u32),
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
            Item::Device(..) => (EntryType::Char, &b""[..], ""),
        };
        let mut header = Header::new_ustar();
        // Past the checks of the crate, which is a polite one.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        if let Item::Device(major, minor) = *item {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        }
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
#[derive(Clone)]
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
        let plain = |layer: &Vec<u8>| (layer.clone(), layer.clone(), "application/vnd.oci.image.layer.v1.tar");
        Files::oci_of(&layers.iter().map(plain).collect::<Vec<_>>(), name)
    }

    /// An OCI layout of one image; of each layer what is hashed for the configuration, the blob, and the blob's media type.
    pub(crate) fn oci_of(layers: &[(Vec<u8>, Vec<u8>, &str)], name: &str) -> Files {
        let plain: Vec<_> = layers.iter().map(|(plain, ..)| plain.clone()).collect();
        let blobs = layers
            .iter()
            .map(|(_, blob, media_type)| (descriptor(media_type, blob), blob.clone()));
        let named = |mut index: Value| {
            index["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": name});
            bytes(&index)
        };
        let blobs: Vec<_> = blobs.collect();
        Files::oci_by(config(&plain), &blobs, |manifest| bytes(&manifest), named)
    }

    /// An OCI layout of this configuration and these blobs with their descriptors; the documents above them are open to any change.
    pub(crate) fn oci_by(
        config: Vec<u8>,
        layers: &[(Value, Vec<u8>)],
        manifest: impl FnOnce(Value) -> Vec<u8>,
        index: impl FnOnce(Value) -> Vec<u8>,
    ) -> Files {
        let mut files = BTreeMap::from([("oci-layout".to_owned(), bytes(&json!({"imageLayoutVersion": "1.0.0"})))]);
        let mut put = |content: Vec<u8>| files.insert(format!("blobs/sha256/{}", sha256(&content)), content);
        let described: Vec<_> = layers.iter().map(|(descriptor, _)| descriptor).collect();
        let top = json!({
            "schemaVersion": 2,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": described,
        });
        let manifest = manifest(top);
        let top = json!({
            "schemaVersion": 2,
            "manifests": [descriptor("application/vnd.oci.image.manifest.v1+json", &manifest)],
        });
        layers.iter().for_each(|(_, blob)| drop(put(blob.clone())));
        put(config);
        put(manifest);
        files.insert("index.json".into(), index(top));
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

/// What names a blob.
pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(content)), "size": content.len()})
}

/// A configuration that is true to the layers.
pub(crate) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
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

/// A document's bytes.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The hexadecimal digits of the SHA-256 digest.
pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
