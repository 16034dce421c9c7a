//! Containers whose users are nobody on the host.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// The range of a container: the first number on the host.
fn first(hoist: &Hoist, name: &str) -> u64 {
    let map = hoist.value(&format!(
        r#"container::get("{name}").inspect().HostConfig.IDMappings.UidMap[0]"#
    ));
    let numbers: Vec<u64> = map
        .as_str()
        .unwrap()
        .split(':')
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!((numbers[0], numbers[2]), (0, 65536));
    numbers[1]
}

const AUTO: &str = r#"userns: "auto""#;

#[test]
fn its_root_is_nobody_on_the_host_and_its_files_are_as_an_image_has_them() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let make = "echo hello > /x; mkdir -p /d; echo hi > /d/y; chown 1000:1001 /d/y; rm /etc/passwd; chown 7 /bin/busybox; id -u; sleep 1000";
        let c = container::run_detached("busybox", make, #{name: "c", userns: "auto"});
        retry(1000, || { if c.exec(["stat", "-c", "%u", "/bin/busybox"]).text() != "7" { throw "not yet" } }, #{delay: 10.millis});
        [c.pid, c.exec("id -u; stat -c '%u %g' /x /d/y; cat /proc/self/uid_map; touch /made; stat -c %u /made /dev /dev/null /etc/hosts /proc/1").lines()]"#;
    let seen = hoist.value(script);
    let uid = first(&hoist, "c");
    let lines: Vec<String> = seen[1]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let map = format!("0 {uid} 65536");
    assert_eq!(lines, ["0", "0 0", "1000 1001", &map, "0", "0", "0", "0", "0"]);
    assert_eq!(
        std::fs::metadata(format!("/proc/{}", seen[0])).unwrap().uid(),
        u32::try_from(uid).unwrap()
    );
    // In the store it is as in any other container.
    let upper = hoist.value(r#"container::get("c").inspect().GraphDriver.Data.UpperDir"#);
    let upper = Path::new(upper.as_str().unwrap());
    for (name, owner) in [
        ("x", (0, 0)),
        ("d", (0, 0)),
        ("d/y", (1000, 1001)),
        ("made", (0, 0)),
        ("bin/busybox", (7, 0)),
    ] {
        let status = std::fs::symlink_metadata(upper.join(name)).unwrap();
        assert_eq!((status.uid(), status.gid()), owner, "{name}");
    }
    let committed = r#"
        let c = container::get("c");
        c.commit("committed");
        let seen = container::run("committed", "stat -c '%u %g' /x /d/y /bin/busybox; ls /etc/passwd; true").lines();
        [seen, c.diff().map(|d| `${d.kind} ${d.path}`).filter(|d| !d.contains("/d")).sort()]"#;
    let committed = hoist.value(committed);
    assert_eq!(committed[0], json!(["0 0", "1000 1001", "7 0"]));
    // Started again it has the same users.
    let again = r#"let c = container::get("c"); c.stop(#{timeout: 0.seconds}); c.start(); c.exec("id -u; stat -c %u /x").lines()"#;
    assert_eq!(hoist.value(again), json!(["0", "0"]));
    assert_eq!(first(&hoist, "c"), uid);
}

#[test]
fn no_two_containers_have_the_same_users() {
    let hoist = Hoist::with_busybox();
    let make = r#"parallel_map([1, 2, 3, 4], |n| container::create("busybox", ["true"], #{name: `c${n}`, userns: "auto"}).name, #{jobs: 4}).len()"#;
    assert_eq!(hoist.value(make), 4);
    let mut ranges: Vec<u64> = (1..5).map(|number| first(&hoist, &format!("c{number}"))).collect();
    ranges.sort_unstable();
    assert!(
        ranges[0] >= 524_288 && ranges.windows(2).all(|pair| pair[1] - pair[0] >= 65536),
        "{ranges:?}"
    );
    // What is removed is free again.
    assert_eq!(hoist.value(r#"container::get("c1").remove(); container::create("busybox", ["true"], #{name: "c5", userns: "auto"}).name"#), "c5");
    assert!(ranges.contains(&first(&hoist, "c5")));
    assert_eq!(
        hoist.value(
            r#"container::create("busybox", ["true"], #{userns: "host"}).inspect().HostConfig.IDMappings == ()"#
        ),
        true
    );
}

#[test]
fn volumes_are_shared_by_containers_with_other_users() {
    let hoist = Hoist::with_busybox();
    let write = "echo one > /v/one; chown 5 /v/one; id -u";
    for options in [AUTO, AUTO, ""] {
        let keep = format!(
            r#"{options}{} volumes: ["v:/v"], keep: true"#,
            if options.is_empty() { "" } else { "," }
        );
        assert_eq!(printed(&hoist, write, &keep), "0");
        assert_eq!(printed(&hoist, "stat -c '%u %g' /v /v/one", &keep), "0 0\n5 0");
    }
}

/// What the container escapes of years need: root inside, who is root of the host's files as well.
#[test]
fn its_root_writes_to_no_file_of_the_hosts_root_unless_mapped() {
    let hoist = Hoist::with_busybox();
    let dir = hoist.dir().join("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "the host's").unwrap();
    let attack = "echo mine > /v/file; echo mine > /v/new; chown 0 /v/file; chmod 777 /v/file; rm -f /v/file; stat -c %u /v/file";
    let bind = |mode: &str| format!(r#"{AUTO}, volumes: ["{}:/v{mode}"], check: false"#, dir.display());
    assert_eq!(printed(&hoist, attack, &bind("")), "65534");
    assert_eq!(std::fs::read_to_string(dir.join("file")).unwrap(), "the host's");
    assert!(!dir.join("new").exists());
    // With its privileges too: they count for what is its own.
    assert_eq!(
        printed(&hoist, attack, &format!("{}, privileged: true", bind(""))),
        "65534"
    );
    assert_eq!(std::fs::read_to_string(dir.join("file")).unwrap(), "the host's");
    let mapped = "stat -c %u /v/file; echo mine > /v/file; echo mine > /v/new; stat -c %u /v/new";
    assert_eq!(printed(&hoist, mapped, &bind(":idmap")), "0\n0");
    assert_eq!(std::fs::metadata(dir.join("new")).unwrap().uid(), 0);
    let nobody = format!(
        r#"attempt(|| container::create("busybox", ["true"], #{{volumes: ["{}:/v:idmap"]}})).error.kind"#,
        dir.display()
    );
    assert_eq!(hoist.value(&nobody), "invalid");
}

#[test]
fn files_go_in_and_out() {
    let hoist = Hoist::with_busybox();
    let from = hoist.dir().join("from");
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("file"), "text").unwrap();
    for (name, start) in [("still", ""), ("running", "c.start();")] {
        let script = format!(
            r#"
            let c = container::create("busybox", "sleep 1000", #{{name: "{name}", userns: "auto", volumes: ["v:/v"]}});
            {start}
            c.copy_in("{from}", "/in");
            c.write_file("/written", "new");
            c.write_file("/in/file", "over");
            c.copy_out("/in/file", "{out}");
            [c.read_file("/in/file"), c.diff().map(|d| d.path).filter(|p| p == "/in/file" || p == "/written").len()]"#,
            from = from.display(),
            out = hoist.dir().join(name).display(),
        );
        assert_eq!(hoist.value(&script), json!(["over", 2]), "{name}");
        assert_eq!(std::fs::metadata(hoist.dir().join(name)).unwrap().uid(), 0);
        let owners = format!(
            r#"let c = container::get("{name}"); if c.status != "running" {{ c.start() }} c.exec("stat -c '%u %g' /in /in/file /written").lines()"#
        );
        assert_eq!(hoist.value(&owners), json!(["0 0", "0 0", "0 0"]), "{name}");
    }
}

#[test]
fn it_has_all_rights_over_what_is_its_own_and_none_over_the_rest() {
    let hoist = Hoist::with_busybox();
    let all = format!(r#"{AUTO}, privileged: true, check: false"#);
    // Even those that this program does not have itself.
    let status = printed(&hoist, "grep CapEff /proc/self/status", &all);
    let last: u32 = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(status, format!("CapEff:\t{:016x}", (1u64 << (last + 1)) - 1));
    assert_eq!(
        printed(
            &hoist,
            "mkdir -p /m; mount -t tmpfs x /m && echo mounted; hostname new && hostname",
            &all
        ),
        "mounted\nnew"
    );
    let refused =
        "mknod /zero c 1 5; echo 1 > /proc/sys/kernel/panic_on_oops; echo x > /proc/sysrq-trigger; kill -0 2; echo end";
    assert_eq!(printed(&hoist, refused, &all), "end");
    // Capabilities are those of any container unless more are asked for.
    let usual = printed(&hoist, "grep CapEff /proc/self/status", AUTO);
    assert_eq!(usual, printed(&hoist, "grep CapEff /proc/self/status", ""));
}

#[test]
fn what_every_container_has_works() {
    let hoist = Hoist::with_busybox();
    let devices = "head -c 3 /dev/zero | wc -c; head -c 3 /dev/given | wc -c; echo x > /dev/null; echo y > /dev/stdout; ls -ld /dev/pts | cut -c1-10; echo z > /dev/shm/z; cat /dev/shm/z";
    let options =
        format!(r#"{AUTO}, devices: ["/dev/zero:/dev/given"], sysctls: #{{"net.ipv4.ip_default_ttl": "77"}}"#);
    assert_eq!(printed(&hoist, devices, &options), "3\n3\ny\ndrwxr-xr-x\nz");
    assert_eq!(
        printed(
            &hoist,
            "cat /proc/sys/net/ipv4/ip_default_ttl; cat /proc/sys/net/ipv4/ping_group_range",
            &options
        ),
        "77\n0\t65535"
    );
    assert_eq!(
        printed(&hoist, "tty; id -u", &format!("{AUTO}, tty: true")),
        "/dev/pts/0\r\n0"
    );
    // Another user, a limit, what is read.
    assert_eq!(
        printed(
            &hoist,
            "id -u; id -g; echo ok >/dev/stdout",
            &format!(r#"{AUTO}, user: "1000:1001""#)
        ),
        "1000\n1001\nok"
    );
    let rest = format!(
        r#"{AUTO}, memory: 32.mib, pids_limit: 20, ulimits: #{{nofile: "64:128"}}, read_only: true, tmpfs: ["/t:mode=1777"], stdin: "typed""#
    );
    assert_eq!(
        printed(
            &hoist,
            "cat; echo; ulimit -n; ulimit -Hn; touch /no 2>/dev/null || echo read-only; touch /t/yes && ls /t",
            &rest
        ),
        "typed\n64\n128\nread-only\nyes"
    );
}

#[test]
fn users_can_be_chosen() {
    let hoist = Hoist::with_busybox();
    let maps = r#"userns: #{uid: ["0:700000:1000", "1000:1234:1"], gid: "0:800000:65536"}"#;
    assert_eq!(
        printed(
            &hoist,
            "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' ' | sed 's/^ //'",
            maps
        ),
        "0 700000 1000\n1000 1234 1\n0 800000 65536"
    );
    assert_eq!(
        printed(&hoist, "touch /x; chown 1000:7 /x; stat -c '%u %g' /x", maps),
        "1000 7"
    );
    for options in [
        r#"userns: "keep""#,
        r#"userns: #{uid: "1:1000:1"}"#,
        r#"userns: #{uid: "0:1000:1", other: 1}"#,
        r#"userns: "auto", pid: "host""#,
        r#"userns: "auto", ipc: "host""#,
        r#"userns: "auto", network: "host""#,
        r#"userns: "auto", cgroupns: "host""#,
    ] {
        let call = format!(r#"attempt(|| container::create("busybox", ["true"], #{{{options}}})).error.kind"#);
        assert_eq!(hoist.value(&call), "invalid", "{options}");
    }
}
