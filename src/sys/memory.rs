//! Where memory comes from in the static program. The allocator of musl asks the kernel for few pages at a time and gives them back at
//! once: a third of all system calls of a container's start were its.

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
