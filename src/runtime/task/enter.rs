//! A process made in a running container, from outside.
//!
//! Between it and this process stands another for a moment: it enters the container's control groups and namespaces and makes the
//! process there, as a child of this one.

use std::os::fd::{AsFd, OwnedFd};

use nix::sched::CloneFlags;

use crate::error::{Context, Error, Result};
use crate::runtime::Signal;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::channel::{Channel, Failure, Message};
use crate::runtime::exit::{self, NOT_STARTED};
use crate::sys::{clone, pidfd, process};

/// A process in the container.
pub(in crate::runtime) struct Entered {
    pub(in crate::runtime) pid: i32,
    pub(in crate::runtime) child: OwnedFd,
    /// Leads to it.
    pub(in crate::runtime) setup: Channel,
}

impl Entered {
    /// Kills it, and takes its status.
    pub(in crate::runtime) fn abandon(&self) {
        let _ = pidfd::send_signal(&self.child, Signal::KILL.number());
        let _ = exit::reap(&self.child);
    }
}

/// Makes a process in the namespaces of `init` named by `flags`, and in its control groups; it runs `body` and ends with its code.
pub(in crate::runtime) fn make(
    cgroup: &Cgroup,
    init: &OwnedFd,
    flags: CloneFlags,
    body: impl FnOnce(&Channel) -> i32,
) -> Result<Entered> {
    let (setup, parent) = Channel::pair()?;
    // Of its own: what the process in the container says on the other may come before its number is told.
    let (told, teller) = Channel::pair()?;
    let between = clone::clone(CloneFlags::empty(), cgroup.clone_into_fd(), || {
        process::close(setup.as_fd());
        process::close(told.as_fd());
        let entered = cgroup
            .join_self()
            .and_then(|()| nix::sched::setns(init, flags).during(|| "enter the container"));
        let made = entered.and_then(|()| {
            // A sibling and not a child of this process: whoever made this one waits for it.
            let child = clone::clone(CloneFlags::CLONE_PARENT, None, || body(&parent));
            child.during(|| "make a process in the container")
        });
        let message = match made {
            Ok(child) => Message::Go(child.pid),
            Err(error) => Message::Failed(Failure::new(&error, NOT_STARTED)),
        };
        i32::from(teller.send(&message).is_err())
    });
    drop((parent, teller));
    let between = between.during(|| "make a process")?;
    let answer = told.receive_from(between.pidfd.as_fd());
    exit::reap(&between.pidfd)?;
    let pid = match answer? {
        Some(Message::Go(pid)) => pid,
        Some(Message::Failed(failure)) => return Err(failure.into_error()),
        _ => return Err(Error::internal("the process that enters the container was killed")),
    };
    // It is a child of this process that nobody has waited for, so the number is still its own.
    let child = pidfd::open(pid).during(|| "find the process in the container")?;
    Ok(Entered { pid, child, setup })
}
