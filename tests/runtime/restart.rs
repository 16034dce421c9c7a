//! Restart policies: what ends is started again by its own supervisor, until a person or the policy says otherwise.

use std::time::{Duration, Instant};

use hoist::error::Kind;
use hoist::model::Context;
use hoist::runtime::{self, Bundle, Contents, Request, RestartPolicy, Signal, Status};

use super::place::{Place, status, until};

fn start(place: &Place, script: &str, policy: &str) -> Bundle {
    place.start(&Request {
        restart: policy.parse().unwrap(),
        ..place.request(script)
    })
}

fn restarts(bundle: &Bundle) -> u32 {
    runtime::state(bundle).unwrap().restarts
}

fn wait(bundle: &Bundle) -> i32 {
    runtime::wait(&Context::new(), bundle).unwrap().code
}

fn stop(bundle: &Bundle) {
    runtime::stop(&Context::new(), bundle, Signal::TERM, Duration::ZERO).unwrap();
}

/// Nothing of it goes on: its supervisor, which alone could start it again, is gone.
fn assert_ended(bundle: &Bundle) {
    let record = std::fs::read(bundle.run_dir.join("state.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let supervisor = record["supervisor"]["pid"].as_i64().unwrap();
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, facts)| !facts.starts_with('Z'))
    };
    until(|| !lives());
    assert_eq!(status(bundle), Status::Exited);
}

#[test]
fn what_ends_is_started_again_and_its_log_goes_on() {
    let place = Place::new();
    let bundle = start(&place, "echo run >> /runs; cat /runs | wc -l; exit 3", "always");
    until(|| restarts(&bundle) >= 2);
    // The next end, as with Docker, though another run follows.
    assert_eq!(wait(&bundle), 3);
    stop(&bundle);
    let count = restarts(&bundle);
    assert!(count >= 2);
    let lines: Vec<_> = runtime::logs(&bundle).unwrap().map(|line| line.unwrap().text).collect();
    assert!(
        lines.starts_with(&[b"1".to_vec(), b"2".to_vec(), b"3".to_vec()]),
        "{lines:?}"
    );
    // The count is of those since a person started it.
    runtime::start(&Context::new(), &bundle, &Contents::default()).unwrap();
    assert!(restarts(&bundle) < count);
}

#[test]
fn failures_are_tried_again_as_often_as_told() {
    let place = Place::new();
    let bundle = start(&place, "echo run; exit 7", "on-failure:2");
    until(|| status(&bundle) == Status::Exited);
    let exit = runtime::state(&bundle).unwrap().exit.unwrap();
    assert_eq!((exit.code, exit.restarts), (7, 2));
    assert_eq!(runtime::logs(&bundle).unwrap().count(), 3);
    let well = start(&place, "exit 0", "on-failure");
    assert_eq!(wait(&well), 0);
    assert_ended(&well);
}

/// Between two runs there is no process to signal; the pause itself has to end.
#[test]
fn a_pause_ends_at_once_when_it_is_stopped_killed_or_removed() {
    let place = Place::new();
    let ends: [fn(&Bundle); 3] = [
        stop,
        |bundle| runtime::kill(bundle, Signal::KILL).unwrap(),
        |bundle| runtime::delete(bundle).unwrap(),
    ];
    for end in ends {
        let bundle = start(&place, "exit 1", "always");
        // The pause after the seventh run takes 6.4 seconds; waiting for the fifth takes one and a half.
        until(|| restarts(&bundle) == 4 && status(&bundle) == Status::Restarting);
        let asked = Instant::now();
        end(&bundle);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        match runtime::state(&bundle) {
            Ok(_) => assert_ended(&bundle),
            Err(error) => assert_eq!(error.kind(), Kind::NotFound),
        }
    }
}

#[test]
fn what_a_person_ended_stays_so_and_another_signal_changes_nothing() {
    let place = Place::new();
    let script = "trap 'exit 9' USR1; echo up; while true; do sleep 0.01; done";
    let bundle = start(&place, script, "unless-stopped");
    until(|| runtime::logs(&bundle).unwrap().count() == 1);
    runtime::kill(&bundle, "USR1".parse().unwrap()).unwrap();
    until(|| restarts(&bundle) == 1 && status(&bundle) == Status::Running);
    runtime::kill(&bundle, Signal::KILL).unwrap();
    assert_eq!(wait(&bundle), 137);
    assert_ended(&bundle);
    runtime::start(&Context::new(), &bundle, &Contents::default()).unwrap();
    stop(&bundle);
    assert_ended(&bundle);
}

#[test]
fn a_policy_can_be_changed_while_it_runs() {
    let place = Place::new();
    let script = "trap 'exit 2' USR1; echo up; while true; do sleep 0.01; done";
    let bundle = start(&place, script, "no");
    let end = |runs| {
        until(|| runtime::logs(&bundle).unwrap().count() == runs);
        runtime::kill(&bundle, "USR1".parse().unwrap()).unwrap();
    };
    runtime::set_restart(&bundle, RestartPolicy::Always).unwrap();
    end(1);
    until(|| restarts(&bundle) == 1 && status(&bundle) == Status::Running);
    runtime::set_restart(&bundle, RestartPolicy::No).unwrap();
    end(2);
    assert_eq!(wait(&bundle), 2);
    assert_ended(&bundle);
}

/// What can be done to it while it pauses is what can be done to one that has no processes and is not over.
#[test]
fn a_pause_is_a_state_of_its_own() {
    let place = Place::new();
    let bundle = start(&place, "exit 1", "always");
    until(|| restarts(&bundle) == 3 && status(&bundle) == Status::Restarting);
    let state = runtime::state(&bundle).unwrap();
    assert_eq!((state.pid, state.exit.unwrap().code), (None, 1));
    let refused = [
        runtime::pause(&bundle).unwrap_err(),
        runtime::start(&Context::new(), &bundle, &Contents::default()).unwrap_err(),
        runtime::kill(&bundle, "HUP".parse().unwrap()).unwrap_err(),
    ];
    assert!(
        refused.iter().all(|error| error.kind() == Kind::Conflict),
        "{refused:?}"
    );
    stop(&bundle);
}

/// A start that the policy wants and that fails is the last, and says why.
#[test]
fn a_restart_that_fails_is_told() {
    let place = Place::new();
    let bundle = start(&place, "rm -f /bin/sh; exit 1", "always");
    until(|| status(&bundle) == Status::Exited);
    let exit = runtime::state(&bundle).unwrap().exit.unwrap();
    assert_eq!((exit.code, exit.restarts), (127, 1));
    assert!(exit.error.unwrap().contains("/bin/sh"));
}
