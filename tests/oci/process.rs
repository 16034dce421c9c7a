//! What a configuration says of the process and its surroundings, seen from inside.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Bundle, Output, program};

#[test]
fn the_process_is_as_it_is_configured() {
    let mut bundle =
        Bundle::sh("id -u; id -g; id -G; umask; pwd; echo $A; cat /proc/self/oom_score_adj; ulimit -n; hostname");
    bundle.config["process"]["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27});
    bundle.config["process"]["env"] = json!(["PATH=/bin", "A=b c"]);
    bundle.config["process"]["cwd"] = json!("/tmp/new");
    bundle.config["process"]["oomScoreAdj"] = json!(500);
    bundle.config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    bundle.config["hostname"] = json!("here");
    bundle
        .run()
        .success()
        .stdout_is("7\n8\n8 9 10\n0027\n/tmp/new\nb c\n500\n100\nhere");
}

#[test]
fn capabilities_are_those_of_each_set() {
    let mut bundle = Bundle::new(&["sh", "-c", "grep Cap /proc/self/status"]);
    bundle.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_CHOWN"],
        "ambient": ["CAP_CHOWN"],
    });
    // The first program of user 0 has all that the bounding set has; another user what is ambient.
    bundle.config["process"]["user"] = json!({"uid": 5, "gid": 5});
    let seen = bundle.run().success().stdout;
    let set = |name: &str| {
        let line = seen.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    };
    let (chown, kill, setuid) = (1, 1 << 5, 1 << 7);
    assert_eq!(set("CapBnd"), chown | kill | setuid);
    assert_eq!((set("CapInh"), set("CapAmb")), (chown, chown));
    assert_eq!((set("CapPrm"), set("CapEff")), (chown, chown));
}

#[test]
fn capabilities_beyond_the_bounding_set_are_refused() {
    let mut bundle = Bundle::sh("true");
    bundle.config["process"]["capabilities"] = json!({"permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL"]});
    bundle.run().fails_with(1).stderr_has(&["set the capabilities"]);
}

#[test]
fn the_root_and_its_mounts_are_as_they_are_configured() {
    let mut bundle = Bundle::sh(
        "touch /x 2>&1; cat /data/words; touch /data/y 2>&1; ls /proc/acpi /proc/scsi 2>&1 | grep -v :; echo 1 2>&1 >/proc/sys/kernel/panic; \
         stat -f -c %T /dev/shm; ls /dev | tr '\\n' ' '; cat /proc/sys/net/ipv4/ip_forward",
    );
    fs::create_dir(bundle.file("data")).unwrap();
    fs::write(bundle.file("data/words"), "some words\n").unwrap();
    bundle.config["root"]["readonly"] = json!(true);
    fs::create_dir(bundle.inside("data")).unwrap();
    // Relative sources are those of the bundle.
    let bind = json!({"destination": "/data", "type": "none", "source": "data", "options": ["rbind", "ro"]});
    bundle.config["mounts"].as_array_mut().unwrap().push(bind);
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let seen = bundle.run().success().stdout;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "touch: /x: Read-only file system");
    assert_eq!(lines[1], "some words");
    assert_eq!(lines[2], "touch: /data/y: Read-only file system");
    assert!(seen.contains("Read-only file system"), "{seen}");
    assert!(seen.contains("\ntmpfs\n"), "{seen}");
    for device in [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "stdin", "fd",
    ] {
        assert!(seen.contains(device), "{device}: {seen}");
    }
    assert!(seen.ends_with(" 1\n"), "{seen}");
}

#[test]
fn limits_reach_the_groups_of_the_path() {
    let mut bundle = Bundle::sh("cat /proc/self/cgroup; sleep 1000");
    let path = format!(
        "/hoist-oci-test/{}",
        bundle.dir().file_name().unwrap().to_str().unwrap()
    );
    bundle.config["linux"]["cgroupsPath"] = json!(path);
    // Without a namespace of its own it tells the path.
    bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .retain(|one| one["type"] != "cgroup");
    bundle.config["linux"]["resources"] =
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}, "cpu": {"shares": 512}});
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|one| one["type"] != "cgroup");
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    bundle.wait_for_out(&format!(":{path}\n"));
    let stats = bundle.act(&["events", "--stats", "it"]).success().json();
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(stats["data"]["pids"]["limit"], 50);
    bundle
        .act(&["update", "--pids-limit", "40", "--memory", "32m", "it"])
        .success();
    let stats = bundle.act(&["events", "--stats", "it"]).success().json();
    assert_eq!(
        (
            &stats["data"]["memory"]["usage"]["limit"],
            &stats["data"]["pids"]["limit"]
        ),
        (&json!(32 << 20), &json!(40))
    );
    bundle.act(&["kill", "it", "KILL"]).success();
    bundle.wait_for("stopped");
    bundle.act(&["delete", "it"]).success();
}

#[test]
fn a_filter_holds_with_and_without_new_privileges() {
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::sh("mkdir /tmp/a 2>&1; grep Seccomp: /proc/self/status");
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
                // As in filters that are older than these calls.
                {"names": ["close_range", "faccessat2"], "action": "SCMP_ACT_ERRNO"},
            ],
        });
        let seen = bundle.run().success().stdout;
        assert_eq!(
            seen,
            "mkdir: can't create directory '/tmp/a': Read-only file system\nSeccomp:\t2\n"
        );
    }
}

/// What would protect or place the process and is not kept is an error, not a container with less than that.
#[test]
fn what_is_not_kept_is_refused() {
    for (part, name, value) in [
        ("process", "selinuxLabel", json!("system_u:system_r:container_t:s0")),
        ("linux", "mountLabel", json!("system_u:object_r:container_file_t:s0")),
        ("linux", "netDevices", json!({"eth0": {}})),
        ("linux", "intelRdt", json!({"closID": "x"})),
    ] {
        let mut bundle = Bundle::new(&["true"]);
        bundle.config[part][name] = value;
        let told = format!("`{part}.{name}` is not supported");
        assert!(!bundle.run().stderr_has(&[&told]).status.success());
    }
}

#[test]
fn capabilities_that_cannot_be_given_are_told_of() {
    let mut bundle = Bundle::sh("grep CapBnd /proc/self/status");
    bundle.config["process"]["capabilities"] = json!({"bounding": ["CAP_KILL", "CAP_TEST"], "effective": ["CAP_TEST"]});
    let ran = bundle.run().success();
    assert_eq!(ran.stdout, "CapBnd:\t0000000000000020\n");
    ran.stderr_has(&["warning: ignoring unknown or unavailable capabilities: [CAP_TEST]"]);
    // An engine takes what is on standard error for the program's.
    bundle.write();
    let logged = bundle
        .act(&["--log", "log", "--log-format", "json", "run", "it"])
        .success();
    assert_eq!(logged.stderr, "");
    let line: Value = serde_json::from_str(&fs::read_to_string(bundle.file("log")).unwrap()).unwrap();
    assert_eq!(line["level"], "warning");
    // What is no capability is wrong for another reason, and said so.
    bundle.config["process"]["capabilities"]["bounding"] = json!("CAP_KILL");
    bundle
        .run()
        .fails_with(1)
        .stderr_has(&["config.json", "expected a sequence"]);
}

/// Nothing on the way to a program is among what its filter has to allow but what `execve` and a change of user need.
#[test]
fn a_filter_may_refuse_to_tell_the_working_directory() {
    let mut bundle = Bundle::sh("cd /bin 2>/dev/null && echo moved; echo ran");
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    bundle.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["getcwd", "chdir"], "action": "SCMP_ACT_ERRNO"}]});
    assert_eq!(bundle.run().success().stdout, "ran\n");
}

/// What of AppArmor a kernel without it can show; on one with it, see `guest::programs_run_under_their_apparmor_profiles`.
#[test]
fn a_profile_that_this_kernel_cannot_keep_is_refused() {
    let mut bundle = Bundle::new(&["true"]);
    bundle.config["process"]["apparmorProfile"] = json!("docker-default");
    let ran = bundle.run();
    match fs::read_to_string("/sys/module/apparmor/parameters/enabled") {
        Ok(on) if on.starts_with('Y') => ran.stderr_has(&["no such profile is loaded"]),
        _ => ran.stderr_has(&["AppArmor is not on in this kernel", "apparmor=unconfined"]),
    };
    bundle.config["process"]["apparmorProfile"] = json!("unconfined");
    bundle.run().success();
}

#[test]
fn a_further_process_runs_on_the_processors_it_is_given() {
    let mut bundle = Bundle::new(&["sleep", "1000"]);
    let allowed = "grep Cpus_allowed_list /proc/self/status";
    bundle.config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "1"});
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    let own = bundle.act(&["exec", "it", "sh", "-c", allowed]).success();
    assert_eq!(
        (own.stdout.split_whitespace().last(), own.stderr.as_str()),
        (Some("1"), "")
    );
    // Where it began nobody can see any more.
    let told = bundle.act(&["--debug", "exec", "it", "true"]).success().stderr;
    assert_eq!(told, "debug: affinity: 0x1\n");
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["sh", "-c", allowed]);
    for (affinity, expected) in [(json!({"initial": "0"}), "0"), (json!({"final": "0-1"}), "0-1")] {
        process["execCPUAffinity"] = affinity;
        fs::write(bundle.file("process.json"), process.to_string()).unwrap();
        let told = bundle
            .act(&["exec", "--process", "process.json", "it"])
            .success()
            .stdout;
        assert_eq!(told.split_whitespace().last(), Some(expected), "{process}");
    }
    for bad in ["x", "1023-1024", "900"] {
        process["execCPUAffinity"] = json!({"final": bad});
        fs::write(bundle.file("process.json"), process.to_string()).unwrap();
        let refused = bundle.act(&["exec", "--process", "process.json", "it"]);
        assert!(!refused.stderr_has(&["execCPUAffinity"]).status.success());
    }
    bundle.act(&["delete", "--force", "it"]).success();
}

/// The process in the container may be as far as its program before the one that made it has told its number.
#[test]
fn a_further_process_may_be_faster_than_what_is_told_of_it() {
    let bundle = Bundle::new(&["sleep", "1000"]);
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    for (word, code) in [("true", 0), ("false", 1), ("nothing", 255)] {
        let inner = bundle.command(&["exec", "it", word]);
        let mut strace = program("strace");
        strace.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "--trace=clone3",
            "--inject=clone3:delay_exit=300000",
        ]);
        strace.arg(inner.get_program()).args(inner.get_args());
        strace.current_dir(bundle.dir());
        assert_eq!(Output::of(strace, None).status.code(), Some(code), "{word}");
    }
    bundle.act(&["delete", "--force", "it"]).success();
}

#[test]
fn a_further_process_is_one_of_the_container() {
    let mut bundle = Bundle::sh("sleep 1000");
    bundle.config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL"]);
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    let inside = bundle.act(&[
        "exec",
        "it",
        "sh",
        "-c",
        "hostname; echo $$; grep -c . /proc/1/cmdline; ls /proc/self/fd | wc -l",
    ]);
    // Descriptors: three streams and the directory that is listed.
    let seen = inside.success().stdout;
    assert!(seen.starts_with("hoist\n") && seen.trim().ends_with("\n4"), "{seen}");
    bundle
        .act(&[
            "exec",
            "-u",
            "7:8",
            "-e",
            "A=x",
            "--cwd",
            "/tmp",
            "it",
            "sh",
            "-c",
            "id -u; id -g; pwd; echo $A",
        ])
        .success()
        .stdout_is("7\n8\n/tmp\nx");
    bundle.act(&["exec", "it", "sh", "-c", "exit 9"]).fails_with(9);
    bundle
        .act(&["exec", "it", "nothing"])
        .fails_with(255)
        .stderr_has(&["executable file not found in $PATH"]);
    bundle
        .act(&["exec", "-u", "nobody", "it", "true"])
        .fails_with(255)
        .stderr_has(&["is not a user"]);
    let process = json!({"args": ["pwd"], "cwd": "/etc", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    fs::write(bundle.file("process.json"), process.to_string()).unwrap();
    bundle
        .act(&["exec", "--process", "process.json", "it"])
        .success()
        .stdout_is("/etc");
    let detached = ["exec", "--detach", "--pid-file", "exec.pid", "it", "sleep", "500"];
    bundle.act_aside(&detached).success();
    let pid = fs::read_to_string(bundle.file("exec.pid")).unwrap();
    let pids = bundle.act(&["ps", "--format", "json", "it"]).success().json();
    assert!(
        pids.as_array().unwrap().contains(&json!(pid.parse::<i32>().unwrap())),
        "{pids}"
    );
    bundle
        .act(&["exec", "--cwd", "/proc/self/fd/5", "it", "true"])
        .fails_with(255);
}

#[test]
fn users_are_those_of_the_maps() {
    let mut bundle = Bundle::sh("sleep 1000");
    let linux = &mut bundle.config["linux"];
    linux["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    for maps in ["uidMappings", "gidMappings"] {
        linux[maps] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    }
    for (name, option) in [("plain", "rbind"), ("mapped", "idmap")] {
        fs::write(bundle.file(name), "").unwrap();
        let bind = json!({"destination": format!("/data/{name}"), "source": name, "options": ["bind", option]});
        bundle.config["mounts"].as_array_mut().unwrap().push(bind);
    }
    // The root is as whoever made it has it.
    crate::harness::tool(&bundle.file("."), "chown", &["-hR", "100000:100000", "rootfs"]);
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    let exec = bundle.act(&[
        "exec",
        "it",
        "sh",
        "-c",
        "id -u; touch /made; stat -c %u /made /data/plain /data/mapped /dev/null",
    ]);
    exec.success().stdout_is("0\n0\n65534\n0\n0");
    bundle.config["linux"]["uidMappings"] = json!([]);
    bundle.act(&["delete", "--force", "it"]).success();
    bundle.create(&[]).fails_with(1).stderr_has(&["linux.uidMappings"]);
}

/// What is below a container's group of v2 is its own where it may write there (runtime-spec, `config-linux.md#cgroup-ownership`).
#[test]
fn a_group_that_may_be_written_to_is_the_containers() {
    let mut bundle = Bundle::sh(
        "cd /sys/fs/cgroup; cd unified 2>/dev/null; stat -c %u . cgroup.procs cgroup.max.depth; mkdir below 2>&1; true",
    );
    let linux = &mut bundle.config["linux"];
    linux["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    for maps in ["uidMappings", "gidMappings"] {
        linux[maps] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    }
    crate::harness::tool(&bundle.file("."), "chown", &["-hR", "100000:100000", "rootfs"]);
    // What is shown read-only stays the host's.
    let seen = bundle.run().success().stdout;
    assert!(seen.starts_with("65534\n65534\n65534\nmkdir: "), "{seen}");
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "cgroup" {
            mount["options"] = json!(["nosuid", "noexec", "nodev"]);
        }
    }
    bundle.run().success().stdout_is("0\n0\n65534");
}
