//! What is told of an image's files, differences and history is what its tree and other tools say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::tree::{Entry, Tree};
use crate::harness::{Hoist, Merged, Peers, inputs};

/// Loads an input and gives its ID and the tree a container of it sees.
fn load(hoist: &Hoist, archive: &str) -> (String, Tree) {
    let path = inputs::path(archive);
    let id = hoist.value(&format!(r#"image::load("{}")[0].id"#, path.display()));
    let id = id.as_str().unwrap().to_owned();
    let tree = Tree::read(&Merged::of(hoist, &id).path());
    (id, tree)
}

/// Maps of a list by their paths, without the slash they start with.
fn by_path(list: &Value) -> BTreeMap<String, &Value> {
    let path = |one: &Value| one["path"].as_str().unwrap()[1..].to_owned();
    list.as_array().unwrap().iter().map(|one| (path(one), one)).collect()
}

/// Entries of a tree below its root, those whose names are text.
fn below_root(tree: &Tree) -> BTreeMap<String, &Entry> {
    let named = tree
        .0
        .iter()
        .filter_map(|(path, entry)| Some((path.to_str()?.to_owned(), entry)));
    named.filter(|(path, _)| !path.is_empty()).collect()
}

#[test]
fn files_are_those_of_the_merged_tree() {
    let hoist = Hoist::new();
    for archive in ["layers.skopeo.oci.tar", "debian.skopeo.oci.tar"] {
        let (id, tree) = load(&hoist, archive);
        let told = hoist.value(&format!(r#"image::files("{id}", "**").filter(|f| f.path != "/")"#));
        let (told, right) = (by_path(&told), below_root(&tree));
        for (path, entry) in &right {
            let Some(file) = told.get(path) else {
                panic!("{archive}: `{path}` is not told")
            };
            let kind = match entry.kind {
                "character device" => "character",
                "block device" => "block",
                kind => kind,
            };
            assert!(
                kind.starts_with(file["kind"].as_str().unwrap()) || file["kind"] == kind,
                "{path}: {file}"
            );
            assert_eq!(file["size"], entry.size, "{path}");
            assert_eq!(
                (&file["uid"], &file["gid"]),
                (&entry.uid.into(), &entry.gid.into()),
                "{path}"
            );
            assert_eq!(file["mode"], entry.mode, "{path}");
            let target = entry.target.as_ref().map(|target| target.to_str().unwrap());
            assert_eq!(file["link"].as_str(), target, "{path}");
        }
        let made_up: Vec<_> = told.keys().filter(|path| !right.contains_key(*path)).collect();
        assert!(
            made_up.iter().all(|path| path.contains('\u{fffd}')),
            "{archive}: {made_up:?}"
        );
    }
}

#[test]
fn differences_are_those_of_the_two_trees() {
    let hoist = Hoist::new();
    let (one, two) = (
        load(&hoist, "layers.skopeo.oci.tar"),
        load(&hoist, "busybox.skopeo.oci.tar"),
    );
    for ((before_id, before), (after_id, after)) in [(&one, &two), (&two, &one)] {
        let told = hoist.value(&format!(
            r#"image::diff("{before_id}", "{after_id}").filter(|c| c.path != "/")"#
        ));
        let told = by_path(&told);
        let (before, after) = (below_root(before), below_root(after));
        let mut right: BTreeMap<String, (&str, u64)> = BTreeMap::new();
        for (path, entry) in &after {
            let timeless = |entry: &Entry| Entry {
                mtime: (0, 0),
                same_as: None,
                ..entry.clone()
            };
            let _ = match before.get(path) {
                None => right.insert(path.clone(), ("added", entry.size)),
                Some(old) if timeless(old) != timeless(entry) => right.insert(path.clone(), ("changed", entry.size)),
                Some(_) => None,
            };
        }
        // Below what is deleted nothing more is told.
        let gone = |path: &str| before.contains_key(path) && !after.contains_key(path);
        for path in before.keys().filter(|path| gone(path)) {
            let told_above = path.match_indices('/').any(|(at, _)| gone(&path[..at]));
            if !told_above {
                right.insert(path.clone(), ("deleted", 0));
            }
        }
        let told: BTreeMap<String, (&str, u64)> = told
            .iter()
            .filter(|(path, _)| !path.contains('\u{fffd}'))
            .map(|(path, change)| {
                (
                    path.clone(),
                    (change["kind"].as_str().unwrap(), change["size"].as_u64().unwrap()),
                )
            })
            .collect();
        assert_eq!(told, right);
    }
}

#[test]
fn a_history_is_dockers() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let changes = r#"["ENV A=1", "CMD [\"/bin/sh\"]"]"#;
    let (id, _) = load(&hoist, "layers.docker.tar");
    let path = peers.file("saved.tar");
    // A step without a layer among those with one. Docker's sizes have the lengths of links' targets in them, which take no space.
    let script = format!(
        r#"let c = container::create("{id}", ["true"]); let i = c.commit("example.org/told:1", #{{changes: {changes}, message: "m"}});
           image::save("example.org/told:1", "{}"); i.history().map(|h| `${{h.size > 0}} ${{h.comment}} ${{h.created_by}}`)"#,
        path.display()
    );
    let told = hoist.value(&script);
    let told: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step.as_str().unwrap().trim())
        .collect();
    let script = r#"
        docker load --quiet --input "$1" >&2
        docker history --no-trunc --human=false --format '{{.Size}} {{.Comment}} {{.CreatedBy}}' example.org/told:1"#;
    let docker = peers.docker(script, &[path.to_str().unwrap()]).success();
    let step = |line: &str| {
        let (size, words) = line.split_once(' ').unwrap();
        format!("{} {words}", size != "0").trim().to_owned()
    };
    let docker: Vec<String> = docker.stdout.lines().map(step).collect();
    assert_eq!(told, docker);
}
