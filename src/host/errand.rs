//! Programs of this machine, run for scripts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Plan;
use super::container::last_words;
use super::container::{Sink, shown};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::model::{ByteSize, Bytes, Command, Context, Secret, TimeSpan, format_duration};
use crate::runtime::{Errand, find_program};

/// Options of `host::exec`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErrandOptions {
    /// Environment variables over those of this process.
    pub env: BTreeMap<String, Secret>,
    /// It has those variables alone.
    pub clear_env: bool,
    /// The directory it starts in.
    pub workdir: Option<PathBuf>,
    /// What it reads; nothing otherwise.
    pub stdin: Option<Bytes>,
    /// A code other than zero is an error (the default).
    pub check: Option<bool>,
    /// Pass output through as well.
    pub stream: bool,
    /// How long it may run.
    pub timeout: Option<TimeSpan>,
    /// How much it may write to both outputs, which are kept in memory; 16 MiB otherwise.
    pub max_output: Option<ByteSize>,
}

/// What a program may write unless told otherwise, as what an answer of HTTP may bring.
const MOST_OUTPUT: ByteSize = ByteSize(16 << 20);

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub duration: Duration,
}

impl Ran {
    /// The same if its code is zero; an error of kind `exit_status` that quotes its last words otherwise.
    pub fn checked(self, command: &[String]) -> Result<Ran> {
        if self.code == 0 {
            return Ok(self);
        }
        let words = last_words(&self.stdout, &self.stderr);
        let message = format!("command `{}` ended with code {}{words}", shown(command), self.code);
        Err(Error::new(Kind::ExitStatus, message)
            .target(command.first().cloned().unwrap_or_default())
            .hint("pass `#{check: false}` to get the code instead of an error"))
    }
}

/// The program that a command means, as PATH has it now; `None` if there is none of that name.
pub fn program_of(name: &str) -> Option<PathBuf> {
    find_program(name, config::variable("PATH").as_deref()).ok()
}

/// Runs a program of this machine to its end; under a dry run it is recorded instead.
///
/// Errors: `not_found` and `denied` for one that cannot be executed, `exit_status` for a code other than zero unless `check` is false;
/// `timeout`, `cancelled`, after which nothing runs of what it has started.
pub fn run_errand(
    ctx: &Context,
    plan: Option<&Plan>,
    command: &Command,
    options: &ErrandOptions,
    sink: Sink,
) -> Result<Ran> {
    let words = command.words();
    let Some(name) = words.first() else {
        return Err(
            Error::invalid("there is no command to run").hint("give an array of words, or one text for the shell")
        );
    };
    let program = find_program(name, config::variable("PATH").as_deref())?;
    if let Some(plan) = plan {
        plan.record("host::exec", &shown(&words), "");
        return Ok(Ran {
            code: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            duration: Duration::ZERO,
        });
    }
    let env = options.env.iter();
    let errand = Errand {
        program,
        words: words.clone(),
        env: env
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
        clear_env: options.clear_env,
        dir: options.workdir.clone(),
        stdin: options.stdin.clone().unwrap_or_default().0,
    };
    let ran = attended(ctx, &errand, options, sink)?;
    if options.check.unwrap_or(true) {
        ran.checked(&words)
    } else {
        Ok(ran)
    }
}

fn attended(ctx: &Context, errand: &Errand, options: &ErrandOptions, sink: Sink) -> Result<Ran> {
    let limit = options.timeout;
    let most = options.max_output.unwrap_or(MOST_OUTPUT);
    let inner = limit.map_or_else(|| ctx.child(), |limit| ctx.with_timeout(limit.0));
    let (mut stdout, mut stderr, began) = (Vec::new(), Vec::new(), Instant::now());
    let code = errand.run(&inner, &mut |is_error, bytes| {
        if (stdout.len() + stderr.len() + bytes.len()) as u64 > most.0 {
            return Err(too_much(&errand.words, most));
        }
        if is_error { &mut stderr } else { &mut stdout }.extend_from_slice(bytes);
        if let Some(sink) = sink {
            sink(is_error, bytes);
        }
        Ok(())
    });
    let code = code.map_err(|error| match limit {
        Some(limit) if inner.owns_timeout(&error) => Error::timeout(format!(
            "command `{}` took longer than its timeout of {}",
            shown(&errand.words),
            format_duration(limit.0)
        )),
        _ => error,
    })?;
    Ok(Ran {
        code,
        stdout,
        stderr,
        duration: began.elapsed(),
    })
}

fn too_much(words: &[String], most: ByteSize) -> Error {
    let error = Error::invalid(format!(
        "command `{}` wrote more than {most}, and was ended",
        shown(words)
    ));
    error.hint("the option `max_output` takes more; what is large is better written to a file by the command itself")
}
