//! What may come next: modules, functions, methods and getters, variables, options, names in texts, and commands.

use std::collections::BTreeSet;

use super::command;
use super::cursor::{Call, Callee, Cursor, Place, look};
use super::kinds::{Known, Types};
use super::manual::{Manual, Member};
use super::names::{self, Named};
use super::token::Token;
use crate::bindings::keys::{self, OptionKey};
use crate::script::interactive::Value;

pub(super) const KEYWORDS: [&str; 20] = [
    "let", "const", "fn", "if", "else", "switch", "for", "in", "while", "loop", "do", "until", "break", "continue",
    "return", "throw", "try", "catch", "import", "as",
];

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suggestion {
    /// What replaces the word.
    pub(super) text: String,
    /// How it is shown in a list.
    pub(super) label: String,
}

impl Suggestion {
    /// One that is shown as it is.
    pub(super) fn plain(text: &str) -> Suggestion {
        Suggestion {
            text: text.to_owned(),
            label: text.to_owned(),
        }
    }
}

/// What a completer asks of the conversation.
pub(super) trait World {
    /// The names of the variables.
    fn variables(&self) -> Vec<String>;

    /// The value of a variable.
    fn variable(&self, name: &str) -> Option<Value>;

    /// The names that begin like this.
    fn names(&self, named: Named, word: &str) -> Vec<Suggestion>;
}

/// Where the word before the cursor starts, and what it may become.
pub(super) fn complete(manual: &Manual, world: &dyn World, before: &str) -> (usize, Vec<Suggestion>) {
    if let Some(found) = command(manual, world, before) {
        return found;
    }
    let cursor = look(before);
    let variable = |name: &str| world.variable(name);
    let types = Types {
        manual,
        variable: &variable,
    };
    let found = match &cursor.place {
        Place::Nowhere => Vec::new(),
        Place::Name => plain_names(manual, world, cursor.word),
        Place::Member(module) => fitting(&manual.members(module), cursor.word),
        Place::Property(value) => properties(&types, &cursor, value),
        Place::Key(call) => keys(&types, &cursor, call),
        Place::Text(call) => texts(&types, world, &cursor, call),
    };
    (cursor.start, found)
}

/// Completion of `:help image::`, and of the names of commands; `None` for what is no command.
fn command(manual: &Manual, world: &dyn World, before: &str) -> Option<(usize, Vec<Suggestion>)> {
    let (name, argument) = before
        .split_once(' ')
        .map_or((before, None), |(name, word)| (name, Some(word)));
    let starting = |words: &mut dyn Iterator<Item = &str>, word: &str| -> Vec<Suggestion> {
        words
            .filter(|other| other.starts_with(word))
            .map(Suggestion::plain)
            .collect()
    };
    let Some(argument) = argument else {
        let names = || command::NAMES.iter().map(|row| row.0);
        return name.starts_with(':').then(|| (0, starting(&mut names(), name)));
    };
    let start = before.len() - argument.len();
    match name {
        "help" | ":help" | ":doc" => Some((start, starting(&mut manual.topics().into_iter(), argument))),
        ":load" | ":save" => Some((start, world.names(Named::Files, argument))),
        ":plan" => Some((start, starting(&mut ["on", "off"].into_iter(), argument))),
        name if name.starts_with(':') && name != ":time" => Some((start, Vec::new())),
        ":time" => {
            let (at, found) = complete(manual, world, argument);
            Some((start + at, found))
        }
        _ => None,
    }
}

fn plain_names(manual: &Manual, world: &dyn World, word: &str) -> Vec<Suggestion> {
    if word.is_empty() {
        return Vec::new();
    }
    let modules = crate::bindings::NAMESPACES.iter();
    let words = modules
        .map(|group| format!("{}::", group.name))
        .chain(world.variables())
        .chain(KEYWORDS.map(str::to_owned));
    let mut found = fitting(&manual.globals(), word);
    found.extend(
        words
            .filter(|text| text.starts_with(word))
            .map(|text| Suggestion::plain(&text)),
    );
    found.sort_by(|left, right| left.text.cmp(&right.text));
    found.dedup_by(|left, right| left.text == right.text);
    found
}

fn properties(types: &Types<'_>, cursor: &Cursor<'_>, value: &[Token<'_>]) -> Vec<Suggestion> {
    let known = types.infer(&cursor.before, value);
    let mut found = Vec::new();
    if let Some(Known::Value(value)) = &known {
        let is_name = |key: &String| key.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        let keys = value
            .keys()
            .into_iter()
            .filter(|key| key.starts_with(cursor.word) && is_name(key));
        found.extend(keys.map(|key| Suggestion::plain(&key)));
    }
    let kind = known.map(|known| known.name());
    found.extend(fitting(&types.manual.methods(kind.as_deref()), cursor.word));
    found
}

/// The name that documentation gives to what is called.
pub(super) fn callee(types: &Types<'_>, before: &[Token<'_>], call: &Call<'_>) -> Option<String> {
    match &call.callee {
        Callee::Function(name) => Some(name.clone()),
        Callee::Method(value, name) => Some(format!("{}.{name}", types.infer(before, value)?.name())),
    }
}

/// The options that may be written where the cursor is: those of the call, or of one of its options.
fn options(types: &Types<'_>, cursor: &Cursor<'_>, call: &Call<'_>, outer: &[&str]) -> Vec<OptionKey> {
    let name = callee(types, &cursor.before, call);
    let mut options = name.map(|name| keys::of_function(&name)).unwrap_or_default();
    for name in outer {
        let found = options.into_iter().find(|option| option.name == *name);
        options = found.map(|option| option.keys).unwrap_or_default();
    }
    options
}

/// The names of options that are not there yet.
fn keys(types: &Types<'_>, cursor: &Cursor<'_>, call: &Call<'_>) -> Vec<Suggestion> {
    let options = options(types, cursor, call, &call.options);
    let fits = |name: &&str| name.starts_with(cursor.word) && !call.given.contains(name);
    let names = options.iter().map(|option| option.name).filter(fits);
    names
        .map(|name| Suggestion {
            text: format!("{name}: "),
            label: name.to_owned(),
        })
        .collect()
}

/// What a text may be: one of the words that an option takes, or the name of something.
fn texts(types: &Types<'_>, world: &dyn World, cursor: &Cursor<'_>, call: &Call<'_>) -> Vec<Suggestion> {
    let Some((option, outer)) = call.options.split_last() else {
        let receiver = usize::from(matches!(call.callee, Callee::Method(..)));
        let named =
            callee(types, &cursor.before, call).and_then(|name| names::of_argument(&name, call.argument + receiver));
        return named.map(|named| world.names(named, cursor.word)).unwrap_or_default();
    };
    let known = options(types, cursor, call, outer)
        .into_iter()
        .find(|known| known.name == *option);
    match known.filter(|known| !known.values.is_empty()) {
        Some(known) => {
            let words = known.values.iter().filter(|word| word.starts_with(cursor.word));
            words.map(|word| Suggestion::plain(word)).collect()
        }
        None => names::of_option(option)
            .map(|named| world.names(named, cursor.word))
            .unwrap_or_default(),
    }
}

fn fitting(members: &BTreeSet<Member<'_>>, word: &str) -> Vec<Suggestion> {
    let fits = members.iter().filter(|member| member.name.starts_with(word));
    fits.map(|member| Suggestion {
        text: format!("{}{}", member.name, if member.is_call { "(" } else { "" }),
        label: member.name.to_owned(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::testing;

    struct Small;

    impl World for Small {
        fn variables(&self) -> Vec<String> {
            vec!["total".to_owned()]
        }

        fn variable(&self, name: &str) -> Option<Value> {
            match name {
                "wait" => testing::value("2.seconds"),
                "facts" => testing::value("#{size: 1, since: 2, \"a b\": 3}"),
                _ => None,
            }
        }

        fn names(&self, named: Named, word: &str) -> Vec<Suggestion> {
            vec![Suggestion::plain(&format!("{named:?}/{word}"))]
        }
    }

    fn completed(before: &str) -> Vec<String> {
        let (start, found) = complete(&Manual::read(), &Small, before);
        let whole = |one: Suggestion| format!("{}{}", &before[..start], one.text);
        found.into_iter().map(whole).collect()
    }

    #[test]
    fn modules_functions_methods_and_variables_are_completed() {
        assert_eq!(completed("fs::read_"), ["fs::read_blob(", "fs::read_lines("]);
        assert_eq!(completed("let x = sem"), ["let x = semver::"]);
        assert_eq!(completed("print(tot"), ["print(total"]);
        assert_eq!(completed("wait.mi"), ["wait.micros", "wait.millis", "wait.minutes"]);
        assert_eq!(completed("facts.s"), ["facts.since", "facts.size", "facts.set("]);
        assert_eq!(completed("parallel"), ["parallel(", "parallel_map("]);
        assert_eq!(
            completed("image::list()[0].ta"),
            ["image::list()[0].tag(", "image::list()[0].tags"]
        );
        assert_eq!(completed("image::list().joi"), ["image::list().join("]);
        assert!(completed("wait.join").is_empty());
        assert!(completed("").is_empty());
        assert!(completed("print(`${wait.hou").contains(&"print(`${wait.hours".to_owned()));
    }

    #[test]
    fn texts_are_completed_by_what_the_argument_names() {
        assert_eq!(completed("image::get(\"to"), ["image::get(\"Images/to"]);
        assert_eq!(completed("image::pull(\"to"), ["image::pull(\"Tags/to"]);
        assert_eq!(
            completed("image::list()[0].save(\"/t"),
            ["image::list()[0].save(\"Files//t"]
        );
        assert_eq!(
            completed("container::run(\"x\", [], #{volumes: [\"d"),
            ["container::run(\"x\", [], #{volumes: [\"Volumes/d"]
        );
        assert!(completed("print(\"x").is_empty());
    }

    #[test]
    fn options_are_completed_by_the_call_they_are_in() {
        assert_eq!(
            completed("image::pull(\"a\", #{plat"),
            ["image::pull(\"a\", #{platform: "]
        );
        assert_eq!(
            completed("image::pull(\"a\", #{platform: \"x\", all_"),
            ["image::pull(\"a\", #{platform: \"x\", all_tags: "]
        );
        assert!(completed("image::pull(\"a\", #{platform: \"x\", plat").is_empty());
        assert_eq!(
            completed("image::list()[0].save(\"/t\", #{form"),
            ["image::list()[0].save(\"/t\", #{format: "]
        );
        assert_eq!(
            completed("registry::serve(#{tls: #{ce"),
            ["registry::serve(#{tls: #{cert: "]
        );
        assert_eq!(
            completed("image::pull(\"x\", #{policy: \"alw"),
            ["image::pull(\"x\", #{policy: \"always"]
        );
        assert!(completed("let m = #{plat").is_empty());
    }

    #[test]
    fn commands_and_their_words_are_completed() {
        assert_eq!(completed(":pl"), [":plan"]);
        assert_eq!(completed(":plan o"), [":plan on", ":plan off"]);
        assert_eq!(completed("help image::pru"), ["help image::prune"]);
        assert_eq!(completed(":load /t"), [":load Files//t"]);
        assert_eq!(completed(":time wait.hou"), [":time wait.hours"]);
    }
}
