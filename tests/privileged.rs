//! Containers that may do what the host's root may.

use serde_json::json;

use crate::harness::Hoist;

/// What a command prints in a container with these options.
fn printed(hoist: &Hoist, command: &str, options: &str) -> String {
    let script = format!(
        r#"container::run("busybox", {}, #{{{options}}}).text()"#,
        json!(command)
    );
    hoist.value(&script).as_str().unwrap().to_owned()
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("{status}")).trim().to_owned()
}

const PRIVILEGED: &str = "privileged: true";

#[test]
fn it_has_all_capabilities_of_its_maker_and_no_filter() {
    let hoist = Hoist::with_busybox();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let status = printed(&hoist, "cat /proc/self/status", PRIVILEGED);
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(&status, set), field(&own, "CapBnd"), "{set}");
    }
    assert_eq!(
        (field(&status, "CapInh").as_str(), field(&status, "Seccomp").as_str()),
        ("0000000000000000", "0")
    );
    // What is said beside it counts: a filter, a capability less.
    let less = printed(
        &hoist,
        "cat /proc/self/status",
        r#"privileged: true, seccomp: "default", cap_drop: ["CHOWN"]"#,
    );
    assert_eq!(field(&less, "Seccomp"), "2");
    let bits = |status: &str| u64::from_str_radix(&field(status, "CapEff"), 16).unwrap();
    assert_eq!(bits(&status) & !bits(&less), 1);
    assert_eq!(
        hoist.value(r#"container::create("busybox", ["true"], #{privileged: true}).inspect().HostConfig.Privileged"#),
        true
    );
}

/// CVE-2021-20188: a user who is not root keeps none of them over `execve`.
#[test]
fn another_user_has_none_of_them() {
    let hoist = Hoist::with_busybox();
    let status = printed(&hoist, "cat /proc/self/status", r#"privileged: true, user: "1000""#);
    assert_eq!(
        (field(&status, "CapEff").as_str(), field(&status, "CapPrm").as_str()),
        ("0000000000000000", "0000000000000000")
    );
    let read = r#"container::run("busybox", "touch /x; chmod 0 /x; su -s /bin/sh nobody -c 'cat /x' || cat /x && echo read", #{privileged: true, user: "1000", check: false}).stdout"#;
    assert_eq!(hoist.value(read), "");
}

#[test]
fn nothing_of_the_kernels_is_hidden_or_write_protected() {
    let hoist = Hoist::with_busybox();
    let mounts = |options| printed(&hoist, "cat /proc/self/mountinfo", options);
    let places = |mounts: &str, start: &str| {
        let places = mounts.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned());
        places.filter(|place| place.starts_with(start)).count()
    };
    let (all, usual) = (mounts(PRIVILEGED), mounts(""));
    assert_eq!(places(&all, "/proc"), 1, "{all}");
    assert!(places(&usual, "/proc") > 1, "{usual}");
    let kernel = all
        .lines()
        .filter(|line| [" /sys", " /proc"].iter().any(|place| line.contains(place)));
    for line in kernel {
        assert!(line.split(' ').nth(5).unwrap().starts_with("rw"), "{line}");
    }
    // It can mount, and make control groups below its own.
    let made = "mount -t tmpfs x /mnt && mkdir /sys/fs/cgroup/*/x && rmdir /sys/fs/cgroup/*/x && echo made";
    let script = format!(
        r#"container::run("busybox", {}, #{{privileged: true, check: false}}).stdout"#,
        json!(format!("mkdir -p /mnt; {}", made.replace("/*/", "/pids/")))
    );
    assert_eq!(hoist.value(&script), "made\n");
}

#[test]
fn it_has_the_hosts_devices() {
    let hoist = Hoist::with_busybox();
    let listed = printed(&hoist, "find /dev -xdev -type c -o -type b", PRIVILEGED);
    let has = |place: &str| listed.lines().any(|line| line == place);
    for name in ["null", "tty", "kmsg", "mem"] {
        let place = format!("/dev/{name}");
        assert_eq!(
            has(&place),
            std::path::Path::new(&place).exists(),
            "{place} in {listed}"
        );
    }
    // None is kept from it: a device without a driver is asked for, not refused.
    let open = r#"container::run("busybox", "mknod /x b 61 9; cat /x", #{privileged: true, check: false}).stderr"#;
    assert!(!hoist.value(open).as_str().unwrap().contains("not permitted"));
}
