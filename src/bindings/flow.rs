//! How a script goes on: side by side, again, for so long, at the end, or not at all.

use rhai::export_module;
use serde::Deserialize;

use super::duration::Duration;
use super::failure::{Failure, Scripted, is_unwinding};
use super::session::Session;
use crate::error::{Error, Kind, Result};
use crate::model::unknown;
use rhai::{Dynamic, FnPtr, NativeCallContext};

/// The options of `retry`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Retry {
    delay: Duration,
    backoff: f64,
    on: Vec<String>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            delay: Duration::from_micros(1_000_000),
            backoff: 2.0,
            on: Vec::new(),
        }
    }
}

/// No wait between two attempts is longer.
const LONGEST_DELAY: std::time::Duration = std::time::Duration::from_secs(300);

impl Retry {
    fn check(&self) -> Result<()> {
        let names: Vec<&str> = Kind::all().map(Kind::name).collect();
        if let Some(wrong) = self.on.iter().find(|name| Kind::parse(name).is_none()) {
            return Err(unknown("kind of error", wrong, &names));
        }
        if !(self.backoff.is_finite() && self.backoff >= 1.0) {
            return Err(Error::invalid(format!(
                "option `backoff` must be 1 or more, got `{}`",
                self.backoff
            )));
        }
        self.delay.to_std().map(drop)
    }

    fn applies(&self, failure: &Failure) -> bool {
        self.on.is_empty() || self.on.iter().any(|name| name == failure.error().kind().name())
    }

    fn delay_before(&self, attempt: i32) -> Result<std::time::Duration> {
        let seconds = self.delay.to_std()?.as_secs_f64() * self.backoff.powi(attempt - 1);
        Ok(std::time::Duration::try_from_secs_f64(seconds)
            .unwrap_or(LONGEST_DELAY)
            .min(LONGEST_DELAY))
    }
}

fn retry_with(ctx: &NativeCallContext, attempts: i64, closure: &FnPtr, options: &Retry) -> Scripted<Dynamic> {
    let session = Session::of(ctx);
    super::failure::native(ctx, |_| {
        options.check()?;
        if attempts < 1 {
            return Err(Error::invalid(format!(
                "the number of attempts must be 1 or more, got `{attempts}`"
            )));
        }
        Ok(())
    })?;
    for attempt in 1.. {
        let thrown = match super::closure::call(ctx, closure, ()) {
            Ok(value) => return Ok(value),
            Err(thrown) => thrown,
        };
        let last = i64::from(attempt) >= attempts;
        if last || is_unwinding(&thrown) || !options.applies(&Failure::of(&thrown)) {
            return Err(thrown);
        }
        super::failure::native(ctx, |_| session.context().sleep(options.delay_before(attempt)?))?;
    }
    unreachable!("the loop returns with the last attempt at the latest")
}

/// Running closures in parallel, again after a failure, under a time limit, at the end of the script; waiting and ending.
#[export_module(manifest)]
pub mod functions {
    use super::super::closure;
    use super::super::options;
    use super::super::parallel::{self, Parallel, ParallelMap};
    use super::{Retry, retry_with};
    use crate::bindings::duration::{self, Duration};
    use crate::bindings::failure::{is_unwinding, throw};
    use crate::bindings::prelude::*;
    use crate::bindings::value::type_phrase;
    use rhai::Position;

    /// Calls a closure with every item, several at a time, and returns the results in order.
    ///
    /// The first error cancels the other calls and is thrown. Variables the closure captures are copies: what it assigns to them is lost.
    /// What several calls print is marked, line by line, with the item where that is a short text, else with its number: `[b] done`.
    /// `items` is an array, a range, or what else `for` goes over.
    ///
    /// ```rhai
    /// assert::eq(parallel_map([1, 2, 3], |n| n * n), [1, 4, 9]);
    /// assert::eq(parallel_map(0..3, |n| n * 10), [0, 10, 20]);
    /// ```
    #[rhai_fn(name = "parallel_map", return_raw)]
    pub fn parallel_map(ctx: NativeCallContext, items: Dynamic, closure: FnPtr) -> Scripted<Array> {
        parallel_map_with(ctx, items, closure, Map::new())
    }

    /// Calls a closure with every item, several at a time, and returns the results in order.
    ///
    /// Options: `jobs` (how many at a time; default: as many as there are processors, at least 4), `per_host` (how many at a time of the
    /// items that name the same machine, as an address such as `https://ghcr.io/v2/` or by the registry of an image's name; default: no
    /// limit), `on_error` (`"stop"`, the default, or `"collect"`, which returns `#{ok, value, error}` per item), `timeout` (of each call).
    ///
    /// ```rhai
    /// let results = parallel_map(["1s", "soon"], |text| duration(text), #{ on_error: "collect", jobs: 2 });
    /// assert::eq(results.map(|r| r.ok), [true, false]);
    /// let names = ["ghcr.io/team/a:1", "ghcr.io/team/b:1", "registry.lan:5000/c:1"];
    /// assert::eq(parallel_map(names, |name| name.len(), #{ jobs: 8, per_host: 2 }), [16, 16, 21]);
    /// ```
    #[rhai_fn(name = "parallel_map", return_raw)]
    pub fn parallel_map_with(ctx: NativeCallContext, items: Dynamic, closure: FnPtr, options: Map) -> Scripted<Array> {
        let options: ParallelMap = native(&ctx, |_| options::parse(options))?;
        parallel::map(&ctx, items, &closure, &options)
    }

    /// Calls closures side by side and returns their results in order.
    ///
    /// The first error cancels the other calls and is thrown. What they print is marked with their numbers, line by line: `[2] done`.
    ///
    /// ```rhai
    /// assert::eq(parallel([|| 1, || "two"]), [1, "two"]);
    /// ```
    #[rhai_fn(name = "parallel", return_raw)]
    pub fn parallel(ctx: NativeCallContext, closures: Array) -> Scripted<Array> {
        parallel_with(ctx, closures, Map::new())
    }

    /// Calls closures side by side and returns their results in order.
    ///
    /// Options: `jobs`, `on_error` and `timeout`, as for `parallel_map`.
    ///
    /// ```rhai
    /// let results = parallel([|| 1, || throw "no"], #{ on_error: "collect" });
    /// assert::eq(results[1].error, "no");
    /// ```
    #[rhai_fn(name = "parallel", return_raw)]
    pub fn parallel_with(ctx: NativeCallContext, closures: Array, options: Map) -> Scripted<Array> {
        let (options, closures) = native(&ctx, |_| {
            let closures = closures.into_iter().map(|value| {
                let found = crate::bindings::value::type_phrase(&value);
                let closure = value
                    .flatten()
                    .try_cast::<FnPtr>()
                    .map(|closure| closure::detached(&closure));
                closure
                    .ok_or_else(|| Error::invalid(format!("`parallel` takes an array of closures, got {found} in it")))
            });
            Ok((
                options::parse::<Parallel>(options)?,
                closures.collect::<Result<Vec<FnPtr>>>()?,
            ))
        })?;
        parallel::calls(&ctx, &closures, &options)
    }

    /// Calls a closure until it succeeds, at most so many times, and returns its result.
    ///
    /// Waits one second before the second attempt and twice as long before each further one. The last error is thrown.
    ///
    /// ```rhai
    /// assert::eq(retry(3, || 42), 42);
    /// ```
    #[rhai_fn(name = "retry", return_raw)]
    pub fn retry(ctx: NativeCallContext, attempts: INT, closure: FnPtr) -> Scripted<Dynamic> {
        retry_with(&ctx, attempts, &closure, &Retry::default())
    }

    /// Calls a closure until it succeeds, at most so many times, and returns its result.
    ///
    /// Options: `delay` (before the second attempt; default 1 second), `backoff` (how many times longer each further wait is; default
    /// 2; no wait is longer than 5 minutes), `on` (kinds of errors to try again after; default: all).
    ///
    /// ```rhai
    /// let result = attempt(|| retry(2, || fs::read("/no/such/file"), #{ delay: 1.millis, on: ["not_found"] }));
    /// assert::eq(result.error.kind, "not_found");
    /// ```
    #[rhai_fn(name = "retry", return_raw)]
    pub fn retry_options(ctx: NativeCallContext, attempts: INT, closure: FnPtr, options: Map) -> Scripted<Dynamic> {
        let options: Retry = native(&ctx, |_| options::parse(options))?;
        retry_with(&ctx, attempts, &closure, &options)
    }

    /// Calls a closure and returns its result, if that takes no longer than the given duration.
    ///
    /// Otherwise the closure is stopped, inside whatever it is waiting for, and `timeout` is thrown.
    ///
    /// ```rhai
    /// let result = attempt(|| timeout(20.millis, || sleep(1.hours)));
    /// assert::eq(result.error.kind, "timeout");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn timeout(ctx: NativeCallContext, limit: Dynamic, closure: FnPtr) -> Scripted<Dynamic> {
        let limit = native(&ctx, |_| duration::from_value(&limit))?;
        parallel::within(&ctx, &Session::of(&ctx), limit, || closure::call(&ctx, &closure, ()))
    }

    /// Keeps a closure to be called when the script ends, however it ends; the one deferred last is called first.
    ///
    /// ```rhai
    /// defer(|| print("the end"));
    /// ```
    pub fn defer(ctx: NativeCallContext, closure: FnPtr) {
        Session::of(&ctx).defer(closure);
    }

    /// Calls a closure and returns `#{ok, value, error}` instead of throwing.
    ///
    /// ```rhai
    /// let result = attempt(|| duration("soon"));
    /// assert::eq(result.ok, false);
    /// assert::eq(result.error.kind, "invalid");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn attempt(ctx: NativeCallContext, closure: FnPtr) -> Scripted<Dynamic> {
        match closure.call_within_context(&ctx, ()) {
            Err(thrown) if is_unwinding(&thrown) => Err(thrown),
            result => Ok(parallel::outcome(result)),
        }
    }

    /// Ends the script with exit code 0; what was deferred still runs.
    ///
    /// ```rhai
    /// exit();
    /// ```
    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit(ctx: NativeCallContext) -> Scripted<()> {
        exit_code(ctx, 0)
    }

    /// Ends the script with an exit code from 0 to 255; what was deferred still runs.
    ///
    /// ```rhai
    /// if args.is_empty() { exit(0); }
    /// ```
    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit_code(ctx: NativeCallContext, code: INT) -> Scripted<()> {
        let session = Session::of(&ctx);
        let Ok(code) = u8::try_from(code) else {
            let error = Error::invalid(format!("an exit code is a number from 0 to 255, got `{code}`"));
            return Err(throw(&ctx, &session, error));
        };
        session.set_exit(code);
        Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE)))
    }

    /// Anything else is no exit code. Throws `invalid`.
    ///
    /// ```rhai,throws=invalid
    /// exit("done");
    /// ```
    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit_any(ctx: NativeCallContext, code: Dynamic) -> Scripted<()> {
        native(&ctx, |_| {
            let got = type_phrase(&code);
            Err(Error::invalid(format!(
                "an exit code is a number from 0 to 255, got {got}"
            )))
        })
    }

    /// Waits for a duration, such as `2.seconds`, `"500ms"`, or a number of seconds.
    ///
    /// ```rhai
    /// sleep(5.millis);
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep(ctx: NativeCallContext, wait: Duration) -> Scripted<()> {
        native(&ctx, |session| session.context().sleep(wait.to_std()?))
    }

    /// Waits as long as the text says.
    ///
    /// ```rhai
    /// sleep("5ms");
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_text(ctx: NativeCallContext, wait: &str) -> Scripted<()> {
        native(&ctx, |session| {
            session.context().sleep(Duration::parse(wait)?.to_std()?)
        })
    }

    /// Waits for a number of seconds.
    ///
    /// ```rhai
    /// sleep(0);
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_seconds(ctx: NativeCallContext, seconds: INT) -> Scripted<()> {
        sleep(ctx, Duration::of_units(seconds as FLOAT, 1e6))
    }

    /// Waits for a number of seconds.
    ///
    /// ```rhai
    /// sleep(0.005);
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_fraction(ctx: NativeCallContext, seconds: FLOAT) -> Scripted<()> {
        sleep(ctx, Duration::of_units(seconds, 1e6))
    }
}
