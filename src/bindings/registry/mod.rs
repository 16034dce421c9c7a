//! `registry::` and `Server`: the store served as a registry.

pub mod served;
pub mod server;

use rhai::{Module, exported_module};

pub use server::Server;

/// The functions of the namespace.
pub fn functions() -> Module {
    exported_module!(served::functions)
}

/// The getters and methods of `Server`.
pub fn methods() -> Module {
    exported_module!(server::methods)
}
