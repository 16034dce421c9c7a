//! A script that grows line by line: variables and functions stay, and an error leaves what was there before.

use rhai::{AST, Dynamic, Engine, EvalAltResult, LexError, ParseErrorType, Position, Scope};

use super::Diagnostic;
use super::runner::{Source, clean_up, guarded};
use crate::bindings::failure::{Scripted, is_unwinding};
use crate::bindings::object::Shape;
use crate::bindings::value::plain_type;
use crate::bindings::{Session, table};
use crate::model::Context;

/// How an input ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// The value, as text to print.
    Value(String),
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
}

impl Interactive {
    /// Nothing defined yet.
    pub fn new(session: &Session) -> Interactive {
        Interactive {
            session: session.clone(),
            engine: super::engine(session),
            scope: Scope::new(),
            functions: AST::empty(),
            inputs: 0,
        }
    }

    /// Whether more lines are needed before the input can be understood: an open bracket or string.
    pub fn is_incomplete(&self, input: &str) -> bool {
        is_incomplete(&self.engine, input)
    }

    /// The names of the variables.
    pub fn variables(&self) -> Vec<String> {
        self.scope.iter().map(|(name, ..)| name.to_owned()).collect()
    }

    /// The type of a variable, as scripts call it.
    pub fn variable_type(&self, name: &str) -> Option<String> {
        let value = self.scope.get(name)?;
        let own = Shape::find(value).map(|shape| shape.name);
        Some(own.unwrap_or_else(|| plain_type(value.type_name())).to_owned())
    }

    /// Evaluates a complete input under `context`.
    pub fn evaluate(&mut self, input: &str, context: Context) -> Reply {
        self.inputs += 1;
        let source = Source::text(&format!("<line {}>", self.inputs), input);
        let thrown = match self.value_of(&source, context) {
            Ok(value) => match table::show(&value, self.session.settings().format) {
                Ok(text) => return Reply::Value(text),
                Err(error) => return Reply::Error(format!("error: {error}")),
            },
            Err(thrown) => thrown,
        };
        match self.session.exit_code() {
            Some(code) if is_unwinding(&thrown) => Reply::Exit(code),
            _ => Reply::Error(self.report(&thrown, &source)),
        }
    }

    fn report(&self, thrown: &EvalAltResult, source: &Source) -> String {
        Diagnostic::of(thrown, source, &self.engine).to_string()
    }

    fn value_of(&mut self, source: &Source, context: Context) -> Scripted<Dynamic> {
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
