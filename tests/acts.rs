//! What can be done to a store, for tests in which something goes wrong meanwhile: a kill, a power cut, a full disk.

use std::fs;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, Witness};

/// Looks at a store after something went wrong; the text says when.
type Look = Box<dyn Fn(&Hoist, &str)>;

/// An act on a store.
pub(crate) struct Act {
    /// Brings the store to where the act has all its work to do, from wherever it was left.
    pub(crate) before: String,
    pub(crate) act: String,
    /// Evaluates to true once the act is done.
    pub(crate) done: String,
    /// What else has to be true when it was done in part.
    pub(crate) look: Look,
}

impl Act {
    fn new(before: impl Into<String>, act: impl Into<String>, done: impl Into<String>) -> Act {
        Act {
            before: before.into(),
            act: act.into(),
            done: done.into(),
            look: Box::new(|_, _| {}),
        }
    }

    /// A witness who knows the store before the act and after it.
    pub(crate) fn witness(&self, hoist: &Hoist) -> Witness {
        let mut witness = Witness::default();
        for _ in 0..2 {
            hoist.eval(&self.before).success();
            witness.learn(hoist);
            hoist.eval(&self.act).success();
            witness.learn(hoist);
        }
        witness
    }
}

const CLEAR: &str = "for i in image::list(#{all: true}) { if i.used_by.is_empty() { i.remove(#{force: true}); } }";

/// A script that loads an image with all that unpacking has to do: implied directories, links, whiteouts.
fn loading(hoist: &Hoist) -> String {
    let base = layer(&[
        ("etc/", Item::Dir),
        ("etc/name", Item::File(b"base")),
        ("bin/sh", Item::File(&[7; 9000])),
        ("bin/ash", Item::Hardlink("bin/sh")),
        ("bin/hush", Item::Symlink("sh")),
        ("gone/", Item::Dir),
        ("gone/x", Item::File(b"x")),
    ]);
    let top = layer(&[
        ("etc/more", Item::File(b"implied")),
        ("etc/.wh.name", Item::File(b"")),
        ("gone/.wh..wh..opq", Item::File(b"")),
        ("pipe", Item::Fifo),
    ]);
    let path = hoist.write("image.tar", Files::docker(&[base, top], "crash:1").pack());
    format!(r#"image::load("{}");"#, path.display())
}

pub(crate) fn load(hoist: &Hoist) -> Act {
    Act::new(CLEAR, loading(hoist), r#"image::exists("crash:1")"#)
}

pub(crate) fn import(hoist: &Hoist) -> Act {
    let files = [
        ("a/b/", Item::Dir),
        ("a/b/c", Item::File(&[1; 5000])),
        ("d", Item::Symlink("a")),
    ];
    let path = hoist.write("root.tar", layer(&files));
    let import = format!(r#"image::import_tar("{}", "crash:1")"#, path.display());
    Act::new(CLEAR, import, r#"image::exists("crash:1")"#)
}

/// Of a container, which stays.
pub(crate) fn commit(hoist: &Hoist) -> Act {
    let make = r#"container::create("crash:1", ["sh"], #{name: "c"}).write_file("/etc/new", "new");"#;
    hoist.eval(&format!("{}{make}", loading(hoist))).success();
    let commit = r#"container::get("c").commit("made:1")"#;
    Act::new(CLEAR, commit, r#"image::exists("made:1")"#)
}

pub(crate) fn tag(hoist: &Hoist) -> Act {
    hoist.eval(&loading(hoist)).success();
    let act = Act::new(
        r#"image::tag("crash:1", "moved:1")"#,
        r#"image::tag("crash:1", "crash:2"); image::tag("crash:2", "moved:1"); image::untag("crash:2");"#,
        r#"!image::exists("crash:2")"#,
    );
    let look = |hoist: &Hoist, when: &str| {
        let both = r#"image::exists("crash:1") && image::exists("moved:1")"#;
        assert_eq!(hoist.value(both), true, "{when}");
    };
    Act {
        look: Box::new(look),
        ..act
    }
}

pub(crate) fn removal(hoist: &Hoist) -> Act {
    let gone = "image::list(#{all: true}).is_empty()";
    Act::new(loading(hoist), r#"image::remove("crash:1")"#, gone)
}

pub(crate) fn prune(hoist: &Hoist) -> Act {
    let before = format!(r#"{} image::untag("crash:1");"#, loading(hoist));
    Act::new(before, "image::prune()", "image::list(#{all: true}).is_empty()")
}

/// Over a file that is there.
pub(crate) fn save(hoist: &Hoist) -> Act {
    let other = import(hoist).act.replace("crash:1", "other:1");
    hoist.eval(&format!("{} {other}", loading(hoist))).success();
    let saved = hoist.root().join("saved.tar");
    let save = |name: &str| format!(r#"image::save("{name}", "{}")"#, saved.display());
    let (before, act) = (save("other:1"), save("crash:1"));
    let again = before.clone();
    let bytes = [&before, &act].map(|save| {
        hoist.eval(save).success();
        fs::read(&saved).unwrap()
    });
    let look = move |hoist: &Hoist, when: &str| {
        let found = fs::read(&saved).unwrap();
        assert!(
            bytes.contains(&found),
            "{when}: the file is neither the old one nor the new"
        );
        // Where it takes the place of another, a file has a name for a moment before that; the next one to come clears it.
        hoist.eval(&again).success();
        check_beside(hoist, when);
    };
    Act {
        look: Box::new(look),
        ..Act::new(before, act, "true")
    }
}

/// As a directory, which takes the place of none: it is there as a whole or not at all, and can be written again.
pub(crate) fn save_layout(hoist: &Hoist) -> Act {
    hoist.eval(&loading(hoist)).success();
    let id = hoist.value(r#"image::get("crash:1").id"#);
    let saved = hoist.root().join("saved.dir");
    let place = saved.display().to_string();
    let before = format!(r#"if fs::exists("{place}") {{ fs::remove("{place}", #{{recursive: true}}); }}"#);
    let act = format!(r#"image::save("crash:1", "{place}", #{{format: "oci-dir"}})"#);
    let again = format!("{before} {act}.size");
    let load = format!(r#"if fs::exists("{place}") {{ image::load("{place}")[0].id }} else {{ "absent" }}"#);
    let look = move |hoist: &Hoist, when: &str| {
        let loaded = hoist.value(&load);
        assert!(loaded == id || loaded == "absent", "{when}: {loaded}");
        hoist.eval(&again).success();
        assert_eq!(hoist.value(&load), id, "{when}: saved again");
        check_beside(hoist, when);
    };
    Act {
        look: Box::new(look),
        ..Act::new(before, act, format!(r#"fs::exists("{place}")"#))
    }
}

/// A container's files to a file.
pub(crate) fn export(hoist: &Hoist) -> Act {
    commit(hoist);
    let exported = hoist.root().join("saved.tar");
    let before = format!(r#"if fs::exists("{0}") {{ fs::remove("{0}"); }}"#, exported.display());
    let act = format!(r#"container::get("c").export_tar("{}")"#, exported.display());
    Act {
        look: Box::new(check_beside),
        ..Act::new(before, act, "true")
    }
}

/// Nothing stays beside what was saved.
fn check_beside(hoist: &Hoist, when: &str) {
    let names = fs::read_dir(hoist.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let beside: Vec<_> = names
        .filter(|name| name.to_string_lossy().starts_with(".saved"))
        .collect();
    assert!(beside.is_empty(), "{when}: {beside:?} stays beside what was saved");
}

pub(crate) fn from_host(_: &Hoist) -> Act {
    let act = r#"image::from_host("crash:1", ["/bin/true"])"#;
    Act::new(CLEAR, act, r#"image::exists("crash:1")"#)
}

/// What is made of layers for containers: attributes of implied directories, mount points, a volume's first files, the bundle.
pub(crate) fn create(hoist: &Hoist) -> Act {
    let before = format!(
        "for c in container::list(#{{all: true}}) {{ c.remove(#{{volumes: true}}); }} {CLEAR} {}",
        loading(hoist)
    );
    let create = r#"container::create("crash:1", ["sh"], #{volumes: ["crash:/bin"]})"#;
    let look = |hoist: &Hoist, when: &str| {
        let made = hoist.value("container::list(#{all: true}).map(|c| c.id)");
        let dirs = fs::read_dir(hoist.root().join("containers")).unwrap().count();
        assert_eq!(made.as_array().unwrap().len(), dirs, "{when}: {made}");
        let first = hoist.root().join("volumes/crash/sh");
        if let Ok(file) = fs::read(first) {
            assert_eq!(file, [7; 9000], "{when}: a file of a new volume");
        }
        // A container has its volume, and whose container never came to be is nowhere.
        let volumes = fs::read_dir(hoist.root().join("volumes")).into_iter().flatten().count();
        assert_eq!(volumes, dirs, "{when}: volumes");
        for name in ["hostname", "hosts", "config.json", "launch.json"] {
            for id in made.as_array().unwrap() {
                let path = hoist.root().join("containers").join(id.as_str().unwrap()).join(name);
                assert!(
                    !fs::read(&path).unwrap().is_empty(),
                    "{when}: {} is empty",
                    path.display()
                );
            }
        }
    };
    Act {
        look: Box::new(look),
        ..Act::new(before, create, "true")
    }
}

/// A container and the volume that only it uses.
pub(crate) fn removal_with_volume(hoist: &Hoist) -> Act {
    let before = format!(
        "{} if container::list(#{{all: true}}).is_empty() {{ {} }}",
        loading(hoist),
        r#"container::create("crash:1", ["sh"], #{name: "c", volumes: ["crash:/bin"]})"#
    );
    let remove = r#"container::get("c").remove(#{volumes: true})"#;
    Act::new(before, remove, "container::list(#{all: true}).is_empty()")
}
