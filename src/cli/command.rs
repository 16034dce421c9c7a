//! Commands that are scripts: a person's own (`~/.config/hoist/commands/NAME.rhai`), and those that come with the program. They have
//! Docker's names, flags, exit codes and words, so that `docker` may be a link to this program.

use std::path::PathBuf;

use super::complete::propose;
use super::elsewhere;
use super::run::Told;
use super::{App, anywhere};
use crate::bindings::Console;
use crate::bindings::command::{self, Invoked};
use crate::config::{Config, Given, Header, Misuse, Parameter, Type, part_words, read_words};
use crate::error::{Error, Kind, Result};
use crate::model::suggest;
use crate::runtime::Conversation;
use crate::script::commands::{COMMANDS, Command, GROUPS};
use crate::script::runner::{self, Source};

/// Exit code of Docker for flags that nobody knows, and for what fails before a program is reached.
const WRONG_FLAG: u8 = 125;
/// That for a wrong number of arguments.
const WRONG_COUNT: u8 = 1;

/// Short names of Docker's that mean something else here.
const TAKEN: [&str; 1] = ["run"];
/// Short names that Docker does not have.
pub(super) const OURS: [&str; 2] = ["df", "prune"];

/// What words on the command line call.
pub(super) enum Called {
    /// A command, ready to run.
    Ready(Box<Ready>),
    /// Help or a complaint, and the exit code.
    Said(Said),
    /// No command.
    Nothing,
}

/// What is to be shown instead of running anything.
pub(super) struct Said {
    data: String,
    talk: String,
    code: u8,
}

/// A command with what it is told.
pub(super) struct Ready {
    invoked: Invoked,
    source: Source,
    told: Told,
    /// Flags of every command that stood behind this one.
    pub(super) global: Vec<String>,
}

/// A command and how it was called.
struct Face {
    program: &'static str,
    /// As it was typed: `container ls`.
    name: String,
    /// All its names.
    names: Vec<String>,
    header: Header,
    source: Source,
}

impl Said {
    /// Shows it.
    pub(super) fn show(&self, app_terminal: &dyn Console) -> u8 {
        if !self.data.is_empty() {
            // A reader that has seen enough is no error.
            let _ = app_terminal.data(&self.data);
        }
        if !self.talk.is_empty() {
            app_terminal.talk(&self.talk);
        }
        self.code
    }

    fn help(data: String) -> Called {
        Called::Said(Said {
            data,
            talk: String::new(),
            code: 0,
        })
    }

    fn complaint(talk: String, code: u8) -> Called {
        Called::Said(Said {
            data: String::new(),
            talk,
            code,
        })
    }
}

/// What `program WORDS…` calls. Errors: those of reading a person's own command, `invalid` for its header.
pub(super) fn call(program: &'static str, words: &[String]) -> Result<Called> {
    let Some(first) = words.first() else {
        return Ok(Called::Nothing);
    };
    let Some((face, rest)) = face(program, words)? else {
        return Ok(match GROUPS.iter().find(|(group, _)| group == first) {
            Some((group, about)) => group_help(program, group, about, &words[1..]),
            None => Called::Nothing,
        });
    };
    let (rest, global) = match program {
        "docker" => (rest.to_vec(), Vec::new()),
        _ => part_words(&face.header, rest, anywhere::takes_word),
    };
    let read = read_words(&face.header, &rest);
    let mut values = match read {
        Ok(values) => values,
        Err(Misuse::Help) => return Ok(Said::help(face.help())),
        Err(misuse) => return Ok(face.refuse(&misuse)),
    };
    if face.header.has_options {
        match command::options(&mut values) {
            Ok(options) => values.push(("options".to_owned(), Given::Options(options))),
            Err(error) => {
                let hint = error
                    .way_out()
                    .map(|hint| format!("\nhelp: {hint}"))
                    .unwrap_or_default();
                return Ok(Said::complaint(format!("{error}{hint}"), WRONG_FLAG));
            }
        }
    }
    // The signals of this process are blocked here, before there is any thread that could get them.
    let conversation = match face.header.takes_signals(&values) {
        true => Some(Conversation::new("ctrl-p,ctrl-q".parse()?)?),
        false => None,
    };
    Ok(Called::Ready(Box::new(Ready {
        invoked: Invoked::new(program, &face.name, conversation),
        source: face.source,
        told: Told { words: rest, values },
        global,
    })))
}

impl Ready {
    /// Whether the signals this process gets are for the program of a container.
    pub(super) fn converses(&self) -> bool {
        self.invoked.converses()
    }

    /// Runs it; the exit code is the script's.
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let session = app.command_session(self.told, self.invoked)?;
        let mut finished = runner::run(&session, &self.source);
        if finished.code == Kind::Cancelled.exit_code() {
            // Who pressed Ctrl-C knows.
            finished.report = None;
        }
        Ok(app.conclude(&session, &finished))
    }
}

/// The command that words begin with, and the words that are its own.
fn face<'w>(program: &'static str, words: &'w [String]) -> Result<Option<(Face, &'w [String])>> {
    let known = Command::find(words)
        .filter(|(command, count)| program != "docker" || *count > 1 || !OURS.contains(&command.name));
    let (name, count) = known.map_or((words[0].as_str(), 1), |(command, count)| (command.name, count));
    let source = match (own(name), known) {
        (Some(path), _) => Source::file(&path)?,
        (None, Some((command, _))) => Source::text(&format!("commands/{}.rhai", command.name), command.code),
        (None, None) => return Ok(None),
    };
    let mut header = source.header()?;
    if header.has_options {
        header.parameters.extend(command::parameters());
    }
    let names = known.map_or_else(Vec::new, |(command, _)| {
        let short = (!command.section.is_empty()).then_some(command.name);
        command.also.iter().copied().chain(short).map(str::to_owned).collect()
    });
    let face = Face {
        program,
        name: words[..count].join(" "),
        names,
        header,
        source,
    };
    Ok(Some((face, &words[count..])))
}

/// The header of the command that words begin with, and how many of them name it.
pub(super) fn read_face(program: &'static str, words: &[String]) -> Result<Option<(Header, usize)>> {
    let face = face(program, words)?;
    Ok(face.map(|(face, rest)| (face.header, words.len() - rest.len())))
}

/// The file of a person's own command.
fn own(name: &str) -> Option<PathBuf> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let path = Config::commands_dir()?.join(format!("{name}.rhai"));
    (name.bytes().all(is_plain) && path.is_file()).then_some(path)
}

/// The names of a person's own commands.
pub(super) fn own_names() -> Vec<String> {
    let entries = Config::commands_dir().and_then(|dir| std::fs::read_dir(dir).ok());
    let names = entries.into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_suffix(".rhai").map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

impl Face {
    fn usage(&self) -> String {
        format!("Usage:  {} {} {}", self.program, self.name, self.header.synopsis())
            .trim_end()
            .to_owned()
    }

    /// As Docker lays it out.
    fn help(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.usage(), self.header.about.join("\n").trim());
        if self.names.len() > 1 {
            let names: Vec<String> = self
                .names
                .iter()
                .filter(|name| self.program == "docker" || !TAKEN.contains(&name.as_str()))
                .map(|name| format!("{} {name}", self.program))
                .collect();
            text.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
        }
        let mut flags: Vec<&Parameter> = self.header.flags().collect();
        flags.sort_by(|a, b| a.name.cmp(&b.name));
        let width = flags.iter().map(|flag| form(flag).chars().count()).max().unwrap_or(0);
        if !flags.is_empty() {
            text.push_str("\nOptions:\n");
        }
        for flag in flags {
            let usual = flag.default.as_ref().filter(|_| !flag.is_switch());
            let usual = usual.map(|default| format!(" (default {default})")).unwrap_or_default();
            text.push_str(format!("  {:width$}   {}{usual}", form(flag), flag.help).trim_end());
            text.push('\n');
        }
        text
    }

    /// What to do instead: of a flag that Docker has and this command has not, or of one that nobody has.
    fn way_out(&self, misuse: &Misuse) -> Option<String> {
        let letter;
        let flag = match misuse {
            Misuse::UnknownFlag(flag) => flag.as_str(),
            Misuse::UnknownLetter(short, _) => {
                letter = short.to_string();
                letter.as_str()
            }
            _ => return None,
        };
        if let Some(other) = elsewhere::flag(flag).filter(|_| self.header.has_options) {
            return Some(other.to_owned());
        }
        let names = self.header.flags().map(|flag| flag.name.as_str());
        let is_ours = self.program != "docker" && flag.len() > 1;
        let near = suggest(flag, names).filter(|_| is_ours)?;
        Some(format!("did you mean `--{near}`?"))
    }

    /// In Docker's words, with the nearest name where Docker says nothing.
    fn refuse(&self, misuse: &Misuse) -> Called {
        let (program, name) = (self.program, &self.name);
        let end = format!("{}\n\nRun '{program} {name} --help' for more information", self.usage());
        let (what, code) = match misuse {
            Misuse::UnknownFlag(flag) => (format!("unknown flag: --{}", flag.escape_debug()), WRONG_FLAG),
            Misuse::UnknownLetter(letter, word) => {
                let word = word.escape_debug();
                (format!("unknown shorthand flag: {letter:?} in {word}"), WRONG_FLAG)
            }
            Misuse::NoValue(flag, word) => match flag.strip_prefix('-').filter(|flag| !flag.starts_with('-')) {
                Some(letter) => (
                    format!("flag needs an argument: '{letter}' in {}", word.escape_debug()),
                    WRONG_FLAG,
                ),
                None => (format!("flag needs an argument: {flag}"), WRONG_FLAG),
            },
            Misuse::WrongValue {
                name: flag,
                word,
                meant,
            } => {
                let word = word.escape_debug();
                (
                    format!("invalid argument \"{word}\" for \"{flag}\" flag: it must be {meant}"),
                    WRONG_FLAG,
                )
            }
            _ => (
                format!("{program}: '{program} {name}' {}", counts(&self.header)),
                WRONG_COUNT,
            ),
        };
        let hint = self.way_out(misuse).map(|hint| format!("\nhelp: {hint}"));
        let hint = hint.unwrap_or_default();
        Said::complaint(format!("{what}{hint}\n\n{end}"), code)
    }
}

/// `-f, --filter list`.
fn form(flag: &Parameter) -> String {
    let letter = flag.short().map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let word = match (&flag.kind, flag.many) {
        _ if flag.is_switch() => "",
        (_, true) => " list",
        (Type::Int, _) => " int",
        (Type::Float, _) => " decimal",
        (Type::Duration, _) => " duration",
        (Type::Size, _) => " bytes",
        _ => " string",
    };
    format!("{letter}--{}{word}", flag.name)
}

fn counts(header: &Header) -> String {
    let some = |count: usize| format!("{count} argument{}", if count == 1 { "" } else { "s" });
    match header.counts() {
        (0, Some(0)) => "accepts no arguments".to_owned(),
        (least, Some(most)) if least == most => format!("requires {}", some(least)),
        (least, None) => format!("requires at least {}", some(least)),
        (0, Some(most)) => format!("requires at most {}", some(most)),
        (least, Some(most)) => format!("requires at least {least} and at most {}", some(most)),
    }
}

fn group_help(program: &str, group: &str, about: &str, rest: &[String]) -> Called {
    let commands = Command::of_group(group);
    let asks = rest.first().is_none_or(|word| word == "--help" || word == "-h");
    if !asks {
        let word = rest[0].escape_debug();
        let near = suggest(&rest[0], commands.iter().map(|(name, _)| *name));
        let near = near
            .map(|near| format!("\nhelp: did you mean `{program} {group} {near}`?"))
            .unwrap_or_default();
        let text = format!(
            "{program}: unknown command: {program} {group} {word}{near}\n\nUsage:  {program} {group}\n\nRun '{program} {group} --help' for more information"
        );
        return Said::complaint(text, WRONG_COUNT);
    }
    let rows: Vec<(&str, &str)> = commands
        .iter()
        .map(|(name, command)| (*name, command.summary()))
        .collect();
    let text = format!(
        "Usage:  {program} {group} COMMAND\n\n{about}\n\nCommands:\n{}\nRun '{program} {group} COMMAND --help' for more information on a command.",
        listed(&rows)
    );
    Said::help(text + "\n")
}

fn listed(rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(9);
    rows.iter()
        .map(|(name, about)| format!("  {name:width$}   {about}\n"))
        .collect()
}

/// The commands by their groups, as `docker --help` has them.
pub(super) fn overview() -> String {
    let mut text = String::new();
    for section in ["Common Commands", "Commands"] {
        let rows: Vec<(&str, &str)> = COMMANDS
            .iter()
            .filter(|command| command.section == section && command.name != "run")
            .map(|command| (command.name, command.summary()))
            .collect();
        if section == "Commands" {
            text.push_str(&format!("\nManagement Commands:\n{}", listed(GROUPS)));
        }
        let title = if text.is_empty() {
            section.to_owned()
        } else {
            format!("\n{section}")
        };
        text.push_str(&format!("{title}:\n{}", listed(&rows)));
    }
    let own = own_names();
    if !own.is_empty() {
        text.push_str(&format!("\nYour Commands:\n  {}\n", own.join(", ")));
    }
    text.push_str(
        "\n`hoist container run` runs containers; `hoist docker …` takes Docker's own command line, `run` included.\n",
    );
    text
}

/// What `docker WORDS…` is, with the flags of Docker that come before a command.
pub(super) fn docker(words: &[String]) -> Result<Called> {
    let mut rest = words;
    while let Some(word) = rest.first() {
        let (flag, has_value) = word
            .split_once('=')
            .map_or((word.as_str(), false), |(flag, _)| (flag, true));
        let count = match flag {
            "-D" | "--debug" => 1,
            "-l" | "--log-level" | "--config" => 2 - usize::from(has_value),
            "-H" | "--host" | "-c" | "--context" | "--tls" | "--tlsverify" | "--tlscacert" | "--tlscert"
            | "--tlskey" => {
                return Err(
                    Error::new(Kind::Unsupported, format!("`{flag}`: there is no daemon to connect to"))
                        .hint("the store is `--root` of hoist, or HOIST_ROOT"),
                );
            }
            "__complete" => return Ok(Said::help(propose("docker", &rest[1..], [&None, &None]))),
            "-v" | "--version" => return Ok(Said::help(format!("Hoist version {}\n", env!("CARGO_PKG_VERSION")))),
            "-h" | "--help" => return Ok(Said::help(docker_help())),
            _ => break,
        };
        rest = rest.get(count..).unwrap_or_default();
    }
    if rest.is_empty() {
        return Ok(Said::help(docker_help()));
    }
    let called = call("docker", rest)?;
    Ok(match called {
        Called::Nothing => {
            let word = rest[0].escape_debug();
            let what = match word.to_string().starts_with('-') {
                true => format!("unknown flag: {word}"),
                false => format!("docker: unknown command: docker {word}"),
            };
            Said::complaint(
                format!("{what}\n\nRun 'docker --help' for more information"),
                WRONG_COUNT,
            )
        }
        called => called,
    })
}

fn docker_help() -> String {
    let rows: Vec<(&str, &str)> = COMMANDS
        .iter()
        .filter(|command| !command.section.is_empty() && !OURS.contains(&command.name))
        .map(|command| (command.name, command.summary()))
        .collect();
    format!(
        "Usage:  docker [OPTIONS] COMMAND\n\nDocker's command line, on Hoist\n\nManagement Commands:\n{}\nCommands:\n{}\n\
         Run 'docker COMMAND --help' for more information on a command.\n",
        listed(GROUPS),
        listed(&rows)
    )
}
