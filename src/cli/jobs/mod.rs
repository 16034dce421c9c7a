//! `hoist jobs …`: scripts that run by themselves.

mod check;
mod define;
mod install;
mod look;
mod metrics;
mod run;
mod words;

use clap::Subcommand;

use super::App;
use super::run::Told;
use crate::bindings::Session;
use crate::error::Result;

pub(super) use run::Process;

/// Scripts that say in their header when they are to run
#[derive(Subcommand)]
pub(super) enum Jobs {
    Add(define::Add),
    Remove(define::Remove),
    Enable(define::Enable),
    Disable(define::Disable),
    List(look::List),
    Show(look::Show),
    Next(look::Next),
    Run(run::Run),
    History(look::History),
    Logs(look::Logs),
    Why(look::Why),
    Metrics(metrics::Metrics),
    Install(install::Install),
    Check(check::Check),
}

impl Jobs {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        match self {
            Jobs::Add(add) => add.execute(app),
            Jobs::Remove(remove) => remove.execute(app),
            Jobs::Enable(enable) => enable.execute(app),
            Jobs::Disable(disable) => disable.execute(app),
            Jobs::List(list) => list.execute(app),
            Jobs::Show(show) => show.execute(app),
            Jobs::Next(next) => next.execute(app),
            Jobs::Run(run) => run.execute(app),
            Jobs::History(history) => history.execute(app),
            Jobs::Logs(logs) => logs.execute(app),
            Jobs::Why(why) => why.execute(app),
            Jobs::Metrics(metrics) => metrics.execute(app),
            Jobs::Install(install) => install.execute(app),
            Jobs::Check(check) => check.execute(app),
        }
    }
}

/// Does something by a session, and shows the plan of a dry run.
fn with_session(app: &App, work: impl FnOnce(&Session) -> Result<()>) -> Result<u8> {
    let session = app.session(Told::default())?;
    work(&session)?;
    if let Some(plan) = session.plan() {
        app.terminal.show_plan(plan);
    }
    Ok(0)
}
