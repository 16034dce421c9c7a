//! Processes by descriptor, so that a number used again never names the wrong one: `pidfd_open(2)`, `pidfd_send_signal(2)`.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// A descriptor for the process that has this number now. `ESRCH` if there is none.
pub fn open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Sends a signal by number (real-time signals included); 0 only asks whether the process is there. `ESRCH` if it has ended.
pub fn send_signal(process: impl AsFd, signal: i32) -> nix::Result<()> {
    let (fd, no_info) = (process.as_fd().as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: the descriptor is open during the call, and a null information means what kill(2) would send.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, no_info, 0) }).map(drop)
}

/// A copy of another process's descriptor of this number (pidfd_getfd(2)); an `execve` closes it. Needs the right to trace that process.
pub fn descriptor_of(process: impl AsFd, number: i32) -> nix::Result<OwnedFd> {
    let process = process.as_fd().as_raw_fd();
    // SAFETY: the call takes numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, number, 0) })?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// What a status means as wait(2) gives it.
    pub fn of_status(status: i32) -> End {
        match status & 0x7f {
            0 => End::Code((status >> 8) & 0xff),
            signal => End::Signal(signal),
        }
    }
}

/// What `PIDFD_GET_INFO` tells (include/uapi/linux/pidfd.h, its first version).
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    numbers_and_users: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: u32 = 3 << 30 | (size_of::<Info>() as u32) << 16 | 0xff << 8 | 11;

/// How a process ended, once its parent has taken the status; `None` before, and where the kernel does not say (before Linux 6.15).
pub fn end(process: impl AsFd) -> Option<End> {
    let mut info = Info {
        mask: PIDFD_INFO_EXIT,
        ..Info::default()
    };
    // SAFETY: the descriptor is open during the call, and the kernel writes no more than the size that is part of the request.
    let asked = unsafe { libc::ioctl(process.as_fd().as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    (asked == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| End::of_status(info.exit_code))
}

/// Waits for the end of a child and takes its status, so that nothing of it is left. `ECHILD` if it is no child of this process.
pub fn reap(child: impl AsFd) -> nix::Result<End> {
    // SAFETY: an all-zero `siginfo_t` is a valid value of plain numbers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = libc::id_t::try_from(child.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?;
    loop {
        // SAFETY: the descriptor is open during the call, and the kernel writes the information into a value of its type.
        match Errno::result(unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED) }) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: waitid succeeded, so it filled in the fields of a SIGCHLD, of which the status is one (waitid(2)).
    let status = unsafe { info.si_status() };
    Ok(if info.si_code == libc::CLD_EXITED {
        End::Code(status)
    } else {
        End::Signal(status)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_or_a_signal() {
        assert_eq!(size_of::<Info>(), 64);
        for (status, end) in [
            (0, End::Code(0)),
            (0x700, End::Code(7)),
            (9, End::Signal(9)),
            (0x8b, End::Signal(11)),
        ] {
            assert_eq!(End::of_status(status), end);
        }
    }

    #[test]
    fn a_descriptor_names_a_living_process() {
        let own = open(i32::try_from(std::process::id()).unwrap()).unwrap();
        send_signal(&own, 0).unwrap();
        assert_eq!(open(i32::MAX).unwrap_err(), Errno::ESRCH);
    }
}
