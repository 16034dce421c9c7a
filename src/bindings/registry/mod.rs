//! `registry::` and `Server`: what is in registries, who we are to them, and the store served as one.

pub mod access;
pub mod acts;
pub mod cache;
pub mod look;
pub mod mirror;
pub mod served;
pub mod server;

use rhai::{Module, exported_module};

pub use server::Server;

/// The functions of the namespace.
pub fn functions() -> Module {
    let mut module = exported_module!(access::functions);
    module.combine(exported_module!(look::functions));
    module.combine(exported_module!(acts::functions));
    module.combine(exported_module!(mirror::functions));
    module.combine(exported_module!(served::functions));
    module.combine(exported_module!(cache::functions));
    module
}

/// The getters and methods of `Server`.
pub fn methods() -> Module {
    exported_module!(server::methods)
}
