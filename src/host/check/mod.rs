//! Whether the store is what it should be, and putting right what is not.
//!
//! A check works beside other processes and reports nothing that is only under way: a lease of its own keeps the content of the
//! images it looks at; what seems to belong to nobody is judged inside a writing transaction, where nothing is half made; and what
//! is still being brought in or taken away is held by the lease of whoever does that.

mod blobs;
mod containers;
mod database;
mod images;
mod index;
mod layers;
mod mounts;
mod orphans;
mod problem;
mod rebuild;
mod repositories;
mod volumes;

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Host;
use crate::error::Result;
use crate::model::{Context, Digest};

pub use problem::{Checked, Damage, Problem};

use images::Stock;

/// Options of `system::check`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOptions {
    /// Put right what can be.
    pub repair: bool,
    /// Look at presence and sizes only, not at the bytes.
    pub quick: bool,
}

/// A check under way.
struct Checkup<'a> {
    host: &'a Host,
    ctx: &'a Context,
    options: CheckOptions,
    problems: Vec<Problem>,
    /// Images for whose stacks of layers nothing is made any more.
    bare: BTreeSet<Digest>,
}

impl Host {
    /// Looks for damage in the store, and under `repair` puts right what can be. What is damaged is told, never thrown.
    ///
    /// Errors: what keeps the check itself from going on, such as `cancelled`.
    pub fn check(&self, ctx: &Context, options: CheckOptions) -> Result<Checked> {
        if options.repair {
            self.planned("system::check", &self.config().root.display().to_string(), "repair");
        }
        let mut checkup = Checkup {
            host: self,
            ctx,
            options,
            problems: Vec::new(),
            bare: BTreeSet::new(),
        };
        checkup.all()?;
        Ok(Checked {
            ok: checkup.problems.iter().all(|problem| problem.repaired),
            problems: checkup.problems,
        })
    }
}

impl Checkup<'_> {
    fn all(&mut self) -> Result<()> {
        if !self.database()? {
            // What rows say cannot be relied on.
            return Ok(());
        }
        self.layout();
        let hold = self.host.hold()?;
        let stock = Stock::hold(self.host, &hold)?;
        let has_manifests = self.images(&stock)?;
        self.repositories(&stock)?;
        self.containers()?;
        self.volumes()?;
        drop(hold);
        self.orphans()?;
        if has_manifests {
            self.index()?;
        }
        self.mounts()
    }

    /// Notes damage and, where that is asked for, puts it right.
    fn found(
        &mut self,
        kind: Damage,
        object: impl Into<String>,
        detail: impl Into<String>,
        mend: impl FnOnce() -> Result<()>,
    ) {
        let mut problem = Problem {
            kind,
            object: object.into(),
            detail: detail.into(),
            repaired: false,
            hint: None,
        };
        if !self.options.repair {
            problem.hint = Some("`system::check(#{repair: true})` puts it right".to_owned());
        } else if !self.host.planned("repair", &problem.object, &problem.detail) {
            match mend() {
                Ok(()) => problem.repaired = true,
                Err(error) => {
                    problem.detail = format!("{}; not repaired: {error}", problem.detail);
                    problem.hint = error.way_out().map(str::to_owned);
                }
            }
        }
        self.problems.push(problem);
    }

    /// Notes damage that cannot be put right here, and what a person can do.
    fn beyond_repair(
        &mut self,
        kind: Damage,
        object: impl Into<String>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.push(Problem {
            kind,
            object: object.into(),
            detail: detail.into(),
            repaired: false,
            hint: Some(hint.into()),
        });
    }
}
