//! The interpreter's own errors in words that help: which functions there are, what they take, and what was probably meant.

use std::collections::BTreeSet;

use rhai::{Engine, EvalAltResult};

use super::docs::{self, Function, Use};
use crate::bindings::NAMESPACES;
use crate::bindings::failure::message;
use crate::bindings::value::{plain_type, with_article};
use crate::model::suggest;

/// Message and way out for an error that is not one of ours. `code` is the script, for names it defines itself.
pub(super) fn explain(error: &EvalAltResult, engine: &Engine, code: &str) -> (String, Option<String>) {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => (crate::bindings::value::text(value), None),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => function_not_found(signature, engine, code),
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            let words = words(code);
            let near = suggest(name, words.iter().copied().filter(|word| word != name));
            (format!("there is no variable `{name}`"), near.map(did_you_mean))
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => module_not_found(name),
        EvalAltResult::ErrorDotExpr(text, _) => property_not_found(text).unwrap_or_else(|| (lowered(text), None)),
        EvalAltResult::ErrorMismatchDataType(expected, found, _)
        | EvalAltResult::ErrorMismatchOutputType(expected, found, _) => {
            (format!("expected {}, got {}", phrase(expected), phrase(found)), None)
        }
        EvalAltResult::ErrorStackOverflow(_) => (
            format!("functions call each other more than {} deep", engine.max_call_levels()),
            None,
        ),
        EvalAltResult::ErrorDataRace(name, _) => (
            format!("`{name}` is used by a closure while a method of it runs"),
            Some(format!(
                "copy it first, such as `let copy = {name};`, and use the copy in the closure"
            )),
        ),
        other => (lowered(&message(other)), None),
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

fn phrase(kind: &str) -> String {
    with_article(plain_type(kind))
}

/// The first letter in lower case, unless the word is an acronym or a name.
fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Words of the script that could be names.
fn words(code: &str) -> BTreeSet<&str> {
    let pieces = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    pieces
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .collect()
}

/// What the interpreter says about a call, taken apart: `fs::raed (i64, &str | ImmutableString | String)`.
struct Call<'a> {
    namespace: Option<&'a str>,
    name: &'a str,
    given: Vec<String>,
}

fn call(signature: &str) -> Call<'_> {
    let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ")"));
    let arguments = arguments.trim_end_matches(')');
    let given = arguments
        .split(", ")
        .filter(|kind| !kind.is_empty())
        .map(|kind| plain_type(kind).to_owned())
        .collect();
    match name.rsplit_once("::") {
        Some((namespace, name)) => Call {
            namespace: Some(namespace),
            name,
            given,
        },
        None => Call {
            namespace: None,
            name,
            given,
        },
    }
}

impl Call<'_> {
    fn full_name(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{namespace}::{}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// Whether the function could have been meant, going by its name and place.
    fn names(&self, function: &Function) -> bool {
        let in_place = match (&function.usage, self.namespace) {
            (Use::Namespace(own), given) => given == Some(own),
            (Use::Getter(_), _) => false,
            (_, given) => given.is_none(),
        };
        in_place && function.name == self.name
    }
}

fn function_not_found(signature: &str, engine: &Engine, code: &str) -> (String, Option<String>) {
    let call = call(signature);
    let functions = docs::functions();
    let same: Vec<String> = functions
        .iter()
        .filter(|f| call.names(f))
        .map(Function::signature)
        .collect();
    if is_operator(call.name) {
        let given: Vec<String> = call.given.iter().map(|kind| with_article(kind)).collect();
        return (
            format!("`{}` does not work on {}", call.name, given.join(" and ")),
            None,
        );
    }
    if !same.is_empty() {
        let hint = format!("it is called as {}", quoted(&same));
        return (
            format!(
                "`{}` cannot be called with ({})",
                call.full_name(),
                call.given.join(", ")
            ),
            Some(hint),
        );
    }
    if let Some(overloads) = language_overloads(engine, &call) {
        return (
            format!("`{}` cannot be called with ({})", call.name, call.given.join(", ")),
            overloads,
        );
    }
    let message = format!("there is no function `{}`", call.full_name());
    (message, unknown_function_hint(&call, &functions, engine, code))
}

fn is_operator(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn quoted(signatures: &[String]) -> String {
    signatures
        .iter()
        .map(|signature| format!("`{signature}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Where the language itself has a function of that name: how it is called, if the script's own words do not say.
fn language_overloads(engine: &Engine, call: &Call<'_>) -> Option<Option<String>> {
    if call.namespace.is_some() {
        return None;
    }
    let signatures = engine.gen_fn_signatures(true);
    let prefix = format!("{}(", call.name);
    let matching: BTreeSet<String> = signatures
        .iter()
        .filter(|signature| signature.starts_with(&prefix))
        .map(|signature| readable(signature))
        .collect();
    match matching.len() {
        0 => None,
        1..=4 => Some(Some(format!(
            "it is called as {}",
            quoted(&matching.into_iter().collect::<Vec<_>>())
        ))),
        _ => Some(None),
    }
}

/// A signature of the interpreter in the words of scripts.
fn readable(signature: &str) -> String {
    let bare = signature.split(" -> ").next().unwrap_or(signature);
    let Some((name, parameters)) = bare.trim_end_matches(')').split_once('(') else {
        return bare.to_owned();
    };
    let parameters = parameters
        .split(", ")
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let (name, kind) = parameter.split_once(": ").unwrap_or(("value", parameter));
            let kind = kind.trim_start_matches('&').trim_start_matches("mut ");
            format!("{name}: {}", if kind == "Dynamic" { "any" } else { plain_type(kind) })
        });
    format!("{name}({})", parameters.collect::<Vec<_>>().join(", "))
}

fn unknown_function_hint(call: &Call<'_>, functions: &[Function], engine: &Engine, code: &str) -> Option<String> {
    if let Some(namespace) = call.namespace {
        let names: BTreeSet<&str> = functions
            .iter()
            .filter(|f| f.usage == Use::Namespace(namespace.to_owned()))
            .map(|f| f.name.as_str())
            .collect();
        let list = names.iter().copied().collect::<Vec<_>>().join(", ");
        return Some(match suggest(call.name, names.iter().copied()) {
            Some(near) => did_you_mean(&format!("{namespace}::{near}")),
            None => format!("`{namespace}::` has {list}"),
        });
    }
    let elsewhere = functions
        .iter()
        .find(|f| f.name == call.name && matches!(f.usage, Use::Namespace(_)));
    if let Some(function) = elsewhere {
        return Some(did_you_mean(&function.qualified_name()));
    }
    let own = functions
        .iter()
        .filter(|f| matches!(f.usage, Use::Global | Use::Method(_)))
        .map(|f| f.name.clone());
    let language = engine
        .gen_fn_signatures(true)
        .into_iter()
        .filter_map(|s| Some(s.split_once('(')?.0.to_owned()));
    let names: BTreeSet<String> = own.chain(language).filter(|name| !is_operator(name)).collect();
    let defined = defined(code);
    let near = suggest(call.name, defined.iter().map(String::as_str));
    near.or_else(|| suggest(call.name, names.iter().map(String::as_str)))
        .map(did_you_mean)
}

/// Functions the script defines.
fn defined(code: &str) -> Vec<String> {
    let after = code.split("fn ").skip(1);
    after
        .filter_map(|rest| Some(rest.split_once('(')?.0.trim().to_owned()))
        .collect()
}

fn module_not_found(name: &str) -> (String, Option<String>) {
    let near = suggest(name, NAMESPACES.iter().map(|group| group.name));
    let hint = near.map(|near| did_you_mean(&format!("{near}::")));
    (format!("there is no module `{name}`"), hint)
}

/// `Unknown property 'siz' - a getter is not registered for type 'Duration'`.
fn property_not_found(text: &str) -> Option<(String, Option<String>)> {
    let parts: Vec<&str> = text.split('\'').collect();
    let (["Unknown property ", name, .., kind, _] | ["Unknown property ", name, .., kind]) = parts.as_slice() else {
        return None;
    };
    let kind = plain_type(kind);
    let functions = docs::functions();
    let of_kind = |f: &&Function| matches!(&f.usage, Use::Getter(own) | Use::Method(own) if own == kind);
    let near = suggest(name, functions.iter().filter(of_kind).map(|f| f.name.as_str()));
    Some((
        format!("{} has no property `{name}`", with_article(kind)),
        near.map(did_you_mean),
    ))
}

#[cfg(test)]
mod tests {
    use crate::script::{runner, testing};

    fn told(code: &str) -> (String, String) {
        let (session, _) = testing::session(false);
        let report = runner::run(&session, &runner::Source::text("t", code)).report.unwrap();
        let first = report.lines().next().unwrap().to_owned();
        let hint = report
            .lines()
            .find_map(|line| line.strip_prefix("help: "))
            .unwrap_or_default()
            .to_owned();
        (first, hint)
    }

    #[test]
    fn a_person_learns_what_is_wrong_and_what_was_meant() {
        for (code, message, hint) in [
            (
                "fs::raed(\"x\")",
                "there is no function `fs::raed`",
                "did you mean `fs::read`?",
            ),
            (
                "fs::read(1)",
                "`fs::read` cannot be called with (number)",
                "it is called as `fs::read(path: string) -> string`",
            ),
            ("slep(1)", "there is no function `slep`", "did you mean `sleep`?"),
            (
                "parallel_map([1])",
                "`parallel_map` cannot be called with (array)",
                "it is called as `parallel_map(items: array, closure: closure) -> array` or `parallel_map(items: array, closure: closure, options: map) -> array`",
            ),
            ("fss::read(\"x\")", "there is no module `fss`", "did you mean `fs::`?"),
            (
                "let total = 1; totl + 1",
                "there is no variable `totl`",
                "did you mean `total`?",
            ),
            ("[1].jion(\",\")", "there is no function `jion`", "did you mean `join`?"),
            (
                "1.hours.minuts",
                "a Duration has no property `minuts`",
                "did you mean `minutes`?",
            ),
            ("1.hours - \"x\"", "`-` does not work on a Duration and a string", ""),
            (
                "fn greet(x) { x } gret(1)",
                "there is no function `gret`",
                "did you mean `greet`?",
            ),
            ("let x = 1; if x { 2 }", "expected a bool, got a number", ""),
            ("throw \"my words\"", "my words", ""),
        ] {
            let (first, help) = told(code);
            assert_eq!(
                (first.trim_start_matches("error: "), help.as_str()),
                (message, hint),
                "{code}"
            );
        }
    }
}
