//! Programs for the kernel's own machine (`bpf(2)`), of the one kind used here: those that a control group of v2 asks about devices.
//! It knows nothing of what a program says.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const PROG_LOAD: libc::c_uint = 5;
const PROG_ATTACH: libc::c_uint = 8;
const PROG_DETACH: libc::c_uint = 9;
const PROG_GET_FD_BY_ID: libc::c_uint = 13;
const PROG_QUERY: libc::c_uint = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// One instruction, laid out as the kernel's `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Two registers: the target in the low half, the source in the high one.
    pub registers: u8,
    /// Of a jump, how many instructions are skipped; of a load, where in memory.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// `union bpf_attr`, as far as loading needs it.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
}

/// The same for attaching and detaching.
#[repr(C)]
#[derive(Default)]
struct Attach {
    group: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// The same for asking what is attached.
#[repr(C)]
#[derive(Default)]
struct Query {
    group: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    unused: u32,
}

/// The same for opening a program by its number.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    unused: [u32; 2],
}

/// Hands a program to the kernel, which checks it. `EPERM` where this process may not, `EINVAL` where the kernel knows no such
/// programs.
pub fn load_device_program(program: &[Instruction]) -> nix::Result<OwnedFd> {
    let attributes = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: c"".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: the instructions have the kernel's layout and, like the license, outlive the call, which only reads them.
    let fd = Errno::result(unsafe { call(PROG_LOAD, &raw const attributes) })?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Has a group (an open directory of v2) ask a program, besides those it asks already.
pub fn attach_device_program(group: impl AsFd, program: &OwnedFd) -> nix::Result<()> {
    attach(PROG_ATTACH, group, program, ALLOW_MULTI)
}

/// Has a group no longer ask a program.
pub fn detach_device_program(group: impl AsFd, program: &OwnedFd) -> nix::Result<()> {
    attach(PROG_DETACH, group, program, 0)
}

fn attach(command: libc::c_uint, group: impl AsFd, program: &OwnedFd, flags: u32) -> nix::Result<()> {
    let attributes = Attach {
        group: number(group.as_fd()),
        program: number(program),
        kind: CGROUP_DEVICE,
        flags,
    };
    // SAFETY: the attributes name descriptors only, which are open during the call.
    Errno::result(unsafe { call(command, &raw const attributes) }).map(drop)
}

/// The programs a group asks itself; not those that the groups above it ask.
pub fn device_programs(group: impl AsFd) -> nix::Result<Vec<OwnedFd>> {
    // More than the kernel lets be attached (`BPF_CGROUP_MAX_PROGS`).
    let mut ids = [0u32; 64];
    let mut attributes = Query {
        group: number(group.as_fd()),
        kind: CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: 64,
        ..Query::default()
    };
    // SAFETY: the kernel writes at most `count` numbers to `ids`, and how many they are to `attributes`; both outlive the call.
    Errno::result(unsafe { call(PROG_QUERY, &raw mut attributes) })?;
    let found = ids.iter().take(attributes.count as usize);
    found.map(|id| open(*id)).collect()
}

fn open(id: u32) -> nix::Result<OwnedFd> {
    let attributes = ById { id, ..ById::default() };
    // SAFETY: the attributes are numbers, which the kernel only reads.
    let fd = Errno::result(unsafe { call(PROG_GET_FD_BY_ID, &raw const attributes) })?;
    // SAFETY: the kernel just returned this descriptor, so it is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

fn number(fd: impl AsFd) -> u32 {
    u32::try_from(fd.as_fd().as_raw_fd()).expect("a borrowed descriptor is not negative")
}

/// # Safety
///
/// `attributes` is what the command takes, and what it points to is as the command needs it.
unsafe fn call<T>(command: libc::c_uint, attributes: *const T) -> libc::c_long {
    // SAFETY: as the caller promises; the size is that of the structure pointed to.
    unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) }
}
