//! The lines of a conversation that worked, and the script that they are.

use super::token::{Kind, Token, innermost, tokens};
use crate::script::interactive::LAST;

/// What `_` is called in a script.
const NAME: &str = "last_value";

/// The lines that worked, in order.
#[derive(Default)]
pub(super) struct Record {
    lines: Vec<Line>,
}

struct Line {
    code: String,
    /// Whether it became the last value.
    has_value: bool,
}

impl Record {
    pub(super) fn add(&mut self, code: &str, has_value: bool) {
        self.lines.push(Line {
            code: code.trim().to_owned(),
            has_value,
        });
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The script. A value that a later line means by `_` has a name there; a function that was defined anew is what it was at last.
    pub(super) fn script(&self) -> String {
        let mut text = String::new();
        if self.lines.iter().any(|line| !uses(&line.code).is_empty()) {
            text.push_str(&format!("let {NAME} = ();\n"));
        }
        for (at, line) in self.lines.iter().enumerate() {
            if self.is_replaced(at) {
                continue;
            }
            let code = named(&line.code);
            let code = match line.has_value && self.is_meant(at) {
                true => assigned(&code),
                false => code,
            };
            text.push_str(&closed(&code));
        }
        text
    }

    /// Whether a later line means the value of this one.
    fn is_meant(&self, at: usize) -> bool {
        for line in &self.lines[at + 1..] {
            if !uses(&line.code).is_empty() {
                return true;
            }
            if line.has_value {
                return false;
            }
        }
        false
    }

    /// Whether all that a line defines is functions that a later one defines anew.
    fn is_replaced(&self, at: usize) -> bool {
        let own = functions(&self.lines[at].code);
        let later = || self.lines[at + 1..].iter().flat_map(|line| functions(&line.code));
        !own.is_empty() && own.iter().all(|name| later().any(|other| other == *name))
    }
}

/// The names of the functions that an input begins with.
fn functions(code: &str) -> Vec<&str> {
    let tokens = tokens(code);
    match tokens.as_slice() {
        [first, name, ..] if first.text == "fn" => vec![name.text],
        _ => Vec::new(),
    }
}

/// Where `_` is the last value.
fn uses(code: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let all = tokens(code);
    for (at, token) in all.iter().enumerate() {
        let is_arm = || all.get(at + 1).is_some_and(|next| next.is("=>"));
        match token.kind {
            Kind::Word if token.text == LAST && !is_arm() => found.push(token.start),
            Kind::Text if token.text.starts_with('`') => found.extend(inside(token)),
            _ => {}
        }
    }
    found
}

/// The same in the code that a text has in it.
fn inside(text: &Token<'_>) -> Vec<usize> {
    let places = text.text.match_indices(LAST).map(|(at, _)| at);
    let is_code = |at: &usize| {
        let start = innermost(&text.text[..*at]);
        start > 0
            && tokens(&text.text[start..])
                .iter()
                .any(|token| token.text == LAST && token.start + start == *at)
    };
    places.filter(is_code).map(|at| at + text.start).collect()
}

fn named(code: &str) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for place in uses(code) {
        text.push_str(&code[at..place]);
        text.push_str(NAME);
        at = place + LAST.len();
    }
    text + &code[at..]
}

/// The code with the value of its last statement given the name.
fn assigned(code: &str) -> String {
    let all = tokens(code);
    let mut depth = 0;
    let mut start = 0;
    for (at, token) in all.iter().enumerate().filter(|(_, token)| token.kind == Kind::Symbol) {
        match token.text {
            "(" | "[" | "{" | "#{" | "?[" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            ";" if depth == 0 => start = all.get(at + 1).map_or(start, |next| next.start),
            _ => {}
        }
    }
    format!("{}{NAME} = {}", &code[..start], &code[start..])
}

/// The code as a statement on lines of its own.
fn closed(code: &str) -> String {
    let ends = tokens(code).last().is_some_and(|last| last.is(";"));
    let is_comment = tokens(code).last().is_some_and(|last| last.is_comment());
    match (ends, is_comment) {
        (true, _) => format!("{code}\n"),
        (false, true) => format!("{code}\n;\n"),
        (false, false) => format!("{code};\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::Format;
    use crate::script::testing;

    fn script(lines: &[(&str, bool)]) -> String {
        let mut record = Record::default();
        for (line, has_value) in lines {
            record.add(line, *has_value);
        }
        record.script()
    }

    #[test]
    fn lines_become_a_script_that_runs() {
        let text = script(&[
            ("fn twice(n) { n }", false),
            ("fn twice(n) { n * 2 }", false),
            ("let x = 20;", false),
            ("let y = x; twice(x)", true),
            ("if y > 1 { print(\"many\") } // really", false),
            ("`${_ + 2} is _`", true),
            ("switch 1 { _ => _.len() }", true),
            ("let z = _ + twice(1)", false),
            ("z", true),
        ]);
        assert_eq!(
            text,
            "let last_value = ();\n\
             fn twice(n) { n * 2 };\n\
             let x = 20;\n\
             let y = x; last_value = twice(x);\n\
             if y > 1 { print(\"many\") } // really\n;\n\
             last_value = `${last_value + 2} is _`;\n\
             last_value = switch 1 { _ => last_value.len() };\n\
             let z = last_value + twice(1);\n\
             z;\n"
        );
        let value = testing::value(&text).unwrap();
        assert_eq!(value.show(Format::Table).unwrap(), "9\n");
    }

    #[test]
    fn nothing_is_named_that_nobody_means() {
        assert_eq!(script(&[("1", true), ("2", true)]), "1;\n2;\n");
        assert_eq!(script(&[]), "");
    }
}
