//! What an image means, line by line: what other tools read and write, where they stumbled, and what Hoist therefore does.
//!
//! A test whose name starts with `cNN_` is about line NN, here or beside the code that it tests; every line has one. Where it is said
//! that something is as elsewhere, trees are compared entry by entry (type, mode, owner, size, time to the nanosecond, extended
//! attributes, link target, device number, content) with what docker, podman, umoci or tar make of the same input; what differs is
//! listed with the reason in `odd.rs` or at the test.
//!
//! **Layers** (OCI image-spec, layer.md)
//!  1. `.wh.X` hides the X of the layers below, never one beside it, whatever the order; it never appears itself; `.wh..wh..opq`
//!     hides all that is below a directory, the root too; what aufs kept for itself (`.wh..wh.plnk`) is ignored.
//!  2. In the store a whiteout is the overlay's own mark (kernel, filesystems/overlayfs.rst).
//!  3. A whiteout in an opaque directory is dropped, and one that hides nothing is not listed; a whiteout and something below it in one
//!     layer make an opaque directory.
//!  4. Marks of the overlay that come in a tar are no marks: of the kernel's own nothing comes in or goes out, of those that a
//!     container's own overlays leave (`user.overlay.*`) everything does.
//!  5. A directory over a directory keeps what is in it and takes the new attributes; anything else is replaced.
//!  6. A directory that only paths tell of looks as it did below (image-spec#737).
//!  7. A path through a symbolic link of a layer below goes where Docker has it go (moby#53258).
//!  8. Hard links: resolved in the root, to links and files of any layer, without attributes of their own.
//!  9. Every type, dialect and encoding of tar(5) and pax(1); unknown ones are refused.
//! 10. Owner, attributes, mode and time in an order in which none undoes another; FIFOs and devices are never opened.
//! 11. Times: fractions come in, whole seconds go out, before 1970 and 0 stay.
//! 12. Extended attributes as star, GNU tar and libarchive write them, access control lists as text; none of the host's.
//! 13. The root has attributes and stays a directory (CVE-2021-29136).
//! 14. Of two entries of one name the last counts; what follows an archive's end is hashed with it.
//! 15. gzip of several members (eStargz, pigz), zstd of several frames and frames to skip (zstd:chunked).
//! 16. The first bytes tell the compression.
//! 17. Digest, size and diff id of each layer are verified, and their number.
//! 18. Owners up to 2³²−2; those that a user namespace lacks are named.
//!
//! **Commits** 19. What changed and nothing else, as other tools apply it; the same change gives the same bytes.
//!
//! **Overlay** 20. Mounted with what commits need: no `redirect_dir`, no `metacopy` (moby#34342). 21. 500 layers, and more.
//!
//! **Identity** (OCI image-spec, config.md) 22. Chain ids; ids and manifest digests name an image; documents stay as received.
//! 23. History and the layers it tells of.
//!
//! **Documents** 24. Docker's and OCI's media types. 25. What could be two things is refused (CVE-2021-41190), a digest is checked
//! before it is a path (CVE-2024-3727). 26. Foreign layers. 27. The image for a platform.
//!
//! **References** 28. The grammar of `distribution/reference`.
//!
//! **Archives** 29. `docker save` of up to 24 and from 25 on, OCI archives; any order, several images, links between layers.

mod archives;
mod commit;
mod documents;
mod identity;
mod layers;
mod odd;
mod references;
mod streams;

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use crate::harness::forge::{Files, sha256};
use crate::harness::members::{Member, archive};
use crate::harness::tree::{Entry, Tree};
use crate::harness::{Hoist, Merged, tool};

#[test]
fn every_line_has_a_test() {
    let name = Regex::new(r"\bfn c(\d\d)_\w+").unwrap();
    let mut found = BTreeSet::new();
    for dir in ["src", "tests"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        let files = Tree::read(&root).0.into_keys();
        for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let text = std::fs::read_to_string(root.join(path)).unwrap();
            found.extend(name.captures_iter(&text).map(|line| line[1].parse::<u32>().unwrap()));
        }
    }
    assert_eq!(found, (1..=29).collect());
}

/// What containers see of an image of these layers.
#[track_caller]
fn tree_of(layers: &[Vec<Member>]) -> Tree {
    let layers: Vec<_> = layers.iter().map(|members| archive(members)).collect();
    let hoist = Hoist::new();
    loaded(&hoist, &Files::docker(&layers, "it:1"))
}

/// What containers see of an image of this tarball.
#[track_caller]
fn imported(tarball: &[u8]) -> Tree {
    let hoist = Hoist::new();
    let path = hoist.write("it.tar", tarball);
    hoist
        .eval(&format!(r#"image::import_tar("{}", "it").id"#, path.display()))
        .success();
    Tree::read(&Merged::of(&hoist, "it").path())
}

/// Loads the one image of an archive, and returns what containers see of it.
#[track_caller]
fn loaded(hoist: &Hoist, files: &Files) -> Tree {
    let id = load(hoist, files);
    Tree::read(&Merged::of(hoist, &id).path())
}

/// Loads the one image of an archive, and returns its ID.
#[track_caller]
fn load(hoist: &Hoist, files: &Files) -> String {
    let path = hoist.write("load.tar", files.pack());
    let id = hoist.value(&format!(r#"image::load("{}")[0].id"#, path.display()));
    id.as_str().unwrap().to_owned()
}

/// What the load of an archive throws, kind and message; nothing of it stays.
#[track_caller]
fn refusal(archive: &[u8]) -> (String, String) {
    let hoist = Hoist::new();
    let path = hoist.write("bad.tar", archive);
    let script = format!(
        r#"let r = attempt(|| image::load("{}")); if r.ok {{ [] }} else {{ [r.error.kind, r.error.message, r.error.hint] }}"#,
        path.display()
    );
    let thrown = hoist.value(&script);
    let field = |at: usize| thrown[at].as_str().unwrap_or_default();
    assert!(thrown[0].is_string(), "it was accepted");
    assert!(hoist.staged().is_empty(), "left unfinished: {:?}", hoist.staged());
    (field(0).to_owned(), format!("{} ({})", field(1), field(2)))
}

/// What `program ARGS…` extracts from a tarball.
fn extracted(tarball: &[u8], program: &str, args: &[&str]) -> Tree {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = dir.path().join("it.tar");
    std::fs::write(&path, tarball).unwrap();
    std::fs::create_dir(dir.path().join("tree")).unwrap();
    tool(
        &dir.path().join("tree"),
        program,
        &[args, &["-xf", path.to_str().unwrap()]].concat(),
    );
    Tree::read(&dir.path().join("tree"))
}

/// What GNU tar extracts, with all it knows.
fn by_tar(tarball: &[u8]) -> Tree {
    let args = [
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
        "--numeric-owner",
        "--preserve-permissions",
    ];
    extracted(tarball, "tar", &args)
}

/// What is at a path.
#[track_caller]
fn at<'a>(tree: &'a Tree, path: &str) -> &'a Entry {
    tree.0
        .get(Path::new(path))
        .unwrap_or_else(|| panic!("`{path}` is missing"))
}

/// What a file holds, as the digest that a tree has of it.
fn text(content: &str) -> Option<String> {
    Some(sha256(content.as_bytes()))
}
