//! Commits over real overlay marks, and the way back through the extractor.

use super::*;
use crate::images::testing::{NoHolder, Shop, dir, file, listing, tar};
use crate::images::{ChangeKind, ImportOptions, Source, diff, files, import_tar, upper_changes};
use crate::model::Pattern;
use crate::sys::file::set_xattr;
use nix::sys::stat::{Mode, SFlag, mknod};

/// A base image and an upper directory that adds, changes, deletes and replaces.
#[expect(clippy::disallowed_methods, reason = "another tool lays out the input")]
fn yard() -> (Shop, Image, PathBuf, Vec<PathBuf>) {
    let shop = Shop::new();
    let bytes = tar(&[
        dir("d", 0o755),
        file("d/gone", "1"),
        file("d/kept", "2"),
        file("d/same", "3"),
        dir("o", 0o755),
        file("o/old", "4"),
        dir("o/sub", 0o755),
        file("o/sub/x", "5"),
        file("quiet/x", "6"),
    ]);
    let source = Source::Reader(Box::new(bytes.as_slice()));
    let base = import_tar(
        &Context::new(),
        &shop.content,
        &NoHolder,
        source,
        &ImportOptions::default(),
    )
    .unwrap();
    let lowers = vec![shop.content.layer_dir(&base.layers[0].diff_id)];
    let upper = shop.path("upper");
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(&lowers[0])
        .arg(&upper)
        .status()
        .unwrap();
    assert!(status.success());
    for gone in ["d/gone", "d/kept", "o"] {
        let path = upper.join(gone);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
    }
    for whiteout in ["d/gone", "d/never"] {
        mknod(&upper.join(whiteout), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    }
    std::fs::write(upper.join("d/kept"), "changed").unwrap();
    std::fs::create_dir_all(upper.join("o/sub")).unwrap();
    std::fs::write(upper.join("o/new"), "new").unwrap();
    std::fs::hard_link(upper.join("o/new"), upper.join("o/twin")).unwrap();
    set_xattr(
        content::open_dir(&upper.join("o")).unwrap().as_fd(),
        b"trusted.overlay.opaque",
        b"y",
    )
    .unwrap();
    drop(std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap());
    (shop, base, upper, lowers)
}

/// As Linux 6.7 and newer take them: empty files with an attribute, with and without a mark of their directory.
#[test]
fn whiteouts_of_the_other_form_are_whiteouts() {
    let (shop, base, upper, lowers) = yard();
    let ctx = Context::new();
    for (gone, value) in [
        ("d/gone", &b""[..]),
        ("d/never", b""),
        ("d/same", b"y"),
        ("quiet/x", b""),
    ] {
        let path = upper.join(gone);
        std::fs::remove_file(&path).unwrap();
        let file = std::fs::File::create_new(&path).unwrap();
        set_xattr(file.as_fd(), b"trusted.overlay.whiteout", value).unwrap();
    }
    let dir = content::open_dir(&upper.join("d")).unwrap();
    set_xattr(dir.as_fd(), b"trusted.overlay.opaque", b"x").unwrap();
    let empty = std::fs::File::create_new(upper.join("d/empty")).unwrap();
    set_xattr(empty.as_fd(), b"user.x", b"").unwrap();
    let told = upper_changes(&ctx, &upper, &lowers).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|change| (change.kind, change.path.to_str().unwrap()))
        .filter(|(_, path)| path.starts_with("/d") || path.starts_with("/quiet"))
        .collect();
    assert_eq!(
        told,
        [
            (ChangeKind::Changed, "/d"),
            (ChangeKind::Added, "/d/empty"),
            (ChangeKind::Deleted, "/d/gone"),
            (ChangeKind::Changed, "/d/kept"),
            (ChangeKind::Deleted, "/d/same"),
            (ChangeKind::Changed, "/quiet"),
            (ChangeKind::Deleted, "/quiet/x"),
        ]
    );
    for squash in [false, true] {
        let options = CommitOptions {
            squash,
            ..CommitOptions::default()
        };
        let image = commit(&ctx, &shop.content, &NoHolder, Some(&base), &lowers, &upper, &options).unwrap();
        for (pattern, names) in [("d/*", &["/d/empty", "/d/kept"][..]), ("quiet/*", &[])] {
            let all = files(&ctx, &shop.content, &image, &Pattern::new(pattern).unwrap()).unwrap();
            let all: Vec<_> = all.iter().map(|entry| entry.path.to_str().unwrap()).collect();
            assert_eq!(all, names, "squash: {squash}");
        }
    }
}

#[test]
fn a_commit_tells_what_changed_and_nothing_else() {
    let (shop, base, upper, lowers) = yard();
    let ctx = Context::new();
    let shown: Vec<_> = upper_changes(&ctx, &upper, &lowers)
        .unwrap()
        .into_iter()
        .map(|c| (c.kind, c.path.to_str().unwrap().to_owned()))
        .collect();
    let expected = [
        (ChangeKind::Changed, "/d"),
        (ChangeKind::Deleted, "/d/gone"),
        (ChangeKind::Changed, "/d/kept"),
        (ChangeKind::Changed, "/o"),
        (ChangeKind::Added, "/o/new"),
        (ChangeKind::Deleted, "/o/old"),
        (ChangeKind::Changed, "/o/sub"),
        (ChangeKind::Deleted, "/o/sub/x"),
        (ChangeKind::Added, "/o/twin"),
        (ChangeKind::Added, "/socket"),
    ];
    let without_sub: Vec<_> = shown
        .iter()
        .filter(|(_, path)| !path.starts_with("/o/sub"))
        .cloned()
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .filter(|(_, path)| !path.starts_with("/o/sub"))
        .map(|(kind, path)| (kind, path.to_owned()))
        .collect();
    assert_eq!(without_sub, expected);
    let options = CommitOptions {
        changes: vec!["CMD x".into()],
        author: Some("me".into()),
        ..CommitOptions::default()
    };
    let image = commit(&ctx, &shop.content, &NoHolder, Some(&base), &lowers, &upper, &options).unwrap();
    let again = commit(&ctx, &shop.content, &NoHolder, Some(&base), &lowers, &upper, &options).unwrap();
    assert_eq!(image.layers, again.layers, "the same directory gives the same layer");
    assert_eq!(image.layers[0], base.layers[0]);
    assert_eq!(image.config().unwrap().author.as_deref(), Some("me"));
    let blob = std::fs::read(shop.content.blob_path(&image.layers[1].blob)).unwrap();
    let mut archive = tar::Archive::new(blob.as_slice());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "d/",
            "d/.wh.gone",
            "d/kept",
            "o/",
            "o/.wh..wh..opq",
            "o/new",
            "o/sub/",
            "o/twin"
        ]
    );
    let all: Vec<_> = files(&ctx, &shop.content, &image, &Pattern::new("**").unwrap())
        .unwrap()
        .into_iter()
        .map(|e| e.path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        all,
        [
            "/d", "/d/kept", "/d/same", "/o", "/o/new", "/o/sub", "/o/twin", "/quiet", "/quiet/x"
        ]
    );
    let between: Vec<_> = diff(&ctx, &shop.content, &base, &image)
        .unwrap()
        .into_iter()
        .map(|c| (c.kind, c.path.to_str().unwrap().to_owned()))
        .collect();
    assert!(
        between.contains(&(ChangeKind::Deleted, "/d/gone".into()))
            && between.contains(&(ChangeKind::Added, "/o/twin".into()))
    );
    assert!(
        !between
            .iter()
            .any(|(_, path)| path == "/d/same" || path.starts_with("/quiet"))
    );
}

#[test]
fn a_squashed_commit_is_the_merged_tree_in_one_layer() {
    let (shop, base, upper, lowers) = yard();
    let ctx = Context::new();
    let options = CommitOptions {
        squash: true,
        ..CommitOptions::default()
    };
    let image = commit(&ctx, &shop.content, &NoHolder, Some(&base), &lowers, &upper, &options).unwrap();
    assert_eq!(image.layers.len(), 1);
    let tree = listing(&shop.content.layer_dir(&image.layers[0].diff_id));
    let names: Vec<_> = tree.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "d", "d/kept", "d/same", "o", "o/new", "o/sub", "o/twin", "quiet", "quiet/x"
        ]
    );
}

#[test]
fn a_name_that_would_mean_a_deletion_is_refused() {
    let (shop, base, upper, lowers) = yard();
    std::fs::write(upper.join(".wh.d"), "").unwrap();
    let error = commit(
        &Context::new(),
        &shop.content,
        &NoHolder,
        Some(&base),
        &lowers,
        &upper,
        &CommitOptions::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Unsupported, "{error}");
    assert_eq!(std::fs::read_dir(shop.path("root/ingest")).unwrap().count(), 1);
}
