//! What a script defines, with the places that the parser does not keep: functions, their parameters, and which names are assigned.

use std::collections::{HashMap, HashSet};

use super::tokens::{Token, tokens};

/// A function that a script defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined<'a> {
    /// Its name.
    pub name: &'a str,
    /// The byte at which the name stands.
    pub start: usize,
    /// Its parameters, each with its byte.
    pub parameters: Vec<(&'a str, usize)>,
    /// Whether importers do not see it.
    pub is_private: bool,
    /// The comment that documents it, without its slashes.
    pub manual: String,
}

impl Defined<'_> {
    /// `greet(name)`.
    pub fn signature(&self) -> String {
        let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.0).collect();
        format!("{}({})", self.name, names.join(", "))
    }
}

/// What a script defines.
#[derive(Debug, Default)]
pub struct Outline<'a> {
    /// Its functions, in their order.
    pub functions: Vec<Defined<'a>>,
    /// Where those of a name are among them.
    named: HashMap<&'a str, Vec<usize>>,
    /// Names of variables that something is assigned to after they were declared.
    pub assigned: HashSet<&'a str>,
    /// Names of constants that functions use, as in `global::LIMIT`.
    pub globals: HashSet<&'a str>,
}

impl<'a> Outline<'a> {
    /// That of a script, which may be unfinished.
    pub fn of(code: &'a str) -> Outline<'a> {
        let tokens = tokens(code);
        let mut outline = Outline::default();
        for (at, token) in tokens.iter().enumerate() {
            if token.is_word("fn") {
                outline.add(defined(&tokens, at));
            } else if token.is_word("global") && tokens.get(at + 1).is_some_and(|next| next.is("::")) {
                outline.globals.extend(tokens.get(at + 2).map(|name| name.text));
            } else if is_assigned(&tokens, at) {
                outline.assigned.insert(token.text);
            }
        }
        outline
    }

    fn add(&mut self, function: Option<Defined<'a>>) {
        let Some(function) = function else { return };
        self.named.entry(function.name).or_default().push(self.functions.len());
        self.functions.push(function);
    }

    /// The functions of a name.
    pub fn overloads(&self, name: &str) -> impl Iterator<Item = &Defined<'a>> {
        let places = self.named.get(name).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|at| &self.functions[*at])
    }

    /// The function of a name that takes so many arguments.
    pub fn function(&self, name: &str, arity: usize) -> Option<&Defined<'a>> {
        self.overloads(name).find(|function| function.parameters.len() == arity)
    }
}

/// `fn name(a, b)`, `private fn name()`, `fn string.name()`.
fn defined<'a>(tokens: &[Token<'a>], at: usize) -> Option<Defined<'a>> {
    let mut next = at + 1;
    if tokens.get(next + 1).is_some_and(|token| token.is(".")) {
        next += 2;
    }
    let name = tokens.get(next)?;
    tokens.get(next + 1).filter(|token| token.is("("))?;
    let inner = &tokens[next + 2..];
    let parameters = inner
        .iter()
        .take_while(|token| !token.is(")"))
        .filter(|token| !token.is(",") && !token.is_comment())
        .map(|token| (token.text, token.start));
    let is_private = at > 0 && tokens[at - 1].is_word("private");
    let before = at - usize::from(is_private);
    Some(Defined {
        name: name.text,
        start: name.start,
        parameters: parameters.collect(),
        is_private,
        manual: manual(&tokens[..before]),
    })
}

/// The lines in `///` that end the tokens.
fn manual(before: &[Token<'_>]) -> String {
    let is_doc = |token: &&Token<'_>| token.is_comment() && token.text.starts_with("///");
    let mut lines: Vec<&str> = before.iter().rev().take_while(is_doc).map(|token| token.text).collect();
    lines.reverse();
    let bare = lines.into_iter().map(|line| line.trim_start_matches('/'));
    let bare: Vec<&str> = bare.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    bare.join("\n")
}

/// Whether something is assigned to the word here, and not where it is declared.
fn is_assigned(tokens: &[Token<'_>], at: usize) -> bool {
    let is_declared = at > 0 && (tokens[at - 1].is_word("let") || tokens[at - 1].is_word("const"));
    let is_part = at > 0 && (tokens[at - 1].is(".") || tokens[at - 1].is("?."));
    let follows = tokens.get(at + 1).map_or("", |token| token.text);
    let assigns = follows.ends_with('=') && !["==", "!=", "<=", ">=", "..="].contains(&follows);
    assigns && !is_declared && !is_part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_assigned_names_are_found_where_they_stand() {
        let code = "/// Greets.\n/// Twice.\nprivate fn greet(name, _n) { name }\nfn string.up() {}\nlet a = 1; let b = 2; b += a; m.a = 3;";
        let outline = Outline::of(code);
        let greet = &outline.functions[0];
        assert_eq!(
            (greet.signature().as_str(), greet.is_private),
            ("greet(name, _n)", true)
        );
        assert_eq!(greet.manual, "Greets.\nTwice.");
        assert_eq!(&code[greet.parameters[1].1..][..2], "_n");
        assert_eq!(outline.functions[1].name, "up");
        assert_eq!(outline.assigned, HashSet::from(["b"]));
        assert_eq!(Outline::of("fn").functions, []);
    }
}
