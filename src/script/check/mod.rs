//! What is wrong with a script, found without running it.
//!
//! Nothing is said where it is not sure: of a value whose type is not known, any method is taken for granted.

mod calls;
mod imports;
mod kinds;
mod walk;

use rhai::Position;

use super::diagnostic::Diagnostic;
use super::engine;
use super::explain::explain;
use super::runner::Source;

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// It cannot be parsed.
    Syntax,
    /// Its header cannot be read.
    Header,
    /// A module cannot be imported.
    Import,
    /// A module, function, method, property or variable that is not there.
    Unknown,
    /// A function with a number of arguments that it does not take.
    Arguments,
    /// A key of an options map that the function does not know.
    Option,
    /// A call that the script's header does not allow.
    Denied,
    /// A variable, parameter, import or function that nothing uses.
    Unused,
    /// A statement that is never reached.
    Unreachable,
}

impl Problem {
    /// The word for it, in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Problem::Syntax => "syntax",
            Problem::Header => "header",
            Problem::Import => "import",
            Problem::Unknown => "unknown",
            Problem::Arguments => "arguments",
            Problem::Option => "option",
            Problem::Denied => "denied",
            Problem::Unused => "unused",
            Problem::Unreachable => "unreachable",
        }
    }

    /// Whether the script would run all the same.
    pub fn is_harmless(self) -> bool {
        matches!(self, Problem::Unused | Problem::Unreachable)
    }
}

/// Something that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub problem: Problem,
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub hint: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
}

impl Finding {
    fn new(problem: Problem, position: Position, message: String, hint: Option<String>) -> Finding {
        Finding {
            problem,
            message,
            hint,
            line: position.line().unwrap_or(1),
            column: position.position().unwrap_or(1),
        }
    }

    /// It as a person reads it, with the line of the script.
    pub fn report(&self, source: &Source) -> Diagnostic {
        let title = if self.problem.is_harmless() { "warning" } else { "error" };
        Diagnostic::new(title, self.problem.name(), &self.message, self.hint.clone()).at(source, self.line, self.column)
    }
}

/// All that is wrong with a script, in the order of its lines.
pub fn check(source: &Source) -> Vec<Finding> {
    let engine = engine::parser();
    let ast = match engine.compile(&source.code) {
        Ok(ast) => ast,
        Err(error) => {
            let position = error.position();
            let (message, hint) = explain(&error.into(), &engine, &source.code);
            return vec![Finding::new(Problem::Syntax, position, message, hint)];
        }
    };
    let (header, fault) = match source.header() {
        Ok(header) => (Some(header), None),
        Err(error) => {
            let hint = error.way_out().map(str::to_owned);
            let fault = Finding::new(Problem::Header, Position::NONE, error.to_string(), hint);
            (None, Some(fault))
        }
    };
    let mut findings = walk::walk(source, &ast, header.as_ref());
    findings.extend(fault);
    findings.sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests;
