//! The interpreter built, limited and run: what turns a file into actions, and what goes wrong into words.

pub mod apply;
pub mod catalogue;
pub mod check;
pub mod commands;
pub mod docs;
pub mod examples;
pub mod format;
pub mod insight;
pub mod interactive;
pub mod outline;
pub mod reference;
pub mod runner;
pub mod site;
pub mod stdlib;
pub mod suite;
pub mod tokens;

mod diagnostic;
mod engine;
mod explain;
mod mask;
mod resolver;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use rhai::Engine;

use crate::bindings::Session;

pub use diagnostic::Diagnostic;
pub use mask::masked;
use suite::Coverage;

/// The interpreter for a session, limited and with everything a script may call or import.
pub fn engine(session: &Session) -> Engine {
    counted_engine(session, None)
}

/// The same, of which lines that run are counted.
fn counted_engine(session: &Session, coverage: Option<&Arc<Coverage>>) -> Engine {
    let mut engine = engine::build(session);
    let library = session.settings().config.library.clone();
    engine.set_module_resolver(resolver::Resolver::new(library, coverage.cloned()));
    if let Some(coverage) = coverage {
        coverage.watch(&mut engine);
    }
    engine
}
