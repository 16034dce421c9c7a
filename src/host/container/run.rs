//! Containers run to their end, or left running.

use std::time::Duration;

use serde::Serialize;

use super::create::Term;
use super::{Container, ContainerOptions, Status};
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::model::{Command, ContainerId, Context, format_duration};
use crate::runtime::{self, Exit, NotExecuted, Output, Remains, RestartPolicy, Stdin};

/// How much of a failed command's last words its error quotes.
const QUOTED_LINES: usize = 5;

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub duration: Duration,
    /// The container it ran in.
    pub id: ContainerId,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
}

/// A command in a message: on one line, control characters told apart.
pub(in crate::host) fn shown(command: &[String]) -> String {
    let mut text = String::new();
    for letter in command.join(" ").chars() {
        match letter.is_control() {
            true => text.extend(letter.escape_default()),
            false => text.push(letter),
        }
    }
    text
}

/// What a command said last, behind a colon; nothing if it said nothing.
pub(in crate::host) fn last_words(stdout: &[u8], stderr: &[u8]) -> String {
    let words = String::from_utf8_lossy(if stderr.is_empty() { stdout } else { stderr });
    let lines: Vec<&str> = words.trim_end().lines().rev().take(QUOTED_LINES).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(": {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n")),
    }
}

/// Where output goes while it comes: the flag is true for standard error.
pub type Sink<'a> = Option<&'a dyn Fn(bool, &[u8])>;

impl Run {
    fn new(id: &ContainerId, exit: &Exit, stdout: Vec<u8>, stderr: Vec<u8>) -> Run {
        let duration = Duration::try_from(exit.finished.duration_since(exit.started)).unwrap_or_default();
        Run {
            code: exit.code,
            stdout,
            stderr,
            duration,
            id: id.clone(),
            oom_killed: exit.oom_killed,
        }
    }

    /// The outcome of a command whose program could not be executed, as a shell has it: the reason on standard error, and the code.
    ///
    /// The error itself if it has another cause, or if `check` asks for it.
    pub(super) fn not_executed(id: &ContainerId, error: Error, check: bool, sink: Sink) -> Result<Run> {
        let Some(cause) = NotExecuted::of(&error).filter(|_| !check) else {
            return Err(error);
        };
        let stderr = format!("{error}\n").into_bytes();
        if let Some(sink) = sink {
            sink(true, &stderr);
        }
        Ok(Run {
            code: cause.code,
            stderr,
            ..Run::simulated(id)
        })
    }

    /// What a dry run takes for the outcome: success, without output.
    pub(super) fn simulated(id: &ContainerId) -> Run {
        let (stdout, stderr) = (Vec::new(), Vec::new());
        Run {
            code: 0,
            stdout,
            stderr,
            duration: Duration::ZERO,
            id: id.clone(),
            oom_killed: false,
        }
    }

    /// The run if its code is zero; an error of kind `exit_status` that quotes its last words otherwise.
    pub(super) fn checked(self, command: &[String]) -> Result<Run> {
        if self.code == 0 {
            return Ok(self);
        }
        let mut message = format!("command `{}` ended with code {}", shown(command), self.code);
        if self.oom_killed {
            message.push_str(", killed for want of memory");
        }
        message.push_str(&last_words(&self.stdout, &self.stderr));
        Err(Error::new(Kind::ExitStatus, message)
            .target(self.id.short())
            .hint("pass `#{check: false}` to get the code instead of an error"))
    }
}

impl Host {
    /// Runs a command in a new container to its end and, unless `keep`, removes the container.
    ///
    /// Errors: those of [`Host::create_container`]; `exit_status` for a code other than zero, `not_found` and `denied` for a program
    /// that cannot be executed, unless `check` is false (the code is then 127 or 126); `timeout` after the option `timeout`;
    /// `cancelled`. The container is gone in all these cases.
    pub fn run_container(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
        sink: Sink,
    ) -> Result<Run> {
        check_policy(options)?;
        let owner = self.hold()?;
        let term = match options.keep {
            true => Term::Lasting(Some(&owner)),
            false => Term::OfOwner(&owner),
        };
        let container = self.make_container(ctx, image, cmd, options, term)?;
        if self.plays("container::run", container.image(), &container.command().join(" ")) {
            return container.finish_simulated_run(options.keep);
        }
        let stdin = options
            .stdin
            .as_ref()
            .map_or(Stdin::Null, |bytes| Stdin::Bytes(bytes.0.clone()));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ran = collecting(&mut stdout, &mut stderr, sink, |output| {
            container.check_owners()?;
            runtime::run(ctx, &container.bundle(), &container.secrets()?, stdin, output)
        });
        let (exit, remains) = match ran {
            Ok((exit, remains)) => (Ok(exit), Some(remains)),
            Err(error) => (Err(error), None),
        };
        let removed = match options.keep {
            true => {
                remains.into_iter().for_each(Remains::wait);
                container.give_up();
                Ok(())
            }
            false => container.remove_after(remains),
        };
        let run = match exit {
            Ok(exit) => finished(
                Run::new(container.id(), &exit, stdout, stderr),
                &exit,
                &container.command(),
                options,
            ),
            Err(error) => Run::not_executed(container.id(), error, options.check.unwrap_or(true), sink),
        }?;
        removed.map(|()| run)
    }

    /// Makes a container and starts it; it goes on when this process ends.
    pub fn run_container_detached(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
    ) -> Result<Container> {
        let owner = self.hold()?;
        let container = self.make_container(ctx, image, cmd, options, Term::Lasting(Some(&owner)))?;
        if self.plays(
            "container::run_detached",
            container.name(),
            &container.command().join(" "),
        ) {
            self.simulate(container.id(), Status::Running);
        } else if let Err(error) = container.launch(ctx) {
            // Nobody has its handle: what could not be started would only be in the way.
            container.remove_now()?;
            return Err(error);
        }
        container.give_up();
        container.reload()
    }
}

/// A container that its caller runs ends with the call.
fn check_policy(options: &ContainerOptions) -> Result<()> {
    match options.restart {
        RestartPolicy::No => Ok(()),
        policy => Err(Error::invalid(format!(
            "the restart policy `{policy}` does not go with a container that is run to its end"
        ))
        .target("restart")
        .hint("make the container with `container::run_detached` or `container::create`")),
    }
}

fn finished(run: Run, exit: &Exit, command: &[String], options: &ContainerOptions) -> Result<Run> {
    if exit.timed_out {
        let limit = options
            .timeout
            .map_or_else(String::new, |span| format!(" of {}", format_duration(span.0)));
        return Err(Error::timeout(format!(
            "command `{}` took longer than its timeout{limit}",
            shown(command)
        ))
        .target(run.id.short()));
    }
    if options.check.unwrap_or(true) {
        run.checked(command)
    } else {
        Ok(run)
    }
}

/// Runs something whose output is collected, and passed on as it comes.
pub(super) fn collecting<T>(
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
    sink: Sink,
    run: impl FnOnce(Output<'_>) -> T,
) -> T {
    let pass_on = |is_error: bool, bytes: &[u8]| {
        if let Some(sink) = sink {
            sink(is_error, bytes);
        }
    };
    run(Output {
        stdout: Box::new(|bytes| {
            stdout.extend_from_slice(bytes);
            pass_on(false, bytes);
        }),
        stderr: Box::new(|bytes| {
            stderr.extend_from_slice(bytes);
            pass_on(true, bytes);
        }),
    })
}

impl Container {
    /// Its owner has done with it what it was made for: it is anybody's.
    pub(super) fn give_up(&self) {
        // What cannot be written now is seen to by the next process to open the store: it finds the owner gone.
        let _ = self.host.store().write(|tx| tx.disown_container(self.id()));
    }

    pub(super) fn finish_simulated_run(&self, keep: bool) -> Result<Run> {
        match keep {
            true => {
                self.give_up();
                self.host.simulate(self.id(), Status::Exited);
            }
            false => self.forget()?,
        }
        Ok(Run::simulated(self.id()))
    }

    pub(super) fn run_of(&self, exit: &Exit, stdout: Vec<u8>, stderr: Vec<u8>) -> Run {
        Run::new(self.id(), exit, stdout, stderr)
    }
}
