//! The words of a command line, as the header declares them.

use super::Header;
use super::parameter::{Given, Parameter, Place, Type};
use crate::model::suggest;

/// What a command line got wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misuse {
    /// Help was asked for.
    Help,
    /// `--foo`, which is no flag.
    UnknownFlag(String),
    /// A letter that is no flag, and the word it is in.
    UnknownLetter(char, String),
    /// A flag at the end, without its value: as written, and the word it is in.
    NoValue(String, String),
    /// A value that is none: the parameter as written, its word, and what is meant.
    WrongValue {
        /// `--keep`, `-n, --last`, or the name of an argument.
        name: String,
        /// What was given.
        word: String,
        /// What would do.
        meant: String,
    },
    /// The argument that is missing.
    TooFew(String),
    /// The word that is too many.
    TooMany(String),
}

impl Misuse {
    /// What is wrong, and the way out.
    pub fn words(&self, header: &Header) -> (String, String) {
        match self {
            Misuse::Help => (String::new(), String::new()),
            Misuse::UnknownFlag(name) => {
                let names = header.flags().map(|flag| flag.name.as_str()).chain(["help"]);
                let near = suggest(name, names).map(|near| format!("did you mean `--{near}`?"));
                (
                    format!("unknown flag `--{}`", name.escape_debug()),
                    near.unwrap_or_else(|| flags(header)),
                )
            }
            Misuse::UnknownLetter(letter, word) => {
                let word = word.escape_debug();
                (
                    format!("unknown flag `-{}` in `{word}`", letter.escape_debug()),
                    flags(header),
                )
            }
            Misuse::NoValue(name, _) => {
                let kind = header
                    .flags()
                    .find(|flag| format!("--{}", flag.name) == *name || short_of(flag) == *name);
                let meant = kind.map_or_else(|| "a value".to_owned(), |flag| flag.kind.word());
                (format!("`{name}` needs a value"), format!("write `{name} {meant}`"))
            }
            Misuse::WrongValue { name, word, meant } => (
                format!("`{}` is no value for `{name}`", word.escape_debug()),
                format!("it must be {meant}"),
            ),
            Misuse::TooFew(name) => (
                format!("`{name}` is missing"),
                format!("say it after {}", before(header, name)),
            ),
            Misuse::TooMany(word) => (
                format!("`{}` is one argument too many", word.escape_debug()),
                "what begins with `-` is a flag, what has spaces needs quotes".to_owned(),
            ),
        }
    }
}

fn flags(header: &Header) -> String {
    let names: Vec<String> = header.flags().map(|flag| format!("--{}", flag.name)).collect();
    match names.is_empty() {
        true => "it has no flags; what begins with `-` and is none comes after `--`".to_owned(),
        false => format!("flags are {}", names.join(", ")),
    }
}

fn before(header: &Header, name: &str) -> String {
    let names: Vec<&str> = header.arguments().map(|one| one.name.as_str()).collect();
    let at = names.iter().position(|one| *one == name).unwrap_or(0);
    at.checked_sub(1)
        .map_or_else(|| "the name of the script".to_owned(), |at| format!("`{}`", names[at]))
}

fn short_of(flag: &Parameter) -> String {
    flag.short().map(|letter| format!("-{letter}")).unwrap_or_default()
}

/// What the words tell, by parameter, all of them told or not, in the order of declaration.
///
/// As in Docker: flags may stand among arguments, but not behind the first argument where the last is of words; letters may be
/// joined; `--` ends the flags.
pub fn read_words(header: &Header, words: &[String]) -> Result<Vec<(String, Given)>, Misuse> {
    let mut reader = Reader::new(header);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            reader.arguments.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            reader.long(long, &mut words)?;
        } else if word.starts_with('-') && word.len() > 1 && !reader.is_number(word) {
            reader.letters(word, &mut words)?;
        } else {
            reader.arguments.push(word.clone());
            if reader.ends_flags {
                reader.arguments.extend(words.by_ref().cloned());
            }
        }
    }
    reader.finish()
}

/// Parts a command line: the words that the header knows, and flags that it does not declare and `takes_word` knows, which says whether the
/// next word is their value.
pub fn part_words(
    header: &Header,
    words: &[String],
    takes_word: impl Fn(&str) -> Option<bool>,
) -> (Vec<String>, Vec<String>) {
    let reader = Reader::new(header);
    let (mut own, mut others) = (Vec::new(), Vec::new());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let name = word
            .strip_prefix("--")
            .map(|long| long.split('=').next().unwrap_or(long));
        let foreign = name.filter(|name| !reader.knows(name)).and_then(&takes_word);
        let list = if foreign.is_some() { &mut others } else { &mut own };
        list.push(word.clone());
        let is_argument = !word.starts_with('-') || word == "-";
        if word == "--" || is_argument && reader.ends_flags {
            own.extend(rest.by_ref().cloned());
        } else if foreign.unwrap_or_else(|| reader.wants_next(word)) && !(name.is_some() && word.contains('=')) {
            list.extend(rest.next().cloned());
        }
    }
    (own, others)
}

struct Reader<'a> {
    header: &'a Header,
    told: Vec<Option<Given>>,
    arguments: Vec<String>,
    /// Whether no flag follows an argument.
    ends_flags: bool,
    /// Whether `-3` may be a number.
    has_numbers: bool,
}

impl<'a> Reader<'a> {
    fn new(header: &'a Header) -> Reader<'a> {
        Reader {
            header,
            told: vec![None; header.parameters.len()],
            arguments: Vec::new(),
            ends_flags: header.arguments().any(|one| one.kind == Type::Words),
            has_numbers: header
                .arguments()
                .any(|one| matches!(one.kind, Type::Int | Type::Float)),
        }
    }

    fn is_number(&self, word: &str) -> bool {
        self.has_numbers && word.parse::<f64>().is_ok()
    }

    fn knows(&self, name: &str) -> bool {
        self.find(|flag| flag.name == name || flag.variable() == name).is_some()
    }

    /// Whether a flag's value is the word after it.
    fn wants_next(&self, word: &str) -> bool {
        let is_valued = |at: usize| !self.header.parameters[at].is_switch();
        if let Some(name) = word.strip_prefix("--") {
            let found = self.find(|flag| flag.name == name || flag.variable() == name);
            return found.is_some_and(is_valued);
        }
        let letters = word.strip_prefix('-').unwrap_or_default();
        let valued = letters.char_indices().find(|(_, letter)| {
            let found = self.find(|flag| flag.short() == Some(*letter));
            found.is_some_and(is_valued)
        });
        valued.is_some_and(|(at, letter)| at + letter.len_utf8() == letters.len())
    }

    fn find(&self, fits: impl Fn(&Parameter) -> bool) -> Option<usize> {
        let mut parameters = self.header.parameters.iter();
        parameters.position(|one| one.place != Place::Argument && fits(one))
    }

    fn long<'w>(&mut self, text: &str, rest: &mut impl Iterator<Item = &'w String>) -> Result<(), Misuse> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let found = self.find(|flag| flag.name == name || flag.variable() == name);
        let Some(at) = found else {
            return Err(match name {
                "help" => Misuse::Help,
                _ => Misuse::UnknownFlag(name.to_owned()),
            });
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None if self.header.parameters[at].is_switch() => "true".to_owned(),
            None => {
                let missing = || Misuse::NoValue(format!("--{name}"), format!("--{name}"));
                rest.next().cloned().ok_or_else(missing)?
            }
        };
        self.tell(at, &value)
    }

    fn letters<'w>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'w String>) -> Result<(), Misuse> {
        for (place, letter) in word.char_indices().skip(1) {
            let Some(at) = self.find(|flag| flag.short() == Some(letter)) else {
                return Err(match letter {
                    'h' => Misuse::Help,
                    _ => Misuse::UnknownLetter(letter, word.to_owned()),
                });
            };
            let tail = &word[place + letter.len_utf8()..];
            if self.header.parameters[at].is_switch() {
                match tail.strip_prefix('=') {
                    Some(value) => return self.tell(at, value),
                    None => self.tell(at, "true")?,
                }
                continue;
            }
            let value = match tail.is_empty() {
                false => tail.strip_prefix('=').unwrap_or(tail).to_owned(),
                true => {
                    let missing = || Misuse::NoValue(format!("-{letter}"), word.to_owned());
                    rest.next().cloned().ok_or_else(missing)?
                }
            };
            return self.tell(at, &value);
        }
        Ok(())
    }

    fn tell(&mut self, at: usize, word: &str) -> Result<(), Misuse> {
        let parameter = &self.header.parameters[at];
        let value = parameter.kind.value(word).map_err(|meant| Misuse::WrongValue {
            name: match parameter.short() {
                _ if parameter.place == Place::Argument => parameter.name.clone(),
                Some(letter) => format!("-{letter}, --{}", parameter.name),
                None => format!("--{}", parameter.name),
            },
            word: word.to_owned(),
            meant,
        })?;
        match (&mut self.told[at], parameter.many) {
            (Some(Given::List(list)), true) => list.push(value),
            (told, true) => *told = Some(Given::List(vec![value])),
            (told, false) => *told = Some(value),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(String, Given)>, Misuse> {
        let mut words = std::mem::take(&mut self.arguments).into_iter();
        for (at, parameter) in self.header.parameters.iter().enumerate() {
            if parameter.place != Place::Argument {
                continue;
            }
            let count = if parameter.many { usize::MAX } else { 1 };
            let mut any = false;
            for word in words.by_ref().take(count) {
                self.tell(at, &word)?;
                any = true;
            }
            if !any && parameter.is_required() {
                return Err(Misuse::TooFew(parameter.name.clone()));
            }
        }
        if let Some(word) = words.next() {
            return Err(Misuse::TooMany(word));
        }
        let told = self.header.parameters.iter().zip(self.told);
        Ok(told
            .map(|(parameter, value)| (parameter.variable(), value.unwrap_or_else(|| parameter.absent())))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! arg: keep int\n//! arg: images string...?\n//! flag: verbose -v\n//! flag: all -a\n//! flag: filter -f string...\n\
        //! flag: older-than duration = 7d\n//! flag: size -s size";

    fn read(header: &str, line: &str) -> Result<String, Misuse> {
        let header = Header::read("x", header).unwrap();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let shown = |given: &Given| match given {
            Given::Nothing => "-".to_owned(),
            Given::Text(text) => text.clone(),
            Given::Int(number) => number.to_string(),
            Given::Bool(yes) => yes.to_string(),
            Given::List(list) => list
                .iter()
                .map(|one| format!("{one:?}").replace("Text", ""))
                .collect::<String>(),
            other => format!("{other:?}"),
        };
        let told = read_words(&header, &words)?;
        Ok(told
            .iter()
            .map(|(name, given)| format!("{name}={} ", shown(given)))
            .collect::<String>()
            .trim()
            .to_owned())
    }

    #[test]
    fn flags_stand_anywhere_joined_or_not() {
        for (line, told) in [
            (
                "3",
                "keep=3 images= verbose=false all=false filter= older_than=Duration(604800s) size=-",
            ),
            (
                "-av 3 x --filter=a -fb y",
                "keep=3 images=(\"x\")(\"y\") verbose=true all=true filter=(\"a\")(\"b\") older_than=Duration(604800s) size=-",
            ),
            (
                "-3 -avs 1k --older_than 1s",
                "keep=-3 images= verbose=true all=true filter= older_than=Duration(1s) size=1024",
            ),
            (
                "--all=false 1 -- -v",
                "keep=1 images=(\"-v\") verbose=false all=false filter= older_than=Duration(604800s) size=-",
            ),
        ] {
            assert_eq!(read(HEADER, line).as_deref(), Ok(told), "{line}");
        }
    }

    #[test]
    fn words_of_another_command_line_are_left_alone() {
        let header = "//! arg: image image\n//! arg: command words\n//! flag: tty -t";
        assert_eq!(
            read(header, "-t x ls -la -- -t").unwrap(),
            "image=x command=(\"ls\")(\"-la\")(\"--\")(\"-t\") tty=true"
        );
    }

    #[test]
    fn flags_of_another_header_are_taken_out() {
        let part = |header: &str, line: &str| {
            let header = Header::read("x", header).unwrap();
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let takes = |flag: &str| match flag {
                "dry-run" => Some(false),
                "root" | "filter" => Some(true),
                _ => None,
            };
            let (own, others) = part_words(&header, &words, takes);
            (own.join(" "), others.join(" "))
        };
        let told = |own: &str, others: &str| (own.to_owned(), others.to_owned());
        assert_eq!(
            part(HEADER, "3 --root /a -v --dry-run x --root=/b"),
            told("3 -v x", "--root /a --dry-run --root=/b")
        );
        // Its own flags come first, and what is the value of one is none.
        assert_eq!(
            part(HEADER, "--filter --root 3 -vf --root x"),
            told("--filter --root 3 -vf --root x", "")
        );
        assert_eq!(part(HEADER, "3 -- --root x"), told("3 -- --root x", ""));
        let words = "//! arg: image image\n//! arg: command words\n//! flag: tty -t";
        assert_eq!(
            part(words, "-t --root /a x ls --root /b"),
            told("-t x ls --root /b", "--root /a")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let header = Header::read("x", HEADER).unwrap();
        for (line, message, hint) in [
            ("1 --filtr x", "unknown flag `--filtr`", "did you mean `--filter`?"),
            (
                "1 -ax",
                "unknown flag `-x` in `-ax`",
                "flags are --verbose, --all, --filter, --older-than, --size",
            ),
            ("1 -f", "`-f` needs a value", "write `-f STRING`"),
            ("1 --size", "`--size` needs a value", "write `--size SIZE`"),
            ("many", "`many` is no value for `keep`", "it must be a whole number"),
            (
                "1 -s much",
                "`much` is no value for `-s, --size`",
                "it must be a size, such as `512m` or `10GB`",
            ),
            ("", "`keep` is missing", "say it after the name of the script"),
        ] {
            let misuse = read(HEADER, line).unwrap_err();
            assert_eq!(misuse.words(&header), (message.to_owned(), hint.to_owned()), "{line}");
        }
        assert_eq!(read("//! flag: a", "x").unwrap_err(), Misuse::TooMany("x".to_owned()));
        assert_eq!(read(HEADER, "-h").unwrap_err(), Misuse::Help);
        assert_eq!(read(HEADER, "x --help").unwrap_err(), Misuse::Help);
    }
}
