//! `hoist test [PATH…]`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use super::App;
use crate::bindings::{Console, Format, table};
use crate::config::Config;
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::Context;
use crate::script::suite::{Coverage, Outcome, Suite, Terms, Verdict, junit};

/// The exit code when a test did not pass.
const FAILED: u8 = 1;
/// The exit code when a file could not be read.
const UNREADABLE: u8 = 2;

/// Run the tests of scripts: each `fn test_…()` of files called NAME.test.rhai
///
/// Each test has a store of its own, which is gone afterwards; `setup` and `teardown` of its file are called before and after it.
/// `hoist doc assert` and `hoist doc fake` tell what tests have at hand. What a test prints is shown if it fails. With --timeout each
/// test ends after that time. The exit code is 0 if all pass, 1 if one does not, and 2 if a file cannot be read or there are no tests.
#[derive(Args)]
pub(super) struct Test {
    /// Files, and directories that are searched
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Run only tests that have this in `FILE: NAME`; may be given several times
    #[arg(long, short = 'k', value_name = "TEXT")]
    filter: Vec<String>,

    /// Run so many at a time; as many as there are processors otherwise
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,

    /// Begin no further test after one that fails
    #[arg(long)]
    fail_fast: bool,

    /// List the tests instead of running them
    #[arg(long)]
    list: bool,

    /// Write what came of them to this file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Tell which lines of scripts and modules ran
    #[arg(long)]
    coverage: bool,

    /// Write which lines ran to this file, in the form of lcov
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
}

impl Test {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let suite = Suite::read(&self.paths)?;
        let names = suite.names(&self.filter);
        if names.is_empty() && suite.faults.is_empty() {
            return Err(Error::invalid("no test fits").hint("`hoist test --list` shows what there is"));
        }
        if self.list {
            let lines: Vec<String> = names.into_iter().map(|name| name + "\n").collect();
            let _ = app.terminal.data(&lines.concat());
            return Ok(0);
        }
        let coverage = (self.coverage || self.lcov.is_some()).then(|| Arc::new(Coverage::default()));
        let terms = self.terms(app, coverage.clone())?;
        let format = app.global.format.into();
        let shown = Mutex::new(String::new());
        let verdicts = suite.run(&terms, &|verdict| {
            if matches!(format, Format::Table) {
                let mut last = shown.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = app.terminal.data(&line(verdict, &mut last));
            }
        });
        if let Some(path) = &self.junit {
            write(path, &junit(&verdicts, &suite.faults))?;
        }
        if let (Some(path), Some(coverage)) = (&self.lcov, &coverage) {
            write(path, &coverage.lcov())?;
        }
        let text = match format {
            Format::Table => summary(&suite, &verdicts, coverage.as_deref().filter(|_| self.coverage)),
            Format::Json => json(&verdicts)? + "\n",
            Format::JsonLines => verdicts
                .iter()
                .map(|verdict| Ok(json(verdict)? + "\n"))
                .collect::<Result<String>>()?,
        };
        // A reader that has seen enough is no error.
        let _ = app.terminal.data(&text);
        if terms.context.is_done() {
            return Ok(Kind::Cancelled.exit_code());
        }
        let failed = verdicts.iter().any(|verdict| verdict.outcome != Outcome::Passed);
        Ok(match (suite.faults.is_empty(), failed) {
            (false, _) => UNREADABLE,
            (true, true) => FAILED,
            (true, false) => 0,
        })
    }

    fn terms(&self, app: &App, coverage: Option<Arc<Coverage>>) -> Result<Terms> {
        let global = &app.global;
        // What holds for this machine's containers is no matter of tests, unless it is asked for.
        let mut config = Config::new(Some(std::env::temp_dir()), None, global.dry_run)?;
        if let Some(file) = &global.config {
            config.apply_file(Some(file))?;
        }
        global.limit.iter().try_for_each(|limit| config.limits.assign(limit))?;
        config.permissions.line = global.permissions.rules()?;
        let context = Context::new();
        app.interrupt.set(context.clone());
        Ok(Terms {
            config,
            context,
            timeout: global.timeout,
            level: global.log_level.into(),
            jobs: self.jobs,
            filters: self.filter.clone(),
            fail_fast: self.fail_fast,
            coverage,
        })
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|cause| Error::internal(format!("failed to write the verdicts: {cause}")))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).during(|| format!("write `{}`", path.display()))
}

/// The line of a test, under that of its file.
fn line(verdict: &Verdict, last: &mut String) -> String {
    let head = match *last == verdict.file {
        true => String::new(),
        false => format!("{}\n", verdict.file),
    };
    last.clone_from(&verdict.file);
    let word = match verdict.outcome {
        Outcome::Passed => "ok    ",
        Outcome::Failed => "FAILED",
        Outcome::Broken => "BROKEN",
    };
    format!(
        "{head}  {word}  {} ({:.0} ms)\n",
        verdict.name,
        verdict.seconds * 1000.0
    )
}

/// What went wrong, with what was printed, and how many did not.
fn summary(suite: &Suite, verdicts: &[Verdict], coverage: Option<&Coverage>) -> String {
    let mut text = String::new();
    for fault in &suite.faults {
        text.push_str(&format!("\n{fault}\n"));
    }
    for verdict in verdicts {
        let Some(report) = &verdict.report else { continue };
        text.push_str(&format!("\n--- {}: {}\n{report}\n", verdict.file, verdict.name));
        if !verdict.output.is_empty() {
            text.push_str(&format!("--- output\n{}\n", verdict.output.trim_end()));
        }
    }
    if let Some(coverage) = coverage {
        let rows = coverage.summary().into_iter().map(|covered| {
            let percent = format!("{}%", covered.run * 100 / covered.lines.max(1));
            vec![
                covered.file,
                covered.lines.to_string(),
                covered.run.to_string(),
                percent,
                covered.missed,
            ]
        });
        let grid = table::grid(&["FILE", "LINES", "RUN", "COVERED", "MISSED"], rows.collect());
        text.push_str(&format!("\n{grid}"));
    }
    let of = |outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let parts = [
        (of(Outcome::Passed), "passed"),
        (of(Outcome::Failed), "failed"),
        (of(Outcome::Broken), "broken"),
        (suite.faults.len(), "unreadable"),
    ];
    let parts = parts.iter().filter(|(count, word)| *count > 0 || *word == "passed");
    let parts: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
    text.push_str(&format!("\n{}\n", parts.join(", ")));
    text
}
