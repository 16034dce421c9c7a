//! Terminals, whose masters go to whoever listens at a socket.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::harness::Bundle;

/// Takes the master of a terminal that is sent to a socket.
fn take_master(listener: &UnixListener) -> File {
    let (stream, _) = listener.accept().unwrap();
    File::from(hoist::sys::socket::receive_fd(&stream).unwrap().unwrap())
}

/// Reads what a terminal shows until it shows this.
fn read_until(master: &mut File, text: &str) -> String {
    let (mut seen, mut byte) = (String::new(), [0]);
    while !seen.contains(text) {
        assert_eq!(master.read(&mut byte).unwrap_or(0), 1, "it ended after `{seen}`");
        seen.push(char::from(byte[0]));
    }
    seen
}

#[test]
fn the_master_of_a_terminal_goes_to_its_socket() {
    let script = "tty; stat -c %u /dev/console; stty size; read -r line; echo got $line";
    let mut bundle = Bundle::sh(script);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 44});
    bundle.config["process"]["user"] = json!({"uid": 7, "gid": 7});
    bundle
        .create(&[])
        .fails_with(1)
        .stderr_has(&["nobody takes the terminal"]);
    let socket = bundle.file("console");
    let listener = UnixListener::bind(&socket).unwrap();
    bundle.create(&["--console-socket", socket.to_str().unwrap()]).success();
    let mut master = take_master(&listener);
    bundle.act(&["start", "it"]).success();
    let seen = read_until(&mut master, "44");
    assert_eq!(seen.lines().next(), Some("/dev/pts/0"));
    assert!(seen.contains("\r\n7\r\n33 44"), "{seen:?}");
    master.write_all(b"words\n").unwrap();
    read_until(&mut master, "got words");
    bundle.wait_for("stopped");
    bundle.act(&["delete", "it"]).success();
    bundle.config["process"]["terminal"] = json!(false);
    bundle
        .create(&["--console-socket", socket.to_str().unwrap()])
        .fails_with(1)
        .stderr_has(&["`process.terminal` is false"]);
}

#[test]
fn a_further_process_has_a_terminal_of_its_own() {
    let bundle = Bundle::sh("sleep 1000");
    bundle.create(&[]).success();
    bundle.act(&["start", "it"]).success();
    let socket = bundle.file("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let words = [
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        socket.to_str().unwrap(),
    ];
    let command = ["it", "sh", "-c", "tty; read -r line; echo got $line"];
    bundle.act_aside(&[&words[..], &command].concat()).success();
    let mut master = take_master(&listener);
    read_until(&mut master, "/dev/pts/0\r\n");
    master.write_all(b"words\n").unwrap();
    read_until(&mut master, "got words");
}
