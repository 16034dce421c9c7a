//! Helpers that are copies of one process, because a script starts several.

use std::fs;
use std::os::unix::fs::FileExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::Hoist;

#[test]
fn supervisors_of_one_script_know_nothing_of_each_other() {
    let hoist = Hoist::with_busybox();
    let script = r#"for i in 1..=4 { container::run_detached("busybox", ["sleep", "1000"], #{name: `c${i}`, env: #{WORD: `known-to-${i}-only`}}); }
        print("up"); sleep(60000.millis);"#;
    let mut running = hoist.command(&["eval", script]).spawn();
    running.wait_for("up");
    let supervisors = running.children("hoist-supervisor");
    assert_eq!(supervisors.len(), 4);
    assert_eq!(running.children("hoist-nursery").len(), 1);
    for pid in &supervisors {
        let known = (1..=4).filter(|number| is_in_memory(*pid, &format!("known-to-{number}-only")));
        assert_eq!(known.count(), 1, "supervisor {pid}");
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let open: Vec<String> = open
            .filter_map(|fd| Some(fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()))
            .collect();
        let sockets = open.iter().filter(|target| target.starts_with("socket:")).count();
        assert_eq!(sockets, 0, "supervisor {pid} has open {open:?}");
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let words: Vec<&str> = words.trim_end_matches('\0').split('\0').collect();
        assert_eq!((words.len(), words[4]), (5, "detached"), "{words:?}");
    }
    running.signal(Signal::SIGKILL);
    running.wait_only();
    assert_eq!(hoist.value(r#"container::list().len()"#), 4);
    hoist
        .eval("for c in container::list() { c.remove(#{force: true}); }")
        .success();
}

/// Whether a text is anywhere in a process's memory that it can write to.
fn is_in_memory(pid: u32, text: &str) -> bool {
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let writable = maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let mut ranges = writable.filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    });
    ranges.any(|(from, to)| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.read_exact_at(&mut bytes, from).is_ok() && bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[test]
fn a_script_goes_on_when_what_makes_its_helpers_is_killed() {
    let hoist = Hoist::with_busybox();
    let script = r#"let ran = 0; for i in 0..30 { if attempt(|| container::run("busybox", ["true"])).ok { ran += 1 } } if ran >= 29 { print("went on") }"#;
    let mut running = hoist.command(&["eval", script]).spawn();
    running.until(|| !running.children("hoist-nursery").is_empty());
    for pid in running.children("hoist-nursery") {
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    }
    // The one that was being made at that moment may have gone with it.
    running.wait_for("went on");
    assert!(running.wait().1.success());
}
