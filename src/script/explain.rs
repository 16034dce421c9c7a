//! The interpreter's own errors in words that help: which functions there are, what they take, and what was probably meant.

use std::collections::BTreeSet;

use rhai::{Dynamic, Engine, EvalAltResult, Map};

use super::catalogue::{called_as, catalogue, did_you_mean};
use super::docs::Function;
use super::outline::Outline;
use super::tokens::tokens;
use crate::bindings::failure::message;
use crate::bindings::objects;
use crate::bindings::value::{plain_type, text, with_article};
use crate::model::suggest;

/// Message and way out for an error that is not one of ours. `code` is the script, for names it defines itself.
pub(super) fn explain(error: &EvalAltResult, engine: &Engine, code: &str) -> (String, Option<String>) {
    match error {
        EvalAltResult::ErrorRuntime(value, _) => (thrown(value), None),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => function_not_found(signature, code),
        EvalAltResult::ErrorVariableNotFound(name, _) => variable_not_found(name, code),
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
        EvalAltResult::ErrorDataRace(name, _) if name.contains(' ') => (
            "a value is used by a closure while a method of it runs".to_owned(),
            Some("copy it first, such as `let copy = list;`, and use the copy in the closure".to_owned()),
        ),
        EvalAltResult::ErrorDataRace(name, _) => (
            format!("`{name}` is used by a closure while a method of it runs"),
            Some(format!(
                "copy it first, such as `let copy = {name};`, and use the copy in the closure"
            )),
        ),
        EvalAltResult::ErrorParsing(kind, _) => {
            (format!("syntax error: {}", quoted(&lowered(&kind.to_string()))), None)
        }
        other => (lowered(&message(other)), None),
    }
}

/// What was thrown, as it is; of what `catch` binds for an error of the language, the message.
fn thrown(value: &Dynamic) -> String {
    let fields = value.read_lock::<Map>();
    let message = fields
        .as_ref()
        .filter(|fields| fields.contains_key("error") && fields.contains_key("line"));
    let message = message.and_then(|fields| fields.get("message")?.clone().into_string().ok());
    match message {
        Some(message) => lowered(&message),
        None if value.is_unit() => "the script ended itself, and did not say why".to_owned(),
        None => text(value),
    }
}

/// Names in backticks rather than quotes.
fn quoted(text: &str) -> String {
    let parts: Vec<&str> = text.split('\'').collect();
    if parts.len().is_multiple_of(2) {
        text.to_owned()
    } else {
        parts.join("`")
    }
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
    /// The functions of that name and place; those of the first argument's type alone, if there are such.
    fn overloads(&self) -> Vec<&'static Function> {
        if let Some(namespace) = self.namespace {
            let all = catalogue().functions().iter();
            return all
                .filter(|f| f.qualified_name() == format!("{namespace}::{}", self.name))
                .collect();
        }
        let all: Vec<&Function> = catalogue().callable(self.name).collect();
        let first = self.given.first().map(String::as_str);
        let of_type: Vec<&Function> = all
            .iter()
            .filter(|f| f.receiver() == first && first.is_some())
            .copied()
            .collect();
        if of_type.is_empty() { all } else { of_type }
    }

    fn full_name(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("{namespace}::{}", self.name),
            None => self.name.to_owned(),
        }
    }
}

fn variable_not_found(name: &str, code: &str) -> (String, Option<String>) {
    let (namespace, bare) = name
        .rsplit_once("::")
        .map_or((None, name), |(space, bare)| (Some(space), bare));
    let is_function = match namespace {
        Some(namespace) => catalogue().names_in(namespace).contains(bare),
        None => catalogue().callable(bare).any(|f| f.receiver().is_none()),
    };
    if is_function {
        return (format!("`{name}` is a function"), Some(format!("call it: `{name}(…)`")));
    }
    if let (None, Some(first)) = (namespace, catalogue().names_in(name).into_iter().next()) {
        let hint = format!("its functions are called as `{name}::{first}(…)`; `hoist doc {name}` shows them");
        return (format!("`{name}` is a module"), Some(hint));
    }
    let words = words(code);
    let near = suggest(name, words.iter().copied().filter(|word| *word != name));
    let hint = near.map(did_you_mean).or_else(|| undeclared(name, code));
    (format!("there is no variable `{name}`"), hint)
}

/// The way out where something is assigned to a variable that was never declared.
fn undeclared(name: &str, code: &str) -> Option<String> {
    let tokens = tokens(code);
    let mut pairs = tokens.windows(2);
    let assigns = pairs.any(|pair| pair[0].is_word(name) && pair[1].is("="));
    assigns.then(|| format!("variables are declared first: `let {name} = …`"))
}

fn function_not_found(signature: &str, code: &str) -> (String, Option<String>) {
    let call = call(signature);
    if is_operator(call.name) {
        let given: Vec<String> = call.given.iter().map(|kind| with_article(kind)).collect();
        return (
            format!("`{}` does not work on {}", call.name, given.join(" and ")),
            None,
        );
    }
    if call.name.starts_with("anon$") {
        let message = format!("the closure cannot be called with ({})", call.given.join(", "));
        return (message, Some("it takes another number of arguments".to_owned()));
    }
    let outline = Outline::of(code);
    let own: Vec<String> = outline
        .functions
        .iter()
        .filter(|f| call.namespace.is_none() && f.name == call.name)
        .map(|f| format!("`{}`", f.signature()))
        .collect();
    let overloads = call.overloads();
    let hint = match own.is_empty() {
        true => called_as(overloads.iter().copied()),
        false => Some(format!("it is called as {}", own.join(" or "))),
    };
    if !own.is_empty() || !overloads.is_empty() {
        let message = format!(
            "`{}` cannot be called with ({})",
            call.full_name(),
            call.given.join(", ")
        );
        return (message, hint);
    }
    if let Some(answer) = method_not_found(&call) {
        return answer;
    }
    let message = format!("there is no function `{}`", call.full_name());
    (message, unknown_function_hint(&call, &outline))
}

/// A method that an object has not, but something like it.
fn method_not_found(call: &Call<'_>) -> Option<(String, Option<String>)> {
    let kind = call.given.first().filter(|_| call.namespace.is_none())?;
    let is_object = objects().iter().any(|shape| shape.name == kind);
    let hint = catalogue().method_hint(kind, call.name).filter(|_| is_object)?;
    let message = format!("{} has no method `{}`", with_article(kind), call.name);
    Some((message, Some(hint)))
}

fn is_operator(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn unknown_function_hint(call: &Call<'_>, outline: &Outline<'_>) -> Option<String> {
    let own = outline.functions.iter().map(|f| f.name);
    let near = catalogue().meant(call.namespace, call.name, own);
    if let (None, Some(namespace)) = (&near, call.namespace) {
        let names: Vec<&str> = catalogue().names_in(namespace).into_iter().collect();
        return (!names.is_empty()).then(|| format!("`{namespace}::` has {}", names.join(", ")));
    }
    near.map(|near| did_you_mean(&near))
}

fn module_not_found(name: &str) -> (String, Option<String>) {
    let hint = catalogue()
        .module_meant(name)
        .map(|near| did_you_mean(&format!("{near}::")));
    (format!("there is no module `{name}`"), hint)
}

/// `Unknown property 'siz' - a getter is not registered for type 'Duration'`.
fn property_not_found(text: &str) -> Option<(String, Option<String>)> {
    let parts: Vec<&str> = text.split('\'').collect();
    let (["Unknown property ", name, .., kind, _] | ["Unknown property ", name, .., kind]) = parts.as_slice() else {
        return None;
    };
    let kind = plain_type(kind);
    let hint = catalogue().property_hint(kind, name);
    Some((format!("{} has no property `{name}`", with_article(kind)), hint))
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
                "it is called as `parallel_map(items: any, closure: closure) -> array` or `parallel_map(items: any, closure: closure, options: map) -> array`",
            ),
            ("fss::read(\"x\")", "there is no module `fss`", "did you mean `fs::`?"),
            (
                "let total = 1; totl + 1",
                "there is no variable `totl`",
                "did you mean `total`?",
            ),
            (
                "v = 1; v",
                "there is no variable `v`",
                "variables are declared first: `let v = …`",
            ),
            (
                "image::list",
                "`image::list` is a function",
                "call it: `image::list(…)`",
            ),
            (
                "image.list()",
                "`image` is a module",
                "its functions are called as `image::diff(…)`; `hoist doc image` shows them",
            ),
            ("[1].jion(\",\")", "there is no function `jion`", "did you mean `join`?"),
            (
                "1.hours.minuts",
                "a Duration has no property `minuts`",
                "did you mean `minutes`?",
            ),
            (
                "1.hours.Minutes",
                "a Duration has no property `Minutes`",
                "did you mean `minutes`?",
            ),
            (
                "1.hours.abs",
                "a Duration has no property `abs`",
                "it is a method, with brackets: `.abs()`",
            ),
            (
                "1.hours.minutes()",
                "a Duration has no method `minutes`",
                "it is a property, without brackets: `.minutes`",
            ),
            ("[1].length()", "there is no function `length`", "did you mean `len`?"),
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
