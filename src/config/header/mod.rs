//! The header of a script: the lines `//! …` before its code, in which it says what it is for, what it needs, and what it takes.
//!
//! A line is `key: value`, with a key of [`KEYS`], or a line of the description, which begins in another way. It is read without
//! the interpreter, so that help and completion cost no more than the file.

mod job;
mod notify;
mod parameter;
mod words;

use super::Rule;
use crate::error::{Error, Result};
use crate::model::unknown;
use job::JobLines;

pub use job::{JobHeader, Overlap, Retries, split_words};
pub use notify::Notify;
pub use parameter::{Given, Parameter, Place, Type};
pub use words::{Misuse, part_words, read_words};

/// What a header may say. A key is a word in lower case, so that `Example: …` is a line of the description.
const KEYS: [&str; 6] = ["allow", "arg", "flag", "options", "signals", "usage"];

/// What a script says of itself.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// The lines of the description.
    pub about: Vec<String>,
    /// What it needs to be allowed; `None` where it says nothing.
    pub allow: Option<Vec<Rule>>,
    /// What it takes, in the order of declaration.
    pub parameters: Vec<Parameter>,
    /// How it is called, where it says that itself.
    pub usage: Option<String>,
    /// Whether it takes the flags of a new container, as a command may.
    pub has_options: bool,
    /// When the signals of the process are for the program of a container, as with a command that talks with one.
    signals: Option<Signals>,
    /// When and how it runs by itself.
    pub job: JobHeader,
}

impl Header {
    /// Reads the lines before the code of the script called `name`.
    ///
    /// Errors: `invalid`, with the line, for a key nobody knows and for what a key cannot mean.
    pub fn read(name: &str, code: &str) -> Result<Header> {
        let (mut header, mut job) = (Header::default(), JobLines::default());
        for (number, line) in lines(code, "//!") {
            let at = |error: Error| error.during(format!("read line {number} of the header of `{name}`"));
            match key(line) {
                Some((key, value)) if job.note(number, key, value).map_err(at)? => {}
                Some((key, value)) => header.take(key, value).map_err(at)?,
                None => header.about.push(told(line)),
            }
        }
        if header.about.is_empty() && lines(code, "//!").next().is_none() {
            header.about = lines(code, "///").map(|(_, line)| told(line)).collect();
        }
        header.job = job.read(name)?;
        let order = header.check();
        order.map_err(|error| error.during(format!("read the header of `{name}`")))?;
        Ok(header)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "allow" => self.allow.get_or_insert_default().extend(rules(value)?),
            "arg" => self.add(Parameter::argument(value)?)?,
            "flag" => self.add(Parameter::flag(value)?)?,
            "usage" => self.usage = Some(value.to_owned()),
            "options" if value == "container" => self.has_options = true,
            "options" => {
                let error = Error::invalid(format!("there are no options of `{}`", value.escape_debug()));
                return Err(error.hint("there is `//! options: container` alone"));
            }
            "signals" => self.signals = Some(Signals::parse(value)?),
            other => {
                let mut keys = [&KEYS[..], &job::KEYS[..]].concat();
                keys.sort_unstable();
                let error = unknown("key", other, &keys);
                let hint = error.way_out().unwrap_or_default().to_owned();
                return Err(error.hint(format!("{hint}; a line of the description begins with a capital")));
            }
        }
        Ok(())
    }

    fn add(&mut self, parameter: Parameter) -> Result<()> {
        let clash = |other: &&Parameter| {
            other.variable() == parameter.variable() || (other.short().is_some() && other.short() == parameter.short())
        };
        if let Some(other) = self.parameters.iter().find(clash) {
            let error = Error::invalid(format!("`{}` is declared twice", other.name)).target(other.name.as_str());
            return Err(error.hint("names and letters of arguments and flags must differ"));
        }
        self.parameters.push(parameter);
        Ok(())
    }

    /// What no line alone can get wrong: the order of arguments.
    fn check(&self) -> Result<()> {
        let mut before: Option<&Parameter> = None;
        for argument in self.arguments() {
            if let Some(before) = before {
                let why = match (before.many, before.is_required() || !argument.is_required()) {
                    (true, _) => "takes all that follows",
                    (_, false) => "may be left out",
                    _ => {
                        continue;
                    }
                };
                let message = format!(
                    "the argument `{}` comes after `{}`, which {why}",
                    argument.name, before.name
                );
                return Err(Error::invalid(message)
                    .hint("required arguments come first, then those with a default, and one of `TYPE...` last"));
            }
            before = Some(argument);
        }
        Ok(())
    }

    /// Whether it says what it takes, so that words are checked before it runs.
    pub fn declares(&self) -> bool {
        !self.parameters.is_empty() || self.usage.is_some()
    }

    /// Whether the signals of the process are for the program of a container, with what the command is told.
    pub fn takes_signals(&self, told: &[(String, Given)]) -> bool {
        let is_on = |flag: &String| {
            told.iter()
                .any(|(name, given)| name == flag && *given == Given::Bool(true))
        };
        self.signals.as_ref().is_some_and(|signals| match signals {
            Signals::If(flags) => flags.iter().any(is_on),
            Signals::Unless(flags) => !flags.iter().any(is_on),
        })
    }

    /// How many arguments there must be, and may be.
    pub fn counts(&self) -> (usize, Option<usize>) {
        let least = self.arguments().filter(|one| one.is_required()).count();
        let is_open = self.arguments().any(|one| one.many);
        (least, (!is_open).then(|| self.arguments().count()))
    }

    /// What is told by its place.
    pub fn arguments(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|one| one.place == Place::Argument)
    }

    /// What is told by a name.
    pub fn flags(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(|one| one.place != Place::Argument)
    }

    /// `[FLAGS] KEEP [IMAGES...]`.
    pub fn synopsis(&self) -> String {
        if let Some(usage) = &self.usage {
            return usage.clone();
        }
        let flags = self.flags().next().map(|_| "[FLAGS]".to_owned());
        let words: Vec<String> = flags
            .into_iter()
            .chain(self.arguments().map(Parameter::synopsis))
            .collect();
        words.join(" ")
    }

    /// What `--help` shows; `call` is what stands before the arguments.
    pub fn help(&self, call: &str) -> String {
        let mut about = self.about.clone();
        // Between lines that say what it takes, and are shown below.
        about.dedup_by(|line, before| line.is_empty() && before.is_empty());
        let mut text = about.join("\n").trim().to_owned();
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(format!("Usage: {call} {}", self.synopsis()).trim_end());
        let mut section = |title: &str, rows: Vec<(String, String)>| {
            let width = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
            if !rows.is_empty() {
                text.push_str(&format!("\n\n{title}:"));
            }
            for (left, right) in rows {
                text.push_str(format!("\n  {left:width$}   {right}").trim_end());
            }
        };
        section(
            "Arguments",
            self.arguments().map(|one| (one.synopsis(), one.explained())).collect(),
        );
        let help = ("-h, --help".to_owned(), "Show this".to_owned());
        let flags = self.flags().map(|one| (one.form(), one.explained()));
        section("Flags", flags.chain([help]).collect());
        text + "\n"
    }
}

/// When signals are passed on: `container`, `container if FLAG…`, `container unless FLAG…`.
#[derive(Debug, Clone)]
enum Signals {
    If(Vec<String>),
    Unless(Vec<String>),
}

impl Signals {
    fn parse(value: &str) -> Result<Signals> {
        let mut words = value.split_whitespace();
        let (whose, when) = (words.next(), words.next());
        let flags: Vec<String> = words.map(|word| word.replace('-', "_")).collect();
        match (whose, when, flags.is_empty()) {
            (Some("container"), None, _) => Ok(Signals::Unless(Vec::new())),
            (Some("container"), Some("if"), false) => Ok(Signals::If(flags)),
            (Some("container"), Some("unless"), false) => Ok(Signals::Unless(flags)),
            _ => Err(Error::invalid(format!(
                "`{}` does not say when signals are passed on",
                value.escape_debug()
            ))
            .hint("write `//! signals: container`, `container if FLAG` or `container unless FLAG`")),
        }
    }
}

/// The lines of the header that begin with a mark, without it, by number from 1.
fn lines<'a>(code: &'a str, mark: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let before = |line: &&str| line.is_empty() || line.starts_with("//") || line.starts_with("#!");
    let numbered = code.lines().map(str::trim).take_while(before).zip(1..);
    numbered.filter_map(move |(line, number)| Some((number, line.strip_prefix(mark)?)))
}

/// A line of the description.
fn told(line: &str) -> String {
    line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned()
}

/// `key: value`; `None` for a line of the description.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim().split_once(':')?;
    let is_word = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'));
    let ends = value.is_empty() || value.starts_with([' ', '\t']);
    (is_word && ends).then_some((key, value.trim()))
}

fn rules(value: &str) -> Result<Vec<Rule>> {
    let words = value.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.map(Rule::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str) -> Result<Header> {
        Header::read("x.rhai", code)
    }

    #[test]
    fn permissions_are_read_from_the_lines_before_the_code() {
        let header = read(
            "#!/usr/bin/env hoist\n// Clean up.\n//! allow: delete=app/*:pr-*, run\n//! allow: net=ghcr.io\nlet x = 1;\n//! allow: fs\n",
        );
        let texts: Vec<String> = header.unwrap().allow.unwrap().iter().map(Rule::text).collect();
        assert_eq!(texts, ["delete=app/*:pr-*", "run", "net=ghcr.io"]);
        assert!(read("let x = 1;").unwrap().allow.is_none());
        assert!(read("//! allow:\n1").unwrap().allow.unwrap().is_empty());
        let error = read("\n//! allow: pul").unwrap_err();
        assert!(
            error.message().contains("line 2") && error.way_out().unwrap().contains("`pull`"),
            "{error}"
        );
    }

    #[test]
    fn a_key_nobody_knows_is_refused_with_the_nearest() {
        let described = read("/// Copies.\nfn f() {}").unwrap();
        assert_eq!(described.about, ["Copies."]);
        assert!(
            read("//! allow: run\n/// allow: what\nfn f() {}")
                .unwrap()
                .about
                .is_empty()
        );
        let error = read("//! flg: x").unwrap_err();
        assert!(
            error.message().contains("line 1") && error.message().contains("unknown key `flg`"),
            "{error}"
        );
        assert!(
            error.way_out().unwrap().starts_with("did you mean `flag`?"),
            "{error:?}"
        );
        for line in ["//! Example: x", "//! see docs/x.md: y", "//! a::b", "//! http://x"] {
            assert_eq!(read(line).unwrap().about, [line.trim_start_matches("//! ")], "{line}");
        }
    }

    #[test]
    fn an_order_that_no_words_could_have_is_refused() {
        for (code, why) in [
            ("//! arg: a string...\n//! arg: b string", "takes all that follows"),
            ("//! arg: a int = 1\n//! arg: b string", "may be left out"),
            ("//! arg: a string?\n//! arg: b string...", "may be left out"),
            ("//! arg: a string\n//! flag: a", "declared twice"),
            ("//! flag: all -a\n//! flag: any -a", "declared twice"),
            ("//! flag: a-b\n//! flag: a_b", "declared twice"),
        ] {
            let error = read(code).unwrap_err();
            assert!(
                error.message().contains(why) && error.way_out().is_some(),
                "{code}: {error}"
            );
        }
        read("//! arg: a string\n//! arg: b int = 1\n//! arg: c string...?").unwrap();
    }

    #[test]
    fn help_shows_what_the_header_says() {
        let header = read(concat!(
            "//! Copies images.\n//!\n//! Example: copy 3 a b\n",
            "//! arg: keep int \"tags to keep\"\n//! arg: images string... \"what to copy\"\n",
            "//! flag: verbose -v \"tell more\"\n//! flag: older-than duration = 7d \"age\"\n",
            "//! flag: how choice(fast|slow) = fast\n//! flag: filter -f string...",
        ));
        let expected = "Copies images.\n\nExample: copy 3 a b\n\nUsage: hoist run x.rhai [FLAGS] KEEP IMAGES...\n\n\
            Arguments:\n  KEEP        tags to keep\n  IMAGES...   what to copy\n\n\
            Flags:\n  -v, --verbose               tell more\n      --older-than DURATION   age (default: 7d)\n      \
            --how fast|slow         (default: fast)\n  -f, --filter STRING         may be given several times\n  \
            -h, --help                  Show this\n";
        assert_eq!(header.unwrap().help("hoist run x.rhai"), expected);
    }
}
