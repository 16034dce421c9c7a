//! The interpreter built, limited and run: what turns a file into actions, and what goes wrong into words.

pub mod apply;
pub mod catalogue;
pub mod commands;
pub mod docs;
pub mod examples;
pub mod interactive;
pub mod reference;
pub mod runner;
pub mod tokens;

mod diagnostic;
mod engine;
mod explain;
mod mask;
mod resolver;
#[cfg(test)]
pub(crate) mod testing;

use rhai::Engine;

use crate::bindings::Session;

pub use diagnostic::Diagnostic;
pub use mask::masked;

/// The interpreter for a session, limited and with everything a script may call or import.
pub fn engine(session: &Session) -> Engine {
    let mut engine = engine::build(session);
    engine.set_module_resolver(resolver::Neighbours::default());
    engine
}
