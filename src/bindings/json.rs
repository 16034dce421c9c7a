//! `json::`: values as JSON text and back.

use rhai::export_module;

/// JSON, read and written. Objects such as durations are written as their facts.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;
    use crate::bindings::value::{from_json, to_json};

    fn broken(cause: serde_json::Error) -> Error {
        Error::corrupt(format!("failed to read the JSON text: {cause}")).source(cause)
    }

    /// Reads one JSON document.
    ///
    /// Throws `corrupt` with line and column when the text is not JSON.
    ///
    /// ```rhai
    /// assert::eq(json::parse(`{"a": [1, null]}`).a, [1, ()]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext, text: &str) -> Scripted<Dynamic> {
        native(&ctx, |_| Ok(from_json(&serde_json::from_str(text).map_err(broken)?)))
    }

    /// Reads one JSON document per line; blank lines are passed over.
    ///
    /// ```rhai
    /// assert::eq(json::parse_lines("1\n\n2\n"), [1, 2]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse_lines(ctx: NativeCallContext, text: &str) -> Scripted<Array> {
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        native(&ctx, |_| {
            lines
                .map(|line| Ok(from_json(&serde_json::from_str(line).map_err(broken)?)))
                .collect()
        })
    }

    /// Writes a value as JSON on one line.
    ///
    /// Throws `invalid` for a closure, which has no JSON form.
    ///
    /// ```rhai
    /// assert::eq(json::stringify(#{ a: [1, ()] }), `{"a":[1,null]}`);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn stringify(ctx: NativeCallContext, value: Dynamic) -> Scripted<String> {
        native(&ctx, |_| Ok(to_json(&value)?.to_string()))
    }

    /// Writes a value as indented JSON for people.
    ///
    /// ```rhai
    /// assert::eq(json::pretty([1]), "[\n  1\n]");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn pretty(ctx: NativeCallContext, value: Dynamic) -> Scripted<String> {
        native(&ctx, |_| {
            let text = serde_json::to_string_pretty(&to_json(&value)?);
            text.map_err(|cause| Error::internal(format!("failed to write JSON: {cause}")))
        })
    }
}
