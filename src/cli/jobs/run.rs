//! `hoist jobs run`, and the process of a run.

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::bindings::{Console, Session};
use crate::cli::App;
use crate::cli::run::Told;
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::{Cause, Claim, Host, JobRun, RunOutcome, RunReport};
use crate::model::Context;
use crate::script::runner::{self, Source};

/// A timer may come this much before the time it stands for.
const EARLY: SignedDuration = SignedDuration::from_secs(2);

/// Run a job now, as its header says, and wait for its end
///
/// What it prints is shown, and kept for `hoist jobs logs`. The exit code is the script's. A job may only read unless its header
/// allows more, by `//! allow:`.
#[derive(Args)]
pub(in crate::cli) struct Run {
    /// Run it only if it is due by its schedule or by what happened, as timers do; a run that is not due is no error
    #[arg(long)]
    scheduled: bool,

    /// When it was found to be due
    #[arg(long, value_name = "TIME", hide = true, requires = "scheduled")]
    at: Option<Timestamp>,

    /// Show nothing of what it prints
    #[arg(long)]
    silent: bool,

    /// The job
    #[arg(value_name = "NAME")]
    name: String,
}

impl Run {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        if session.plan().is_some() {
            return dry_run(app, &session, &self.name);
        }
        let call = [Value::from(self.name.as_str())];
        session.perform("job::run", &call, || self.run(app, &session))
    }

    fn run(&self, app: &App, session: &Session) -> Result<u8> {
        let (host, ctx) = (session.host()?, session.context());
        let ticket = match self.claim(host, &ctx)? {
            Claim::Begun(ticket) => ticket,
            Claim::NotDue => return Ok(0),
            Claim::Skipped(run) => {
                app.terminal
                    .talk(&format!("the job `{}` runs already: {}", self.name, run.result()));
                return Ok(if self.scheduled { 0 } else { Kind::InUse.exit_code() });
            }
        };
        let run = ticket.watch(host, &ctx, |bytes| {
            if !self.silent {
                let _ = app.terminal.raw(false, bytes);
            }
        })?;
        Ok(self.conclude(app, &run))
    }

    fn claim(&self, host: &Host, ctx: &Context) -> Result<Claim> {
        if !self.scheduled {
            return host.claim_for(ctx, &self.name, &Cause::Manual);
        }
        if let Some(at) = self.at {
            return host.claim_due(ctx, &self.name, at);
        }
        loop {
            let now = Timestamp::now();
            let claim = host.claim_due(ctx, &self.name, now)?;
            let wait = match claim {
                Claim::NotDue => self.delay(host, now)?,
                _ => None,
            };
            match wait {
                None => return Ok(claim),
                Some(wait) => ctx.sleep(wait)?,
            }
        }
    }

    /// How long it is to the run that a timer stands for: the machine's share of the jitter, and what the timer is early.
    fn delay(&self, host: &Host, now: Timestamp) -> Result<Option<Duration>> {
        let job = host.job(&self.name)?;
        let header = job.header()?.job;
        let Some(table) = job.timetable(&header).filter(|_| job.enabled()) else {
            return Ok(None);
        };
        let shift = table.shift();
        let wait = table.look(job.seen(), now).next.map(|next| next.duration_since(now));
        let wait = wait.filter(|wait| *wait <= shift + EARLY);
        Ok(wait.and_then(|wait| Duration::try_from(wait).ok()))
    }

    fn conclude(&self, app: &App, run: &JobRun) -> u8 {
        if run.outcome() != RunOutcome::Ok && (self.silent || run.code().is_none()) {
            let error = run.error().unwrap_or_default();
            let message = error["message"].as_str().unwrap_or_default();
            app.terminal
                .talk(&format!("the job `{}` ended: {}: {message}", self.name, run.result()));
        }
        let own = run.code().and_then(|code| u8::try_from(code).ok());
        match run.outcome() {
            RunOutcome::Timeout => Kind::Timeout.exit_code(),
            RunOutcome::Cancelled | RunOutcome::Replaced => Kind::Cancelled.exit_code(),
            _ => own.unwrap_or(1),
        }
    }
}

/// What the job would do, with the rights that it would have.
fn dry_run(app: &App, session: &Session, name: &str) -> Result<u8> {
    let job = session.host()?.job(name)?;
    let source = Source::file(job.file())?;
    let words = job.args(&source.header()?.job);
    let Some(told) = Told::read(app, &source, &format!("hoist jobs run {name}"), words)? else {
        return Ok(0);
    };
    let mut config = app.config()?;
    config.permissions.header = Some(Vec::new());
    let session = app.session_on(config, told, None, false)?;
    let finished = runner::run(&session, &source);
    Ok(app.conclude(&session, &finished))
}

/// The process of a run, which `hoist jobs run` starts.
#[derive(Args)]
pub(in crate::cli) struct Process {
    run: i64,
}

impl Process {
    pub(in crate::cli) fn execute(&self, app: &App) -> Result<u8> {
        let host = Host::open(&app.config()?, None)?;
        let job = host.own_run(self.run)?;
        let mut report = RunReport::default();
        let ran = self.script(app, &host, job.name(), &mut report);
        if let Err(error) = &ran {
            report.error =
                Some(json!({ "kind": error.kind().name(), "message": error.message(), "hint": error.way_out() }));
        }
        host.report_run(job.name(), self.run, &report)?;
        ran
    }

    fn script(&self, app: &App, host: &Host, name: &str, report: &mut RunReport) -> Result<u8> {
        let job = host.job(name)?;
        let source = Source::file(job.file())?;
        let words = job.args(&source.header()?.job);
        let told = Told::read(app, &source, &format!("hoist jobs add {} --", source.name), words)?;
        let told = told
            .ok_or_else(|| Error::invalid("its arguments ask for help"))
            .during(|| format!("run `{name}`"))?;
        let mut config = app.config()?;
        config.run = Some(self.run);
        // Nothing but reading, unless the header says what it needs.
        config.permissions.header = Some(Vec::new());
        let session = app.session_on(config, told, None, false)?;
        let finished = runner::run(&session, &source);
        report.error = finished.diagnostic.as_ref().map(|diagnostic| diagnostic.json());
        report.effects = session.host()?.effects();
        Ok(app.conclude(&session, &finished))
    }
}
