//! What the cursor is in: a name, a member of a module, a property of a value, an option, or a text that is an argument.

use super::token::{Kind, Token, innermost, is_open, tokens};

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Callee<'a> {
    /// `image::get` or `sleep`.
    Function(String),
    /// A method, and the tokens of the value it is called on.
    Method(Vec<Token<'a>>, &'a str),
}

/// The call around the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) callee: Callee<'a>,
    /// How many arguments come before.
    pub(super) argument: usize,
    /// The options whose values are being written, the outermost first.
    pub(super) options: Vec<&'a str>,
    /// The options that are there already.
    pub(super) given: Vec<&'a str>,
}

/// What is to be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A comment, or a text that is no argument.
    Nowhere,
    /// A word on its own.
    Name,
    /// Behind `module::`.
    Member(&'a str),
    /// Behind a value and a dot.
    Property(Vec<Token<'a>>),
    /// The name of an option.
    Key(Call<'a>),
    /// In a text.
    Text(Call<'a>),
}

/// The end of what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    pub(super) place: Place<'a>,
    /// What is there of the word or the text.
    pub(super) word: &'a str,
    /// Where that starts.
    pub(super) start: usize,
    /// The tokens before the word.
    pub(super) before: Vec<Token<'a>>,
}

/// Looks at what stands before the cursor.
pub(super) fn look(input: &str) -> Cursor<'_> {
    let offset = innermost(input);
    let mut before = tokens(&input[offset..]);
    for token in &mut before {
        token.start += offset;
    }
    let touches = before.last().is_some_and(|last| last.end() == input.len());
    let (word, start) = match before.last().copied() {
        Some(last) if touches && last.kind == Kind::Word => {
            before.pop();
            (last.text, last.start)
        }
        Some(last) if is_open(&last) => {
            before.pop();
            let quote = last.text.find(['"', '\'', '`']).map_or(0, |at| at + 1);
            let place = enclosing(&before).map_or(Place::Nowhere, Place::Text);
            return Cursor {
                place,
                word: &last.text[quote..],
                start: last.start + quote,
                before,
            };
        }
        _ => ("", input.len()),
    };
    let place = match before.last() {
        Some(last) if last.is_comment() || touches && last.kind == Kind::Number => Place::Nowhere,
        last => place(&before, last.copied()),
    };
    Cursor {
        place,
        word,
        start,
        before,
    }
}

fn place<'a>(before: &[Token<'a>], last: Option<Token<'a>>) -> Place<'a> {
    let Some(last) = last.filter(|last| last.kind == Kind::Symbol) else {
        return Place::Name;
    };
    let count = before.len();
    match last.text {
        "::" => match before.get(count.wrapping_sub(2)) {
            Some(module) if module.kind == Kind::Word => Place::Member(module.text),
            _ => Place::Nowhere,
        },
        "." | "?." => Place::Property(operand(&before[..count - 1]).to_vec()),
        "#{" | "," => match enclosing(before) {
            Some(call) if is_in_map(before) => Place::Key(call),
            _ => Place::Name,
        },
        _ => Place::Name,
    }
}

/// The brackets that are open, outermost first.
fn open(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut open = Vec::new();
    for (index, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.kind == Kind::Symbol)
    {
        match token.text {
            "(" | "[" | "{" | "#{" | "?[" => open.push(index),
            ")" | "]" | "}" => _ = open.pop(),
            _ => {}
        }
    }
    open
}

fn is_in_map(tokens: &[Token<'_>]) -> bool {
    open(tokens).last().is_some_and(|last| tokens[*last].is("#{"))
}

/// The call whose argument, option or element of an argument is written at the end of these tokens.
pub(super) fn enclosing<'a>(tokens: &[Token<'a>]) -> Option<Call<'a>> {
    let (mut options, mut given, mut is_first) = (Vec::new(), Vec::new(), true);
    for at in open(tokens).into_iter().rev() {
        let inside = &tokens[at + 1..];
        match tokens[at].text {
            "(" => {
                return Some(Call {
                    callee: callee(&tokens[..at])?,
                    argument: commas(inside).len(),
                    options,
                    given,
                });
            }
            "[" => {}
            "#{" => {
                let (option, keys) = keys(inside);
                options.splice(..0, option);
                if is_first {
                    given = keys;
                }
            }
            _ => return None,
        }
        is_first = false;
    }
    None
}

/// The commas that are in no bracket of these tokens.
fn commas(tokens: &[Token<'_>]) -> Vec<usize> {
    let (mut depth, mut commas) = (0, Vec::new());
    for (index, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.kind == Kind::Symbol)
    {
        match token.text {
            "(" | "[" | "{" | "#{" | "?[" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            "," if depth == 0 => commas.push(index),
            _ => {}
        }
    }
    commas
}

/// The key whose value is open at the end of what is in a map, and the keys that are there.
fn keys<'a>(inside: &[Token<'a>]) -> (Option<&'a str>, Vec<&'a str>) {
    let commas = commas(inside);
    let starts = std::iter::once(0).chain(commas.iter().map(|at| at + 1));
    let key = |at: usize| match (inside.get(at), inside.get(at + 1)) {
        (Some(name), Some(colon)) if colon.is(":") => Some(name.text.trim_matches('"')),
        _ => None,
    };
    let given: Vec<&str> = starts.clone().filter_map(key).collect();
    (starts.last().and_then(key), given)
}

/// What a bracket behind these tokens calls.
fn callee<'a>(tokens: &[Token<'a>]) -> Option<Callee<'a>> {
    let (name, rest) = tokens.split_last()?;
    if name.kind != Kind::Word {
        return None;
    }
    Some(match rest {
        [.., module, sign] if sign.is("::") && module.kind == Kind::Word => {
            Callee::Function(format!("{}::{}", module.text, name.text))
        }
        [value @ .., sign] if sign.is(".") || sign.is("?.") => Callee::Method(operand(value).to_vec(), name.text),
        _ => Callee::Function(name.text.to_owned()),
    })
}

/// The tokens at the end that are one value: `image::list()[0].tags`.
pub(super) fn operand<'a, 't>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut start = tokens.len();
    while let Some(part) = start.checked_sub(1).and_then(|last| unit(tokens, last)) {
        start = part;
        let joins = |sign: &Token<'_>| sign.is(".") || sign.is("?.") || sign.is("::");
        // What is called or indexed belongs to the bracket behind it.
        let is_bracket = matches!(tokens[start].text, "(" | "[" | "?[");
        let is_call = is_bracket
            && start > 0
            && (tokens[start - 1].kind == Kind::Word || matches!(tokens[start - 1].text, ")" | "]"))
            && !is_keyword(tokens[start - 1].text);
        match start.checked_sub(1) {
            Some(_) if is_call => {}
            Some(sign) if !is_bracket && joins(&tokens[sign]) => start = sign,
            _ => break,
        }
    }
    &tokens[start..]
}

/// The start of the name, the text or the bracket that ends here.
fn unit(tokens: &[Token<'_>], last: usize) -> Option<usize> {
    match tokens[last].kind {
        Kind::Word if is_keyword(tokens[last].text) => None,
        Kind::Word | Kind::Number | Kind::Text => Some(last),
        Kind::Symbol if matches!(tokens[last].text, ")" | "]" | "}") => super::token::partner(tokens, last),
        _ => None,
    }
}

fn is_keyword(word: &str) -> bool {
    super::completer::KEYWORDS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(input: &str) -> String {
        let cursor = look(input);
        let text = |tokens: &[Token<'_>]| tokens.iter().map(|token| token.text).collect::<String>();
        let call = |call: &Call<'_>| {
            let callee = match &call.callee {
                Callee::Function(name) => name.clone(),
                Callee::Method(value, name) => format!("{}.{name}", text(value)),
            };
            format!("{callee}/{} {:?} {:?}", call.argument, call.options, call.given)
        };
        let place = match &cursor.place {
            Place::Nowhere => "nowhere".to_owned(),
            Place::Name => "name".to_owned(),
            Place::Member(module) => format!("member of {module}"),
            Place::Property(value) => format!("property of {}", text(value)),
            Place::Key(around) => format!("key of {}", call(around)),
            Place::Text(around) => format!("text of {}", call(around)),
        };
        assert!(input.ends_with(cursor.word) && cursor.start + cursor.word.len() == input.len());
        format!("{place}: {}", cursor.word)
    }

    #[test]
    fn the_place_of_the_cursor_is_known() {
        for (input, wanted) in [
            ("", "name: "),
            ("let x = ima", "name: ima"),
            ("x + image::li", "member of image: li"),
            ("image::list()[0].ta", "property of image::list()[0]: ta"),
            ("print(image::list(#{all: true}).filter(|i| i.si", "property of i: si"),
            ("if x { a.b().c[1].", "property of a.b().c[1]: "),
            ("return (1 + 2).", "property of (1+2): "),
            ("[1, 2].", "property of [1,2]: "),
            ("image::pull(x, #{pla", "key of image::pull/1 [] []: pla"),
            (
                "image::pull(x, #{platform: \"a\", ",
                "key of image::pull/1 [] [\"platform\"]: ",
            ),
            ("let m = #{a", "name: a"),
            ("image::get(\"al", "text of image::get/0 [] []: al"),
            ("image::tag(f(1, 2), \"al", "text of image::tag/1 [] []: al"),
            ("image::save([\"a\", \"b", "text of image::save/0 [] []: b"),
            ("c.copy_in(\"/e", "text of c.copy_in/0 [] []: /e"),
            (
                "container::run(i, #{volumes: [\"da",
                "text of container::run/1 [\"volumes\"] []: da",
            ),
            (
                "container::run(i, #{health: #{cmd: \"x\", int",
                "key of container::run/1 [\"health\"] [\"cmd\"]: int",
            ),
            (
                "container::run(i, #{pull: \"mis",
                "text of container::run/1 [\"pull\"] [\"pull\"]: mis",
            ),
            ("let a = \"x", "nowhere: x"),
            ("// ima", "nowhere: "),
            ("1", "nowhere: "),
            ("print(`${image::get(\"b", "text of image::get/0 [] []: b"),
            ("f(|x| { image::", "member of image: "),
        ] {
            assert_eq!(place(input), wanted, "{input}");
        }
    }
}
