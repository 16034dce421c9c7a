//! `system::check`: each kind of damage, done by hand to a real store, is found, told by its kind, and put right where it can be.

mod containers;
mod database;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, inputs, program, tool};
use crate::layers::tall;

const LAYERS: &str = "example.org/layers:podman";

/// A store with an image of several compressed layers, the image `busybox`, a container `box` of it that wrote a file, and a volume.
fn store() -> Hoist {
    let hoist = Hoist::with_busybox();
    let archive = inputs::path("layers.podman.oci.tar");
    let name = hoist.value(&format!(r#"image::load("{}")[0].name"#, archive.display()));
    assert_eq!(name, LAYERS);
    let options = r#"#{name: "box", volumes: ["data:/data"]}"#;
    let write = "echo kept > /kept; echo kept > /data/kept";
    hoist
        .eval(&format!(
            r#"let c = container::create("busybox", "{write}", {options}); c.start(); c.wait()"#
        ))
        .success();
    assert_sound(&hoist);
    hoist
}

/// What a check finds, as kinds, each once.
#[track_caller]
fn found(hoist: &Hoist, options: &str) -> Vec<String> {
    let check = hoist.value(&format!("system::check({options})"));
    let problems = check["problems"].as_array().unwrap().iter();
    let mut kinds: Vec<String> = problems
        .map(|problem| problem["kind"].as_str().unwrap().to_owned())
        .collect();
    kinds.sort();
    kinds.dedup();
    assert_eq!(check["ok"], kinds.is_empty(), "{check:#}");
    kinds
}

#[track_caller]
fn assert_sound(hoist: &Hoist) {
    let check = hoist.value("system::check()");
    assert_eq!(check["problems"], serde_json::json!([]), "{check:#}");
    assert_eq!(check["ok"], true);
}

/// The damage is found by its kind; repaired; and then nothing is wrong.
#[track_caller]
fn assert_repaired(hoist: &Hoist, kinds: &[&str]) -> Value {
    assert_eq!(found(hoist, ""), kinds);
    let check = hoist.value("system::check(#{repair: true})");
    assert_eq!(check["ok"], true, "{check:#}");
    let problems = check["problems"].as_array().unwrap();
    assert!(problems.iter().all(|problem| problem["repaired"] == true), "{check:#}");
    assert_sound(hoist);
    check
}

/// The damage is found by its kind, stays after a repair, and says what to do.
#[track_caller]
fn assert_told(hoist: &Hoist, kind: &str) -> Value {
    let check = hoist.value("system::check(#{repair: true})");
    assert_eq!(check["ok"], false, "{check:#}");
    let problems = check["problems"].as_array().unwrap();
    let told = problems.iter().find(|problem| problem["kind"] == kind);
    let told = told.unwrap_or_else(|| panic!("no `{kind}` in {check:#}"));
    assert_eq!(told["repaired"], false);
    assert!(told["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{check:#}");
    told.clone()
}

fn text(hoist: &Hoist, expression: &str) -> String {
    hoist.value(expression).as_str().unwrap().to_owned()
}

fn blob(hoist: &Hoist, digest: &str) -> PathBuf {
    let digits = digest.strip_prefix("sha256:").unwrap();
    hoist.root().join("content/blobs/sha256").join(digits)
}

fn layer_dir(hoist: &Hoist, diff_id: &str) -> PathBuf {
    let digits = diff_id.strip_prefix("sha256:").unwrap();
    hoist.root().join("layers").join(digits)
}

fn diff_ids(hoist: &Hoist, image: &str) -> Vec<String> {
    let layers = hoist.value(&format!(r#"image::get("{image}").layers"#));
    let layers = layers.as_array().unwrap().iter();
    layers.map(|layer| layer.as_str().unwrap().to_owned()).collect()
}

/// The blobs of an image's layers, lowest first.
fn layer_blobs(hoist: &Hoist, image: &str) -> Vec<PathBuf> {
    let manifest = blob(hoist, &text(hoist, &format!(r#"image::get("{image}").digest"#)));
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| blob(hoist, layer["digest"].as_str().unwrap()))
        .collect()
}

fn flip_a_bit(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let place = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 4], place).unwrap();
}

fn sqlite(hoist: &Hoist, sql: &str) {
    let connection = rusqlite::Connection::open(hoist.root().join("hoist.db")).unwrap();
    connection
        .execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}"))
        .unwrap();
}

/// The image runs, and is saved and loaded elsewhere with the same id.
#[track_caller]
fn assert_usable(hoist: &Hoist, image: &str) {
    let id = hoist.value(&format!(r#"image::get("{image}").id"#));
    let path = hoist.file("usable.tar");
    hoist
        .eval(&format!(r#"image::save("{image}", "{}").size"#, path.display()))
        .success();
    let other = Hoist::new();
    assert_eq!(other.value(&format!(r#"image::load("{}")[0].id"#, path.display())), id);
    let ran = hoist.value(&format!(
        r#"container::run("{image}", ["/bin/sh", "-c", "echo ran"]).stdout"#
    ));
    assert_eq!(ran, "ran\n");
}

/// Whatever is wrong with one image, commands about others go on.
#[track_caller]
fn assert_others_go_on(hoist: &Hoist) {
    assert_usable(hoist, "busybox");
    hoist.eval("image::list(#{all: true}).len()").success();
    hoist
        .eval(r#"image::tag("busybox", "other:1"); image::remove("other:1").removed.len()"#)
        .success();
    hoist.eval("image::prune().removed.len()").success();
    assert_eq!(hoist.value(r#"container::get("box").read_file("/kept")"#), "kept\n");
}

#[test]
fn a_sound_store_has_no_problems() {
    let hoist = store();
    assert_eq!(found(&hoist, "#{quick: true}"), Vec::<String>::new());
    hoist
        .eval(&format!(
            r#"image::load("{}").len()"#,
            inputs::path("debian.docker.tar").display()
        ))
        .success();
    hoist
        .eval(r#"let c = container::get("box"); c.commit("committed").id; image::untag("committed")"#)
        .success();
    assert_sound(&hoist);
    assert_eq!(
        hoist.value("system::check(#{repair: true})")["problems"],
        serde_json::json!([])
    );
    assert_usable(&hoist, LAYERS);
}

#[test]
fn a_changed_layer_is_unpacked_again() {
    let hoist = store();
    let dir = layer_dir(&hoist, &diff_ids(&hoist, LAYERS)[0]);
    let change = |script: &str| {
        let mut command = program("sh");
        command.args(["-euc", script]).current_dir(&dir);
        assert!(command.status().unwrap().success());
    };
    for script in [
        "printf x | dd of=bin/busybox bs=1 seek=1000 conv=notrunc,nocreat 2>/dev/null; touch -d @0 bin/busybox",
        "rm bin/busybox",
        "echo more > extra",
        "chmod 0700 bin/busybox",
        "chown 7 bin/busybox",
        "truncate -s -1 bin/busybox",
        "touch bin/busybox",
        "setfattr -n user.extra -v 1 bin/busybox",
        "mv bin/busybox b; ln -s /b bin/busybox",
        "chmod 0700 bin",
        "setfattr -n trusted.overlay.opaque -v y bin",
        "rm -r bin; mknod bin c 0 0",
    ] {
        change(script);
        assert_repaired(&hoist, &["layer_changed"]);
    }
    assert_usable(&hoist, LAYERS);
}

/// A fix-up has hard links to files of layers, and so the damage to them.
#[test]
fn what_was_made_of_a_changed_layer_is_made_again() {
    let hoist = Hoist::new();
    let layers = [
        fs::read(inputs::path("busybox.tar")).unwrap(),
        layer(&[("f", Item::File(b"right\n")), ("empty", Item::File(b""))]),
        layer(&[("link", Item::Hardlink("f"))]),
    ];
    let archive = hoist.write("linked.tar", Files::docker(&layers, "linked").pack());
    let command = r#"["/bin/cat", "/link"]"#;
    let create = format!(
        r#"image::load("{}"); container::create("linked", {command}, #{{name: "before"}}).id"#,
        archive.display()
    );
    hoist.eval(&create).success();
    let dir = layer_dir(&hoist, &diff_ids(&hoist, "linked")[1]);
    // The second makes a whiteout of the file.
    for script in ["printf 'wrong\n' >f", "setfattr -n trusted.overlay.whiteout -v y empty"] {
        tool(&dir, "sh", &["-euc", script]);
        assert_repaired(&hoist, &["layer_changed"]);
    }
    let told = hoist.value(&format!(
        r#"let c = container::get("before"); c.start(); c.wait(); [c.logs(), container::run("linked", {command}).stdout]"#
    ));
    assert_eq!(told, serde_json::json!(["right\n", "right\n"]));
    assert_sound(&hoist);
}

#[test]
fn a_changed_layer_that_is_merged_with_others_waits_for_containers_and_is_merged_again() {
    let hoist = Hoist::on_disk("200m");
    let archive = hoist.write("tall.tar", tall(520).0);
    let run = r#"container::run_detached("tall", ["/bin/sleep", "1000"], #{name: "runs"}).id"#;
    hoist
        .eval(&format!(r#"image::load("{}"); {run}"#, archive.display()))
        .success();
    let dir = layer_dir(&hoist, &diff_ids(&hoist, "tall")[10]);
    fs::write(dir.join("t/own/10"), "xx\n").unwrap();
    let told = assert_told(&hoist, "layer_changed");
    assert!(
        told["detail"].as_str().unwrap().contains("container `runs` runs on it"),
        "{told}"
    );
    hoist.eval(r#"container::get("runs").remove(#{force: true})"#).success();
    assert_repaired(&hoist, &["layer_changed"]);
    assert_eq!(
        hoist.value(r#"container::run("tall", ["/bin/cat", "/t/own/10"]).stdout"#),
        "10\n"
    );
}

#[test]
fn a_missing_layer_and_a_missing_record_are_made_again() {
    let hoist = store();
    let layers = diff_ids(&hoist, LAYERS);
    for layer in &layers {
        fs::remove_dir_all(layer_dir(&hoist, layer)).unwrap();
    }
    assert_repaired(&hoist, &["layer_missing"]);
    for layer in &layers {
        fs::remove_file(layer_dir(&hoist, layer).with_extension("json")).unwrap();
    }
    assert_others_go_on(&hoist);
    assert_repaired(&hoist, &["layer_record"]);
    fs::write(layer_dir(&hoist, &layers[0]).with_extension("json"), r#"{"size":1}"#).unwrap();
    assert_repaired(&hoist, &["layer_record"]);
    assert_usable(&hoist, LAYERS);
}

#[test]
fn a_damaged_blob_of_a_layer_is_told_and_comes_back_by_loading() {
    let hoist = store();
    let blob = layer_blobs(&hoist, LAYERS).remove(0);
    let damages: [(&str, &dyn Fn()); 3] = [
        ("blob_changed", &|| flip_a_bit(&blob)),
        ("blob_size", &|| {
            File::options().write(true).open(&blob).unwrap().set_len(100).unwrap();
        }),
        ("blob_missing", &|| fs::remove_file(&blob).unwrap()),
    ];
    for (kind, damage) in damages {
        damage();
        assert_eq!(found(&hoist, ""), [kind]);
        assert_others_go_on(&hoist);
        let told = assert_told(&hoist, kind);
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains(LAYERS) && detail.contains("cannot be saved"), "{told}");
        assert!(!blob.exists(), "a blob that lies stays");
        let archive = inputs::path("layers.podman.oci.tar");
        hoist
            .eval(&format!(r#"image::load("{}").len()"#, archive.display()))
            .success();
        assert_sound(&hoist);
    }
    assert_usable(&hoist, LAYERS);
}

#[test]
fn configuration_and_manifest_are_written_again() {
    let hoist = store();
    for image in [LAYERS, "busybox"] {
        for fact in ["id", "digest"] {
            let path = blob(&hoist, &text(&hoist, &format!(r#"image::get("{image}").{fact}"#)));
            flip_a_bit(&path);
            assert_usable(&hoist, if image == LAYERS { "busybox" } else { LAYERS });
            assert_repaired(&hoist, &["blob_changed"]);
            let path = blob(&hoist, &text(&hoist, &format!(r#"image::get("{image}").{fact}"#)));
            fs::remove_file(path).unwrap();
            assert_repaired(&hoist, &["blob_missing"]);
        }
        assert_usable(&hoist, image);
    }
}

#[test]
fn an_image_that_cannot_be_had_back_leaves_the_list() {
    let hoist = store();
    let blob = layer_blobs(&hoist, LAYERS).remove(0);
    fs::remove_file(blob).unwrap();
    fs::remove_dir_all(layer_dir(&hoist, &diff_ids(&hoist, LAYERS)[0])).unwrap();
    assert_others_go_on(&hoist);
    let check = hoist.value("system::check(#{repair: true})");
    let problems = check["problems"].as_array().unwrap();
    let gone = problems
        .iter()
        .find(|problem| problem["kind"] == "layer_missing")
        .unwrap();
    assert_eq!(gone["repaired"], true, "{check:#}");
    assert!(gone["detail"].as_str().unwrap().contains(LAYERS), "{check:#}");
    assert_eq!(hoist.value(&format!(r#"image::exists("{LAYERS}")"#)), false);
    assert_sound(&hoist);
    assert_others_go_on(&hoist);
}

#[test]
fn a_container_on_a_lost_image_is_told_and_keeps_what_it_wrote() {
    let hoist = store();
    let (blob, layer) = (
        layer_blobs(&hoist, "busybox").remove(0),
        diff_ids(&hoist, "busybox").remove(0),
    );
    fs::remove_file(blob).unwrap();
    fs::remove_dir_all(layer_dir(&hoist, &layer)).unwrap();
    let told = assert_told(&hoist, "layer_missing");
    assert!(told["detail"].as_str().unwrap().contains("`box`"), "{told}");
    assert_eq!(hoist.value(r#"container::list(#{all: true}).len()"#), 1);
    let id = text(&hoist, r#"container::get("box").id"#);
    assert_eq!(
        fs::read_to_string(hoist.root().join("containers").join(id).join("upper/kept")).unwrap(),
        "kept\n"
    );
    assert_usable(&hoist, LAYERS);
}

#[test]
fn wrong_sizes_and_layers_in_rows_are_put_right() {
    let hoist = store();
    for sql in [
        "UPDATE image SET size = size + 1",
        "UPDATE image_layer SET size = 0",
        "UPDATE image_layer SET blob_size = blob_size - 1",
    ] {
        let before = hoist.value("image::list().map(|i| i.size)");
        sqlite(&hoist, sql);
        assert_others_go_on(&hoist);
        assert_repaired(&hoist, &["size"]);
        assert_eq!(hoist.value("image::list().map(|i| i.size)"), before);
    }
    sqlite(&hoist, "UPDATE image_layer SET media_type = 'x'");
    assert_repaired(&hoist, &["size"]);
    sqlite(&hoist, "DELETE FROM image_layer WHERE position = 1");
    let check = hoist.value("system::check(#{repair: true})");
    assert_eq!(check["ok"], true, "{check:#}");
    assert_sound(&hoist);
    sqlite(&hoist, "UPDATE image SET config = x'7b7d'");
    assert_eq!(found(&hoist, ""), ["image_row"]);
    assert_repaired(&hoist, &["image_row"]);
    assert_usable(&hoist, LAYERS);
}

#[test]
fn content_that_nothing_needs_is_removed() {
    let hoist = store();
    let place = |name: &str| hoist.root().join(name);
    let digits = "ab".repeat(32);
    fs::write(place("content/blobs/sha256").join(&digits), "x").unwrap();
    fs::create_dir(place("layers").join(&digits)).unwrap();
    fs::create_dir(place("layers").join(format!("{}.init-{digits}", "cd".repeat(32)))).unwrap();
    assert_repaired(&hoist, &["orphan"]);
    fs::write(place("layers/notes.txt"), "x").unwrap();
    assert_told(&hoist, "stray");
    fs::remove_file(place("layers/notes.txt")).unwrap();
    assert_sound(&hoist);
    assert_others_go_on(&hoist);
}

#[test]
fn the_layout_that_other_tools_read_is_written_again() {
    let hoist = store();
    let place = |name: &str| hoist.root().join("content").join(name);
    let index = fs::read(place("index.json")).unwrap();
    fs::remove_file(place("oci-layout")).unwrap();
    assert_repaired(&hoist, &["layout"]);
    fs::remove_file(place("index.json")).unwrap();
    assert_repaired(&hoist, &["index"]);
    fs::write(place("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert_others_go_on(&hoist);
    let _ = hoist.value("system::check(#{repair: true})");
    assert_sound(&hoist);
    assert_eq!(fs::read(place("index.json")).unwrap(), index);
}

/// The image of several layers without blobs, which can be made again from its files.
fn store_without_blobs() -> Hoist {
    let hoist = Hoist::with_busybox();
    load_without_blobs(&hoist);
    assert!(layer_blobs(&hoist, LAYERS).iter().all(|blob| !blob.exists()));
    assert_sound(&hoist);
    hoist
}

fn load_without_blobs(hoist: &Hoist) {
    let rule = hoist.write("hoist.toml", "[store]\nblobs = \"drop\"\n");
    let load = format!(
        r#"image::load("{}").len()"#,
        inputs::path("layers.podman.oci.tar").display()
    );
    hoist
        .run(&["--config", rule.to_str().unwrap(), "eval", load.as_str()])
        .success();
}

#[test]
fn without_blobs_what_the_tar_says_of_a_layer_is_put_right() {
    let hoist = store_without_blobs();
    let layers = diff_ids(&hoist, LAYERS);
    let dir = layer_dir(&hoist, &layers[0]);
    fs::write(dir.join("extra"), "x").unwrap();
    assert_repaired(&hoist, &["layer_changed"]);
    assert!(!dir.join("extra").exists());
    fs::set_permissions(dir.join("bin/busybox"), PermissionsExt::from_mode(0o123)).unwrap();
    assert_repaired(&hoist, &["layer_changed"]);
    fs::remove_file(dir.with_extension("json")).unwrap();
    assert_repaired(&hoist, &["layer_record"]);
    assert_usable(&hoist, LAYERS);
}

#[test]
fn without_blobs_what_is_in_the_files_is_lost_with_them_and_comes_back_by_loading() {
    for (kind, damage) in [
        (
            "layer_changed",
            &(|layer: &Path| flip_a_bit(&layer.join("bin/busybox"))) as &dyn Fn(&Path),
        ),
        ("layer_changed", &|layer| flip_a_bit(&layer.with_extension("recipe"))),
        ("blob_missing", &|layer| {
            fs::remove_file(layer.with_extension("recipe")).unwrap();
        }),
    ] {
        let hoist = store_without_blobs();
        damage(&layer_dir(&hoist, &diff_ids(&hoist, LAYERS)[0]));
        assert_eq!(found(&hoist, ""), [kind]);
        let told = assert_told(&hoist, kind);
        assert!(told["detail"].as_str().unwrap().contains(LAYERS), "{told}");
        assert_usable(&hoist, "busybox");
        let failed = hoist.eval(&format!(r#"image::save("{LAYERS}", "saved.tar")"#));
        assert!(!failed.status.success(), "{kind}: it was saved");
        hoist
            .eval(&format!(r#"image::remove("{LAYERS}").removed.len()"#))
            .success();
        load_without_blobs(&hoist);
        assert_sound(&hoist);
        assert_usable(&hoist, LAYERS);
    }
}

#[test]
fn without_blobs_an_image_that_lost_a_layers_files_leaves_the_list() {
    let hoist = store_without_blobs();
    fs::remove_dir_all(layer_dir(&hoist, &diff_ids(&hoist, LAYERS)[0])).unwrap();
    assert_eq!(found(&hoist, ""), ["blob_missing", "layer_missing"]);
    let told = assert_told(&hoist, "blob_missing");
    assert!(told["detail"].as_str().unwrap().contains(LAYERS), "{told}");
    assert_sound(&hoist);
    assert_eq!(hoist.value(&format!(r#"image::exists("{LAYERS}")"#)), false);
    load_without_blobs(&hoist);
    assert_usable(&hoist, LAYERS);
}

#[test]
fn a_dry_run_tells_and_repairs_nothing() {
    let hoist = store();
    let dir = layer_dir(&hoist, &diff_ids(&hoist, LAYERS)[0]);
    fs::write(dir.join("extra"), "x").unwrap();
    let output = hoist
        .run(&[
            "--dry-run",
            "--format",
            "json",
            "eval",
            "system::check(#{repair: true})",
        ])
        .success();
    let check = output.json();
    assert_eq!(check["problems"][0]["kind"], "layer_changed", "{check:#}");
    assert_eq!(
        (&check["ok"], &check["problems"][0]["repaired"]),
        (&false.into(), &false.into())
    );
    assert!(output.stderr.contains("repair"), "{}", output.stderr);
    assert!(dir.join("extra").exists());
    assert_repaired(&hoist, &["layer_changed"]);
}

#[test]
fn a_layer_that_a_container_shows_stays_as_it_is_until_that_has_ended() {
    let hoist = store();
    let dir = layer_dir(&hoist, &diff_ids(&hoist, "busybox")[0]);
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "busy"}).id"#)
        .success();
    fs::write(dir.join("extra"), "x").unwrap();
    let told = assert_told(&hoist, "layer_changed");
    assert!(told["detail"].as_str().unwrap().contains("`busy`"), "{told}");
    assert!(dir.join("extra").exists());
    hoist.eval(r#"container::get("busy").remove(#{force: true})"#).success();
    assert_repaired(&hoist, &["layer_changed"]);
}

#[test]
fn beside_other_processes_nothing_false_is_told() {
    let hoist = store();
    let work = hoist.write(
        "work.rhai",
        format!(
            r#"for round in 0..12 {{
                let i = image::load("{}")[0];
                image::tag(i.id, `again:${{round}}`);
                container::run("busybox", ["true"]);
                image::remove(i.id, #{{force: true}});
                image::prune();
            }}"#,
            inputs::path("layers.docker.tar").display()
        ),
    );
    let workers: Vec<_> = (0..2)
        .map(|_| hoist.command(&["run", work.to_str().unwrap()]).spawn())
        .collect();
    for _ in 0..25 {
        let check = hoist.value("system::check()");
        assert_eq!(check["problems"], serde_json::json!([]), "{check:#}");
    }
    for worker in workers {
        let (errors, _) = worker.wait();
        assert!(!errors.contains("corrupt") && !errors.contains("internal"), "{errors}");
    }
    assert_sound(&hoist);
}
