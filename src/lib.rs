//! Hoist automates containers by script. See ARCHITECTURE.md for the map; modules use lower rows only,
//! and `a` → `b` in one row says that `a` also uses `b`.
//!
//! | Row | Modules |
//! |---|---|
//! | 6 | `cli` → `repl` |
//! | 5 | `script` → `bindings` → `server` |
//! | 4 | `host` |
//! | 3 | `images`, `runtime` |
//! | 2 | `store`, `web` |
//! | 1 | `sys`, `config` |
//! | 0 | `model` → `error` |

pub mod bindings;
pub mod cli;
pub mod config;
pub mod error;
pub mod host;
pub mod images;
pub mod model;
pub mod repl;
pub mod runtime;
pub mod script;
pub mod server;
pub mod store;
pub mod sys;
pub mod web;
