//! Making a process with namespaces of its own: `clone3(2)`.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_PIDFD: u64 = 0x1000;

#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A child just made: its number, and a descriptor that stays its own when the number is used again.
#[derive(Debug)]
pub struct Child {
    /// The process id, as seen by the parent.
    pub pid: i32,
    /// Readable once the process has ended.
    pub pidfd: OwnedFd,
}

/// Copies this process as `fork(2)` does, with the namespaces named in `flags`, born in the cgroup (v2) whose directory is
/// given. The copy runs `body` and ends with the code it returns; if `body` panics, with 101.
///
/// Fails with `EBUSY` in a process with several threads: the copy would hold their locks for ever.
pub fn clone(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>, body: impl FnOnce() -> i32) -> nix::Result<Child> {
    if !single_threaded() {
        return Err(Errno::EBUSY);
    }
    let mut pidfd: libc::c_int = -1;
    let flags = u64::try_from(flags.bits()).expect("clone flags are not negative") | CLONE_PIDFD;
    // With CLONE_PARENT the child signals its new parent as this process would; naming a signal is refused (clone(2)).
    let adopted = flags & u64::try_from(libc::CLONE_PARENT).expect("a positive constant") != 0;
    let mut args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: if adopted { 0 } else { libc::SIGCHLD as u64 },
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).expect("a borrowed descriptor is not negative");
    }
    // SAFETY: no stack and no CLONE_VM: the child gets a copy of this address space and continues here, as after fork. There is
    // one thread, so no lock is held by a thread that the child does not have. The structure has the layout and size passed.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match Errno::result(pid)? {
        0 => super::process::exit(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101)),
        pid => {
            // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor there, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child { pid: pid as i32, pidfd })
        }
    }
}

/// The kernel lets a process leave its thread group, which does nothing, only if there is no other in it (unshare(2)). Unlike a look
/// into `/proc` this also answers inside of a container, whose `/proc` does not show this process.
fn single_threaded() -> bool {
    nix::sched::unshare(CloneFlags::CLONE_THREAD).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_copied() {
        // The test harness runs this in a thread of its own.
        assert_eq!(clone(CloneFlags::empty(), None, || 0).unwrap_err(), Errno::EBUSY);
    }
}
