//! Line 19: what a container changed, as a layer that every tool applies alike.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::json;

use super::{at, by_tar, load};
use crate::harness::forge::Files;
use crate::harness::members::{Member, archive};
use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Hoist, Merged, Peers, inputs, tool};

/// Every kind of change, made by a container's own processes.
const CHANGES: &str = r#"
    cd /work
    echo new >added && mkdir -p new/deep && echo deep >new/deep/file
    echo changed >file
    chmod 0700 chmod-only && chown 5:6 chown-only && touch -d @7 touch-only
    cat same >same.copy && cat same.copy >same && touch -r reference same && rm same.copy
    rm gone && rm -r gone-dir
    rm -r again && mkdir again && echo three >again/three
    rm was-file && mkdir was-file && echo in >was-file/in
    rm -r was-dir && echo file >was-dir
    rm -r was-link-dir && ln -s file was-link-dir
    mv renamed renamed-to && mv renamed-dir renamed-dir-to
    echo pair >pair && ln pair pair-two && ln pair new/pair-three
    ln linked linked-new
    ln -s nowhere symlink && mkfifo fifo && mknod null c 1 3
    chmod 4755 setuid
    echo x >emptied/x && rm emptied/x emptied/y
    mkdir sticky && chmod 1777 sticky
    rm never-was 2>/dev/null || true
"#;

/// What is there before.
const BASE: &str = r#"
    mkdir /work && cd /work
    for name in file chmod-only chown-only touch-only same reference gone was-file renamed linked setuid untouched; do echo $name >$name; done
    mkdir gone-dir again was-dir was-link-dir renamed-dir emptied quiet
    for name in gone-dir/x again/one again/two was-dir/x was-link-dir/x renamed-dir/x emptied/y quiet/x; do echo $name >$name; done
    find /work -exec touch -h -d @1000000000 {} +
    chmod 0111 quiet
"#;

/// A container of an image of two layers that made its changes, under the name `c`.
fn changed(hoist: &Hoist) {
    hoist
        .script(
            r#"
            let base = container::create("busybox", ["sh", "-ec", args[0]], #{name: "base"});
            base.start(); assert::eq(base.wait(), 0); base.commit("base:1");
            let c = container::create("base:1", ["sh", "-ec", args[1]], #{name: "c", cap_add: ["MKNOD"]});
            c.start(); assert::eq(c.wait(), 0);"#,
            &[BASE, CHANGES],
        )
        .success();
    // A socket, put where the container's own process would have left it.
    let upper = hoist.value(r#"container::get("c").inspect().GraphDriver.Data.UpperDir"#);
    let work = File::open(Path::new(upper.as_str().unwrap()).join("work")).unwrap();
    UnixListener::bind(format!("/proc/self/fd/{}/socket", work.as_raw_fd())).unwrap();
}

/// The tree the container had, without what was only mounted.
fn had(hoist: &Hoist) -> Tree {
    let data = hoist.value(r#"let d = container::get("c").inspect().GraphDriver.Data; d.UpperDir + ":" + d.LowerDir"#);
    let dirs = data.as_str().unwrap().split(':').filter(|dir| !dir.contains(".init-"));
    let merged = Merged::new(&dirs.collect::<Vec<_>>().join(":"));
    Tree::read(&merged.path())
}

/// A layer has whole seconds; a socket cannot be in one.
const WRITTEN: Ignore<'_> = Ignore {
    xattrs: &[],
    paths: &["work/socket", "dev", "proc", "sys", "etc"],
    root: true,
    nanoseconds: true,
};

#[test]
fn c19_a_commit_is_the_tree_the_container_had_to_every_tool() {
    let (hoist, peers) = (Hoist::with_busybox(), Peers::new());
    changed(&hoist);
    let right = had(&hoist);
    assert_eq!(right.0[Path::new("work/socket")].kind, "socket");
    hoist.eval(r#"container::get("c").commit("changed:1").id"#).success();
    right.assert_same(&Tree::read(&Merged::of(&hoist, "changed:1").path()), WRITTEN);
    let (docker, oci) = (peers.file("docker.tar"), peers.file("oci.tar"));
    for (path, format) in [(&docker, "docker"), (&oci, "oci-archive")] {
        let save = format!(
            r#"image::save("changed:1", "{}", #{{format: "{format}"}}).size"#,
            path.display()
        );
        hoist.eval(&save).success();
    }
    for (tool, theirs) in [
        ("docker", peers.docker_trees(&[&docker])),
        ("podman", peers.podman_trees(&[&docker])),
        ("umoci", peers.umoci_trees(&[&oci])),
    ] {
        let differences = right.differences(&theirs[0], WRITTEN);
        assert!(differences.is_empty(), "{tool}:\n{}", differences.join("\n"));
    }
}

/// Both merge the directories without the kernel, whose merged tree is the one to compare with.
#[test]
fn c19_exported_and_squashed_it_is_the_tree_that_the_kernel_shows() {
    let hoist = Hoist::with_busybox();
    changed(&hoist);
    let (right, exported) = (had(&hoist), hoist.file("exported.tar"));
    let script = r#"let c = container::get("c"); c.export_tar(args[0]); c.commit("squashed:1", #{squash: true});"#;
    hoist.script(script, &[exported.to_str().unwrap()]).success();
    right.assert_same(&by_tar(&std::fs::read(exported).unwrap()), WRITTEN);
    right.assert_same(&Tree::read(&Merged::of(&hoist, "squashed:1").path()), WRITTEN);
}

#[test]
fn c19_the_same_change_gives_the_same_bytes_and_tells_nothing_more() {
    let hoist = Hoist::with_busybox();
    changed(&hoist);
    let layers = hoist.value(
        r#"let c = container::get("c"); [c.commit("one:1"), c.commit("two:1")].map(|i| i.inspect().RootFS.Layers[-1])"#,
    );
    assert_eq!(layers[0], layers[1]);
    let digest = layers[0].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let blob = std::fs::read(hoist.root().join("content/blobs/sha256").join(digest)).unwrap();
    let mut archive = tar::Archive::new(blob.as_slice());
    let (mut names, mut links) = (Vec::new(), Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        assert!(
            header.username_bytes().unwrap().is_empty() && header.groupname_bytes().unwrap().is_empty(),
            "{name}"
        );
        if let Some(records) = entry.pax_extensions().unwrap() {
            let keys: Vec<_> = records
                .map(|record| record.unwrap().key().unwrap().to_owned())
                .collect();
            assert!(
                keys.iter().all(|key| key.starts_with("SCHILY.xattr.")),
                "{name}: {keys:?}"
            );
        }
        if header.entry_type() == tar::EntryType::Link {
            links.push((
                name.clone(),
                String::from_utf8(entry.link_name_bytes().unwrap().into_owned()).unwrap(),
            ));
        }
        names.push(name);
    }
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "a name comes twice");
    let has = |name: &str| names.iter().any(|known| known == name);
    // What was not changed is not told, nor what never was, nor what cannot be.
    for name in [
        "work/untouched",
        "work/quiet/",
        "work/quiet/x",
        "work/same",
        "work/socket",
        "work/.wh.never-was",
        "tmp/",
        "work/.wh.emptied",
    ] {
        assert!(!has(name), "{name} is told: {names:?}");
    }
    for name in [
        "work/chmod-only",
        "work/chown-only",
        "work/touch-only",
        "work/.wh.gone",
        "work/.wh.gone-dir",
        "work/.wh.renamed",
        "work/linked-new",
        "work/emptied/.wh.y",
    ] {
        assert!(has(name), "{name} is not told: {names:?}");
    }
    let pair = |name: &str, first: &str| (name.to_owned(), first.to_owned());
    assert_eq!(
        links,
        [
            pair("work/linked-new", "work/linked"),
            pair("work/pair", "work/new/pair-three"),
            pair("work/pair-two", "work/new/pair-three")
        ]
    );
}

/// What overlays within a container mark is theirs: it hides nothing, and is kept where it is an attribute of a user.
#[test]
fn c04_marks_that_a_container_leaves_come_out_as_they_were_and_hide_nothing() {
    let hoist = Hoist::with_busybox();
    let attributes = [("user.overlay.opaque", "y"), ("user.x", "1")];
    let dir = attributes
        .iter()
        .fold(Member::dir("nested/"), |dir, (name, value)| dir.xattr(name, value));
    let busybox = std::fs::read(inputs::path("busybox.tar")).unwrap();
    let layers = [busybox, archive(&[dir, Member::file("nested/old", "1")])];
    load(&hoist, &Files::docker(&layers, "it:1"));
    let upper = hoist.value(
        r#"let c = container::create("it:1", ["sh", "-c", "echo 2 >/nested/new"], #{name: "c"}); c.start(); c.wait();
        c.inspect().GraphDriver.Data.UpperDir"#,
    );
    // As a process with all privileges leaves its mark: the kernel escapes it.
    let nested = Path::new(upper.as_str().unwrap()).join("nested");
    let escaped = ["-n", "trusted.overlay.overlay.opaque", "-v", "y"];
    tool(&nested, "setfattr", &[&escaped[..], &["."]].concat());
    let told = hoist.value(r#"container::get("c").diff().map(|d| `${d.kind} ${d.path}`)"#);
    assert_eq!(told, json!(["changed /nested", "added /nested/new"]));
    let (exported, saved) = (hoist.file("exported.tar"), hoist.file("saved.tar"));
    hoist
        .eval(&format!(
            r#"let c = container::get("c"); c.export_tar("{}"); c.commit("changed:1"); image::save("changed:1", "{}").size"#,
            exported.display(),
            saved.display()
        ))
        .success();
    let other = Hoist::new();
    other
        .eval(&format!(r#"image::load("{}").len()"#, saved.display()))
        .success();
    for tree in [
        Tree::read(&Merged::of(&hoist, "changed:1").path()),
        Tree::read(&Merged::of(&other, "changed:1").path()),
        by_tar(&std::fs::read(exported).unwrap()),
    ] {
        assert!(
            ["nested/old", "nested/new"]
                .iter()
                .all(|path| tree.0.contains_key(Path::new(path)))
        );
        let right = attributes.map(|(name, value)| (OsString::from(name), value.as_bytes().to_vec()));
        assert_eq!(at(&tree, "nested").xattrs, BTreeMap::from(right));
    }
}

/// Version 3 names the user whose namespace the capabilities hold in.
#[test]
fn c12_capabilities_of_a_namespace_go_in_and_out_as_they_are() {
    let hoist = Hoist::with_busybox();
    let capability = [
        1, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0x86, 1, 0,
    ];
    let file = |name: &str| {
        Member::file(name, "x")
            .mode(0o755)
            .xattr("security.capability", capability)
    };
    let busybox = std::fs::read(inputs::path("busybox.tar")).unwrap();
    let layers = [busybox, archive(&[file("same"), file("copied")])];
    load(&hoist, &Files::docker(&layers, "it:1"));
    let (exported, saved) = (hoist.file("exported.tar"), hoist.file("saved.tar"));
    hoist
        .eval(&format!(
            r#"let c = container::create("it:1", "touch -d @7 /copied"); c.start(); assert::eq(c.wait(), 0);
            c.export_tar("{}"); c.commit("next:1"); image::save("next:1", "{}").size"#,
            exported.display(),
            saved.display()
        ))
        .success();
    let other = Hoist::new();
    other
        .eval(&format!(r#"image::load("{}").len()"#, saved.display()))
        .success();
    for tree in [
        Tree::read(&Merged::of(&hoist, "next:1").path()),
        Tree::read(&Merged::of(&other, "next:1").path()),
        by_tar(&std::fs::read(exported).unwrap()),
    ] {
        assert_eq!(at(&tree, "copied").mtime, (7, 0));
        for path in ["same", "copied"] {
            let right = BTreeMap::from([(OsString::from("security.capability"), capability.to_vec())]);
            assert_eq!(at(&tree, path).xattrs, right, "{path}");
        }
    }
}
