//! Processes of the engine that enter a container, and what of one container may reach another.

use std::fs;

use serde_json::json;

use super::{Naive, inside, load_over_busybox, refused};
use crate::harness::forge::{Item, sha256};
use crate::harness::{Hoist, PROGRAM};
use crate::hostile::Beside;

/// CVE-2016-9962, CVE-2019-5736: while commands enter a container, its own program looks at every process it sees, for descriptors
/// of the host and for the engine's program, and writes to what it finds.
#[test]
fn whoever_enters_cannot_be_looked_into() {
    let hoist = Hoist::with_busybox();
    let before = sha256(&fs::read(PROGRAM).unwrap());
    let look = "touch /ready; while :; do for p in /proc/[0-9]*; do \
                case $(readlink $p/exe) in /bin/busybox|'') ;; *) readlink $p/exe >> /found; (echo x >> $p/exe) 2>> /tried && echo written >> /found;; esac; \
                for f in $p/fd/* $p/cwd $p/root; do l=$(readlink $f) || continue; \
                case $l in /|/dev/null|/ready|/found|/tried|/proc*|pipe:*) ;; *) echo $f $l >> /found;; esac; done; done; done";
    let script = format!(
        r#"
        let c = container::run_detached("busybox", ["sh", "-c", {}], #{{name: "looker"}});
        while !attempt(|| c.read_file("/ready")).ok {{ }}
        for n in 0..100 {{ c.exec(["true"]); c.exec(["sh", "-c", "exit 0"]); }}
        let found = attempt(|| c.read_file("/found"));
        c.remove(#{{force: true}});
        if found.ok {{ found.value }} else {{ "" }}"#,
        json!(look)
    );
    assert_eq!(hoist.value(&script), "");
    assert_eq!(sha256(&fs::read(PROGRAM).unwrap()), before);
    hoist.assert_nothing_left();
}

/// CVE-2019-5736: the image names the engine's own program as its command, or as the interpreter of it.
#[test]
fn the_program_of_the_engine_is_no_program_of_the_container() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let before = sha256(&fs::read(PROGRAM).unwrap());
    load_over_busybox(hoist, &[("evil", Item::File(b"#!/proc/self/exe\n"))]);
    hoist
        .eval(r#"let c = container::create("attack:1", ["/bin/chmod", "755", "/evil"]); c.start(); c.wait(); c.commit("evil:1"); c.remove();"#)
        .success();
    for command in [
        r#"["/evil"]"#,
        r#"["/proc/self/exe"]"#,
        r#"["/proc/self/exe", "eval", "1"]"#,
    ] {
        let script = format!(
            r#"let r = attempt(|| container::run("evil:1", {command}, #{{check: false, timeout: 20.seconds}}));
            if r.ok {{ r.value.stdout }} else {{ r.error.kind }}"#
        );
        let seen = hoist.value(&script);
        assert_ne!(seen, "timeout", "{command}");
        // The file it would be is on a mount that nobody can write to.
        let write = format!(
            r#"let c = container::run_detached("evil:1", {command}); attempt(|| c.exec("for p in /proc/[0-9]*; do echo x >> $p/exe; done 2>/dev/null", #{{check: false}})); c.remove(#{{force: true}});"#
        );
        let _ = hoist.eval(&write);
        assert_eq!(sha256(&fs::read(PROGRAM).unwrap()), before, "{command}");
    }
    hoist.assert_nothing_left();
}

/// CVE-2024-21626: a directory of the host that was left open is the working directory.
#[test]
fn working_directories_by_descriptor() {
    let beside = Beside::with_busybox();
    let (hoist, naive) = (&beside.hoist, Naive::new(&beside));
    let seen = naive.run(
        &[],
        "mount -t proc proc $root/proc; exec 7<$outside; chroot $root /bin/sh -c 'cd /proc/self/fd/7/ && /bin/ls'",
    );
    assert_eq!(seen, "dir\n", "the naive engine left nothing open");
    let script = r#"
        let seen = [];
        let c = container::run_detached("busybox", ["sleep", "1000"]);
        for n in 3..60 {
            for dir in [`/proc/self/fd/${n}`, `/proc/self/fd/${n}/..`, `/proc/1/fd/${n}/`] {
                let r = attempt(|| container::run("busybox", "ls; ls /proc/self/cwd/../../../../..", #{workdir: dir, check: false}));
                if r.ok { seen.push([dir, r.value.stdout]); }
                let r = attempt(|| c.exec("ls; ls /proc/self/cwd/../../../../..", #{workdir: dir, check: false}));
                if r.ok { seen.push([dir, r.value.stdout]); }
            }
        }
        c.remove(#{force: true});
        seen"#;
    for seen in hoist.value(script).as_array().unwrap() {
        // Where the directory was made in the container's own tree, or is one: nothing of the host's.
        let text = seen[1].as_str().unwrap();
        assert!(
            !text.contains("boot") && !text.contains("usr") && !text.contains("lost+found"),
            "{seen}"
        );
    }
    let open = inside(hoist, "busybox", "ls /proc/self/fd", "");
    assert_eq!(open, "0\n1\n2\n3\n");
    hoist.assert_nothing_left();
}

/// CVE-2022-1227: what looks at a container's processes runs programs of its image.
#[test]
fn looking_at_processes_runs_nothing_of_the_image() {
    let beside = Beside::with_busybox();
    let hoist = &beside.hoist;
    let trap = b"#!/bin/sh\ntouch /sprung\n";
    let programs =
        ["bin/ps", "bin/nsenter", "bin/id", "bin/tar", "bin/cat", "bin/sh"].map(|name| (name, Item::File(&trap[..])));
    load_over_busybox(hoist, &programs);
    let script = r#"
        let c = container::run_detached("attack:1", ["/bin/busybox", "sleep", "1000"]);
        c.top(); c.stats(); c.diff(); c.inspect(); c.logs(); c.write_file("/x", "x"); c.read_file("/x");
        c.copy_out("/x", "x"); c.copy_in("x", "/y"); c.export_tar("x.tar"); c.pause(); c.unpause();
        let sprung = attempt(|| c.read_file("/sprung")).ok;
        c.remove(#{force: true});
        sprung"#;
    assert_eq!(hoist.value(script), false);
    hoist.assert_nothing_left();
}

/// CVE-2020-14370: what one container of a script was given is in one that is made after it, or in what is told of that.
#[test]
fn containers_of_one_script_share_nothing() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let told = "";
        let one = #{env: #{ONE: "hunter2"}, labels: #{one: "hunter2"}, hostname: "hunter2", add_hosts: ["hunter2:10.0.0.1"], user: "7"};
        let look = "env; hostname; cat /etc/hosts /proc/1/environ; id";
        container::run("busybox", look, one);
        let a = container::run_detached("busybox", ["sleep", "1000"], one);
        a.exec(["true"], #{env: #{TWO: "hunter2"}});
        let b = container::run_detached("busybox", ["sleep", "1000"]);
        told += b.exec(look).stdout + b.inspect();
        told += container::run("busybox", look).stdout;
        let outcomes = [1, 2, 3, 4].parallel_map(|n| container::run("busybox", look, if n % 2 == 0 { one } else { #{} }).stdout);
        told += outcomes[0] + outcomes[2];
        a.remove(#{force: true}); b.remove(#{force: true});
        told"#;
    let told = hoist.value(script);
    let told = told.as_str().unwrap();
    assert!(told.contains("PATH=") && told.contains("uid=0"), "{told}");
    assert!(!told.contains("hunter2") && !told.contains("uid=7"), "{told}");
}

/// CVE-2020-15257: the engine listens where every process of the host's network can connect.
#[test]
fn nothing_listens_by_an_abstract_name() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let c = container::run_detached("busybox", ["sleep", "1000"], #{network: "host"});
        let sockets = c.exec(["cat", "/proc/net/unix"]).stdout;
        c.remove(#{force: true});
        sockets.split("\n").filter(|l| l.contains("@") && l.contains("hoist"))"#;
    assert_eq!(hoist.value(script), json!([]));
}

/// CVE-2021-43784: lengths that do not fit in the messages between the engine's processes.
#[test]
fn long_words_arrive_or_are_refused() {
    let hoist = Hoist::with_busybox();
    for length in [65_535, 65_536, 70_000, 131_069] {
        let script = format!(
            r#"let word = "x"; word.pad({length}, "x"); container::run("busybox", "echo ${{#W}} $#; id -u", #{{env: #{{W: word}}, user: "5"}}).stdout"#
        );
        assert_eq!(hoist.value(&script), format!("{length} 0\n5\n"));
    }
    // The kernel takes no word of 128 KiB or more (execve(2)).
    let long = r#"let word = "x"; word.pad(131_072, "x"); "#;
    for call in [
        r#"container::run("busybox", ["true", word])"#,
        r#"container::run("busybox", ["true"], #{env: #{W: word}})"#,
        r#"container::run("busybox", ["true"], #{workdir: "/" + word})"#,
        r#"container::run("busybox", ["true"], #{user: word})"#,
        r#"container::run("busybox", ["true"], #{volumes: ["v:/" + word]})"#,
    ] {
        let kind = refused(&hoist, &format!("{{ {long} {call} }}"));
        assert!(
            ["invalid", "limit", "io", "not_found", "denied"].contains(&kind.as_str()),
            "{call}: {kind}"
        );
    }
    hoist.assert_nothing_left();
}
