//! `regex::`: regular expressions, in time linear in the text.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use regex::Regex;
use rhai::export_module;

use crate::error::{Error, Result};

/// Compiled expressions kept: a script uses few, often in a loop.
const KEPT: usize = 64;

/// The compiled expression.
pub(super) fn compile(pattern: &str) -> Result<Regex> {
    static COMPILED: OnceLock<Mutex<HashMap<String, Regex>>> = OnceLock::new();
    let mut compiled = COMPILED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = compiled.get(pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(pattern).map_err(|cause| {
        let reason = cause.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Error::invalid(format!(
            "`{}` is not a regular expression: {reason}",
            pattern.escape_debug()
        ))
        .target(pattern)
    })?;
    if compiled.len() >= KEPT {
        compiled.clear();
    }
    compiled.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

/// Regular expressions with the syntax of Rust's `regex` crate: no look-around, no back references.
#[export_module(manifest)]
pub mod functions {
    use super::compile;
    use crate::bindings::prelude::*;
    use crate::bindings::value::{list, or_unit};

    /// Whether the expression matches somewhere in the text.
    ///
    /// Throws `invalid` when the pattern is not a regular expression.
    ///
    /// ```rhai
    /// assert::ok(regex::is_match("app:1.2-rc", "-rc$"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn is_match(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<bool> {
        native(&ctx, |_| Ok(compile(pattern)?.is_match(text)))
    }

    /// The first match in the text, or `()`.
    ///
    /// ```rhai
    /// assert::eq(regex::find("build-42", "[0-9]+"), "42");
    /// assert::eq(regex::find("build", "[0-9]+"), ());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<Dynamic> {
        native(&ctx, |_| {
            Ok(or_unit(
                compile(pattern)?.find(text).map(|found| found.as_str().to_owned()),
            ))
        })
    }

    /// All matches in the text that do not overlap.
    ///
    /// ```rhai
    /// assert::eq(regex::find_all("a1 b22", "[0-9]+"), ["1", "22"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn find_all(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<Array> {
        native(&ctx, |_| {
            Ok(list(
                compile(pattern)?.find_iter(text).map(|found| found.as_str().to_owned()),
            ))
        })
    }

    /// The groups of the first match as a map, by number and by name, or `()`; `"0"` is the whole match.
    ///
    /// ```rhai
    /// let groups = regex::captures("app:1.2", "(?<name>[a-z]+):(.+)");
    /// assert::eq(groups.name, "app");
    /// assert::eq(groups["2"], "1.2");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn captures(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<Dynamic> {
        native(&ctx, |_| {
            let regex = compile(pattern)?;
            let Some(found) = regex.captures(text) else {
                return Ok(Dynamic::UNIT);
            };
            let mut groups = Map::new();
            for (number, name) in regex.capture_names().enumerate() {
                let group = or_unit(found.get(number).map(|group| group.as_str().to_owned()));
                groups.insert(number.to_string().into(), group.clone());
                name.and_then(|name| groups.insert(name.into(), group));
            }
            Ok(groups.into())
        })
    }

    /// The text with every match replaced; `$1` and `${name}` stand for groups.
    ///
    /// ```rhai
    /// assert::eq(regex::replace("app:1.2-rc", "-rc$", ""), "app:1.2");
    /// assert::eq(regex::replace("a-b", "(a)-(b)", "$2-$1"), "b-a");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn replace(ctx: NativeCallContext, text: &str, pattern: &str, replacement: &str) -> Scripted<String> {
        native(&ctx, |_| {
            Ok(compile(pattern)?.replace_all(text, replacement).into_owned())
        })
    }

    /// The pieces of the text between matches.
    ///
    /// ```rhai
    /// assert::eq(regex::split("a, b;c", "[,;] *"), ["a", "b", "c"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn split(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<Array> {
        native(&ctx, |_| Ok(list(compile(pattern)?.split(text).map(str::to_owned))))
    }

    /// The text with everything escaped that means something in a regular expression.
    ///
    /// ```rhai
    /// assert::ok(regex::is_match("a.b", regex::escape("a.b")));
    /// assert::ok(!regex::is_match("axb", regex::escape("a.b")));
    /// ```
    pub fn escape(text: &str) -> String {
        regex::escape(text)
    }
}
