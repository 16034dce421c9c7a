//! Whoever is asked about system calls.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Bundle, program};

/// Takes one filter's descriptor at the socket `agent`, writes what came with it to the file `told`, and has the first call it is asked
/// about fail with `EXDEV` (seccomp_unotify(2)).
const AGENT: &str = r#"
import fcntl, socket, struct
server = socket.socket(socket.AF_UNIX)
server.bind("agent")
server.listen()
print("listening", flush=True)
peer = server.accept()[0]
told, fds, _, _ = socket.recv_fds(peer, 65536, 2)
open("told", "wb").write(told)
call = bytearray(80)
fcntl.ioctl(fds[0], 0xC0502100, call)
fcntl.ioctl(fds[0], 0xC0182101, bytearray(struct.pack("=QqiI", struct.unpack_from("=Q", call)[0], 0, -18, 0)))
"#;

/// Runs `act` beside the agent; returns what that was told.
fn beside_agent(bundle: &Bundle, act: impl FnOnce()) -> Value {
    for left in ["agent", "told"] {
        let _ = fs::remove_file(bundle.file(left));
    }
    let mut agent = program("python3");
    agent
        .args(["-c", AGENT])
        .current_dir(bundle.dir())
        .stdout(Stdio::piped());
    let mut agent = agent.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(agent.stdout.take().unwrap()), &mut line).unwrap();
    act();
    assert!(agent.wait().unwrap().success());
    serde_json::from_slice(&fs::read(bundle.file("told")).unwrap()).unwrap()
}

fn asking(script: &str, no_new_privileges: bool) -> Bundle {
    let mut bundle = Bundle::sh(script);
    bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
    bundle.config["annotations"] = json!({"of": "it"});
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "listenerPath": bundle.file("agent"),
        "listenerMetadata": "a word",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    bundle
}

#[test]
fn a_call_is_answered_by_who_listens() {
    for no_new_privileges in [true, false] {
        let bundle = asking("mkdir /tmp/a 2>&1; mkdir /tmp/b 2>&1", no_new_privileges);
        let told = beside_agent(&bundle, || {
            // With the agent goes its descriptor, and a call that nobody answers is one that the kernel does not have.
            bundle.run().stdout_is(
                "mkdir: can't create directory '/tmp/a': Invalid cross-device link\nmkdir: can't create directory '/tmp/b': Function not implemented",
            );
        });
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!(told["metadata"], "a word");
        assert_eq!(told["state"]["id"], "it");
        assert_eq!(told["state"]["annotations"]["of"], "it");
        assert_eq!(told["pid"], told["state"]["pid"]);
        assert!(told["pid"].as_i64().unwrap() > 1);
    }
}

#[test]
fn who_listens_is_told_of_a_container_made_and_started_apart_and_of_further_processes() {
    for no_new_privileges in [true, false] {
        let bundle = asking("mkdir /tmp/a; sleep 1000", no_new_privileges);
        let told = beside_agent(&bundle, || {
            bundle.create(&[]).success();
            // It is told before anybody starts the container.
            let end = Instant::now() + Duration::from_secs(60);
            while !bundle.file("told").exists() {
                assert!(Instant::now() < end, "nobody is told");
                std::thread::yield_now();
            }
            bundle.act(&["start", "it"]).success();
        });
        assert_eq!(told["state"]["status"], "creating");
        let first = told["pid"].clone();
        let told = beside_agent(&bundle, || {
            let ran = bundle.act(&["exec", "it", "sh", "-c", "mkdir /tmp/c 2>&1"]);
            assert!(
                ran.stdout.contains("Invalid cross-device link"),
                "{} {}",
                ran.stdout,
                ran.stderr
            );
        });
        assert_eq!(told["state"]["pid"], first);
        assert_ne!(told["pid"], first);
        bundle.act(&["delete", "--force", "it"]).success();
    }
}

#[test]
fn a_container_that_nobody_answers_is_not_started() {
    let bundle = asking("true", true);
    bundle
        .run()
        .fails_with(1)
        .stderr_has(&["hand the system call filter to `", "agent`", "no such file"]);
    assert!(!bundle.file("state/it").exists());
    let mut bundle = asking("true", true);
    bundle.config["linux"]["seccomp"]["listenerPath"] = Value::Null;
    bundle
        .run()
        .fails_with(1)
        .stderr_has(&["nobody is to be notified", "listenerPath"]);
}
