//! `hoist jobs …`.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::App;
use super::run::Told;
use crate::bindings::{Console, Format};
use crate::error::{Context as _, Error, Result};
use crate::model::Schedule;
use crate::script::runner::Source;

/// How many times to come are told.
const TIMES: usize = 5;

/// Scripts that say in their header when they are to run
#[derive(Subcommand)]
pub(super) enum Jobs {
    /// Tell what the schedule in the header of a script means, and the next five times; nothing is run
    Check {
        /// The scripts
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

impl Jobs {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let Jobs::Check { files } = self;
        let session = app.session(Told::default())?;
        let found = files
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
    times: Vec<Timestamp>,
}

impl Checked {
    fn read(file: &std::path::Path) -> Result<Checked> {
        let source = Source::file(file)?;
        let Some(schedule) = source.header()?.schedule else {
            return Err(Error::invalid("its header has no schedule")
                .hint("say when it is to run by a line such as `//! schedule: 0 3 * * *`"))
            .during(|| format!("check the job `{}`", source.name));
        };
        let first = schedule.next(Timestamp::now());
        let times = std::iter::successors(first, |time| schedule.next(*time))
            .take(TIMES)
            .collect();
        Ok(Checked {
            file: source.name,
            schedule,
            times,
        })
    }

    fn zone(&self) -> String {
        self.schedule.zone().iana_name().unwrap_or("local time").to_owned()
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {} ({})\n", self.file, self.schedule.words(), self.zone());
        for time in &self.times {
            text.push_str(&format!("  {}\n", shown(*time, self.schedule.zone())));
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "file": self.file,
            "schedule": self.schedule.text(),
            "timezone": self.zone(),
            "description": self.schedule.words(),
            "next": self.times.iter().map(Timestamp::to_string).collect::<Vec<_>>(),
        })
    }
}

/// `Mon 2026-11-23 03:00:00 +01:00`.
fn shown(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%a %Y-%m-%d %H:%M:%S %:z")
        .to_string()
}
