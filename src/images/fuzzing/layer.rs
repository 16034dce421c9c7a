//! Layers: entries made of a fuzzer's bytes, or the bytes as they are, unpacked beside a sentinel.

use std::cell::Cell;
use std::os::fd::AsFd;

use super::yard::Yard;
use super::{limits, tar};
use crate::images::archive::{Entry, Kind, Mtime, Reader, Writer};
use crate::images::{tree, unpack};
use crate::model::Context;

/// The first byte of bytes that are a tar stream as they are.
pub(super) const RAW: u8 = 0xff;
/// Entries of one layer; more say nothing new.
const ENTRIES: usize = 24;
/// How often descriptors are looked at; one that leaks stays.
const SELDOM: u64 = 64;

thread_local! {
    static YARD: (Yard, Cell<u64>) = (Yard::new(), Cell::new(0));
}

pub(super) fn run(bytes: &[u8]) -> bool {
    YARD.with(|(yard, runs)| {
        let stream = match bytes.split_first() {
            Some((&RAW, rest)) => tar::mended(rest),
            _ => written(&entries(bytes, yard)),
        };
        let is_accepted = unpacked(&stream, yard);
        yard.check();
        runs.set(runs.get() + 1);
        if runs.get().is_multiple_of(SELDOM) {
            yard.check_descriptors();
        }
        is_accepted
    })
}

/// Unpacks a stream; what comes of one that is no error must be a layer.
fn unpacked(stream: &[u8], yard: &Yard) -> bool {
    let (limits, root) = (limits(), yard.fresh_root());
    let own = root.try_clone().expect("there are descriptors left");
    let mut reader = Reader::new(stream, &limits);
    let Ok(record) = unpack::unpack(&Context::new(), &limits, &mut reader, own) else {
        return false;
    };
    assert!(record.size <= limits.layer_size);
    let mut bytes = 0;
    let walked = tree::walk(&Context::new(), root.as_fd(), &mut |node| {
        let (_, name) = tree::split(&node.path);
        assert!(!name.starts_with(b".wh."), "`{}` came out", node.path.escape_ascii());
        bytes += node.size() / node.status.st_nlink.max(1);
        Ok(true)
    });
    walked.expect("what was unpacked can be walked");
    assert!(bytes <= record.size, "{bytes} bytes came of {}", record.size);
    true
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
