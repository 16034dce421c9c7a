//! `env::`: the environment of the script.

use rhai::export_module;

/// The environment variables of this process.
#[export_module(manifest)]
pub mod functions {
    use crate::bindings::prelude::*;
    use crate::config;

    /// The value of an environment variable.
    ///
    /// Throws `not_found` when it is not set or empty; give a fallback where that is normal.
    ///
    /// ```rhai
    /// assert::ok(env::get("PATH").contains("/"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn get(ctx: NativeCallContext, name: &str) -> Scripted<ImmutableString> {
        native(&ctx, |_| {
            let value = config::variable(name).ok_or_else(|| {
                Error::not_found(format!("the environment variable `{name}` is not set"))
                    .target(name)
                    .hint(format!("give a fallback: `env::get(\"{name}\", \"…\")`"))
            })?;
            Ok(value.into())
        })
    }

    /// The value of an environment variable, or the fallback when it is not set or empty.
    ///
    /// ```rhai
    /// assert::eq(env::get("NO_SUCH_VARIABLE", "none"), "none");
    /// ```
    #[rhai_fn(name = "get")]
    pub fn get_or(name: &str, fallback: Dynamic) -> Dynamic {
        config::variable(name).map_or(fallback, Dynamic::from)
    }

    /// Whether an environment variable is set and not empty.
    ///
    /// ```rhai
    /// assert::ok(env::has("PATH"));
    /// ```
    pub fn has(name: &str) -> bool {
        config::variable(name).is_some()
    }

    /// All environment variables as a map.
    ///
    /// ```rhai
    /// assert::ok("PATH" in env::all());
    /// ```
    pub fn all() -> Map {
        config::variables()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }
}
