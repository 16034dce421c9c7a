//! `hoist serve …`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::run::Told;
use super::{App, duration};
use crate::bindings::{Console, Level, Session};
use crate::error::{Error, Kind, Result};
use crate::model::{ByteSize, Context, TimeSpan};
use crate::server::jobs::{Scheduler, SchedulerOptions};
use crate::server::registry::{self, RegistryOptions, TlsOption};

/// Serve the store to other programs until this one is stopped
#[derive(Subcommand)]
pub(super) enum Serve {
    Registry(Registry),
    Jobs(Jobs),
}

/// Run jobs when they are due, as `hoist jobs add` made them
///
/// It stays in the foreground, and is content without any job. Jobs that come, go or change are seen at once, scripts that change within
/// a minute; SIGHUP has all of them read anew. SIGTERM and Ctrl-C have it wait for what runs, and a second one asks that to end, too.
/// Under systemd it says when it is ready and, where the unit has WatchdogSec=, that it does not hang; in a container it may be the first
/// process. What --metrics tells is about jobs alone, and asks for no password: it is told to this machine, unless ADDRESS says otherwise.
#[derive(Args)]
pub(super) struct Jobs {
    /// Run at most so many at the same time; others wait
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,

    /// Answer to Prometheus at http://ADDRESS/metrics; prints the URL
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:9469",
    )]
    metrics: Option<String>,

    /// Keep the same numbers in a file, such as one for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
}

/// Serve the images of the store as a registry
///
/// The repository in an address is what one would write for the image: `debian`, `library/debian` and `docker.io/library/debian` are
/// the same. What is pushed is in `image::list` at once, if it is an image for this machine. Prints the registry's URL once it
/// listens; Ctrl-C or SIGTERM stops it, after requests under way have ended.
#[derive(Args)]
pub(super) struct Registry {
    /// Address and port; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    listen: String,

    /// Take pushes
    #[arg(long)]
    write: bool,

    /// Take deletions
    #[arg(long)]
    delete: bool,

    /// Ask for a user of this file, as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE")]
    auth: Option<PathBuf>,

    /// Encrypt, with a certificate and its key in PEM files
    #[arg(long, num_args = 2, value_names = ["CERT", "KEY"])]
    tls: Vec<PathBuf>,

    /// Stand before this registry, such as docker.io: hand out what it has, and keep it
    ///
    /// Who we are there is what Docker, Podman and `hoist registry login` keep. Blobs are handed on while they come, and verified.
    /// When the registry gives no answer, what is kept is handed out.
    #[arg(long, value_name = "REGISTRY", conflicts_with_all = ["write", "delete"])]
    proxy: Option<String>,

    /// With --proxy: ask again after this time what a tag stands for (default 1m)
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "proxy")]
    ttl: Option<Duration>,

    /// Refuse pushes beyond this size of all that was pushed, such as 20GiB; with --proxy, keep no more than this
    #[arg(long, value_name = "SIZE")]
    quota: Option<String>,

    /// Forget uploads nobody goes on with, and blobs no manifest came to name, after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
    expiry: Duration,
}

impl Serve {
    /// Whether it sees to signals itself.
    pub(super) fn hears_signals(&self) -> bool {
        matches!(self, Serve::Jobs(_))
    }

    pub(super) fn execute(&self, app: &App) -> Result<u8> {
        match self {
            Serve::Registry(registry) => registry.execute(app),
            Serve::Jobs(jobs) => jobs.execute(app),
        }
    }
}

impl Jobs {
    fn execute(&self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        if let Some(plan) = session.plan() {
            let names = session.host()?.jobs()?;
            names
                .iter()
                .for_each(|job| plan.record("job::run", job.name(), "when it is due"));
            app.terminal.show_plan(plan);
            return Ok(0);
        }
        session.perform("job::run", &[], || match &self.metrics_file {
            Some(file) => session.perform("fs::write", &[file.display().to_string().into(), "".into()], || {
                self.serve(app, &session)
            }),
            None => self.serve(app, &session),
        })
    }

    fn serve(&self, app: &App, session: &Session) -> Result<u8> {
        let options = SchedulerOptions {
            parallel: self.parallel.into(),
            metrics: self.metrics.clone(),
            metrics_file: self.metrics_file.clone(),
        };
        let tell = |text: &str| app.terminal.talk(text);
        let scheduler = Scheduler::new(session.host()?, options, &tell)?;
        if let Some(url) = scheduler.metrics() {
            session.print(&format!("{url}\n"));
        }
        scheduler.run().map(|()| 0)
    }
}

impl Registry {
    fn options(&self) -> Result<RegistryOptions> {
        let tls = match &self.tls[..] {
            [cert, key] => Some(TlsOption {
                cert: cert.clone(),
                key: key.clone(),
            }),
            _ => None,
        };
        Ok(RegistryOptions {
            listen: Some(self.listen.clone()),
            write: self.write,
            delete: self.delete,
            auth: self.auth.clone(),
            tls,
            quota: self.quota.as_deref().map(str::parse::<ByteSize>).transpose()?,
            expiry: Some(TimeSpan(self.expiry)),
            proxy: self.proxy.clone(),
            ttl: self.ttl.map(TimeSpan),
        })
    }

    fn execute(&self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let options = self.options()?;
        if let Some(plan) = session.plan() {
            plan.record("registry::serve", &self.listen, "");
            app.terminal.show_plan(plan);
            return Ok(0);
        }
        let call = json!({ "listen": self.listen, "write": self.write, "delete": self.delete, "proxy": self.proxy });
        session.perform("registry::serve", &[call], || self.serve(app, &session, &options))
    }

    fn serve(&self, app: &App, session: &Session, options: &RegistryOptions) -> Result<u8> {
        let teller = session.clone();
        let tell = move |text: &str| teller.log(Level::Warn, text);
        let server = registry::serve(session.host()?, options, tell)?;
        for warning in server.warnings() {
            app.terminal.talk(&format!("warn: {warning}"));
        }
        session.print(&format!("{}\n", server.url()));
        let ended = wait(&session.context());
        server.stop();
        ended
    }
}

/// Waits until the program is told to stop, which is how a server's work ends.
fn wait(ctx: &Context) -> Result<u8> {
    loop {
        match ctx.sleep(Duration::from_secs(3600)) {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Cancelled => return Ok(0),
            Err(error) => return Err::<u8, Error>(error),
        }
    }
}
