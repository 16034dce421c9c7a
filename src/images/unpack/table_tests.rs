//! Every way to write a name, with every kind of entry, one after another: nothing leaves the root, and the tree is what it should be.

use crate::images::archive::{Entry, Kind};
use crate::images::fuzzing::judged;

/// Ways to write a name. What is in braces is the path of the sentinel outside.
const NAMES: [&str; 6] = [
    "d/x",
    "../outside/secret",
    "{}/secret",
    "link/x",
    "out/secret",
    "hard/secret",
];
/// Ways to write where a link leads.
const TARGETS: [&str; 5] = ["d/f", "d/../../outside/secret", "{}/secret", "out/secret", "hard"];

/// What stands in the layer first: a directory with a file, links into it and out, and a second name of the link out.
fn before() -> Vec<(Entry, Vec<u8>)> {
    vec![
        entry("d", Kind::Directory, ""),
        entry("d/f", Kind::Regular, ""),
        entry("link", Kind::Symlink, "/d"),
        entry("out", Kind::Symlink, "{}"),
        entry("hard", Kind::Hardlink, "out"),
    ]
}

fn entry(name: &str, kind: Kind, link: &str) -> (Entry, Vec<u8>) {
    let data = if kind == Kind::Regular {
        b"data".to_vec()
    } else {
        Vec::new()
    };
    let entry = Entry {
        link: link.into(),
        size: data.len() as u64,
        ..Entry::new(name.into(), kind, 0o751)
    };
    (entry, data)
}

/// Every kind of entry under a name.
fn under(name: &str) -> Vec<(Entry, Vec<u8>)> {
    let (parent, last) = name.rsplit_once('/').unwrap();
    let mut device = entry(name, Kind::Block, "");
    device.0.device = (7, 7);
    let mut all = vec![
        entry(name, Kind::Regular, ""),
        entry(name, Kind::Directory, ""),
        device,
        entry(&format!("{parent}/.wh.{last}"), Kind::Regular, ""),
        entry(&format!("{parent}/.wh..wh..opq"), Kind::Regular, ""),
    ];
    for target in TARGETS {
        all.push(entry(name, Kind::Symlink, target));
        all.push(entry(name, Kind::Hardlink, target));
    }
    all
}

#[test]
fn all_pairs_of_names_kinds_and_targets() {
    let all: Vec<(Entry, Vec<u8>)> = NAMES.into_iter().flat_map(under).collect();
    assert_eq!(all.len(), 6 * 15);
    let mut accepted = 0;
    for first in &all {
        accepted += usize::from(judged(&[before(), vec![first.clone()]].concat()));
        for second in &all {
            accepted += usize::from(judged(&[before(), vec![first.clone(), second.clone()]].concat()));
        }
    }
    // Names that leave the root are refused; most of the rest is a layer.
    assert!(accepted > all.len() * all.len() / 3, "{accepted}");
}
