//! The program as an OCI runtime: what engines ask of one (runtime-spec, and the words of runc).

mod engines;
mod hooks;
mod lifecycle;
mod listener;
mod process;
mod surroundings;
mod terminal;
