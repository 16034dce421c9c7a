//! Layers: entries made of a fuzzer's bytes, or the bytes as they are, unpacked beside a sentinel.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::model::{Model, Refused};
use super::yard::Yard;
use super::{limits, tar};
use crate::error::Kind as ErrorKind;
use crate::images::archive::{Entry, Kind, Mtime, Reader, Writer};
use crate::images::tree::{self, Node};
use crate::images::{overlay, unpack};
use crate::model::Context;
use crate::sys::file::open_no_links;

/// The first byte of bytes that are a tar stream as they are.
pub(super) const RAW: u8 = 0xff;
/// Entries of one layer; more say nothing new.
const ENTRIES: usize = 24;

thread_local! {
    static YARD: Yard = Yard::new();
}

pub(super) fn run(bytes: &[u8]) -> bool {
    YARD.with(|yard| {
        let stream = match bytes.split_first() {
            Some((&RAW, rest)) => tar::mended(rest),
            _ => written(&entries(bytes, yard)),
        };
        let is_accepted = unpacked(&stream, yard);
        yard.check();
        is_accepted
    })
}

/// The same with entries, in whose paths and links `{}` stands for the path of the sentinel.
#[cfg(test)]
pub(in crate::images) fn judged(entries: &[(Entry, Vec<u8>)]) -> bool {
    YARD.with(|yard| {
        let outside = yard
            .outside()
            .into_os_string()
            .into_string()
            .expect("it is made of text");
        let fill = |text: &[u8]| String::from_utf8_lossy(text).replace("{}", &outside).into_bytes();
        let mut entries = entries.to_vec();
        for (entry, _) in &mut entries {
            (entry.path, entry.link) = (fill(&entry.path), fill(&entry.link));
        }
        let is_accepted = unpacked(&written(&entries), yard);
        yard.check();
        is_accepted
    })
}

/// Unpacks a stream and compares what came of it with what it means.
fn unpacked(stream: &[u8], yard: &Yard) -> bool {
    let (limits, root) = (limits(), yard.fresh_root());
    let own = root.try_clone().expect("there are descriptors left");
    let mut reader = Reader::new(stream, &limits);
    let record = unpack::unpack(&Context::new(), &limits, &mut reader, own);
    let Some(entries) = tar::entries(stream, &limits) else {
        assert!(record.is_err(), "an archive that cannot be read was unpacked");
        return false;
    };
    match (record, Model::of(&entries)) {
        (Ok(record), Ok(model)) => {
            let what = || format!("what was unpacked, and what it means: {}", told(&entries));
            assert!(record.size <= limits.layer_size);
            assert_eq!(lines(root.as_fd()), model.lines(), "{}", what());
            assert_eq!(record, model.record(), "{}", what());
            true
        }
        (Err(error), Ok(_)) if error.kind() == ErrorKind::Corrupt && is_about_attributes(&error) => false,
        (Err(_), Err(Refused)) => false,
        (Ok(_), Err(Refused)) => panic!("it was unpacked but should be refused: {}", told(&entries)),
        (Err(error), Ok(_)) => panic!("it was refused: {error}: {}", told(&entries)),
    }
}

fn told(entries: &[(Entry, Vec<u8>)]) -> String {
    let words = entries.iter().map(|(entry, _)| {
        let (path, link) = (entry.path.escape_ascii(), entry.link.escape_ascii());
        format!("{:?} `{path}` `{link}` {:?}", entry.kind, entry.device)
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The model knows no rules of extended attributes and of sizes.
fn is_about_attributes(error: &crate::error::Error) -> bool {
    error.message().contains("the attributes of") || error.message().contains("`layer_size`")
}

/// Times that every file system can keep.
const TIMES_KEPT: std::ops::Range<i64> = -(1 << 31)..1 << 31;

/// Mode, owner and time.
pub(super) type Attributes = (u32, (u32, u32), (i64, u32));

/// The line of a node: path, what it is, mode, owner and time, first name.
pub(super) fn line(path: &[u8], what: &str, attributes: Option<Attributes>, first: &[u8]) -> String {
    let attributes = attributes.map_or(String::new(), |(mode, (uid, gid), (seconds, nanos))| {
        let time = if TIMES_KEPT.contains(&seconds) {
            format!("{seconds}.{nanos:09}")
        } else {
            "far".to_owned()
        };
        format!(" {mode:04o} {uid}:{gid} {time}")
    });
    let (path, first) = (path.escape_ascii(), first.escape_ascii());
    format!("{path}: {what}{attributes} ({first})")
}

/// The same of a tree on disk.
fn lines(root: BorrowedFd<'_>) -> Vec<String> {
    let mut nodes = vec![Node {
        path: Vec::new(),
        status: nix::sys::stat::fstat(root).expect("the root is open"),
    }];
    let walked = tree::walk(&Context::new(), root, &mut |node| {
        nodes.push(node.clone());
        Ok(true)
    });
    walked.expect("what was unpacked can be walked");
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    let mut first = HashMap::new();
    nodes
        .iter()
        .map(|node| {
            let first = first.entry(node.status.st_ino).or_insert(node.path.clone());
            line_of(root, node, first)
        })
        .collect()
}

fn line_of(root: BorrowedFd<'_>, node: &Node, first: &[u8]) -> String {
    let status = &node.status;
    let device = (
        nix::sys::stat::major(status.st_rdev) as u32,
        nix::sys::stat::minor(status.st_rdev) as u32,
    );
    let what = match node.kind() {
        _ if overlay::is_whiteout(status) => return line(&node.path, "whiteout", None, first),
        SFlag::S_IFDIR if tree::is_opaque_at(root, &node.path).expect("it can be read") => {
            "opaque directory".to_owned()
        }
        SFlag::S_IFDIR => "directory".to_owned(),
        SFlag::S_IFLNK => {
            let target = tree::link_target(root, &node.path).expect("it can be read");
            format!("symlink {}", target.escape_ascii())
        }
        SFlag::S_IFREG => format!("file {}", content(root, &node.path).escape_ascii()),
        SFlag::S_IFIFO => format!("{:?} {:?}", Kind::Fifo, (0, 0)),
        SFlag::S_IFBLK => format!("{:?} {device:?}", Kind::Block),
        _ => format!("{:?} {device:?}", Kind::Character),
    };
    let nanos = u32::try_from(status.st_mtime_nsec).expect("less than a second");
    let attributes = (
        status.st_mode & 0o7777,
        (status.st_uid, status.st_gid),
        (status.st_mtime, nanos),
    );
    line(&node.path, &what, Some(attributes), first)
}

fn content(root: BorrowedFd<'_>, path: &[u8]) -> Vec<u8> {
    let file = open_no_links(root, path, OFlag::O_RDONLY).expect("it can be opened");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut bytes).expect("it can be read");
    bytes
}

fn written(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.entry(entry).expect("memory takes all");
        writer.data(data).expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

/// Few names, so that entries meet.
const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
/// Names that mean something; some are always refused.
const ODD_NAMES: [&[u8]; 14] = [
    b"..",
    b".",
    b"",
    b".wh.a",
    b".wh.b",
    b".wh.c",
    b".wh..wh..opq",
    b".wh..wh.plnk",
    b"outside",
    b"secret",
    b"dir",
    b".wh.",
    b".wh...",
    &[b'n'; 256],
];
const KINDS: [Kind; 12] = [
    Kind::Regular,
    Kind::Regular,
    Kind::Regular,
    Kind::Directory,
    Kind::Directory,
    Kind::Symlink,
    Kind::Symlink,
    Kind::Hardlink,
    Kind::Hardlink,
    Kind::Character,
    Kind::Block,
    Kind::Fifo,
];
const TIMES: [(i64, u32); 4] = [(0, 0), (-2, 500_000_000), (1 << 40, 1), (i64::MIN, 0)];
const XATTRS: [&[u8]; 6] = [
    b"user.a",
    b"trusted.overlay.opaque",
    b"user.overlay.opaque",
    b"security.capability",
    b"system.posix_acl_access",
    b"user.",
];

/// Bytes taken one by one; zeros after the end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next() % all.len()]
    }

    fn path(&mut self) -> Vec<u8> {
        let shape = self.next();
        let mut parts: Vec<&[u8]> = Vec::new();
        if shape & 0x20 != 0 {
            parts.push(b"");
        }
        parts.extend((0..=shape & 3).map(|_| self.name()));
        parts.join(&b'/')
    }

    fn name(&mut self) -> &'static [u8] {
        let number = self.next();
        let odd = ODD_NAMES.get(number / 4 % 48).filter(|_| number & 3 == 3);
        odd.copied().unwrap_or(NAMES[number % NAMES.len()])
    }

    /// Where a link leads: out, anywhere, or to what is there.
    fn target(&mut self, outside: &[u8], before: &[(Entry, Vec<u8>)]) -> Vec<u8> {
        match (self.next() % 8, before.len()) {
            (0, _) => [outside, b"/secret"].concat(),
            (1, _) => [outside, b"/dir"].concat(),
            (2 | 3, _) | (_, 0) => self.path(),
            (number, count) => before[(number + self.next()) % count].0.path.clone(),
        }
    }
}

fn entries(bytes: &[u8], yard: &Yard) -> Vec<(Entry, Vec<u8>)> {
    let mut bytes = Bytes(bytes);
    let outside = yard.outside().into_os_string().into_encoded_bytes();
    let mut all = Vec::new();
    while !bytes.0.is_empty() && all.len() < ENTRIES {
        let next = entry(&mut bytes, &outside, &all);
        all.push(next);
    }
    all
}

fn entry(bytes: &mut Bytes<'_>, outside: &[u8], before: &[(Entry, Vec<u8>)]) -> (Entry, Vec<u8>) {
    let (kind, path, extras) = (bytes.pick(&KINDS), bytes.path(), bytes.next());
    let mut entry = Entry::new(path, kind, 0o755);
    match kind {
        Kind::Symlink | Kind::Hardlink => entry.link = bytes.target(outside, before),
        Kind::Character | Kind::Block => entry.device = (u32::from(extras & 1 != 0), u32::from(extras & 2 != 0)),
        _ => {}
    }
    if extras & 0x10 != 0 {
        entry.mode = (bytes.next() << 4) as u32;
        entry.uid = (bytes.next() << 24) as u32;
    }
    if extras & 0x20 != 0 {
        let (seconds, nanos) = bytes.pick(&TIMES);
        entry.mtime = Mtime { seconds, nanos };
    }
    if extras & 0x40 != 0 {
        entry.xattrs = vec![(bytes.pick(&XATTRS).to_vec(), vec![1; extras & 15])];
    }
    let data = match kind {
        Kind::Regular => vec![b'x'; extras & 15],
        _ => Vec::new(),
    };
    entry.size = data.len() as u64;
    (entry, data)
}
