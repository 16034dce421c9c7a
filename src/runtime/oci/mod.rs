//! Containers of other engines: a bundle with a `config.json` of theirs, driven step by step as the OCI runtime specification says
//! (runtime-spec, `runtime.md`). There is no supervisor; the first process of a container is left to the caller's subreaper.
//!
//! What is known of a container is a directory of the state root: `config.json`, as it was when the container was created, and
//! `state.json`; a socket `gate` is there for as long as its first process waits for `start`.

mod config;
mod container;
mod create;
mod delete;
mod exec;
mod features;
mod gate;
mod grants;
mod hooks;
mod listener;
mod signals;
mod start;
mod template;
mod time;

/// The newest version of the specification that this runtime was written by.
const VERSION: &str = "1.2.0";

pub use container::{Place, State, Status, list, state};
pub use create::{Creation, create, run};
pub use delete::{delete, kill};
pub use exec::{Execution, exec};
pub use features::features;
pub use start::{pause, processes, resume, start, stats, update};
pub use template::template;
