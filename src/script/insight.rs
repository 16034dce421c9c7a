//! What is known at a place of a script that may be unfinished: what may come next, what a word means, which call is being written.

use std::collections::BTreeSet;

use super::catalogue::catalogue;
use super::docs::{Function, Use};
use super::outline::Outline;
use super::tokens::{Kind, Token, tokens};
use crate::bindings::NAMESPACES;
use crate::bindings::keys::{OptionKey, of_function};

const KEYWORDS: [&str; 20] = [
    "let", "const", "fn", "if", "else", "switch", "for", "in", "while", "loop", "do", "break", "continue", "return",
    "throw", "try", "catch", "import", "true", "false",
];
/// How many steps are taken from a variable to what it was set to, and on.
const DEEPEST: usize = 8;

/// What a completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A variable of the script.
    Variable,
    /// A function or method.
    Function,
    /// A getter of a value.
    Property,
    /// A module.
    Module,
    /// A key of an options map.
    Option,
    /// A word of the language.
    Keyword,
}

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What the word becomes.
    pub text: String,
    /// What it is.
    pub sort: Sort,
    /// A signature or a type.
    pub detail: String,
    /// What it does, in a sentence.
    pub summary: String,
}

/// A call that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The overloads: their signatures with the parameters in them, and their summaries.
    pub overloads: Vec<(String, Vec<String>, String)>,
    /// The argument that the place is in, from 0.
    pub argument: usize,
}

/// A script, and a place in it.
pub struct Insight<'a> {
    code: &'a str,
    /// The tokens that begin before the place.
    before: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Insight<'a> {
    /// What is known at a byte of a script.
    pub fn new(code: &'a str, at: usize) -> Insight<'a> {
        let mut before = tokens(code);
        before.retain(|token| token.start < at);
        Insight { code, before, at }
    }

    /// The word that ends at the place or goes over it, and the tokens before it; `None` within a text or a comment.
    fn split(&self) -> Option<(&'a str, &[Token<'a>])> {
        let Some((last, rest)) = self.before.split_last() else {
            return Some(("", &[]));
        };
        match last.kind {
            _ if last.end() < self.at => Some(("", &self.before)),
            Kind::Word => Some((last.text, rest)),
            Kind::LineComment => None,
            Kind::Text | Kind::BlockComment if last.end() > self.at => None,
            _ => Some(("", &self.before)),
        }
    }

    /// What may come at the place, in the order of their names.
    pub fn completions(&self) -> Vec<Completion> {
        let Some((word, lead)) = self.split() else {
            return Vec::new();
        };
        let typed = self.before.last().map_or(0, |last| self.at - last.start);
        let word = word.get(..typed).unwrap_or(word);
        let mut found = match lead.last() {
            Some(last) if last.is("::") => self.of_module(lead),
            Some(last) if last.is(".") || last.is("?.") => self.of_value(lead),
            _ => self.keys(lead).unwrap_or_else(|| self.names(word)),
        };
        found.retain(|completion| completion.text.starts_with(word));
        found.sort_by(|a, b| (&a.text, a.sort).cmp(&(&b.text, b.sort)));
        found.dedup_by(|a, b| a.text == b.text);
        found
    }

    fn of_module(&self, lead: &[Token<'_>]) -> Vec<Completion> {
        let module = lead.len().checked_sub(2).map_or("", |at| lead[at].text);
        let all = catalogue().functions().iter();
        all.filter(|f| matches!(&f.usage, Use::Namespace(own) if own == module))
            .map(completion)
            .collect()
    }

    fn of_value(&self, lead: &[Token<'_>]) -> Vec<Completion> {
        let kind = self.kind(&lead[..lead.len() - 1], DEEPEST);
        let kind = kind.filter(|kind| kind != "any").unwrap_or_default();
        catalogue().members(&kind).map(completion).collect()
    }

    fn names(&self, word: &str) -> Vec<Completion> {
        if word.is_empty() {
            return Vec::new();
        }
        let plain = |text: &str, sort, detail: &str, summary: &str| Completion {
            text: text.to_owned(),
            sort,
            detail: detail.to_owned(),
            summary: summary.to_owned(),
        };
        let globals = catalogue().functions().iter().filter(|f| f.usage == Use::Global);
        let outline = Outline::of(self.code);
        let own = outline.functions.iter();
        let modules = NAMESPACES.iter();
        globals
            .map(completion)
            .chain(own.map(|f| {
                plain(
                    f.name,
                    Sort::Function,
                    &f.signature(),
                    f.manual.lines().next().unwrap_or_default(),
                )
            }))
            .chain(modules.map(|group| plain(group.name, Sort::Module, "module", group.summary)))
            .chain(
                self.variables()
                    .into_iter()
                    .map(|name| plain(name, Sort::Variable, "", "")),
            )
            .chain(KEYWORDS.iter().map(|word| plain(word, Sort::Keyword, "", "")))
            .collect()
    }

    /// Names that are declared before the place.
    fn variables(&self) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::from(["args"]);
        for pair in self.before.windows(2) {
            let declares =
                ["let", "const", "for", "as", "|"].contains(&pair[0].text) || pair[0].is("(") || pair[0].is(",");
            if declares && pair[1].kind == Kind::Word && pair[1].end() < self.at {
                names.insert(pair[1].text);
            }
        }
        let functions = catalogue();
        names.retain(|name| functions.callable(name).next().is_none());
        names
    }

    /// The keys that may come, if the place is where one begins in a map of options.
    fn keys(&self, lead: &[Token<'_>]) -> Option<Vec<Completion>> {
        let last = lead.last()?;
        let open = unclosed(lead)?;
        if !lead[open].is("#{") || !(last.is("#{") || last.is(",")) {
            return None;
        }
        let given: Vec<&str> = lead[open..]
            .windows(2)
            .filter(|pair| pair[1].is(":"))
            .map(|pair| pair[0].text)
            .collect();
        let keys = self.keys_of(lead, open)?;
        let left = keys.into_iter().filter(|key| !given.contains(&key.name));
        Some(
            left.map(|key| Completion {
                text: key.name.to_owned(),
                sort: Sort::Option,
                detail: described(&key),
                summary: String::new(),
            })
            .collect(),
        )
    }

    /// The keys of the map that a bracket opens: options of the call it is an argument of, or of a key in such.
    fn keys_of(&self, lead: &[Token<'_>], open: usize) -> Option<Vec<OptionKey>> {
        let outer = unclosed(&lead[..open])?;
        if lead[outer].is("#{") && lead.get(open.checked_sub(1)?)?.is(":") {
            let key = lead.get(open.checked_sub(2)?)?.text;
            let keys = self.keys_of(lead, outer)?;
            return keys.into_iter().find(|own| own.name == key).map(|own| own.keys);
        }
        let functions = self.called(lead, outer);
        let keys = functions
            .first()
            .map(|function| of_function(&function.qualified_name()))?;
        (!keys.is_empty()).then_some(keys)
    }

    /// The overloads of what is called by a bracket.
    fn called(&self, lead: &[Token<'_>], open: usize) -> Vec<&'static Function> {
        let Some(name) = open.checked_sub(1).map(|at| lead[at]).filter(|_| lead[open].is("(")) else {
            return Vec::new();
        };
        self.meant(&lead[..open - 1], name.text, true)
    }

    /// What a name means after these tokens; as a call, functions alone.
    fn meant(&self, lead: &[Token<'_>], name: &str, is_call: bool) -> Vec<&'static Function> {
        match lead.last() {
            Some(last) if last.is("::") => {
                let module = lead.len().checked_sub(2).map_or("", |at| lead[at].text);
                let all = catalogue().functions().iter();
                all.filter(|f| f.name == name && matches!(&f.usage, Use::Namespace(own) if own == module))
                    .collect()
            }
            Some(last) if last.is(".") || last.is("?.") => {
                let Some(kind) = self.kind(&lead[..lead.len() - 1], DEEPEST) else {
                    return Vec::new();
                };
                let members = catalogue()
                    .functions()
                    .iter()
                    .filter(|f| f.name == name && f.receiver() == Some(kind.as_str()));
                members
                    .filter(|f| !is_call || !matches!(f.usage, Use::Getter(_)))
                    .collect()
            }
            _ => catalogue().callable(name).filter(|f| f.usage == Use::Global).collect(),
        }
    }

    /// The type of the expression that ends these tokens, as far as it can be told.
    fn kind(&self, lead: &[Token<'_>], depth: usize) -> Option<String> {
        let (last, rest) = lead.split_last().filter(|_| depth > 0)?;
        match last.kind {
            Kind::Text if last.text.starts_with('\'') => Some("char".to_owned()),
            Kind::Text => Some("string".to_owned()),
            Kind::Number if last.text.contains('.') => Some("float".to_owned()),
            Kind::Number => Some("number".to_owned()),
            Kind::Word if follows_dot(rest) => self.returned(rest, last.text, false),
            Kind::Word if last.text == "args" => Some("array".to_owned()),
            Kind::Word => self.kind_of_variable(last.text, depth - 1),
            Kind::Symbol if last.is(")") => self.kind_of_call(lead, depth),
            Kind::Symbol if last.is("]") => {
                let open = opener(lead)?;
                let is_index =
                    open > 0 && (lead[open - 1].kind == Kind::Word || lead[open - 1].is(")") || lead[open - 1].is("]"));
                (!is_index).then(|| "array".to_owned())
            }
            _ => None,
        }
    }

    fn kind_of_call(&self, lead: &[Token<'_>], depth: usize) -> Option<String> {
        let open = opener(lead)?;
        let name = lead.get(open.checked_sub(1)?).filter(|name| name.kind == Kind::Word);
        match name {
            Some(name) => self.returned(&lead[..open - 1], name.text, true),
            None => self.kind(&lead[open + 1..lead.len() - 1], depth - 1),
        }
    }

    /// What a function or getter returns, if all that may be meant return the same.
    fn returned(&self, lead: &[Token<'_>], name: &str, is_call: bool) -> Option<String> {
        let mut functions = self.meant(lead, name, is_call).into_iter();
        if !is_call {
            functions = functions
                .filter(|f| matches!(f.usage, Use::Getter(_)))
                .collect::<Vec<_>>()
                .into_iter();
        }
        let first = functions.next()?;
        functions
            .all(|f| f.returns == first.returns)
            .then(|| first.returns.clone())
    }

    /// The type of what a variable was last declared as.
    fn kind_of_variable(&self, name: &str, depth: usize) -> Option<String> {
        let declares = |at: usize| {
            let is_let = self.before[at].is_word("let") || self.before[at].is_word("const");
            is_let && self.before.get(at + 1).is_some_and(|own| own.text == name)
        };
        let start = (0..self.before.len())
            .rev()
            .find(|at| declares(*at) && self.before[*at].end() < self.at)?
            + 3;
        let mut depth_of_brackets = 0;
        let end = (start..self.before.len()).find(|at| {
            let token = &self.before[*at];
            depth_of_brackets += i32::from(is_open(token)) - i32::from(is_close(token));
            depth_of_brackets < 0 || depth_of_brackets == 0 && token.is(";")
        })?;
        let expression = self.before.get(start..end)?;
        match expression.first() {
            Some(first) if first.is("#{") && opener(expression) == Some(0) => Some("map".to_owned()),
            _ => self.kind(expression, depth),
        }
    }

    /// What the word at the place means, in Markdown.
    pub fn hover(&self) -> Option<String> {
        let (word, lead) = self.split()?;
        if word.is_empty() {
            return None;
        }
        let functions = self.meant(lead, word, false);
        if !functions.is_empty() {
            return Some(
                functions
                    .into_iter()
                    .map(manual)
                    .collect::<Vec<_>>()
                    .join("\n\n---\n\n"),
            );
        }
        if let Some(open) = unclosed(lead)
            && lead[open].is("#{")
            && let Some(key) = self.keys_of(lead, open)?.into_iter().find(|key| key.name == word)
        {
            return Some(format!("`{word}`: {}", described(&key)));
        }
        let outline = Outline::of(self.code);
        if let Some(own) = outline.overloads(word).next() {
            return Some(format!("```rhai\nfn {}\n```\n\n{}", own.signature(), own.manual));
        }
        let group = NAMESPACES.iter().find(|group| group.name == word)?;
        Some(format!("module `{word}`\n\n{}", group.summary))
    }

    /// The call whose arguments the place is in.
    pub fn call(&self) -> Option<Call> {
        let mut lead = self.before.as_slice();
        // Within a list or a map that is an argument, the call around it is meant.
        let open = loop {
            let open = unclosed(lead)?;
            if lead[open].is("(") {
                break open;
            }
            lead = &lead[..open];
        };
        let functions = self.called(lead, open);
        let overloads: Vec<_> = match functions.is_empty() {
            false => functions
                .iter()
                .map(|f| {
                    let parameters = f
                        .parameters
                        .iter()
                        .map(|parameter| format!("{}: {}", parameter.name, parameter.kind));
                    (f.signature(), parameters.collect(), f.summary())
                })
                .collect(),
            true => {
                let name = lead.get(open.checked_sub(1)?)?.text;
                let outline = Outline::of(self.code);
                let own = outline.overloads(name);
                own.map(|f| {
                    let parameters = f.parameters.iter().map(|parameter| parameter.0.to_owned());
                    (f.signature(), parameters.collect(), f.manual.clone())
                })
                .collect()
            }
        };
        let (mut depth, mut argument) = (0, 0);
        for token in &lead[open + 1..] {
            depth += i32::from(is_open(token)) - i32::from(is_close(token));
            argument += usize::from(depth == 0 && token.is(","));
        }
        (!overloads.is_empty()).then_some(Call { overloads, argument })
    }
}

fn completion(function: &Function) -> Completion {
    let is_getter = matches!(function.usage, Use::Getter(_));
    Completion {
        text: function.name.clone(),
        sort: if is_getter { Sort::Property } else { Sort::Function },
        detail: function.signature(),
        summary: function.summary(),
    }
}

fn manual(function: &Function) -> String {
    format!("```rhai\n{}\n```\n\n{}", function.signature(), function.manual)
}

/// `string: missing, always, newer, never`.
fn described(key: &OptionKey) -> String {
    match key.values {
        [] => key.kind.clone(),
        values => format!("{}: {}", key.kind, values.join(", ")),
    }
}

fn follows_dot(lead: &[Token<'_>]) -> bool {
    lead.last().is_some_and(|last| last.is(".") || last.is("?."))
}

fn is_open(token: &Token<'_>) -> bool {
    ["(", "[", "{", "#{", "?["].iter().any(|symbol| token.is(symbol))
}

fn is_close(token: &Token<'_>) -> bool {
    [")", "]", "}"].iter().any(|symbol| token.is(symbol))
}

/// The innermost bracket that is open after these tokens.
fn unclosed(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0;
    (0..tokens.len()).rev().find(|at| {
        depth += i32::from(is_open(&tokens[*at])) - i32::from(is_close(&tokens[*at]));
        depth > 0
    })
}

/// The bracket that the last of these tokens closes.
fn opener(tokens: &[Token<'_>]) -> Option<usize> {
    unclosed(&tokens[..tokens.len().checked_sub(1)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place is at the `¶`.
    fn at(code: &str) -> (String, usize) {
        (code.replace('¶', ""), code.find('¶').unwrap())
    }

    fn completed(code: &str) -> String {
        let (code, place) = at(code);
        let found = Insight::new(&code, place).completions();
        found
            .iter()
            .map(|completion| completion.text.clone())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn what_may_come_depends_on_what_stands_before() {
        for (code, expected) in [
            ("fs::read¶", "read read_blob read_lines"),
            ("let total = 1;\nprint(tot¶", "total"),
            ("image::get(\"a\").unt¶", "untag"),
            ("let i = image::get(\"a\"); let j = i; j.siz¶", "size"),
            ("let d = 3.days; d.mil¶", "millis"),
            ("[1].fil¶", "filter"),
            ("\"a b\".sta¶", "starts_with"),
            ("container::run(\"a\", #{ mem¶", "memory memory_reservation memory_swap"),
            (
                "container::run(\"a\", #{ memory: 1, memory_¶ })",
                "memory_reservation memory_swap",
            ),
            ("let c = container::get(\"a\"); c.stop(#{¶", "signal timeout"),
            ("registry::serve(#{ tls: #{ ¶", "cert key"),
            ("anything.unt¶", ""),
            ("\"fs::re¶\"", ""),
            ("// fs::re¶", ""),
            ("fn greet(name) { } gre¶", "greet"),
            ("par¶", "parallel parallel_map parse_bytes"),
            ("system::info().¶", ""),
        ] {
            assert_eq!(completed(code), expected, "{code}");
        }
    }

    #[test]
    fn a_word_is_explained_by_its_manual() {
        let hover = |code: &str| {
            let (code, place) = at(code);
            Insight::new(&code, place).hover().unwrap_or_default()
        };
        assert!(
            hover("fs::re¶ad(\"x\")")
                .starts_with("```rhai\nfs::read(path: string) -> string\n```\n\nThe text of a file.")
        );
        assert!(hover("let i = image::get(\"a\"); i.siz¶e").contains("Image.size -> number"));
        assert_eq!(
            hover("image::pull(\"a\", #{ policy¶: \"always\" })"),
            "`policy`: string: missing, always, newer, never"
        );
        assert!(hover("/// Greets.\nfn greet(name) {}\ngre¶et(1)").contains("greet(name)\n```\n\nGreets."));
        assert!(hover("f¶s::read").contains("Files, directories"));
        assert_eq!(hover("let x¶ = 1;"), "");
    }

    #[test]
    fn the_call_that_is_written_is_known_with_its_argument() {
        let call = |code: &str| {
            let (code, place) = at(code);
            Insight::new(&code, place).call()
        };
        let found = call("fs::copy(\"a\", ¶").unwrap();
        assert_eq!(
            (found.overloads[0].1.as_slice(), found.argument),
            (["from: string".to_owned(), "to: string".to_owned()].as_slice(), 1)
        );
        assert_eq!(call("parallel_map([1, 2], |x| x, ¶").unwrap().argument, 2);
        assert_eq!(call("container::run(\"a\", [\"b\", ¶").unwrap().argument, 1);
        assert_eq!(call("fn greet(name) {} greet(¶").unwrap().overloads[0].0, "greet(name)");
        assert_eq!(call("print(1); ¶"), None);
    }
}
