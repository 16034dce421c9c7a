//! A supervisor that is killed: the next command that touches its container gives it another one.

use std::fs;

use hoist::model::Context;
use hoist::runtime::{self, Bundle, Namespace, Request, Signal, Status, Stdin};
use nix::sys::signal::{Signal::SIGKILL, kill};
use nix::unistd::Pid;

use super::place::{Place, command, exec, status, until};

/// A process of a container, as its record has it.
fn process(bundle: &Bundle, which: &str) -> i32 {
    let record = fs::read(bundle.run_dir.join("state.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    i32::try_from(record[which]["pid"].as_i64().unwrap()).unwrap()
}

/// Ends one of them as nothing else would, and waits until it is gone.
fn end(bundle: &Bundle, which: &str) {
    let pid = process(bundle, which);
    kill(Pid::from_raw(pid), SIGKILL).unwrap();
    until(|| !lives(pid));
}

fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, facts)| !facts.starts_with('Z'))
}

fn log(bundle: &Bundle) -> Vec<String> {
    let lines = runtime::logs(bundle).unwrap();
    lines
        .map(|line| String::from_utf8(line.unwrap().text).unwrap())
        .collect()
}

fn signal(bundle: &Bundle, name: &str) {
    runtime::kill(bundle, name.parse().unwrap()).unwrap();
}

/// Says something when it is told to, and ends with 7 when it is told to.
const LISTENER: &str = "trap 'echo heard' USR1; trap 'exit 7' USR2; echo up; while true; do sleep 0.01; done";

fn start(place: &Place, policy: &str) -> Bundle {
    let bundle = place.start(&Request {
        restart: policy.parse().unwrap(),
        ..place.request(LISTENER)
    });
    until(|| log(&bundle) == ["up"]);
    bundle
}

/// Whether the kernel tells others than the parent how a process ended: from 6.15 on.
fn is_told() -> bool {
    let release = nix::sys::utsname::uname().unwrap();
    let release = release.release().to_str().unwrap().to_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn it_goes_on_under_a_new_one_with_its_log_and_its_end() {
    let place = Place::new();
    let bundle = start(&place, "no");
    let first = process(&bundle, "supervisor");
    end(&bundle, "supervisor");
    assert_eq!(exec(&bundle, &command("exit 0"), Stdin::Null).unwrap().exit.code, 0);
    let second = process(&bundle, "supervisor");
    assert!(second != first && lives(second));
    signal(&bundle, "USR1");
    until(|| log(&bundle) == ["up", "heard"]);
    signal(&bundle, "USR2");
    let exit = runtime::wait(&Context::new(), &bundle).unwrap();
    assert_eq!(exit.code, if is_told() { 7 } else { 255 });
    assert_eq!(exit.error.is_some(), !is_told());
    assert_eq!(status(&bundle), Status::Exited);
}

/// Two commands at once make one supervisor, not two.
#[test]
fn it_is_taken_over_once() {
    let place = Place::new();
    let bundle = start(&place, "no");
    end(&bundle, "supervisor");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| runtime::kill(&bundle, "USR1".parse().unwrap()).unwrap());
        }
    });
    assert!(lives(process(&bundle, "supervisor")));
    runtime::stop(&Context::new(), &bundle, Signal::KILL, std::time::Duration::ZERO).unwrap();
    assert_eq!(status(&bundle), Status::Exited);
}

#[test]
fn its_restart_policy_goes_on() {
    let place = Place::new();
    let bundle = start(&place, "always");
    end(&bundle, "supervisor");
    signal(&bundle, "USR2");
    until(|| log(&bundle) == ["up", "up"]);
    assert_eq!(runtime::state(&bundle).unwrap().restarts, 1);
    // While it pauses there is nobody but the supervisor.
    signal(&bundle, "USR2");
    until(|| status(&bundle) == Status::Restarting);
    end(&bundle, "supervisor");
    assert_eq!(status(&bundle), Status::Restarting);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| runtime::wait(&Context::new(), &bundle).unwrap().code);
        until(|| log(&bundle) == ["up", "up", "up"]);
        signal(&bundle, "USR2");
        assert_eq!(waiter.join().unwrap(), 7);
    });
    // One that ended while nobody looked is started again, too.
    until(|| log(&bundle).len() == 4);
    end(&bundle, "supervisor");
    end(&bundle, "init");
    assert_eq!(status(&bundle), Status::Dead);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| runtime::wait(&Context::new(), &bundle).unwrap().code);
        until(|| log(&bundle).len() == 5);
        signal(&bundle, "KILL");
        waiter.join().unwrap();
    });
    until(|| status(&bundle) == Status::Exited);
}

/// What a person stopped meanwhile stays stopped.
#[test]
fn a_pause_that_nobody_keeps_can_be_ended() {
    let place = Place::new();
    let bundle = place.start(&Request {
        restart: "always".parse().unwrap(),
        ..place.request("exit 1")
    });
    until(|| runtime::state(&bundle).unwrap().restarts == 4 && status(&bundle) == Status::Restarting);
    end(&bundle, "supervisor");
    runtime::stop(&Context::new(), &bundle, Signal::TERM, std::time::Duration::ZERO).unwrap();
    assert_eq!(status(&bundle), Status::Exited);
}

/// The end of its first process ends none of the others there: its supervisor has to.
#[test]
fn a_stop_among_anothers_processes_ends_all_of_its_own() {
    let place = Place::new();
    let owner = start(&place, "no");
    let sharer = place.start(&Request {
        pid: Namespace::Container(owner.id.clone()),
        ..place.request("sleep 1000 & sleep 1001 & wait")
    });
    let processes = || runtime::processes(&sharer).unwrap().into_iter().map(|facts| facts.pid);
    until(|| processes().count() == 3);
    let all: Vec<i32> = processes().collect();
    end(&sharer, "supervisor");
    runtime::stop(&Context::new(), &sharer, Signal::KILL, std::time::Duration::ZERO).unwrap();
    assert!(!all.into_iter().any(lives));
    assert_eq!((status(&sharer), status(&owner)), (Status::Exited, Status::Running));
}
