//! `hoist eval EXPR`.

use clap::Args;

use super::App;
use super::run::Told;
use crate::bindings::table;
use crate::error::Result;
use crate::script::runner::{self, Source};

/// Evaluate an expression and print its value
///
/// Lists of objects or maps are printed as tables; --format json and jsonl are for programs.
#[derive(Args)]
pub(super) struct Eval {
    /// The expression, or any script
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expression: String,

    /// The script's arguments
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Eval {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let source = Source::text("<eval>", &self.expression);
        let Some(told) = Told::read(app, &source, "hoist eval EXPR", self.args)? else {
            return Ok(0);
        };
        let session = app.session(told)?;
        let finished = runner::run(&session, &source);
        let shown = match finished.report {
            None => table::show(&finished.value, session.settings().format).map(|text| session.print(&text)),
            Some(_) => Ok(()),
        };
        let code = app.conclude(&session, &finished);
        Ok(match shown {
            Ok(()) => code,
            Err(error) => {
                app.terminal.error(&error);
                error.kind().exit_code().max(1)
            }
        })
    }
}
