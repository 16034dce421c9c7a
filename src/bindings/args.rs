//! `args::`: the script's arguments as options with defaults; `arg::`: what its header declares.

use rhai::{Array, Dynamic, Map, Module, export_module};

use super::duration::Duration;
use super::time::Time;
use super::value;
use crate::config::Given;
use crate::error::{Error, Result};
use crate::model::unknown;

/// The namespace of what a header declares.
pub const TOLD: &str = "arg";

/// What the command line tells, each a constant: seen in functions, and an error where it is misspelt.
pub fn told(told: &[(String, Given)]) -> Module {
    let mut module = Module::new();
    module.set_id(TOLD);
    for (name, given) in told {
        module.set_var(name.as_str(), value_of(given));
    }
    module
}

fn value_of(given: &Given) -> Dynamic {
    match given {
        Given::Nothing => Dynamic::UNIT,
        Given::Text(text) => text.clone().into(),
        Given::Int(number) => Dynamic::from(*number),
        Given::Float(number) => Dynamic::from(*number),
        Given::Bool(yes) => Dynamic::from(*yes),
        Given::Duration(span) => Dynamic::from(Duration::from_micros(
            i64::try_from(span.as_micros()).unwrap_or(i64::MAX),
        )),
        Given::Time(time) => Dynamic::from(Time::new(*time)),
        Given::List(list) => list.iter().map(value_of).collect::<Array>().into(),
        Given::Options(options) => value::from_json(options),
    }
}

/// Reads `--name value`, `--name=value` and `--flag` as the defaults in `spec` say; what is left is `rest`.
fn parse_args(args: &[String], spec: Map) -> Result<Map> {
    let mut options = spec;
    let mut rest = Array::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.extend(args.by_ref().cloned().map(Dynamic::from));
            break;
        }
        let Some(long) = arg.strip_prefix("--") else {
            rest.push(arg.clone().into());
            continue;
        };
        let (name, given) = match long.split_once('=') {
            Some((name, given)) => (name, Some(given.to_owned())),
            None => (long, None),
        };
        let key = name.replace('-', "_");
        let fallback = options.get(key.as_str()).ok_or_else(|| unknown_flag(name, &options))?;
        let value = match (fallback.is_bool(), given) {
            (true, None) => Dynamic::TRUE,
            (_, given) => {
                let text = given.or_else(|| args.next().cloned());
                convert(name, &text.ok_or_else(|| missing(name))?, fallback)?
            }
        };
        options.insert(key.into(), value);
    }
    options.insert("rest".into(), rest.into());
    Ok(options)
}

fn missing(name: &str) -> Error {
    Error::invalid(format!("the option `--{name}` needs a value")).target(format!("--{name}"))
}

fn unknown_flag(name: &str, options: &Map) -> Error {
    let valid: Vec<String> = options
        .keys()
        .map(|key| format!("--{}", key.replace('_', "-")))
        .collect();
    let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
    unknown("option", &format!("--{name}"), &valid)
}

/// The text as a value of the default's type.
fn convert(name: &str, text: &str, fallback: &Dynamic) -> Result<Dynamic> {
    let wrong = || {
        let expected = value::type_phrase(fallback);
        Error::invalid(format!("the option `--{name}` must be {expected}, got `{text}`")).target(format!("--{name}"))
    };
    Ok(match fallback.type_name() {
        "bool" => text.parse::<bool>().map_err(|_| wrong())?.into(),
        "i64" => text.parse::<i64>().map_err(|_| wrong())?.into(),
        "f64" => text.parse::<f64>().map_err(|_| wrong())?.into(),
        _ if fallback.is::<Duration>() => Dynamic::from(Duration::parse(text)?),
        _ => text.to_owned().into(),
    })
}

/// The script's arguments. The plain list is the global `args`.
///
/// What a header declares (`//! arg: keep int = 3 "tags to keep"`, `//! flag: all -a`) is read and checked before the script runs,
/// and is in `arg::keep`, `arg::all`.
#[export_module(manifest)]
pub mod functions {
    use super::parse_args;
    use crate::bindings::prelude::*;

    /// Reads the arguments as options, whose defaults also say their types, and returns the options and the `rest`.
    ///
    /// `#{ older_than: 7.days, yes: false }` accepts `--older-than 30d`, `--older-than=30d` and `--yes`. A default of `()` takes text.
    /// Throws `invalid` for an option that is not in the map, and for a value of another type.
    ///
    /// ```rhai
    /// let options = args::parse(#{ older_than: 7.days, yes: false });
    /// assert::eq(options.older_than, 7.days);
    /// assert::eq(options.rest, args);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext, defaults: Map) -> Scripted<Map> {
        native(&ctx, |session| parse_args(&session.settings().args, defaults))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    fn parsed(args: &[&str]) -> Result<Map> {
        let spec = testing::engine()
            .eval("#{older_than: 7.days, keep: 3, yes: false, file: ()}")
            .unwrap();
        parse_args(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), spec)
    }

    #[test]
    fn defaults_say_the_types() {
        let options = parsed(&[
            "a",
            "--older-than",
            "30d",
            "--keep=5",
            "--yes",
            "--file",
            "x",
            "--",
            "--b",
        ])
        .unwrap();
        assert_eq!(
            value::to_json(&options.into()).unwrap().to_string(),
            r#"{"file":"x","keep":5,"older_than":2592000.0,"rest":["a","--b"],"yes":true}"#
        );
    }

    #[test]
    fn wrong_options_are_named() {
        for (args, message) in [
            (["--kep", "5"], "unknown option `--kep`"),
            (["--keep", "many"], "the option `--keep` must be a number, got `many`"),
            (["x", "--keep"], "the option `--keep` needs a value"),
            (["--older-than", "soon"], "`soon` is not a duration"),
        ] {
            assert_eq!(parsed(&args).unwrap_err().message(), message);
        }
    }
}
