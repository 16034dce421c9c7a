//! `hoist jobs list|show|next|history|logs|why`.

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::with_session;
use super::words::{reclaimed, relative, shown, took};
use crate::bindings::job::{job_list, job_map, next_times, run_list, time_list, zone_name};
use crate::bindings::{Console, Format, Session, table};
use crate::cli::App;
use crate::error::{Context as _, Result};
use crate::host::{Host, Job, JobRun, RunOutcome, Told};
use crate::model::{Timetable, Trigger};

/// Tell all jobs: what they are to do when, and what became of the last run
#[derive(Args)]
pub(in crate::cli) struct List {}

/// Tell all there is to know of a job
#[derive(Args)]
pub(in crate::cli) struct Show {
    /// The job
    #[arg(value_name = "NAME")]
    name: String,
}

/// Tell the next times of a job on this machine
#[derive(Args)]
pub(in crate::cli) struct Next {
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value = "5")]
    count: usize,

    /// The job
    #[arg(value_name = "NAME")]
    name: String,
}

/// Tell what became of the runs of a job, or of all, the newest first
#[derive(Args)]
pub(in crate::cli) struct History {
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value = "20")]
    count: u32,

    /// The job
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Print what a run of a job wrote: the last one, or the one of that number
#[derive(Args)]
pub(in crate::cli) struct Logs {
    /// The job
    #[arg(value_name = "NAME")]
    name: String,

    /// The number of the run
    #[arg(value_name = "RUN")]
    run: Option<i64>,
}

/// Tell why a job runs or does not: its next time, what became of the last one, and what is in the way
#[derive(Args)]
pub(in crate::cli) struct Why {
    /// The job
    #[arg(value_name = "NAME")]
    name: String,
}

/// A job with what its header says.
struct Seen {
    job: Job,
    table: Option<Timetable>,
    on: Vec<Trigger>,
    problem: Option<String>,
    last: Option<JobRun>,
}

impl Seen {
    fn read(host: &Host, job: Job) -> Result<Seen> {
        let header = job.header();
        let problem = header.as_ref().err().map(ToString::to_string);
        let header = header.map(|header| header.job).unwrap_or_default();
        Ok(Seen {
            table: job.timetable(&header),
            on: header.on,
            last: host.last_job_run(&job)?,
            problem,
            job,
        })
    }

    fn schedule(&self) -> String {
        let schedule = self.table.as_ref().map(|table| table.schedule().text().to_owned());
        let parts: Vec<String> = schedule.into_iter().chain(self.waits()).collect();
        match parts.is_empty() {
            true => "by order".to_owned(),
            false => parts.join(", "),
        }
    }

    /// `on image.pull, disk>80%`; `None` if it waits for nothing.
    fn waits(&self) -> Option<String> {
        let names: Vec<String> = self.on.iter().map(Trigger::name).collect();
        (!names.is_empty()).then(|| format!("on {}", names.join(", ")))
    }

    fn zone(&self) -> TimeZone {
        let zone = |table: &Timetable| table.schedule().zone().clone();
        self.table.as_ref().map_or(TimeZone::UTC, zone)
    }

    /// The next time in words.
    fn next(&self, now: Timestamp) -> String {
        let time = match (&self.problem, self.job.enabled(), &self.table) {
            (Some(_), _, _) => return "never: the file is wrong".to_owned(),
            (_, false, _) => return "disabled".to_owned(),
            (_, _, None) => return self.waits().unwrap_or_else(|| "by order".to_owned()),
            (_, _, Some(table)) => match table.times(now).next() {
                None => "never again".to_owned(),
                Some(time) => {
                    let zoned = time.to_zoned(self.zone());
                    let zone = zone_name(table.schedule());
                    format!("{} ({} {zone})", relative(time, now), zoned.strftime("%a %d %b %H:%M"))
                }
            },
        };
        self.waits().map_or(time.clone(), |waits| format!("{time}, or {waits}"))
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let last = self.last.as_ref();
        let when = last.map(|run| format!("{}, {}", run.result(), relative(run.started(), now)));
        vec![
            self.job.name().to_owned(),
            self.schedule(),
            self.next(now),
            when.unwrap_or_else(|| "never ran".to_owned()),
            last.map(|run| took(run, now)).unwrap_or_default(),
            last.map(reclaimed).unwrap_or_default(),
        ]
    }
}

impl List {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let host = session.host()?;
            let jobs = host.jobs()?;
            if session.settings().format != Format::Table {
                return print(
                    session,
                    &table::show(&job_list(host, &jobs)?, session.settings().format)?,
                );
            }
            let now = Timestamp::now();
            let seen = jobs.into_iter().map(|job| Seen::read(host, job));
            let rows = seen.map(|seen| Ok(seen?.row(now))).collect::<Result<Vec<_>>>()?;
            let header = ["NAME", "SCHEDULE", "NEXT", "LAST", "DURATION", "RECLAIMED"];
            print(session, &table::grid(&header, rows))
        })
    }
}

impl Show {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let host = session.host()?;
            let map = job_map(host, &host.job(&self.name)?)?;
            print(session, &table::show(&map, session.settings().format)?)
        })
    }
}

impl Next {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let job = session.host()?.job(&self.name)?;
            let times = next_times(&job, self.count)?;
            if session.settings().format != Format::Table {
                return print(session, &table::show(&time_list(&times), session.settings().format)?);
            }
            let zone = job.header()?.job.schedule.map(|schedule| schedule.zone().clone());
            let zone = zone.unwrap_or(TimeZone::UTC);
            let lines = times.iter().map(|time| format!("{}\n", shown(*time, &zone)));
            print(session, &lines.collect::<String>())
        })
    }
}

impl History {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let runs = session.host()?.job_runs(self.name.as_deref(), self.count)?;
            if session.settings().format != Format::Table {
                return print(session, &table::show(&run_list(&runs)?, session.settings().format)?);
            }
            let now = Timestamp::now();
            let header = [
                "RUN",
                "JOB",
                "STARTED",
                "TRIGGER",
                "RESULT",
                "DURATION",
                "RECLAIMED",
                "ERROR",
            ];
            let rows = runs.iter().map(|run| history_row(run, now)).collect();
            print(session, &table::grid(&header, rows))
        })
    }
}

fn history_row(run: &JobRun, now: Timestamp) -> Vec<String> {
    let error = run.error().map(|error| {
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        match (error["file"].as_str(), error["line"].as_u64()) {
            (Some(file), Some(line)) => format!("{file}:{line}: {message}"),
            _ => message,
        }
    });
    let notices = run.notices();
    let untold = notices.iter().filter(|told| told.error.is_some());
    let untold = untold.map(|told| format!("{} was not told", told.to));
    let errors: Vec<String> = error.into_iter().chain(untold).collect();
    let started = run.started().to_zoned(TimeZone::system());
    vec![
        run.id().to_string(),
        run.job().to_owned(),
        started.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        trigger(run),
        run.result(),
        took(run, now),
        reclaimed(run),
        errors.join("; "),
    ]
}

impl Logs {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let host = session.host()?;
            let run = host.job_run(&self.name, self.run)?;
            let log = host.job_log(&run)?;
            app.terminal.raw(false, &log).during(|| "write the log")
        })
    }
}

impl Why {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let host = session.host()?;
            let seen = Seen::read(host, host.job(&self.name)?)?;
            let now = Timestamp::now();
            let mut lines = vec![format!("next: {}", seen.next(now))];
            if let Some(table) = &seen.table {
                let zone = zone_name(table.schedule());
                lines.push(format!(
                    "schedule: {} ({}, {zone})",
                    table.schedule().text(),
                    table.schedule().words()
                ));
            }
            lines.extend(seen.on.iter().map(|on| format!("on: {on} ({})", on.words())));
            lines.extend(seen.problem.iter().map(|problem| format!("file: {problem}")));
            lines.push(match &seen.last {
                None => "last run: none yet".to_owned(),
                Some(run) => last_run(run, &seen.zone(), now),
            });
            let runs = host.job_runs(Some(&self.name), 1)?;
            lines.extend(
                runs.iter()
                    .filter(|run| !run.has_begun())
                    .map(|run| left_out(run, &seen.zone())),
            );
            print(session, &(lines.join("\n") + "\n"))
        })
    }
}

fn last_run(run: &JobRun, zone: &TimeZone, now: Timestamp) -> String {
    let began = format!("{} ({})", shown(run.started(), zone), relative(run.started(), now));
    let mut text = format!("last run: {} by {}, {began}: {}", run.id(), trigger(run), run.result());
    if run.outcome() == RunOutcome::Running {
        text.push_str(", and holds the lock");
    }
    if let Some(message) = run
        .error()
        .and_then(|error| error["message"].as_str().map(str::to_owned))
    {
        text.push_str(&format!("\n  {message}"));
    }
    for Told { to, error } in run.notices() {
        text.push_str(&match error {
            None => format!("\n  told {to}"),
            Some(error) => format!("\n  {to} could not be told: {error}"),
        });
    }
    text
}

/// `manual`, `image.pull (app:1)`.
fn trigger(run: &JobRun) -> String {
    let name = run.cause().name().to_owned();
    run.reason().map_or(name.clone(), |reason| format!("{name} ({reason})"))
}

fn left_out(run: &JobRun, zone: &TimeZone) -> String {
    let since = run
        .scheduled()
        .map(|time| format!(", first that of {}", shown(time, zone)));
    let why = match run.outcome() {
        RunOutcome::Missed => "nobody was there to run it: is `hoist serve jobs` running, or a timer installed?",
        _ => "the run before went on, and the header says no other `overlap`",
    };
    format!("since then: {}{}: {why}", run.result(), since.unwrap_or_default())
}

fn print(session: &Session, text: &str) -> Result<()> {
    session.print(text);
    Ok(())
}
