//! A script as words, texts, symbols and comments, with their places: for what must see what the parser drops, or a script that is
//! not finished.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Word,
    /// A number, with its suffixes.
    Number,
    /// A text or a character, with its quotes; a template with all that is in it.
    Text,
    /// One symbol of the language, such as `::` or `#{`.
    Symbol,
    /// A comment to the end of its line, without that.
    LineComment,
    /// A comment in `/*` and `*/`.
    BlockComment,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// It as it stands in the script.
    pub text: &'a str,
    /// The byte it begins at.
    pub start: usize,
}

impl Token<'_> {
    /// The byte after it.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this symbol.
    pub fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// Whether it is this word.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    /// Whether it is a comment.
    pub fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::LineComment | Kind::BlockComment)
    }
}

/// Symbols of more than one letter; of several that fit, the longest is meant.
const SYMBOLS: [&str; 39] = [
    "**=", "<<=", ">>=", "..=", "...", "===", "!==", "::<", "?.", "?[", "??", "#{", "::", "=>", "->", "<-", "==", "!=",
    "<=", ">=", "&&", "||", "**", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "..", "|>", "<|", ":=",
    "++", "--",
];

/// The tokens of a script, white space left out. Never fails: what is not closed goes to the end.
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(letter) = code[at..].chars().next() {
        if letter.is_whitespace() {
            at += letter.len_utf8();
            continue;
        }
        let (kind, end) = token(code, at, letter);
        found.push(Token {
            kind,
            text: &code[at..end],
            start: at,
        });
        at = end;
    }
    found
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn token(code: &str, at: usize, letter: char) -> (Kind, usize) {
    let rest = &code[at..];
    if rest.starts_with("//") || at == 0 && rest.starts_with("#!") {
        let length = rest.find('\n').unwrap_or(rest.len());
        return (Kind::LineComment, at + rest[..length].trim_end().len());
    }
    if rest.starts_with("/*") {
        return (Kind::BlockComment, block_comment(code, at));
    }
    if let Some((_, end)) = text(code, at) {
        return (Kind::Text, end);
    }
    if letter.is_ascii_digit() {
        return (Kind::Number, number(code, at));
    }
    if is_name(letter) {
        return (Kind::Word, at + rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
    }
    let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
    (
        Kind::Symbol,
        at + symbol.map_or(letter.len_utf8(), |symbol| symbol.len()),
    )
}

/// Where a comment ends that may have others in it.
fn block_comment(code: &str, at: usize) -> usize {
    let (mut depth, mut place) = (0, at);
    while let Some(letter) = code[place..].chars().next() {
        let rest = &code[place..];
        if rest.starts_with("/*") {
            depth += 1;
            place += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return place;
            }
        } else {
            place += letter.len_utf8();
        }
    }
    code.len()
}

/// `1`, `1_000`, `0xff`, `1.5e-3`; not the dots of `1..2` and `1.days`.
fn number(code: &str, at: usize) -> usize {
    let rest = &code.as_bytes()[at..];
    let word = |from: usize| {
        rest[from..]
            .iter()
            .take_while(|c| c.is_ascii_alphanumeric() || **c == b'_')
            .count()
    };
    let mut length = word(0);
    let is_decimal = rest[..length].iter().all(|c| c.is_ascii_digit() || *c == b'_');
    if is_decimal && rest.get(length) == Some(&b'.') && rest.get(length + 1).is_some_and(u8::is_ascii_digit) {
        length += 1 + word(length + 1);
    }
    let is_exponent = rest[length - 1].eq_ignore_ascii_case(&b'e') && !rest.starts_with(b"0x");
    if is_exponent && matches!(rest.get(length), Some(b'+' | b'-')) {
        length += 1 + word(length + 1);
    }
    at + length
}

/// The text that begins here, if one does: where its content is, and where it ends. One that is not closed goes to the end.
pub fn text(code: &str, at: usize) -> Option<(Range<usize>, usize)> {
    let rest = &code[at..];
    let marks = rest.bytes().take_while(|byte| *byte == b'#').count();
    if marks > 0 && rest[marks..].starts_with('"') {
        let (start, close) = (at + marks + 1, format!("\"{}", "#".repeat(marks)));
        let end = code[start..].find(&close).map_or(code.len(), |length| start + length);
        return Some((start..end, (end + close.len()).min(code.len())));
    }
    let quote = rest.chars().next().filter(|letter| "\"'`".contains(*letter))?;
    let start = at + 1;
    let mut place = start;
    while let Some(letter) = code[place..].chars().next() {
        match letter {
            '\\' if quote != '`' => {
                let escaped = code[place + 1..].chars().next();
                place += 1 + escaped.map_or(0, char::len_utf8);
            }
            '$' if quote == '`' && code[place..].starts_with("${") => place = expression(code, place + 2),
            '`' if quote == '`' && code[place + 1..].starts_with('`') => place += 2,
            _ if letter == quote => return Some((start..place, place + 1)),
            _ => place += letter.len_utf8(),
        }
    }
    Some((start..code.len(), code.len()))
}

/// Where an expression within a template ends, after its bracket.
fn expression(code: &str, start: usize) -> usize {
    let (mut depth, mut at) = (1, start);
    while let Some(letter) = code[at..].chars().next() {
        let end = match letter.is_whitespace() {
            true => at + letter.len_utf8(),
            false => token(code, at, letter).1,
        };
        match &code[at..end] {
            "{" | "#{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        at = end;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where the lines of a script begin.
pub struct Lines<'a> {
    code: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Those of a script.
    pub fn new(code: &'a str) -> Lines<'a> {
        let ends = code.match_indices('\n').map(|(at, _)| at + 1);
        Lines {
            code,
            starts: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// The line and column of a byte, both from 1, in letters.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at);
        let column = self.code[self.starts[line - 1]..at].chars().count() + 1;
        (line, column)
    }

    /// The byte of a line and column; the end of the line for a column beyond it.
    pub fn byte(&self, line: usize, column: usize) -> usize {
        let Some(start) = self.starts.get(line.saturating_sub(1)).copied() else {
            return self.code.len();
        };
        let text = self.code[start..].lines().next().unwrap_or_default();
        let letter = text.char_indices().nth(column.saturating_sub(1));
        start + letter.map_or(text.len(), |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: &str) -> Vec<&str> {
        tokens(code).iter().map(|token| token.text).collect()
    }

    #[test]
    fn a_script_comes_apart_into_its_tokens() {
        assert_eq!(
            words("let x=#{a:1..=2};"),
            ["let", "x", "=", "#{", "a", ":", "1", "..=", "2", "}", ";"]
        );
        assert_eq!(
            words("1.5e-3.days 0xff.b 2.hours 1e5"),
            ["1.5e-3", ".", "days", "0xff", ".", "b", "2", ".", "hours", "1e5"]
        );
        assert_eq!(
            words(r##"f("a\"b", #"x"y"#, 'c')"##),
            ["f", "(", r#""a\"b""#, ",", r##"#"x"y"#"##, ",", "'c'", ")"]
        );
        assert_eq!(
            words("`a ${ f(`b ${\"}\"}`) } c` d"),
            ["`a ${ f(`b ${\"}\"}`) } c`", "d"]
        );
        assert_eq!(
            words("a // x  \n/* b /* c */ */ d"),
            ["a", "// x", "/* b /* c */ */", "d"]
        );
        assert_eq!(words("x?.y ?? z"), ["x", "?.", "y", "??", "z"]);
        assert_eq!(words("\"open"), ["\"open"]);
        assert_eq!(words("`a``b`"), ["`a``b`"]);
    }

    #[test]
    fn places_count_lines_and_letters_from_one() {
        let lines = Lines::new("é x\nab");
        assert_eq!(
            [lines.place(0), lines.place(3), lines.place(6)],
            [(1, 1), (1, 3), (2, 2)]
        );
        assert_eq!(
            [lines.byte(1, 3), lines.byte(2, 2), lines.byte(2, 9), lines.byte(7, 1)],
            [3, 6, 7, 7]
        );
    }
}
