//! `hoist jobs check FILE…`.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::words::shown;
use crate::bindings::job::{checked, zone_name};
use crate::bindings::{Console, Format};
use crate::cli::App;
use crate::cli::run::Told;
use crate::config::JobHeader;
use crate::error::{Error, Result};
use crate::model::Schedule;
use crate::script::runner::Source;

/// How many times to come are told.
const TIMES: usize = 5;

/// Tell what the schedule in the header of a script means, and the next five times; nothing is run
#[derive(Args)]
pub(in crate::cli) struct Check {
    /// The scripts
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Check {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let found = self
            .files
            .iter()
            .map(|file| Checked::read(file))
            .collect::<Result<Vec<_>>>()?;
        let shown = match session.settings().format {
            Format::Table => found.iter().map(Checked::text).collect::<Vec<_>>().join("\n"),
            Format::Json => format!("{:#}\n", Value::from_iter(found.iter().map(Checked::json))),
            Format::JsonLines => found.iter().map(|checked| format!("{}\n", checked.json())).collect(),
        };
        let _ = app.terminal.data(&shown);
        Ok(0)
    }
}

/// A script with its schedule.
struct Checked {
    file: String,
    schedule: Schedule,
    header: JobHeader,
    times: Vec<Timestamp>,
}

impl Checked {
    fn read(file: &Path) -> Result<Checked> {
        let source = Source::file(file)?;
        let header = source.header()?.job;
        let Some(schedule) = header.schedule.clone() else {
            return Err(Error::invalid("its header has no schedule")
                .hint("say when it is to run by a line such as `//! schedule: 0 3 * * *`")
                .during(format!("check the job `{}`", source.name)));
        };
        let first = schedule.next(Timestamp::now());
        let times = std::iter::successors(first, |time| schedule.next(*time));
        Ok(Checked {
            file: source.name,
            times: times.take(TIMES).collect(),
            schedule,
            header,
        })
    }

    fn text(&self) -> String {
        let zone = zone_name(&self.schedule);
        let mut text = format!("{}: {} ({zone})\n", self.file, self.schedule.words());
        for time in &self.times {
            text.push_str(&format!("  {}\n", shown(*time, self.schedule.zone())));
        }
        for notify in &self.header.notify {
            text.push_str(&format!("  tells {notify}\n"));
        }
        text
    }

    fn json(&self) -> Value {
        checked(&self.file, &self.header, &self.times)
    }
}
