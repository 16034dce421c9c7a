//! `hoist check FILE…`.

use std::path::Path;

use clap::Args;

use super::App;
use crate::bindings::{Console, Format};
use crate::error::Result;
use crate::script::check::{Finding, check};
use crate::script::runner::Source;

/// Find what is wrong with scripts without running them
///
/// Unknown functions, methods, properties and options, wrong numbers of arguments, what is never used or never reached, and calls that
/// the line `//! allow:` of the script's header does not cover. The exit code is 2 where anything is found.
#[derive(Args)]
pub(super) struct Check {
    /// The scripts; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
}

impl Check {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let mut found = Vec::new();
        for file in &self.files {
            let source = script(file)?;
            found.extend(check(&source).into_iter().map(|finding| (finding, source.clone())));
        }
        // A reader that has seen enough is no error.
        let _ = app.terminal.data(&shown(&found, app.global.format.into()));
        Ok(if found.is_empty() { 0 } else { 2 })
    }
}

/// A script by its path, or that of standard input.
pub(super) fn script(file: &str) -> Result<Source> {
    match file {
        "-" => Source::read("<stdin>", std::io::stdin().lock()),
        file => Source::file(Path::new(file)),
    }
}

fn shown(found: &[(Finding, Source)], format: Format) -> String {
    let reports = found.iter().map(|(finding, source)| finding.report(source));
    match format {
        Format::Table => reports.map(|report| format!("{report}\n\n")).collect(),
        Format::Json => format!(
            "{:#}\n",
            reports.map(|report| report.json()).collect::<serde_json::Value>()
        ),
        Format::JsonLines => reports.map(|report| format!("{}\n", report.json())).collect(),
    }
}
