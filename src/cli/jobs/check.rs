//! `hoist jobs check FILE…`.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::words::shown;
use crate::bindings::job::{checked, zone_name};
use crate::bindings::{Console, Format};
use crate::cli::App;
use crate::cli::run::Told;
use crate::config::JobHeader;
use crate::error::{Error, Result};
use crate::script::runner::Source;

/// How many times to come are told.
const TIMES: usize = 5;

/// Tell what the header of a script means: the schedule with the next five times, what it waits for, and who is told; nothing is run
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
    header: JobHeader,
    times: Vec<Timestamp>,
}

impl Checked {
    fn read(file: &Path) -> Result<Checked> {
        let source = Source::file(file)?;
        let header = source.header()?.job;
        if header.schedule.is_none() && header.on.is_empty() {
            return Err(Error::invalid("its header has no schedule, and waits for nothing")
                .hint("say when it is to run by a line such as `//! schedule: 0 3 * * *` or `//! on: image.pull`")
                .during(format!("check the job `{}`", source.name)));
        }
        let after = |time: Timestamp| header.schedule.as_ref().and_then(|schedule| schedule.next(time));
        let times = std::iter::successors(after(Timestamp::now()), |time| after(*time));
        Ok(Checked {
            file: source.name,
            times: times.take(TIMES).collect(),
            header,
        })
    }

    fn text(&self) -> String {
        let mut text = match &self.header.schedule {
            Some(schedule) => format!("{}: {} ({})\n", self.file, schedule.words(), zone_name(schedule)),
            None => format!("{}: on events\n", self.file),
        };
        let zone = self.header.schedule.as_ref().map(|schedule| schedule.zone().clone());
        let zone = zone.unwrap_or(TimeZone::UTC);
        for time in &self.times {
            text.push_str(&format!("  {}\n", shown(*time, &zone)));
        }
        for trigger in &self.header.on {
            text.push_str(&format!("  on {trigger}: {}\n", trigger.words()));
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
