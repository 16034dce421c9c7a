//! A session for unit tests: no terminal, and a store nobody else uses.

use std::sync::Arc;
use std::time::Duration;

use rhai::Engine;

use super::interactive::{Interactive, Reply, Value};
use crate::bindings::{Format, Level, Recorder, Session, Settings};
use crate::config::Config;
use crate::model::Context;

/// A session on a store of its own, with what it said.
pub(crate) fn session(dry_run: bool) -> (Session, Arc<Recorder>) {
    with_context(dry_run, Context::new())
}

/// A session that may run so long.
pub(crate) fn session_until(limit: Option<Duration>) -> (Session, Arc<Recorder>) {
    let context = Context::new();
    with_context(
        false,
        limit.map_or(context.clone(), |limit| context.with_timeout(limit)),
    )
}

fn with_context(dry_run: bool, context: Context) -> (Session, Arc<Recorder>) {
    let root = std::env::temp_dir().join(format!("hoist-test-{}", std::process::id()));
    let console = Arc::new(Recorder::default());
    let session = Session::new(Settings {
        config: Config::new(Some(root), None, dry_run).unwrap(),
        context,
        console: console.clone(),
        format: Format::Table,
        level: Level::Info,
        args: vec!["one".to_owned(), "two".to_owned()],
        told: Vec::new(),
        command: None,
        audit: None,
        ask: false,
        planning: false,
        world: None,
    });
    (session, console)
}

/// An engine with a session of its own.
pub(crate) fn engine() -> Engine {
    super::engine(&session(false).0)
}

/// What an expression comes to.
pub(crate) fn value(expression: &str) -> Option<Value> {
    match Interactive::new(&session(false).0).evaluate(expression, Context::new()) {
        Reply::Value(value) => Some(value),
        _ => None,
    }
}

/// Every script in a directory and those below it.
pub(crate) fn scripts(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(scripts(&path)),
            false if path.extension().is_some_and(|extension| extension == "rhai") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}
