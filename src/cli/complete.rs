//! Completion: what may come next on a command line. Shells ask the program, so that what it proposes is what there is: commands, flags
//! of a script's header, names of images, containers and volumes.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Parser, ValueEnum};

use super::command::{OURS, own_names, read_face};
use super::{App, CommandLine};
use crate::bindings::Console;
use crate::config::{Config, Header, Parameter, Type};
use crate::error::Result;
use crate::host::{ContainerFilter, Host, ImageFilter};
use crate::script::commands::{COMMANDS, Command, GROUPS};
use crate::script::runner::{Source, names_script};

/// Print what makes a shell complete the program's command lines
///
/// For bash: `source <(hoist completions bash)` in ~/.bashrc; for zsh: `hoist completions zsh > "${fpath[1]}/_hoist"`; for fish:
/// `hoist completions fish > ~/.config/fish/completions/hoist.fish`.
#[derive(Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,

    /// The name the program is called by: docker, where that is a link to it
    #[arg(long, value_name = "NAME", default_value = "hoist", value_parser = ["hoist", "docker"])]
    name: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Asked by shells: the words up to the cursor, of which the last is to be completed
#[derive(Args)]
pub(super) struct Complete {
    /// What comes after the name of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The line by which a shell is told to propose files as well.
const FILES: &str = ":files";

const BASH: &str = include_str!("complete/hoist.bash");
const ZSH: &str = include_str!("complete/hoist.zsh");
const FISH: &str = include_str!("complete/hoist.fish");

impl Completions {
    pub(super) fn execute(&self, app: &App) -> Result<u8> {
        let text = match self.shell {
            Shell::Bash => BASH,
            Shell::Zsh => ZSH,
            Shell::Fish => FISH,
        };
        // A reader that has seen enough is no error.
        let _ = app.terminal.data(&text.replace("NAME", &self.name));
        Ok(0)
    }
}

impl Complete {
    pub(super) fn execute(&self, app: &App) -> Result<u8> {
        // Flags before the first word that is no flag are taken for this command's own.
        let global = &app.global;
        let lines = propose("hoist", &self.words, [&global.root, &global.run_root]);
        let _ = app.terminal.data(&lines);
        Ok(0)
    }
}

/// What may come in place of the last word: lines of a word, a tab and what it is about.
/// `store` is where the store is, unless the words say.
pub(super) fn propose(program: &'static str, words: &[String], store: [&Option<PathBuf>; 2]) -> String {
    let Some((current, before)) = words.split_last() else {
        return String::new();
    };
    let mut asked = Asked {
        program,
        current,
        store,
        globals: Vec::new(),
        found: Vec::new(),
        files: false,
    };
    asked.line(before);
    let mut text = String::new();
    for (word, about) in asked
        .found
        .iter()
        .filter(|(word, _)| word.starts_with(current.as_str()))
    {
        text.push_str(&format!("{word}\t{}\n", about.lines().next().unwrap_or_default()));
    }
    if asked.files {
        text.push_str(FILES);
        text.push('\n');
    }
    text
}

struct Asked<'a> {
    program: &'static str,
    current: &'a str,
    /// The store and its run root, unless the words say.
    store: [&'a Option<PathBuf>; 2],
    /// The program's own flags before the command, which say which store is meant.
    globals: Vec<String>,
    found: Vec<(String, String)>,
    files: bool,
}

impl Asked<'_> {
    fn add(&mut self, word: impl Into<String>, about: impl Into<String>) {
        self.found.push((word.into(), about.into()));
    }

    fn line(&mut self, before: &[String]) {
        let Some(rest) = self.after_globals(before) else { return };
        let Some(first) = rest.first() else {
            return self.first_word();
        };
        if self.program == "hoist" && first == "docker" {
            self.program = "docker";
            return self.line(&rest[1..]);
        }
        let is_run = self.program == "hoist" && first == "run";
        if is_run || (self.program == "hoist" && names_script(first)) {
            return self.script(if is_run { &rest[1..] } else { rest });
        }
        if self.program == "hoist" && self.built_in(first, &rest[1..]) {
            return;
        }
        match read_face(self.program, rest) {
            Ok(Some((header, count))) => self.header(&header, &rest[count..]),
            _ if rest.len() == 1 => {
                for (name, command) in Command::of_group(first) {
                    self.add(name, command.summary());
                }
            }
            _ => {}
        }
    }

    /// What is behind the program's own flags; `None` where the value of one is being typed.
    fn after_globals<'w>(&mut self, words: &'w [String]) -> Option<&'w [String]> {
        let line = CommandLine::command();
        let mut rest = words;
        while let Some(word) = rest.first().filter(|word| word.starts_with("--")) {
            let name = word.trim_start_matches("--");
            let flag = line.get_arguments().find(|flag| flag.get_long() == Some(name));
            let has_value = flag.is_some_and(|flag| flag.get_action().takes_values() && !flag.is_require_equals_set());
            let count = if has_value { 2 } else { 1 };
            if rest.len() < count {
                self.files = true;
                return None;
            }
            self.globals.extend_from_slice(&rest[..count]);
            rest = &rest[count..];
        }
        Some(rest)
    }

    fn first_word(&mut self) {
        let is_docker = self.program == "docker";
        for command in COMMANDS.iter().filter(|command| !command.section.is_empty()) {
            if !is_docker || !OURS.contains(&command.name) {
                self.add(command.name, command.summary());
            }
        }
        for (name, about) in GROUPS {
            self.add(*name, *about);
        }
        for name in own_names() {
            self.add(name, "a command of your own");
        }
        if is_docker {
            return;
        }
        let line = CommandLine::command();
        for command in line.get_subcommands().filter(|command| !command.is_hide_set()) {
            self.found.retain(|(name, _)| name != command.get_name());
            self.add(
                command.get_name(),
                command.get_about().map(ToString::to_string).unwrap_or_default(),
            );
        }
        self.flags_of(&line);
        self.files = !self.current.starts_with('-');
    }

    fn flags_of(&mut self, command: &clap::Command) {
        if !self.current.starts_with('-') {
            return;
        }
        for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
            if let Some(name) = flag.get_long() {
                self.add(
                    format!("--{name}"),
                    flag.get_help().map(ToString::to_string).unwrap_or_default(),
                );
            }
        }
        self.add("--help", "Print help");
    }

    /// Commands that are no scripts: flags, and words that are known.
    fn built_in(&mut self, name: &str, rest: &[String]) -> bool {
        let line = CommandLine::command();
        let Some(mut command) = line.find_subcommand(name).filter(|_| name != "docker") else {
            return false;
        };
        for word in rest {
            command = command.find_subcommand(word).unwrap_or(command);
        }
        for inner in command.get_subcommands() {
            self.add(
                inner.get_name(),
                inner.get_about().map(ToString::to_string).unwrap_or_default(),
            );
        }
        let place = command.get_positionals().next();
        let values = place.map(clap::Arg::get_possible_values).unwrap_or_default();
        for value in &values {
            self.add(value.get_name(), "");
        }
        self.flags_of(command);
        self.files = !self.current.starts_with('-') && values.is_empty();
        true
    }

    fn script(&mut self, words: &[String]) {
        let Some(file) = words.first() else {
            self.files = true;
            return;
        };
        match Source::file(Path::new(file)).and_then(|source| source.header()) {
            Ok(header) if header.declares() => self.header(&header, &words[1..]),
            _ => self.files = true,
        }
    }

    /// What a header has in this place.
    fn header(&mut self, header: &Header, before: &[String]) {
        let stops = header.arguments().any(|one| one.kind == Type::Words);
        let (mut place, mut awaits, mut only_arguments) = (0, None, false);
        for word in before {
            if awaits.take().is_some() {
                continue;
            }
            match word.as_str() {
                "--" if !only_arguments => only_arguments = true,
                word if !only_arguments && word.starts_with('-') && word.len() > 1 => awaits = waiting(header, word),
                _ => {
                    place += 1;
                    only_arguments |= stops;
                }
            }
        }
        if let Some(flag) = awaits {
            return self.values(flag, "");
        }
        if !only_arguments && self.current.starts_with('-') {
            return self.flags(header);
        }
        let arguments: Vec<&Parameter> = header.arguments().collect();
        let last = arguments.last().filter(|one| one.many);
        if let Some(argument) = arguments.get(place).or(last) {
            self.values(argument, "");
        }
    }

    fn flags(&mut self, header: &Header) {
        if let Some((name, _)) = self.current.split_once('=') {
            let flag = header.flags().find(|flag| format!("--{}", flag.name) == name);
            if let Some(flag) = flag {
                self.values(flag, &format!("{name}="));
            }
            return;
        }
        for flag in header.flags() {
            self.add(format!("--{}", flag.name), flag.help.clone());
            if let Some(letter) = flag.short() {
                self.add(format!("-{letter}"), flag.help.clone());
            }
        }
        self.add("--help", "Show help");
    }

    fn values(&mut self, parameter: &Parameter, prefix: &str) {
        let values: Vec<(String, String)> = match &parameter.kind {
            Type::Choice(words) => words.iter().map(|word| (word.clone(), String::new())).collect(),
            Type::Bool => ["true", "false"].map(|word| (word.to_owned(), String::new())).to_vec(),
            Type::Image => self.live(images),
            Type::Container => self.live(containers),
            Type::Volume => self.live(|host| {
                Ok(host
                    .volume_names()?
                    .into_iter()
                    .map(|name| (name, String::new()))
                    .collect())
            }),
            // What is inspected may be either.
            Type::Text if parameter.name == "names" => [self.live(containers), self.live(images)].concat(),
            Type::Path | Type::Words => {
                self.files = true;
                Vec::new()
            }
            _ => Vec::new(),
        };
        for (value, about) in values {
            self.add(format!("{prefix}{value}"), about);
        }
    }

    /// Names that there are. What cannot be read has none: nobody wants an error at the prompt.
    fn live(&self, names: impl Fn(&Host) -> Result<Vec<(String, String)>>) -> Vec<(String, String)> {
        let read = || -> Option<Vec<(String, String)>> {
            let words = ["hoist".to_owned()]
                .into_iter()
                .chain(self.globals.iter().cloned())
                .chain(["repl".to_owned()]);
            let global = CommandLine::try_parse_from(words).ok()?.global;
            let [root, run_root] = self.store.map(Clone::clone);
            let config = Config::new(global.root.or(root), global.run_root.or(run_root), false).ok()?;
            // To look is not to make.
            config.root.join("hoist.db").exists().then_some(())?;
            names(&Host::open(&config, None).ok()?).ok()
        };
        read().unwrap_or_default()
    }
}

/// The flag whose value comes next.
fn waiting<'h>(header: &'h Header, word: &str) -> Option<&'h Parameter> {
    let by_letter = |letter: char| header.flags().find(|flag| flag.short() == Some(letter));
    let flag = match word.strip_prefix("--") {
        Some(long) => header.flags().find(|flag| flag.name == long),
        None => {
            let mut letters = word.chars().skip(1);
            let first = letters.find_map(|letter| by_letter(letter).filter(|flag| !flag.is_switch()));
            // What is behind the letter is its value already.
            first.filter(|_| letters.next().is_none())
        }
    };
    flag.filter(|flag| !flag.is_switch())
}

fn images(host: &Host) -> Result<Vec<(String, String)>> {
    let images = host.images(&ImageFilter::default(), None)?;
    let names = images.iter().flat_map(|image| {
        let id = image.id().short().to_owned();
        image.tags().into_iter().map(move |tag| (tag, id.clone()))
    });
    Ok(names.collect())
}

fn containers(host: &Host) -> Result<Vec<(String, String)>> {
    let filter = ContainerFilter {
        all: true,
        ..ContainerFilter::default()
    };
    let containers = host.containers(&filter, None)?;
    let about = |one: &crate::host::Container| format!("{}, {}", one.image(), one.status());
    Ok(containers
        .iter()
        .map(|one| (one.name().to_owned(), about(one)))
        .collect())
}
