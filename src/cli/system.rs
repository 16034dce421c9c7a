//! `hoist system …`.

use clap::Subcommand;

use super::App;
use super::run::Told;
use crate::bindings::{table, trash, value};
use crate::error::{Error, Result};
use crate::host::Booted;
use crate::model::ByteSize;

/// The exit code of work of which a part failed.
const PARTIAL: u8 = 4;

/// The store as a whole
#[derive(Subcommand)]
pub(super) enum System {
    /// Start the containers that are to run after the machine was restarted
    ///
    /// Those whose restart policy is `always`, and those under `unless-stopped` that nobody stopped. Prints each that did not run, and
    /// ends with 4 if one could not be started.
    Boot,
    /// List what `hoist undo` can bring back, or remove it for good
    Trash {
        /// Remove it for good; prints the bytes given back
        #[arg(long)]
        empty: bool,
    },
}

impl System {
    pub(super) fn execute(&self, app: &App) -> Result<u8> {
        match self {
            System::Boot => boot(app),
            System::Trash { empty: false } => trash(app),
            System::Trash { empty: true } => empty_trash(app),
        }
    }
}

fn boot(app: &App) -> Result<u8> {
    let session = app.session(Told::default())?;
    let Booted { ok, containers } =
        session.perform("system::boot", &[], || session.host()?.boot(&session.context()))?;
    for container in &containers {
        if let Some(reason) = &container.error {
            app.terminal.error(&Error::conflict(format!(
                "container `{}` was not started: {reason}",
                container.name
            )));
        }
    }
    let shown = table::show(&value::from_serde(&containers)?, session.settings().format)?;
    session.print(&shown);
    if let Some(plan) = session.plan() {
        app.terminal.show_plan(plan);
    }
    Ok(if ok { 0 } else { PARTIAL })
}

fn trash(app: &App) -> Result<u8> {
    let session = app.session(Told::default())?;
    let acts = session.perform("system::trash", &[], || session.host()?.trash())?;
    let shown = table::show(&trash::list(acts), session.settings().format)?;
    session.print(&shown);
    Ok(0)
}

fn empty_trash(app: &App) -> Result<u8> {
    let session = app.session(Told::default())?;
    let bytes = session.perform("system::empty_trash", &[], || session.host()?.empty_trash())?;
    session.print(&format!("{}\n", ByteSize(bytes)));
    if let Some(plan) = session.plan() {
        app.terminal.show_plan(plan);
    }
    Ok(0)
}
