//! `toml::`: settings as people write them.

use rhai::export_module;

/// TOML, read.
#[export_module(manifest)]
pub mod functions {
    use serde_json::Value;

    use crate::bindings::prelude::*;
    use crate::bindings::value::from_json;

    /// As JSON has it: dates and times, which it does not know, are text.
    fn plain(value: ::toml::Value) -> Value {
        match value {
            ::toml::Value::String(text) => Value::String(text),
            ::toml::Value::Integer(number) => number.into(),
            ::toml::Value::Float(number) => number.into(),
            ::toml::Value::Boolean(boolean) => boolean.into(),
            ::toml::Value::Datetime(moment) => Value::String(moment.to_string()),
            ::toml::Value::Array(all) => all.into_iter().map(plain).collect(),
            ::toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        }
    }

    /// Reads a TOML document: a map. Dates and times become text.
    ///
    /// Throws `corrupt` with line and column when the text is not TOML.
    ///
    /// ```rhai
    /// let settings = toml::parse("jobs = 3\n[[mirror]]\nfrom = \"library/debian\"\n");
    /// assert::eq(settings.mirror[0].from, "library/debian");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext, text: &str) -> Scripted<Dynamic> {
        native(&ctx, |_| {
            let table: ::toml::Table = ::toml::from_str(text)
                .map_err(|cause| Error::corrupt(format!("failed to read the TOML text: {cause}")).source(cause))?;
            Ok(from_json(&plain(::toml::Value::Table(table))))
        })
    }
}
