//! `hoist run FILE [ARGS…]`, `hoist FILE`, `hoist -`.

use std::path::Path;

use clap::Args;

use super::App;
use crate::error::Result;
use crate::script::runner::{self, Source};

/// Run a script
///
/// What follows FILE is the script's own: it finds it in `args`. FILE may be `-` for standard input.
#[derive(Args)]
pub(super) struct Run {
    /// The script and its arguments
    #[arg(
        value_name = "FILE [ARGS]",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

impl Run {
    pub(super) fn new(file: String, args: Vec<String>) -> Run {
        Run {
            words: std::iter::once(file).chain(args).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let mut args = self.words;
        let file = args.remove(0);
        let source = match file.as_str() {
            "-" => Source::read("<stdin>", std::io::stdin().lock())?,
            file => Source::file(Path::new(file))?,
        };
        let session = app.session(args)?;
        let finished = runner::run(&session, &source);
        Ok(app.conclude(&session, &finished))
    }
}
