//! Lines 1 to 18: what a layer says becomes a tree, and nothing else does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::odd::assert_as_peers;
use super::{at, by_tar, extracted, imported, load, loaded, refusal, text, tree_of};

use crate::harness::forge::Files;
use crate::harness::members::{Member, archive};
use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Hoist, Merged, program, tool};

pub(super) const ALL: Ignore<'_> = Ignore {
    xattrs: &[],
    paths: &[],
    root: true,
    nanoseconds: false,
};

#[test]
fn c01_whiteouts_hide_what_they_hide_elsewhere() {
    assert_as_peers(&["gone", "opaque", "later", ".wh."]);
}

/// The kernel takes no root for opaque; the specification makes no difference.
#[test]
fn c01_an_opaque_root_hides_all_layers_below() {
    let below = vec![Member::file("old", "1"), Member::file("both/old", "2")];
    let above = vec![
        Member::file("both/new", "3"),
        Member::opaque(""),
        Member::hardlink("link", "both/new"),
        Member::whiteout("", "old"),
    ];
    let top = vec![Member::file("top", "4"), Member::hardlink("further", "link")];
    let hoist = Hoist::new();
    let layers = [below.clone(), above.clone(), top].map(|members| archive(&members));
    let tree = loaded(&hoist, &Files::docker(&layers, "it:1"));
    let names: Vec<_> = tree.0.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["", "both", "both/new", "further", "link", "top"]);
    let told = hoist.value(r#"image::files("it:1", "**").map(|f| f.path)"#);
    assert_eq!(
        told,
        serde_json::json!(["/both", "/both/new", "/further", "/link", "/top"])
    );
    let lacking = [below, above, vec![Member::hardlink("further", "old")]].map(|members| archive(&members));
    assert_eq!(refusal(&Files::docker(&lacking, "it:1").pack()).0, "corrupt");
}

/// The directory of the image's topmost layer in the store.
fn top_layer(hoist: &Hoist, image: &str) -> PathBuf {
    let dir = hoist.value(&format!(r#"image::get("{image}").inspect().GraphDriver.Data.UpperDir"#));
    PathBuf::from(dir.as_str().unwrap())
}

#[test]
fn c02_whiteouts_lie_in_the_store_as_the_overlay_has_them() {
    let hoist = Hoist::new();
    let members = [
        Member::whiteout("a/", "gone"),
        Member::opaque("b/"),
        Member::file("b/new", ""),
    ];
    let id = load(&hoist, &Files::docker(&[archive(&members)], "it:1"));
    let tree = Tree::read(&top_layer(&hoist, &id));
    let gone = at(&tree, "a/gone");
    assert_eq!((gone.kind, gone.device), ("character device", Some((0, 0))));
    let opaque = BTreeMap::from([(OsString::from("trusted.overlay.opaque"), b"y".to_vec())]);
    assert_eq!(at(&tree, "b").xattrs, opaque);
    assert!(at(&tree, "a").xattrs.is_empty() && tree.0.keys().all(|path| !path.display().to_string().contains(".wh.")));
}

#[test]
fn c03_a_whiteout_that_hides_nothing_more_is_dropped() {
    let below = vec![
        Member::dir("opaque/"),
        Member::file("opaque/old", "1"),
        Member::dir("again/"),
        Member::file("again/old", "2"),
        Member::file("again/kept", "3"),
    ];
    let above = vec![
        Member::whiteout("opaque/", "old"),
        Member::opaque("opaque/"),
        Member::whiteout("opaque/", "never"),
        Member::whiteout("", "again"),
        Member::file("again/new", "4"),
    ];
    let tree = tree_of(&[below, above]);
    let names: Vec<_> = tree.0.keys().map(|path| path.to_str().unwrap()).collect();
    // A name that was listed and cannot be looked at would have failed the reading.
    assert_eq!(names, ["", "again", "again/new", "opaque"]);
    for members in [
        vec![Member::file("opaque", ""), Member::file("opaque/.wh..wh..opq", "")],
        vec![Member::file(".wh.", "")],
        vec![Member::file("a/.wh...", "")],
    ] {
        assert_eq!(
            refusal(&Files::docker(&[archive(&members)], "it:1").pack()).0,
            "corrupt"
        );
    }
}

/// The kernel lists the names of whiteouts in directories that only one layer has.
#[test]
fn c03_a_whiteout_that_never_hid_anything_is_not_listed() {
    let lone = || {
        vec![
            Member::dir("lone/")
                .mode(0o1750)
                .owner(3, 4)
                .mtime(5)
                .xattr("user.x", "1"),
            Member::whiteout("lone/", "never"),
            Member::file("lone/own", "1"),
            Member::whiteout("implied/deep/", "never"),
            Member::whiteout("", "nor"),
        ]
    };
    let below = vec![Member::file("other", "2"), Member::file("file", "3")];
    let replacing = vec![
        Member::whiteout("lone/", "own"),
        Member::file("file/in", "4"),
        Member::whiteout("file/", "never"),
    ];
    let own = ["", "implied", "implied/deep", "lone", "lone/own"];
    for (layers, names) in [
        (vec![lone()], &own[..]),
        (
            vec![below.clone(), lone()],
            &["", "file", "implied", "implied/deep", "lone", "lone/own", "other"],
        ),
        (
            vec![lone(), below],
            &["", "file", "implied", "implied/deep", "lone", "lone/own", "other"],
        ),
        (
            vec![vec![Member::file("file", "3")], lone(), replacing],
            &["", "file", "file/in", "implied", "implied/deep", "lone"],
        ),
        (vec![lone(), vec![Member::whiteout("", "lone")], lone()], &own),
    ] {
        let tree = tree_of(&layers);
        let found: Vec<_> = tree.0.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(found, names);
        let dir = at(&tree, "lone");
        assert_eq!(
            (dir.mode, dir.uid, dir.gid, dir.mtime, dir.xattrs.len()),
            (0o1750, 3, 4, (5, 0), 1)
        );
        let implied = at(&tree, "implied");
        assert_eq!((implied.mode, implied.mtime), (0o755, (0, 0)));
    }
}

#[test]
fn c04_marks_of_the_overlay_in_a_tar_are_no_marks() {
    let below = vec![
        Member::dir("dir/"),
        Member::file("dir/old", "1"),
        Member::file("file", "2"),
        Member::dir("from/"),
    ];
    let mark = |member: Member, name: &str, value: &str| {
        let name = |space: &str| format!("{space}.overlay.{name}");
        let member = member
            .xattr(&name("trusted"), value)
            .xattr(&name("trusted.overlay"), value);
        member.xattr(&name("user"), value)
    };
    let above = vec![
        mark(Member::dir("dir/"), "opaque", "y"),
        mark(Member::dir("moved/"), "redirect", "/from"),
        mark(Member::file("file", ""), "whiteout", ""),
        mark(Member::file("copied", "own"), "metacopy", ""),
    ];
    let tree = tree_of(&[below, above]);
    let names: Vec<_> = tree.0.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["", "copied", "dir", "dir/old", "file", "from", "moved"]);
    for (path, name) in [
        ("copied", "metacopy"),
        ("dir", "opaque"),
        ("file", "whiteout"),
        ("moved", "redirect"),
    ] {
        let kept: Vec<_> = at(&tree, path).xattrs.keys().collect();
        assert_eq!(kept, [format!("user.overlay.{name}").as_str()], "{path}");
    }
    assert_eq!(at(&tree, "copied").content, text("own"));
}

#[test]
fn c06_directories_that_only_paths_tell_of_look_as_they_did() {
    assert_as_peers(&["implied"]);
    let below = vec![Member::dir("a/").mode(0o1711).owner(3, 4).mtime(5).xattr("user.x", "1")];
    let tree = tree_of(&[below, vec![Member::file("a/b/c", "")], vec![Member::file("a/b/d", "")]]);
    let a = at(&tree, "a");
    assert_eq!(
        (a.mode, a.uid, a.gid, a.mtime, a.xattrs.len()),
        (0o1711, 3, 4, (5, 0), 1)
    );
    let b = at(&tree, "a/b");
    assert_eq!((b.mode, b.uid, b.gid, b.mtime), (0o755, 0, 0, (0, 0)));
}

#[test]
fn c07_a_link_of_a_layer_below_gives_way_to_a_directory_as_elsewhere() {
    assert_as_peers(&["lib", "usr/lib"]);
    // Within one layer the link is followed, in the layer's own root.
    let tree = tree_of(&[vec![
        Member::symlink("var/run", "/run"),
        Member::file("var/run/x", "1"),
        Member::symlink("up", "../../../run"),
        Member::file("up/y", "2"),
    ]]);
    assert_eq!(at(&tree, "run/x").content, text("1"));
    assert_eq!(at(&tree, "run/y").content, text("2"));
    assert_eq!(at(&tree, "var/run").kind, "symlink");
}

#[test]
fn c05_what_replaces_what_is_as_elsewhere() {
    assert_as_peers(&["over"]);
}

#[test]
fn c08_hard_links_are_as_elsewhere() {
    assert_as_peers(&["kinds/hardlink", "third"]);
}

#[test]
fn c09_types_and_names_are_as_elsewhere() {
    assert_as_peers(&["kinds", "names", "sparse"]);
}

/// Docker refuses both, as Go's reader does; tar does not.
#[test]
fn c09_contiguous_and_old_sparse_files_are_as_tar_has_them() {
    // Data of 512 bytes and of four, then a hole to the end.
    let map = b"00000000000\x0000000001000\x0000000012000\x0000000000004\x0000000021450\x0000000000000\0";
    let sparse = Member::new(b'S', "sparse")
        .gnu()
        .content([&[b'd'; 512][..], b"data"].concat())
        .patch(386, map)
        .patch(483, b"00000021450\0");
    let tarball = archive(&[
        Member::new(b'7', "contiguous").content("7"),
        Member::new(0, "v7-dir/").v7().mode(0o700),
        Member::file("v7-dir/in", "in").v7(),
        sparse,
    ]);
    let tree = imported(&tarball);
    by_tar(&tarball).assert_same(&tree, ALL);
    assert_eq!(at(&tree, "sparse").size, 9000);
}

/// A tree with all that some dialects can hold and others cannot.
fn everything(dir: &Path) {
    let long = "d".repeat(90);
    let script = format!(
        r#"
        mkdir -p all/{long}/{long}/{long} all/closed && cd all
        echo plain >plain && chmod 4755 plain && ln plain hard && ln -s plain soft && ln -s /{long}/{long} far
        echo deep >{long}/{long}/{long}/file && echo odd >"$(printf 'odd\nname \377')" && : >empty
        truncate -s 5M holes && printf x | dd of=holes bs=1 seek=3000000 conv=notrunc status=none
        mkfifo fifo && mknod null c 1 3 && mknod block b 7 200
        echo owned >owned && chown 70000:80000 owned && echo far-owned >far-owned && chown 3000000000:3000000001 far-owned
        touch -d @1234567890.987654321 plain && touch -d @0 empty && touch -h -d 2100-01-01 soft
        touch -d 1960-01-01T00:00:00Z owned
        echo in >closed/in && chmod 0555 closed && touch -d @1111111111 closed"#
    );
    tool(dir, "sh", &["-euc", &script]);
}

#[test]
fn c09_every_dialect_is_as_its_writer_reads_it() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    everything(dir.path());
    for (program, formats) in [
        ("tar", &["v7", "oldgnu", "gnu", "ustar", "posix"][..]),
        ("bsdtar", &["v7", "ustar", "gnutar", "pax", "restricted"]),
    ] {
        for format in formats {
            let path = dir.path().join("it.tar");
            // What a dialect cannot hold is left out with a complaint and a bad exit; what counts is what was written.
            let script = r#""$1" --format "$2" $3 --create --file it.tar all 2>/dev/null || test -s it.tar"#;
            let sparse = if *format == "gnu" || *format == "posix" {
                "--sparse"
            } else {
                ""
            };
            tool(dir.path(), "sh", &["-euc", script, "sh", program, format, sparse]);
            let tarball = std::fs::read(&path).unwrap();
            let theirs = extracted(&tarball, program, &["--numeric-owner", "-p"]);
            let differences = theirs.differences(&imported(&tarball), ALL);
            assert!(
                differences.is_empty(),
                "{program} {format}:\n{}",
                differences.join("\n")
            );
        }
    }
}

#[test]
fn c09_numbers_too_large_for_octal_are_read() {
    let time = |bytes: &[u8; 12]| Member::file("time", "").patch(136, bytes);
    let tree = imported(&archive(&[
        Member::file("owner", "")
            .patch(108, b"\x80\0\0\0\xb2\xd0\x5e\0")
            .patch(116, b"\x80\0\0\0\xee\x6b\x28\0"),
        Member::file("size", "abc").patch(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x03"),
        time(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"),
        Member::device(b'3', "device", 0, 0)
            .patch(329, b"\x80\0\0\0\0\0\x0f\xff")
            .patch(337, b"\x80\0\0\0\0\x0f\xff\xff"),
    ]));
    assert_eq!(
        (at(&tree, "owner").uid, at(&tree, "owner").gid),
        (3_000_000_000, 4_000_000_000)
    );
    assert_eq!(at(&tree, "size").content, text("abc"));
    assert_eq!(at(&tree, "time").mtime, (-2, 0));
    assert_eq!(at(&tree, "device").device, Some((4095, 1_048_575)));
}

#[test]
fn c09_what_no_layer_can_hold_is_refused_by_name() {
    let one = |member: Member| Files::docker(&[archive(&[member])], "it").pack();
    for flag in *b"ADIMNVXZs8" {
        let (kind, message) = refusal(&one(Member::new(flag, "odd")));
        assert_eq!(kind, "unsupported", "{}: {message}", flag.escape_ascii());
        assert!(
            message.contains("`odd`") && message.contains(char::from(flag)),
            "{message}"
        );
    }
    let bad = [
        ("major", Member::device(b'3', "odd", 4096, 0)),
        ("minor", Member::device(b'4', "odd", 0, 1 << 20)),
        (
            "device",
            Member::new(b'3', "odd").patch(329, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
        (
            "size",
            Member::file("odd", "").patch(124, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
        ("user", Member::file("odd", "").pax("uid", "4294967295")),
        ("user", Member::file("odd", "").pax("gid", "-1")),
        ("extended", Member::file("odd", "").pax("path", "a\0b")),
        ("lone", Member::new(b'x', "odd").content("3 a\n")),
    ];
    for (what, member) in bad {
        assert_eq!(refusal(&one(member)).0, "corrupt", "{what}");
    }
}

#[test]
fn c10_attributes_are_as_elsewhere() {
    assert_as_peers(&["attributes", "closed"]);
}

/// A setuid file with capabilities and another owner has all three only if they are set in the right order.
#[test]
fn c10_no_attribute_undoes_another() {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let file = Member::file("su", "x")
        .mode(0o6755)
        .owner(7, 8)
        .xattr("security.capability", capability);
    let tarball = archive(&[
        file,
        Member::dir("closed/").mode(0o2555).owner(5, 6).mtime(1),
        Member::file("closed/in", "in").mode(0),
        Member::symlink("closed/link", "in").owner(9, 9).mtime(2),
    ]);
    let tree = imported(&tarball);
    let su = at(&tree, "su");
    assert_eq!((su.mode, su.uid, su.gid), (0o6755, 7, 8));
    assert_eq!(
        su.xattrs,
        BTreeMap::from([(OsString::from("security.capability"), capability.to_vec())])
    );
    let closed = at(&tree, "closed");
    assert_eq!((closed.mode, closed.uid, closed.mtime), (0o2555, 5, (1, 0)));
    assert_eq!(
        (at(&tree, "closed/link").uid, at(&tree, "closed/link").mtime),
        (9, (2, 0))
    );
    by_tar(&tarball).assert_same(&tree, ALL);
}

/// Without the power to write where the mode forbids it: directories get their mode when they are full.
#[test]
fn c10_directories_that_may_not_be_written_are_filled() {
    let hoist = Hoist::new();
    let tarball = hoist.write(
        "it.tar",
        archive(&[
            Member::dir("a/").mode(0o555),
            Member::dir("a/b/").mode(0),
            Member::file("a/b/c", "deep").mode(0),
            Member::file("a/b/c/../d", "d"),
        ]),
    );
    let inner = hoist.command(&[
        "eval",
        &format!(r#"image::import_tar("{}", "it").size"#, tarball.display()),
    ]);
    let mut limited = program("setpriv");
    limited.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
    inner.under(limited).output().success().stdout_is("5");
    let tree = Tree::read(&Merged::of(&hoist, "it").path());
    assert_eq!((at(&tree, "a").mode, at(&tree, "a/b").mode), (0o555, 0));
    assert_eq!(at(&tree, "a/b/c").content, text("deep"));
}

/// To open a FIFO is to wait for its other end; to open a device that has no driver is to fail.
#[test]
fn c10_what_is_no_file_is_never_opened() {
    let tree = imported(&archive(&[
        Member::fifo("fifo").mode(0o1604).owner(1, 2).mtime(3),
        Member::device(b'3', "char", 4095, 1).mode(0o4640).owner(4, 5).mtime(6),
        Member::device(b'4', "block", 4095, 2).mode(0o222).owner(7, 8).mtime(9),
    ]));
    for (path, mode, owner, time) in [
        ("fifo", 0o1604, (1, 2), 3),
        ("char", 0o4640, (4, 5), 6),
        ("block", 0o222, (7, 8), 9),
    ] {
        let entry = at(&tree, path);
        assert_eq!(
            (entry.mode, (entry.uid, entry.gid), entry.mtime),
            (mode, owner, (time, 0)),
            "{path}"
        );
    }
}

#[test]
fn c11_times_are_as_elsewhere() {
    assert_as_peers(&[
        "attributes/nanos",
        "attributes/zero",
        "attributes/future",
        "attributes/symlink",
        "kinds",
    ]);
}

/// Docker and Podman make 1970 of every time before it; tar and umoci keep it, and so does Hoist. (What bsdtar writes for a fraction
/// of a second before 1970 only bsdtar reads: there it counts forward from the second, against POSIX.)
#[test]
fn c11_times_before_the_epoch_and_beyond_all_bounds() {
    let file = |name: &str, time: &str| Member::file(name, "").pax("mtime", time);
    let tarball = archive(&[
        file("negative", "-1.25"),
        file("half", "-0.5"),
        file("old", "-2147483648"),
        file("cut", "7.9999999999"),
        file("bare", "8."),
        Member::dir("dir/").pax("mtime", "-3.000000001"),
        file("dir/in", "1"),
    ]);
    let tree = imported(&tarball);
    by_tar(&tarball).assert_same(&tree, ALL);
    assert_eq!(at(&tree, "negative").mtime, (-2, 750_000_000));
    // What the file system cannot hold becomes the next it can, as utimensat(2) has it.
    let tree = imported(&archive(&[
        file("first", "-9223372036854775807"),
        file("last", "9223372036854775807"),
    ]));
    assert!(at(&tree, "first").mtime.0 < 0 && at(&tree, "last").mtime.0 > 4_102_444_800);
    let (kind, _) = refusal(&Files::docker(&[archive(&[file("x", "9223372036854775808")])], "it").pack());
    assert_eq!(kind, "corrupt");
}

#[test]
fn c12_extended_attributes_are_as_elsewhere() {
    assert_as_peers(&[
        "attributes/xattr",
        "attributes/setuid",
        "attributes",
        "over/xattr",
        "over/dir",
    ]);
}

/// bsdtar writes attributes in base64 and access control lists as text, GNU tar both in star's way.
#[test]
fn c12_attributes_and_access_control_lists_of_bsdtar_and_tar_come_out_as_they_went_in() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let script = r#"
        mkdir all && cd all && echo x >file && mkdir dir && ln -s file link
        setfattr -n user.binary -v 0x000a3dff file && setfattr -n 'user.odd name' -v x file && setfattr -n user.dir -v d dir
        setfacl -m u:1234:rwx,u:0:r--,g:55:-wx,m::rw- file
        setfacl -m u:70000:r-x -d -m u:7:rwx,g:8:---,o::r-- dir"#;
    tool(dir.path(), "sh", &["-euc", script]);
    let right = Tree::read(&dir.path().join("all"));
    assert!(
        right.0[Path::new("dir")].xattrs.len() == 3,
        "the file system has no access control lists"
    );
    for writer in [
        "bsdtar --format pax --acls --xattrs --numeric-owner",
        "tar --format posix --acls --xattrs --numeric-owner",
    ] {
        let script = format!("{writer} --create --file it.tar --directory all .");
        tool(dir.path(), "sh", &["-euc", &script]);
        let tarball = std::fs::read(dir.path().join("it.tar")).unwrap();
        let differences = right.differences(&imported(&tarball), ALL);
        assert!(differences.is_empty(), "{writer}:\n{}", differences.join("\n"));
    }
}

#[test]
fn c12_attributes_of_the_host_and_the_kernel_do_not_come_from_a_layer() {
    let names = [
        "security.selinux",
        "security.ima",
        "trusted.overlay.opaque",
        "trusted.overlay.overlay.opaque",
        "trusted.x",
        "system.x",
    ];
    let marked = |member: Member| {
        names
            .iter()
            .fold(member.xattr("user.kept", "1"), |member, name| member.xattr(name, "y"))
    };
    let below = vec![
        Member::dir("dir/"),
        Member::file("dir/below", "1"),
        Member::file("file", "1"),
    ];
    let tree = tree_of(&[
        below,
        vec![marked(Member::dir("dir/")), marked(Member::file("file", "2"))],
    ]);
    for path in ["dir", "file"] {
        assert_eq!(
            at(&tree, path).xattrs.keys().collect::<Vec<_>>(),
            ["user.kept"],
            "{path}"
        );
    }
    assert_eq!(at(&tree, "dir/below").content, text("1"));
}

/// The kernel lets only files and directories have `user.*`; the rest is of use without.
#[test]
fn c12_attributes_that_a_type_cannot_have_are_left_out() {
    let tree = imported(&archive(&[
        Member::symlink("link", "x").xattr("user.a", "1"),
        Member::fifo("fifo").xattr("user.a", "1"),
        Member::device(b'3', "null", 1, 3).xattr("user.a", "1"),
    ]));
    assert!(
        ["link", "fifo", "null"]
            .iter()
            .all(|path| at(&tree, path).xattrs.is_empty())
    );
}

#[test]
fn c13_the_root_is_as_elsewhere() {
    assert_as_peers(&[".: "]);
}

#[test]
fn c13_the_root_takes_attributes_and_never_another_type() {
    let root = |layers: &[Vec<Member>]| {
        let tree = tree_of(layers);
        let root = at(&tree, "");
        (root.mode, root.uid, root.gid, root.mtime.0)
    };
    let file = vec![Member::file("a", "")];
    assert_eq!(root(&[file]), (0o755, 0, 0, 0));
    for name in ["./", ".", "/", "//", "a/.."] {
        let entry = Member::dir(name).mode(0o1711).owner(3, 4).mtime(5);
        assert_eq!(root(&[vec![entry, Member::file("a", "")]]), (0o1711, 3, 4, 5), "{name}");
    }
    // A layer that does not speak of the root leaves it to the container as it is.
    let layers = [
        vec![Member::dir("./").mode(0o1711).owner(3, 4).mtime(5)],
        vec![Member::file("a", "")],
    ];
    let hoist = Hoist::new();
    let id = load(&hoist, &Files::docker(&layers.map(|members| archive(&members)), "it:1"));
    let dirs = hoist.value(&format!(
        r#"container::create("{id}", ["true"]).inspect().GraphDriver.Data.LowerDir"#
    ));
    let top = Tree::read(Path::new(dirs.as_str().unwrap().split(':').next().unwrap()));
    let found = at(&top, "");
    assert_eq!((found.mode, found.uid, found.gid, found.mtime), (0o1711, 3, 4, (5, 0)));
    let others = [
        Member::file("./", ""),
        Member::symlink(".", "/etc"),
        Member::symlink("/", "/etc"),
        Member::hardlink("a/..", "a"),
        Member::fifo("./"),
        Member::device(b'3', ".", 1, 3),
    ];
    for member in others {
        let shown = format!("{member:?}");
        let pack = Files::docker(&[archive(&[Member::file("a", ""), member])], "it").pack();
        assert_eq!(refusal(&pack).0, "corrupt", "{shown}");
    }
}

/// The specification has no two entries of one name; Docker and Podman refuse them, umoci and tar let the last count.
#[test]
fn c14_of_two_entries_of_one_name_the_last_counts() {
    let tarball = archive(&[
        Member::dir("dir/").mode(0o700),
        Member::file("dir/file", "one").mode(0o600).xattr("user.gone", "1"),
        Member::file("dir/file", "two").mode(0o640),
        Member::file("dir/now-link", "x"),
        Member::symlink("dir/now-link", "file"),
        Member::symlink("dir/was-link", "file"),
        Member::file("dir/was-link", "not through the link"),
        Member::file("dir/linked", "mine"),
        Member::hardlink("dir/linked", "dir/file"),
        Member::file("dir/was-file", ""),
        Member::dir("dir/was-file/"),
        Member::file("dir/was-file/in", "in"),
        Member::fifo("dir/fifo"),
        Member::file("dir/fifo", "no fifo"),
        Member::dir("dir/").mode(0o711).owner(3, 4).mtime(7),
    ]);
    let tree = imported(&tarball);
    by_tar(&tarball).assert_same(&tree, ALL);
    assert_eq!((at(&tree, "dir").mode, at(&tree, "dir").mtime), (0o711, (7, 0)));
    assert_eq!(at(&tree, "dir/file").content, text("two"));
}

#[test]
fn c18_owners_up_to_the_highest_are_kept() {
    let tree = imported(&archive(&[
        Member::file("half", "")
            .pax("uid", "2147483648")
            .pax("gid", "2147483649"),
        Member::file("highest", "")
            .pax("uid", "4294967294")
            .pax("gid", "4294967294"),
        Member::symlink("link", "x").pax("uid", "3000000000"),
    ]));
    let owner = |path: &str| (at(&tree, path).uid, at(&tree, path).gid);
    assert_eq!(owner("half"), (1 << 31, (1 << 31) + 1));
    assert_eq!(owner("highest"), (u32::MAX - 1, u32::MAX - 1));
    assert_eq!(owner("link"), (3_000_000_000, 0));
}

#[test]
fn c18_an_owner_that_a_user_namespace_lacks_is_named_with_the_way_out() {
    let hoist = Hoist::new();
    let tarball = hoist.write("it.tar", archive(&[Member::file("a/file", "x").owner(1234, 0)]));
    let inner = hoist.command(&[
        "eval",
        &format!(r#"image::import_tar("{}", "it").size"#, tarball.display()),
    ]);
    let mut outer = program("unshare");
    outer.args(["--user", "--map-root-user", "--"]);
    inner
        .under(outer)
        .output()
        .fails_with(1)
        .stderr_has(&["a/file", "1234", "/etc/subuid"]);
}
