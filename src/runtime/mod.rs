//! From a resolved request and a root filesystem to a process.
