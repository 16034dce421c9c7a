//! Containers and commands that have a terminal.

use std::fs;

use serde_json::json;

use crate::harness::Hoist;

/// What a shell command in a container with a terminal writes, with the ends of its lines.
#[track_caller]
fn typed(hoist: &Hoist, command: &str, options: &str) -> String {
    let script = format!(
        r#"container::run("busybox", {}, #{{tty: true, {options}}}).stdout"#,
        json!(command)
    );
    hoist.value(&script).as_str().unwrap().to_owned()
}

#[test]
fn the_terminal_is_the_containers_own() {
    let hoist = Hoist::with_busybox();
    let show = "tty; stty size; echo $TERM; stat -c '%t:%T' -L /proc/self/fd/2; stat -c '%F %t:%T' /dev/console";
    let expected = "/dev/pts/0\r\n24 80\r\nxterm\r\n88:0\r\ncharacter special file 88:0\r\n";
    assert_eq!(typed(&hoist, show, ""), expected);
    // It belongs to its user, and to the group of terminals.
    let owner = "stat -c '%u %g %a' /dev/pts/0; echo hello > /dev/tty";
    assert_eq!(typed(&hoist, owner, r#"user: "7:8""#), "7 5 620\r\nhello\r\n");
    assert_eq!(typed(&hoist, "echo $TERM", r#"env: #{TERM: "vt100"}"#), "vt100\r\n");
    // What made it is not there any more.
    let fds = "cd /proc/self/fd && for fd in *; do readlink $fd; done | sort -u";
    let found = typed(&hoist, fds, "");
    assert!(
        found
            .lines()
            .all(|line| line == "/dev/pts/0" || line.starts_with("pipe:")),
        "{found}"
    );
    assert_eq!(
        hoist.value(r#"container::run("busybox", "test -e /dev/console || echo none; tty || true").text()"#),
        "none\nnot a tty"
    );
}

#[test]
fn a_terminals_output_is_one_stream_and_comes_whole() {
    let hoist = Hoist::with_busybox();
    let script = r#"let r = container::run("busybox", "echo out; echo err >&2; exit 7", #{tty: true, check: false}); [r.code, r.stdout, r.stderr]"#;
    assert_eq!(hoist.value(script), json!([7, "out\r\nerr\r\n", ""]));
    let lines = typed(&hoist, "seq 1 20000", "");
    let expected: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
    assert!(lines == expected, "{} bytes of {}", lines.len(), expected.len());
    // The same in the log of one that was left running.
    let script = r#"let c = container::run_detached("busybox", "seq 1 20000", #{tty: true}); c.wait(); c.logs()"#;
    assert!(hoist.value(script).as_str().unwrap() == expected);
}

#[test]
fn what_is_read_is_typed() {
    let hoist = Hoist::with_busybox();
    // A terminal echoes what is typed into it.
    assert_eq!(typed(&hoist, "cat", r#"stdin: "hello\n""#), "hello\r\nhello\r\n");
    assert_eq!(typed(&hoist, "cat", r#"stdin: "no end""#), "no endno end");
    assert_eq!(typed(&hoist, "cat", ""), "");
    // More than a terminal holds, in lines that it does.
    let line = format!("{}\\n", "x".repeat(999));
    let count = format!(r#"stdin: "{}""#, line.repeat(100));
    assert!(typed(&hoist, "stty -echo; echo ready; wc -l", &count).contains("100\r\n"));
}

#[test]
fn a_terminal_without_input_stays_quiet_until_the_end() {
    let hoist = Hoist::with_busybox();
    // All of its programs let go of the terminal for a while; it is there when one comes back to it.
    let command = "(exec <&- >&- 2>&-; sleep 0.1; echo back > /dev/console); exec <&- >&- 2>&-; sleep 0.1; echo again > /dev/pts/0";
    assert_eq!(typed(&hoist, command, ""), "back\r\nagain\r\n");
}

#[test]
fn a_further_command_may_have_a_terminal() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "plain"}); container::run_detached("busybox", ["sleep", "1000"], #{name: "own", tty: true, user: "7"}); ()"#)
        .success();
    let exec = |name: &str, command: &str, options: &str| {
        let script = format!(
            r#"let r = container::get("{name}").exec({}, #{{tty: true, check: false, {options}}}); [r.code, r.stdout]"#,
            json!(command)
        );
        hoist.value(&script)
    };
    let show = "tty; stty size; echo $TERM; stat -c %u $(tty); echo err >&2; exit 7";
    assert_eq!(
        exec("plain", show, ""),
        json!([7, "/dev/pts/0\r\n24 80\r\nxterm\r\n0\r\nerr\r\n"])
    );
    assert_eq!(
        exec("own", show, r#"user: "9""#),
        json!([7, "/dev/pts/1\r\n24 80\r\nxterm\r\n9\r\nerr\r\n"])
    );
    assert_eq!(
        exec("own", "cat", r#"stdin: "hello\n""#),
        json!([0, "hello\r\nhello\r\n"])
    );
    assert_eq!(exec("plain", "no-such-program", "")[0], 127);
    let config = r#"container::get("own").inspect().Config"#;
    assert_eq!(hoist.value(&format!("{config}.Tty")), true);
}

#[test]
fn cve_2025_52565_a_terminal_is_not_taken_for_what_lies_in_its_place() {
    let hoist = Hoist::with_busybox();
    let (dev, victim) = (hoist.dir().join("dev"), hoist.dir().join("victim"));
    fs::create_dir(&dev).unwrap();
    fs::write(&victim, "untouched").unwrap();
    let run = |volume: &str| {
        let script = format!(
            r#"let e = attempt(|| container::run("busybox", ["true"], #{{tty: true, volumes: ["{}:{volume}"]}})).error; [e.kind, e.message]"#,
            dev.display()
        );
        hoist.value(&script)
    };
    // Something that is no devpts, with links where the terminal's files would be.
    std::os::unix::fs::symlink(&victim, dev.join("ptmx")).unwrap();
    std::os::unix::fs::symlink(&victim, dev.join("0")).unwrap();
    let refused = run("/dev/pts");
    assert_eq!(refused[0], "denied", "{refused}");
    // A `/dev` that is not ours, with a link as its console.
    std::os::unix::fs::symlink(&victim, dev.join("console")).unwrap();
    fs::create_dir(dev.join("pts")).unwrap();
    let refused = run("/dev");
    assert_eq!(refused[0], "denied", "{refused}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
}

#[test]
fn what_a_container_reads_may_stay_open() {
    let hoist = Hoist::with_busybox();
    let script = |options: &str| {
        format!(
            r#"let c = container::run_detached("busybox", "echo ready; cat; echo over", #{{{options}}}); attempt(|| c.wait(#{{timeout: 300.millis}})).error.kind"#
        )
    };
    assert_eq!(hoist.value(&script("interactive: true")), "timeout");
    let ended = r#"let c = container::run_detached("busybox", ["cat"]); c.wait()"#;
    assert_eq!(hoist.value(ended), 0);
    // What is run to its end is given all it reads.
    let run = r#"container::run("busybox", ["cat"], #{interactive: true, stdin: "hello"}).stdout"#;
    assert_eq!(hoist.value(run), "hello");
    let run = r#"container::run("busybox", ["cat"], #{interactive: true}).stdout"#;
    assert_eq!(hoist.value(run), "");
}
