//! `glob::`: shell-style patterns over names.

use rhai::export_module;

/// Shell-style patterns: `*` (also across `/`), `?`, `[a-z]`, `{a,b}`.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;
    use crate::model::Pattern;

    /// Whether the whole text fits the pattern.
    ///
    /// Throws `invalid` when the pattern is malformed.
    ///
    /// ```rhai
    /// assert::ok(glob::matches("team/app:1.2-rc", "team/*:*-rc"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn matches(ctx: NativeCallContext, text: &str, pattern: &str) -> Scripted<bool> {
        native(&ctx, |_| Ok(Pattern::new(pattern)?.matches(text)))
    }

    /// The strings that fit the pattern, in order.
    ///
    /// ```rhai
    /// assert::eq(glob::filter(["a.tar", "b.txt"], "*.tar"), ["a.tar"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn filter(ctx: NativeCallContext, texts: Array, pattern: &str) -> Scripted<Array> {
        native(&ctx, |_| {
            let pattern = Pattern::new(pattern)?;
            Ok(texts
                .into_iter()
                .filter(|text| pattern.matches(&text.to_string()))
                .collect())
        })
    }
}
