//! `hoist jobs metrics`.

use std::path::PathBuf;

use clap::Args;

use super::with_session;
use crate::cli::App;
use crate::error::Result;

/// Tell the numbers of all jobs for Prometheus: runs, failures, durations, last success, bytes reclaimed
///
/// With --write they go to a file, the whole at once, such as one in the directory of node_exporter's textfile collector: a file that
/// ends in .prom. `hoist serve jobs` renews such a file by itself, and answers to Prometheus.
#[derive(Args)]
pub(in crate::cli) struct Metrics {
    /// Write them to this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl Metrics {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        with_session(app, |session| {
            let host = session.host()?;
            let Some(file) = &self.write else {
                session.print(&host.job_metrics()?);
                return Ok(());
            };
            let shown = file.display().to_string();
            session.perform("fs::write", &[shown.as_str().into(), "".into()], || {
                match session.plan() {
                    Some(plan) => plan.record("fs::write", &shown, ""),
                    None => host.write_job_metrics(file)?,
                }
                Ok(())
            })
        })
    }
}
