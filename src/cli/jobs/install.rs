//! `hoist jobs install`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::with_session;
use crate::bindings::Console as _;
use crate::cli::App;
use crate::error::{Context as _, Error, Result};
use crate::host::{Host, Job};

/// Where root's units and crontabs are.
const UNITS: &str = "/etc/systemd/system";
const CRONTABS: &str = "/etc/cron.d";

/// Have systemd or cron run jobs, in the place of `hoist serve jobs`
///
/// Prints what it takes: units of a timer for each job, or a file of lines for cron. With --write it is written to where it belongs. What
/// runs a job claims it first, so that several may drive the same job. Jobs that wait for events (`//! on:`) are looked at once a minute, where
/// `hoist serve jobs` runs them at once.
#[derive(Args)]
pub(in crate::cli) struct Install {
    /// Units of systemd
    #[arg(long, required_unless_present = "cron", conflicts_with = "cron")]
    systemd: bool,

    /// A file for /etc/cron.d
    #[arg(long)]
    cron: bool,

    /// Write it: to /etc/systemd/system or /etc/cron.d, or to this directory
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    write: Option<Option<PathBuf>>,

    /// The jobs; all without this
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Install {
    pub(in crate::cli) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let host = session.host()?;
            let files = self.files(host, &self.jobs(host)?)?;
            let Some(place) = &self.write else {
                let dir = self.usual();
                let shown = files
                    .iter()
                    .map(|(name, text)| format!("# {}\n{text}", dir.join(name).display()));
                session.print(&shown.collect::<Vec<_>>().join("\n"));
                return Ok(());
            };
            let dir = place.clone().unwrap_or_else(|| self.usual().to_owned());
            for (name, text) in &files {
                let path = dir.join(name);
                let shown = path.display().to_string();
                session.perform("fs::write", &[shown.as_str().into(), text.as_str().into()], || {
                    match session.plan() {
                        Some(plan) => plan.record("fs::write", &shown, ""),
                        None => std::fs::write(&path, text).during(|| format!("write `{shown}`"))?,
                    }
                    Ok(())
                })?;
                session.print(&format!("{}\n", path.display()));
            }
            if self.systemd && session.plan().is_none() {
                let timers = files
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .filter(|name| name.ends_with(".timer"));
                let timers = timers.collect::<Vec<_>>().join(" ");
                let start = format!("systemctl daemon-reload && systemctl enable --now {timers}");
                app.terminal.talk(&format!("start them by: {start}"));
            }
            Ok(())
        })
    }

    fn usual(&self) -> &'static Path {
        Path::new(if self.systemd { UNITS } else { CRONTABS })
    }

    /// Those that are named, or all that run by themselves.
    fn jobs(&self, host: &Host) -> Result<Vec<Job>> {
        if !self.names.is_empty() {
            return self.names.iter().map(|name| host.job(name)).collect();
        }
        let jobs = host.jobs()?;
        let is_timed = |job: &Job| {
            let header = job.header().map(|header| header.job);
            header.is_ok_and(|header| header.schedule.is_some() || !header.on.is_empty())
        };
        Ok(jobs.into_iter().filter(is_timed).collect())
    }

    /// The names of files, and what is in them.
    fn files(&self, host: &Host, jobs: &[Job]) -> Result<Vec<(String, String)>> {
        if jobs.is_empty() {
            let error = Error::not_found("there is no job that runs by itself");
            return Err(error.hint("`hoist jobs add FILE` makes a job of a script"));
        }
        let program = std::fs::read_link("/proc/self/exe").during(|| "find this program")?;
        if self.systemd {
            let units = jobs.iter().map(|job| host.job_units(job, &program));
            let units = units.collect::<Result<Vec<_>>>()?;
            return Ok(units.into_iter().flatten().map(|unit| (unit.name, unit.text)).collect());
        }
        let lines = jobs.iter().map(|job| host.job_cron_line(job, &program));
        let lines: String = lines.collect::<Result<Vec<_>>>()?.concat();
        Ok(vec![("hoist-jobs".to_owned(), lines)])
    }
}
