//! `assert::`: expectations that end a script when they do not hold.

use rhai::export_module;

/// Expectations. Each throws `invalid` when it does not hold.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::closure;
    use crate::bindings::failure::{Failure, is_unwinding, throw};
    use crate::bindings::prelude::*;
    use crate::bindings::value::{equal, literal};

    /// Expects two values to be equal.
    ///
    /// ```rhai
    /// assert::eq(1 + 1, 2);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn eq(ctx: NativeCallContext, left: Dynamic, right: Dynamic) -> Scripted<()> {
        let same = equal(&ctx, &left, &right)?;
        native(&ctx, |_| match same {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "expected {}, got {}",
                literal(&right),
                literal(&left)
            ))),
        })
    }

    /// Expects two values to differ.
    ///
    /// ```rhai
    /// assert::ne("a", "b");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn ne(ctx: NativeCallContext, left: Dynamic, right: Dynamic) -> Scripted<()> {
        let same = equal(&ctx, &left, &right)?;
        native(&ctx, |_| match same {
            true => Err(Error::invalid(format!("expected anything but {}", literal(&left)))),
            false => Ok(()),
        })
    }

    /// Expects a condition to hold.
    ///
    /// ```rhai
    /// assert::ok([1, 2].contains(2));
    /// ```
    #[rhai_fn(name = "ok", return_raw)]
    pub fn ok(ctx: NativeCallContext, condition: bool) -> Scripted<()> {
        ok_message(ctx, condition, "expected the condition to hold")
    }

    /// Expects a condition to hold, and says what is wrong otherwise.
    ///
    /// ```rhai
    /// assert::ok(args.len() < 10, "too many arguments");
    /// ```
    #[rhai_fn(name = "ok", return_raw)]
    pub fn ok_message(ctx: NativeCallContext, condition: bool, message: &str) -> Scripted<()> {
        native(&ctx, |_| match condition {
            true => Ok(()),
            false => Err(Error::invalid(message)),
        })
    }

    /// Expects a closure to throw, and returns what it threw as an `Error`.
    ///
    /// ```rhai
    /// let e = assert::throws(|| duration("soon"));
    /// assert::eq(e.kind, "invalid");
    /// ```
    #[rhai_fn(name = "throws", return_raw)]
    pub fn throws(ctx: NativeCallContext, closure: FnPtr) -> Scripted<Failure> {
        match closure::call(&ctx, &closure, ()) {
            Ok(value) => {
                let error = Error::invalid(format!("expected an error, got {}", literal(&value)));
                Err(throw(&ctx, &Session::of(&ctx), error))
            }
            Err(thrown) if is_unwinding(&thrown) => Err(thrown),
            Err(thrown) => Ok(Failure::of(&thrown)),
        }
    }

    /// Expects a closure to throw an error of the given kind, and returns it.
    ///
    /// ```rhai
    /// assert::throws("not_found", || fs::read("/no/such/file"));
    /// ```
    #[rhai_fn(name = "throws", return_raw)]
    pub fn throws_kind(ctx: NativeCallContext, kind: &str, closure: FnPtr) -> Scripted<Failure> {
        let failure = match closure::call(&ctx, &closure, ()) {
            Err(thrown) if is_unwinding(&thrown) => return Err(thrown),
            Err(thrown) => Ok(Failure::of(&thrown)),
            Ok(value) => Err(value),
        };
        native(&ctx, |_| match failure {
            Ok(failure) if failure.error().kind().name() == kind => Ok(failure),
            Ok(failure) => {
                let error = failure.error();
                Err(Error::invalid(format!(
                    "expected an error of kind `{kind}`, got `{}`: {error}",
                    error.kind()
                )))
            }
            Err(value) => Err(Error::invalid(format!(
                "expected an error of kind `{kind}`, got {}",
                literal(&value)
            ))),
        })
    }

    /// Expects text to match a regular expression somewhere.
    ///
    /// ```rhai
    /// assert::matches("v1.2.3", "^v[0-9]+");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn matches(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<()> {
        native(&ctx, |_| match super::super::regex::compile(pattern)?.is_match(text) {
            true => Ok(()),
            false => Err(Error::invalid(format!("expected a match of `{pattern}`, got `{text}`"))),
        })
    }
}
