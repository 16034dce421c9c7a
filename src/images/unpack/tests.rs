//! Layers legal, odd and hostile, unpacked beside a sentinel tree that must stay as it is.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::images::archive::Mtime;
use crate::images::content::open_dir;
use crate::images::overlay;
use crate::images::testing::{dir, file, link, listing, tar};

struct Yard {
    temp: tempfile::TempDir,
}

impl Yard {
    fn new() -> Yard {
        let temp = tempfile::tempdir().unwrap();
        let outside = temp.path().join("outside");
        std::fs::create_dir_all(outside.join("dir")).unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        std::fs::set_permissions(outside.join("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::create_dir(temp.path().join("root")).unwrap();
        Yard { temp }
    }

    fn root(&self) -> PathBuf {
        self.temp.path().join("root")
    }

    fn outside(&self) -> String {
        self.temp.path().join("outside").to_str().unwrap().to_owned()
    }

    fn unpack(&self, entries: &[(Entry, Vec<u8>)]) -> Result<Record> {
        let (bytes, limits) = (tar(entries), Limits::default());
        let mut reader = Reader::new(bytes.as_slice(), &limits);
        let before = listing(&self.temp.path().join("outside"));
        let record = unpack(&Context::new(), &limits, &mut reader, open_dir(&self.root()).unwrap());
        assert_eq!(
            listing(&self.temp.path().join("outside")),
            before,
            "something outside was touched"
        );
        record
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn is_whiteout(&self, path: &str) -> bool {
        let status = std::fs::symlink_metadata(self.root().join(path));
        status.is_ok_and(|status| status.file_type().is_char_device() && status.rdev() == 0)
    }

    fn is_opaque(&self, path: &str) -> bool {
        overlay::is_opaque(open_dir(&self.root().join(path)).unwrap().as_fd()).unwrap()
    }

    fn exists(&self, path: &str) -> bool {
        std::fs::symlink_metadata(self.root().join(path)).is_ok()
    }
}

/// Layers that try to reach `outside`, directly or by the path `to`.
fn attacks(outside: &str, to: &str) -> Vec<Vec<(Entry, Vec<u8>)>> {
    let symlink = |path: &str, target: &str| link(Kind::Symlink, path, target);
    let hardlink = |path: &str, target: &str| link(Kind::Hardlink, path, target);
    vec![
        vec![file(&format!("{to}/new"), "x")],
        vec![file(&format!("a/../{to}/new"), "x")],
        vec![file(&format!("{outside}/secret"), "x")],
        vec![symlink("x", outside), file("x/secret", "owned"), file("x/new", "x")],
        vec![symlink("x", to), file("x/secret", "owned")],
        vec![
            symlink("a", ".."),
            symlink("b", &format!("a{outside}")),
            file("b/secret", "x"),
        ],
        vec![
            symlink("x", &format!("{outside}/dir")),
            dir("x", 0o777),
            file("x/y", "z"),
        ],
        vec![symlink("x", &format!("{to}/dir")), dir("x/", 0o777)],
        vec![hardlink("x", &format!("{outside}/secret")), file("x", "owned")],
        vec![hardlink("x", &format!("{to}/secret")), file("x", "owned")],
        vec![
            symlink("l", &format!("{to}/secret")),
            hardlink("x", "l"),
            file("x", "owned"),
        ],
        vec![
            symlink("l", to),
            hardlink("x", "l/secret"),
            (Entry::new(b"x".to_vec(), Kind::Regular, 0o777), vec![]),
        ],
        vec![symlink("./", outside), file("secret", "x")],
        vec![symlink("x", to), file("x/.wh.secret", "")],
        vec![symlink("x", to), file("x/.wh..wh..opq", "")],
        vec![file("x/../../.wh.outside", "")],
        vec![file("../.wh.outside", "")],
        vec![dir("d", 0o755), dir("d/dir", 0o700), symlink("d", outside)],
        vec![symlink("x", "/proc/self/fd/1"), file("x/y", "z")],
    ]
}

#[test]
fn s01_to_s06_nothing_escapes() {
    let count = attacks("", "").len();
    for attack in 0..count {
        for up in ["../../../../../../../../../..", "..", ""] {
            let yard = Yard::new();
            let outside = yard.outside();
            let to = if up == ".." {
                "../outside".to_owned()
            } else {
                format!("{up}{outside}")
            };
            // Each lands inside or is refused; `unpack` sees that the sentinel stayed as it was.
            let _ = yard.unpack(&attacks(&outside, &to).swap_remove(attack));
        }
    }
}

#[test]
fn s06_whiteouts_that_hide_nothing_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", ".wh.a/b", "a/.wh.b/.wh.c"] {
        let error = Yard::new().unpack(&[file(name, "")]).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{name}");
    }
}

#[test]
fn whiteouts_hide_what_is_below_and_never_what_is_beside() {
    let yard = Yard::new();
    yard.unpack(&[
        file("d/.wh.gone", ""),
        file("d/first", "kept"),
        file("d/.wh.first", ""),
        file("d/.wh.second", ""),
        file("d/second", "kept"),
        file("d/.wh.sub", ""),
        file("d/sub/deep/file", "new"),
        dir("d/later", 0o755),
        file("d/.wh.later", ""),
        file("o/.wh.x", ""),
        file("o/kept", "1"),
        file("o/.wh..wh..opq", ""),
        file("o/.wh.y", ""),
        file("o/p/.wh.z", ""),
        file("o/p/kept", "1"),
        file(".wh..wh.plnk/1", "aufs"),
        file(".wh..wh.aufs", "aufs"),
    ])
    .unwrap();
    assert!(yard.is_whiteout("d/gone"));
    assert_eq!(
        (
            yard.text("d/first"),
            yard.text("d/second"),
            yard.text("d/sub/deep/file")
        ),
        ("kept".into(), "kept".into(), "new".into())
    );
    assert!(yard.is_opaque("d/sub") && yard.is_opaque("d/later") && yard.is_opaque("o") && !yard.is_opaque("d"));
    assert!(!yard.exists("o/x") && !yard.exists("o/y") && yard.exists("o/kept"));
    // The kernel merges nothing into what is below an opaque directory, so it would list a whiteout there as a broken name.
    assert!(!yard.exists("o/p/z") && yard.exists("o/p/kept"));
    let names: Vec<_> = listing(&yard.root())
        .into_iter()
        .filter(|line| line.contains(".wh."))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn what_replaces_what() {
    let yard = Yard::new();
    let symlink = |path: &str, target: &str| link(Kind::Symlink, path, target);
    yard.unpack(&[
        file("a", "file"),
        dir("a", 0o755),
        file("a/in", "x"),
        dir("b", 0o755),
        file("b/in/deep", "x"),
        file("b", "now a file"),
        dir("real", 0o755),
        file("real/x", "old"),
        symlink("c", "real"),
        dir("c", 0o700),
        file("c/y", "y"),
        dir("d", 0o700),
        file("d/keep", "k"),
        dir("d", 0o750),
        file("e", "one"),
        file("e", "two"),
        file("f", "f"),
        symlink("f", "e"),
        file("g", "g"),
        link(Kind::Hardlink, "g", "e"),
        link(Kind::Hardlink, "h", "h"),
        file("h", "h"),
        link(Kind::Hardlink, "late", "zz"),
        file("zz", "z"),
        symlink("s", "nowhere"),
        link(Kind::Hardlink, "s2", "/s"),
    ])
    .unwrap();
    assert_eq!(
        (yard.text("a/in"), yard.text("b"), yard.text("e"), yard.text("late")),
        ("x".into(), "now a file".into(), "two".into(), "z".into())
    );
    assert!(!yard.exists("real/y") && yard.text("c/y") == "y");
    let mode = std::fs::metadata(yard.root().join("d")).unwrap().mode() & 0o7777;
    assert_eq!((mode, yard.text("d/keep")), (0o750, "k".into()));
    assert_eq!(
        std::fs::metadata(yard.root().join("g")).unwrap().ino(),
        std::fs::metadata(yard.root().join("e")).unwrap().ino()
    );
    assert_eq!(std::fs::symlink_metadata(yard.root().join("s2")).unwrap().nlink(), 2);
}

#[test]
fn links_as_parents_lead_within_the_root() {
    let yard = Yard::new();
    let symlink = |path: &str, target: &str| link(Kind::Symlink, path, target);
    let record = yard
        .unpack(&[
            dir("run", 0o755),
            symlink("var/run", "/run"),
            file("var/run/x", "1"),
            symlink("lib", "usr/lib"),
            file("lib/y", "2"),
            symlink("up", "../../../run"),
            file("up/z", "3"),
            dir("usr", 0o711),
        ])
        .unwrap();
    assert_eq!(
        (yard.text("run/x"), yard.text("usr/lib/y"), yard.text("run/z")),
        ("1".into(), "2".into(), "3".into())
    );
    assert_eq!(record.implied, ["usr/lib", "var"]);
    let looped = [symlink("a", "b"), symlink("b", "a"), file("a/x", "")];
    assert!(Yard::new().unpack(&looped).is_err());
}

/// The path of an entry is followed once: what that made, and the link then takes the place of, does not come back.
#[test]
fn a_late_link_takes_the_place_of_a_directory_made_on_its_way() {
    let entries = [
        link(Kind::Symlink, "way", "made/.."),
        link(Kind::Hardlink, "way/made", "late"),
        file("late", "1"),
    ];
    let yard = Yard::new();
    let record = yard.unpack(&entries).unwrap();
    assert_eq!((yard.text("made"), record.implied.len()), ("1".into(), 0));
    assert!(crate::images::fuzzing::judged(&entries));
}

#[test]
fn a_late_link_gives_way_to_what_comes_after_it() {
    let hard = |path: &str, target: &str| link(Kind::Hardlink, path, target);
    let targets = [file("x", "x"), file("y", "y")];
    let tree = |entries: &[(Entry, Vec<u8>)]| {
        let entries = [entries, &targets].concat();
        assert!(crate::images::fuzzing::judged(&entries));
        let yard = Yard::new();
        let record = yard.unpack(&entries).unwrap();
        (yard, record)
    };
    // The last of two links of one name counts, whether or not its target is of this layer.
    let (yard, record) = tree(&[hard("h", "x"), hard("h", "y")]);
    assert_eq!((yard.text("h"), record.links.len()), ("y".into(), 0));
    let (yard, record) = tree(&[hard("h", "x"), hard("h", "below")]);
    assert!(!yard.exists("h"));
    assert_eq!(record.links, [("h".to_owned(), "below".to_owned())].into());
    // What takes the place of a directory takes that of all that was to be in it.
    let (yard, _) = tree(&[hard("d/h", "x"), file("d", "a file")]);
    assert_eq!(yard.text("d"), "a file");
    let (yard, _) = tree(&[hard("d/h", "x"), file("d", ""), dir("d", 0o755)]);
    assert!(!yard.exists("d/h"));
    let (yard, _) = tree(&[dir("e", 0o755), hard("d/h", "x"), link(Kind::Symlink, "d", "e")]);
    assert!(!yard.exists("e/h"));
}

#[test]
fn links_to_links_take_no_longer_than_files() {
    let chain = |count: usize, last: &str| {
        let links = (0..count).map(|n| link(Kind::Hardlink, &format!("h{n:05}"), &format!("h{:05}", n + 1)));
        let end = [link(Kind::Hardlink, &format!("h{count:05}"), last), file("last", "1")];
        links.chain(end).collect::<Vec<_>>()
    };
    let yard = Yard::new();
    yard.unpack(&chain(40, "last")).unwrap();
    assert_eq!(yard.text("h00000"), "1");
    let error = Yard::new().unpack(&chain(10_000, "last")).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{error}");
    // Those that lead to a layer below are made where the layers meet.
    assert_eq!(Yard::new().unpack(&chain(10_000, "below")).unwrap().links.len(), 10_001);
}

#[test]
fn a_directory_named_through_a_link_has_the_attributes_it_was_given_last() {
    let yard = Yard::new();
    let record = yard
        .unpack(&[
            file("real/deep/x", "1"),
            link(Kind::Symlink, "link", "real"),
            dir("link/deep", 0o700),
            dir("real/twice", 0o711),
            dir("link/twice", 0o750),
        ])
        .unwrap();
    let mode = |path: &str| std::fs::metadata(yard.root().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("real/deep"), mode("real/twice")), (0o700, 0o750));
    assert_eq!(record.implied, ["real"]);
}

#[test]
fn many_files_come_out_as_if_one_after_the_other_had_been_made() {
    let yard = Yard::new();
    let mut entries = Vec::new();
    for round in 0..3 {
        for n in 0..3000 {
            entries.push(file(&format!("d{}/f{n}", n % 7), &format!("{round} {n}")));
        }
    }
    // Each of these depends on a file that may still be under way.
    entries.extend([
        file("a", "file"),
        link(Kind::Hardlink, "a2", "a"),
        file("b", "file"),
        dir("b", 0o700),
        file("b/in", "x"),
        file("c", "one"),
        link(Kind::Symlink, "c", "a"),
        file("c", "two"),
        file(".wh.d", ""),
        file("d", "kept"),
        file("e", "kept"),
        file(".wh.e", ""),
        link(Kind::Symlink, "alias", "d1"),
        file("alias/f1", "last"),
    ]);
    yard.unpack(&entries).unwrap();
    for n in [0, 2, 2999] {
        assert_eq!(yard.text(&format!("d{}/f{n}", n % 7)), format!("2 {n}"));
    }
    let texts = ["a2", "b/in", "c", "d", "e", "d1/f1"].map(|path| yard.text(path));
    assert_eq!(texts, ["file", "x", "two", "kept", "kept", "last"]);
    assert!(!yard.is_whiteout("d") && !yard.is_whiteout("e"));
    let below_a_file = [file("x", "file"), file("x/y", "below")];
    assert_eq!(
        Yard::new().unpack(&below_a_file).unwrap_err().kind(),
        crate::error::Kind::Corrupt
    );
}

#[test]
fn new_files_have_their_mode_and_owner_whatever_the_place_gives_them() {
    let yard = Yard::new();
    // The group of a directory with this bit goes to all that is made in it.
    nix::unistd::chown(&yard.root(), None, Some(77.into())).unwrap();
    std::fs::set_permissions(yard.root(), std::fs::Permissions::from_mode(0o2770)).unwrap();
    let modes = [0o644, 0o666, 0o4755, 0o000, 0o777];
    let entries: Vec<_> = modes
        .iter()
        .map(|mode| {
            (
                Entry::new(format!("f{mode:o}").into_bytes(), Kind::Regular, *mode),
                vec![],
            )
        })
        .collect();
    yard.unpack(&entries).unwrap();
    for mode in modes {
        let status = std::fs::metadata(yard.root().join(format!("f{mode:o}"))).unwrap();
        assert_eq!((status.mode() & 0o7777, status.uid(), status.gid()), (mode, 0, 0));
    }
}

#[test]
fn attributes_survive_in_full() {
    let yard = Yard::new();
    let capability = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let with = |(entry, data): (Entry, Vec<u8>), mode, owner, mtime: Mtime| {
        (
            Entry {
                mode,
                uid: owner,
                gid: owner + 1,
                mtime,
                ..entry
            },
            data,
        )
    };
    let time = Mtime {
        seconds: -5,
        nanos: 123_456_789,
    };
    let mut capable = with(file("d/su", "x"), 0o6755, 10, time);
    capable.0.xattrs = vec![
        (b"security.capability".to_vec(), capability.clone()),
        (b"user.a".to_vec(), vec![0, 255]),
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"security.selinux".to_vec(), b"s".to_vec()),
    ];
    let mut device = with((Entry::new(b"d/dev".to_vec(), Kind::Block, 0), vec![]), 0o660, 20, time);
    device.0.device = (8, 300);
    yard.unpack(&[
        with(dir("d", 0), 0o2555, 3, time),
        capable,
        device,
        with(
            (Entry::new(b"d/fifo".to_vec(), Kind::Fifo, 0), vec![]),
            0o604,
            4,
            Mtime::default(),
        ),
        with(link(Kind::Symlink, "d/link", "gone"), 0o777, 3_000_000_000, time),
        with(dir("./", 0), 0o751, 6, time),
    ])
    .unwrap();
    let lines: Vec<String> = listing(&yard.root())
        .into_iter()
        .map(|line| line.split(" sha").next().unwrap().trim().to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "d 42555 3:4 2 (-5, 123456789) 0",
            "d/dev 60660 20:21 1 (-5, 123456789) 92c",
            "d/fifo 10604 4:5 1 (0, 0) 0",
            "d/link 120777 3000000000:3000000001 1 (-5, 123456789) 0",
            "d/su 106755 10:11 1 (-5, 123456789) 0",
        ]
        .map(|line| if line.contains("/dev") {
            lines[1].clone()
        } else {
            line.to_owned()
        })
    );
    assert_eq!(
        std::fs::symlink_metadata(yard.root().join("d/dev")).unwrap().rdev(),
        nix::sys::stat::makedev(8, 300)
    );
    let root = std::fs::metadata(yard.root()).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.mtime()), (0o751, 6, -5));
    let su = std::fs::File::open(yard.root().join("d/su")).unwrap();
    let names = crate::sys::file::xattr_names(su.as_fd()).unwrap();
    let kept = [c"security.capability", c"user.a", c"user.overlay.opaque"];
    assert_eq!(names, kept.map(std::ffi::CStr::to_owned));
    assert_eq!(
        crate::sys::file::xattr(su.as_fd(), c"security.capability").unwrap(),
        Some(capability)
    );
}

#[test]
fn long_deep_and_odd_names() {
    let long = "n".repeat(256);
    assert_eq!(
        Yard::new().unpack(&[file(&long, "")]).unwrap_err().kind(),
        crate::error::Kind::Corrupt
    );
    let link_of_that_name = link(Kind::Hardlink, &long, "in/a/layer/below");
    assert_eq!(
        Yard::new().unpack(&[link_of_that_name]).unwrap_err().kind(),
        crate::error::Kind::Corrupt
    );
    for target in [long.clone(), format!("{long}/b")] {
        let link_to_that_name = link(Kind::Hardlink, "a", &target);
        assert_eq!(Yard::new().unpack(&[link_to_that_name]).unwrap().links.len(), 1);
    }
    let deep = "d/".repeat(2000) + "f";
    let yard = Yard::new();
    yard.unpack(&[file(&deep, "x")]).unwrap();
    let mut odd = file("x", "odd");
    odd.0.path = b"\xff\n\x01".to_vec();
    Yard::new().unpack(&[odd]).unwrap();
}

/// CVE-2025-47290. Threads exchange directories of the layer for links that lead out, in one step each, while entries of every kind go
/// into them.
#[test]
fn s07_a_parent_swapped_for_a_link_during_unpack() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const DIRS: usize = 8;
    let mut entries = Vec::new();
    for n in 0..3000 {
        let (here, there) = (n % DIRS, (n + 1) % DIRS);
        entries.push(match n / DIRS % 8 {
            0 => dir(&format!("d{here}"), 0o700),
            1 => link(Kind::Hardlink, &format!("d{here}/h{n}"), &format!("d{there}/secret")),
            2 => link(Kind::Symlink, &format!("d{here}/secret"), "x"),
            3 => dir(&format!("d{here}/dir"), 0o777),
            4 => file(&format!("d{here}/.wh.secret"), ""),
            5 => file(&format!("d{here}/dir/.wh..wh..opq"), ""),
            6 => file(&format!("d{here}/dir/f{n}"), "owned"),
            _ => file(&format!("d{here}/secret"), "owned"),
        });
    }
    for up in ["", "../../../../../../../.."] {
        let yard = Yard::new();
        let outside = format!("{up}{}", yard.outside());
        let stop = AtomicBool::new(false);
        let swap = |thread: usize| {
            let link = yard.temp.path().join(format!("link{thread}"));
            std::os::unix::fs::symlink(&outside, &link).unwrap();
            for n in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                let dir = yard.root().join(format!("d{}", (n * 3 + thread) % DIRS));
                let how = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
                let here = nix::fcntl::AT_FDCWD;
                let _ = nix::fcntl::renameat2(here, &link, here, &dir, how);
            }
        };
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let swap = &swap;
                scope.spawn(move || swap(thread));
            }
            for _ in 0..5 {
                // It may fail, for its own directories are taken away; the sentinel is what counts.
                let _ = yard.unpack(&entries);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

/// The kernel's "invalid argument" is about what the layer says.
#[test]
fn attributes_the_kernel_refuses_are_the_layers_fault() {
    let mut bad = [
        file("f", "x"),
        dir("d", 0o755),
        (Entry::new(b"p".to_vec(), Kind::Fifo, 0o644), vec![]),
    ];
    for (entry, _) in &mut bad {
        entry.xattrs = vec![(b"security.capability".to_vec(), vec![1; 5])];
    }
    for entry in bad {
        let error = Yard::new().unpack(std::slice::from_ref(&entry)).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Corrupt, "{error}");
    }
}
