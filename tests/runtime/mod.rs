//! Containers for real: a busybox root, the real kernel, the real supervisor. Needs root and `/bin/busybox` (static).

mod adoption;
mod exec;
mod isolation;
mod lifecycle;
mod place;
mod restart;
mod run;
