//! A container's group in the unified hierarchy (kernel Documentation/admin-guide/cgroup-v2.rst).

use std::os::fd::AsFd as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, poll};

use super::controller::{CONTROLLERS, read, row, write};
use super::hierarchy::{Hierarchy, Version};
use crate::error::{Context as _, Result};
use crate::model::Context;

const FREEZE: &str = "cgroup.freeze";
const EVENTS: &str = "cgroup.events";

/// Enables controllers for what is below. One that cannot be is no fault yet: it is if a limit needs it,
/// and then the group's own `cgroup.controllers` tells.
pub(super) fn hand_down(hierarchy: &Hierarchy, parent: &Path) {
    let mut here = CONTROLLERS
        .map(|one| one.name(Version::V2))
        .into_iter()
        .filter(|name| hierarchy.has(name))
        .peekable();
    if here.peek().is_none() {
        return;
    }
    let enabled = read(parent, "cgroup.subtree_control").unwrap_or_default();
    for controller in here {
        if !enabled.split_whitespace().any(|one| one == controller) {
            let _ = write(parent, "cgroup.subtree_control", &format!("+{controller}"));
        }
    }
}

/// The controllers the group really has.
pub(super) fn controllers(group: &Path) -> Vec<String> {
    let text = read(group, "cgroup.controllers").unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// What of a group is its owner's, where the kernel does not tell (`/sys/kernel/cgroup/delegate`, Linux 4.15).
const DELEGATED: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control";

/// Makes a user the owner of the group, who may make groups below it and move processes among them; its limits stay the host's.
pub(super) fn delegate(group: &Path, uid: u32) -> Result<()> {
    let files = std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| DELEGATED.to_owned());
    let files = files.lines().map(|name| group.join(name));
    files.chain([group.to_owned()]).try_for_each(|path| {
        match std::os::unix::fs::chown(&path, Some(uid), None) {
            // A controller that is not enabled has no files.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            given => given.during(|| format!("give `{}` to user {uid}", path.display())),
        }
    })
}

/// Moves the calling process into the group.
pub(super) fn join(group: &Path) -> Result<()> {
    write(group, "cgroup.procs", "0")
}

/// Kills everything in the group and below, forks in progress too; `false` if the kernel is older than 5.14.
pub(super) fn kill(group: &Path) -> Result<bool> {
    if !group.join("cgroup.kill").exists() {
        return Ok(false);
    }
    write(group, "cgroup.kill", "1").map(|()| true)
}

/// Stops all processes of the group where they are; on an error they go on.
pub(super) fn freeze(group: &Path, ctx: &Context) -> Result<()> {
    let frozen = write(group, FREEZE, "1").and_then(|()| wait_until_frozen(group, ctx));
    if frozen.is_err() {
        // The first error says more than one of clearing up after it.
        let _ = thaw(group);
    }
    frozen
}

/// A change in `cgroup.events` wakes a poll for `POLLPRI`.
fn wait_until_frozen(group: &Path, ctx: &Context) -> Result<()> {
    let path = group.join(EVENTS);
    let events = std::fs::File::open(&path).during(|| format!("open `{}`", path.display()))?;
    loop {
        let mut seen = String::new();
        std::io::Read::read_to_string(&mut &events, &mut seen).during(|| format!("read `{}`", path.display()))?;
        if row(&seen, "frozen") == Some(1) {
            return Ok(());
        }
        std::io::Seek::rewind(&mut &events).during(|| format!("read `{}`", path.display()))?;
        ctx.check()?;
        let mut waited = [
            PollFd::new(events.as_fd(), PollFlags::POLLPRI),
            PollFd::new(ctx.wake_fd()?, PollFlags::empty()),
        ];
        // A bound besides the context's, since an interrupted poll is no reason to give up either.
        let limit = u16::try_from(ctx.poll_timeout()).unwrap_or(1000).min(1000);
        match poll(&mut waited, limit) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| format!("wait for `{}`", path.display())),
        }
    }
}

/// Lets frozen processes go on.
pub(super) fn thaw(group: &Path) -> Result<()> {
    write(group, FREEZE, "0")
}

pub(super) fn is_frozen(group: &Path) -> Result<bool> {
    Ok(row(&read(group, EVENTS)?, "frozen") == Some(1))
}
