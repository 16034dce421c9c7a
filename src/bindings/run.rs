//! `Run`: what a command in a container did.

use std::sync::Arc;

use rhai::{Dynamic, export_module};
use serde_json::json;

use super::object::Object;
use super::value;
use crate::error::{Error, Result};
use crate::host;
use crate::model::format_duration;

/// A command that has ended. Clones are the same run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run(Arc<host::Run>);

impl From<host::Run> for Run {
    fn from(run: host::Run) -> Run {
        Run(Arc::new(run))
    }
}

impl Run {
    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Standard output without the line breaks at its end, as a shell's `$(…)` gives it.
    fn trimmed(&self) -> String {
        self.stdout().trim_end_matches(['\r', '\n']).to_owned()
    }

    fn parsed(&self) -> Result<Dynamic> {
        let value = serde_json::from_slice(&self.0.stdout).map_err(|cause| {
            Error::invalid(format!("the output of the command is not JSON: {cause}"))
                .target(self.0.id.short())
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
        format!("Run(code {}, {})", self.0.code, format_duration(self.0.duration))
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.0.code.to_string(),
            format_duration(self.0.duration),
            self.trimmed(),
            self.stderr().trim_end().to_owned(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "code": self.0.code,
            "ok": self.0.code == 0,
            "stdout": self.stdout(),
            "stderr": self.stderr(),
            "duration": self.0.duration.as_secs_f64(),
            "id": self.0.id.as_str(),
            "oom_killed": self.0.oom_killed,
        })
    }
}

/// What `container::run` and `exec` return.
#[export_module(manifest)]
pub mod functions {
    use super::super::duration::Duration;
    use super::Run;
    use crate::bindings::prelude::*;

    /// The exit code; 128 + n when signal n ended the command.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", "exit 3", #{ check: false }).code, 3);
    /// ```
    #[rhai_fn(get = "code", pure)]
    pub fn code(this: &mut Run) -> INT {
        this.0.code.into()
    }

    /// Whether the exit code is 0.
    ///
    /// ```rhai,images
    /// assert::ok(container::run("tools", ["true"]).ok);
    /// ```
    #[rhai_fn(get = "ok", pure)]
    pub fn ok(this: &mut Run) -> bool {
        this.0.code == 0
    }

    /// What the command wrote to standard output; bytes that are not UTF-8 are replaced.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hello"]).stdout, "hello\n");
    /// ```
    #[rhai_fn(get = "stdout", pure)]
    pub fn stdout(this: &mut Run) -> String {
        this.stdout()
    }

    /// What the command wrote to standard error; bytes that are not UTF-8 are replaced.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", "echo oops >&2").stderr, "oops\n");
    /// ```
    #[rhai_fn(get = "stderr", pure)]
    pub fn stderr(this: &mut Run) -> String {
        this.stderr()
    }

    /// How long the command ran.
    ///
    /// ```rhai,images
    /// assert::ok(container::run("tools", ["sleep", "0.1"]).duration >= 100.millis);
    /// ```
    #[rhai_fn(get = "duration", pure)]
    pub fn duration(this: &mut Run) -> Duration {
        this.0.duration.into()
    }

    /// The id of the container the command ran in.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["true"]).id.len(), 64);
    /// ```
    #[rhai_fn(get = "id", pure)]
    pub fn id(this: &mut Run) -> String {
        this.0.id.as_str().to_owned()
    }

    /// Whether the kernel killed the command because its memory limit was reached.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["true"]).oom_killed, false);
    /// ```
    #[rhai_fn(get = "oom_killed", pure)]
    pub fn oom_killed(this: &mut Run) -> bool {
        this.0.oom_killed
    }

    /// Standard output without the line breaks at its end.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hello"]).text(), "hello");
    /// ```
    #[rhai_fn(pure)]
    pub fn text(this: &mut Run) -> String {
        this.trimmed()
    }

    /// The lines of standard output, without their line breaks.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", "echo a; echo b").lines(), ["a", "b"]);
    /// ```
    #[rhai_fn(pure)]
    pub fn lines(this: &mut Run) -> Array {
        this.stdout().lines().map(|line| line.to_owned().into()).collect()
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
        native(&ctx, |_| this.parsed())
    }

    /// The bytes of standard output.
    ///
    /// ```rhai,images
    /// assert::eq(container::run("tools", ["echo", "hi"]).blob().len(), 3);
    /// ```
    #[rhai_fn(pure)]
    pub fn blob(this: &mut Run) -> Blob {
        this.0.stdout.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::ContainerId;

    fn run(stdout: &[u8]) -> Run {
        Run::from(host::Run {
            code: 0,
            stdout: stdout.to_vec(),
            stderr: Vec::new(),
            duration: Duration::from_millis(1500),
            id: ContainerId::generate().unwrap(),
            oom_killed: false,
        })
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
