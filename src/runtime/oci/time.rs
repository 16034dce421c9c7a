//! A time namespace for a container: made by its creator, whose next child is born in it with its clocks set (time_namespaces(7)).

use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use oci_spec::runtime::{LinuxTimeOffset, Spec};

use crate::error::{Context, Error, Result};
use crate::runtime::namespaces::NEW_TIME;
use crate::sys::file;

/// The creator's own, to come back to: what else it starts has its clocks.
pub(super) struct TimeNamespace(OwnedFd);

impl TimeNamespace {
    /// Makes one for the next child, if one is asked for. Errors: `invalid` for offsets without it.
    pub(super) fn make(spec: &Spec, new: CloneFlags) -> Result<Option<TimeNamespace>> {
        let linux = spec.linux().as_ref();
        let offsets = linux.and_then(|linux| linux.time_offsets().as_ref());
        if !new.contains(NEW_TIME) {
            return match offsets.is_some_and(|offsets| !offsets.is_empty()) {
                true => Err(Error::invalid(
                    "`linux.timeOffsets` needs a time namespace of the container's own",
                )),
                false => Ok(None),
            };
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let own = file::open("/proc/self/ns/time", flags).during(|| "open the time namespace")?;
        unshare(NEW_TIME).during(|| "make a time namespace")?;
        let namespace = TimeNamespace(own);
        let mut text = String::new();
        for (clock, offset) in offsets.into_iter().flatten() {
            let _ = writeln!(text, "{clock} {} {}", seconds(offset), offset.nanosecs().unwrap_or(0));
        }
        match text.is_empty() {
            true => Ok(Some(namespace)),
            false => std::fs::write("/proc/self/timens_offsets", &text)
                .during(|| format!("set `linux.timeOffsets` to `{}`", text.trim()))
                .map(|()| Some(namespace)),
        }
    }

    /// Comes back.
    pub(super) fn leave(self) -> Result<()> {
        setns(&self.0, NEW_TIME).during(|| "come back to the time namespace")
    }
}

fn seconds(offset: &LinuxTimeOffset) -> i64 {
    offset.secs().unwrap_or(0)
}
