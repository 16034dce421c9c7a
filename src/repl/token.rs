//! What the lexer of scripts leaves open: texts whose end is to come, the code in them, and which brackets belong together.

pub(super) use crate::script::tokens::{Kind, Token, tokens};

/// Whether it is a text whose end is still to come.
pub(super) fn is_open(token: &Token<'_>) -> bool {
    let found = crate::script::tokens::text(token.text, 0);
    token.kind == Kind::Text && found.is_some_and(|(content, end)| content.end == end)
}

/// How long the code of `${…}` is, with its bracket; `None` while that is to come.
fn interpolation(code: &str) -> Option<usize> {
    let mut depth = 0;
    for token in tokens(code) {
        match token.text {
            "{" | "#{" => depth += 1,
            "}" if depth == 0 => return Some(token.end()),
            "}" => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the code starts that the end of the input is in: behind `${` where that is open, else at the start.
pub(super) fn innermost(input: &str) -> usize {
    let Some(last) = tokens(input).pop().filter(is_open) else {
        return 0;
    };
    if !last.text.starts_with('`') {
        return 0;
    }
    let open = last.text.match_indices("${").map(|(at, _)| at + 2);
    let inside = open.filter(|at| interpolation(&last.text[*at..]).is_none()).last();
    inside.map_or(0, |at| last.start + at + innermost(&last.text[at..]))
}

/// Where the bracket is that belongs to the one at `index`, in either direction.
pub(super) fn partner(tokens: &[Token<'_>], index: usize) -> Option<usize> {
    let opens = |token: &Token<'_>| token.kind == Kind::Symbol && matches!(token.text, "(" | "[" | "{" | "#{" | "?[");
    let closes = |token: &Token<'_>| token.kind == Kind::Symbol && matches!(token.text, ")" | "]" | "}");
    let mut depth = 0;
    let mut step = |token: &Token<'_>, down: bool| {
        depth += i32::from(opens(token)) - i32::from(closes(token));
        match down {
            true => depth <= 0,
            false => depth >= 0,
        }
    };
    if opens(&tokens[index]) {
        (index..tokens.len()).find(|at| step(&tokens[*at], true))
    } else {
        (0..=index).rev().find(|at| step(&tokens[*at], false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_open_until_their_end_comes() {
        for (text, open) in [
            ("\"", true),
            ("\"\"", false),
            ("\"a\\\"", true),
            ("`a", true),
            ("`a ${\"`\"}`", false),
            ("#\"a\"", true),
        ] {
            let found = tokens(text);
            assert_eq!((found.len(), is_open(&found[0])), (1, open), "{text}");
        }
    }

    #[test]
    fn code_in_texts_is_found() {
        assert_eq!(innermost("print(`x ${ima"), 11);
        assert_eq!(innermost("print(`x ${a} "), 0);
        assert_eq!(innermost("`${ `${"), 7);
        assert_eq!(innermost("\"${"), 0);
    }

    #[test]
    fn brackets_have_partners() {
        let found = tokens("f(#{a: [1, (2)]})");
        for (open, close) in [(1, found.len() - 1), (2, found.len() - 2)] {
            assert_eq!(partner(&found, open), Some(close));
            assert_eq!(partner(&found, close), Some(open));
        }
        assert_eq!(partner(&tokens("f(a"), 1), None);
    }
}
