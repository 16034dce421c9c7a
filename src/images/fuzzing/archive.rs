//! Archives of images: files whose contents name each other by digest, as a fuzzer cannot, loaded into a store.

use std::fs;
use std::path::{Path, PathBuf};

use super::limits;
use super::yard::Yard;
use crate::error::Result;
use crate::images::archive::{Entry, Kind, Writer};
use crate::images::compression::{Compression, Encoder, Pool};
use crate::images::{Content, Holder, Source, load};
use crate::model::{Context, Digest};

/// Starts a file: its name from the table and its form follow.
pub(super) const FILE: u8 = 0xfe;
/// In a content, the hexadecimal digest of the file whose number follows, as a digit.
pub(super) const DIGEST: u8 = 0xfd;
/// The same before it was compressed.
pub(super) const PLAIN: u8 = 0xfb;
/// In a content, the size of the file whose number follows.
pub(super) const SIZE: u8 = 0xfc;
/// Files of one archive.
const FILES: usize = 12;

/// Names of files; `*` is the digest of the content.
pub(super) const NAMES: [&str; 10] = [
    "manifest.json",
    "index.json",
    "oci-layout",
    "blobs/sha256/*",
    "*.json",
    "a/layer.tar",
    "b/layer.tar",
    "../manifest.json",
    "./a/../index.json",
    "repositories",
];

/// Holds nothing, for nobody collects.
struct NoHolder;

impl Holder for NoHolder {
    fn hold(&self, _: &[Digest]) -> Result<()> {
        Ok(())
    }
}

thread_local! {
    static POOL: Pool = Pool::new();
    static SHOP: Shop = Shop::new();
}

/// A store in a yard. It is made once: to open one takes longer than most loads.
struct Shop {
    yard: Yard,
    content: Content,
}

impl Shop {
    fn new() -> Shop {
        let yard = Yard::new();
        drop(yard.fresh_root());
        let content = Content::open(&yard.path().join("root"), &limits()).expect("a store can be made");
        Shop { yard, content }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.yard.path().join("root").join(name)
    }

    /// Removes what was loaded.
    fn clear(&self) {
        for (dir, inner) in [("content/blobs", "sha256"), ("layers", "")] {
            let dir = self.dir(dir);
            fs::remove_dir_all(&dir).expect("what was loaded can be removed");
            fs::create_dir_all(dir.join(inner)).expect("what was there is gone");
        }
    }
}

/// Loads the bytes as an archive made of them, or as they are where they hold no file.
pub(super) fn run(bytes: &[u8]) -> bool {
    let files = files(bytes);
    let stream = if files.is_empty() {
        bytes.to_vec()
    } else {
        packed(&files)
    };
    SHOP.with(|shop| {
        let is_accepted = check(&stream, shop);
        shop.yard.check();
        is_accepted
    })
}

fn check(stream: &[u8], shop: &Shop) -> bool {
    let content = &shop.content;
    let ctx = Context::new();
    let loaded = load(&ctx, content, &NoHolder, Source::Reader(Box::new(stream)));
    match &loaded {
        Ok(loaded) => {
            assert!(!loaded.is_empty());
            for layer in loaded.iter().flat_map(|loaded| &loaded.image.layers) {
                content.verify_layer(&ctx, layer).expect("what was loaded is whole");
            }
            shop.clear();
        }
        Err(error) => {
            assert!(error.kind() != crate::error::Kind::Internal, "{error}");
            assert!(content.blobs().expect("the store can be listed").is_empty(), "{error}");
            assert_eq!(count(&shop.dir("layers")), 0, "{error}");
        }
    }
    assert_eq!(count(&shop.dir("ingest")), 1, "more than the lock stays");
    loaded.is_ok()
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir).expect("the store has it").count()
}

/// A file, its name and whether it is compressed or a link.
struct Member {
    name: String,
    form: u8,
    content: Vec<u8>,
    plain: Digest,
}

fn files(bytes: &[u8]) -> Vec<Member> {
    let mut files: Vec<Member> = Vec::new();
    for part in bytes.split(|byte| *byte == FILE).skip(1).take(FILES) {
        let [name, form, content @ ..] = part else { continue };
        let content = resolved(content, &files);
        let plain = Digest::of(&content);
        let content = match form % 8 {
            1 => compressed(&content, Compression::Gzip),
            2 => compressed(&content, Compression::Zstd),
            _ => content,
        };
        let name = NAMES[usize::from(*name) % NAMES.len()].replace('*', Digest::of(&content).hex());
        files.push(Member {
            name,
            form: *form,
            content,
            plain,
        });
    }
    files
}

/// A content with digests and sizes of the files before it in their places.
fn resolved(content: &[u8], files: &[Member]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), content);
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let member = |number: &u8| files.get(usize::from(number.wrapping_sub(b'0')));
        match (first, tail.first().and_then(member)) {
            (&DIGEST, Some(member)) => out.extend_from_slice(Digest::of(&member.content).hex().as_bytes()),
            (&PLAIN, Some(member)) => out.extend_from_slice(member.plain.hex().as_bytes()),
            (&SIZE, Some(member)) => out.extend_from_slice(member.content.len().to_string().as_bytes()),
            _ => {
                out.push(*first);
                continue;
            }
        }
        rest = &tail[1..];
    }
    out
}

fn packed(files: &[Member]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for member in files {
        let kind = match member.form % 8 {
            3 => Kind::Symlink,
            4 => Kind::Hardlink,
            _ => Kind::Regular,
        };
        let mut entry = Entry::new(member.name.clone().into_bytes(), kind, 0o644);
        let data = match kind {
            Kind::Regular => member.content.as_slice(),
            _ => {
                entry.link.clone_from(&member.content);
                &[]
            }
        };
        entry.size = data.len() as u64;
        writer.entry(&entry).expect("memory takes all");
        writer.data(data).expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

pub(super) fn compressed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    POOL.with(|pool| {
        let mut encoder = Encoder::new(Vec::new(), compression, pool);
        std::io::Write::write_all(&mut encoder, bytes).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    })
}
