//! Damage to the database, which is made anew from what can be read of it and of the store.

use super::*;

/// What is stored, as scripts see it.
fn facts(hoist: &Hoist) -> Value {
    hoist.value(
        r#"[
            image::list(#{all: true}).map(|i| [i.id, i.tags, i.size, i.layers]),
            container::list(#{all: true}).map(|c| [c.id, c.name, c.image, c.image_id, c.status, c.exit_code, c.cmd]),
        ]"#,
    )
}

fn volumes(hoist: &Hoist) -> Vec<(String, String)> {
    let connection = rusqlite::Connection::open(hoist.root().join("hoist.db")).unwrap();
    let mut statement = connection
        .prepare("SELECT name, coalesce(container, '') FROM volume LEFT JOIN container_volume ON volume = name")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Does the damage to the database, whose log is empty; all that was there is back after a repair.
#[track_caller]
fn assert_rebuilt_after(damage: impl FnOnce(&Path)) {
    let hoist = store();
    let (before, before_volumes) = (facts(&hoist), volumes(&hoist));
    sqlite(&hoist, "PRAGMA wal_checkpoint(TRUNCATE)");
    damage(&hoist.root().join("hoist.db"));
    assert_eq!(found(&hoist, ""), ["database"]);
    let check = hoist.value("system::check(#{repair: true})");
    assert_eq!(check["ok"], true, "{check:#}");
    assert_eq!(check["problems"][0]["kind"], "database", "{check:#}");
    assert_sound(&hoist);
    assert_eq!(facts(&hoist), before);
    assert_eq!(volumes(&hoist), before_volumes);
    assert_usable(&hoist, LAYERS);
    assert_others_go_on(&hoist);
}

fn overwrite(path: &Path, place: u64, bytes: &[u8]) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(bytes, place)
        .unwrap();
}

#[test]
fn a_database_with_damaged_pages_is_made_anew() {
    assert_rebuilt_after(|path| {
        let pages = fs::metadata(path).unwrap().len() / 4096;
        (pages / 3..pages * 2 / 3).for_each(|page| overwrite(path, page * 4096, &[0xa5; 4096]));
    });
}

#[test]
fn a_database_without_its_header_is_made_anew() {
    assert_rebuilt_after(|path| overwrite(path, 0, &[0; 100]));
    assert_rebuilt_after(|path| overwrite(path, 0, &[0; 4096]));
}

#[test]
fn a_database_of_which_nothing_is_left_is_made_anew_from_what_is_in_the_store() {
    assert_rebuilt_after(|path| fs::write(path, [0xa5; 100_000]).unwrap());
    assert_rebuilt_after(|path| File::options().write(true).open(path).unwrap().set_len(0).unwrap());
    assert_rebuilt_after(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_damaged_database_says_the_way_out_and_is_kept() {
    let hoist = store();
    let path = hoist.root().join("hoist.db");
    sqlite(&hoist, "PRAGMA wal_checkpoint(TRUNCATE)");
    overwrite(&path, 0, &[0; 100]);
    let damaged = fs::read(&path).unwrap();
    let output = hoist.eval("image::list().len()");
    assert!(!output.status.success());
    assert!(
        output.stderr.contains("corrupt") && output.stderr.contains("system::check(#{repair: true})"),
        "{}",
        output.stderr
    );
    hoist
        .run(&["--dry-run", "eval", "system::check(#{repair: true}).ok"])
        .success();
    assert_eq!(fs::read(&path).unwrap(), damaged);
    hoist.eval("system::check(#{repair: true}).ok").success();
    let kept: Vec<PathBuf> = fs::read_dir(hoist.root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let kept: Vec<_> = kept
        .iter()
        .filter(|path| path.display().to_string().contains("-damaged-"))
        .collect();
    assert!(kept.iter().any(|path| fs::read(path).unwrap() == damaged), "{kept:?}");
}
