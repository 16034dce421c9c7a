//! A script in the form all scripts have: indentation by four, one space where words meet, long calls an item to a line.
//!
//! Only white space and commas before closing brackets change. Where a line ends is up to whoever writes, unless it is too long.

mod breaks;
mod layout;
mod spacing;

use super::engine;
use super::explain::explain;
use super::runner::Source;
use super::tokens::{Token, tokens};
use crate::error::{Error, Result};

/// The script as it is to be; it starts with its `#!` line if it has one.
///
/// Errors: `invalid` for one that does not parse, with the place.
pub fn format(name: &str, code: &str) -> Result<String> {
    parse(name, code)?;
    let formatted = layout::layout(code);
    if words(code) != words(&formatted) || parse(name, &formatted).is_err() {
        let error = Error::internal(format!("formatting `{name}` would change what it means"));
        return Err(error.hint("nothing was written; this is a fault of Hoist: please report it"));
    }
    Ok(formatted)
}

fn parse(name: &str, code: &str) -> Result<()> {
    let (engine, source) = (engine::parser(), Source::text(name, code));
    let Err(error) = engine.compile(&source.code) else {
        return Ok(());
    };
    let (line, column) = (
        error.position().line().unwrap_or(1),
        error.position().position().unwrap_or(1),
    );
    let (message, _) = explain(&error.into(), &engine, &source.code);
    Err(Error::invalid(format!(
        "`{name}` does not parse: {message}, at line {line}, column {column}"
    )))
}

/// What a script says: its tokens, but for commas that say nothing.
fn words(code: &str) -> Vec<&str> {
    let all = tokens(code);
    let ends = |at: usize| {
        let next = all[at + 1..].iter().find(|token| !token.is_comment());
        next.is_some_and(closes)
    };
    let kept = all
        .iter()
        .enumerate()
        .filter(|(at, token)| !(token.is(",") && ends(*at)));
    kept.map(|(_, token)| token.text.trim_end()).collect()
}

fn opens(token: &Token<'_>) -> bool {
    ["(", "[", "{", "#{", "?["].iter().any(|symbol| token.is(symbol))
}

fn closes(token: &Token<'_>) -> bool {
    [")", "]", "}"].iter().any(|symbol| token.is(symbol))
}

#[cfg(test)]
mod tests;
