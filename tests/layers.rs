//! Images of more layers than a kernel stacks: the same tree as if each layer had been applied to the last.

use std::collections::BTreeMap;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, inputs};

/// What a directory tree of files holds: path → content.
type Model = BTreeMap<String, String>;

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

/// Loads an image of this many layers, with busybox as the lowest, under the name `tall`, and returns what the rest of them hold.
fn load(hoist: &Hoist, count: usize) -> Model {
    let mut model = Model::new();
    let mut layers = vec![std::fs::read(inputs::path("busybox.tar")).unwrap()];
    layers.extend((1..count).map(|n| forged(n, &mut model)));
    let path = hoist.write("tall.tar", Files::docker(&layers, "tall").pack());
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
fn images_of_more_layers_than_a_kernel_stacks_run_and_commit() {
    for count in [520, 700] {
        runs_and_commits(count);
    }
}

#[test]
fn images_of_about_as_many_layers_as_a_kernel_stacks_run_and_commit() {
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

#[test]
fn what_a_container_writes_never_refers_to_a_layer() {
    let hoist = Hoist::with_busybox();
    let mounts = hoist.value(r#"container::run("busybox", ["cat", "/proc/self/mountinfo"]).stdout"#);
    let root = mounts
        .as_str()
        .unwrap()
        .lines()
        .find(|line| line.contains(" / / "))
        .unwrap();
    assert!(root.contains(" - overlay "), "{root}");
    for option in ["metacopy", "redirect_dir", "index", "xino"] {
        assert!(!root.contains(&format!("{option}=on")), "{root}");
    }
}
