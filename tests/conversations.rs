//! People, and other programs, that talk with what runs in containers: `hoist container run`, `exec`, `attach`.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Hoist, Screen, program};

/// Ctrl-P, Ctrl-Q.
const LEAVE: &str = "\x10\x11";

fn screen(hoist: &Hoist, words: &[&str]) -> Screen {
    hoist.command(words).on_screen()
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn count(hoist: &Hoist) -> serde_json::Value {
    hoist.value("container::list(#{all: true}).len()")
}

#[test]
fn a_person_talks_with_a_shell() {
    let hoist = Hoist::with_busybox();
    let mut screen = screen(&hoist, &["container", "run", "-it", "--rm", "busybox", "sh"]);
    screen.wait_for("# ");
    screen.press("tty; stty size\n");
    screen.wait_for("/dev/pts/0\r\n30 90\r\n");
    screen.resize(40, 100);
    screen.press("stty size\n");
    screen.wait_for("40 100");
    // A program that runs is told of it.
    screen.press("sh -c 'trap \"stty size\" WINCH; echo tra\"\"pped; while sleep 0.02; do :; done'\n");
    screen.wait_for("trapped");
    screen.resize(41, 101);
    screen.wait_for("41 101");
    screen.press("\x03");
    screen.wait_for("# ");
    // The shell throws away what is typed before it has given up the terminal.
    screen.press("sh -c 'echo rea\"\"dy; exec cat'\n");
    screen.wait_for("ready");
    screen.press("hello\n");
    screen.wait_for("hello\r\nhello\r\n");
    screen.press("\x03");
    screen.wait_for("# ");
    screen.press("exit 7\n");
    assert_eq!(screen.code(), 7);
    assert_eq!(count(&hoist), 0);
}

#[test]
fn the_terminal_is_as_it_was_before() {
    let hoist = Hoist::with_busybox();
    let words = ["container", "run", "-it", "busybox", "sh"];
    type End<'a> = &'a dyn Fn(&mut Screen);
    let ends: [(End<'_>, Option<i32>); 3] = [
        (&|screen| screen.press("exit 3\n"), Some(3)),
        (&|screen| screen.signal_child(Signal::SIGTERM), Some(143)),
        (&|screen| screen.press(LEAVE), Some(0)),
    ];
    for (end, code) in ends {
        // The shell that starts it is there still when it has ended, and so is its terminal.
        let mut outer = program("setsid");
        outer.args(["--ctty", "sh", "-c", r#""$@"; echo "code $?"; stty -g"#, "sh"]);
        let mut screen = Screen::start(hoist.command(&words).under(outer).into_command());
        let before = screen.first_settings.clone();
        screen.wait_for("# ");
        assert_ne!(screen.settings(), before);
        end(&mut screen);
        screen.wait_for(&format!("code {}", code.unwrap()));
        screen.wait();
        assert_eq!(screen.settings(), before);
    }
    assert_eq!(hoist.value("container::list().len()"), 2);
    // One that cannot be started gives it back as well.
    let mut screen = screen(&hoist, &["container", "run", "-it", "busybox", "no-such-program"]);
    assert_eq!(screen.code(), 127);
    assert_eq!(screen.settings(), screen.first_settings);
}

#[test]
fn a_person_leaves_and_comes_back() {
    let hoist = Hoist::with_busybox();
    let mut first = screen(&hoist, &["container", "run", "-it", "--name", "box", "busybox", "sh"]);
    first.wait_for("# ");
    first.press("a=5; cd /tmp\n");
    first.wait_for("# ");
    first.press(LEAVE);
    assert_eq!(first.code(), 0);
    assert!(first.shown().contains("hoist attach box"), "{}", first.shown());
    assert_eq!(hoist.value(r#"container::get("box").status"#), "running");
    let mut second = screen(&hoist, &["attach", "box"]);
    second.wait_for("/tmp # ");
    // Several at once see the same, and any may type.
    let mut third = screen(&hoist, &["container", "attach", "--detach-keys", "ctrl-x", "box"]);
    third.wait_for("/tmp # ");
    second.press("echo a is $a\n");
    second.wait_for("a is 5");
    third.wait_for("a is 5");
    third.press("\x18");
    assert_eq!(third.code(), 0);
    // One that goes without a word takes nobody along.
    let mut fourth = screen(&hoist, &["attach", "box"]);
    fourth.wait_for("# ");
    fourth.signal(Signal::SIGKILL);
    fourth.wait();
    second.press("exit 3\n");
    assert_eq!(second.code(), 3);
    let refused = hoist.run(&["attach", "box"]).fails_with(1);
    refused.stderr_has(&["You cannot attach to a stopped container, start it first"]);
}

#[test]
fn a_container_outlives_whoever_started_it() {
    let hoist = Hoist::with_busybox();
    let command = "echo ready; while [ ! -e /go ]; do sleep 0.05; done; echo done; exit 5";
    let mut running = hoist
        .command(&["container", "run", "--name", "box", "busybox", "sh", "-c", command])
        .spawn();
    running.wait_for("ready\n");
    running.signal(Signal::SIGKILL);
    running.wait();
    let script = r#"let c = container::get("box"); c.exec("touch /go"); [c.wait(), c.logs()]"#;
    assert_eq!(hoist.value(script), serde_json::json!([5, "ready\ndone\n"]));
}

#[test]
fn signals_reach_a_program_without_a_terminal() {
    let hoist = Hoist::with_busybox();
    let command = "for s in INT TERM HUP QUIT USR1 USR2; do trap \"echo $s\" $s; done; trap 'echo end; exit 9' USR2; echo ready; while :; do sleep 0.02; done";
    let mut running = hoist
        .command(&["container", "run", "--rm", "busybox", "sh", "-c", command])
        .spawn();
    running.wait_for("ready\n");
    for (signal, name) in [
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGTERM, "TERM"),
    ] {
        running.signal(signal);
        running.wait_for(&format!("{name}\n"));
    }
    running.signal(Signal::SIGUSR2);
    assert_eq!(running.wait().1.code(), Some(9));
    assert_eq!(count(&hoist), 0);
    // Who asks three times wants no answer. The first process of a container ignores what it does not handle.
    let mut running = hoist
        .command(&[
            "container",
            "run",
            "--name",
            "deaf",
            "busybox",
            "sh",
            "-c",
            "echo ready; exec sleep 1000",
        ])
        .spawn();
    running.wait_for("ready\n");
    running.until_ended(|| running.signal(Signal::SIGTERM));
    running.wait();
    let words = [
        "container",
        "run",
        "--sig-proxy=false",
        "busybox",
        "sh",
        "-c",
        "echo ready; exec sleep 1000",
    ];
    let mut running = hoist.command(&words).spawn();
    running.wait_for("ready\n");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().1.code(), Some(143));
    assert_eq!(hoist.value(r#"container::get("deaf").status"#), "running");
}

#[test]
fn bytes_go_through_as_they_are() {
    let hoist = Hoist::with_busybox();
    let mut bytes = vec![0; 3 << 20];
    getrandom(&mut bytes);
    hoist.write("in", &bytes);
    for words in [
        ["container", "run", "-i", "--rm", "busybox", "cat"].as_slice(),
        &["exec", "-i", "box", "cat"],
    ] {
        if words[0] == "exec" {
            hoist
                .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "box"}); ()"#)
                .success();
        }
        let mut shell = program("sh");
        shell.args(["-c", r#""$@" < in > out"#, "sh"]);
        hoist.command(words).under(shell).output().success();
        assert!(fs::read(hoist.file("out")).unwrap() == bytes, "{words:?}");
    }
    // The two outputs stay apart, and what is read ends where it ends.
    let words = [
        "container",
        "run",
        "-i",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "wc -c; echo err >&2; exit 4",
    ];
    let output = hoist.command(&words).stdin("hello").output().fails_with(4);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("5\n", "err\n"));
    // Without `-i` nothing is read.
    let words = ["container", "run", "--rm", "busybox", "wc", "-c"];
    hoist.command(&words).stdin("hello").output().success().stdout_is("0");
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read;
    fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}

#[test]
fn exit_codes_are_those_of_docker() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", "touch /plain; sleep 1000", #{name: "box"}); ()"#)
        .success();
    let run = ["container", "run", "--rm"].as_slice();
    let cases: [(&[&str], &[&str], i32); 9] = [
        (run, &["busybox", "sh", "-c", "exit 7"], 7),
        (&["exec", "box"], &["sh", "-c", "kill -9 $$"], 137),
        (run, &["busybox", "no-such-program"], 127),
        (run, &["busybox", "/etc"], 126),
        (run, &["no-such-image", "true"], 125),
        (run, &["--network", "nowhere", "busybox", "true"], 125),
        (&["exec", "box"], &["sh", "-c", "exit 7"], 7),
        (&["exec", "box"], &["no-such-program"], 127),
        (&["exec", "no-such-container"], &["true"], 1),
    ];
    for (command, words, code) in cases {
        let words = [command, words].concat();
        let output = hoist.run(&words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", output.stderr);
    }
    let missing = hoist.run(&["container", "run", "no-such-image"]).fails_with(125);
    assert!(missing.stderr.contains("help: "), "{}", missing.stderr);
    hoist.run(&["container", "run", "-it", "busybox"]).fails_with(125);
    hoist
        .run(&["container", "run", "--memory", "much", "busybox"])
        .fails_with(125);
    assert_eq!(count(&hoist), 1);
}

#[test]
fn a_detached_container_is_removed_if_that_was_asked_for() {
    let hoist = Hoist::with_busybox();
    let id = hoist
        .run(&[
            "container",
            "run",
            "-d",
            "--rm",
            "-i",
            "--name",
            "box",
            "busybox",
            "cat",
        ])
        .success()
        .stdout;
    assert_eq!(hoist.value(r#"container::get("box").id"#), id.trim());
    // What it reads stays open, though one who typed is done.
    let mut attached = hoist.command(&["attach", "box"]).on_screen();
    attached.press("hello\n");
    attached.wait_for("hello\r\nhello\r\n");
    attached.signal(Signal::SIGKILL);
    attached.wait();
    hoist.eval(r#"container::get("box").kill()"#).success();
    until("it was not removed", || count(&hoist) == 0);
    // The same of a script's, and of one whose client was killed.
    hoist
        .eval(r#"container::run_detached("busybox", ["true"], #{rm: true}); ()"#)
        .success();
    until("it was not removed", || count(&hoist) == 0);
    let both = [
        "container",
        "run",
        "-d",
        "--rm",
        "--restart",
        "always",
        "busybox",
        "true",
    ];
    hoist.run(&both).fails_with(125);
}

#[test]
fn who_is_in_front_sees_one_run_of_a_container_that_is_started_again() {
    let hoist = Hoist::with_busybox();
    let command = "touch /runs; echo run; n=$(wc -l < /runs); echo >> /runs; [ $n = 0 ] && exit 3; exec cat";
    let words = [
        "container",
        "run",
        "-it",
        "--name",
        "box",
        "--restart",
        "on-failure",
        "busybox",
        "sh",
        "-c",
    ];
    let words = [words.as_slice(), &[command]].concat();
    let mut first = screen(&hoist, &words);
    assert_eq!(first.code(), 3);
    until("it was not started again", || {
        hoist.value(r#"container::get("box").running"#) == true
    });
    // The next run has a terminal, and a door of its own.
    let mut second = screen(&hoist, &["attach", "box"]);
    second.press("hello\n");
    second.wait_for("hello\r\nhello\r\n");
    second.press("\x04");
    assert_eq!(second.code(), 0);
}

#[test]
fn a_further_command_talks_too() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "box"}); ()"#)
        .success();
    let mut shell = screen(
        &hoist,
        &["exec", "-it", "-e", "A=1", "-w", "/tmp", "-u", "7", "box", "sh"],
    );
    shell.wait_for("/tmp $ ");
    shell.press("echo $A $(id -u) $(stty size)\n");
    shell.wait_for("1 7 30 90");
    shell.resize(41, 101);
    shell.press("stty size\n");
    shell.wait_for("41 101");
    shell.press("sleep 1000 & echo bac''kground\n");
    shell.wait_for("background");
    shell.press(LEAVE);
    assert_eq!(shell.code(), 0);
    let processes = || hoist.value(r#"container::get("box").exec("ps | grep -c '[s]h$' || true").text()"#);
    assert_eq!(processes(), "1");
    // One that is killed takes its command along.
    let mut other = screen(&hoist, &["exec", "-it", "box", "cat"]);
    other.press("x\n");
    other.wait_for("x\r\nx\r\n");
    other.signal(Signal::SIGKILL);
    other.wait();
    until("the command goes on", || {
        hoist.value(r#"container::get("box").exec("ps | grep -c '[c]at$' || true").text()"#) == "0"
    });
}

#[test]
fn nobody_who_does_not_read_holds_a_container_up() {
    let hoist = Hoist::with_busybox();
    let command = "read x; seq 1 3000000; echo over > /dev/null";
    hoist
        .run(&[
            "container",
            "run",
            "-dit",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            command,
        ])
        .success();
    let mut idle = screen(&hoist, &["attach", "box"]);
    idle.press(" ");
    idle.wait_for(" ");
    idle.signal(Signal::SIGSTOP);
    let mut typist = screen(&hoist, &["attach", "box"]);
    typist.press("\n");
    assert_eq!(hoist.value(r#"container::get("box").wait(#{timeout: 2.minutes})"#), 0);
    idle.signal(Signal::SIGKILL);
    typist.signal(Signal::SIGKILL);
}
