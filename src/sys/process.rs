//! What a process does to itself before it becomes another program.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use super::pidfd::End;

const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// Ends this process at once, without running what would run at the end of `main`.
pub fn exit(code: i32) -> ! {
    // SAFETY: `_exit` returns to nobody and runs nothing of this process.
    unsafe { libc::_exit(code) }
}

/// Has a program begin a session of its own, without a terminal.
pub fn in_new_session(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and `execve` the closure makes one call, which is safe there (signal-safety(7)) and allocates nothing.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(std::io::Error::from)) };
}

/// Closes every descriptor from `first` on, now. Only for a process that owns none of them in a value.
pub fn close_from(first: u32) -> nix::Result<()> {
    close_range(first, 0)
}

/// Closes a descriptor that this process, a copy of another one, has no use for: its value is the other one's.
pub fn close(fd: BorrowedFd<'_>) {
    // SAFETY: the call takes a number only. The value that owns the descriptor is never dropped in a copy, which ends by `_exit` or
    // `execve`; used nevertheless it gives errors of the kind `EBADF`, never wrong memory.
    let _ = unsafe { libc::close(fd.as_raw_fd()) };
}

/// Has every descriptor from `first` on closed by the next `execve`.
pub fn close_on_exec_from(first: u32) -> nix::Result<()> {
    close_range(first, CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: the call takes numbers only. That no value owns a descriptor closed here is the caller's part, said above; breaking it
    // gives errors of the kind `EBADF`, never wrong memory.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) }).map(drop)
}

/// Sets the NIS domain name of this process's UTS namespace.
pub fn set_domain_name(name: &str) -> nix::Result<()> {
    // SAFETY: the pointer is to as many bytes as are told of, which outlive the call; the kernel only reads them.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Gives this process a session keyring of its own (keyctl(2)). `ENOSYS` where the kernel has none.
pub fn join_session_keyring(name: &CStr) -> nix::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is a terminated string that outlives the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}

/// The permissions that files this thread makes are born without (umask(2)); asked of /proc, since the call itself would change them.
pub fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(digits.trim(), 8).ok()
}

/// The signals by which a person asks a program to end: `SIGINT` and `SIGTERM`, blocked so that they can be waited for.
#[derive(Clone, Copy)]
pub struct EndSignals(SigSet);

impl EndSignals {
    /// Blocks them in this thread and in those it starts from now on.
    pub fn block() -> nix::Result<EndSignals> {
        let mut signals = SigSet::empty();
        signals.add(nix::sys::signal::SIGINT);
        signals.add(nix::sys::signal::SIGTERM);
        signals.thread_block()?;
        Ok(EndSignals(signals))
    }

    /// Waits for one of them.
    pub fn wait(&self) -> nix::Result<()> {
        self.0.wait().map(drop)
    }
}

/// Takes a session keyring of its own, empty and without a name, in place of the one this thread was started with (session-keyring(7)).
pub fn leave_session_keyring() -> nix::Result<()> {
    match keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0) {
        // Of a kernel without keys there is nothing to leave.
        Err(Errno::ENOSYS) => Ok(()),
        result => result.map(drop),
    }
}

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

fn keyctl(operation: libc::c_int, argument: libc::c_long) -> nix::Result<libc::c_long> {
    // SAFETY: the operations used here take a number, or a name that may be absent: zero.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, operation, argument) })
}

/// The signal that says that a child has ended.
pub const CHILD_ENDED: i32 = libc::SIGCHLD;

/// Blocks every signal, so that each can be waited for.
pub fn block_signals() -> nix::Result<()> {
    SigSet::all().thread_block()
}

/// Waits for a signal that is blocked: its number.
pub fn wait_for_signal() -> nix::Result<i32> {
    let all = SigSet::all();
    loop {
        // SAFETY: the set outlives the call, and the kernel stores nothing at a null pointer.
        match Errno::result(unsafe { libc::sigwaitinfo(all.as_ref(), std::ptr::null_mut()) }) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Sends a signal by number to a child that has not been waited for. One that has ended does not mind.
pub fn send(child: i32, signal: i32) {
    // SAFETY: the call takes numbers only.
    unsafe { libc::kill(child, signal) };
}

/// Takes the status of any child that has ended, without waiting for one.
pub fn reap_any() -> Option<(i32, End)> {
    let mut status = 0;
    // SAFETY: the kernel writes the status into a value of its type.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    (pid > 0).then(|| (pid, End::of_status(status)))
}

/// Where the words are that this process was started with, which others see as its command line.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    start: usize,
    length: usize,
}

impl Arguments {
    /// Asks the kernel (proc_pid_stat(5), fields 48 and 49).
    pub fn find() -> Option<Arguments> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(48 - 3);
        let start = fields.next()?.parse::<usize>().ok().filter(|start| *start > 0)?;
        let length = fields.next()?.parse::<usize>().ok()?.checked_sub(start)?;
        Some(Arguments { start, length })
    }

    /// Has others see these words instead, each but the last with a zero byte at its end; what is too long is cut off. Nothing in this
    /// process may read its arguments any more.
    pub fn replace(&self, words: &[u8]) {
        let place = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        let shown = &words[..words.len().min(self.length.saturating_sub(1))];
        // SAFETY: the kernel put the arguments of this process there, on its stack, which is writable and stays; the standard library
        // keeps pointers to them that it reads only when asked for arguments, which is said above not to happen.
        unsafe {
            place.write_bytes(0, self.length);
            place.copy_from_nonoverlapping(shown.as_ptr(), shown.len());
        }
        let name = words.split(|byte| *byte == 0).next().unwrap_or_default();
        if let Ok(name) = std::ffi::CString::new(name) {
            let _ = nix::sys::prctl::set_name(&name);
        }
    }
}

/// Makes this process, which has one thread, that of a user: its groups, then its group, then its user. The calls of the C library would
/// block all signals three times over, to have other threads follow.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> nix::Result<()> {
    // SAFETY: the pointer is to as many numbers as are told of, which outlive the call; the kernel only reads them.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: the call takes numbers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: the call takes numbers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Makes a descriptor standard input (0), output (1) or error (2).
pub fn replace_stream(number: u8, by: BorrowedFd<'_>) -> nix::Result<()> {
    match number {
        0 => nix::unistd::dup2_stdin(by),
        1 => nix::unistd::dup2_stdout(by),
        2 => nix::unistd::dup2_stderr(by),
        _ => Err(Errno::EBADF),
    }
}

/// The signals that this process was started with ignored, by bit, if that was looked at.
static IGNORED: OnceLock<u64> = OnceLock::new();

/// Looks once which signals are ignored (proc_pid_status(5), `SigIgn`); copies of this process need not look again.
pub fn note_ignored_signals() {
    if IGNORED.get().is_some() {
        return;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    if let Some(ignored) = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()) {
        let _ = IGNORED.set(ignored);
    }
}

/// Gives every signal its default action and blocks none, as a program expects to be started.
pub fn reset_signals() -> nix::Result<()> {
    // The kernel's `sigaction` with no handler, flag or mask. Its four words are zero whatever their order; the call is made without
    // the C library, which would keep two signals to itself that this process may have been started with ignored.
    let default = [0u64; 4];
    let no_old = std::ptr::null_mut::<[u64; 4]>();
    // What has a handler loses it with `execve` (signal(7)).
    let ignored = IGNORED.get().copied().unwrap_or(u64::MAX);
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        // SAFETY: the action has the kernel's size and names no code to be called; for SIGKILL and SIGSTOP the call fails and changes
        // nothing, which is as it should be.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                no_old,
                size_of::<u64>(),
            )
        };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keyring_is_ones_own_after_leaving() {
        const GET_KEYRING_ID: libc::c_int = 0;
        const SESSION: libc::c_long = -3;
        // Keyrings are of a thread, so that of other tests stays as it is.
        let thread = std::thread::spawn(|| {
            let before = keyctl(GET_KEYRING_ID, SESSION).unwrap();
            leave_session_keyring().unwrap();
            (before, keyctl(GET_KEYRING_ID, SESSION).unwrap())
        });
        let (before, after) = thread.join().unwrap();
        assert_ne!(before, after);
    }
}
