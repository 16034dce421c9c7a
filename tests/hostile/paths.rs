//! Names, links and whiteouts that lead out of the directory a layer is unpacked in.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Beside, kind_of};
use crate::harness::forge::{Item, layer};

const OWNED: Item<'_> = Item::File(b"owned");

/// CVE-2001-1267, CVE-2014-9356: a name with `..` is refused where it leads out, an absolute one starts at the layer's root.
#[test]
fn s01_names_that_climb_out() {
    let beside = Beside::new();
    let up = "../".repeat(12);
    let absolute = format!("{}/secret", beside.dir());
    let (climbing, detour) = (format!("{up}{}", &absolute[1..]), format!("a/../../../..{absolute}"));
    for name in [
        climbing.as_str(),
        detour.as_str(),
        "..",
        "../",
        "a/../..",
        "./../x",
        "a/./../../x",
        "../attack",
    ] {
        assert_eq!(kind_of(&beside.load(&[layer(&[(name, OWNED)])])), "corrupt", "{name}");
    }
    for name in [
        absolute.clone(),
        format!("/{absolute}"),
        format!("a/..{absolute}"),
        format!("./{absolute}"),
    ] {
        beside.load(&[layer(&[(&name, OWNED)])]).unwrap();
        let inside = beside.layer().join(&absolute[1..]);
        assert_eq!(fs::read_to_string(inside).unwrap(), "owned", "{name}");
    }
}

/// CVE-2014-6407, CVE-2018-15664, CVE-2026-42574: links in a layer are followed from the layer's root, chains of them, too.
#[test]
fn s02_links_that_lead_out() {
    let beside = Beside::new();
    let (dir, secret) = (beside.dir(), format!("{}/secret", beside.dir()));
    let up = format!("{}{}", "../".repeat(12), &dir[1..]);
    let self_fd = "/proc/self/cwd";
    let attacks = vec![
        vec![("a", Item::Symlink(dir)), ("a/secret", OWNED)],
        vec![("a", Item::Symlink(&up)), ("a/secret", OWNED)],
        vec![("a", Item::Symlink(&secret)), ("a", OWNED)],
        vec![
            ("a", Item::Symlink("b")),
            ("b", Item::Symlink(dir)),
            ("a/secret", Item::Fifo),
        ],
        vec![
            ("a", Item::Symlink("..")),
            ("b", Item::Symlink("a/..")),
            ("b/secret", OWNED),
        ],
        vec![
            ("x/a", Item::Symlink("..")),
            ("x/b", Item::Symlink("a/..")),
            ("c", Item::Symlink("x/b/..")),
            ("c/x", OWNED),
        ],
        vec![("a", Item::Symlink(self_fd)), ("a/x", OWNED)],
        vec![("a", Item::Symlink(dir)), ("a/dir/deep/new", OWNED)],
        vec![
            ("a", Item::Symlink(dir)),
            ("a/new", Item::Symlink("b")),
            ("a/pipe", Item::Fifo),
        ],
    ];
    for (number, loaded) in beside.load_each(&attacks).into_iter().enumerate() {
        assert!(loaded.is_ok(), "attack {number} is held inside: {loaded:?}");
    }
    // A link to itself leads nowhere.
    let looped = [("a", Item::Symlink("b")), ("b", Item::Symlink("a")), ("a/x", OWNED)];
    assert_eq!(kind_of(&beside.load(&[layer(&looped)])), "corrupt");
}

/// A link of a layer below is no way out for one above: each is unpacked alone, and merged by the kernel.
#[test]
fn s02_a_link_in_a_lower_layer() {
    let beside = Beside::new();
    let lower = layer(&[("a", Item::Symlink(beside.dir()))]);
    let upper = layer(&[("a/secret", OWNED), ("a/.wh.dir", Item::File(b""))]);
    beside.load(&[lower, upper]).unwrap();
    assert_eq!(fs::read_to_string(beside.layer().join("a/secret")).unwrap(), "owned");
}

/// CVE-2021-32760, CVE-2026-50163: a hard link's target is looked for in the layer, not on the host and not from where the program runs.
#[test]
fn s03_hard_links_to_the_host() {
    let beside = Beside::new();
    let (dir, secret) = (beside.dir(), format!("{}/secret", beside.dir()));
    let up = format!("{}{}", "../".repeat(12), &secret[1..]);
    // It runs in the directory of this file.
    beside.hoist.write("nearby", "host's own");
    let attacks = vec![
        vec![("a", Item::Hardlink(&secret)), ("a", OWNED)],
        vec![("a", Item::Hardlink(&up)), ("a", OWNED)],
        vec![("a", Item::Hardlink("nearby")), ("a", OWNED)],
        vec![("l", Item::Symlink(&secret)), ("a", Item::Hardlink("l")), ("a", OWNED)],
        vec![
            ("l", Item::Symlink(dir)),
            ("a", Item::Hardlink("l/secret")),
            ("a", OWNED),
        ],
        vec![("a", Item::Hardlink("a")), ("a/b", OWNED)],
        vec![("d", Item::Dir), ("a", Item::Hardlink("d"))],
        vec![("a", Item::Hardlink("/"))],
        vec![("a", Item::Hardlink(&secret))],
        vec![("a", Item::Hardlink("nearby"))],
        vec![("l", Item::Symlink(dir)), ("a", Item::Hardlink("l/secret"))],
    ];
    let status = fs::metadata(beside.path().join("secret")).unwrap();
    // A link to a link gives the link itself a second name; one that leads nowhere harms nobody where a later entry takes its place.
    let held_inside = [0, 2, 3, 4, 5];
    for (number, loaded) in beside.load_each(&attacks).into_iter().enumerate() {
        assert_eq!(
            loaded.is_ok(),
            held_inside.contains(&number),
            "attack {number}: {loaded:?}"
        );
    }
    let after = fs::metadata(beside.path().join("secret")).unwrap();
    assert_eq!(
        (after.mode(), after.nlink(), after.ctime()),
        (status.mode(), 1, status.ctime())
    );
    assert_eq!(fs::read_to_string(beside.hoist.file("nearby")).unwrap(), "host's own");
}

/// CVE-2021-29136: the root of a layer is a directory.
#[test]
fn s04_a_root_that_is_a_link() {
    let beside = Beside::new();
    for name in ["./", "/", ".", "a/.."] {
        for item in [Item::Symlink(beside.dir()), OWNED, Item::Fifo, Item::Hardlink("x")] {
            let attack = layer(&[(name, item), ("secret", OWNED)]);
            assert_eq!(kind_of(&beside.load(&[attack])), "corrupt", "{name} as {item:?}");
        }
    }
    beside.load(&[layer(&[("./", Item::Dir), ("x", OWNED)])]).unwrap();
}

/// CVE-2026-33056: a directory over a link takes its place; the mode is not set through it.
#[test]
fn s05_a_directory_over_a_link() {
    let beside = Beside::new();
    let target = format!("{}/dir", beside.dir());
    for name in ["a", "a/", "./a/."] {
        let attack = [("a", Item::Symlink(&target)), (name, Item::Dir), ("a/x", OWNED)];
        beside.load(&[layer(&attack)]).unwrap();
        assert!(
            fs::symlink_metadata(beside.layer().join("a")).unwrap().is_dir(),
            "{name}"
        );
    }
}

/// What containerd calls breakouts by whiteout: none reaches what it does not lie beside, and those that name no file are refused.
#[test]
fn s06_whiteouts_as_weapons() {
    let beside = Beside::new();
    let (dir, empty) = (beside.dir(), Item::File(b""));
    let up = format!("{}{}/.wh.secret", "../".repeat(12), &dir[1..]);
    for name in [
        ".wh.",
        ".wh..",
        ".wh...",
        "dir/.wh...",
        "a/.wh..",
        "../.wh.x",
        up.as_str(),
        ".wh.a/b",
        ".wh.a/.wh.b",
    ] {
        let attack = layer(&[("dir", Item::Dir), (name, empty)]);
        assert_eq!(kind_of(&beside.load(&[attack])), "corrupt", "{name}");
    }
    let opaque = ".wh..wh..opq";
    let (through, hides) = (format!("a/{opaque}"), format!("{dir}/.wh.secret"));
    for attack in [
        vec![("a", Item::Symlink(dir)), ("a/.wh.secret", empty)],
        vec![("a", Item::Symlink(dir)), (through.as_str(), empty)],
        vec![(hides.as_str(), empty)],
        vec![("a/../.wh.x", empty)],
        vec![("a", Item::Symlink(dir)), (".wh.a", empty)],
        vec![(opaque, empty)],
        vec![(".wh..wh.plnk/x", OWNED), (".wh..wh.aufs", OWNED), (".wh..wh.", OWNED)],
    ] {
        beside
            .load(&[layer(&attack)])
            .unwrap_or_else(|refusal| panic!("{attack:?}: {refusal:?}"));
    }
}
