//! Faults at exact places: a program is killed, or refused something, as it makes its n-th system call of a name. Between two calls
//! nothing of it shows outside, so that going through all of them is going through all moments there are.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use super::{Hoist, Output};

/// The calls by which a store is changed, and those at which it waits for the disk or for others.
pub(crate) const CALLS: [&str; 19] = [
    "flock",
    "fsync",
    "fdatasync",
    "ftruncate",
    "linkat",
    "mkdir",
    "mkdirat",
    "openat",
    "openat2",
    "pwrite64",
    "rename",
    "renameat2",
    "symlinkat",
    "sync_file_range",
    "syncfs",
    "unlink",
    "unlinkat",
    "utimensat",
    "write",
];

/// The n-th call of a name that a thread of a program makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) call: &'static str,
    pub(crate) number: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} number {}", self.call, self.number)
    }
}

/// Runs `hoist eval EXPRESSION`, killed when it comes to this place; false if it came to its end without.
pub(crate) fn kill(hoist: &Hoist, expression: &str, place: Place) -> bool {
    let output = traced(hoist, expression, place, "signal=KILL");
    match output.status.signal() {
        Some(signal) if signal == Signal::SIGKILL as i32 => true,
        _ => {
            output.success();
            false
        }
    }
}

/// Runs `hoist eval EXPRESSION` and kills the first of its processes, and of those they start, that comes to this place. Returns when
/// none of them is left; false if all came to their end without.
pub(crate) fn kill_whoever(hoist: &Hoist, expression: &str, place: Place) -> bool {
    let Place { call, number } = place;
    let log = hoist.write("trace", "");
    let (trace, inject) = (
        format!("--trace={call}"),
        format!("--inject={call}:signal=KILL:when={number}"),
    );
    let tracer = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), &trace, &inject];
    hoist.command_under(&tracer, &["eval", expression]).output();
    std::fs::read_to_string(&log).unwrap().contains("killed by SIGKILL")
}

/// Runs `hoist eval EXPRESSION`, in which the call at this place and all later ones of its name fail as on a full disk.
pub(crate) fn no_space(hoist: &Hoist, expression: &str, place: Place) -> Output {
    traced(hoist, expression, place, "error=ENOSPC")
}

/// Runs `hoist eval EXPRESSION`, which must succeed, and does the work while it stands still at this place.
#[track_caller]
pub(crate) fn meanwhile(hoist: &Hoist, expression: &str, place: Place, work: impl FnOnce()) {
    let Place { call, number } = place;
    let log = hoist.write("trace", "");
    let (trace, inject) = (
        format!("--trace={call}"),
        format!("--inject={call}:signal=STOP:when={number}"),
    );
    let tracer = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), &trace, &inject];
    let running = hoist.command_under(&tracer, &["eval", expression]).spawn();
    let stopped = |skip: usize| {
        let lines = std::fs::read_to_string(&log).unwrap();
        let lines = lines.lines().filter(|line| line.contains("stopped by SIGSTOP"));
        lines
            .skip(skip)
            .map(|line| line.split(' ').next().unwrap().parse().unwrap())
            .collect::<Vec<i32>>()
    };
    running.until(|| !stopped(0).is_empty());
    work();
    // The processes it starts come to the place as well.
    let mut seen = 0;
    running.until_ended(|| {
        for thread in stopped(seen) {
            seen += 1;
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(thread), Signal::SIGCONT);
        }
    });
    let (errors, status) = running.wait();
    assert!(status.success(), "{expression}: {errors}");
}

/// The same as where a quota is used up.
pub(crate) fn over_quota(hoist: &Hoist, expression: &str, place: Place) -> Output {
    traced(hoist, expression, place, "error=EDQUOT")
}

fn traced(hoist: &Hoist, expression: &str, place: Place, fault: &str) -> Output {
    let Place { call, number } = place;
    let (trace, inject) = (
        format!("--trace={call}"),
        format!("--inject={call}:{fault}:when={number}+"),
    );
    let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", &trace, &inject];
    hoist
        .command_under(&tracer, &["--format", "json", "eval", expression])
        .output()
}

/// Calls `at` with place after place until it says there are no more: the first calls of every name one by one, later ones in steps
/// that grow by one for every so many calls.
pub(crate) fn everywhere(calls: &[&'static str], grow: u32, mut at: impl FnMut(Place) -> bool) {
    for call in calls {
        let mut number = 1;
        while at(Place { call, number }) {
            number += 1 + number / grow;
        }
    }
}
