//! A script that grows line by line: variables and functions stay, and an error leaves what was there before.

use std::sync::{Arc, Mutex, PoisonError};

use rhai::{AST, Array, Dynamic, Engine, EvalAltResult, FnPtr, LexError, Map, ParseErrorType, Position, Scope};

use super::Diagnostic;
use super::runner::{Source, clean_up, guarded};
use crate::bindings::failure::{Scripted, is_unwinding};
use crate::bindings::object::Shape;
use crate::bindings::registry::Server;
use crate::bindings::value::plain_type;
use crate::bindings::{Format, Session, card};
use crate::error::Result;
use crate::host::{Container, Image};
use crate::model::Context;

/// The variable that has the last value.
pub const LAST: &str = "_";

/// A value of a script, to be looked at.
#[derive(Debug, Clone)]
pub struct Value(Dynamic);

impl Value {
    /// Its type, as scripts call it.
    pub fn kind(&self) -> String {
        let own = Shape::find(&self.0).map(|shape| shape.name);
        own.unwrap_or_else(|| plain_type(self.0.type_name())).to_owned()
    }

    /// Whether it is `()`.
    pub fn is_nothing(&self) -> bool {
        self.0.is_unit()
    }

    /// The keys of a map.
    pub fn keys(&self) -> Vec<String> {
        let map = self.0.read_lock::<Map>();
        map.map(|map| map.keys().map(ToString::to_string).collect())
            .unwrap_or_default()
    }

    /// What a map has under a key.
    pub fn field(&self, key: &str) -> Option<Value> {
        self.0.read_lock::<Map>()?.get(key).cloned().map(Value)
    }

    /// An item of an array: that at a place, or else the first.
    pub fn item(&self, place: Option<usize>) -> Option<Value> {
        let items = self.0.read_lock::<Array>()?;
        let item = place.and_then(|place| items.get(place)).or_else(|| items.first());
        item.cloned().map(Value)
    }

    /// Its text for the prompt.
    pub fn show(&self, format: Format) -> Result<String> {
        card::show_card(&self.0, format)
    }
}

/// How an input ended.
#[derive(Debug)]
pub enum Reply {
    /// The value.
    Value(Value),
    /// What was thrown and not caught, as a report for a person.
    Error(String),
    /// The input called `exit` with this code.
    Exit(u8),
}

/// The interpreter between inputs.
pub struct Interactive {
    session: Session,
    engine: Engine,
    scope: Scope<'static>,
    /// The functions defined so far; closures kept in variables need them too.
    functions: AST,
    inputs: usize,
    /// What is being read now.
    text: Arc<Mutex<String>>,
}

impl Interactive {
    /// Nothing defined yet.
    pub fn new(session: &Session) -> Interactive {
        let mut scope = Scope::new();
        scope.push(LAST, Dynamic::UNIT);
        Interactive::with(session, scope, AST::empty())
    }

    fn with(session: &Session, scope: Scope<'static>, functions: AST) -> Interactive {
        let mut engine = super::engine(session);
        let text: Arc<Mutex<String>> = Arc::default();
        super::engine::allow_last(&mut engine, text.clone());
        Interactive {
            session: session.clone(),
            engine,
            scope,
            functions,
            inputs: 0,
            text,
        }
    }

    /// The same functions and variables in another session. Images and containers are those which that one knows by their ids; what it
    /// does not know, and servers, are `()` there.
    pub fn moved(&self, session: &Session) -> Result<Interactive> {
        let mut scope = Scope::new();
        for (name, is_constant, value) in self.scope.iter() {
            let value = moved(value, session)?;
            match is_constant {
                true => scope.push_constant_dynamic(name, value),
                false => scope.push_dynamic(name, value),
            };
        }
        Ok(Interactive::with(session, scope, self.functions.clone()))
    }

    /// Whether more lines are needed before the input can be understood: an open bracket or string.
    pub fn is_incomplete(&self, input: &str) -> bool {
        self.read(input);
        is_incomplete(&self.engine, input)
    }

    fn read(&self, input: &str) {
        input.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The names of the variables.
    pub fn variables(&self) -> Vec<String> {
        self.scope.iter().map(|(name, ..)| name.to_owned()).collect()
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<Value> {
        self.scope.get(name).map(|value| Value(value.flatten_clone()))
    }

    /// Evaluates a complete input under `context`. What it comes to is the last value from then on, unless that is nothing.
    pub fn evaluate(&mut self, input: &str, context: Context) -> Reply {
        self.inputs += 1;
        let source = Source::text(&format!("<line {}>", self.inputs), input);
        self.run(&source, context)
    }

    /// Evaluates a script as if it were an input.
    pub fn run(&mut self, source: &Source, context: Context) -> Reply {
        let thrown = match self.value_of(source, context) {
            Ok(value) => {
                if !value.is_unit() {
                    self.scope.set_or_push(LAST, value.clone());
                }
                return Reply::Value(Value(value));
            }
            Err(thrown) => thrown,
        };
        match self.session.exit_code() {
            Some(code) if is_unwinding(&thrown) => Reply::Exit(code),
            _ => Reply::Error(self.report(&thrown, source)),
        }
    }

    fn report(&self, thrown: &EvalAltResult, source: &Source) -> String {
        Diagnostic::of(thrown, source, &self.engine).to_string()
    }

    fn value_of(&mut self, source: &Source, context: Context) -> Scripted<Dynamic> {
        self.read(&source.code);
        let mut ast = self.engine.compile_with_scope(&self.scope, &source.code)?;
        ast.set_source(source.name.as_str());
        let functions = ast.clone_functions_only();
        let whole = self.functions.merge(&ast);
        let (engine, scope) = (&self.engine, &mut self.scope);
        let value = guarded(context, || engine.eval_ast_with_scope::<Dynamic>(scope, &whole));
        self.functions.combine(functions);
        value
    }

    /// Runs what was deferred and removes temporary files; returns a report when that failed.
    pub fn close(self) -> Option<String> {
        let thrown = clean_up(&self.session, &self.engine, &self.functions)?;
        Some(self.report(&thrown, &Source::text("<deferred>", "")))
    }
}

/// A value as another session has it, however deep.
fn moved(value: Dynamic, session: &Session) -> Result<Dynamic> {
    let value = value.flatten();
    if let Some(image) = value.read_lock::<Image>() {
        let found = session.host()?.find_image(image.id().as_str())?;
        return Ok(found.map_or(Dynamic::UNIT, Dynamic::from));
    }
    if let Some(container) = value.read_lock::<Container>() {
        let found = session.host()?.find_container(container.id().as_str())?;
        return Ok(found.map_or(Dynamic::UNIT, Dynamic::from));
    }
    if value.is::<Server>() {
        return Ok(Dynamic::UNIT);
    }
    if value.is_array() {
        let items = value.cast::<Array>().into_iter();
        return Ok(items
            .map(|item| moved(item, session))
            .collect::<Result<Array>>()?
            .into());
    }
    if value.is_map() {
        let fields = value.cast::<Map>().into_iter();
        let fields = fields.map(|(name, value)| Ok((name, moved(value, session)?)));
        return Ok(fields.collect::<Result<Map>>()?.into());
    }
    match value.is::<FnPtr>() {
        true => {
            let mut closure = value.cast::<FnPtr>();
            for captured in closure.iter_curry_mut() {
                *captured = moved(std::mem::take(captured), session)?;
            }
            Ok(Dynamic::from(closure))
        }
        false => Ok(value),
    }
}

/// Whether the input ends in the middle of something.
fn is_incomplete(engine: &Engine, input: &str) -> bool {
    let Err(error) = engine.compile(input) else {
        return false;
    };
    match error.err_type() {
        ParseErrorType::UnexpectedEOF => true,
        ParseErrorType::BadInput(LexError::UnterminatedString) => is_open_template(engine, input),
        ParseErrorType::MissingToken(..) | ParseErrorType::ExprExpected(..) => ends_at(input, error.position()),
        _ => false,
    }
}

/// Whether the string left open is one in backticks, which may span lines.
fn is_open_template(engine: &Engine, input: &str) -> bool {
    let closed = engine.compile(format!("{input}\n`"));
    !closed.is_err_and(|error| matches!(error.err_type(), ParseErrorType::BadInput(LexError::UnterminatedString)))
}

/// Whether a position is behind the last word of the input.
fn ends_at(input: &str, position: Position) -> bool {
    let (Some(line), column) = (position.line(), position.position().unwrap_or(0)) else {
        return true;
    };
    let lines: Vec<&str> = input.trim_end().lines().collect();
    line > lines.len() || (line == lines.len() && column > lines[line - 1].chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    #[test]
    fn the_last_value_has_a_name_that_no_switch_loses() {
        let (session, _) = testing::session(false);
        let mut interactive = Interactive::new(&session);
        let mut value = |input: &str| match interactive.evaluate(input, Context::new()) {
            Reply::Value(value) => value.0.to_string(),
            other => panic!("{input}: {other:?}"),
        };
        assert_eq!(value("_"), "");
        assert_eq!(value("20"), "20");
        assert_eq!(value("let x = 1;"), "");
        assert_eq!(value("_ + _\n + 2"), "42");
        assert_eq!(value("`${_} ${[_, 1].len()}`"), "42 2");
        assert_eq!(value("switch _ { 1 => 2, _ => _ }"), "42 2");
        assert_eq!(value("let _ = 7; _"), "7");
    }

    #[test]
    fn unfinished_input_asks_for_more() {
        let engine = testing::engine();
        for (input, incomplete) in [
            ("let x = [1,", true),
            ("fn f() {", true),
            ("if x {\n  1\n}", false),
            ("foo(1, ", true),
            ("\"open", false),
            ("`open", true),
            ("1 +", true),
            ("let = 3", false),
            ("let y = ;", false),
            ("1 + 1", false),
        ] {
            assert_eq!(is_incomplete(&engine, input), incomplete, "{input}");
        }
    }
}
