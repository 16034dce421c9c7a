//! `hoist container …`, and the short forms of what people type most.

mod attach;
mod exec;
mod flags;
mod logs;
mod rm;
mod run;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::App;
use super::run::Told;
use crate::bindings::Console;
use crate::error::{Error, Kind, Result};
use crate::host::{Container, Host, Talked};
use crate::model::Context;
use crate::runtime::{Conversation, DetachKeys, NotExecuted};

pub(super) use attach::Attach;
pub(super) use exec::Exec;
pub(super) use logs::Logs;
use rm::Remove;
use run::Run;

/// The code of a command that failed before the program it is about was reached, as Docker has it.
const NOT_REACHED: u8 = 125;

/// Run containers, and talk with what runs in them
#[derive(Args)]
pub(super) struct Containers {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<Run>),
    Exec(Exec),
    Attach(Attach),
    Logs(Logs),
    Rm(Remove),
}

impl Containers {
    /// Whether the signals this process gets are for the program of a container.
    pub(super) fn converses(&self) -> bool {
        matches!(self.command, Command::Run(_) | Command::Exec(_) | Command::Attach(_))
    }

    pub(super) fn execute(self, app: &App) -> Result<u8> {
        match self.command {
            Command::Run(run) => run.execute(app),
            Command::Exec(exec) => exec.execute(app),
            Command::Attach(attach) => attach.execute(app),
            Command::Logs(logs) => logs.execute(app),
            Command::Rm(remove) => remove.execute(app),
        }
    }
}

/// Flags of the commands that talk with a program.
#[derive(Args)]
struct Talk {
    /// The keys to leave it by, where it has a terminal
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
}

/// Whether signals are the program's, for commands that may only look on.
#[derive(Args)]
struct Signals {
    /// Pass signals on to the program, unless it has a terminal
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set,
        default_value_t = true,
        default_missing_value = "true"
    )]
    sig_proxy: bool,
}

impl Talk {
    /// From here on signals are the program's. A terminal for a program needs one here.
    fn begin(self, tty: bool, input: bool) -> Result<Conversation> {
        if tty && input && !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            return Err(Error::invalid("standard input is not a terminal")
                .hint("leave out `-t`, and the program reads what comes as it is"));
        }
        Conversation::new(self.detach_keys)
    }
}

/// Does what ends in a conversation; its exit code is the program's, where there is one.
/// `call` is what a script would call, and with what.
fn conclude(app: &App, call: &(&str, Vec<Value>), talk: impl FnOnce(&Host, &Context) -> Result<Talked>) -> Result<u8> {
    let session = app.session(Told::default())?;
    let talked = session.perform(call.0, &call.1, || talk(session.host()?, &session.context()));
    let code = match talked {
        Ok(Talked::Ended(code)) => u8::try_from(code).unwrap_or(u8::MAX),
        Ok(Talked::Left(container, signal)) => left(app, &container, signal),
        Ok(Talked::Planned) => 0,
        Err(error) => {
            app.terminal.error(&error);
            code_of(&error)
        }
    };
    if let Some(plan) = session.plan() {
        app.terminal.show_plan(plan);
    }
    Ok(code)
}

fn left(app: &App, container: &Container, signal: Option<i32>) -> u8 {
    match signal {
        None => {
            app.terminal.talk(&format!(
                "\nleft `{container}`: it goes on, `hoist attach {container}` comes back"
            ));
            0
        }
        Some(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
    }
}

/// 127 and 126 for a program that is not there or cannot be executed, 125 for all that is no matter of the program.
fn code_of(error: &Error) -> u8 {
    match NotExecuted::of(error).map(|cause| cause.code) {
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
        None if matches!(error.kind(), Kind::Timeout | Kind::Cancelled) => error.kind().exit_code(),
        None => NOT_REACHED,
    }
}
