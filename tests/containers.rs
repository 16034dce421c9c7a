//! `container::` from the outside: what runs inside sees its limits, and what is outside sees the truth about it.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::tree::{Ignore, Tree};
use crate::harness::{Hoist, Peers, inputs, tool};

#[track_caller]
fn kind(hoist: &Hoist, expression: &str) -> String {
    let kind = hoist.value(&format!("attempt(|| {expression}).error.kind"));
    kind.as_str()
        .unwrap_or_else(|| panic!("`{expression}` threw nothing"))
        .to_owned()
}

/// What a shell command prints in a container with these options.
#[track_caller]
fn inside(hoist: &Hoist, command: &str, options: &str) -> String {
    let script = format!(
        r#"container::run("busybox", {}, #{{{options}}}).text()"#,
        json!(command)
    );
    hoist.value(&script).as_str().unwrap().trim().to_owned()
}

#[test]
fn a_run_tells_all_about_itself_and_leaves_nothing() {
    let hoist = Hoist::with_busybox();
    let run = r#"let r = container::run("busybox", "echo out; echo err >&2; exit 3", #{check: false}); [r.code, r.ok, r.stdout, r.stderr]"#;
    assert_eq!(hoist.value(run), json!([3, false, "out\n", "err\n"]));
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
    assert_eq!(kind(&hoist, r#"container::run("busybox", "exit 3")"#), "exit_status");
    assert_eq!(
        hoist.value(r#"container::run("busybox", ["cat"], #{stdin: "from outside"}).stdout"#),
        "from outside"
    );
}

/// The code of a shell and the reason on standard error; an error with the reason where the code is not asked for.
#[test]
fn a_program_that_cannot_be_executed_has_a_code() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "up"}).id"#)
        .success();
    let cases = [
        ("/no/such/program", 127, "no such file or directory", "not_found"),
        ("/www/index.html", 126, "permission denied", "denied"),
    ];
    for (program, code, reason, error) in cases {
        for call in [r#"container::run("busybox", "#, r#"container::get("up").exec("#] {
            let script = format!(r#"let r = {call}["{program}"], #{{check: false}}); [r.code, r.stderr]"#);
            let stderr = format!("failed to run `{program}`: {reason}\n");
            assert_eq!(hoist.value(&script), json!([code, stderr]), "{script}");
            assert_eq!(kind(&hoist, &format!(r#"{call}["{program}"])"#)), error);
        }
        let detached = format!(r#"container::run_detached("busybox", ["{program}"])"#);
        assert_eq!(kind(&hoist, &detached), error);
    }
    // What is wrong with the container and not with its command has no code.
    assert_eq!(
        kind(
            &hoist,
            r#"container::run("busybox", ["true"], #{check: false, user: "absent"})"#
        ),
        "not_found"
    );
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 1);
}

#[test]
fn options_arrive_inside() {
    let hoist = Hoist::with_busybox();
    hoist.write("shared", "from the host");
    let dir = hoist.dir();
    let cases = [
        (
            "echo $A-$B",
            r#"env: #{A: "1", B: "two words"}"#.to_owned(),
            "1-two words",
        ),
        ("pwd", r#"workdir: "/var/log""#.to_owned(), "/var/log"),
        ("id -u; id -g", r#"user: "nobody""#.to_owned(), "65534\n65534"),
        ("id -u; id -g", r#"user: "7:8""#.to_owned(), "7\n8"),
        ("hostname", r#"hostname: "box""#.to_owned(), "box"),
        (
            "cat /mnt/shared",
            format!(r#"volumes: ["{}:/mnt:ro"]"#, dir.display()),
            "from the host",
        ),
        (
            "touch /mnt/x 2>/dev/null || echo no",
            format!(r#"volumes: ["{}:/mnt:ro"]"#, dir.display()),
            "no",
        ),
        ("touch /x 2>/dev/null || echo no", "read_only: true".to_owned(), "no"),
        ("stat -f -c %T /scratch", r#"tmpfs: ["/scratch"]"#.to_owned(), "tmpfs"),
        ("ls /sys/class/net", r#"network: "none""#.to_owned(), "lo"),
        ("cat /sys/class/net/lo/operstate", String::new(), "unknown"),
        (
            "grep NoNewPrivs /proc/self/status",
            "no_new_privileges: true".to_owned(),
            "NoNewPrivs:\t1",
        ),
    ];
    for (command, options, expected) in cases {
        assert_eq!(inside(&hoist, command, &options), expected, "{command} with {options}");
    }
    assert_eq!(
        kind(&hoist, r#"container::run("busybox", ["true"], #{network: "bridge"})"#),
        "unsupported"
    );
}

#[test]
fn a_container_sees_itself_alone() {
    let hoist = Hoist::with_busybox();
    assert_eq!(inside(&hoist, "echo $$", ""), "1");
    assert_eq!(inside(&hoist, "set -- /proc/[0-9]*; echo $#", ""), "1");
    assert_eq!(
        inside(
            &hoist,
            "grep -c . /proc/mounts >/dev/null; grep -c hoist-test /proc/mounts || true",
            ""
        )
        .trim(),
        "0"
    );
    // What may tell of the host or change it.
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"] {
        assert_eq!(
            inside(&hoist, &format!("(cat {path} || ls {path}) 2>/dev/null | wc -c"), ""),
            "0",
            "{path}"
        );
    }
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/sys/kernel/uevent_helper",
    ] {
        assert_eq!(
            inside(&hoist, &format!("(echo x > {path}) 2>/dev/null || echo no"), ""),
            "no",
            "{path}"
        );
    }
    // Podman's eleven, and a filter.
    assert_eq!(
        inside(
            &hoist,
            "grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status | cut -f 2",
            ""
        ),
        "00000000800405fb\n00000000800405fb\n2"
    );
}

#[test]
fn limits_bite() {
    let hoist = Hoist::with_busybox();
    let hungry = r#"container::run("busybox", "tail /dev/zero", #{memory: "16m", check: false})"#;
    assert_eq!(
        hoist.value(&format!("let r = {hungry}; [r.code, r.oom_killed]")),
        json!([137, true])
    );
    let bomb = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done 2>&1; wait";
    let output = hoist.value(&format!(
        r#"let r = container::run("busybox", "{bomb}", #{{pids_limit: 4, check: false}}); r.stdout + r.stderr"#
    ));
    assert!(output.as_str().unwrap().contains("can't fork"), "{output}");
    assert_eq!(
        kind(&hoist, r#"container::run("busybox", ["true"], #{memory: "1k"})"#),
        "invalid"
    );
    assert_eq!(
        kind(
            &hoist,
            r#"container::run("busybox", ["sleep", "1000"], #{timeout: 200.millis})"#
        ),
        "timeout"
    );
    hoist.assert_nothing_left();
}

#[test]
fn a_life_from_creation_to_removal() {
    let hoist = Hoist::with_busybox();
    let steps = [
        (
            r#"container::create("busybox", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done", #{name: "life"}).status"#,
            json!("created"),
        ),
        (
            r#"let c = container::get("life"); c.start(); c.reload(); [c.status, c.running, c.pid > 0]"#,
            json!(["running", true, true]),
        ),
        (r#"container::list().map(|c| c.name)"#, json!(["life"])),
        (
            r#"let c = container::get("life"); c.pause(); c.reload(); c.status"#,
            json!("paused"),
        ),
        (
            r#"let c = container::get("life"); c.unpause(); c.reload(); c.status"#,
            json!("running"),
        ),
        (r#"container::get("life").exec("echo $((6 * 7))").text()"#, json!("42")),
        (
            r#"container::get("life").exec(["sh", "-c", "exit 5"], #{check: false}).code"#,
            json!(5),
        ),
        (
            r#"container::get("life").rename("other"); container::exists("life")"#,
            json!(false),
        ),
        (
            r#"let c = container::get("other"); c.stop(#{timeout: 20}); c.reload(); [c.status, c.exit_code]"#,
            json!(["exited", 7]),
        ),
        (
            r#"let c = container::get("other"); c.restart(); c.reload(); c.status"#,
            json!("running"),
        ),
        (
            r#"let c = container::get("other"); c.kill("KILL"); c.wait(); c.reload(); [c.status, c.exit_code]"#,
            json!(["exited", 137]),
        ),
        (r#"container::get("other").logs().contains("up")"#, json!(true)),
        (
            r#"container::get("other").remove(); container::list(#{all: true}).len()"#,
            json!(0),
        ),
    ];
    for (script, expected) in steps {
        assert_eq!(hoist.value(script), expected, "{script}");
    }
    hoist.assert_nothing_left();
}

#[test]
fn a_detached_container_outlives_its_script_and_keeps_its_log() {
    let hoist = Hoist::with_busybox();
    hoist.eval(r#"container::run_detached("busybox", "echo one; echo two >&2; mkfifo /fifo; read x < /fifo; echo $x", #{name: "job"}).id"#).success();
    hoist
        .eval(r#"container::get("job").exec("until [ -p /fifo ]; do :; done; echo three > /fifo")"#)
        .success();
    assert_eq!(hoist.value(r#"container::get("job").wait()"#), 0);
    assert_eq!(
        hoist.value(r#"container::get("job").logs(#{stream: "stdout"})"#),
        "one\nthree\n"
    );
    assert_eq!(
        hoist.value(r#"container::get("job").logs(#{stream: "stderr"})"#),
        "two\n"
    );
    assert_eq!(hoist.value(r#"container::get("job").logs(#{tail: 1})"#), "three\n");
}

#[test]
fn illegal_moves_are_refused() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::create("busybox", ["true"], #{name: "taken"}).id"#)
        .success();
    assert_eq!(
        kind(&hoist, r#"container::create("busybox", ["true"], #{name: "taken"})"#),
        "already_exists"
    );
    assert_eq!(kind(&hoist, r#"container::get("taken").pause()"#), "conflict");
    assert_eq!(kind(&hoist, r#"container::get("taken").exec(["true"])"#), "conflict");
    assert_eq!(
        kind(&hoist, r#"{ let c = container::get("taken"); c.remove(); c.start() }"#),
        "not_found"
    );
    assert_eq!(
        kind(&hoist, r#"container::create("no-such-image", ["true"])"#),
        "not_found"
    );
    assert_eq!(
        kind(&hoist, r#"container::create("busybox", ["true"], #{memry: "1g"})"#),
        "invalid"
    );
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "busy"}).id"#)
        .success();
    assert_eq!(kind(&hoist, r#"container::get("busy").remove()"#), "conflict");
    assert_eq!(hoist.value(r#"container::prune().removed.len()"#), 0);
}

#[test]
fn files_go_in_and_out_and_differences_are_told() {
    let hoist = Hoist::with_busybox();
    let dir = hoist.file("tree");
    fs::create_dir_all(dir.join("deep")).unwrap();
    fs::write(dir.join("deep/file"), "content").unwrap();
    tool(&dir, "chown", &["12:34", "deep/file"]);
    hoist
        .eval(r#"container::create("busybox", ["true"], #{name: "c"}).id"#)
        .success();
    let (from, to) = (dir.display().to_string(), hoist.file("copied"));
    hoist
        .eval(&format!(
            r#"let c = container::get("c"); c.copy_in("{from}", "/in"); c.copy_out("/in", "{}")"#,
            to.display()
        ))
        .success();
    // As with `docker cp`, a copy belongs to root inside, and outside to who made it.
    tool(&dir, "chown", &["0:0", "deep/file"]);
    Tree::read(&dir).assert_same(
        &Tree::read(&to),
        Ignore {
            root: true,
            ..Ignore::default()
        },
    );
    hoist
        .eval(r#"container::get("c").write_file("/etc/motd", "hello")"#)
        .success();
    assert_eq!(hoist.value(r#"container::get("c").read_file("/etc/motd")"#), "hello");
    hoist
        .eval(r#"let c = container::get("c"); c.write_file("/etc/passwd", "changed"); c.start(); c.wait()"#)
        .success();
    let diff = hoist
        .value(r#"container::get("c").diff().map(|d| `${d.kind} ${d.path}`)"#)
        .to_string()
        .to_lowercase();
    for part in ["changed /etc/passwd", "added /etc/motd", "added /in/deep/file"] {
        assert!(diff.contains(part), "{part} is not in {diff}");
    }
}

/// `copy_out` through a symlink that leads out of the container must stay inside.
#[test]
fn s14_links_inside_lead_nowhere_outside() {
    let hoist = Hoist::with_busybox();
    let secret = hoist.write("secret", "host");
    let script = format!(
        "ln -s {0} /link; ln -s {0} /dir-link; mkdir -p /a; ln -s / /a/root",
        secret.display()
    );
    hoist
        .eval(&format!(
            r#"let c = container::create("busybox", "{script}", #{{name: "c"}}); c.start(); c.wait()"#
        ))
        .success();
    assert_eq!(kind(&hoist, r#"container::get("c").read_file("/link")"#), "not_found");
    hoist
        .eval(r#"container::get("c").write_file("/a/root/etc/motd", "inside")"#)
        .success();
    assert_eq!(hoist.value(r#"container::get("c").read_file("/etc/motd")"#), "inside");
    assert_eq!(fs::read_to_string(secret).unwrap(), "host");
}

#[test]
fn a_commit_is_an_image_that_others_run() {
    let (hoist, peers) = (Hoist::with_busybox(), Peers::new());
    let path = peers.file("committed.tar");
    let script = r#"
        let c = container::create("busybox", "echo new > /new; rm /www/index.html; mkdir /deep; chown 7:8 /deep", #{name: "c"});
        c.start(); c.wait();
        c.commit("example.org/committed:1", #{changes: ["CMD [\"cat\", \"/new\"]", "LABEL made=here"], message: "a word"}).save(args[0]);"#;
    hoist.script(script, &[path.to_str().unwrap()]).success();
    assert_eq!(
        hoist.value(r#"container::run("example.org/committed:1").text()"#),
        "new"
    );
    assert_eq!(
        hoist.value(r#"image::get("example.org/committed:1").labels.made"#),
        "here"
    );
    peers
        .podman(&["load", "--quiet", "--input", path.to_str().unwrap()])
        .success();
    let podman = |command: &str| {
        peers
            .podman(&[
                "run",
                "--rm",
                "--network",
                "none",
                "example.org/committed:1",
                "sh",
                "-c",
                command,
            ])
            .success()
    };
    assert_eq!(
        podman("cat /new; ls /www | wc -l; stat -c %u:%g /deep").text(),
        "new\n0\n7:8"
    );
}

#[test]
fn debian_goes_out_as_a_tree_and_comes_back_to_run() {
    let hoist = Hoist::new();
    let (debian, out) = (inputs::path("debian.tar"), hoist.file("out.tar"));
    hoist
        .eval(&format!(
            r#"image::import_tar("{}", "debian", #{{changes: ["CMD [\"bash\"]"]}}).id"#,
            debian.display()
        ))
        .success();
    let export = format!(
        r#"let c = container::create("debian", ["true"], #{{name: "c"}}); c.export_tar("{}"); c.remove();"#,
        out.display()
    );
    hoist.eval(&export).success();
    let trees = [hoist.file("a"), hoist.file("b")].map(|dir| {
        fs::create_dir(&dir).unwrap();
        dir
    });
    for (tree, tar) in trees.iter().zip([&debian, &out]) {
        tool(
            tree,
            "tar",
            &[
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                "-xpf",
                tar.to_str().unwrap(),
            ],
        );
    }
    // The places to mount on that Debian lacks, empty, as Docker exports them.
    let added = ["etc/hosts"];
    assert!(!trees[0].join("etc/hosts").exists());
    assert_eq!(fs::metadata(trees[1].join("etc/hosts")).unwrap().len(), 0);
    let [right, exported] = trees.map(|dir| Tree::read(&dir));
    right.assert_same(
        &exported,
        Ignore {
            root: true,
            paths: &added,
            ..Ignore::default()
        },
    );
    hoist
        .eval(&format!(r#"image::import_tar("{}", "again").id"#, out.display()))
        .success();
    let version = hoist.value(r#"container::run("again", ["bash", "-c", ". /etc/os-release; echo $ID"]).text()"#);
    assert_eq!(version, "debian");
}

/// The places that are mounted on in every container are the container's as little as the image's.
#[test]
fn a_container_that_changed_nothing_has_no_differences() {
    let hoist = Hoist::with_busybox();
    let setup = format!(
        r#"image::import_tar("{}", "debian"); image::from_host("bare", ["/bin/true"]); ()"#,
        inputs::path("debian.tar").display()
    );
    hoist.eval(&setup).success();
    for image in ["busybox", "debian", "bare"] {
        let script = format!(
            r#"let c = container::create("{image}", ["/bin/true"], #{{name: "c"}}); c.start(); c.wait();
               let found = [c.diff(), image::diff("{image}", c.commit("{image}-again")), image::diff("{image}", c.commit("{image}-flat", #{{squash: true}}))];
               c.remove(); found"#
        );
        assert_eq!(hoist.value(&script), json!([[], [], []]), "{image}");
    }
    // It is made once for all containers, and is gone with the last image of its layers.
    let count = || {
        let layers = fs::read_dir(hoist.root().join("layers")).unwrap();
        layers
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("init"))
            .count()
    };
    let before = count();
    hoist.eval(r#"container::run("bare", ["/bin/true"])"#).success();
    assert_eq!((before, count()), (3, 3));
    hoist
        .eval("for i in image::list(#{all: true}) { i.remove(#{force: true}); }")
        .success();
    assert_eq!(count(), 0);
}

#[test]
fn s12_a_device_that_an_image_brings_cannot_be_opened() {
    let hoist = Hoist::with_busybox();
    let dir = hoist.dir();
    tool(&dir, "mknod", &["-m", "666", "node", "c", "1", "1"]);
    let (node, mount) = (hoist.file("node"), dir.display());
    let script = format!(
        r#"let c = container::create("busybox", ["true"], #{{name: "c"}}); c.copy_in("{}", "/node"); c.commit("noded").id"#,
        node.display()
    );
    hoist.eval(&script).success();
    let probe = "cat /node; cat /mnt/node; cat /dev/null && echo fine; mkdir /tmp/d && head -c 4 /dev/zero | wc -c";
    let run = format!(
        r#"let r = container::run("noded", "{probe}", #{{volumes: ["{mount}:/mnt"], cap_add: ["MKNOD"]}}); [r.stdout, r.stderr]"#
    );
    let denied = |path: &str| format!("cat: can't open '{path}': Operation not permitted\n");
    let expected = ["fine\n4\n".to_owned(), [denied("/node"), denied("/mnt/node")].concat()];
    assert_eq!(hoist.value(&run), json!(expected));
    // An own one is no way around.
    let own = r#"container::run("busybox", "mknod /n c 1 1; cat /n", #{cap_add: ["MKNOD"], check: false}).stderr"#;
    let nothing = "cat: can't open '/n': No such file or directory\n";
    assert_eq!(
        hoist.value(own),
        format!("mknod: /n: Operation not permitted\n{nothing}")
    );
}

/// The limits hold for every process, those of `exec` too, and no further than the hard limit of this process.
#[test]
fn processes_have_the_limits_asked_for() {
    let hoist = Hoist::with_busybox();
    let show = "ulimit -Sn; ulimit -Hn; ulimit -c";
    let limits = r#"ulimits: #{nofile: "100:200", core: 0}"#;
    assert_eq!(inside(&hoist, show, limits), "100\n200\n0");
    assert_eq!(inside(&hoist, "ulimit -Hn", r#"ulimits: ["nofile=77"]"#), "77");
    let script = format!(
        r#"let c = container::run_detached("busybox", ["sleep", "1000"], #{{name: "up", {limits}}}); c.exec("{show}").text()"#
    );
    assert_eq!(hoist.value(&script), "100\n200\n0");
    let ulimits = hoist.value(r#"container::get("up").inspect().HostConfig.Ulimits"#);
    let expected = json!([{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 100, "Hard": 200}]);
    assert_eq!(ulimits, expected);
    for wrong in ["files: 1", r#"nofile: "many""#, r#"nofile: "2:1""#] {
        let call = format!(r#"container::run("busybox", ["true"], #{{ulimits: #{{{wrong}}}}})"#);
        assert_eq!(kind(&hoist, &call), "invalid", "{call}");
    }
}

#[test]
fn kernel_settings_are_those_of_the_containers_namespaces_only() {
    let hoist = Hoist::with_busybox();
    let read = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max";
    let settings = r#"sysctls: #{"net.core.somaxconn": 77, "kernel.shmmni": 55, "fs.mqueue.msg_max": 9}"#;
    let before = fs::read_to_string("/proc/sys/kernel/shmmni").unwrap();
    assert_eq!(inside(&hoist, read, settings), "77\n55\n9");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmni").unwrap(), before);
    let hosts = [
        (r#""kernel.core_pattern": "|/bin/sh""#, ""),
        (r#""vm.swappiness": 1"#, ""),
        (r#""net/../kernel.core_pattern": 1"#, ""),
        (r#""net.core.somaxconn": 77"#, r#", network: "host""#),
    ];
    for (setting, network) in hosts {
        let call = format!(r#"container::run("busybox", ["true"], #{{sysctls: #{{{setting}}}{network}}})"#);
        assert_eq!(kind(&hoist, &call), "invalid", "{call}");
    }
    let unknown = r#"container::run("busybox", ["true"], #{sysctls: #{"net.core.nonsense": 1}})"#;
    assert_eq!(kind(&hoist, unknown), "not_found");
}

#[test]
fn shared_memory_is_as_large_as_asked_for() {
    let hoist = Hoist::with_busybox();
    let kib = "df -k /dev/shm | awk 'NR == 2 { print $2 }'";
    assert_eq!(inside(&hoist, kib, ""), "65536");
    assert_eq!(inside(&hoist, kib, "shm_size: 8.mib"), "8192");
    let fill = "dd if=/dev/zero of=/dev/shm/x bs=1M count=9 2>/dev/null || stat -c %s /dev/shm/x";
    assert_eq!(inside(&hoist, fill, "shm_size: 8.mib"), (8 << 20).to_string());
}

#[test]
fn a_volume_outlives_its_containers_and_is_shared() {
    let hoist = Hoist::with_busybox();
    let steps = [
        ("echo first > /data/f", r#"volumes: ["shared:/data"]"#, ""),
        (
            "cat /srv/f; touch /srv/x 2>/dev/null || echo no",
            r#"volumes: ["shared:/srv:ro"]"#,
            "first\nno",
        ),
        (
            "cat /a/f; echo second > /a/f; cat /b/f",
            r#"volumes: ["shared:/a", "shared:/b"]"#,
            "first\nsecond",
        ),
    ];
    for (command, options, expected) in steps {
        assert_eq!(inside(&hoist, command, options), expected, "{command}");
    }
    let pair = r#"
        let options = #{volumes: ["shared:/data"]};
        let a = container::run_detached("busybox", ["sleep", "1000"], options);
        let b = container::run_detached("busybox", ["sleep", "1000"], options);
        a.exec("echo from a > /data/f");
        let seen = b.exec("cat /data/f").text();
        a.remove(#{force: true, volumes: true});
        [seen, b.exec("cat /data/f").text()]"#;
    assert_eq!(hoist.value(pair), json!(["from a", "from a"]), "a volume in use stays");
    let volume = hoist.root().join("volumes/shared");
    assert!(volume.join("f").exists());
    hoist
        .eval("for c in container::list() { c.remove(#{force: true, volumes: true}); }")
        .success();
    assert!(!volume.exists());
}

#[test]
fn a_new_volume_starts_as_what_the_image_has_there() {
    let hoist = Hoist::with_busybox();
    let setup = r#"
        let c = container::create("busybox", "mkdir -p /data/deep; echo hi > /data/deep/f; ln -s f /data/deep/l; chown -R 7:8 /data; chmod 2750 /data; chmod 4711 /data/deep/f", #{name: "c"});
        c.start(); c.wait(); c.commit("filled").id"#;
    hoist.eval(setup).success();
    let look = "cd /data; stat -c '%n %u:%g %a' . deep deep/f; readlink deep/l; cat deep/f; echo new > deep/f";
    let run = |options: &str| hoist.value(&format!(r#"container::run("filled", "{look}", #{{{options}}}).text()"#));
    let first = ". 7:8 2750\ndeep 7:8 755\ndeep/f 7:8 4711\nf\nhi";
    assert_eq!(run(r#"volumes: ["v:/data"]"#), first);
    // Only at the first use, and only what is a directory there.
    assert_eq!(
        run(r#"volumes: ["v:/data"]"#).as_str().unwrap().lines().last(),
        Some("new")
    );
    assert_eq!(inside(&hoist, "ls /v/deep", r#"volumes: ["v:/v"]"#), "f\nl");
    assert_eq!(
        inside(&hoist, "ls /none; echo x > /none/y", r#"volumes: ["w:/none"]"#),
        ""
    );
    let failed = r#"container::create("filled", ["true"], #{name: "c", volumes: ["u:/data"]})"#;
    assert_eq!(kind(&hoist, failed), "already_exists");
    assert!(hoist.staged().iter().all(|path| path.ends_with("lock")));
    assert!(!hoist.root().join("volumes/u").exists(), "a volume of nobody");
}

/// A failure elsewhere, and the time, end a container as Ctrl-C does.
#[test]
fn what_ends_the_script_ends_its_containers() {
    let hoist = Hoist::with_busybox();
    let parallel = r#"
        parallel_map(["sleep 1000", "exit 7", "sleep 1000"], |c| container::run("busybox", c), #{jobs: 3})"#;
    assert_eq!(kind(&hoist, parallel.trim()), "exit_status");
    hoist.assert_nothing_left();
    let late = r#"container::run("busybox", ["sleep", "1000"])"#;
    hoist.run(&["--timeout", "500ms", "eval", late]).fails_with(124);
    hoist.assert_nothing_left();
    assert_eq!(hoist.value("container::list(#{all: true}).len()"), 0);
}

#[test]
fn ctrl_c_stops_the_script_and_the_container() {
    let hoist = Hoist::with_busybox();
    let script = hoist.write(
        "wait.rhai",
        r#"defer(|| print("cleaned up")); container::run("busybox", "echo ready; sleep 1000", #{stream: true});"#,
    );
    let mut running = hoist.command(&["run", script.to_str().unwrap()]).spawn();
    running.wait_for("ready\n");
    running.signal(Signal::SIGINT);
    running.wait_for("cleaned up\n");
    let (_, status) = running.wait();
    assert_eq!(status.code(), Some(130));
    hoist.assert_nothing_left();
}

#[test]
fn a_killed_supervisor_is_told_and_cleaned_up() {
    let hoist = Hoist::with_busybox();
    let pid = hoist
        .value(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "c"}).pid"#)
        .as_i64()
        .unwrap();
    let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent: i32 = parent
        .rsplit(')')
        .next()
        .unwrap()
        .split(' ')
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent), Signal::SIGKILL).unwrap();
    let status = hoist.value(r#"container::get("c").status"#);
    assert!(
        ["running", "dead", "exited"].contains(&status.as_str().unwrap()),
        "{status}"
    );
    let is_alive = std::path::Path::new(&format!("/proc/{pid}/root")).read_link().is_ok();
    assert_eq!(status == "running", is_alive);
    hoist.eval(r#"container::get("c").remove(#{force: true})"#).success();
    hoist.assert_nothing_left();
}
