//! Looks at a store from outside after something went wrong: what it lists must be whole, and nothing else may be there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Hoist;
use super::forge::sha256;
use super::tree::{Ignore, Tree};

/// What the store says of itself, once it was opened again: that nothing is wrong, and which images there are.
const ASK: &str = r#"
    let images = image::list(#{all: true}).map(|i| #{
        id: i.id, manifest: i.digest, tags: i.tags, layers: i.inspect().RootFS.Layers
    });
    #{images: images, problems: system::check().problems}
"#;

/// Knows how the layers should look that it has learnt, and what was looked at already.
#[derive(Default)]
pub(crate) struct Witness {
    layers: BTreeMap<String, Tree>,
    seen: RefCell<HashSet<(u64, i64, i64)>>,
}

impl Witness {
    /// Notes how the layers look that are there now, while all is well.
    pub(crate) fn learn(&mut self, hoist: &Hoist) {
        for name in names(&hoist.root().join("layers")) {
            if !name.contains('.') {
                let tree = read(&hoist.root().join("layers").join(&name));
                self.layers.insert(name, tree);
            }
        }
    }

    /// Trusts nothing that it looked at before.
    pub(crate) fn doubt(&self) {
        self.seen.borrow_mut().clear();
    }

    /// Opens the store and sees that all it lists is whole, and that nothing is there that it does not list. Returns how many
    /// images there are.
    #[track_caller]
    pub(crate) fn check(&self, hoist: &Hoist, when: &str) -> usize {
        let told = hoist.value(ASK);
        assert_eq!(told["problems"], serde_json::json!([]), "{when}");
        let images = told["images"].as_array().unwrap();
        assert!(hoist.staged().is_empty(), "{when}: left {:?}", hoist.staged());
        let (mut blobs, mut layers) = (BTreeSet::new(), BTreeSet::new());
        for image in images {
            blobs.extend([digits(&image["id"]), digits(&image["manifest"])]);
            blobs.extend(self.blobs_of(hoist, &digits(&image["manifest"]), when));
            layers.extend(image["layers"].as_array().unwrap().iter().map(digits));
        }
        self.check_blobs(hoist, &blobs, when);
        self.check_layers(hoist, &layers, when);
        check_index(hoist, images, when);
        assert_eq!(
            names(&hoist.run_root().join("leases")),
            BTreeSet::new(),
            "{when}: leases stay"
        );
        images.len()
    }

    /// What a manifest names.
    fn blobs_of(&self, hoist: &Hoist, manifest: &str, when: &str) -> Vec<String> {
        let bytes = fs::read(blob_path(hoist, manifest)).unwrap_or_else(|error| panic!("{when}: a manifest: {error}"));
        let manifest: Value =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{when}: a manifest: {error}"));
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| digits(&layer["digest"])).collect()
    }

    #[track_caller]
    fn check_blobs(&self, hoist: &Hoist, wanted: &BTreeSet<String>, when: &str) {
        assert_eq!(
            names(&hoist.root().join("content/blobs/sha256")),
            *wanted,
            "{when}: blobs"
        );
        for blob in wanted {
            let path = blob_path(hoist, blob);
            if self.is_new(&path) {
                assert_eq!(
                    sha256(&fs::read(path).unwrap()),
                    *blob,
                    "{when}: a blob is not what its name says"
                );
            }
        }
    }

    #[track_caller]
    fn check_layers(&self, hoist: &Hoist, wanted: &BTreeSet<String>, when: &str) {
        let dir = hoist.root().join("layers");
        let found = names(&dir);
        // What was made for a stack of layers goes with the topmost one.
        let bases: BTreeSet<String> = found
            .iter()
            .map(|name| name.split('.').next().unwrap().to_owned())
            .collect();
        assert_eq!(bases, *wanted, "{when}: layers");
        for layer in wanted {
            assert!(found.contains(layer), "{when}: the layer {layer} is not unpacked");
            let record = fs::read(dir.join(format!("{layer}.json"))).unwrap();
            serde_json::from_slice::<Value>(&record).unwrap_or_else(|error| panic!("{when}: a record: {error}"));
            if let Some(tree) = self.layers.get(layer).filter(|_| self.is_new(&dir.join(layer))) {
                let differences = tree.differences(&read(&dir.join(layer)), Ignore::default());
                assert!(differences.is_empty(), "{when}: the layer {layer}: {differences:#?}");
            }
        }
    }

    /// Whether it was not looked at before. What is in sight is never changed, but for its name.
    fn is_new(&self, path: &Path) -> bool {
        let facts = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.seen
            .borrow_mut()
            .insert((facts.ino(), facts.ctime(), facts.ctime_nsec()))
    }
}

/// `index.json` names what the store names.
#[track_caller]
fn check_index(hoist: &Hoist, images: &[Value], when: &str) {
    let bytes = fs::read(hoist.root().join("content/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{when}: index.json: {error}"));
    let mut told: Vec<String> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| digits(&entry["digest"]))
        .collect();
    let named = images
        .iter()
        .flat_map(|image| vec![digits(&image["manifest"]); image["tags"].as_array().unwrap().len()]);
    let mut named: Vec<String> = named.collect();
    told.sort();
    named.sort();
    assert_eq!(told, named, "{when}: index.json");
}

/// A layer's tree. A whiteout has no time but that of its making, which nobody sees.
fn read(layer: &Path) -> Tree {
    let mut tree = Tree::read(layer);
    let whiteouts = tree.0.values_mut().filter(|entry| entry.device == Some((0, 0)));
    whiteouts.for_each(|whiteout| whiteout.mtime = (0, 0));
    tree
}

fn blob_path(hoist: &Hoist, digits: &str) -> PathBuf {
    hoist.root().join("content/blobs/sha256").join(digits)
}

fn digits(digest: &Value) -> String {
    digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()
}

/// The names in a directory; none if it is absent.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
