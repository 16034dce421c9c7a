//! What a dry run would have done.

use std::sync::{Mutex, PoisonError};

/// One recorded mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What would be done, as a script would write it: `image::remove`.
    pub action: String,
    /// What it would be done to.
    pub target: String,
    /// More, for a person: a size, a reason, a destination.
    pub detail: String,
}

/// The actions of a dry run, in order.
#[derive(Debug, Default)]
pub struct Plan(Mutex<Vec<Action>>);

impl Plan {
    /// An empty plan.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Adds an action.
    pub fn record(&self, action: &str, target: &str, detail: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Action {
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        });
    }

    /// What was recorded so far.
    pub fn actions(&self) -> Vec<Action> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
