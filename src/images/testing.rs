//! What tests of images share: a store in a temporary directory, layers made by hand, archives around them.

use std::path::{Path, PathBuf};

use super::archive::{Entry, Kind, Writer};
use super::{Content, Holder, Limits};
use crate::error::Result;
use crate::model::Digest;

/// Holds nothing, for nobody collects.
pub(crate) struct NoHolder;

impl Holder for NoHolder {
    fn hold(&self, _: &[Digest]) -> Result<()> {
        Ok(())
    }
}

/// A store of its own, beside which a sentinel tree must stay as it is.
pub(crate) struct Shop {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) content: Content,
}

impl Shop {
    pub(crate) fn new() -> Shop {
        Shop::with_limits(&Limits::default())
    }

    pub(crate) fn with_limits(limits: &Limits) -> Shop {
        let temp = tempfile::tempdir().unwrap();
        let content = Content::open(&temp.path().join("root"), limits).unwrap();
        Shop { temp, content }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Nothing staged, no blob, no layer.
    pub(crate) fn is_empty(&self) -> bool {
        let ingest = std::fs::read_dir(self.path("root/ingest")).unwrap();
        let staged = ingest
            .filter(|entry| entry.as_ref().unwrap().file_name() != "lock")
            .count();
        let layers = std::fs::read_dir(self.path("root/layers")).unwrap().count();
        staged == 0 && layers == 0 && self.content.blobs().unwrap().is_empty()
    }
}

pub(crate) fn file(path: &str, data: &str) -> (Entry, Vec<u8>) {
    let size = data.len() as u64;
    (
        Entry {
            size,
            ..Entry::new(path.into(), Kind::Regular, 0o644)
        },
        data.into(),
    )
}

pub(crate) fn dir(path: &str, mode: u32) -> (Entry, Vec<u8>) {
    (Entry::new(path.into(), Kind::Directory, mode), Vec::new())
}

pub(crate) fn link(kind: Kind, path: &str, target: &str) -> (Entry, Vec<u8>) {
    (
        Entry {
            link: target.into(),
            ..Entry::new(path.into(), kind, 0o777)
        },
        Vec::new(),
    )
}

pub(crate) fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.entry(entry).unwrap();
        writer.data(data).unwrap();
    }
    writer.finish().unwrap()
}

/// A docker archive of up to version 24 with one image of these layers, named `test/image:1`.
pub(crate) fn docker_archive(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    docker_archive_of(layers, &diff_ids)
}

pub(crate) fn docker_archive_of(layers: &[Vec<u8>], diff_ids: &[Digest]) -> Vec<u8> {
    let config =
        serde_json::json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}})
            .to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest =
        serde_json::json!([{"Config": config_name, "RepoTags": ["test/image:1"], "Layers": names}]).to_string();
    let mut entries = vec![file("manifest.json", &manifest), file(&config_name, &config)];
    for (name, layer) in names.iter().zip(layers) {
        let entry = Entry {
            size: layer.len() as u64,
            ..Entry::new(name.clone().into_bytes(), Kind::Regular, 0o644)
        };
        entries.push((entry, layer.clone()));
    }
    tar(&entries)
}

/// All below a directory with what matters of it, for comparison.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    use std::os::fd::AsFd as _;
    let fd = super::content::open_dir(root).unwrap();
    let mut all = Vec::new();
    super::tree::walk(&crate::model::Context::new(), fd.as_fd(), &mut |node| {
        let s = &node.status;
        let data = if node.kind() == nix::sys::stat::SFlag::S_IFREG {
            Digest::of(&std::fs::read(root.join(std::str::from_utf8(&node.path).unwrap())).unwrap()).to_string()
        } else {
            String::new()
        };
        let times = (s.st_mtime, s.st_mtime_nsec);
        all.push(format!(
            "{} {:o} {}:{} {} {:?} {:x} {data}",
            node.path.escape_ascii(),
            s.st_mode,
            s.st_uid,
            s.st_gid,
            s.st_nlink,
            times,
            s.st_rdev
        ));
        Ok(true)
    })
    .unwrap();
    all
}
