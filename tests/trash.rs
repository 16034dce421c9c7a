//! What was removed comes back as it was, for as long as was said, and never stands in the way of something new.

use std::fs::{self, File};
use std::os::fd::AsFd as _;

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;
use serde_json::json;

use crate::harness::fault::{self, CALLS};
use crate::harness::served::Served;
use crate::harness::{Hoist, inputs};
use crate::images::verify;

/// Two images, one with a child, and a script's view of all there is.
const TWO: &str = r#"
    image::from_host("app:1", ["/bin/sh", "/bin/cat"], #{labels: #{a: "b"}, cmd: ["cat", "/etc/hostname"]});
    let c = container::create("app:1", ["sh"]);
    c.write_file("/note", "of two");
    c.commit("app:2");
    c.remove();
    image::tag("app:2", "team/app:new");
    0"#;
const FACTS: &str = r"image::list(#{all: true}).map(|i| {
    let i = i.inspect();
    [i.Id, i.RepoTags, i.RepoDigests, i.Parent, i.Created, i.Size, i.Config, i.RootFS]
})";

fn store() -> Hoist {
    let hoist = Hoist::new().keeping_trash("1d");
    hoist.eval(TWO).success();
    hoist
}

#[track_caller]
fn assert_whole(hoist: &Hoist) {
    let problems = hoist.value("system::check().problems");
    assert_eq!(problems, json!([]));
    verify(hoist);
}

#[test]
fn images_come_back_as_they_were_with_their_names_and_parents() {
    let hoist = store();
    let before = hoist.value(FACTS);
    let removed = hoist.value(
        r#"let r = image::remove(image::get("app:2")); let r2 = image::remove("app:1"); [r.removed.len(), r.reclaimed == r.trashed, r2.trashed > 0]"#,
    );
    assert_eq!(removed, json!([1, true, true]));
    assert_eq!(hoist.value("image::list(#{all: true})"), json!([]));
    let acts = hoist.value("system::trash().map(|t| [t.action, t.names, t.images.len(), t.size > 0])");
    let removal = "image::remove";
    assert_eq!(
        acts,
        json!([
            [removal, ["app:1"], 1, true],
            [removal, ["app:2", "team/app:new"], 1, true]
        ])
    );
    assert_eq!(hoist.value("system::check().problems"), json!([]));
    for names in [json!(["app:1"]), json!(["app:2", "team/app:new"])] {
        assert_eq!(hoist.value("system::undo().names"), names);
    }
    assert_eq!(hoist.value(FACTS), before);
    assert_eq!(
        hoist.value(r#"container::run("team/app:new", "cat /note").text()"#),
        "of two"
    );
    assert_eq!(hoist.value("system::trash()"), json!([]));
    let output = hoist.run(&["undo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stderr.contains("there is nothing that can be undone"),
        "{}",
        output.stderr
    );
    assert_whole(&hoist);
}

#[test]
fn a_clean_up_comes_back_as_a_whole() {
    let hoist = store();
    let before = hoist.value(FACTS);
    hoist.eval(r#"image::prune(#{all: true, reference: "*"})"#).success();
    assert_eq!(hoist.value("image::list(#{all: true})"), json!([]));
    hoist.eval("system::undo()").success();
    assert_eq!(hoist.value(FACTS), before);
    assert_whole(&hoist);
}

#[test]
fn names_that_moved_go_back_unless_they_moved_on() {
    let hoist = store();
    let ids = r#"["app:1", "app:2"].map(|n| image::get(n).id)"#;
    let before = hoist.value(ids);
    hoist.eval(r#"image::tag("app:1", "app:2")"#).success();
    assert_ne!(hoist.value(ids), before);
    hoist.eval("system::undo()").success();
    assert_eq!(hoist.value(ids), before);

    let conflict = hoist.value(
        r#"
        image::tag("app:1", "app:2");
        let move = system::trash()[0].id;
        image::untag("app:2");
        image::from_host("app:2", ["/bin/true"]);
        let refused = attempt(|| system::undo(move)).error;
        [refused.kind, refused.hint.contains("image::untag(\"app:2\")")]"#,
    );
    assert_eq!(conflict, json!(["conflict", true]));
    // What the hint says is the way out.
    hoist
        .eval(r#"image::untag("app:2"); system::undo(system::trash().filter(|t| t.action == "image::tag")[0].id)"#)
        .success();
    assert_eq!(hoist.value(ids), before);
    assert_whole(&hoist);
}

#[test]
fn a_name_whose_image_went_later_asks_for_that_first() {
    let hoist = store();
    let told = hoist.value(
        r#"
        image::tag("app:1", "team/app:new");
        let move = system::trash()[0].id;
        image::remove("app:2");
        let refused = attempt(|| system::undo(move)).error;
        system::undo();
        system::undo(move);
        [refused.kind, refused.message.contains("was removed since"), image::get("team/app:new").tags]"#,
    );
    assert_eq!(told, json!(["conflict", true, ["app:2", "team/app:new"]]));
}

#[test]
fn the_command_takes_back_all_that_the_last_run_did() {
    let hoist = store();
    let before = hoist.value(FACTS);
    hoist.eval(r#"image::tag("app:1", "earlier")"#).success();
    hoist.eval(r#"image::untag("earlier")"#).success();
    hoist.run(&["rmi", "app:2", "team/app:new", "app:1"]).success();
    assert_eq!(hoist.value("system::trash().len()"), json!(4));
    let undone = hoist.run(&["--format", "json", "undo"]).success().json();
    let names = undone.as_array().unwrap().iter().map(|act| act["names"].clone());
    assert_eq!(
        names.collect::<Vec<_>>(),
        [json!(["app:1"]), json!(["team/app:new"]), json!(["app:2"])]
    );
    assert_eq!(hoist.value(FACTS), before);
    let one = hoist.run(&["--format", "json", "undo"]).success().json();
    assert_eq!(one[0]["names"], json!(["earlier:latest"]));

    let lines = "image::untag(\"app:1\")\nimage::untag(\"team/app:new\")\n";
    hoist.command(&["repl"]).stdin(lines).output().success();
    let last = hoist.run(&["--format", "json", "undo"]).success().json();
    assert_eq!(
        last.as_array().unwrap().len(),
        1,
        "a line at the prompt is a run: {last}"
    );
    assert_eq!(last[0]["names"], json!(["team/app:new"]));
    assert_eq!(hoist.value(r#"image::exists("app:1")"#), json!(false));
}

#[test]
fn of_a_run_all_or_nothing_is_taken_back() {
    let hoist = store();
    hoist.run(&["rmi", "app:2", "team/app:new"]).success();
    hoist.eval(r#"image::tag("app:1", "app:2")"#).success();
    let refused = hoist.run(&["undo"]);
    assert!(refused.stderr.contains("`app:2` means image"), "{}", refused.stderr);
    assert_eq!(hoist.value(r#"image::exists("team/app:new")"#), json!(false));
    assert_whole(&hoist);
}

#[test]
fn a_load_that_takes_a_name_over_can_be_undone() {
    let hoist = store();
    let before = hoist.value(r#"image::get("app:1").id"#);
    let load = r#"
        let path = fs::temp_dir() + "/other.tar";
        image::from_host("other", ["/bin/true"]);
        image::tag("other", "app:1");
        image::save("app:1", path);
        system::undo();
        image::remove("other", #{trash: false});
        image::load(path);
        image::get("app:1").id"#;
    assert_ne!(hoist.value(load), before);
    hoist.eval("system::undo()").success();
    assert_eq!(hoist.value(r#"image::get("app:1").id"#), before);
}

#[test]
fn what_was_pushed_with_an_image_comes_back_with_it() {
    let hoist = store();
    let served = Served::start(&hoist, &["--write"]);
    let name = format!("{}/team/app:new", served.name());
    hoist.eval(&format!(r#"image::push("app:2", "{name}"); 0"#)).success();
    let manifest = || {
        let output = hoist.run(&["--format", "json", "eval", &format!(r#"registry::digest("{name}")"#)]);
        output.status.success().then(|| output.json())
    };
    let before = manifest();
    assert!(before.is_some());
    let pushed = r#"image::list(#{reference: "*/team/app:new"}).map(|i| i.id)"#;
    hoist.eval(r#"image::remove(image::get("app:2")); 0"#).success();
    assert_eq!((manifest(), hoist.value(pushed)), (None, json!([])));
    hoist.eval("system::undo()").success();
    assert_eq!(manifest(), before);
    assert_whole(&hoist);
}

#[test]
fn what_is_over_its_time_is_gone_for_good_with_the_next_removal() {
    let hoist = store();
    let eval = |trash: &str, script: &str| {
        let output = hoist
            .run(&["--trash", trash, "--format", "json", "eval", script])
            .success();
        output.json()
    };
    eval("1us", r#"image::remove("app:2"); image::remove("team/app:new"); 0"#);
    assert_eq!(eval("1d", "system::trash()"), json!([]));
    let late = hoist.run(&["--trash", "1d", "undo"]);
    assert_eq!(late.status.code(), Some(1), "{}", late.stderr);
    eval("1d", r#"image::remove("app:1"); 0"#);
    assert_eq!(eval("1d", "system::trash().len()"), 1);
    let blobs = || fs::read_dir(hoist.root().join("content/blobs/sha256")).unwrap().count();
    // Manifest, configuration and layer of the one that can be brought back.
    assert_eq!(blobs(), 3);
    let printed = hoist.run(&["system", "trash", "--empty"]).success().stdout;
    assert!(
        printed.ends_with(
            "B
"
        ),
        "{printed}"
    );
    assert_eq!(blobs(), 0);
}

#[test]
fn nothing_is_kept_where_it_is_not_wanted() {
    let hoist = store();
    for remove in [
        r#"image::remove("team/app:new", #{trash: false}); image::get("app:2").remove(#{trash: false})"#,
        r#"image::prune(#{reference: "app:1", trash: false})"#,
    ] {
        let report = hoist.value(&format!("let r = {{ {remove} }}; [r.reclaimed > 0, r.trashed]"));
        assert_eq!(report, json!([true, 0]));
    }
    assert_eq!(hoist.value("system::trash()"), json!([]));
    hoist.eval(TWO).success();
    hoist
        .run(&["--trash", "0", "eval", r#"image::remove(image::get("app:2")); 0"#])
        .success();
    // A goal of bytes is met by bytes, those in the trash first.
    let goal = hoist.value(
        r#"image::remove("app:1"); let r = image::prune(#{all: true, total_at_most: 0}); [r.reclaimed > 0, r.trashed]"#,
    );
    assert_eq!(goal, json!([true, 0]));
    assert_eq!(hoist.value("system::trash()"), json!([]));
}

#[test]
fn a_full_disk_takes_the_trash_first() {
    let hoist = Hoist::on_disk("64m").keeping_trash("1d");
    let import = format!(
        r#"image::import_tar("{}", "busybox")"#,
        inputs::path("busybox.tar").display()
    );
    hoist.eval(&import).success();
    assert_eq!(hoist.value(r#"image::remove("busybox").trashed > 0"#), true);
    let disk = statvfs(&hoist.root()).unwrap();
    let filler = File::create(hoist.root().join("filler")).unwrap();
    let rest = disk.blocks() * disk.fragment_size() / 10;
    let free = disk.blocks_available() * disk.fragment_size();
    posix_fallocate(filler.as_fd(), 0, (free - rest).cast_signed()).unwrap();
    assert_eq!(hoist.value("system::trash().len()"), 1);
    // Something new comes: what is in the trash goes.
    hoist.eval(&import).success();
    assert_eq!(hoist.value("system::trash()"), json!([]));
    let removed = hoist.value(r#"let r = image::remove("busybox"); [r.reclaimed > 0, r.trashed]"#);
    assert_eq!(removed, json!([true, 0]));
    assert_eq!(hoist.value("system::trash()"), json!([]));
}

#[test]
fn rules_hold_for_what_comes_back() {
    let hoist = store();
    hoist.eval(r#"image::remove("team/app:new")"#).success();
    hoist.eval(r#"image::remove("app:2")"#).success();
    let refused = hoist.run(&["--allow-write=other:*", "undo"]);
    assert_eq!(refused.status.code(), Some(3), "{}", refused.stderr);
    let settings = hoist.write("hoist.toml", "[protect]\nimages = [\"app:2\"]\n");
    let refused = hoist.run(&["--config", settings.to_str().unwrap(), "undo"]);
    assert_eq!(refused.status.code(), Some(3), "{}", refused.stderr);
    assert!(!hoist.run(&["--allow-read", "undo"]).status.success());
    hoist.run(&["--allow-write=app:*", "undo"]).success();
    assert_eq!(hoist.value(r#"image::get("app:2").tags"#), json!(["app:2"]));
}

#[test]
fn a_dry_run_undoes_in_its_own_world() {
    let hoist = store();
    let before = hoist.value(FACTS);
    hoist.eval(r#"image::remove("app:1", #{force: true}); image::tag("app:2", "x:1"); 0"#);
    let output = hoist.run(&[
        "--dry-run",
        "eval",
        r#"image::remove("team/app:new"); system::undo(); image::exists("team/app:new")"#,
    ]);
    assert_eq!(output.success().stdout, "true\n");
    assert_ne!(hoist.value(FACTS), before);
}

#[test]
fn a_database_that_is_made_anew_keeps_the_trash() {
    let hoist = store();
    let before = hoist.value(FACTS);
    hoist.eval(r#"image::prune(#{all: true, reference: "*"}); 0"#).success();
    let path = hoist.root().join("hoist.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    drop(connection);
    let file = File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 100], 0).unwrap();
    assert_eq!(hoist.value("system::check(#{repair: true}).ok"), true);
    hoist.eval("system::undo()").success();
    assert_eq!(hoist.value(FACTS), before);
    assert_whole(&hoist);
}

#[test]
fn a_kill_leaves_it_in_the_trash_or_brings_it_back() {
    let hoist = store();
    let before = hoist.value(FACTS);
    let gone = r#"system::empty_trash(); image::prune(#{all: true, reference: "*"}); 0"#;
    let (mut undone, mut kept) = (0, 0);
    fault::everywhere(&CALLS, 10, |place| {
        if hoist.value("image::list().len()") != 0 {
            hoist.eval(gone).success();
        }
        let killed = fault::kill(&hoist, "system::undo()", place);
        if hoist.value("system::trash().len()") == 0 {
            undone += 1;
        } else {
            kept += 1;
            hoist.eval("system::undo()").success();
        }
        assert_eq!(hoist.value(FACTS), before, "{place}");
        killed
    });
    assert!(undone > 0 && kept > 0, "{undone} undone, {kept} kept");
    let (mut removed, mut stays) = (0, 0);
    fault::everywhere(&CALLS, 10, |place| {
        let killed = fault::kill(&hoist, gone, place);
        match hoist.value("system::trash().len()").as_i64() {
            Some(0) => stays += 1,
            _ => {
                removed += 1;
                hoist.eval("system::undo()").success();
            }
        }
        assert_eq!(hoist.value(FACTS), before, "{place}");
        killed
    });
    assert!(removed > 0 && stays > 0, "{removed} removed, {stays} stay");
    assert_whole(&hoist);
}
