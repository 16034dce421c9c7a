//! What the integration tests stand on: the real program on a store of its own, and proof that nothing of it stays.
//! Knows nothing of any one area.
#![allow(dead_code, reason = "a helper is there before the first test that needs it")]

mod bundle;
pub(crate) mod calendar;
pub(crate) mod certificates;
pub(crate) mod disk;
pub(crate) mod fault;
pub(crate) mod faulty;
mod filters;
pub(crate) mod forge;
mod guest;
mod hoist;
pub(crate) mod inputs;
mod leftovers;
pub(crate) mod members;
mod merged;
mod output;
pub(crate) mod peers;
pub(crate) mod registry;
mod screen;
pub(crate) mod served;
pub(crate) mod source;
pub(crate) mod tree;
mod witness;

pub(crate) use bundle::Bundle;
pub(crate) use certificates::Authority;
pub(crate) use faulty::{Answer, Fault, Faulty};
pub(crate) use filters::Filters;
pub(crate) use guest::Guest;
pub(crate) use hoist::{Hoist, PROGRAM, Running};
pub(crate) use merged::Merged;
pub(crate) use output::{Output, assert_same};
pub(crate) use peers::Peers;
pub(crate) use registry::{Guard, Registry};
pub(crate) use screen::Screen;
pub(crate) use served::Served;
pub(crate) use witness::Witness;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// How long any one program may take before the test gives up on it and says so.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);

/// A program of this machine, such as `tar`, with a small and fixed environment.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests compare with what other programs say")]
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Runs `program ARGS…` in `dir`, which must succeed, and returns what it printed.
pub(crate) fn tool(dir: &Path, name: &str, args: &[&str]) -> String {
    let mut command = program(name);
    command.args(args).current_dir(dir);
    Output::of(command, None).success().stdout
}

/// Fails the test, and says why, where it could only pretend to test: nothing is skipped.
pub(crate) fn assert_needs() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "these tests mount and make namespaces: run them as root"
    );
    let systems = std::fs::read_to_string("/proc/filesystems").unwrap();
    let has_overlay = systems.lines().any(|line| line.ends_with("\toverlay"));
    assert!(
        has_overlay,
        "these tests need overlayfs, and /proc/filesystems has none: `modprobe overlay`"
    );
}
