//! A directory tree as data, to compare what two programs made of the same archive, entry by entry.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// All that matters about an entry, field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of a file; 0 for everything else, as it differs between file systems.
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    pub(crate) target: Option<PathBuf>,
    /// Major and minor number.
    pub(crate) device: Option<(u64, u64)>,
    /// SHA-256 of the content.
    pub(crate) content: Option<String>,
    /// The first of the names in the tree of a file that has several.
    pub(crate) same_as: Option<PathBuf>,
}

/// Entries by their path below the root; the root itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<PathBuf, Entry>);

/// What a comparison leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ignore<'a> {
    /// Extended attributes whose names start with one of these.
    pub(crate) xattrs: &'a [&'a str],
    /// These paths, and what is below them.
    pub(crate) paths: &'a [&'a str],
    /// The owner, mode and time of the root.
    pub(crate) root: bool,
    /// Times below one second.
    pub(crate) nanoseconds: bool,
}

impl Tree {
    /// Reads everything below `root`, without following symlinks.
    pub(crate) fn read(root: &Path) -> Tree {
        let mut tree = BTreeMap::new();
        let mut names = BTreeMap::new();
        let mut left = vec![PathBuf::new()];
        while let Some(path) = left.pop() {
            let full = root.join(&path);
            let meta = fs::symlink_metadata(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()));
            if meta.is_dir() {
                left.extend(
                    fs::read_dir(&full)
                        .unwrap()
                        .map(|child| path.join(child.unwrap().file_name())),
                );
            } else if meta.nlink() > 1 {
                names
                    .entry((meta.dev(), meta.ino()))
                    .or_insert_with(Vec::new)
                    .push(path.clone());
            }
            tree.insert(path, Entry::read(&full, &meta));
        }
        for mut names in names.into_values().filter(|names| names.len() > 1) {
            names.sort();
            for name in &names {
                tree.get_mut(name).unwrap().same_as = Some(names[0].clone());
            }
        }
        Tree(tree)
    }

    /// One line per difference, in the order of paths: `usr/bin/su: mode is 0755, not 4755`. `self` is the one that is right.
    pub(crate) fn differences(&self, other: &Tree, ignore: Ignore<'_>) -> Vec<String> {
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let mut lines = Vec::new();
        for path in paths {
            if ignore.paths.iter().any(|ignored| path.starts_with(ignored)) {
                continue;
            }
            match (self.0.get(path), other.0.get(path)) {
                (Some(_), None) => lines.push(format!("{}: is missing", show(path))),
                (None, Some(_)) => lines.push(format!("{}: should not be there", show(path))),
                (Some(_), Some(_)) if ignore.root && path.as_os_str().is_empty() => {}
                (Some(right), Some(wrong)) => right.compare(wrong, path, ignore, &mut lines),
                (None, None) => unreachable!("the path comes from one of both"),
            }
        }
        lines
    }

    /// Fails with a report of the first fifty differences, if there are any. `self` is the one that is right.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Tree, ignore: Ignore<'_>) {
        assert!(self.0.len() > 1, "the tree to compare with is empty");
        let lines = self.differences(other, ignore);
        let shown = lines.iter().take(50).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(
            lines.is_empty(),
            "{} differences in {} entries:\n{shown}",
            lines.len(),
            self.0.len()
        );
    }
}

impl Entry {
    fn read(path: &Path, meta: &Metadata) -> Entry {
        let kind = meta.file_type();
        let is_device = kind.is_char_device() || kind.is_block_device();
        Entry {
            kind: kind_name(meta),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size: if kind.is_file() { meta.len() } else { 0 },
            mtime: (meta.mtime(), meta.mtime_nsec()),
            xattrs: xattrs(path),
            target: kind.is_symlink().then(|| fs::read_link(path).unwrap()),
            device: is_device.then(|| (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()))),
            content: kind.is_file().then(|| digest(path)),
            same_as: None,
        }
    }

    fn compare(&self, other: &Entry, path: &Path, ignore: Ignore<'_>, lines: &mut Vec<String>) {
        let mut field = |name: &str, right: String, wrong: String| {
            if right != wrong {
                lines.push(format!("{}: {name} is {wrong}, not {right}", show(path)));
            }
        };
        let pair = |(a, b): (u32, u32)| format!("{a}:{b}");
        field("type", self.kind.into(), other.kind.into());
        field("mode", format!("{:04o}", self.mode), format!("{:04o}", other.mode));
        field("owner", pair((self.uid, self.gid)), pair((other.uid, other.gid)));
        field("size", self.size.to_string(), other.size.to_string());
        field("time", self.time(ignore), other.time(ignore));
        field(
            "extended attributes",
            self.shown_xattrs(ignore),
            other.shown_xattrs(ignore),
        );
        field("target", optional(&self.target), optional(&other.target));
        field("device", optional(&self.device), optional(&other.device));
        field("content", optional(&self.content), optional(&other.content));
        field("hard link", optional(&self.same_as), optional(&other.same_as));
    }

    fn time(&self, ignore: Ignore<'_>) -> String {
        let (seconds, nanoseconds) = self.mtime;
        if ignore.nanoseconds {
            seconds.to_string()
        } else {
            format!("{seconds}.{nanoseconds:09}")
        }
    }

    fn shown_xattrs(&self, ignore: Ignore<'_>) -> String {
        let ignored = |name: &OsStr| {
            ignore
                .xattrs
                .iter()
                .any(|start| name.as_bytes().starts_with(start.as_bytes()))
        };
        let kept = self.xattrs.iter().filter(|(name, _)| !ignored(name));
        let shown: Vec<_> = kept
            .map(|(name, value)| format!("{}={}", name.display(), value.escape_ascii()))
            .collect();
        format!("[{}]", shown.join(", "))
    }
}

fn optional<T: fmt::Debug>(value: &Option<T>) -> String {
    value
        .as_ref()
        .map_or_else(|| "absent".to_owned(), |value| format!("{value:?}"))
}

fn show(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        path.as_os_str().as_bytes().escape_ascii().to_string()
    }
}

fn kind_name(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() => "character device",
        () if kind.is_block_device() => "block device",
        () => "file",
    }
}

fn digest(path: &Path) -> String {
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path).unwrap();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match io::Read::read(&mut file, &mut buffer).unwrap() {
            0 => return hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Extended attributes of the entry itself; a file system without any has none.
fn xattrs(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return BTreeMap::new(),
        Err(error) => panic!(
            "failed to list the extended attributes of `{}`: {error}",
            path.display()
        ),
    };
    names.truncate(length);
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| (OsString::from_vec(name.to_vec()), xattr(path, OsStr::from_bytes(name))))
        .collect()
}

fn xattr(path: &Path, name: &OsStr) -> Vec<u8> {
    let mut value = vec![0; 1 << 16];
    let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
    value.truncate(length);
    value
}

/// All that is in a directory, times and SQLite's shared memory aside: readers touch those.
pub(crate) fn content(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let is_shared = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with("-wal") || name.ends_with("-shm")
    };
    let mut entries = Tree::read(root).0;
    entries.retain(|path, _| !is_shared(path));
    for entry in entries.values_mut() {
        entry.mtime = (0, 0);
    }
    entries
}

/// The paths at which they differ.
pub(crate) fn differing(before: &BTreeMap<PathBuf, Entry>, after: &BTreeMap<PathBuf, Entry>) -> Vec<PathBuf> {
    let mut paths: Vec<&PathBuf> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let differs = |path: &&&PathBuf| before.get(**path) != after.get(**path);
    paths.iter().filter(differs).map(|path| (*path).clone()).collect()
}
