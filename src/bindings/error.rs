//! The getters of the `Error` a script catches.

use rhai::export_module;

/// What `catch (e)` binds when a function of Hoist fails.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::failure::Failure;
    use crate::bindings::prelude::*;
    use crate::bindings::value::or_unit;

    /// What went wrong, as one of a closed set of names.
    ///
    /// One of `not_found already_exists invalid in_use conflict denied unauthorized rate_limited timeout network corrupt
    /// unsupported no_space cancelled exit_status internal`.
    ///
    /// ```rhai
    /// try { fs::read("/no/such/file") } catch (e) { assert::eq(e.kind, "not_found"); }
    /// ```
    #[rhai_fn(get = "kind", pure)]
    pub fn kind(this: &mut Failure) -> ImmutableString {
        this.error().kind().name().into()
    }

    /// What was tried, on what, and why it failed.
    ///
    /// ```rhai
    /// try { duration("soon") } catch (e) { assert::eq(e.message, "`soon` is not a duration"); }
    /// ```
    #[rhai_fn(get = "message", pure)]
    pub fn message(this: &mut Failure) -> ImmutableString {
        this.error().message().into()
    }

    /// The function that failed, as a script writes it, or `()`.
    ///
    /// ```rhai
    /// try { fs::read("/no/such/file") } catch (e) { assert::eq(e.op, "fs::read"); }
    /// ```
    #[rhai_fn(get = "op", pure)]
    pub fn op(this: &mut Failure) -> Dynamic {
        or_unit(this.error().operation().map(str::to_owned))
    }

    /// What the operation was done to, or `()`.
    ///
    /// ```rhai
    /// try { fs::read("/no/such/file") } catch (e) { assert::eq(e.target, "/no/such/file"); }
    /// ```
    #[rhai_fn(get = "target", pure)]
    pub fn target(this: &mut Failure) -> Dynamic {
        or_unit(this.error().subject().map(str::to_owned))
    }

    /// The way out, where one is known, or `()`.
    ///
    /// ```rhai
    /// try { duration("soon") } catch (e) { assert::ok(e.hint.contains("1h30m")); }
    /// ```
    #[rhai_fn(get = "hint", pure)]
    pub fn hint(this: &mut Failure) -> Dynamic {
        or_unit(this.error().way_out().map(str::to_owned))
    }

    /// Whether the same call may succeed later.
    ///
    /// ```rhai
    /// try { fs::read("/no/such/file") } catch (e) { assert::eq(e.retryable, false); }
    /// ```
    #[rhai_fn(get = "retryable", pure)]
    pub fn retryable(this: &mut Failure) -> bool {
        this.error().kind().retryable()
    }

    /// The HTTP status of the server that refused, or `()`.
    ///
    /// ```rhai
    /// try { fs::read("/no/such/file") } catch (e) { assert::eq(e.status, ()); }
    /// ```
    #[rhai_fn(get = "status", pure)]
    pub fn status(this: &mut Failure) -> Dynamic {
        or_unit(this.error().http_status().map(INT::from))
    }

    /// The line of the script that called the function, or `()`.
    ///
    /// ```rhai
    /// try { duration("soon") } catch (e) { assert::eq(e.line, 1); }
    /// ```
    #[rhai_fn(get = "line", pure)]
    pub fn line(this: &mut Failure) -> Dynamic {
        or_unit(this.position().line().map(|line| line as INT))
    }

    /// The column of that line at which the call stands, or `()`.
    ///
    /// ```rhai
    /// try { duration("soon") } catch (e) { assert::eq(e.position, 7); }
    /// ```
    #[rhai_fn(get = "position", pure)]
    pub fn position(this: &mut Failure) -> Dynamic {
        or_unit(this.position().position().map(|column| column as INT))
    }
}
