//! The interpreter, built and limited: the same limits in every build, output redirected, cancelling wired in.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::{Array, Dynamic, Engine, Module, OptimizationLevel, Position, Token};

use crate::bindings::{self, Failure, Session, args, command, scope};

/// How deep scripts may call and nest. The interpreter's defaults differ between debug and release builds; these do not.
const CALL_LEVELS: usize = 128;
const EXPRESSION_DEPTH: usize = 128;
/// No single value may grow beyond these: a runaway loop ends with an error rather than with the machine.
const STRING_BYTES: usize = 256 << 20;
const ITEMS: usize = 10_000_000;
/// How many operations pass between two looks at the clock.
const CHECK_EVERY: u64 = 16;

/// An engine whose every run belongs to `session`.
pub(super) fn build(session: &Session) -> Engine {
    let mut engine = Engine::new();
    limit(&mut engine);
    bindings::register(&mut engine);
    engine.register_global_module(variables(session).into());
    let told = &session.settings().told;
    if !told.is_empty() {
        engine.register_static_module(args::TOLD, args::told(told).into());
    }
    if session.settings().command.is_some() {
        command::register(&mut engine);
    }
    engine.set_default_tag(Dynamic::from(session.clone()));
    let out = session.clone();
    engine.on_print(move |text| out.print(&format!("{text}\n")));
    let talk = session.clone();
    engine.on_debug(move |text, source, position| {
        let line = located(text, source, position);
        talk.settings().console.talk(&scope::marked(&line));
    });
    engine.on_progress(stop_reason);
    allow_until(&mut engine);
    engine
}

/// An engine that only parses, and leaves the script as it is written: it knows no functions.
pub(super) fn parser() -> Engine {
    let mut engine = Engine::new_raw();
    limit(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    allow_until(&mut engine);
    engine
}

thread_local! {
    /// Whether the token before the one being read has a name come after it.
    static BEFORE_NAME: Cell<bool> = const { Cell::new(false) };
}

/// Lets options be called `until`, which is a keyword only at the end of a loop: `#{until: …}`, `options.until`.
#[expect(
    deprecated,
    reason = "the interpreter calls it volatile, not deprecated; a test would tell"
)]
fn allow_until(engine: &mut Engine) {
    engine.on_parse_token(|token, _, _| until(token));
}

fn until(token: Token) -> Token {
    let begins_name = matches!(
        token,
        Token::MapStart | Token::Comma | Token::Period | Token::Elvis | Token::DoubleColon
    );
    match (BEFORE_NAME.replace(begins_name), token) {
        (true, Token::Until) => Token::Identifier(Box::new("until".into())),
        (_, token) => token,
    }
}

/// Lets `_` be a variable as well, wherever it is not what the last arm of a `switch` begins with. `text` is what is read.
#[expect(
    deprecated,
    reason = "the interpreter calls it volatile, not deprecated; a test would tell"
)]
pub(super) fn allow_last(engine: &mut Engine, text: Arc<Mutex<String>>) {
    engine.on_parse_token(move |token, position, _| match until(token) {
        Token::Underscore if !is_arm(&text.lock().unwrap_or_else(PoisonError::into_inner), position) => {
            Token::Identifier(Box::new(super::interactive::LAST.into()))
        }
        token => token,
    });
}

/// Whether `=>` comes behind the letter here.
fn is_arm(text: &str, position: Position) -> bool {
    let (Some(line), Some(column)) = (position.line(), position.position()) else {
        return true;
    };
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let behind = text[start..]
        .char_indices()
        .nth(column)
        .map_or("", |(at, _)| &text[start + at..]);
    behind.trim_start().starts_with("=>")
}

/// The global `args`; unlike a variable of the script it is seen inside functions too.
fn variables(session: &Session) -> Module {
    let args: Array = session.settings().args.iter().cloned().map(Dynamic::from).collect();
    let mut module = Module::new();
    module.set_var("args", args);
    module
}

fn limit(engine: &mut Engine) {
    engine
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTH, EXPRESSION_DEPTH)
        .set_max_string_size(STRING_BYTES)
        .set_max_array_size(ITEMS)
        .set_max_map_size(ITEMS)
        .set_max_operations(0)
        .set_max_variables(10_000)
        .set_max_functions(10_000)
        .set_max_modules(1_000);
}

fn located(text: &str, source: Option<&str>, position: Position) -> String {
    match (source, position.line()) {
        (Some(source), Some(line)) => format!("{source}:{line}: {text}"),
        (None, Some(line)) => format!("line {line}: {text}"),
        _ => text.to_owned(),
    }
}

/// Why the script must stop now, as the value it ends with.
fn stop_reason(operations: u64) -> Option<Dynamic> {
    if !operations.is_multiple_of(CHECK_EVERY) {
        return None;
    }
    let error = scope::current()?.check().err()?;
    Some(Dynamic::from(Failure::new(error, Position::NONE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_name_where_one_is_expected_and_a_keyword_elsewhere() {
        let mut engine = Engine::new();
        allow_until(&mut engine);
        let script = r#"
            let n = 0;
            do { n += 1; } until n >= 3;
            let options = #{ until: n, since: 1 };
            let more = #{since: 1,
                until: options.until};
            [options.until, more?.until, more["until"]]
        "#;
        let values: Array = engine.eval(script).unwrap();
        let values: Vec<rhai::INT> = values.into_iter().map(|value| value.as_int().unwrap()).collect();
        assert_eq!(values, [3, 3, 3]);
        assert!(engine.eval::<()>("let until = 1;").is_err());
    }
}
