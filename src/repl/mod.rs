//! The interactive prompt: a session that is fed lines, and an editor around it.

mod completer;
mod editor;
mod session;

pub use editor::run;
