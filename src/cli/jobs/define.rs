//! `hoist jobs add|remove|enable|disable`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::with_session;
use crate::cli::App;
use crate::error::Result;

/// Make a job of a script: it runs by itself, when its header says
///
/// The file stays where it is and is read at each run. `hoist serve jobs` runs what is due, or systemd or cron: see `hoist jobs install`.
#[derive(Args)]
pub(in crate::cli) struct Add {
    /// Its name; the file's without this
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The script
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Its arguments, in the place of those of the header; those that begin with - after --
    #[arg(value_name = "ARGS", trailing_var_arg = true)]
    args: Vec<String>,
}

/// Remove jobs with their histories and logs; the scripts stay
#[derive(Args)]
pub(in crate::cli) struct Remove {
    /// The jobs
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Have jobs run by themselves again, from now on
#[derive(Args)]
pub(in crate::cli) struct Enable {
    /// The jobs
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Have jobs run by order only; what runs goes on
#[derive(Args)]
pub(in crate::cli) struct Disable {
    /// The jobs
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Add {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let args = (!self.args.is_empty()).then_some(self.args.as_slice());
            let job = session.perform("job::add", &[], || {
                session.host()?.add_job(&self.file, self.name.as_deref(), args)
            })?;
            session.print(&format!("{}\n", job.name()));
            Ok(())
        })
    }
}

impl Remove {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            self.names.iter().try_for_each(|name| {
                let call = [Value::from(name.as_str())];
                session.perform("job::remove", &call, || session.host()?.remove_job(name))
            })
        })
    }
}

impl Enable {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        enable(app, &self.names, true)
    }
}

impl Disable {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        enable(app, &self.names, false)
    }
}

fn enable(app: &App, names: &[String], enabled: bool) -> Result<u8> {
    let function = if enabled { "job::resume" } else { "job::pause" };
    with_session(app, |session| {
        names.iter().try_for_each(|name| {
            let call = [Value::from(name.as_str())];
            session.perform(function, &call, || session.host()?.enable_job(name, enabled).map(drop))
        })
    })
}
