//! What may come next: modules, functions, methods and getters, and the variables of the conversation.

use std::collections::BTreeSet;

use crate::script::docs::{Function, Use, functions};

const KEYWORDS: [&str; 16] = [
    "let", "const", "fn", "if", "else", "switch", "for", "in", "while", "loop", "break", "continue", "return", "throw",
    "try", "catch",
];

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggestion {
    /// What replaces the word.
    pub(super) text: String,
    /// How it is shown in a list.
    pub(super) label: String,
}

/// What is known about functions, read once.
pub(super) struct Completer {
    functions: Vec<Function>,
}

impl Completer {
    pub(super) fn new() -> Completer {
        Completer { functions: functions() }
    }

    /// Where the word before the cursor starts, and what it may become. `kind_of` tells the type of a variable.
    pub(super) fn complete(
        &self,
        before: &str,
        variables: &[String],
        kind_of: impl Fn(&str) -> Option<String>,
    ) -> (usize, Vec<Suggestion>) {
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let (lead, word) = before.split_at(start);
        let suggestions = match lead {
            lead if lead.ends_with("::") => self.members(last_word(lead.trim_end_matches(':')), word),
            lead if lead.ends_with('.') => {
                self.methods(kind_of(last_word(lead.trim_end_matches('.'))).as_deref(), word)
            }
            _ => self.names(word, variables),
        };
        (start, suggestions)
    }

    fn members(&self, namespace: &str, word: &str) -> Vec<Suggestion> {
        self.matching(word, |usage| matches!(usage, Use::Namespace(own) if own == namespace))
    }

    fn methods(&self, kind: Option<&str>, word: &str) -> Vec<Suggestion> {
        let fits = |own: &str| kind.is_none_or(|kind| kind == own);
        self.matching(
            word,
            |usage| matches!(usage, Use::Method(own) | Use::Getter(own) if fits(own)),
        )
    }

    fn names(&self, word: &str, variables: &[String]) -> Vec<Suggestion> {
        if word.is_empty() {
            return Vec::new();
        }
        let plain = |text: String| Suggestion {
            label: text.clone(),
            text,
        };
        let mut found = self.matching(word, |usage| *usage == Use::Global);
        let namespaces = crate::bindings::NAMESPACES
            .iter()
            .map(|group| format!("{}::", group.name));
        let words = namespaces
            .chain(variables.iter().cloned())
            .chain(KEYWORDS.map(str::to_owned));
        found.extend(words.filter(|text| text.starts_with(word)).map(plain));
        found.sort_by(|left, right| left.text.cmp(&right.text));
        found.dedup_by(|left, right| left.text == right.text);
        found
    }

    fn matching(&self, word: &str, fits: impl Fn(&Use) -> bool) -> Vec<Suggestion> {
        let mut seen = BTreeSet::new();
        let found = self
            .functions
            .iter()
            .filter(|f| fits(&f.usage) && f.name.starts_with(word));
        found.filter(|f| seen.insert(f.name.clone())).map(suggestion).collect()
    }

    /// The signature of the function being called, shown behind the cursor.
    pub(super) fn hint(&self, before: &str) -> Option<String> {
        let name = before.strip_suffix('(')?;
        let start = name
            .rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
            .map_or(0, |at| at + 1);
        let name = name.get(start..)?;
        let function = self.functions.iter().find(|f| f.qualified_name() == name)?;
        Some(format!("{})", function.parameter_list()))
    }
}

fn last_word(text: &str) -> &str {
    let start = text
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |at| at + 1);
    text.get(start..).unwrap_or_default()
}

fn suggestion(function: &Function) -> Suggestion {
    let is_getter = matches!(function.usage, Use::Getter(_));
    let text = if is_getter {
        function.name.clone()
    } else {
        format!("{}(", function.name)
    };
    Suggestion {
        text,
        label: function.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(before: &str) -> Vec<String> {
        let completer = Completer::new();
        let kind_of = |name: &str| (name == "wait").then(|| "Duration".to_owned());
        let (start, found) = completer.complete(before, &["total".to_owned()], kind_of);
        found
            .into_iter()
            .map(|suggestion| format!("{}{}", &before[..start], suggestion.text))
            .collect()
    }

    #[test]
    fn modules_functions_methods_and_variables_are_completed() {
        assert_eq!(completed("fs::read_"), ["fs::read_blob(", "fs::read_lines("]);
        assert_eq!(completed("let x = sem"), ["let x = semver::"]);
        assert_eq!(completed("print(tot"), ["print(total"]);
        assert_eq!(completed("wait.mi"), ["wait.micros", "wait.millis", "wait.minutes"]);
        assert_eq!(completed("parallel"), ["parallel(", "parallel_map("]);
        assert!(completed("wait.join").is_empty());
        assert!(completed("").is_empty());
    }

    #[test]
    fn the_signature_is_hinted_at_an_open_bracket() {
        assert_eq!(
            Completer::new().hint("let x = fs::read(").as_deref(),
            Some("path: string)")
        );
        assert_eq!(Completer::new().hint("é("), None);
    }
}
