//! An image of three layers with everything that the format allows, tools are known to get wrong, and Docker, Podman and umoci all
//! accept; and what each of them makes of it.

use std::sync::LazyLock;

use crate::harness::forge::Files;
use crate::harness::members::{Member, archive};
use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Hoist, Merged, Peers};

/// What differs, where, and why: tools, the start of the difference as seen from the tool, the reason. Everything else must be the same.
const KNOWN: [(&str, &str, &str); 12] = [
    (
        "docker podman",
        "implied: ",
        "they make up a directory that no entry names, and hide what the layers below say of it (image-spec#737)",
    ),
    (
        "docker podman",
        "lib: time is",
        "a directory no entry names: they leave the time of unpacking",
    ),
    (
        "umoci",
        "lib",
        "umoci applies layers to one tree, and follows the link of a layer below",
    ),
    ("umoci", "usr/lib/new", "the same"),
    (
        "docker podman umoci",
        ".: time is",
        "nothing names the root in the topmost layer: they leave the time of unpacking, Hoist gives the same tree each time",
    ),
    (
        "podman",
        ".: mode is 0755, not 0555",
        "a root that no entry names is 0555 to Podman, 0755 to Docker and umoci",
    ),
    (
        "docker podman umoci",
        "names/llll",
        "directories no entry names: they leave the time of unpacking, Hoist gives the same tree each time",
    ),
    ("docker podman umoci", "names/pax: time is", "the same"),
    (
        "umoci",
        "names: time is",
        "umoci makes directories no entry names after it has set the time of the one they are in",
    ),
    (
        "docker podman umoci",
        ".wh..wh.plnk",
        "they unpack what aufs kept for itself as directories of the image; the specification has no such names",
    ),
    (
        "docker podman",
        "kinds/",
        "they give a file the mode and time of its last hard link entry; tar, umoci and Hoist those of its own",
    ),
    (
        "umoci",
        "attributes/xattr: extended attributes",
        "umoci loses attributes without a value",
    ),
];

/// The image's tree by each tool.
struct Made {
    ours: Tree,
    peers: Vec<(&'static str, Tree)>,
}

/// Made once, as a Docker daemon takes seconds to start; what made it is gone before anyone looks.
static MADE: LazyLock<Made> = LazyLock::new(|| {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let layers = [first(), second(), third()].map(|members| archive(&members));
    let (docker, oci) = (peers.file("docker.tar"), peers.file("oci.tar"));
    std::fs::write(&docker, Files::docker(&layers, "odd:1").pack()).unwrap();
    std::fs::write(&oci, Files::oci(&layers, "odd").pack()).unwrap();
    let id = super::load(&hoist, &Files::docker(&layers, "odd:1"));
    Made {
        ours: Tree::read(&Merged::of(&hoist, &id).path()),
        peers: vec![
            ("docker", peers.docker_trees(&[&docker]).remove(0)),
            ("podman", peers.podman_trees(&[&docker]).remove(0)),
            ("umoci", peers.umoci_trees(&[&oci]).remove(0)),
        ],
    }
});

/// Fails where Hoist's tree differs from another tool's at or below these paths for no reason that is known.
#[track_caller]
pub(super) fn assert_as_peers(paths: &[&str]) {
    let is_asked = |line: &String| paths.iter().any(|path| line.starts_with(path));
    for (tool, theirs) in &MADE.peers {
        let known = |line: &String| {
            let mut known = KNOWN.iter();
            known.any(|(tools, start, _)| tools.contains(tool) && line.starts_with(start))
        };
        let lines = theirs.differences(&MADE.ours, Ignore::default());
        let unknown: Vec<_> = lines
            .into_iter()
            .filter(|line| is_asked(line) && !known(line))
            .collect();
        assert!(
            unknown.is_empty(),
            "differs from what {tool} makes of it:\n{}",
            unknown.join("\n")
        );
    }
    let is_there = |start: &&str| MADE.ours.0.keys().any(|path| path.to_string_lossy().starts_with(start));
    assert!(
        paths.iter().filter(|path| !path.starts_with('.')).all(is_there),
        "{paths:?} are not all there"
    );
}

/// What is said of a difference is true: each is there.
#[test]
fn known_differences_to_other_tools_are_there() {
    for (tools, start, _) in KNOWN {
        for (tool, theirs) in MADE.peers.iter().filter(|(tool, _)| tools.contains(tool)) {
            let lines = theirs.differences(&MADE.ours, Ignore::default());
            assert!(
                lines.iter().any(|line| line.starts_with(start)),
                "{tool} no longer differs in `{start}`"
            );
        }
    }
}

fn first() -> Vec<Member> {
    let long = "l".repeat(120);
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let sparse = |name: &str| Member::file(name, "datadata").pax("GNU.sparse.size", "9000");
    vec![
        Member::dir("./").mode(0o755),
        Member::dir("kinds/").mode(0o751).mtime(1_234_567_890),
        Member::file("kinds/plain", "plain"),
        Member::new(0, "kinds/nul").content("nul"),
        Member::new(0, "kinds/v7-dir/").v7().mode(0o700),
        Member::file("kinds/v7-dir/in", "in").v7(),
        Member::symlink("kinds/symlink", "plain"),
        Member::symlink("kinds/absolute", "/etc/passwd"),
        Member::symlink("kinds/dangling", "../../../../nowhere"),
        Member::hardlink("kinds/hardlink", "kinds/plain"),
        Member::hardlink("kinds/hardlink-absolute", "/kinds/plain")
            .mode(0o777)
            .mtime(5),
        Member::hardlink("kinds/hardlink-to-symlink", "kinds/symlink"),
        Member::fifo("kinds/fifo").mode(0o604),
        Member::device(b'3', "kinds/char", 1, 3).mode(0o666),
        Member::device(b'4', "kinds/block", 7, 200).mode(0o660).owner(0, 6),
        Member::dir("names/"),
        Member::file("./names/dotted", "1"),
        Member::file("/names/rooted", "2"),
        Member::file("names//doubled", "3"),
        Member::file("names/./same", "4"),
        Member::file("names/x/../up", "5"),
        Member::file(b"names/\xff\xfe", "6"),
        Member::file("names/a\nb\\c \"d\"", "7"),
        Member::new(b'L', "././@LongLink")
            .gnu()
            .content(format!("names/{long}/{long}\0")),
        Member::file("names/cut-gnu", "8").gnu(),
        Member::new(b'K', "././@LongLink")
            .gnu()
            .content(format!("/{long}/{long}\0")),
        Member::symlink("names/long-link", "cut").gnu(),
        Member::file("tail", "9").prefix(format!("names/{long}")),
        Member::file("names/cut-pax", "10").pax("path", format!("names/pax/{long}{long}")),
        Member::symlink("names/pax-link", "cut").pax("linkpath", format!("/{long}/{long}")),
        Member::dir("attributes/")
            .mode(0o2775)
            .owner(7, 8)
            .xattr("user.dir", "d"),
        Member::file("attributes/setuid", "s")
            .mode(0o6755)
            .owner(1234, 5678)
            .xattr("security.capability", capability),
        Member::file("attributes/xattr", "x")
            .xattr("user.binary", b"\0\n=\xff")
            .xattr("user.empty", ""),
        Member::file("attributes/huge-owner", "h")
            .pax("uid", "3000000000")
            .pax("gid", "4000000000"),
        Member::file("attributes/nanos", "n").pax("mtime", "1234567890.123456789"),
        Member::file("attributes/zero", "0").mtime(0),
        Member::file("attributes/future", "f").mtime(4_102_444_800),
        Member::file("attributes/size", "wrong-size")
            .pax("size", "10")
            .patch(124, b"00000000003\0"),
        Member::symlink("attributes/symlink", "x")
            .owner(11, 12)
            .pax("mtime", "1000000000.5"),
        Member::dir("closed/").mode(0o555).mtime(1_111_111_111),
        Member::file("closed/in", "in").mode(0),
        Member::dir("sparse/"),
        sparse("sparse/0.0")
            .pax("GNU.sparse.numblocks", "2")
            .pax("GNU.sparse.offset", "0")
            .pax("GNU.sparse.numbytes", "4")
            .pax("GNU.sparse.offset", "5000")
            .pax("GNU.sparse.numbytes", "4"),
        sparse("GNUSparseFile.1/0.1")
            .pax("GNU.sparse.name", "sparse/0.1")
            .pax("GNU.sparse.numblocks", "2")
            .pax("GNU.sparse.map", "0,4,5000,4"),
        Member::file(
            "GNUSparseFile.1/1.0",
            [&b"2\n0\n4\n5000\n4\n"[..], &[0; 499], b"datadata"].concat(),
        )
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.name", "sparse/1.0")
        .pax("GNU.sparse.realsize", "9000"),
        Member::dir("over/dir/"),
        Member::file("over/dir/kept", "kept"),
        Member::dir("over/dir-to-file/"),
        Member::file("over/dir-to-file/in", "in"),
        Member::dir("over/dir-to-link/"),
        Member::file("over/dir-to-link/in", "in"),
        Member::file("over/file-to-dir", "file"),
        Member::symlink("over/link-to-dir", "dir"),
        Member::symlink("over/link-to-file", "dir/kept"),
        Member::file("over/xattr-gone", "x").xattr("user.gone", "1"),
        Member::file("over/time", "same").mtime(1),
        Member::dir("gone/dir/deep/"),
        Member::file("gone/dir/deep/file", "1"),
        Member::file("gone/file", "2"),
        Member::symlink("gone/link", "file"),
        Member::file("gone/replaced", "3"),
        Member::dir("gone/again/"),
        Member::file("gone/again/old", "4"),
        Member::dir("opaque/"),
        Member::file("opaque/old", "5"),
        Member::dir("opaque/dir/"),
        Member::file("opaque/dir/old", "6"),
        Member::file("opaque/replaced", "7"),
        Member::dir("opaque/again/").mode(0o700),
        Member::file("opaque/again/old", "8"),
        Member::dir("later/"),
        Member::file("later/old", "9"),
        Member::dir("implied/").mode(0o711).owner(3, 4).mtime(5),
        Member::dir("usr/lib/"),
        Member::file("usr/lib/old", "old"),
        Member::symlink("lib", "usr/lib"),
    ]
}

fn second() -> Vec<Member> {
    vec![
        Member::dir("over/").owner(1, 1).mtime(1_222_222_222),
        Member::dir("over/dir/").mode(0o700).owner(9, 9).xattr("user.new", "1"),
        Member::file("over/dir/added", "added"),
        Member::file("over/dir-to-file", "now a file"),
        Member::symlink("over/dir-to-link", "dir"),
        Member::dir("over/file-to-dir/"),
        Member::file("over/file-to-dir/in", "now in a directory"),
        Member::dir("over/link-to-dir/").mode(0o750),
        Member::file("over/link-to-dir/in", "not through the link"),
        Member::file("over/link-to-file", "not through the link"),
        Member::file("over/xattr-gone", "x"),
        Member::file("over/time", "same").mtime(2),
        Member::dir("gone/"),
        Member::whiteout("gone/", "dir"),
        Member::whiteout("gone/", "file"),
        Member::whiteout("gone/", "link"),
        Member::whiteout("gone/", "never-was"),
        Member::whiteout("gone/", "replaced"),
        Member::file("gone/replaced", "new"),
        Member::dir("opaque/"),
        Member::file("opaque/before", "before the mark"),
        Member::opaque("opaque/"),
        Member::file("opaque/after", "after the mark"),
        Member::file("opaque/replaced", "new"),
        Member::dir("opaque/again/"),
        Member::file("opaque/again/new", "new"),
        Member::file("implied/new", "new"),
        Member::file("lib/new", "new"),
        Member::file(".wh..wh.aufs", "bookkeeping"),
        Member::file(".wh..wh.plnk/1.2", "bookkeeping"),
    ]
}

fn third() -> Vec<Member> {
    vec![
        Member::dir("gone/"),
        Member::file("gone/file", "back"),
        Member::dir("later/"),
        Member::file("later/new", "new"),
        Member::opaque("later/"),
        Member::dir("opaque/"),
        Member::whiteout("opaque/", "after"),
        Member::dir("third/"),
        Member::file("third/one", "1"),
        Member::hardlink("third/two", "third/one"),
    ]
}
