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
        ("/dev", "invalid"),
        ("zero", "invalid"),
        ("/dev/zero:r", "unsupported"),
    ];
    for (device, kind) in cases {
        let call = format!(r#"attempt(|| container::run("busybox", ["true"], #{{devices: ["{device}"]}})).error.kind"#);
        assert_eq!(hoist.value(&call), kind, "{device}");
    }
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
}
