//! What a container sees, may do and may use: no more than it should, whatever its image says.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use hoist::error::Kind;
use hoist::model::Context;
use hoist::runtime::limits::Limits;
use hoist::runtime::{Request, Stdin, Tmpfs};

use super::place::{Place, run};

#[test]
fn a_container_sees_itself_alone() {
    let place = Place::new();
    let bundle = place.create(&place.request("echo $$; hostname; cat /etc/hostname; echo $HOSTNAME"));
    let id = bundle.id.short().to_owned();
    let ran = run(&Context::new(), &bundle, Stdin::Null).unwrap();
    assert_eq!(ran.stdout, format!("1\n{id}\n{id}\n{id}\n"));
    assert_eq!(
        place.sh("ls /proc/self/fd").split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    assert!(place.sh("ls /proc | grep -c '^[0-9]'").trim().parse::<u32>().unwrap() <= 3);
    // Nothing of the host's mounts is left, in particular no path of this test.
    let mounts = place.sh("cat /proc/self/mountinfo");
    let outside = |line: &&str| {
        line.split(' ')
            .nth(4)
            .is_some_and(|at| at.contains("oldroot") || at.starts_with("/mnt"))
    };
    assert_eq!(mounts.lines().find(outside), None, "{mounts}");
    // Loopback alone, and up (IFF_UP | IFF_LOOPBACK).
    assert_eq!(
        place.sh("cd /sys/class/net; ls; cat lo/flags; cat /proc/sys/net/ipv4/ping_group_range"),
        "lo\n0x9\n0\t2147483647\n"
    );
}

#[test]
fn s19_rights_are_no_more_than_the_default() {
    let place = Place::new();
    let args = ["cat", "/proc/self/status"].map(str::to_owned).to_vec();
    let status = place
        .run(&Request {
            args,
            ..place.request("")
        })
        .stdout;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP
    for (set, bits) in [
        ("CapInh", 0),
        ("CapPrm", 0x8004_05fb),
        ("CapEff", 0x8004_05fb),
        ("CapBnd", 0x8004_05fb),
        ("CapAmb", 0),
    ] {
        assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), bits, "{set}");
    }
    assert_eq!(
        (field("Seccomp:"), field("NoNewPrivs:"), field("Umask:")),
        ("2".into(), "0".into(), "0022".into())
    );
    for field_name in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(u64::from_str_radix(&field(field_name), 16).unwrap(), 0, "{field_name}");
    }
    let strict = Request {
        no_new_privileges: true,
        user: "app".into(),
        ..place.request("cat /proc/self/status")
    };
    let status = place.run(&strict).stdout;
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("CapEff:\t0000000000000000"),
        "{status}"
    );
}

#[test]
fn what_tells_of_the_host_is_hidden_and_what_changes_it_is_read_only() {
    let place = Place::new();
    assert_eq!(
        place.sh("cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; ls /sys/firmware"),
        ""
    );
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/sys/class/net/lo/mtu",
        "/sys/kernel/profiling",
    ] {
        let ran = place.run(&place.request(&format!("echo x > {path}")));
        assert!(
            ran.exit.code != 0 && ran.stderr.contains("ead-only"),
            "{path}: {}",
            ran.stderr
        );
    }
    let nodes = place
        .sh("stat -c '%n %t:%T %a' /dev/null /dev/zero /dev/tty; ls /dev; echo x > /dev/null; echo hi > /dev/shm/x");
    assert!(
        nodes.starts_with("/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/tty 5:0 666\n"),
        "{nodes}"
    );
    let devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(nodes.lines().skip(3).collect::<Vec<_>>().join(" "), devices);
}

#[test]
fn limits_hold_and_are_seen_from_inside() {
    let place = Place::new();
    let limits = Limits {
        memory: Some(16 << 20),
        pids: Some(8),
        cpus: Some(0.5),
        ..Limits::default()
    };
    let bite = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
    let ran = place.run(&Request {
        limits: limits.clone(),
        timeout: Some(Duration::from_secs(2)),
        ..place.request(bite)
    });
    assert!(ran.stderr.contains("can't fork"), "{ran:?}");
    let args = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]
        .map(str::to_owned)
        .to_vec();
    let ran = place.run(&Request {
        limits: limits.clone(),
        args,
        ..place.request("")
    });
    assert_eq!((ran.exit.oom_killed, ran.exit.code), (true, 137), "{ran:?}");
    // Its own groups are the top, and it cannot write to them.
    let script = "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max; echo 1 > pids/tasks; mkdir x";
    let ran = place.run(&Request {
        limits,
        ..place.request(script)
    });
    let (groups, rest) = ran.stdout.split_at(ran.stdout.find("\n16777216").unwrap());
    assert!(groups.lines().all(|line| line.ends_with(":/")), "{groups}");
    assert_eq!(rest, "\n16777216\n8\n");
    assert_eq!(ran.stderr.matches("ead-only file system").count(), 2, "{}", ran.stderr);
    let limits = Limits {
        memory: Some(1),
        ..Limits::default()
    };
    let request = Request {
        limits,
        ..place.request("true")
    };
    assert_eq!(place.try_create(&request).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn s15_an_image_cannot_lead_mounts_out_of_its_root() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.layer().join("data")).unwrap();
    symlink("../../../../../../../../..", place.layer().join("dev")).unwrap();
    symlink("/run/absent/resolv.conf", place.layer().join("etc/resolv.conf")).unwrap();
    let request = Request {
        cwd: "/data/deep".to_owned(),
        tmpfs: vec![Tmpfs {
            target: "/data/scratch".into(),
            options: Vec::new(),
        }],
        ..place.request("pwd; ls /data")
    };
    let ran = run(&Context::new(), &place.create(&request), Stdin::Null);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // A `/dev` that is a link to the root would cover everything; that is the image's own loss.
    drop(ran);
    fs::remove_file(place.layer().join("dev")).unwrap();
    let ran = place.run(&request);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(ran.stdout.contains("deep\nscratch\n"), "{ran:?}");
    fs::remove_dir(place.layer().join("proc")).unwrap();
    symlink("etc", place.layer().join("proc")).unwrap();
    let error = run(&Context::new(), &place.create(&request), Stdin::Null).unwrap_err();
    assert_eq!(
        error.message(),
        "failed to mount `/proc`: `/proc` is a link in the image, and must be mounted on ordinary directory"
    );
}
