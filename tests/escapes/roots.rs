//! Links in the root and in volumes, still and moving, where the engine mounts, makes or writes something.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

use super::{Naive, inside, load_over_busybox, refused};
use crate::harness::forge::Item;
use crate::hostile::Beside;

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: what the kernel shows is mounted where a link in the image leads, so that the
/// container's own files stand where the engine and its programs look for the kernel's.
#[test]
fn links_in_place_of_proc_and_sys() {
    let beside = Beside::with_busybox();
    let (hoist, naive) = (&beside.hoist, Naive::new(&beside));
    let dir = format!("{}/dir", beside.dir());
    let seen = naive.run(
        &[("proc", Item::Symlink(&format!("{}/dir", naive.outside)))],
        "mount -t proc proc $root/proc; ls $outside/dir/self/status",
    );
    assert!(seen.contains("status"), "the naive mount went elsewhere");
    for name in ["proc", "sys"] {
        for target in [dir.as_str(), "/x", "../../../../..", "bin"] {
            load_over_busybox(hoist, &[("x", Item::Dir), (name, Item::Symlink(target))]);
            let run = r#"container::run("attack:1", ["/bin/true"])"#;
            assert_eq!(refused(hoist, run), "denied", "/{name} -> {target}");
            beside.assert_untouched();
        }
    }
    hoist.assert_nothing_left();
}

/// CVE-2019-16884, CVE-2025-52881: a mount over `/proc` or part of it, after which what the engine writes there goes where the
/// container says.
#[test]
fn mounts_over_proc() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    load_over_busybox(
        hoist,
        &[("p", Item::Symlink("/proc")), ("q", Item::Symlink("proc/sys"))],
    );
    for target in [
        "/proc",
        "/proc/",
        "/proc/sys",
        "/proc/self/attr",
        "//proc/sys/net",
        "/x/../proc/sys",
        "/proc/sysrq-trigger",
    ] {
        for option in [format!(r#"volumes: ["v:{target}"]"#), format!(r#"tmpfs: ["{target}"]"#)] {
            let run = format!(r#"container::run("busybox", ["true"], #{{{option}}})"#);
            assert_eq!(refused(hoist, &run), "invalid", "{option}");
        }
    }
    // Through links: the kernel's own is what is seen in the end, and the setting is the container's.
    for target in ["/p", "/q", "/p/sys/net", "/q/net/ipv4"] {
        let options = format!(r#"volumes: ["w:{target}"], sysctls: #{{"net.ipv4.ip_default_ttl": "77"}}"#);
        let script = format!(
            r#"let r = attempt(|| container::run("attack:1", "cat /proc/sys/net/ipv4/ip_default_ttl", #{{{options}}}).stdout);
            if r.ok {{ r.value }} else {{ "" }}"#
        );
        let seen = hoist.value(&script);
        assert!(seen == "77\n" || seen == "", "{target}: {seen}");
    }
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    hoist.assert_nothing_left();
}

/// CVE-2026-41579, CVE-2026-47766: `/dev` is a link out of the root when the devices are made in it.
#[test]
fn a_link_in_place_of_dev() {
    let beside = Beside::with_busybox();
    let (hoist, naive) = (&beside.hoist, Naive::new(&beside));
    let (dir, climb) = (
        format!("{}/dir", beside.dir()),
        format!("../../../../../../..{}/dir", beside.dir()),
    );
    let seen = naive.run(
        &[("dev", Item::Symlink(&format!("../../../../../..{}/dir", naive.outside)))],
        "mknod $root/dev/null c 1 3; ls $outside/dir; rm $root/dev/null",
    );
    assert_eq!(seen, "deep\nnull\n", "the naive device went elsewhere");
    for target in [dir.as_str(), climb.as_str(), "..", "/", "bin", "dev"] {
        load_over_busybox(hoist, &[("dev", Item::Symlink(target))]);
        let script =
            r#"let r = attempt(|| container::run("attack:1", ["/bin/true"])); if r.ok { "" } else { r.error.kind }"#;
        let kind = hoist.value(script);
        assert!(
            kind == "" || kind == "denied" || kind == "invalid" || kind == "not_found",
            "{target}: {kind}"
        );
        beside.assert_untouched();
    }
    hoist.assert_nothing_left();
}

/// CVE-2025-31133: files are hidden behind `/dev/null`, and the container says what that is.
#[test]
fn a_null_device_that_is_none() {
    let beside = Beside::with_busybox();
    let (hoist, naive) = (&beside.hoist, Naive::new(&beside));
    let null = [
        ("dev", Item::Dir),
        ("dev/null", Item::Symlink("/proc/sys/kernel/core_pattern")),
    ];
    let seen = naive.run(
        &null,
        "mount -t proc proc $root/proc; mount --bind $root/dev/null $root/proc/keys; cat $root/proc/keys",
    );
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    assert_eq!(seen, pattern, "the naive mask hid nothing else");
    // By the image, and by a volume in the place of `/dev`, which other containers write to meanwhile.
    load_over_busybox(hoist, &null);
    hoist
        .eval(r#"container::run("busybox", "mkdir /v/shm /v/pts /v/mqueue; ln -s /proc/sys/kernel/core_pattern /v/null", #{volumes: ["v:/v"]})"#)
        .success();
    let look = "cat /proc/kcore /proc/keys /proc/timer_list | wc -c; \
                echo '|/x' > /proc/kcore; echo '|/x' > /proc/keys; echo '|/x' > /dev/null";
    for options in ["", r#"volumes: ["v:/dev"]"#] {
        let script = format!(
            r#"let r = attempt(|| container::run("attack:1", {}, #{{check: false, {options}}}).stdout); if r.ok {{ r.value }} else {{ "0\n" }}"#,
            json!(look)
        );
        assert_eq!(hoist.value(&script), "0\n", "{options}");
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
    }
    hoist.assert_nothing_left();
}

/// CVE-2021-30465, CVE-2024-45310: the place of a mount lies in a volume, and another container swaps it for a link between the look
/// and the mount. Nothing is mounted and nothing is made outside.
#[test]
fn places_of_mounts_that_move() {
    let beside = Beside::with_busybox();
    let (hoist, naive) = (&beside.hoist, Naive::new(&beside));
    let seen = naive.run(
        &[("data", Item::Dir), ("data/place", Item::Symlink(&naive.outside))],
        "mkdir src; touch src/mounted; mount --bind src $root/data/place/dir; ls $outside/dir; umount $outside/dir; rmdir -p --ignore-fail-on-non-empty src",
    );
    assert_eq!(seen, "mounted\n", "the naive mount went elsewhere");
    hoist
        .eval(r#"container::run("busybox", "mkdir -p /v/place/dir; touch /w/mounted", #{volumes: ["v:/v", "w:/w"]})"#)
        .success();
    let path = hoist.value(r#"let c = container::create("busybox", ["true"], #{volumes: ["v:/v"]}); let p = c.inspect().Mounts[0].Source; c.remove(); p"#);
    let volume = std::path::PathBuf::from(path.as_str().unwrap());
    symlink(beside.dir(), volume.join("link")).unwrap();
    let done = AtomicBool::new(false);
    let script = r#"
        let wrong = [];
        let mounted = 0;
        for n in 0..500 {
            let r = attempt(|| container::run("busybox", "grep -c ' /[^ ]*secret' /proc/self/mountinfo; ls /v/place/dir /v/link/dir 2>/dev/null",
                #{volumes: ["v:/v", "w:/v/place/dir"], check: false}));
            if r.ok { if r.value.stdout.contains("mounted") { mounted += 1; } if !r.value.stdout.starts_with("0") { wrong.push(r.value.stdout); } }
        }
        [wrong, mounted > 0]"#;
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (place, link) = (volume.join("place"), volume.join("link"));
            while !done.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, &place, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        let result = hoist.script(&format!("print(json::stringify({{{script}}}))"), &[]);
        done.store(true, Ordering::Relaxed);
        result
    });
    assert_eq!(result.success().stdout.trim(), "[[],true]");
    // Made in the volume itself or not at all.
    beside.assert_untouched();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(beside.dir()), "{mounts}");
    hoist.assert_nothing_left();
}

/// CVE-2025-24965, CVE-2026-55686: the working directory and the files that the engine puts into the root lie behind links.
#[test]
fn files_of_the_engine_behind_links() {
    let beside = Beside::with_busybox();
    let (hoist, naive) = (&beside.hoist, Naive::new(&beside));
    let dir = format!("{}/dir", beside.dir());
    let climb = format!("../../../../../../..{dir}");
    let seen = naive.run(
        &[("srv", Item::Symlink(&format!("{}/dir", naive.outside)))],
        "mkdir -p $root/srv/new; ls $outside/dir; rmdir $root/srv/new",
    );
    assert_eq!(seen, "deep\nnew\n", "the naive directory went elsewhere");
    for target in [dir.as_str(), climb.as_str()] {
        load_over_busybox(
            hoist,
            &[
                ("etc", Item::Symlink(target)),
                ("srv", Item::Symlink(target)),
                ("run", Item::Symlink(target)),
            ],
        );
        let seen = inside(
            hoist,
            "attack:1",
            "pwd; ls /etc/",
            r#"workdir: "/srv/new", volumes: ["v:/run/deep/v"]"#,
        );
        assert!(seen.starts_with(&dir) || seen.is_empty(), "{seen}");
        assert!(!seen.contains("file"), "{seen}");
        beside.assert_untouched();
    }
    hoist.assert_nothing_left();
}
