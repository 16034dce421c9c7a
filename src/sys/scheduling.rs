//! How the kernel treats a process: which scheduler, which place in the queues of disks, which memory nodes, whose habits.

use nix::errno::Errno;

/// What `sched_setattr(2)` takes. What a policy does not know must be 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19, for the policies that share time.
    pub nice: i32,
    /// 1 to 99, for the real-time ones.
    pub priority: u32,
    /// Nanoseconds of each period, for deadlines.
    pub runtime: u64,
    /// In how many nanoseconds of a period they are needed.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Has the calling thread scheduled so.
pub fn set_scheduling(asked: &Scheduling) -> nix::Result<()> {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: asked.policy,
        flags: asked.flags,
        nice: asked.nice,
        priority: asked.priority,
        runtime: asked.runtime,
        deadline: asked.deadline,
        period: asked.period,
    };
    // SAFETY: the structure has the kernel's layout and says its own size; the kernel reads it during the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Puts the calling thread into a class of disk accesses (1 real time, 2 best effort, 3 idle), with a level of 0, the first, to 7.
pub fn set_io_priority(class: u8, level: u8) -> nix::Result<()> {
    const PROCESS: libc::c_int = 1;
    let priority = i32::from(class) << 13 | i32::from(level);
    // SAFETY: the call takes numbers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, priority) }).map(drop)
}

/// Has the calling thread's memory taken from these nodes, a bit each, in a mode with flags (`MPOL_*`, set_mempolicy(2)).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> nix::Result<()> {
    // The kernel takes one bit less than it is told of. No nodes is no mask: of an empty one it would read far more than there is.
    let (mask, bits) = match nodes.len() {
        0 => (std::ptr::null(), 0),
        words => (nodes.as_ptr(), words * 64 + 1),
    };
    // SAFETY: the mask has as many bits as are told of, but for the one that is not read, and outlives the call, or is null.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// Gives the calling process the habits of another system (personality(2)).
pub fn set_personality(persona: u32) -> nix::Result<()> {
    // SAFETY: the call takes a number only.
    Errno::result(unsafe { libc::personality(persona.into()) }).map(drop)
}
