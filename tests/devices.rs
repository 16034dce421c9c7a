//! Devices of the host in containers.

use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::harness::Hoist;

/// A device node on the host that is the zero device under another name.
fn node(path: &Path) {
    mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o640), makedev(1, 5)).unwrap();
    std::os::unix::fs::chown(path, Some(7), Some(8)).unwrap();
}

#[test]
fn a_device_is_made_as_the_host_has_it() {
    let hoist = Hoist::with_busybox();
    let source = hoist.dir().join("node");
    node(&source);
    let device = format!("{}:/dev/sub/dir/zero", source.display());
    let run = |command: &str, options: &str| {
        let script = format!(
            r#"container::run("busybox", {}, #{{devices: ["{device}", "/dev/zero:/dev/other:rwm"], check: false{options}}}).stdout"#,
            json!(command)
        );
        hoist.value(&script).as_str().unwrap().trim().to_owned()
    };
    assert_eq!(
        run("stat -c '%F %a %u %g %t %T' /dev/sub/dir/zero", ""),
        "character special file 640 7 8 1 5"
    );
    let read = "head -c 3 /dev/sub/dir/zero | wc -c";
    assert_eq!(run(read, r#", user: "9:8""#), "3");
    assert_eq!(run(read, r#", user: "9:9""#), "0");
    assert_eq!(run("head -c 3 /dev/other | wc -c", ""), "3");
    // It is nobody's but the container's who asked for it.
    assert_eq!(
        hoist.value(r#"container::run("busybox", "ls /dev | grep -c -e sub -e other || true").text()"#),
        "0"
    );
    // It is as the host has it when the container starts; every command of the container has it.
    let script = format!(
        r#"let c = container::create("busybox", ["sleep", "1000"], #{{name: "c", devices: ["{device}"]}}); c.inspect().HostConfig.Devices"#
    );
    let listed = json!([{"PathOnHost": source, "PathInContainer": "/dev/sub/dir/zero", "CgroupPermissions": "rwm"}]);
    assert_eq!(hoist.value(&script), listed);
    std::fs::remove_file(&source).unwrap();
    let start = r#"attempt(|| container::get("c").start()).error.kind"#;
    assert_eq!(hoist.value(start), "not_found");
    std::fs::write(&source, "").unwrap();
    assert_eq!(hoist.value(start), "invalid");
    std::fs::remove_file(&source).unwrap();
    node(&source);
    let exec = format!(
        r#"let c = container::get("c"); c.start(); c.exec({}).text()"#,
        json!(read)
    );
    assert_eq!(hoist.value(&exec), "3");
}

/// A device of no driver that every machine has: opening it fails with `ENXIO`, after all checks.
const DRIVERLESS: (u64, u64) = (61, 9);

/// What a shell says when it opens or makes the node of a device, `sh` by `sh`.
fn said(hoist: &Hoist, command: &str, options: &str) -> String {
    let script = format!(
        r#"container::run("busybox", {}, #{{check: false, {options}}}).stderr"#,
        json!(command)
    );
    hoist.value(&script).as_str().unwrap().to_owned()
}

#[test]
fn a_device_is_used_as_its_rights_say() {
    let hoist = Hoist::with_busybox();
    let (major, minor) = DRIVERLESS;
    let source = hoist.dir().join("node");
    mknod(
        &source,
        SFlag::S_IFBLK,
        Mode::from_bits_truncate(0o666),
        makedev(major, minor),
    )
    .unwrap();
    let (read, write) = ("head -c1 /dev/x", "echo >/dev/x");
    let make = format!("mknod /dev/y b {major} {minor}");
    for (rights, allowed) in [(":r", "r"), (":w", "w"), (":rw", "rw"), (":rm", "rm"), ("", "rwm")] {
        let options = format!(
            r#"devices: ["{}:/dev/x{rights}"], cap_add: ["MKNOD"]"#,
            source.display()
        );
        for (letter, command) in [("r", read), ("w", write), ("m", &make)] {
            let said = said(&hoist, command, &options);
            let refused = said.contains("Operation not permitted");
            assert_eq!(refused, !allowed.contains(letter), "{rights} {command}: {said}");
        }
    }
}

#[test]
fn devices_nobody_gave_are_neither_opened_nor_made() {
    let hoist = Hoist::with_busybox();
    let (major, minor) = DRIVERLESS;
    let node = hoist.dir().join("volume/node");
    std::fs::create_dir(node.parent().unwrap()).unwrap();
    mknod(
        &node,
        SFlag::S_IFCHR,
        Mode::from_bits_truncate(0o666),
        makedev(major, minor),
    )
    .unwrap();
    let bind = format!(
        r#"volumes: ["{}:/v"], cap_add: ["MKNOD"]"#,
        node.parent().unwrap().display()
    );
    let read = "head -c1 /v/node";
    let make = format!("mknod /v/other c {major} {minor}");
    let refused = "Operation not permitted";
    for command in [
        read,
        &make,
        &format!("mknod /dev/other c {major} {minor}"),
        "mknod /x b 7 0",
    ] {
        assert!(said(&hoist, command, &bind).contains(refused), "{command}");
    }
    assert!(!hoist.dir().join("volume/other").exists());
    // Rules say otherwise; a node from elsewhere and one made inside are the same to them.
    let ruled = |rule: &str| format!(r#"{bind}, device_cgroup_rules: ["{rule}"]"#);
    for (rule, command, allowed) in [
        (format!("c {major}:* r"), read.to_owned(), true),
        (format!("c {major}:{} r", minor + 1), read.to_owned(), false),
        (format!("b {major}:{minor} rwm"), read.to_owned(), false),
        ("a *:* m".to_owned(), read.to_owned(), false),
        ("a *:* m".to_owned(), "mknod /x b 7 0".to_owned(), true),
        ("c *:* m".to_owned(), "mknod /x b 7 0".to_owned(), false),
        (
            format!("c {major}:{minor} rm"),
            format!("mknod /x c {major} {minor} && head -c1 /x"),
            true,
        ),
    ] {
        let said = said(&hoist, &command, &ruled(&rule));
        assert_eq!(said.contains(refused), !allowed, "{rule} {command}: {said}");
    }
    // What every container has works under another name as well.
    assert_eq!(said(&hoist, "mknod /x c 1 3 && echo hello >/x", &bind), "");
    assert_eq!(
        hoist.value(
            r#"attempt(|| container::create("busybox", ["true"], #{device_cgroup_rules: ["c 1:3"]})).error.kind"#
        ),
        "invalid"
    );
}

#[test]
fn a_directory_of_devices_is_given_whole() {
    let hoist = Hoist::with_busybox();
    let dir = hoist.dir().join("devices");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    node(&dir.join("one"));
    node(&dir.join("sub/two"));
    std::fs::write(dir.join("file"), "").unwrap();
    let script = format!(
        r#"container::run("busybox", "find /dev/x -type c -o -type f | sort", #{{devices: ["{}:/dev/x"]}}).lines()"#,
        dir.display()
    );
    assert_eq!(hoist.value(&script), json!(["/dev/x/one", "/dev/x/sub/two"]));
}

#[test]
fn a_device_has_its_place_below_dev() {
    let hoist = Hoist::with_busybox();
    let cases = [
        ("/dev/zero:/etc/zero", "invalid"),
        ("/dev/zero:/dev", "invalid"),
        ("/dev/zero:/dev/", "invalid"),
        ("/dev/zero:/dev/../etc/zero", "invalid"),
        ("/dev/zero:/dev/shm/zero", "invalid"),
        ("/dev/zero:/dev/a//b", "invalid"),
        ("/dev/full:/dev/null", "invalid"),
        ("/dev/zero:/dev/fd/zero", "invalid"),
        ("/dev/no-such-device", "not_found"),
        ("/dev:/dev/pts", "invalid"),
        ("/etc:/dev/x", "invalid"),
        ("zero", "invalid"),
        ("/dev/zero:x", "invalid"),
        ("/dev/zero:/dev/other:rr", "invalid"),
    ];
    for (device, kind) in cases {
        let call = format!(r#"attempt(|| container::run("busybox", ["true"], #{{devices: ["{device}"]}})).error.kind"#);
        assert_eq!(hoist.value(&call), kind, "{device}");
    }
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
}
