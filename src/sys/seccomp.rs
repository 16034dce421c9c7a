//! Handing a classic BPF program to the kernel as a system call filter. It knows nothing of what the program says.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Constant, offset or jump distance.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());

/// The most instructions the kernel takes in one program (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// The flag by which loading a program gives a descriptor: calls that it leaves to others are read and answered there.
pub const NEW_LISTENER: u32 = 1 << 3;

/// Applies the program to the calling thread and what it will start (`seccomp(2)`, `SECCOMP_SET_MODE_FILTER`); the descriptor that
/// [`NEW_LISTENER`] asks for, which an `execve` closes. Needs `CAP_SYS_ADMIN` or no_new_privs, else `EACCES`; `EINVAL` if the program is
/// not a valid one.
pub fn load(program: &[Instruction], flags: u32) -> nix::Result<Option<OwnedFd>> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog {
        len,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `program` points to `len` instructions of the kernel's layout (checked above) that outlive the call;
    // the kernel copies them and does not write.
    let code = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    let number = Errno::result(code)?;
    if flags & NEW_LISTENER == 0 {
        return Ok(None);
    }
    let number = RawFd::try_from(number).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(number) }))
}

/// Makes a system call by number, for tests of what a filter does with it.
#[cfg(test)]
pub(crate) fn call(number: u32, arguments: [u64; 3]) -> nix::Result<i64> {
    let [a, b, c] = arguments;
    // SAFETY: tests pass only calls that a filter stops, or that take numbers and touch no memory of this process.
    Errno::result(unsafe { libc::syscall(i64::from(number), a, b, c) })
}
