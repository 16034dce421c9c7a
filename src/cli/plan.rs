//! `hoist plan FILE` and `hoist apply PLAN`.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::App;
use super::run::Told;
use crate::bindings::planning::{Blueprint, Step};
use crate::bindings::{Console, Format, table};
use crate::error::{Context as _, Error, Result};
use crate::model::ByteSize;
use crate::script::apply::{apply, blueprint};
use crate::script::runner::{self, Source};

/// No plan larger than this is read.
const LARGEST: u64 = 64 << 20;

/// Write down what a script would do, to be looked at and done later by `hoist apply`
///
/// The script runs as under --dry-run; nothing is changed. Each step is listed with what it is done to, why, and how many bytes it is
/// about, and is pinned to things as they are: ids of images, states of containers, digests at registries. What depends on the
/// outcome of a command that was not run cannot be planned and is refused, with its place in the script.
#[derive(Args)]
pub(super) struct Plan {
    /// Write the plan to this file, as JSON
    #[arg(long, short, value_name = "PLAN")]
    output: Option<PathBuf>,

    /// The script; - for standard input
    #[arg(value_name = "FILE")]
    file: String,

    /// The script's arguments; those that begin with - after --
    #[arg(value_name = "ARGS", trailing_var_arg = true)]
    args: Vec<String>,
}

/// Do exactly what a plan says, in its order
///
/// Nothing is done if anything the plan relies on has moved: a tag means another image, a container was restarted or is gone, an image
/// is in use now. All that differs is named.
#[derive(Args)]
pub(super) struct Apply {
    /// The plan that `hoist plan` wrote; - for standard input
    #[arg(value_name = "PLAN")]
    file: String,
}

impl Plan {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let source = match self.file.as_str() {
            "-" => Source::read("<stdin>", std::io::stdin().lock())?,
            file => Source::file(Path::new(file))?,
        };
        let call = format!("hoist plan {} --", self.file);
        let Some(told) = Told::read(app, &source, &call, self.args)? else {
            return Ok(0);
        };
        let session = app.planning_session(told)?;
        let finished = runner::run(&session, &source);
        app.terminal.report(&finished);
        if finished.code != 0 {
            app.terminal
                .talk("no plan was made: the script did not come to its end");
            return Ok(finished.code);
        }
        let plan = blueprint(&session, &source);
        let text = serde_json::to_string_pretty(&plan)
            .map_err(|cause| Error::internal(format!("failed to write the plan: {cause}")))?
            + "\n";
        if let Some(path) = &self.output {
            write(path, &text).during(|| format!("write the plan `{}`", path.display()))?;
        }
        let shown = match session.settings().format {
            Format::Table => summary(&plan),
            Format::Json => text,
            Format::JsonLines => lines(&plan)?,
        };
        // A reader that has seen enough is no error.
        let _ = app.terminal.data(&shown);
        if let Some(path) = &self.output {
            let name = path.display();
            app.terminal
                .talk(&format!("written to `{name}`: `hoist apply {name}` does exactly this"));
        }
        Ok(0)
    }
}

impl Apply {
    pub(super) fn execute(&self, app: &App) -> Result<u8> {
        let what = || format!("read the plan `{}`", self.file);
        let mut text = String::new();
        let read = match self.file.as_str() {
            "-" => std::io::stdin().lock().take(LARGEST).read_to_string(&mut text),
            file => std::fs::File::open(file).and_then(|file| file.take(LARGEST).read_to_string(&mut text)),
        };
        read.during(what)?;
        let plan = Blueprint::read(&text).map_err(|error| error.during(what()))?;
        let session = app.session(Told::default())?;
        let applied = apply(&session, &plan);
        session.remove_temporaries();
        if let Some(plan) = session.plan() {
            app.terminal.show_plan(plan);
        }
        match applied {
            Ok(()) => Ok(0),
            Err(error) => {
                app.terminal.error(&error);
                Ok(error.kind().exit_code().max(1))
            }
        }
    }
}

/// Whole or not at all, and for nobody else to read: it may hold what a script writes into files.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = dir.join(format!(".{name}.{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let moved = written.and_then(|()| std::fs::rename(&aside, path));
    moved.inspect_err(|_| drop(std::fs::remove_file(&aside)))
}

fn summary(plan: &Blueprint) -> String {
    if plan.actions.is_empty() {
        return "nothing is to be done\n".to_owned();
    }
    let row = |(at, step): (usize, &Step)| {
        vec![
            (at + 1).to_string(),
            step.function.clone(),
            step.target.clone(),
            step.size.map_or_else(String::new, |size| ByteSize(size).to_string()),
            why(step),
        ]
    };
    let rows = plan.actions.iter().enumerate().map(row).collect();
    table::grid(&["STEP", "ACTION", "TARGET", "SIZE", "WHY"], rows)
}

/// The reason of a report, or else the place in the script.
fn why(step: &Step) -> String {
    let place = match (&step.script, step.line) {
        (Some(script), Some(line)) => format!("{script}:{line}"),
        _ => String::new(),
    };
    step.reason.clone().unwrap_or(place)
}

fn lines(plan: &Blueprint) -> Result<String> {
    let line = |step: &Step| {
        let text = serde_json::to_string(step);
        text.map(|text| text + "\n")
            .map_err(|cause| Error::internal(format!("failed to write the plan: {cause}")))
    };
    plan.actions.iter().map(line).collect()
}
