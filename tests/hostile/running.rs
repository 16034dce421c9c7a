//! What waits for the container: links in its root while files go in and out, and a configuration that asks for the host's own.

use std::fs;

use serde_json::{Value, json};

use super::Beside;
use crate::harness::forge::{Files, Item, layer};
use crate::harness::{Hoist, inputs};

/// Makes the image `attack` of busybox by a command that runs in it, with Dockerfile lines.
fn prepare(hoist: &Hoist, command: &str, changes: &[&str]) {
    let script = format!(
        r#"let c = container::create("busybox", {}); c.start(); if c.wait() != 0 {{ throw c.logs(); }} c.commit("attack", #{{changes: {}}}); c.remove();"#,
        json!(command),
        json!(changes)
    );
    hoist.eval(&script).success();
}

/// Copies files in and out of a running container whose program swaps a directory for a link all the time.
///
/// CVE-2018-15664, CVE-2019-14271: every copy lands inside or fails.
#[test]
fn s14_copies_race_with_links() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let swap = format!(
        "mkdir -p /a/dir/deep; ln -s {} /link; echo inside > /a/dir/deep/file; echo inside > /a/secret; touch /ready; \
         while :; do mv /a /b; mv /link /a; mv /a /link; mv /b /a; done",
        beside.dir()
    );
    hoist.write("owned", "owned");
    let script = format!(
        r#"
        let c = container::run_detached("busybox", {}, #{{name: "racer"}});
        while !attempt(|| c.read_file("/ready")).ok {{ }}
        let leaked = 0;
        for n in 0..150 {{
            attempt(|| c.copy_in("{owned}", "/a/secret"));
            attempt(|| c.copy_in("{owned}", "/a/dir/deep/new"));
            attempt(|| c.write_file("/a/dir/deep/file", "owned"));
            attempt(|| c.copy_out("/a/secret", "{out}"));
            if attempt(|| c.read_file("/a/secret")).value == "host's own" {{ leaked += 1; }}
            if fs::exists("{out}") && fs::read("{out}") == "host's own" {{ leaked += 1; }}
        }}
        c.remove(#{{force: true}});
        leaked"#,
        json!(swap),
        owned = hoist.file("owned").display(),
        out = hoist.file("out").display()
    );
    assert_eq!(hoist.value(&script), 0, "the host's file was read");
    beside.assert_untouched();
}

/// CVE-2022-23648, CVE-2026-55686, CVE-2019-16884: a volume is filled from the image's root and not from the host's, a working
/// directory is made in it, and nothing is mounted over `/proc`.
#[test]
fn s15_volumes_and_working_directories_through_links() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let links = format!(
        "ln -s {0} /data; ln -s ../../../../../..{0}/dir /srv; ln -s /proc /p",
        beside.dir()
    );
    prepare(hoist, &links, &["WORKDIR /srv/new", r#"VOLUME ["/data", "/proc/sys"]"#]);
    let run = |options: &str, command: &str| {
        let script = format!(r#"container::run("attack", {}, #{{{options}}}).stdout"#, json!(command));
        hoist.value(&script)
    };
    let seen = run(
        r#"volumes: ["v:/data"]"#,
        "pwd; ls /data; cat /data/secret 2>/dev/null; touch /data/x /srv/new/y",
    );
    assert_eq!(seen, format!("{}/dir/new\ndir\n", beside.dir()));
    for target in ["/proc", "/proc/sys", "/", "/p/../proc", "/sys/../proc"] {
        let script =
            format!(r#"attempt(|| container::run("busybox", ["true"], #{{volumes: ["w:{target}"]}})).error.kind"#);
        assert_eq!(hoist.value(&script), "invalid", "{target}");
    }
    // Through a link it is a mount on the container's own `/proc`, which the kernel's own comes over, or an error.
    let through = r#"attempt(|| container::run("attack", "cat /proc/1/comm", #{volumes: ["w:/p"]})).ok"#;
    hoist.eval(through).success();
    beside.assert_untouched();
}

/// CVE-2024-40635, CVE-2026-46680: a user that is a number and too large for one is an error, never root and never a name.
#[test]
fn s16_users_that_are_no_numbers() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let passwd =
        "echo '99999999999:x:0:0::/:/bin/sh' >> /etc/passwd; echo '4294967296:x:0:0::/:/bin/sh' >> /etc/passwd";
    prepare(hoist, passwd, &[]);
    for user in [
        "4294967296",
        "99999999999",
        "4294967295",
        "2147483648",
        "-1",
        "0:4294967296",
        "+0",
    ] {
        let with_option = format!(r#"container::run("attack", ["id", "-u"], #{{user: "{user}"}})"#);
        let with_image = format!(
            r#"let c = container::create("attack", ["true"]); let i = c.commit((), #{{changes: ["USER {user}"]}}); c.remove(); container::run(i, ["id", "-u"])"#
        );
        for call in [with_option, with_image] {
            let kind = hoist.value(&format!("attempt(|| {{ {call} }}).error.kind"));
            assert_eq!(kind, "invalid", "{call}");
        }
        hoist
            .eval("for c in container::list(#{all: true}) { c.remove(#{force: true}); }")
            .success();
    }
}

/// CVE-2026-57231: an entry of the environment without a value is not the host's value.
#[test]
fn s17_the_hosts_environment() {
    let hoist = Hoist::new();
    let files = with_config(|config| {
        config["config"] = json!({"Env": ["HOST_SECRET", "=x", "PATH=/bin", "HOME"], "Cmd": ["/bin/env"]});
    });
    let path = hoist.write("env.tar", files.pack());
    let script = format!(
        r#"let i = image::load("{}")[0]; container::run(i).stdout + container::run(i, ["/bin/env"], #{{env: #{{OWN: "1"}}}}).stdout"#,
        path.display()
    );
    let output = hoist
        .command(&["--format", "json", "eval", &script])
        .env("HOST_SECRET", "hunter2")
        .output()
        .success();
    let text = output.json();
    let text = text.as_str().unwrap();
    assert!(!text.contains("hunter2") && !text.contains("HOST_SECRET"), "{text}");
    assert!(text.contains("PATH=/bin\n") && text.contains("OWN=1\n"), "{text}");
}

/// An image with busybox and a configuration of any sort.
fn with_config(change: impl FnOnce(&mut Value)) -> Files {
    let busybox = fs::read(inputs::path("busybox.tar")).unwrap();
    let files = Files::docker(&[busybox], "attack:1");
    let name = files.0.keys().find(|name| name.len() == 69).unwrap().clone();
    let mut config: Value = serde_json::from_slice(&files.0[&name]).unwrap();
    change(&mut config);
    let bytes = config.to_string().into_bytes();
    let renamed = format!("{}.json", crate::harness::forge::sha256(&bytes));
    let mut files = files.with("manifest.json", |text| {
        String::from_utf8(text).unwrap().replace(&name, &renamed).into_bytes()
    });
    files.0.remove(&name);
    files.0.insert(renamed, bytes);
    files
}

/// CVE-2026-53488: labels are words for people. Nothing of the engine is in them, so none says anything to it.
#[test]
fn s18_labels_say_nothing_to_the_engine() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let labels = json!({
        "hoist.privileged": "true",
        "hoist.mounts": format!("{}:/mnt", beside.dir()),
        "io.hoist.hooks.poststart": format!("touch {}/hooked", beside.dir()),
        "io.containerd.runc.v2.binary": "/bin/false",
        "io.podman.annotations.privileged": "TRUE",
        "run.oci.hooks.stdout": "/x",
        "": "empty",
    });
    let files =
        with_config(|config| config["config"] = json!({"Labels": labels, "Cmd": ["/bin/cat", "/proc/self/status"]}));
    let path = hoist.write("labels.tar", files.pack());
    let script = format!(
        r#"let i = image::load("{}")[0]; [container::run(i).stdout, container::run("busybox", "cat /proc/self/status").stdout]"#,
        path.display()
    );
    let ran = hoist.value(&script);
    let rights = |at: usize| {
        let status = ran[at].as_str().unwrap();
        let lines = status
            .lines()
            .filter(|line| line.starts_with("Cap") || line.starts_with("Seccomp"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((rights(0).len(), rights(0)), (7, rights(1)));
    beside.assert_untouched();
}

/// CVE-2022-2989, CVE-2023-25173, CVE-2022-27649: the groups are those the container's own files give, and no capability is inheritable.
#[test]
fn s19_groups_and_inheritable_capabilities() {
    let hoist = Hoist::with_busybox();
    prepare(
        &hoist,
        "echo 'app:x:1000:1001::/:/bin/sh' >> /etc/passwd; echo 'extra:x:77:app,root' >> /etc/group",
        &[],
    );
    for (user, groups) in [
        ("", "0 77"),
        ("app", "1001 77"),
        ("1000", "1001 77"),
        ("app:5", "5"),
        ("4000", "0"),
        ("4000:6", "6"),
    ] {
        let script = format!(
            r#"container::run("attack", ["sh", "-c", "grep -E '^(Groups|CapInh|CapAmb)' /proc/self/status"], #{{user: "{user}"}}).stdout"#
        );
        let status = hoist.value(&script);
        let fields = |name: &str| {
            let line = status
                .as_str()
                .unwrap()
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned();
            let words = line.split_whitespace().skip(1);
            let mut words: Vec<String> = words.map(str::to_owned).collect();
            words.sort();
            words
        };
        let mut expected: Vec<&str> = groups.split(' ').collect();
        expected.sort_unstable();
        assert_eq!(fields("Groups"), expected, "`{user}`");
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(fields(set), ["0000000000000000"], "`{user}`");
        }
    }
}

/// CVE-2024-9341, CVE-2024-9676: files the engine reads or puts into the root may be links there, or devices, or pipes.
#[test]
fn s20_links_where_the_engine_reads_and_writes() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let secret = format!("{}/secret", beside.dir());
    let names = [
        "etc/passwd",
        "etc/group",
        "etc/hosts",
        "etc/resolv.conf",
        "etc/hostname",
        "run/secrets",
    ];
    for target in [secret.as_str(), "../../../../../../../../etc/shadow", "/dev/zero"] {
        let mut entries = vec![("etc", Item::Dir), ("run", Item::Dir)];
        entries.extend(names.iter().map(|name| (*name, Item::Symlink(target))));
        run_over_busybox(&beside, &layer(&entries));
    }
    let mut pipes = vec![("etc", Item::Dir), ("run", Item::Dir)];
    pipes.extend(names.iter().map(|name| (*name, Item::Fifo)));
    run_over_busybox(&beside, &layer(&pipes));
    beside.assert_untouched();
    assert!(hoist.staged().is_empty());
}

/// Runs and enters a container of busybox with this layer on top; it may fail, but not hang, and shows nothing of the host.
fn run_over_busybox(beside: &Beside, top: &[u8]) {
    let hoist = &beside.hoist;
    let busybox = fs::read(inputs::path("busybox.tar")).unwrap();
    let path = hoist.write("links.tar", Files::docker(&[busybox, top.to_vec()], "links:1").pack());
    let script = format!(
        r#"
        let i = image::load("{}")[0];
        let seen = "";
        for user in ["", "root", "7"] {{
            let r = attempt(|| container::run(i, ["/bin/head", "-c", "100", "/etc/hosts", "/etc/passwd"], #{{user: user, check: false, timeout: 20.seconds}}));
            if r.ok {{ seen += r.value.stdout; }} else if r.error.kind == "timeout" {{ throw "it hangs"; }}
        }}
        i.remove(#{{force: true}});
        seen"#,
        path.display()
    );
    let seen = hoist.value(&script);
    assert!(!seen.as_str().unwrap().contains("host's own"), "{seen}");
}
