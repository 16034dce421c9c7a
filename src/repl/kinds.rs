//! The type of an expression, without running it: from the values of variables, and from what functions are documented to return.

use super::cursor::{Callee, enclosing, operand};
use super::manual::Manual;
use super::token::{Kind, Token, partner};
use crate::script::interactive::Value;

/// What is known of an expression.
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// Its value.
    Value(Value),
    /// Its type.
    Type(Type),
}

/// A type as scripts call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) name: String,
    /// Of an array, the type of its items.
    pub(super) items: Option<String>,
}

impl Type {
    fn of(name: &str) -> Type {
        Type {
            name: name.to_owned(),
            items: None,
        }
    }
}

impl Known {
    /// The name of the type.
    pub(super) fn name(&self) -> String {
        match self {
            Known::Value(value) => value.kind(),
            Known::Type(kind) => kind.name.clone(),
        }
    }

    /// An item of it.
    fn item(&self, index: Option<usize>) -> Option<Known> {
        match self {
            Known::Value(value) => value.item(index).map(Known::Value),
            Known::Type(kind) => Some(Known::Type(Type::of(kind.items.as_deref()?))),
        }
    }

    fn items(&self) -> Option<String> {
        self.item(None).map(|item| item.name())
    }
}

/// What arrays, and values that may be absent, are of; the bindings' own types do not tell.
const RESULTS: [(&str, &str); 19] = [
    ("Container.finished", "Time"),
    ("Container.started", "Time"),
    ("Image.created", "Time"),
    ("Image.layers", "string"),
    ("Image.tags", "string"),
    ("Image.used_by", "string"),
    ("Run.lines", "string"),
    ("container::find", "Container"),
    ("container::list", "Container"),
    ("container::select", "Container"),
    ("fs::glob", "string"),
    ("fs::list", "string"),
    ("fs::read_lines", "string"),
    ("image::find", "Image"),
    ("image::list", "Image"),
    ("image::load", "Image"),
    ("image::select", "Image"),
    ("registry::repos", "string"),
    ("registry::tags", "string"),
];

/// Methods of arrays that return some of the items.
const SOME: [&str; 12] = [
    "filter",
    "skip",
    "sort",
    "sort_by",
    "sort_natural",
    "take",
    "unique",
    "unique_by",
    "drain",
    "retain",
    "extract",
    "dedup",
];
/// Methods of arrays that return one of the items.
const ONE: [&str; 6] = ["find", "max_by", "min_by", "pop", "remove", "shift"];

/// What types are inferred from.
pub(super) struct Types<'a> {
    pub(super) manual: &'a Manual,
    /// The value of a variable.
    pub(super) variable: &'a dyn Fn(&str) -> Option<Value>,
}

impl Types<'_> {
    /// The type of the expression that `value` is, where `before` is what stands before it.
    pub(super) fn infer(&self, before: &[Token<'_>], value: &[Token<'_>]) -> Option<Known> {
        let (mut known, mut at) = self.head(before, value)?;
        while let Some(token) = value.get(at) {
            known = match token.text {
                "." | "?." => {
                    let name = value.get(at + 1)?;
                    at += 2;
                    let arguments = value.get(at).filter(|token| token.is("("));
                    if arguments.is_some() {
                        at = partner(value, at)? + 1;
                    }
                    self.member(&known, name.text, arguments.is_some())?
                }
                "[" | "?[" => {
                    let end = partner(value, at)?;
                    let index = value[at + 1..end].first()?;
                    at = end + 1;
                    match index.kind {
                        Kind::Text => self.member(&known, index.text.trim_matches(['"', '`', '\'']), false)?,
                        _ => known.item(index.text.parse().ok())?,
                    }
                }
                _ => return None,
            };
        }
        Some(known)
    }

    /// The first part of an expression, and where the next one starts.
    fn head(&self, before: &[Token<'_>], value: &[Token<'_>]) -> Option<(Known, usize)> {
        let known = |name: &str| Some(Known::Type(Type::of(name)));
        let first = value.first()?;
        match (first.kind, first.text) {
            (Kind::Text, _) => Some((known("string")?, 1)),
            (Kind::Number, digits) if digits.contains('.') => Some((known("float")?, 1)),
            (Kind::Number, _) => Some((known("number")?, 1)),
            (Kind::Symbol, "(") => {
                let end = partner(value, 0)?;
                Some((self.infer(before, &value[1..end])?, end + 1))
            }
            (Kind::Symbol, "[") => Some((known("array")?, partner(value, 0)? + 1)),
            (Kind::Symbol, "#{") => Some((known("map")?, partner(value, 0)? + 1)),
            (Kind::Word, name) => self.named(before, value, name),
            _ => None,
        }
    }

    fn named(&self, before: &[Token<'_>], value: &[Token<'_>], name: &str) -> Option<(Known, usize)> {
        let (function, bracket) = match value.get(1) {
            Some(sign) if sign.is("::") => (format!("{name}::{}", value.get(2)?.text), 3),
            _ => (name.to_owned(), 1),
        };
        if value.get(bracket).is_some_and(|token| token.is("(")) {
            let known = Known::Type(self.returned(&function)?);
            return Some((known, partner(value, bracket)? + 1));
        }
        let known = match (self.variable)(name) {
            Some(value) => Known::Value(value),
            None => self.bound(before, name)?,
        };
        Some((known, 1))
    }

    fn member(&self, of: &Known, name: &str, is_call: bool) -> Option<Known> {
        if let (Known::Value(value), false) = (of, is_call)
            && of.name() == "map"
        {
            return value.field(name).map(Known::Value);
        }
        let kind = of.name();
        let items = of.items();
        if kind == "array" && SOME.contains(&name) {
            return Some(Known::Type(Type { name: kind, items }));
        }
        if kind == "array" && ONE.contains(&name) {
            return Some(Known::Type(Type::of(&items?)));
        }
        Some(Known::Type(self.returned(&format!("{kind}.{name}"))?))
    }

    /// What a function is documented to return.
    fn returned(&self, name: &str) -> Option<Type> {
        let result = RESULTS.iter().find(|row| row.0 == name).map(|row| row.1);
        match (self.manual.returns(name)?, result) {
            ("any", result) => Some(Type::of(result?)),
            (kind, items) => Some(Type {
                name: kind.to_owned(),
                items: items.map(str::to_owned),
            }),
        }
    }

    /// What a name stands for that the input itself binds: by `let`, by `for`, or as what a closure is called with.
    fn bound(&self, before: &[Token<'_>], name: &str) -> Option<Known> {
        let at = before
            .iter()
            .rposition(|token| token.kind == Kind::Word && token.text == name && binds(before, token.start))?;
        let (introduced, behind) = (before.get(at.checked_sub(1)?)?, before.get(at + 1)?);
        match (introduced.text, behind.text) {
            ("let" | "const", "=") => self.infer(&before[..at], expression(&before[at + 2..])),
            ("for", "in") => self.infer(&before[..at], expression(&before[at + 2..]))?.item(None),
            ("|", "|" | ",") => {
                let call = enclosing(&before[..at - 1])?;
                match &call.callee {
                    Callee::Method(value, _) => self.infer(&before[..at], value)?.item(None),
                    Callee::Function(name) if name == "parallel_map" => {
                        let comma = before[..at].iter().rposition(|token| token.is(","))?;
                        self.infer(&before[..at], operand(&before[..comma]))?.item(None)
                    }
                    Callee::Function(_) => None,
                }
            }
            _ => None,
        }
    }
}

/// Whether the name at this byte is introduced there.
fn binds(tokens: &[Token<'_>], start: usize) -> bool {
    let at = tokens.iter().position(|token| token.start == start);
    let before = at.and_then(|at| tokens.get(at.checked_sub(1)?));
    let behind = at.and_then(|at| tokens.get(at + 1));
    let (Some(before), Some(behind)) = (before, behind) else {
        return false;
    };
    matches!(
        (before.text, behind.text),
        ("let" | "const", "=") | ("for", "in") | ("|", "|" | ",")
    )
}

/// The expression that these tokens begin with.
fn expression<'a, 't>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" | "{" | "," | ")" | "]" | "}" => break,
            "(" | "[" | "#{" | "?[" => at = partner(tokens, at).map_or(tokens.len(), |end| end + 1),
            _ => at += 1,
        }
    }
    &tokens[..at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repl::cursor::{Place, look};
    use crate::script::testing;

    fn kind(input: &str) -> Option<String> {
        let manual = Manual::read();
        let variable = |name: &str| match name {
            "wait" => testing::value("2.seconds"),
            "list" => testing::value("[#{name: \"a\", since: 1.hours}, 3]"),
            _ => None,
        };
        let types = Types {
            manual: &manual,
            variable: &variable,
        };
        let cursor = look(input);
        let Place::Property(value) = &cursor.place else {
            panic!("{input}: {cursor:?}")
        };
        types.infer(&cursor.before, value).map(|known| known.name())
    }

    #[test]
    fn types_follow_from_values_and_from_what_functions_return() {
        for (input, wanted) in [
            ("wait.", "Duration"),
            ("list.", "array"),
            ("list[0].", "map"),
            ("list[0].since.", "Duration"),
            ("list[0][\"name\"].", "string"),
            ("list[1].", "number"),
            ("10.", "number"),
            ("1.5.", "float"),
            ("\"a\".", "string"),
            ("[1].", "array"),
            ("#{a: 1}.", "map"),
            ("(wait).", "Duration"),
            ("time::now().", "Time"),
            ("image::list().", "array"),
            ("image::list()[0].", "Image"),
            ("image::find(\"a\").", "Image"),
            ("image::list(#{all: true})[0].tags[0].", "string"),
            ("image::list().filter(|i| true).min_by(|i| i.size).", "Image"),
            ("image::get(\"a\").created.", "Time"),
            ("image::list().filter(|i| i.", "Image"),
            ("list.map(|item| item.", "map"),
            ("parallel_map(image::list(), |i| i.", "Image"),
            ("for c in container::list() { c.", "Container"),
            ("let c = container::get(\"a\"); c.stop(); c.", "Container"),
            ("let l = image::list(); l[0].", "Image"),
            ("parallel([|| 1]).", "array"),
        ] {
            assert_eq!(kind(input).as_deref(), Some(wanted), "{input}");
        }
        assert_eq!(kind("json::parse(\"1\")."), None);
        assert_eq!(kind("nothing."), None);
    }

    #[test]
    fn results_are_those_of_functions_that_do_not_tell_themselves() {
        let manual = Manual::read();
        for (name, kind) in RESULTS {
            assert!(matches!(manual.returns(name), Some("any" | "array")), "{name}");
            assert!(manual.has_type(kind), "{kind}");
        }
    }
}
