//! Option `init`: a first process that reaps, passes signals on, and gives nothing away.

use std::fs;

use serde_json::json;

use crate::harness::Hoist;

/// What a shell command prints in a container with an init and these options.
#[track_caller]
fn inside(hoist: &Hoist, command: &str, options: &str) -> String {
    let run = format!(
        r#"container::run("busybox", {}, #{{init: true, {options}}}).stdout"#,
        json!(command)
    );
    hoist.value(&run).as_str().unwrap().trim().to_owned()
}

#[test]
fn it_stands_by_the_command_and_ends_as_it_does() {
    let hoist = Hoist::with_busybox();
    assert_eq!(
        inside(
            &hoist,
            "cat /proc/1/comm; tr '\\0' . < /proc/1/cmdline | tr -s .; echo $PPID",
            ""
        ),
        "hoist-init\nhoist-init.1"
    );
    let code = |command: &str| {
        hoist.value(&format!(
            r#"container::run("busybox", {command}, #{{init: true, check: false}}).code"#
        ))
    };
    assert_eq!(code(r#""exit 7""#), 7);
    // The first process of a namespace would be immune to this.
    assert_eq!(code(r#""kill -9 $$""#), 137);
    assert_eq!(code(r#"["/no/such"]"#), 127);
    assert_eq!(code(r#"["/www/index.html"]"#), 126);
    let stopped = r#"let c = container::run_detached("busybox", ["sleep", "1000"], #{init: true});
        c.stop(#{timeout: 30.seconds}); let r = [c.reload().exit_code, c.inspect().HostConfig.Init]; c.remove(); r"#;
    assert_eq!(hoist.value(stopped), json!([143, true]));
    let signals = "for s in HUP USR1 40; do trap \"echo $s\" $s; done; kill -HUP 1; kill -USR1 1; kill -40 1; sleep 0.2 & wait; wait; wait; wait";
    let mut heard: Vec<_> = inside(&hoist, signals, "").lines().map(str::to_owned).collect();
    heard.sort();
    assert_eq!(heard, ["40", "HUP", "USR1"]);
}

#[test]
fn it_takes_the_status_of_processes_that_nobody_waits_for() {
    let hoist = Hoist::with_busybox();
    // Of one that has ended and was not waited for, this file stays.
    let orphans =
        "for i in 1 2 3 4 5; do (sleep 0.01 &); done; while grep -q '(sleep)' /proc/[0-9]*/stat; do :; done; echo gone";
    assert_eq!(inside(&hoist, orphans, ""), "gone");
}

/// CVE-2019-5736: the copy of the runtime's process is no way to its binary, memory, descriptors or rights.
#[test]
fn it_gives_nothing_away_and_has_no_more_rights_than_the_command() {
    let hoist = Hoist::with_busybox();
    let facts = "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):' /proc/";
    for options in [
        "",
        r#"user: "nobody", no_new_privileges: true"#,
        r#"cap_add: ["SYS_PTRACE"]"#,
    ] {
        let own = inside(&hoist, &format!("{facts}self/status"), options);
        assert_eq!(inside(&hoist, &format!("{facts}1/status"), options), own, "{options}");
        assert!(own.contains("Seccomp:\t2"), "{own}");
    }
    let closed = "cat /proc/1/exe /proc/1/mem /proc/1/environ 2>&1; ls /proc/1/cwd 2>&1; echo $(ls /proc/1/fd)";
    let seen = inside(&hoist, closed, "");
    let denied = seen.matches("ermission denied").count();
    assert!(denied == 4 && seen.ends_with("0 1 2"), "{seen}");
    // Whoever may trace any process sees the streams and nothing else, and cannot write to the binary.
    let traced = "ls /proc/1/fd; cat /proc/1/environ | wc -c; (echo x > /proc/1/exe) 2>&1 | tail -1; ls -l /proc/1/exe | grep -c target; true";
    let seen = inside(&hoist, traced, r#"cap_add: ["SYS_PTRACE"]"#);
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[..4], ["0", "1", "2", "0"], "{seen}");
    assert!(!lines[4].is_empty() && lines[5] == "0", "{seen}");
}

#[test]
fn all_that_is_done_to_a_container_works_with_it() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let c = container::run_detached("busybox", "trap 'exit 3' USR1; echo up; while true; do sleep 0.01; done", #{
            init: true, restart: "on-failure:1", health: #{cmd: ["true"], interval: 10.millis},
        });
        c.wait(#{until: "healthy", timeout: 20.seconds});
        print(c.exec("cat /proc/1/comm").text());
        print(c.read_file("/proc/1/comm").trimmed());
        c.pause(); c.unpause();
        while c.logs() != "up\n" { sleep(5.millis); }
        c.kill("USR1");
        while c.logs() != "up\nup\n" { sleep(5.millis); }
        print(c.reload().restart_count);
        c.stop(#{timeout: 0.seconds});
        c.remove();
        print(container::run("busybox", "tty; cat /proc/1/comm", #{init: true, tty: true}).stdout.contains("hoist-init"));
        let owner = container::run_detached("busybox", ["sleep", "1000"], #{init: true});
        print(container::run("busybox", "cat /proc/1/comm; echo $PPID", #{init: true, pid: "container:" + owner.id}).lines()[0]);
        owner.remove(#{force: true});
    "#;
    hoist
        .script(script, &[])
        .success()
        .stdout_is("hoist-init\nhoist-init\n1\ntrue\nhoist-init");
}

#[test]
fn a_program_of_the_host_may_be_it() {
    let hoist = Hoist::with_busybox();
    // It drops what stands before the command, as `tini` does.
    let init = hoist.write("init", "#!/bin/sh\nshift\necho before\n\"$@\"\n");
    fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |path: &str| format!(r#"container::run("busybox", ["echo", "it"], #{{init_binary: "{path}"}}).stdout"#);
    assert_eq!(hoist.value(&run(init.to_str().unwrap())), "before\nit\n");
    let kind = hoist.value(&format!("attempt(|| {}).error.kind", run("/no/such/init")));
    assert_eq!(kind, "invalid");
}
