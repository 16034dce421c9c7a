//! One thing a script takes: `keep int = 3 "tags to keep"`.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};
use crate::model::{ByteSize, Moment, parse_duration, unknown};

/// How a parameter is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By its place.
    Argument,
    /// By `--name`, or by a letter.
    Flag(Option<char>),
}

/// What a word may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `true` or `false`; as a flag, there or not.
    Bool,
    /// Bytes: `512m`, `10GB`.
    Size,
    /// `90s`, `1h30m`.
    Duration,
    /// A point in time, or an age before now.
    Time,
    /// A path of this machine.
    Path,
    /// One of these.
    Choice(Vec<String>),
    /// An image, by name or id.
    Image,
    /// A container, by name or id.
    Container,
    /// A volume, by name.
    Volume,
    /// Words of another command line: all that follow, flags as well.
    Words,
}

/// The names of types, as headers have them.
const TYPES: &[&str] = &[
    "string",
    "int",
    "float",
    "bool",
    "size",
    "duration",
    "time",
    "path",
    "choice(…|…)",
    "image",
    "container",
    "volume",
    "words",
];

/// A value that was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Nothing was.
    Nothing,
    /// Text, and what is text to scripts.
    Text(String),
    /// A number, or bytes.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// An amount of time.
    Duration(std::time::Duration),
    /// A point in time.
    Time(Timestamp),
    /// Several.
    List(Vec<Given>),
    /// The options of a new container, as its flags say them.
    Options(serde_json::Value),
}

impl Type {
    fn parse(text: &str) -> Result<Type> {
        if let Some(list) = text.strip_prefix("choice(").and_then(|rest| rest.strip_suffix(')')) {
            let words: Vec<String> = list.split('|').map(|word| word.trim().to_owned()).collect();
            return match words.iter().any(String::is_empty) {
                true => {
                    Err(Error::invalid(format!("`{text}` has an empty choice")).hint("such as `choice(fast|slow)`"))
                }
                false => Ok(Type::Choice(words)),
            };
        }
        Ok(match text {
            "string" => Type::Text,
            "int" => Type::Int,
            "float" => Type::Float,
            "bool" => Type::Bool,
            "size" => Type::Size,
            "duration" => Type::Duration,
            "time" => Type::Time,
            "path" => Type::Path,
            "image" => Type::Image,
            "container" => Type::Container,
            "volume" => Type::Volume,
            "words" => Type::Words,
            other => return Err(unknown("type", other, TYPES)),
        })
    }

    /// The word in help that stands for a value.
    pub fn word(&self) -> String {
        match self {
            Type::Text | Type::Words => "STRING".to_owned(),
            Type::Int => "N".to_owned(),
            Type::Float => "NUMBER".to_owned(),
            Type::Bool => "BOOL".to_owned(),
            Type::Size => "SIZE".to_owned(),
            Type::Duration => "DURATION".to_owned(),
            Type::Time => "TIME".to_owned(),
            Type::Path => "PATH".to_owned(),
            Type::Image => "IMAGE".to_owned(),
            Type::Container => "CONTAINER".to_owned(),
            Type::Volume => "VOLUME".to_owned(),
            Type::Choice(words) => words.join("|"),
        }
    }

    /// What a value is, in words.
    fn meant(&self) -> String {
        match self {
            Type::Int => "a whole number".to_owned(),
            Type::Float => "a number".to_owned(),
            Type::Bool => "`true` or `false`".to_owned(),
            Type::Size => "a size, such as `512m` or `10GB`".to_owned(),
            Type::Duration => "a duration, such as `90s` or `7d`".to_owned(),
            Type::Time => "a time, such as `2026-01-31T12:00:00Z`, or an age such as `7d`".to_owned(),
            Type::Choice(words) => format!("one of {}", words.join(", ")),
            _ => "text".to_owned(),
        }
    }

    /// The value of a word; the error is what is meant instead.
    pub fn value(&self, word: &str) -> std::result::Result<Given, String> {
        let given = match self {
            Type::Int => word.parse().ok().map(Given::Int),
            Type::Float => word
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Given::Float),
            Type::Bool => match word {
                "true" | "1" => Some(Given::Bool(true)),
                "false" | "0" => Some(Given::Bool(false)),
                _ => None,
            },
            Type::Size => {
                let size = word.parse::<ByteSize>().ok();
                size.and_then(|size| i64::try_from(size.0).ok()).map(Given::Int)
            }
            Type::Duration => parse_duration(word).ok().map(Given::Duration),
            Type::Time => time(word).map(Given::Time),
            Type::Choice(words) => words
                .iter()
                .any(|one| one == word)
                .then(|| Given::Text(word.to_owned())),
            Type::Text | Type::Path | Type::Image | Type::Container | Type::Volume | Type::Words => {
                Some(Given::Text(word.to_owned()))
            }
        };
        given.ok_or_else(|| self.meant())
    }
}

/// A time, a date in UTC, or an age.
fn time(word: &str) -> Option<Timestamp> {
    let day = || word.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let moment = word
        .parse::<Moment>()
        .ok()
        .map(|moment| moment.resolve(Timestamp::now()));
    moment.or_else(|| day().map(|day| day.timestamp()))
}

/// One thing a script takes.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// As on the command line, such as `older-than`.
    pub name: String,
    /// How it is told.
    pub place: Place,
    /// What it is.
    pub kind: Type,
    /// Whether there may be several.
    pub many: bool,
    /// Whether it may be left out without having a default.
    optional: bool,
    /// The word it is where none is told.
    pub default: Option<String>,
    /// What it is for.
    pub help: String,
    /// What stands for its value in help, if not the name of its type.
    word: Option<&'static str>,
}

impl Parameter {
    /// A flag without a default; `word` stands for its value in help.
    pub fn of_flag(
        name: &str,
        letter: Option<char>,
        kind: Type,
        many: bool,
        word: &'static str,
        help: &str,
    ) -> Parameter {
        Parameter {
            name: name.to_owned(),
            place: Place::Flag(letter),
            kind,
            many,
            optional: false,
            default: None,
            help: help.to_owned(),
            word: Some(word),
        }
    }

    /// `NAME TYPE[...][?] [= DEFAULT] ["help"]`.
    pub(super) fn argument(text: &str) -> Result<Parameter> {
        Parameter::parse(text, false)
    }

    /// `NAME [-L] [TYPE[...]] [= DEFAULT] ["help"]`.
    pub(super) fn flag(text: &str) -> Result<Parameter> {
        Parameter::parse(text, true)
    }

    fn parse(text: &str, is_flag: bool) -> Result<Parameter> {
        let wrong = |message: String| Error::invalid(message).hint(form(is_flag));
        let (declared, default, help) = split(text).map_err(wrong)?;
        let mut words = declared.split_whitespace();
        let name = words.next().ok_or_else(|| wrong("it declares nothing".to_owned()))?;
        check_name(name)?;
        let mut rest: Vec<&str> = words.collect();
        let letter = letter(&mut rest, is_flag).map_err(wrong)?;
        let kind = match (rest.as_slice(), is_flag) {
            ([], true) => "bool",
            ([kind], _) => *kind,
            ([], false) => return Err(wrong(format!("the argument `{name}` has no type"))),
            ([_, stray, ..], _) => return Err(wrong(format!("`{stray}` has no meaning after the type of `{name}`"))),
        };
        let (kind, optional) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        let (kind, many) = kind.strip_suffix("...").map_or((kind, false), |kind| (kind, true));
        let kind = Type::parse(kind)?;
        let parameter = Parameter {
            name: name.to_owned(),
            place: if is_flag { Place::Flag(letter) } else { Place::Argument },
            many: many || kind == Type::Words,
            kind,
            optional,
            default,
            help,
            word: None,
        };
        parameter.check()?;
        Ok(parameter)
    }

    fn check(&self) -> Result<()> {
        let is_flag = self.place != Place::Argument;
        if is_flag && self.kind == Type::Words {
            return Err(Error::invalid(format!("the flag `{}` cannot be of words", self.name)).hint(form(true)));
        }
        let Some(default) = &self.default else { return Ok(()) };
        if self.many || self.optional {
            let message = format!("`{}` has a default, and may be several or left out", self.name);
            return Err(Error::invalid(message).hint("take the default away, or `...` and `?`"));
        }
        self.kind.value(default).map(drop).map_err(|meant| {
            Error::invalid(format!("the default `{default}` of `{}` is not {meant}", self.name))
                .hint("write a default that the script would accept")
        })
    }

    /// The name in the script, `older_than`.
    pub fn variable(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The letter of a flag.
    pub fn short(&self) -> Option<char> {
        match self.place {
            Place::Flag(letter) => letter,
            Place::Argument => None,
        }
    }

    /// Whether a flag is told by its name alone.
    pub fn is_switch(&self) -> bool {
        self.place != Place::Argument && self.kind == Type::Bool && !self.many
    }

    /// Whether it has to be told.
    pub fn is_required(&self) -> bool {
        self.place == Place::Argument && self.default.is_none() && !self.optional
    }

    /// The value where nothing is told.
    pub fn absent(&self) -> Given {
        match &self.default {
            Some(default) => self.kind.value(default).unwrap_or(Given::Nothing),
            None if self.many => Given::List(Vec::new()),
            None if self.is_switch() && !self.optional => Given::Bool(false),
            None => Given::Nothing,
        }
    }

    /// `KEEP`, `[KEEP]`, `IMAGES...`.
    pub fn synopsis(&self) -> String {
        let name = self.name.to_uppercase();
        let name = if self.many { name + "..." } else { name };
        if self.is_required() { name } else { format!("[{name}]") }
    }

    /// `-f, --filter STRING`.
    pub fn form(&self) -> String {
        let letter = self.short().map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        match self.is_switch() {
            true => format!("{letter}--{}", self.name),
            false => format!(
                "{letter}--{} {}",
                self.name,
                self.word.map_or_else(|| self.kind.word(), str::to_owned)
            ),
        }
    }

    /// The text of help, with what a reader must know beside it.
    pub(super) fn explained(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend((!self.help.is_empty()).then(|| self.help.clone()));
        parts.extend(self.default.as_ref().map(|default| format!("(default: {default})")));
        if let (Type::Choice(words), Place::Argument) = (&self.kind, self.place) {
            parts.push(format!("({})", words.join(", ")));
        }
        if self.many && self.place != Place::Argument && self.help.is_empty() {
            parts.push("may be given several times".to_owned());
        }
        parts.join(" ")
    }
}

/// What is declared, its default, and the help in quotes.
fn split(text: &str) -> std::result::Result<(&str, Option<String>, String), String> {
    let at = text.find(['=', '"']).unwrap_or(text.len());
    let (declared, rest) = text.split_at(at);
    let (default, rest) = match rest.strip_prefix('=').map(str::trim_start) {
        None => (None, rest),
        Some(rest) if rest.starts_with('"') => {
            let (default, rest) = quoted(rest)?;
            (Some(default), rest)
        }
        Some(rest) => {
            let (default, rest) = rest.split_at(rest.find('"').unwrap_or(rest.len()));
            (Some(default.trim().to_owned()), rest)
        }
    };
    match rest.trim() {
        "" => Ok((declared, default, String::new())),
        rest => match quoted(rest)? {
            (help, "") => Ok((declared, default, help)),
            (_, stray) => Err(format!("`{}` has no meaning at the end", stray.trim())),
        },
    }
}

/// The text in quotes that begins here, and what is after it.
fn quoted(text: &str) -> std::result::Result<(String, &str), String> {
    let mut inner = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((inner, &text[at + 1..])),
            '\\' => inner.extend(letters.next().map(|(_, letter)| letter)),
            letter => inner.push(letter),
        }
    }
    Err("the text in quotes has no end".to_owned())
}

/// Takes `-v` out of the words of a flag.
fn letter(words: &mut Vec<&str>, is_flag: bool) -> std::result::Result<Option<char>, String> {
    let Some(at) = words.iter().position(|word| word.starts_with('-')) else {
        return Ok(None);
    };
    let word = words.remove(at);
    let mut letters = word[1..].chars();
    match (is_flag, letters.next(), letters.next()) {
        (true, Some(letter), None) if letter.is_ascii_alphanumeric() => Ok(Some(letter)),
        (true, _, _) => Err(format!("`{word}` is no letter of a flag")),
        (false, _, _) => Err(format!("`{word}` is for flags")),
    }
}

fn form(is_flag: bool) -> &'static str {
    match is_flag {
        true => {
            "a flag is `//! flag: NAME [-L] [TYPE][...] [= DEFAULT] [\"help\"]`, such as `//! flag: filter -f string... \"which\"`"
        }
        false => {
            "an argument is `//! arg: NAME TYPE[...][?] [= DEFAULT] [\"help\"]`, such as `//! arg: keep int = 3 \"tags to keep\"`"
        }
    }
}

/// Words of the language that no variable may be called.
const RESERVED: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "call",
    "case",
    "catch",
    "const",
    "continue",
    "curry",
    "debug",
    "default",
    "do",
    "else",
    "eval",
    "exit",
    "export",
    "false",
    "fn",
    "for",
    "global",
    "go",
    "goto",
    "if",
    "import",
    "in",
    "is",
    "let",
    "loop",
    "match",
    "module",
    "new",
    "nil",
    "null",
    "package",
    "print",
    "private",
    "protected",
    "public",
    "return",
    "shared",
    "spawn",
    "static",
    "super",
    "switch",
    "sync",
    "this",
    "thread",
    "throw",
    "true",
    "try",
    "type_of",
    "use",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

fn check_name(name: &str) -> Result<()> {
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let fits = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !begins || !fits {
        let error = Error::invalid(format!("`{}` is no name", name.escape_debug()));
        return Err(error.hint("a name has letters, digits, `-` and `_`, and begins with a letter"));
    }
    match RESERVED.contains(&name) || name == "help" {
        true => Err(
            Error::invalid(format!("`{name}` cannot be a name, since it has a meaning already"))
                .hint(format!("such as `{name}-it` instead")),
        ),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let keep = Parameter::argument("keep int = 3 \"tags to keep per repository\"").unwrap();
        assert_eq!((keep.kind.clone(), keep.absent()), (Type::Int, Given::Int(3)));
        assert_eq!(
            (keep.help.as_str(), keep.is_required()),
            ("tags to keep per repository", false)
        );
        let images = Parameter::argument("images string... \"what\"").unwrap();
        assert!(images.many && images.is_required());
        let verbose = Parameter::flag("verbose -v \"tell \\\"more\\\"\"").unwrap();
        assert_eq!((verbose.short(), verbose.absent()), (Some('v'), Given::Bool(false)));
        assert_eq!(verbose.help, "tell \"more\"");
        let sep = Parameter::flag("separator -s string = \", \" \"between\"").unwrap();
        assert_eq!(
            (sep.absent(), sep.help.as_str()),
            (Given::Text(", ".to_owned()), "between")
        );
        assert_eq!(
            Parameter::flag("sep string = \",\"").unwrap().absent(),
            Given::Text(",".to_owned())
        );
        assert_eq!(Parameter::flag("tls-verify bool?").unwrap().absent(), Given::Nothing);
        assert_eq!(Parameter::flag("older-than duration").unwrap().variable(), "older_than");
    }

    #[test]
    fn every_type_takes_its_words_and_says_what_it_means() {
        for (kind, right, wrong) in [
            ("int", "-3", "1.5"),
            ("float", "1.5", "nan"),
            ("bool", "true", "yes"),
            ("size", "10MB", "much"),
            ("duration", "1h30m", "soon"),
            ("time", "2026-01-31T12:00:00Z", "noon"),
            ("time", "7d", "soon"),
            ("time", "2026-01-31", "2026-13-31"),
            ("choice(a|b)", "b", "c"),
        ] {
            let kind = Type::parse(kind).unwrap();
            assert!(kind.value(right).is_ok(), "{kind:?} {right}");
            assert_eq!(kind.value(wrong), Err(kind.meant()), "{kind:?} {wrong}");
        }
        assert_eq!(Type::Size.value("1k"), Ok(Given::Int(1024)));
    }

    #[test]
    fn a_wrong_declaration_says_what_is_wrong_and_how_it_is_written() {
        for (text, is_flag, message) in [
            ("", false, "it declares nothing"),
            ("keep", false, "the argument `keep` has no type"),
            ("keep integer", false, "unknown type `integer`"),
            (
                "keep int = many",
                false,
                "the default `many` of `keep` is not a whole number",
            ),
            (
                "keep int = 3 more",
                false,
                "the default `3 more` of `keep` is not a whole number",
            ),
            ("keep int what", false, "`what` has no meaning after the type of `keep`"),
            ("1st int", false, "`1st` is no name"),
            (
                "default int",
                false,
                "`default` cannot be a name, since it has a meaning already",
            ),
            ("keep -k int", false, "`-k` is for flags"),
            ("all -all", true, "`-all` is no letter of a flag"),
            ("all... string\"", false, "the text in quotes has no end"),
            ("how choice(a|)", true, "`choice(a|)` has an empty choice"),
            ("x words", true, "the flag `x` cannot be of words"),
            (
                "x string... = a",
                true,
                "`x` has a default, and may be several or left out",
            ),
        ] {
            let error = Parameter::parse(text, is_flag).unwrap_err();
            assert_eq!(error.message(), message, "{text}");
            assert!(error.way_out().is_some(), "{text}");
        }
    }
}
