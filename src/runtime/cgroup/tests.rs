//! Real groups with real processes in them, and what is written where in v2, which few test machines have with controllers.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::*;
use crate::error::Kind;
use crate::model::random_hex;

/// A group that is killed and removed when the test ends.
struct Scratch(Cgroup);

impl Drop for Scratch {
    fn drop(&mut self) {
        self.0.kill_all().unwrap();
        self.0.remove().unwrap();
        assert!(self.0.paths().iter().all(|path| !path.exists()));
    }
}

fn id() -> String {
    format!("test-{}", random_hex(8).unwrap())
}

/// The v1 part alone: there a single thread can join, and so a test can without moving all other tests.
fn v1(limits: &Limits) -> Scratch {
    let mut hierarchies = Hierarchy::detect().unwrap();
    hierarchies.retain(|one| one.version == Version::V1);
    assert!(!hierarchies.is_empty(), "these tests need v1 hierarchies");
    Scratch(Cgroup::create_in(&hierarchies, &id(), limits).unwrap())
}

/// Starts a shell from a thread that joined, as a container's first process does.
#[expect(clippy::disallowed_methods, reason = "a process to be limited, started by the test")]
fn shell(cgroup: &Cgroup, script: &str) -> Child {
    let start = || {
        cgroup.join_self().unwrap();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    };
    std::thread::scope(|scope| scope.spawn(start).join().unwrap())
}

fn finish(child: Child) -> (String, ExitStatus) {
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status)
}

/// Waits until the shell has said its first line, so that it surely runs.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let output = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    line
}

fn value(cgroup: &Cgroup, controller: &str, file: &str) -> String {
    controller::read(&cgroup.v1_with(controller).unwrap().path, file)
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn limits_reach_the_kernel_before_anything_runs() {
    let scratch = v1(&Limits {
        memory: Some(64 << 20),
        memory_swap: Some(96 << 20),
        memory_reservation: Some(32 << 20),
        cpus: Some(0.5),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0".to_owned()),
        pids: Some(7),
        blkio_weight: None,
    });
    for (controller, file, expected) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "100000"),
        ("cpu", "cpu.shares", "512"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "7"),
    ] {
        assert_eq!(value(&scratch.0, controller, file), expected, "{file}");
    }
}

#[test]
fn a_process_that_joined_is_in_every_group_and_counted_once() {
    let scratch = v1(&Limits::default());
    let child = shell(
        &scratch.0,
        "cat /proc/self/cgroup; echo; read -r _ < /dev/null; exec cat /proc/self/cgroup",
    );
    let (text, status) = finish(child);
    assert!(status.success());
    let inside = text.lines().filter(|line| line.contains("/hoist/test-")).count();
    assert_eq!(inside, 2 * scratch.0.paths().len(), "{text}");
    let child = shell(&scratch.0, "exec sleep 100");
    assert_eq!(scratch.0.pids().unwrap(), [child.id() as i32]);
    scratch.0.kill_all().unwrap();
    assert!(!finish(child).1.success());
}

#[test]
fn the_limit_of_processes_bites() {
    let scratch = v1(&Limits {
        pids: Some(3),
        ..Limits::default()
    });
    let script = "for i in 1 2 3 4 5; do sleep 100 > /dev/null & done; echo forked";
    let (said, status) = finish(shell(&scratch.0, script));
    assert!(!status.success());
    assert_eq!(said, "");
}

#[test]
fn the_kernel_kills_for_memory_and_it_is_counted() {
    let scratch = v1(&Limits {
        memory: Some(8 << 20),
        ..Limits::default()
    });
    assert_eq!(scratch.0.oom_kills(), 0);
    let (_, status) = finish(shell(&scratch.0, "x=0123456789abcdef; while :; do x=$x$x; done"));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(scratch.0.oom_kills(), 1);
    assert!(scratch.0.memory_peak().unwrap() > 4 << 20);
}

#[test]
fn frozen_processes_stand_still_and_can_be_killed() {
    let scratch = v1(&Limits::default());
    let mut child = shell(&scratch.0, "echo up; while :; do :; done");
    assert_eq!(first_line(&mut child), "up\n");
    let ctx = Context::new().with_timeout(CLEAN_UP);
    scratch.0.freeze(&ctx).unwrap();
    assert!(scratch.0.is_frozen().unwrap());
    let ticks = || std::fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap();
    let before = ticks();
    // Long enough for a process that runs to be charged for it.
    Context::new().sleep(Duration::from_millis(30)).unwrap();
    assert_eq!(ticks(), before);
    scratch.0.thaw().unwrap();
    assert!(!scratch.0.is_frozen().unwrap());
    scratch.0.freeze(&ctx).unwrap();
    scratch.0.kill_all().unwrap();
    assert!(!scratch.0.is_frozen().unwrap());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&finish(child).1), Some(9));
}

#[test]
fn everything_that_forks_is_killed() {
    let scratch = v1(&Limits {
        pids: Some(200),
        ..Limits::default()
    });
    let mut child = shell(&scratch.0, "echo up; f() { f & f & sleep 100; }; f");
    first_line(&mut child);
    scratch.0.kill_all().unwrap();
    assert_eq!(scratch.0.pids().unwrap(), Vec::<i32>::new());
    child.wait().unwrap();
}

#[test]
fn groups_are_found_again_and_removed_with_all_below_twice() {
    let name = id();
    let made = Cgroup::create(&name, &Limits::default()).unwrap();
    let found = Cgroup::open(&name).unwrap();
    assert_eq!(made.paths(), found.paths());
    assert_eq!(found.clone_into_fd().is_some(), found.of_version(Version::V2).is_some());
    for path in found.paths() {
        std::fs::create_dir(path.join("below")).unwrap();
    }
    found.remove().unwrap();
    made.remove().unwrap();
    assert!(Cgroup::open(&name).unwrap().paths().is_empty());
    // A left-over without processes does not stand in the way of the next start.
    let first = Cgroup::create(&name, &Limits::default()).unwrap();
    Cgroup::create(&name, &Limits::default()).unwrap();
    first.remove().unwrap();
}

#[test]
fn groups_somebody_else_has_just_removed_are_fine() {
    let id = id();
    let first = Cgroup::create(&id, &Limits::default()).unwrap();
    let late = Cgroup::open(&id).unwrap();
    assert!(!late.paths().is_empty());
    first.remove().unwrap();
    assert!(!late.is_frozen().unwrap());
    assert!(late.pids().unwrap().is_empty());
    late.thaw().unwrap();
    late.kill_all().unwrap();
    late.remove().unwrap();
    // What was asked for and cannot be done is an error all the same.
    assert!(late.freeze(&Context::new()).is_err());
}

#[test]
fn the_unified_hierarchy_freezes_and_kills() {
    let mut hierarchies = Hierarchy::detect().unwrap();
    hierarchies.retain(|one| one.version == Version::V2);
    assert_eq!(hierarchies.len(), 1, "this test needs the unified hierarchy");
    let scratch = Scratch(Cgroup::create_in(&hierarchies, &id(), &Limits::default()).unwrap());
    let none = Scratch(Cgroup {
        groups: Vec::new(),
        unified: None,
    });
    let child = shell(&none.0, "exec sleep 100");
    controller::write(scratch.0.paths()[0], "cgroup.procs", &child.id().to_string()).unwrap();
    assert_eq!(scratch.0.pids().unwrap(), [child.id() as i32]);
    scratch.0.freeze(&Context::new().with_timeout(CLEAN_UP)).unwrap();
    assert!(scratch.0.is_frozen().unwrap());
    scratch.0.kill_all().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&finish(child).1), Some(9));
    scratch.0.thaw().unwrap();
}

#[test]
fn limits_nobody_can_keep_are_refused_by_name_and_leave_nothing() {
    let wanted = Limits {
        memory: Some(64 << 20),
        ..Limits::default()
    };
    let mut hierarchies = Hierarchy::detect().unwrap();
    hierarchies.retain(|one| !one.has("memory"));
    let name = id();
    let error = Cgroup::create_in(&hierarchies, &name, &wanted).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(
        error.message(),
        "failed to set `memory`: the control group controller `memory` is not available"
    );
    assert!(Cgroup::open(&name).unwrap().paths().is_empty());
    let absent = Limits {
        cpuset_cpus: Some("4095".to_owned()),
        ..Limits::default()
    };
    assert_eq!(Cgroup::create(&name, &absent).unwrap_err().kind(), Kind::Invalid);
    assert!(Cgroup::open(&name).unwrap().paths().is_empty());
}

#[test]
fn limits_out_of_range_are_refused_before_anything_is_made() {
    let none = Limits::default;
    for (limits, part) in [
        (
            Limits {
                memory: Some(1000),
                ..none()
            },
            "minimum of 524288 (512 KiB)",
        ),
        (
            Limits {
                memory_swap: Some(1 << 30),
                ..none()
            },
            "it needs `memory` too",
        ),
        (
            Limits {
                memory: Some(1 << 30),
                memory_swap: Some(1 << 20),
                ..none()
            },
            "which it includes",
        ),
        (
            Limits {
                memory: Some(1 << 20),
                memory_reservation: Some(1 << 30),
                ..none()
            },
            "is above `memory`",
        ),
        (
            Limits {
                cpus: Some(0.0),
                ..none()
            },
            "0.01",
        ),
        (
            Limits {
                cpus: Some(f64::NAN),
                ..none()
            },
            "NaN",
        ),
        (
            Limits {
                cpu_shares: Some(1),
                ..none()
            },
            "between 2 and 262144",
        ),
        (
            Limits {
                pids: Some(0),
                ..none()
            },
            "pids_limit",
        ),
        (
            Limits {
                blkio_weight: Some(5),
                ..none()
            },
            "between 10 and 1000",
        ),
    ] {
        let error = Cgroup::create("never", &limits).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains(part), "{error}");
    }
    for id in ["", "..", "a/b", ".a", "a\n"] {
        assert!(Cgroup::create(id, &none()).is_err(), "{id:?}");
    }
}

#[test]
fn v2_limits_are_written_in_its_own_terms() {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        "memory.max",
        "memory.low",
        "memory.swap.max",
        "cpu.max",
        "cpu.weight",
        "cpuset.cpus",
        "pids.max",
        "io.weight",
    ];
    for file in files {
        std::fs::write(directory.path().join(file), "").unwrap();
    }
    let group = Group {
        version: Version::V2,
        controllers: ["memory", "cpu", "cpuset", "pids", "io"].map(str::to_owned).to_vec(),
        mount_point: PathBuf::from("/sys/fs/cgroup"),
        path: directory.path().to_owned(),
    };
    let limits = Limits {
        memory: Some(64 << 20),
        memory_swap: Some(96 << 20),
        memory_reservation: Some(32 << 20),
        cpus: Some(1.5),
        cpu_shares: Some(1024),
        cpuset_cpus: Some("0-1".to_owned()),
        pids: Some(-1),
        blkio_weight: Some(10),
    };
    group.limit(&limits).unwrap();
    let written = files.map(|file| std::fs::read_to_string(directory.path().join(file)).unwrap());
    assert_eq!(
        written,
        [
            "67108864",
            "33554432",
            "33554432",
            "150000 100000",
            "100",
            "0-1",
            "max",
            "default 1"
        ]
    );
    group
        .limit(&Limits {
            memory_swap: Some(-1),
            ..limits
        })
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(directory.path().join("memory.swap.max")).unwrap(),
        "max"
    );
    std::fs::remove_file(directory.path().join("io.weight")).unwrap();
    let error = group
        .limit(&Limits {
            blkio_weight: Some(10),
            ..Limits::default()
        })
        .unwrap_err();
    assert_eq!(
        error.message(),
        "failed to set `blkio_weight`: this kernel has no `io.weight`"
    );
}

#[test]
fn a_container_sees_one_mount_per_hierarchy_and_links_for_pairs() {
    let group = |version, controllers: &[&str], mount: &str| Group {
        version,
        controllers: controllers.iter().map(|one| (*one).to_owned()).collect(),
        mount_point: PathBuf::from(mount),
        path: PathBuf::from(mount).join("hoist/x"),
    };
    let pair = group(Version::V1, &["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct");
    let unified = group(Version::V2, &["memory"], "/sys/fs/cgroup");
    let view = support::view(&[pair, group(Version::V2, &[], "/sys/fs/cgroup/unified")]);
    assert_eq!(
        view.links,
        [("cpu", "cpu,cpuacct"), ("cpuacct", "cpu,cpuacct")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    let mounts: Vec<_> = view
        .mounts
        .iter()
        .map(|one| (one.directory.as_str(), one.filesystem, one.options.as_str()))
        .collect();
    assert_eq!(
        mounts,
        [("cpu,cpuacct", "cgroup", "cpu,cpuacct"), ("unified", "cgroup2", "")]
    );
    let alone = support::view(&[unified]);
    assert_eq!((alone.mounts[0].directory.as_str(), alone.links.len()), ("", 0));
}

#[test]
fn this_machines_controllers_are_told() {
    let support = support().unwrap();
    let hierarchies = Hierarchy::detect().unwrap();
    assert_ne!(support.mode, "none");
    assert!(
        support
            .controllers
            .iter()
            .all(|one| hierarchies.iter().any(|h| h.has(&one.name) && h.version == one.version))
    );
}

#[test]
fn groups_with_processes_in_them_are_not_taken_over() {
    let mut hierarchies = Hierarchy::detect().unwrap();
    hierarchies.retain(|one| one.has("pids") && one.version == Version::V1);
    let name = id();
    let running = Scratch(Cgroup::create_in(&hierarchies, &name, &Limits::default()).unwrap());
    let mut child = shell(&running.0, "echo up; exec sleep 100");
    first_line(&mut child);
    let error = Cgroup::create(&name, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::InUse);
    assert_eq!(running.0.pids().unwrap(), [child.id() as i32]);
    assert_eq!(Cgroup::open(&name).unwrap().paths(), running.0.paths());
    running.0.kill_all().unwrap();
    child.wait().unwrap();
}
