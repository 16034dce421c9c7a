//! `hoist jobs add|remove|enable|disable`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::with_session;
use crate::bindings::Console as _;
use crate::cli::App;
use crate::error::{Error, Result};
use crate::script::check::{Problem, check};
use crate::script::runner::Source;

/// Make a job of a script: it runs by itself, when its header says
///
/// The file stays where it is and is read at each run. `hoist serve jobs` runs what is due, or systemd or cron: see `hoist jobs install`. What
/// cannot be a script is refused; what else `hoist check` finds is told.
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
        check_script(app, &self.file)?;
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

/// Tells what is wrong with a script. Errors: `invalid`, with the place, for what is none; as for reading it.
fn check_script(app: &App, file: &Path) -> Result<()> {
    let source = Source::file(file)?;
    // Nearly any text can be parsed: a word is a variable. What has no header is to be right for that.
    let has_header = source.code.lines().any(|line| line.trim_start().starts_with("//!"));
    for finding in check(&source) {
        let place = format!("{}:{}:{}", source.name, finding.line, finding.column);
        match finding.problem {
            // It is told with its line when the header is read.
            Problem::Header => {}
            problem if problem == Problem::Syntax || (!has_header && !problem.is_harmless()) => {
                let hint = finding.hint.map(|hint| format!("{hint}; ")).unwrap_or_default();
                let error = Error::invalid(format!("{place}: {}", finding.message));
                return Err(error
                    .during("add the job")
                    .hint(format!("{hint}`hoist check` shows all that is wrong")));
            }
            problem if problem.is_harmless() => {}
            _ => app.terminal.talk(&format!("warn: {place}: {}", finding.message)),
        }
    }
    Ok(())
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
