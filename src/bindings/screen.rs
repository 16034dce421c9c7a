//! What a script shows and asks.

use rhai::export_module;

/// Tables and questions.
#[export_module(manifest)]
pub mod functions {
    use super::super::table as tables;
    use crate::bindings::prelude::*;
    use crate::bindings::progress::Progress;

    /// Prints rows as a table, or as JSON under `--format json` and `jsonl`.
    ///
    /// Objects have their own columns, maps show all their keys.
    ///
    /// ```rhai
    /// table([#{ name: "a", size: 1 }, #{ name: "b", size: 2 }]);
    /// ```
    #[rhai_fn(name = "table", return_raw)]
    pub fn table(ctx: NativeCallContext, rows: Array) -> Scripted<()> {
        native(&ctx, |session| {
            session.print(&tables::show(&rows.into(), session.settings().format)?);
            Ok(())
        })
    }

    /// Prints the named columns of rows as a table, or as JSON under `--format json` and `jsonl`.
    ///
    /// Throws `invalid` when a row is neither a map nor an object.
    ///
    /// ```rhai
    /// table([#{ name: "a", size: 1, age: 3 }], ["size", "name"]);
    /// ```
    #[rhai_fn(name = "table", return_raw)]
    pub fn table_columns(ctx: NativeCallContext, rows: Array, columns: Array) -> Scripted<()> {
        native(&ctx, |session| {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            session.print(&tables::show_columns(&rows, &columns, session.settings().format)?);
            Ok(())
        })
    }

    /// Shows how far work of so many steps is, and returns what counts them: a bar at a terminal, few lines elsewhere.
    ///
    /// Closures of `parallel_map` may count as well. Nothing is shown under `--quiet`; under `--format jsonl` each step is an object on
    /// standard error. Throws `invalid` for a number below 0.
    ///
    /// ```rhai
    /// let work = progress(3, "copying");
    /// for name in ["a", "b", "c"] { work.step(); }
    /// work.done();
    /// ```
    #[rhai_fn(return_raw)]
    pub fn progress(ctx: NativeCallContext, steps: INT, label: &str) -> Scripted<Progress> {
        native(&ctx, |session| {
            let steps = u64::try_from(steps).map_err(|_| Error::invalid("work has 0 steps or more"))?;
            Ok(Progress::new(session, steps, label))
        })
    }

    /// Asks a person a yes-or-no question and returns the answer; anything but `y` or `yes` is no.
    ///
    /// Throws `unsupported` when nobody can answer, as in a pipeline: offer a flag there.
    ///
    /// ```rhai,throws=unsupported
    /// if confirm("remove everything?") { print("removing"); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn confirm(ctx: NativeCallContext, question: &str) -> Scripted<bool> {
        native(&ctx, |session| {
            let answer = session.settings().console.ask(&format!("{question} [y/N] "));
            let answer = answer.during(|| "read the answer")?.ok_or_else(|| {
                let error = Error::unsupported(format!("nobody is there to answer: {question}"));
                error.hint("let the script take a flag such as `--yes` instead of asking")
            })?;
            Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
        })
    }
}
