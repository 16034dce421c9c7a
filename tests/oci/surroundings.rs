//! The rarer parts of a configuration, seen from inside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use serde_json::{Value, json};

use crate::harness::{Bundle, Output, program};

#[test]
fn the_kernel_treats_the_process_as_asked() {
    let mut bundle =
        Bundle::sh("uname -m; cat /proc/sys/kernel/domainname; cut -d' ' -f19,41 /proc/self/stat; ionice -p $$");
    bundle.config["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.config["domainname"] = json!("example");
    bundle.config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 3});
    bundle.config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
    let seen = bundle.run().success().stdout;
    let machine = if cfg!(target_arch = "aarch64") {
        "armv8l"
    } else {
        "i686"
    };
    assert!(seen.starts_with(&format!("{machine}\nexample\n")), "{seen}");
    assert!(
        seen.contains("\n3 3\n") && seen.contains("best-effort: prio 6"),
        "{seen}"
    );
    bundle.config["process"]["ioPriority"]["priority"] = json!(9);
    bundle.run().fails_with(1).stderr_has(&["not between 0 and 7"]);
}

#[test]
fn clocks_are_set_in_a_time_namespace_of_its_own() {
    let mut bundle = Bundle::sh("cut -d. -f1 /proc/uptime");
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}});
    bundle
        .create(&[])
        .fails_with(1)
        .stderr_has(&["`linux.timeOffsets` needs a time namespace"]);
    bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "time"}));
    let uptime: u64 = bundle.run().success().text().parse().unwrap();
    assert!(uptime >= 1_000_000_000, "{uptime}");
}

#[test]
fn a_namespace_by_its_path_is_joined() {
    let owner = Bundle::sh("sleep 1000");
    owner.create(&[]).success();
    owner.act(&["start", "it"]).success();
    let pid = owner.state()["pid"].clone();
    let mut guest = Bundle::sh(
        "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; set -- /proc/[0-9]*; echo $#",
    );
    let path = |kind: &str| json!(format!("/proc/{pid}/ns/{kind}"));
    for namespace in guest.config["linux"]["namespaces"].as_array_mut().unwrap() {
        let kind = match namespace["type"].as_str().unwrap() {
            "network" => "net",
            kind @ ("ipc" | "uts" | "pid") => kind,
            _ => continue,
        };
        namespace["path"] = path(kind);
    }
    guest.config.as_object_mut().unwrap().remove("hostname");
    let seen = guest.run().success().stdout;
    let own = |kind: &str| {
        fs::read_link(format!("/proc/{pid}/ns/{kind}"))
            .unwrap()
            .display()
            .to_string()
    };
    assert!(
        seen.starts_with(&format!("{}\n{}\n{}\n", own("net"), own("ipc"), own("uts"))),
        "{seen}"
    );
    // The owner's first process among them.
    assert!(seen.lines().last().unwrap().parse::<u32>().unwrap() > 1, "{seen}");
    guest.config["linux"]["namespaces"][1]["path"] = path("ipc");
    guest.create(&[]).fails_with(1).stderr_has(&["join the namespace"]);
    // The name of a joined namespace is set, and that of the host is not.
    let namespaces = guest.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces[1]["path"] = Value::Null;
    namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "pid");
    guest.config["hostname"] = json!("both");
    guest.run().success();
    let name = owner.act(&["exec", "it", "hostname"]).success();
    assert_eq!(name.text(), "both");
    let namespaces = guest.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "uts");
    guest
        .create(&[])
        .fails_with(1)
        .stderr_has(&["`hostname` cannot be set"]);
}

#[test]
fn what_was_in_its_place_is_copied_into_a_tmpfs_that_asks_for_it() {
    let mut bundle = Bundle::sh("cd /data; ls -ln . sub | tr -s ' ' | cut -d' ' -f1,3,4,9-; cat file; readlink link");
    fs::create_dir_all(bundle.inside("data/sub")).unwrap();
    fs::write(bundle.inside("data/file"), "words\n").unwrap();
    fs::write(bundle.inside("data/sub/run"), "").unwrap();
    fs::set_permissions(bundle.inside("data/sub/run"), fs::Permissions::from_mode(0o4750)).unwrap();
    std::os::unix::fs::lchown(bundle.inside("data/file"), Some(3), Some(4)).unwrap();
    symlink("/nowhere", bundle.inside("data/link")).unwrap();
    let options = json!(["rw", "tmpcopyup"]);
    let mount = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options});
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    let seen = bundle.run().success().stdout;
    for part in [
        "-rw-r--r-- 3 4 file",
        "lrwxrwxrwx 0 0 link -> /nowhere",
        "-rwsr-x--- 0 0 run",
        "words\n/nowhere\n",
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
}

#[test]
fn what_a_mount_says_of_those_below_holds_for_them_alone() {
    let mut bundle = Bundle::sh(
        "for dir in ro rro; do for file in a sub/b; do touch /$dir/$file 2>/dev/null && echo $dir $file; done; done; true",
    );
    let script = r#"set -e; mkdir -p data/sub; mount -t tmpfs tmpfs data/sub; exec "$@""#;
    for option in ["ro", "rro"] {
        let mount = json!({"destination": format!("/{option}"), "source": "data", "options": ["rbind", option]});
        bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    }
    bundle.write();
    let mut command = program("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    let inner = bundle.command(&["run", "it"]);
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(bundle.dir());
    crate::harness::Output::of(command, None)
        .success()
        .stdout_is("ro sub/b");
}

#[test]
fn the_root_takes_and_gives_mounts_as_asked() {
    for (propagation, field) in [("shared", "shared:"), ("private", ""), ("unbindable", "unbindable")] {
        let mut bundle = Bundle::sh("grep ' / / ' /proc/self/mountinfo || head -1 /proc/self/mountinfo");
        bundle.config["linux"]["rootfsPropagation"] = json!(propagation);
        let seen = bundle.run().success().stdout;
        let fields = seen.split(" - ").next().unwrap().split(' ').skip(6).collect::<String>();
        assert!(
            fields.contains(field) && (!field.is_empty() || fields.is_empty()),
            "{propagation}: {seen}"
        );
    }
    let mut bundle = Bundle::sh("true");
    bundle.config["linux"]["rootfsPropagation"] = json!("shard");
    bundle.create(&[]).fails_with(1).stderr_has(&["shard"]);
}

#[test]
fn a_hidden_link_hides_what_it_leads_to() {
    let mut bundle = Bundle::sh("cat /secret/words /link/words; echo $?");
    fs::create_dir(bundle.inside("secret")).unwrap();
    fs::write(bundle.inside("secret/words"), "hidden\n").unwrap();
    symlink("secret", bundle.inside("link")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/link", "/absent"]);
    bundle.run().success().stdout_is("1");
}

#[test]
fn a_root_that_cannot_be_pivoted_to_is_moved_to_the_top() {
    let mut bundle = Bundle::sh("ls /; cat /proc/self/mountinfo | wc -l");
    let pivoted = bundle.run().success().stdout;
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.write();
    let moved = bundle.act(&["run", "--no-pivot", "it"]).success().stdout;
    let names = |text: &str| {
        text.lines()
            .filter(|line| line.parse::<u32>().is_err())
            .collect::<String>()
    };
    assert_eq!(names(&moved), names(&pivoted));
}

#[test]
fn devices_are_made_and_their_rules_kept() {
    let mut bundle = Bundle::sh(
        "stat -c '%A %t %T %g' /dev/extra/full; echo x >/dev/extra/full; mknod /tmp/mem c 1 1; head -c1 /tmp/mem; head -c1 /dev/zero | wc -c",
    );
    bundle.config["process"]["capabilities"]["bounding"] = json!(["CAP_MKNOD"]);
    bundle.config["process"]["capabilities"]["effective"] = json!(["CAP_MKNOD"]);
    bundle.config["process"]["capabilities"]["permitted"] = json!(["CAP_MKNOD"]);
    let device = json!({"path": "/dev/extra/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o640, "gid": 5});
    bundle.config["linux"]["devices"] = json!([device]);
    bundle.config["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    let output = bundle.run();
    assert_eq!(output.stdout, "crw-r----- 1 7 5\n1\n", "{}", output.stderr);
    for part in ["No space left on device", "mknod: /tmp/mem: Operation not permitted"] {
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
    bundle.config["linux"]["devices"][0]["path"] = json!("/etc/full");
    bundle.create(&[]).fails_with(1).stderr_has(&["it is not in `/dev`"]);
}

#[test]
fn descriptors_are_passed_on_only_if_asked() {
    let bundle = Bundle::sh("for fd in 3 4 5; do test -e /proc/$$/fd/$fd && echo $fd kept; done; cat <&4");
    bundle.write();
    let words = bundle.file("words");
    fs::write(&words, "kept\n").unwrap();
    let script = format!(r#"exec 3</dev/null 4<{0} 5</dev/null; exec "$@""#, words.display());
    for (count, fifth) in [("2", false), ("50", true)] {
        let mut command = program("sh");
        let inner = bundle.command(&["run", "--preserve-fds", count, "it"]);
        command
            .args(["-c", &script, "sh"])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(bundle.dir());
        let seen = crate::harness::Output::of(command, None).success().stdout;
        // What is listed includes the list's own descriptor, in the lowest place that is free.
        let is_kept = |fd: &str| seen.lines().any(|line| line == format!("{fd} kept"));
        assert!(
            is_kept("3") && is_kept("4") && is_kept("5") == fifth && seen.ends_with("\nkept\n"),
            "{count}: {seen}"
        );
    }
}

#[test]
fn files_of_a_mount_are_shown_as_those_of_other_users() {
    let mut bundle = Bundle::sh("stat -c '%u:%g' /m/f /m/deep/f 2>/dev/null; touch /m/new 2>/dev/null");
    for dir in ["src/deep", "other"] {
        fs::create_dir_all(bundle.file(dir)).unwrap();
    }
    for file in ["src/f", "other/f"] {
        fs::write(bundle.file(file), "").unwrap();
        chown(bundle.file(file), Some(1000), Some(1001)).unwrap();
    }
    chown(bundle.file("src"), Some(1000), Some(1000)).unwrap();
    let maps = |first: u32, host: u32| json!([{"containerID": first, "hostID": host, "size": 10}]);
    let mut mount = json!({"destination": "/m", "type": "bind", "source": "src", "options": ["rbind", "ridmap"],
        "uidMappings": maps(1000, 0), "gidMappings": maps(1000, 0)});
    // Another file system below, which only `ridmap` shifts too.
    let run = |bundle: &Bundle| {
        bundle.write();
        let inner = bundle.command(&["run", "it"]);
        let mut unshare = program("unshare");
        let script = "mount --bind other src/deep && exec \"$@\"";
        unshare.args(["--mount", "sh", "-euc", script, "sh"]);
        unshare
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(bundle.dir());
        Output::of(unshare, None)
    };
    let base = bundle.config["mounts"].as_array().unwrap().clone();
    let with = |mount: &Value| Value::from([&base[..], std::slice::from_ref(mount)].concat());
    bundle.config["mounts"] = with(&mount);
    assert_eq!(run(&bundle).stdout, "0:1\n0:1\n");
    let made = fs::metadata(bundle.file("src/new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 1000));
    mount["options"] = json!(["rbind"]);
    bundle.config["mounts"] = with(&mount);
    assert_eq!(run(&bundle).stdout, "0:1\n1000:1001\n");
    for (change, told) in [
        (json!({"uidMappings": []}), "uidMappings"),
        (json!({"gidMappings": maps(0, u32::MAX - 3)}), "gidMappings"),
        (json!({"type": "tmpfs", "options": []}), "no bind mount"),
        (
            json!({"uidMappings": [], "gidMappings": [], "options": ["bind", "idmap"]}),
            "neither it nor the container has maps",
        ),
    ] {
        let mut bad = mount.clone();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        bundle.config["mounts"] = with(&bad);
        bundle.run().fails_with(1).stderr_has(&[told]);
    }
}

#[test]
fn memory_is_taken_from_where_it_is_asked_for() {
    let mut bundle = Bundle::sh("tail -n 1 /proc/self/numa_maps | cut -d ' ' -f 2");
    for (mode, nodes, flags, shown) in [
        ("MPOL_DEFAULT", "", json!([]), "default"),
        ("MPOL_LOCAL", "", json!([]), "local"),
        ("MPOL_INTERLEAVE", "0", json!([]), "interleave:0"),
        ("MPOL_BIND", "0", json!(["MPOL_F_STATIC_NODES"]), "bind=static:0"),
    ] {
        bundle.config["linux"]["memoryPolicy"] = json!({"mode": mode, "nodes": nodes, "flags": flags});
        assert_eq!(bundle.run().success().text(), shown, "{mode}");
    }
    bundle.config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_DEFAULT", "nodes": "0"});
    bundle.run().fails_with(1).stderr_has(&["linux.memoryPolicy"]);
}

#[test]
fn mounts_are_listed_in_their_order() {
    let mut bundle = Bundle::sh("cut -d ' ' -f 5 /proc/self/mountinfo");
    fs::create_dir(bundle.file("data")).unwrap();
    for mount in [
        json!({"destination": "/data", "source": "data", "options": ["rbind"]}),
        json!({"destination": "/data/scratch", "type": "tmpfs", "source": "tmpfs"}),
        json!({"destination": "/more", "source": "data", "options": ["bind", "ro"]}),
        json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}),
    ] {
        bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    }
    let mut asked: Vec<&str> = bundle.config["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    asked.retain(|place| *place != "/sys/fs/cgroup");
    let seen = bundle.run().success().stdout;
    let listed: Vec<&str> = seen.lines().filter(|place| asked.contains(place)).collect();
    // Linux 6.15 lists by age, and can give what was there before the age it should have.
    assert_eq!(listed[..asked.len()], asked, "{seen}");
}
