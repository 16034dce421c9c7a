//! Damage to containers, their volumes and what the kernel keeps for them.

use super::*;

#[test]
fn containers_and_volumes_fit_their_directories() {
    let hoist = store();
    let id = text(&hoist, r#"container::get("box").id"#);
    let dir = hoist.root().join("containers").join(&id);
    for file in ["config.json", "launch.json"] {
        let before = fs::read(dir.join(file)).unwrap();
        fs::write(dir.join(file), "{").unwrap();
        assert_eq!(found(&hoist, ""), ["container_unreadable"]);
        assert_told(&hoist, "container_unreadable");
        hoist.eval("image::list().len()").success();
        fs::write(dir.join(file), before).unwrap();
    }
    let volume = hoist.root().join("volumes/data");
    fs::remove_dir_all(&volume).unwrap();
    assert_repaired(&hoist, &["volume_missing"]);
    assert!(volume.is_dir());
    fs::create_dir(hoist.root().join("volumes/found")).unwrap();
    assert_repaired(&hoist, &["volume_orphan"]);
    for entry in fs::read_dir(hoist.root().join("layers")).unwrap() {
        let path = entry.unwrap().path();
        if path.display().to_string().contains(".init-") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    assert_repaired(&hoist, &["container_layer"]);
    assert_others_go_on(&hoist);
    fs::remove_dir_all(&dir).unwrap();
    assert_repaired(&hoist, &["container_missing"]);
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
}

#[test]
fn what_is_left_mounted_is_unmounted() {
    let hoist = store();
    let place = hoist.root().join("layers/a mount");
    fs::create_dir(&place).unwrap();
    let mut command = program("mount");
    command.args(["-t", "tmpfs", "none"]).arg(&place);
    assert!(command.status().unwrap().success());
    assert_eq!(found(&hoist, ""), ["mount", "stray"]);
    hoist.eval("system::check(#{repair: true}).problems.len()").success();
    fs::remove_dir(&place).unwrap();
    assert_sound(&hoist);
    hoist.assert_nothing_left();
}

#[test]
fn process_state_of_nobody_is_removed() {
    let hoist = store();
    let dir = hoist.run_root().join("containers").join("ab".repeat(32));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
    assert_repaired(&hoist, &["run_state"]);
    assert!(!dir.exists());
    assert_others_go_on(&hoist);
}

#[test]
fn control_groups_of_nobody_go_with_what_runs_in_them_and_those_of_other_stores_stay() {
    let (hoist, other) = (store(), Hoist::with_busybox());
    let run = r#"container::run_detached("busybox", ["sleep", "1000"]).id"#;
    let (lost, others) = (text(&hoist, run), text(&other, run));
    // As if all that the store knew of it were lost.
    let state: Value =
        serde_json::from_slice(&fs::read(hoist.run_root().join("containers").join(&lost).join("state.json")).unwrap())
            .unwrap();
    let supervisor = i32::try_from(state["supervisor"]["pid"].as_i64().unwrap()).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(supervisor),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    sqlite(&hoist, &format!("DELETE FROM container WHERE id = '{lost}'"));
    for dir in [hoist.root(), hoist.run_root()] {
        fs::remove_dir_all(dir.join("containers").join(&lost)).unwrap();
    }
    assert_sound(&other);
    let check = assert_repaired(&hoist, &["control_group"]);
    assert_eq!(check["problems"][0]["object"], lost, "{check:#}");
    hoist.assert_nothing_left();
    let status = other.value(&format!(r#"container::get("{others}").status"#));
    assert_eq!(status, "running");
}
