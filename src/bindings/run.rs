//! `Run`: what a command did, in a container or on this machine.

use std::sync::Arc;

use rhai::{Dynamic, NativeCallContext, export_module};
use serde_json::json;

use super::failure::{Scripted, native};
use super::gate::Place;
use super::object::Object;
use super::session::Session;
use super::value;
use crate::error::{Error, Result};
use crate::host;
use crate::model::{ContainerId, format_duration};

/// A command that has ended. Clones are the same run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run(Arc<Done>, Known);

/// What it did; by a program of this machine, without a container.
#[derive(Debug, PartialEq)]
struct Done {
    ran: host::Ran,
    id: Option<ContainerId>,
    oom_killed: bool,
}

impl From<host::Run> for Done {
    fn from(run: host::Run) -> Done {
        let (code, stdout, stderr, duration) = (run.code, run.stdout, run.stderr, run.duration);
        Done {
            ran: host::Ran {
                code,
                stdout,
                stderr,
                duration,
            },
            id: Some(run.id),
            oom_killed: run.oom_killed,
        }
    }
}

impl From<host::Ran> for Done {
    fn from(ran: host::Ran) -> Done {
        Done {
            ran,
            id: None,
            oom_killed: false,
        }
    }
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    All,
    /// It would have been run, and whatever its code is not to be.
    Success,
    Nothing,
}

impl Run {
    /// What came of a command, or under dry-run is taken for it. Under `check` a code other than 0 is an error.
    pub(super) fn new(session: &Session, run: host::Run, check: Option<bool>) -> Run {
        Run::of(session, run.into(), check)
    }

    /// The same of a program of this machine.
    pub(super) fn on_host(session: &Session, ran: host::Ran, check: Option<bool>) -> Run {
        Run::of(session, ran.into(), check)
    }

    fn of(session: &Session, done: Done, check: Option<bool>) -> Run {
        let known = match (session.plan(), check) {
            (None, _) => Known::All,
            (Some(_), Some(false)) => Known::Nothing,
            (Some(_), _) => Known::Success,
        };
        Run(Arc::new(done), known)
    }

    /// Says under dry-run that a script relies on what is not known. Errors: `unsupported`, where a plan is made.
    fn asked(&self, ctx: &NativeCallContext, what: &str) -> Scripted<&Run> {
        let is_code = ["code", "ok"].contains(&what);
        match self.1 {
            Known::All => Ok(self),
            Known::Success if is_code => Ok(self),
            _ => native(ctx, |session| {
                session.foresee(&format!("`{what}` of a command"), &Place::of(ctx))
            })
            .map(|()| self),
        }
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.ran.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.ran.stderr).into_owned()
    }

    /// Standard output without the line breaks at its end, as a shell's `$(…)` gives it.
    fn trimmed(&self) -> String {
        self.stdout().trim_end_matches(['\r', '\n']).to_owned()
    }

    fn parsed(&self) -> Result<Dynamic> {
        let value = serde_json::from_slice(&self.0.ran.stdout).map_err(|cause| {
            Error::invalid(format!("the output of the command is not JSON: {cause}"))
                .target(self.0.id.as_ref().map_or("", ContainerId::short))
                .source(cause)
        })?;
        Ok(value::from_json(&value))
    }
}

impl Object for Run {
    const NAME: &'static str = "Run";
    const COLUMNS: &'static [&'static str] = &["CODE", "DURATION", "STDOUT", "STDERR"];

    fn text(&self) -> String {
        self.trimmed()
    }

    fn debug(&self) -> String {
        format!(
            "Run(code {}, {})",
            self.0.ran.code,
            format_duration(self.0.ran.duration)
        )
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.0.ran.code.to_string(),
            format_duration(self.0.ran.duration),
            self.trimmed(),
            self.stderr().trim_end().to_owned(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "code": self.0.ran.code,
            "ok": self.0.ran.code == 0,
            "stdout": self.stdout(),
            "stderr": self.stderr(),
            "duration": self.0.ran.duration.as_secs_f64(),
            "id": self.0.id.as_ref().map(ContainerId::as_str),
            "oom_killed": self.0.oom_killed,
        })
    }
}

/// What `container::run`, `exec` and `host::exec` return.
#[export_module(manifest)]
pub mod functions {
    use super::super::duration::Duration;
    use super::Run;
    use crate::bindings::prelude::*;
    use crate::bindings::value::or_unit;

    /// The exit code; 128 + n when signal n ended the command.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", "exit 3", #{ check: false }).code, 3);
    /// ```
    #[rhai_fn(get = "code", return_raw, pure)]
    pub fn code(ctx: NativeCallContext, this: &mut Run) -> Scripted<INT> {
        this.asked(&ctx, "code").map(|this| this.0.ran.code.into())
    }

    /// Whether the exit code is 0.
    ///
    /// ```rhai,images
    /// assert::ok(container::run("tools", ["true"]).ok);
    /// ```
    #[rhai_fn(get = "ok", return_raw, pure)]
    pub fn ok(ctx: NativeCallContext, this: &mut Run) -> Scripted<bool> {
        this.asked(&ctx, "ok").map(|this| this.0.ran.code == 0)
    }

    /// What the command wrote to standard output; bytes that are not UTF-8 are replaced.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hello"]).stdout, "hello\n");
    /// ```
    #[rhai_fn(get = "stdout", return_raw, pure)]
    pub fn stdout(ctx: NativeCallContext, this: &mut Run) -> Scripted<String> {
        this.asked(&ctx, "stdout").map(|this| this.stdout())
    }

    /// What the command wrote to standard error; bytes that are not UTF-8 are replaced.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", "echo oops >&2").stderr, "oops\n");
    /// ```
    #[rhai_fn(get = "stderr", return_raw, pure)]
    pub fn stderr(ctx: NativeCallContext, this: &mut Run) -> Scripted<String> {
        this.asked(&ctx, "stderr").map(|this| this.stderr())
    }

    /// How long the command ran.
    ///
    /// ```rhai,images
    /// assert::ok(container::run("tools", ["sleep", "0.1"]).duration >= 100.millis);
    /// ```
    #[rhai_fn(get = "duration", return_raw, pure)]
    pub fn duration(ctx: NativeCallContext, this: &mut Run) -> Scripted<Duration> {
        this.asked(&ctx, "duration").map(|this| this.0.ran.duration.into())
    }

    /// The id of the container the command ran in; `()` of one that ran on this machine.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["true"]).id.len(), 64);
    /// ```
    #[rhai_fn(get = "id", return_raw, pure)]
    pub fn id(ctx: NativeCallContext, this: &mut Run) -> Scripted<Dynamic> {
        this.asked(&ctx, "id")
            .map(|this| or_unit(this.0.id.as_ref().map(|id| id.as_str().to_owned())))
    }

    /// Whether the kernel killed the command because its memory limit was reached.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["true"]).oom_killed, false);
    /// ```
    #[rhai_fn(get = "oom_killed", return_raw, pure)]
    pub fn oom_killed(ctx: NativeCallContext, this: &mut Run) -> Scripted<bool> {
        this.asked(&ctx, "oom_killed").map(|this| this.0.oom_killed)
    }

    /// Standard output without the line breaks at its end.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hello"]).text(), "hello");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn text(ctx: NativeCallContext, this: &mut Run) -> Scripted<String> {
        this.asked(&ctx, "stdout").map(|this| this.trimmed())
    }

    /// The lines of standard output, without their line breaks.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", "echo a; echo b").lines(), ["a", "b"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn lines(ctx: NativeCallContext, this: &mut Run) -> Scripted<Array> {
        this.asked(&ctx, "stdout")
            .map(|this| this.stdout().lines().map(|line| line.to_owned().into()).collect())
    }

    /// Standard output read as JSON.
    ///
    /// Throws `invalid` when it is not JSON.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", `{"size": 3}`]).json().size, 3);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn json(ctx: NativeCallContext, this: &mut Run) -> Scripted<Dynamic> {
        let run = this.asked(&ctx, "stdout")?;
        native(&ctx, |_| run.parsed())
    }

    /// The bytes of standard output.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hi"]).blob().len(), 3);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn blob(ctx: NativeCallContext, this: &mut Run) -> Scripted<Blob> {
        this.asked(&ctx, "stdout").map(|this| this.0.ran.stdout.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(stdout: &[u8]) -> Run {
        let run = host::Run {
            code: 0,
            stdout: stdout.to_vec(),
            stderr: Vec::new(),
            duration: Duration::from_millis(1500),
            id: ContainerId::generate().unwrap(),
            oom_killed: false,
        };
        Run(Arc::new(run.into()), Known::All)
    }

    #[test]
    fn text_is_trimmed_at_its_end_only() {
        assert_eq!(run(b" a\n\nb\r\n\n").text(), " a\n\nb");
        assert_eq!(run(b"\xff").text(), "\u{fffd}");
        assert_eq!(run(b"").debug(), "Run(code 0, 1.5s)");
    }

    #[test]
    fn output_that_is_not_json_says_where() {
        let error = run(b"{\"a\": }").parsed().unwrap_err();
        assert!(
            error.message().starts_with("the output of the command is not JSON: "),
            "{error}"
        );
        assert!(error.message().contains("line 1 column 7"), "{error}");
        assert_eq!(run(b"[1, null]").parsed().unwrap().cast::<rhai::Array>().len(), 2);
    }
}
