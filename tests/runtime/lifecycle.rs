//! The life of a detached container: started, paused, stopped, killed, waited for, looked into.

use std::fs;
use std::time::Duration;

use hoist::error::Kind;
use hoist::model::Context;
use hoist::runtime::{self, Contents, Request, Signal, Status, Stdin, Stream, Tmpfs};

use super::place::{Place, command, exec, status, until};

#[test]
fn a_detached_container_keeps_its_log_and_its_end() {
    let place = Place::new();
    let bundle = place.start(&place.request("echo one; echo two >&2; printf three; exit 3"));
    let exit = runtime::wait(&Context::new(), &bundle).unwrap();
    assert_eq!(exit.code, 3);
    let state = runtime::state(&bundle).unwrap();
    assert_eq!((state.status, state.exit.as_ref()), (Status::Exited, Some(&exit)));
    let lines = runtime::logs(&bundle).unwrap().map(Result::unwrap);
    let mut lines: Vec<_> = lines
        .map(|line| (line.stream, String::from_utf8(line.text).unwrap(), line.partial))
        .collect();
    lines.sort_by_key(|line| line.0 as u8);
    let expected = [
        (Stream::Stdout, "one", false),
        (Stream::Stdout, "three", true),
        (Stream::Stderr, "two", false),
    ];
    assert_eq!(
        lines,
        expected.map(|(stream, text, partial)| (stream, text.to_owned(), partial))
    );
    // It can be started again, and its log goes on.
    runtime::start(&Context::new(), &bundle, &Contents::default()).unwrap();
    runtime::wait(&Context::new(), &bundle).unwrap();
    assert_eq!(runtime::logs(&bundle).unwrap().count(), 6);
}

#[test]
fn stop_asks_and_then_kills() {
    let place = Place::new();
    let polite = place.start(&place.request("trap 'exit 5' TERM; echo up; while true; do sleep 0.05; done"));
    until(|| runtime::logs(&polite).unwrap().count() == 1);
    runtime::stop(&Context::new(), &polite, Signal::TERM, Duration::from_secs(10)).unwrap();
    assert_eq!(runtime::state(&polite).unwrap().exit.unwrap().code, 5);
    let deaf = place.start(&place.request("trap '' TERM; sleep 1000"));
    runtime::stop(&Context::new(), &deaf, Signal::TERM, Duration::from_millis(100)).unwrap();
    assert_eq!(runtime::state(&deaf).unwrap().exit.unwrap().signal, Some(9));
    // Stopping what is stopped does nothing; killing it is refused.
    runtime::stop(&Context::new(), &deaf, Signal::TERM, Duration::from_secs(10)).unwrap();
    assert_eq!(
        runtime::kill(&deaf, "KILL".parse().unwrap()).unwrap_err().kind(),
        Kind::Conflict
    );
    assert_eq!(
        runtime::wait(&Context::new(), &place.create(&place.request("true")))
            .unwrap_err()
            .kind(),
        Kind::Conflict
    );
}

#[test]
fn a_waiter_gives_up_when_told_and_a_container_goes_on() {
    let place = Place::new();
    let bundle = place.start(&place.request("sleep 1000"));
    let ctx = Context::new().with_timeout(Duration::from_millis(50));
    assert_eq!(runtime::wait(&ctx, &bundle).unwrap_err().kind(), Kind::Timeout);
    assert_eq!(status(&bundle), Status::Running);
    assert_eq!(
        runtime::start(&Context::new(), &bundle, &Contents::default())
            .unwrap_err()
            .kind(),
        Kind::Conflict
    );
    runtime::kill(&bundle, "KILL".parse().unwrap()).unwrap();
    assert_eq!(runtime::wait(&Context::new(), &bundle).unwrap().code, 137);
}

#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    let place = Place::new();
    let bundle = place.start(&place.request("while true; do echo x; sleep 0.01; done"));
    runtime::pause(&bundle).unwrap();
    assert_eq!(status(&bundle), Status::Paused);
    assert_eq!(
        exec(&bundle, &command("true"), Stdin::Null).unwrap_err().kind(),
        Kind::Conflict
    );
    assert_eq!(runtime::pause(&bundle).unwrap_err().kind(), Kind::Conflict);
    runtime::unpause(&bundle).unwrap();
    assert_eq!(status(&bundle), Status::Running);
    let before = runtime::logs(&bundle).unwrap().count();
    until(|| runtime::logs(&bundle).unwrap().count() > before);
    runtime::pause(&bundle).unwrap();
    runtime::kill(&bundle, "KILL".parse().unwrap()).unwrap();
    assert_eq!(runtime::wait(&Context::new(), &bundle).unwrap().code, 137);
}

#[test]
fn the_root_is_seen_running_and_stopped() {
    let place = Place::new();
    let request = Request {
        tmpfs: vec![Tmpfs {
            target: "/m".into(),
            options: Vec::new(),
        }],
        ..place.request("echo a > /m/f; echo b > /f; sleep 1000")
    };
    let bundle = place.start(&request);
    let read = |path: &str| {
        let root = runtime::root(&bundle).unwrap();
        fs::read_to_string(format!(
            "/proc/self/fd/{}/{path}",
            std::os::fd::AsRawFd::as_raw_fd(&root)
        ))
        .ok()
    };
    until(|| read("f").as_deref() == Some("b\n"));
    assert_eq!(read("m/f").as_deref(), Some("a\n"));
    runtime::stop(&Context::new(), &bundle, Signal::TERM, Duration::ZERO).unwrap();
    assert_eq!((read("m/f"), read("f").as_deref()), (None, Some("b\n")));
}

#[test]
fn a_killed_supervisor_is_told_and_cleaned_up_after() {
    let place = Place::new();
    let bundle = place.start(&place.request("sleep 1000"));
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.run_dir.join("state.json")).unwrap()).unwrap();
    let end = |which: &str| {
        let pid = i32::try_from(record[which]["pid"].as_i64().unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    end("supervisor");
    // Until the supervisor is seen to be gone, this one is refused for the supervisor's sake, then for the container's.
    assert_eq!(status(&bundle), Status::Running);
    // By nothing that would give it a new supervisor.
    end("init");
    until(|| status(&bundle) == Status::Dead);
    assert_eq!(runtime::wait(&Context::new(), &bundle).unwrap().code, 255);
    runtime::start(&Context::new(), &bundle, &Contents::default()).unwrap();
    assert_eq!(status(&bundle), Status::Running);
    runtime::delete(&bundle).unwrap();
    runtime::delete(&bundle).unwrap();
    assert_eq!(runtime::state(&bundle).unwrap_err().kind(), Kind::NotFound);
}
