//! Further commands in a running container.

use serde::Deserialize;

use super::Container;
use super::run::{Run, Sink, collecting, shown};
use crate::error::{Error, Result};
use crate::model::{Bytes, Command, Context, Pairs, TimeSpan, format_duration};
use crate::runtime::{self, Act, ExecRequest, Stdin};

/// Options of a container's `exec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecOptions {
    /// Environment variables over the container's.
    pub env: Pairs,
    /// The directory the command starts in; the container's otherwise.
    pub workdir: Option<String>,
    /// `name`, `uid` or either with `:group`; the container's otherwise.
    pub user: Option<String>,
    /// What the command reads.
    pub stdin: Option<Bytes>,
    /// The command has a terminal.
    pub tty: bool,
    /// A code other than zero is an error (the default).
    pub check: Option<bool>,
    /// Pass output through as well.
    pub stream: bool,
    /// How long it may run.
    pub timeout: Option<TimeSpan>,
}

impl ExecOptions {
    pub(super) fn request(&self, args: Vec<String>) -> ExecRequest {
        let env = self.env.0.iter().map(|(name, value)| format!("{name}={value}"));
        ExecRequest {
            args,
            env: env.collect(),
            cwd: self.workdir.clone().unwrap_or_default(),
            user: self.user.clone().unwrap_or_default(),
            tty: self.tty,
            ..ExecRequest::default()
        }
    }
}

impl Container {
    /// Starts a command inside and returns once it runs; it goes on by itself. Errors: `conflict` unless the container is running;
    /// `not_found` and `denied` for a program that cannot be executed.
    pub fn exec_detached(&self, ctx: &Context, cmd: &Command, options: &ExecOptions) -> Result<()> {
        let command = cmd.words();
        self.now()?.check(Act::Exec)?;
        if self.host.plays("container.exec", self.name(), &command.join(" ")) {
            return Ok(());
        }
        runtime::exec_detached(ctx, &self.bundle(), &options.request(command))
    }

    /// Runs a command inside to its end.
    ///
    /// Errors: `conflict` unless it is running; `exit_status` for a code other than zero, `not_found` and `denied` for a program that
    /// cannot be executed, unless `check` is false (the code is then 127 or 126); `timeout`.
    pub fn exec(&self, ctx: &Context, cmd: &Command, options: &ExecOptions, sink: Sink) -> Result<Run> {
        let command = cmd.words();
        if command.is_empty() {
            return Err(
                Error::invalid("there is no command to run").hint("give an array of words, or one text for the shell")
            );
        }
        self.now()?.check(Act::Exec)?;
        if self.host.plays("container.exec", self.name(), &command.join(" ")) {
            return Ok(Run::simulated(self.id()));
        }
        let request = options.request(command.clone());
        let stdin = options
            .stdin
            .as_ref()
            .map_or(Stdin::Null, |bytes| Stdin::Bytes(bytes.0.clone()));
        let inner = options
            .timeout
            .map_or_else(|| ctx.child(), |limit| ctx.with_timeout(limit.0));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exit = collecting(&mut stdout, &mut stderr, sink, |output| {
            runtime::exec(&inner, &self.bundle(), &request, stdin, output)
        });
        let check = options.check.unwrap_or(true);
        let exit = exit.map_err(|error| match (&options.timeout, inner.owns_timeout(&error)) {
            (Some(limit), true) => {
                let limit = format_duration(limit.0);
                Error::timeout(format!(
                    "command `{}` took longer than its timeout of {limit}",
                    shown(&command)
                ))
            }
            _ => error,
        });
        let run = match exit {
            Err(error) => return Run::not_executed(self.id(), error, check, sink),
            Ok(exit) => self.run_of(&exit, stdout, stderr),
        };
        if check { run.checked(&command) } else { Ok(run) }
    }
}
