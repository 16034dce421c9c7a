//! `log::`: what a script tells the person who watches, on standard error.

use rhai::export_module;

/// Lines on standard error, with a level that `--log-level` and `--quiet` filter by.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::console::Level;
    use crate::bindings::prelude::*;
    use crate::bindings::value::text;

    /// Logs what only helps to find a fault; shown with `--log-level trace`.
    ///
    /// ```rhai
    /// log::trace("looking at 3 images");
    /// ```
    pub fn trace(ctx: NativeCallContext, message: Dynamic) {
        Session::of(&ctx).log(Level::Trace, &text(&message));
    }

    /// Logs what goes on.
    ///
    /// ```rhai
    /// log::info("removed 3 images");
    /// ```
    pub fn info(ctx: NativeCallContext, message: Dynamic) {
        Session::of(&ctx).log(Level::Info, &text(&message));
    }

    /// Logs what may be wrong.
    ///
    /// ```rhai
    /// log::warn("no image matched");
    /// ```
    pub fn warn(ctx: NativeCallContext, message: Dynamic) {
        Session::of(&ctx).log(Level::Warn, &text(&message));
    }

    /// Logs what is wrong; the script goes on.
    ///
    /// ```rhai
    /// log::error("one archive is damaged");
    /// ```
    pub fn error(ctx: NativeCallContext, message: Dynamic) {
        Session::of(&ctx).log(Level::Error, &text(&message));
    }
}
