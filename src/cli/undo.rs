//! `hoist undo`.

use clap::Args;

use super::App;
use super::run::Told;
use crate::bindings::{table, value};
use crate::error::Result;

/// Take back the removals of images and moves of names of the last command or script, or the act of that number alone
///
/// Images are there again as they were, and names mean what they meant. `hoist system trash` lists what can be undone.
#[derive(Args)]
pub(super) struct Undo {
    /// The number of the act
    #[arg(value_name = "ID")]
    id: Option<i64>,
}

impl Undo {
    pub(super) fn execute(&self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let given: Vec<_> = self.id.into_iter().map(Into::into).collect();
        let undone = session.perform("system::undo", &given, || match self.id {
            Some(_) => Ok(vec![session.host()?.undo(self.id)?]),
            None => session.host()?.undo_run(),
        })?;
        let shown = table::show(&value::from_serde(&undone)?, session.settings().format)?;
        session.print(&shown);
        if let Some(plan) = session.plan() {
            app.terminal.show_plan(plan);
        }
        Ok(0)
    }
}
