//! Colours for what is typed: none of them says anything that the text does not.

use super::completer::KEYWORDS;
use super::token::{Kind, Token, partner, tokens};

const KEYWORD: &str = "35";
const TEXT: &str = "32";
const NUMBER: &str = "33";
const CALL: &str = "36";
const MODULE: &str = "34";
const GREY: &str = "90";
/// Bold, and underlined.
const PARTNER: &str = "1;4";

/// What is only a hint.
pub(super) fn faint(text: &str) -> String {
    painted(text, GREY)
}

/// A line with colours; the bracket at the cursor and its partner stand out.
pub(super) fn highlight(line: &str, cursor: usize) -> String {
    let all = tokens(line);
    let pair = brackets(&all, cursor);
    let (mut text, mut at) = (String::with_capacity(line.len() * 2), 0);
    for (index, token) in all.iter().enumerate() {
        text.push_str(&line[at..token.start]);
        match colour(&all, index, pair) {
            Some(colour) => text.push_str(&painted(token.text, colour)),
            None => text.push_str(token.text),
        }
        at = token.end();
    }
    text + &line[at..]
}

fn painted(text: &str, colour: &str) -> String {
    format!("\x1b[{colour}m{text}\x1b[0m")
}

fn colour(all: &[Token<'_>], index: usize, pair: Option<(usize, usize)>) -> Option<&'static str> {
    let token = &all[index];
    let next = all.get(index + 1);
    match token.kind {
        Kind::LineComment | Kind::BlockComment => Some(GREY),
        Kind::Text => Some(TEXT),
        Kind::Number => Some(NUMBER),
        Kind::Word if KEYWORDS.contains(&token.text) => Some(KEYWORD),
        Kind::Word if matches!(token.text, "true" | "false" | "this") => Some(NUMBER),
        Kind::Word if next.is_some_and(|next| next.is("::")) => Some(MODULE),
        Kind::Word if next.is_some_and(|next| next.is("(")) => Some(CALL),
        Kind::Symbol if pair.is_some_and(|(left, right)| index == left || index == right) => Some(PARTNER),
        _ => None,
    }
}

/// The bracket under the cursor, or before it, and its partner.
fn brackets(all: &[Token<'_>], cursor: usize) -> Option<(usize, usize)> {
    let is_bracket = |token: &Token<'_>| {
        token.kind == Kind::Symbol && matches!(token.text, "(" | "[" | "{" | "#{" | "?[" | ")" | "]" | "}")
    };
    let at = |place: usize| {
        all.iter()
            .position(|token| is_bracket(token) && token.start <= place && place < token.end())
    };
    let index = at(cursor).or_else(|| at(cursor.checked_sub(1)?))?;
    Some((index, partner(all, index)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(line: &str, cursor: usize) -> String {
        let coloured = highlight(line, cursor);
        let plain: String = regex::Regex::new("\x1b\\[[0-9;]*m")
            .unwrap()
            .replace_all(&coloured, "")
            .into_owned();
        assert_eq!(plain, line);
        coloured.replace("\x1b[0m", ">").replace("\x1b[", "<")
    }

    #[test]
    fn a_line_has_colours_and_the_same_letters() {
        assert_eq!(
            marked("let x = image::get(\"é\", 10); // ok", 0),
            "<35mlet> x = <34mimage>::<36mget>(<32m\"é\">, <33m10>); <90m// ok>"
        );
        assert_eq!(marked("if true { \"ope", 0), "<35mif> <33mtrue> { <32m\"ope>");
        assert_eq!(marked("", 0), "");
    }

    #[test]
    fn the_partner_of_a_bracket_stands_out() {
        assert_eq!(marked("[(1)]", 4), "<1;4m[>(<33m1>)<1;4m]>");
        assert_eq!(marked("[(1)]", 5), "<1;4m[>(<33m1>)<1;4m]>");
        assert_eq!(marked("[(", 2), "[(");
    }
}
