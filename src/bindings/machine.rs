//! `host::`: programs of this machine.

use rhai::export_module;

/// Programs of this machine.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;
    use crate::bindings::run::Run;
    use crate::bindings::stream::Passthrough;
    use crate::bindings::{options, subject};
    use crate::host::{ErrandOptions, run_errand};

    /// Runs a program of this machine to its end.
    ///
    /// `command` is an array of words, which are handed to the program as they are, or one line for `/bin/sh -c`. Returns a `Run`; throws
    /// `exit_status` for a code other than 0, `not_found` where there is no such program.
    ///
    /// ```rhai
    /// assert::eq(host::exec(["uname", "-s"]).text(), "Linux");
    /// assert::eq(host::exec("echo a b | wc -w").text().trimmed(), "2");
    /// ```
    #[rhai_fn(name = "exec", return_raw)]
    pub fn exec(ctx: NativeCallContext, command: Dynamic) -> Scripted<Run> {
        exec_options(ctx, command, Map::new())
    }

    /// Runs a program of this machine to its end.
    ///
    /// It has no terminal, and the environment of this process. Ctrl-C, `timeout()` and the option `timeout` end it with all that it has
    /// started: they are told to by SIGTERM, and killed two seconds later. What it leaves running when it ends by itself goes on.
    ///
    /// Options: `env` (a map; values may be secrets), `clear_env` (default `false`: nothing but those variables), `workdir`, `stdin` (text,
    /// a blob or a secret), `timeout`, `stream` (default `false`: pass output through as well), `check` (default `true`: throw `exit_status`
    /// for a code other than 0), `max_output` (default 16 MiB: a program that writes more is ended, and `invalid` thrown).
    ///
    /// ```rhai
    /// let run = host::exec(["sh", "-c", "read word; echo $word $MODE; exit 3"], #{ stdin: "hello\n", env: #{ MODE: "x" }, check: false });
    /// assert::eq([run.code, run.text()], [3, "hello x"]);
    /// assert::throws("timeout", || host::exec(["sleep", "60"], #{ timeout: 50.millis }));
    /// assert::throws("invalid", || host::exec(["yes"], #{ max_output: 1.mib }));
    /// ```
    #[rhai_fn(name = "exec", return_raw)]
    pub fn exec_options(ctx: NativeCallContext, command: Dynamic, options: Map) -> Scripted<Run> {
        native(&ctx, |session| {
            let given = options.clone();
            let options: ErrandOptions = options::parse(options)?;
            let command = subject::command(&command)?.ok_or_else(|| Error::invalid("there is no command to run"))?;
            let through = Passthrough::new(session);
            let take = |is_error: bool, bytes: &[u8]| through.take(is_error, bytes);
            let sink: crate::host::Sink = if options.stream { Some(&take) } else { None };
            if let Some(world) = session.world().filter(|_| session.plan().is_none())
                && let Some(ran) = world.program("host::exec", &command.words(), &given)?
            {
                let checked = options.check.unwrap_or(true);
                let ran = if checked { ran.checked(&command.words())? } else { ran };
                return Ok(Run::on_host(session, ran, options.check));
            }
            let ran = run_errand(&session.context(), session.plan(), &command, &options, sink)?;
            Ok(Run::on_host(session, ran, options.check))
        })
    }
}
