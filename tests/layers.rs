//! Layers on layers: the same tree as if each had been applied to the last, however many there are, and whatever one leaves to those
//! below it.

use std::collections::BTreeMap;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Hoist, Merged, Peers, inputs, tool};

/// What a directory tree of files holds: path → content.
pub(crate) type Model = BTreeMap<String, String>;

/// Layer `n` of a tall image, and the same done to the model: files that come, change, go and are replaced by directories.
fn forged(n: usize, model: &mut Model) -> Vec<u8> {
    let text = format!("{n}\n");
    let (own, shared) = (format!("t/own/{n}"), format!("t/shared/{}", n % 40));
    let whiteout = format!("t/own/.wh.{}", n.saturating_sub(3));
    let (opaque, kept) = ("t/reset/.wh..wh..opq".to_owned(), format!("t/reset/{n}"));
    let turn = format!("t/turn/{}", n % 7);
    let below = format!("{turn}/below");
    let mut entries = vec![
        (own.as_str(), Item::File(text.as_bytes())),
        (&shared, Item::File(text.as_bytes())),
    ];
    model.insert(own.clone(), text.clone());
    model.insert(shared.clone(), text.clone());
    if n % 5 == 4 {
        entries.push((&whiteout, Item::File(b"")));
        model.remove(&format!("t/own/{}", n - 3));
    }
    if n.is_multiple_of(50) {
        entries.push((&opaque, Item::File(b"")));
        model.retain(|path, _| !path.starts_with("t/reset/"));
    }
    entries.push((&kept, Item::File(text.as_bytes())));
    model.insert(kept.clone(), text.clone());
    // A file where there was a directory, and the other way round.
    model.retain(|path, _| *path != turn && !path.starts_with(&format!("{turn}/")));
    let as_file = (n / 7).is_multiple_of(2);
    entries.push((if as_file { &turn } else { &below }, Item::File(text.as_bytes())));
    if !as_file {
        entries.insert(0, (turn.as_str(), Item::Dir));
    }
    model.insert(if as_file { turn.clone() } else { below.clone() }, text.clone());
    layer(&entries)
}

/// A docker archive of an image `tall` of this many layers, with busybox as the lowest, and what the rest of them hold.
pub(crate) fn tall(count: usize) -> (Vec<u8>, Model) {
    let mut model = Model::new();
    let mut layers = vec![std::fs::read(inputs::path("busybox.tar")).unwrap()];
    layers.extend((1..count).map(|n| forged(n, &mut model)));
    (Files::docker(&layers, "tall").pack(), model)
}

/// Loads such an image.
fn load(hoist: &Hoist, count: usize) -> Model {
    let (archive, model) = tall(count);
    let path = hoist.write("tall.tar", archive);
    let shown = hoist.value(&format!(
        r#"let image = image::load("{}")[0]; [image.layers.len(), image::list(#{{reference: "tall"}}).len()]"#,
        path.display()
    ));
    assert_eq!(shown, serde_json::json!([count, 1]));
    std::fs::remove_file(path).unwrap();
    model
}

/// What a container of the image sees below `/t`, after a command.
#[track_caller]
fn seen(hoist: &Hoist, image: &str, command: &str) -> Model {
    let script = format!("{command}\ncd / && find t -type f -exec grep -H '' {{}} +");
    let name = hoist.write("command.sh", script);
    let out = hoist.value(&format!(
        r#"container::run("{image}", ["/bin/sh", "-c", fs::read("{}")]).stdout"#,
        name.display()
    ));
    let lines = out.as_str().unwrap().lines();
    let pairs = lines.map(|line| line.split_once(':').unwrap());
    pairs
        .map(|(path, text)| (path.to_owned(), format!("{text}\n")))
        .collect()
}

/// The directories in `layers/` that are merged from layers.
fn merged(hoist: &Hoist) -> usize {
    let names = std::fs::read_dir(hoist.root().join("layers")).unwrap();
    names
        .filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().contains(".flat-"))
        .count()
}

/// An image of this many layers runs, and so does one with one more that is committed on it.
#[track_caller]
fn runs_and_commits(count: usize) {
    // In memory: thousands of small directories come and go.
    let hoist = Hoist::on_disk("200m");
    let mut model = load(&hoist, count);
    assert_eq!(seen(&hoist, "tall", ""), model, "{count} layers");
    let changes = "rm /t/shared/1 && echo new > /t/new";
    let committed = hoist.value(&format!(
        r#"let c = container::create("tall", ["/bin/sh", "-c", "{changes}"]);
        c.start(); c.wait(); let told = c.diff().map(|d| `${{d.kind}} ${{d.path}}`);
        [c.commit("taller").layers.len(), told]"#
    ));
    let told = ["changed /t", "added /t/new", "changed /t/shared", "deleted /t/shared/1"];
    assert_eq!(committed, serde_json::json!([count + 1, told]));
    model.remove("t/shared/1");
    model.insert("t/new".into(), "new\n".into());
    assert_eq!(seen(&hoist, "taller", ""), model, "{count} layers and one");
    hoist
        .eval(
            r#"for c in container::list(#{all: true}) { c.remove(); } image::remove("tall"); image::remove("taller")"#,
        )
        .success();
    hoist.eval("image::prune(#{all: true})").success();
    assert_eq!(
        (
            merged(&hoist),
            std::fs::read_dir(hoist.root().join("layers")).unwrap().count()
        ),
        (0, 0)
    );
}

#[test]
fn c21_images_of_more_layers_than_a_kernel_stacks_run_and_commit() {
    for count in [520, 700] {
        runs_and_commits(count);
    }
}

#[test]
fn c21_images_of_about_as_many_layers_as_a_kernel_stacks_run_and_commit() {
    for count in [497, 498, 500] {
        runs_and_commits(count);
    }
}

#[test]
fn what_is_merged_is_made_once() {
    let hoist = Hoist::on_disk("200m");
    load(&hoist, 520);
    assert_eq!(merged(&hoist), 0, "nothing has needed it yet");
    for _ in 0..2 {
        seen(&hoist, "tall", "");
        assert_eq!(merged(&hoist), 1);
    }
    assert!(hoist.staged().is_empty());
}

/// Everything that looks into layers, with fewer files than there are layers.
#[test]
fn many_layers_do_with_few_open_files() {
    let hoist = Hoist::on_disk("200m");
    let path = hoist.write("tall.tar", tall(300).0);
    let script = format!(
        r#"
        let image = image::load("{}")[0];
        let c = container::create("tall", "rm /t/shared/1; echo new > /t/own/2; echo new > /t/new");
        c.start();
        assert::eq(c.wait(), 0);
        let told = c.diff().map(|d| `${{d.kind}} ${{d.path}}`);
        let next = c.commit("next");
        let one = c.commit("one", #{{squash: true}});
        [image.layers.len(), told, image::diff(image, next).map(|d| `${{d.kind}} ${{d.path}}`), image::diff(next, one).len(),
            image::files(next, "t/own/2").len(), system::check().problems]"#,
        path.display()
    );
    let limit = ["prlimit", "--nofile=256:256"];
    let out = hoist
        .command_under(&limit, &["--format", "json", "eval", &script])
        .output();
    let differences = ["changed /t/own/2", "added /t/new", "deleted /t/shared/1"];
    let mut told = out.success().json();
    for list in [1, 2] {
        let list = told[list].as_array_mut().unwrap();
        list.retain(|line| differences.iter().any(|known| line == known));
        assert_eq!(list.len(), differences.len(), "{list:?}");
    }
    assert_eq!(
        (&told[0], &told[3], &told[4], &told[5]),
        (&300.into(), &0.into(), &1.into(), &serde_json::json!([]))
    );
}

#[test]
fn c20_what_a_container_writes_never_refers_to_a_layer() {
    let hoist = Hoist::with_busybox();
    let mounts = hoist.value(r#"container::run("busybox", ["cat", "/proc/self/mountinfo"]).stdout"#);
    let root = mounts
        .as_str()
        .unwrap()
        .lines()
        .find(|line| line.contains(" / / "))
        .unwrap();
    assert!(root.contains(" - overlay overlay "), "{root}");
    assert!(!root.contains(hoist.root().to_str().unwrap()), "{root}");
    for option in ["metacopy", "redirect_dir", "index", "xino"] {
        assert!(!root.contains(&format!("{option}=on")), "{root}");
    }
}

/// A layer of what a shell script makes, of the names alone that it is given.
fn made(hoist: &Hoist, script: &str, names: &str) -> Vec<u8> {
    let dir = tempfile::tempdir_in(hoist.dir()).unwrap();
    let pack = format!(
        "{script}\ntar --format=pax --xattrs --xattrs-include='*' --numeric-owner --no-recursion -cf ../made.tar {names}"
    );
    tool(dir.path(), "sh", &["-euc", &pack]);
    std::fs::read(hoist.file("made.tar")).unwrap()
}

/// A docker archive of these layers on busybox, `example.org/case:1`, where the other tools see it.
fn archive(peers: &Peers, layers: &[Vec<u8>]) -> String {
    let busybox = std::fs::read(inputs::path("busybox.tar")).unwrap();
    let layers = [&[busybox], layers].concat();
    let path = peers.file("case.tar");
    std::fs::write(&path, Files::docker(&layers, "example.org/case:1").pack()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn loaded(hoist: &Hoist, archive: &str) -> Tree {
    hoist.eval(&format!(r#"image::load("{archive}").len()"#)).success();
    Tree::read(&Merged::of(hoist, "example.org/case:1").path())
}

/// What umoci makes of the archive, one layer applied to the other.
fn by_umoci(peers: &Peers, archive: &str) -> Tree {
    let source = format!("docker-archive:{archive}");
    peers
        .run(&["skopeo", "copy", "--quiet", &source, "oci:oci:latest"])
        .success();
    peers
        .run(&["umoci", "raw", "unpack", "--image", "oci:latest", "by-umoci"])
        .success();
    Tree::read(&peers.file("by-umoci"))
}

/// What Docker shows a container of the image below `/t`.
fn by_docker(peers: &Peers, archive: &str) -> Tree {
    let script = r#"docker load --quiet --input "$1" >&2
        docker export "$(docker create example.org/case:1 true)" >by-docker.tar"#;
    peers.docker(script, &[archive]).success();
    let dir = peers.file("by-docker");
    std::fs::create_dir(&dir).unwrap();
    tool(&dir, "tar", &["--numeric-owner", "-xpf", "../by-docker.tar", "t"]);
    Tree::read(&dir)
}

/// The tree at and below `t`, without the times of these paths: that of a directory no layer names is when it was unpacked.
fn below_t(tree: Tree, timeless: &[&str]) -> Tree {
    let mut entries = tree.0;
    entries.retain(|path, _| path.starts_with("t"));
    for (path, entry) in &mut entries {
        if timeless.iter().any(|timeless| path.as_os_str() == *timeless) {
            entry.mtime = (0, 0);
        }
    }
    Tree(entries)
}

#[test]
fn hard_links_to_files_of_layers_below_are_made() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let script = "mkdir -p t/a; cd t/a; echo data >f; chmod 640 f; chown 5:6 f; setfattr -n user.x -v 1 f; touch -d @1500000000.25 f
        echo hidden >h; ln -s f s; mkfifo p; cd ../..; ln -s a t/l; ln -s /t/l t/m";
    let lower = made(&hoist, script, "t t/a t/a/f t/a/h t/a/s t/a/p t/l t/m");
    let (dirs, link) = (
        [("t", Item::Dir), ("t/a", Item::Dir), ("t/b", Item::Dir)],
        Item::Hardlink,
    );
    let links = [
        // A link to a link that comes later, and one over a file of the layer below.
        ("t/b/h2", link("t/b/h")),
        ("t/b/h", link("t/a/f")),
        ("t/b/s", link("t/a/s")),
        ("t/a/h", link("/t/a/p")),
        // Through links of the layer below, which lead on within the root.
        ("t/b/l", link("t/l/f")),
        ("t/b/m", link("t/m/f")),
    ];
    let upper = layer(&[&dirs[..], &links[1..], &links[..1]].concat());
    let archive = archive(&peers, &[lower, upper]);
    let tree = loaded(&hoist, &archive);
    by_umoci(&peers, &archive).assert_same(
        &tree,
        Ignore {
            root: true,
            ..Ignore::default()
        },
    );
    assert_eq!(
        tree.0["t/b/h2".as_ref() as &std::path::Path].same_as,
        Some("t/a/f".into())
    );
    // Both refuse it, each in its own words, for they unpack a layer without those below.
    let docker = peers.docker(r#"docker load --quiet --input "$1""#, &[&archive]);
    assert!(
        !docker.status.success() && docker.stderr.contains("no such file or directory"),
        "{}",
        docker.stderr
    );
    let podman = peers.podman(&["load", "--quiet", "--input", &archive]);
    assert!(
        !podman.status.success() && podman.stderr.contains("no such file or directory"),
        "{}",
        podman.stderr
    );
    let seen = hoist.value(
        r#"let image = "example.org/case:1"; let c = container::create(image, ["sh", "-c", "cat /t/b/h2 && stat -c %h /t/b/s"]);
        c.start(); c.wait();
        [c.logs(), c.diff().len(), image::files(image, "t/b/*").map(|f| `${f.path} ${f.kind} ${f.size}`)]"#,
    );
    assert_eq!(seen[1], 0);
    assert_eq!(
        seen[2],
        serde_json::json!([
            "/t/b/h file 5",
            "/t/b/h2 file 5",
            "/t/b/l file 5",
            "/t/b/m file 5",
            "/t/b/s symlink 0"
        ])
    );
}

#[test]
fn a_hard_link_to_what_no_layer_below_has_is_refused() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let lower = layer(&[("t", Item::Dir), ("t/f", Item::File(b"x")), ("t/d", Item::Dir)]);
    let whiteout = layer(&[("t/.wh.f", Item::File(b""))]);
    let to = |target| layer(&[("t/h", Item::Hardlink(target))]);
    for (layers, target) in [
        (vec![lower.clone(), to("t/nope")], "t/nope"),
        (vec![to("t/f"), lower.clone()], "t/f"),
        (vec![lower.clone(), whiteout, to("t/f")], "t/f"),
        (vec![lower.clone(), to("t/d")], "t/d"),
        (
            vec![
                lower.clone(),
                layer(&[("t/h", Item::Hardlink("t/i")), ("t/i", Item::Hardlink("t/h"))]),
            ],
            "t/i",
        ),
    ] {
        let archive = archive(&peers, &layers);
        hoist
            .eval(&format!(r#"image::load("{archive}")"#))
            .fails_with(1)
            .stderr_has(&[&format!(
                "the hard link `t/h` leads to `{target}`, which is no file of its layer or of one below"
            )]);
        assert!(hoist.staged().is_empty());
        assert_eq!(std::fs::read_dir(hoist.root().join("layers")).unwrap().count(), 0);
    }
    let single = hoist.write("single.tar", to("t/f"));
    hoist
        .eval(&format!(r#"image::import_tar("{}", "single")"#, single.display()))
        .fails_with(1)
        .stderr_has(&["the hard link `t/h` leads to `t/f`"]);
}

#[test]
fn a_parent_that_is_a_link_in_a_layer_below_becomes_a_directory_as_in_docker() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let script = "mkdir -p t/usr/lib t/run t/var; chmod 750 t/usr/lib; ln -s usr/lib t/lib; ln -s /t/run t/var/run; chown 3:4 t/run";
    let lower = made(&hoist, script, "t t/usr t/usr/lib t/lib t/run t/var t/var/run");
    let upper = layer(&[("t/lib/x", Item::File(b"x")), ("t/var/run/y", Item::File(b"y"))]);
    let archive = archive(&peers, &[lower, upper]);
    let timeless = ["t", "t/lib", "t/var", "t/var/run"];
    let right = below_t(by_docker(&peers, &archive), &timeless);
    let ignore = Ignore {
        nanoseconds: true,
        ..Ignore::default()
    };
    right.assert_same(&below_t(loaded(&hoist, &archive), &timeless), ignore);
}

#[test]
fn a_parent_that_is_a_link_in_the_same_layer_is_followed_as_in_docker_and_umoci() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let (dir, link, file) = (Item::Dir, Item::Symlink, Item::File(b"x"));
    let mut entries = vec![
        ("t", dir),
        ("t/store", dir),
        ("t/store/pkg", dir),
        ("t/node", link("store/pkg")),
        ("t/node/file", file),
        ("t/run", dir),
        ("t/var", dir),
        ("t/var/run", link("/t/run")),
        ("t/var/run/y", file),
        ("t/dangling", link("nowhere/deep")),
        ("t/dangling/q", file),
    ];
    // Of the directories no layer names, the time is when they were made, and umoci leaves a trace of that in their parent.
    let timeless = ["t", "t/nowhere", "t/nowhere/deep"];
    let ignore = Ignore {
        nanoseconds: true,
        ..Ignore::default()
    };
    let path = archive(&peers, &[layer(&entries)]);
    let tree = below_t(loaded(&hoist, &path), &timeless);
    below_t(by_docker(&peers, &path), &timeless).assert_same(&tree, ignore);
    // This one Docker refuses, though in a container it leads to the same place.
    entries.extend([("t/var/up", link("../../../../t/run")), ("t/var/up/z", file)]);
    let path = archive(&peers, &[layer(&entries)]);
    let tree = below_t(loaded(&hoist, &path), &timeless);
    below_t(by_umoci(&peers, &path), &timeless).assert_same(&tree, ignore);
}

#[test]
fn directories_that_a_layer_only_implies_keep_what_they_are() {
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let script = "mkdir -p t/d/e; chmod 1770 t/d; chown 3:4 t/d; setfattr -n user.x -v 1 t/d; chmod 711 t/d/e; touch -d @1500000000.25 t/d";
    let lower = made(&hoist, script, "t t/d/e t/d");
    let upper = layer(&[("t/d/e/x", Item::File(b"x")), ("t/n/y", Item::File(b"y"))]);
    let archive = archive(&peers, &[lower, upper]);
    let tree = loaded(&hoist, &archive);
    // Where something came into a directory, umoci leaves the time at which it did.
    let timeless = ["t", "t/d/e", "t/n"];
    let right = below_t(by_umoci(&peers, &archive), &timeless);
    right.assert_same(&below_t(tree, &timeless), Ignore::default());
    // Docker unpacks the layer alone and shows what it made up, which is known for a fault there.
    let docker = by_docker(&peers, &archive);
    assert_eq!(docker.0["t/d".as_ref() as &std::path::Path].mode, 0o755);
}
