//! The command line: what the program is told, and the only code that prints besides the REPL.

mod anywhere;
mod check;
mod command;
mod complete;
mod doc;
mod elsewhere;
mod eval;
mod format;
mod jobs;
mod lsp;
mod oci;
mod permissions;
mod plan;
mod run;
mod serve;
mod signals;
mod terminal;
mod test;
mod undo;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::bindings::command::Invoked;
use crate::bindings::{Console, Format, Level, Session, Settings};
use crate::config::{Config, Rules};
use crate::error::{Error, Kind, Result};
use crate::host::Audit;
use crate::model::{Context, parse_duration, suggest};
use crate::script::commands::{COMMANDS, GROUPS};
use crate::script::runner::{Finished, names_script};
use command::Called;
use run::Told;
use terminal::Terminal;

/// Automates containers by script.
///
/// Scripts are written in Rhai and see images and containers as objects. `hoist FILE` runs one, so `#!/usr/bin/env hoist` works as the
/// first line of a script; `hoist doc` shows what scripts can call.
#[derive(Parser)]
#[command(name = "hoist", version, about, max_term_width = 100)]
#[command(
    arg_required_else_help = true,
    allow_external_subcommands = true,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The same with those commands alone that do much in little time: what the others take is not even built then, which takes as long as
/// to evaluate an expression.
#[derive(Parser)]
#[command(name = "hoist", allow_external_subcommands = true, disable_help_subcommand = true)]
struct ShortLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: ShortCommand,
}

#[derive(Subcommand)]
enum ShortCommand {
    Run(run::Run),
    Eval(eval::Eval),
    #[command(external_subcommand)]
    Script(Vec<OsString>),
}

/// The commands that are in the whole command line alone.
const LONG: [&str; 16] = [
    "check",
    "fmt",
    "lsp",
    "plan",
    "apply",
    "repl",
    "doc",
    "test",
    "jobs",
    "serve",
    "oci",
    "docker",
    "completions",
    "__complete",
    "__run",
    "undo",
];

impl CommandLine {
    /// What the words say. Whatever is wrong with them, and help, is told of the whole.
    fn read(words: &[OsString]) -> std::result::Result<CommandLine, clap::Error> {
        let whole = || CommandLine::try_parse_from(words);
        let Ok(ShortLine { global, command }) = ShortLine::try_parse_from(words) else {
            return whole();
        };
        let command = match command {
            ShortCommand::Run(run) => Command::Run(run),
            ShortCommand::Eval(eval) => Command::Eval(eval),
            ShortCommand::Script(words) if words.first().is_some_and(|word| LONG.iter().any(|long| word == long)) => {
                return whole();
            }
            ShortCommand::Script(words) => Command::Script(words),
        };
        Ok(CommandLine { global, command })
    }
}

/// Flags of every command; each may also be given in the environment.
#[derive(Args)]
struct Global {
    /// The directory of the store
    ///
    /// Default: /var/lib/hoist for root, $XDG_DATA_HOME/hoist for others.
    #[arg(long, env = "HOIST_ROOT", value_name = "DIR", global = true)]
    root: Option<PathBuf>,

    /// The directory of what is gone after a reboot: sockets, locks, process state
    #[arg(long, env = "HOIST_RUN_ROOT", value_name = "DIR", global = true)]
    run_root: Option<PathBuf>,

    /// The settings file
    ///
    /// Default, where there is one: /etc/hoist/hoist.toml for root, $XDG_CONFIG_HOME/hoist/hoist.toml for others.
    #[arg(long, env = "HOIST_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Set a bound on what an image may cost, such as layer_size=2TiB; may be given several times
    ///
    /// Names and defaults are in the table of limits in the README.
    #[arg(
        long,
        env = "HOIST_LIMIT",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        global = true
    )]
    limit: Vec<String>,

    /// How long removed images can be brought back by `hoist undo`, such as 2h or 7d; 0 for not at all
    ///
    /// Default: what the settings file says, or a day.
    #[arg(long, env = "HOIST_TRASH", value_name = "TIME", value_parser = duration, global = true)]
    trash: Option<std::time::Duration>,

    /// Record what would be changed instead of changing it
    #[arg(long, env = "HOIST_DRY_RUN", value_parser = FalseyValueParser::new(), global = true)]
    dry_run: bool,

    /// End the script after this time, such as 90s or 1h30m
    #[arg(long, env = "HOIST_TIMEOUT", value_name = "TIME", value_parser = duration, global = true)]
    timeout: Option<std::time::Duration>,

    /// How values are printed
    #[arg(long, env = "HOIST_FORMAT", value_enum, default_value = "table", global = true)]
    format: FormatFlag,

    /// How errors are told: as text, or each as one line of JSON with kind, message, file, line, column, hint and chain
    #[arg(
        long,
        env = "HOIST_ERROR_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    error_format: ErrorFormat,

    /// Log nothing but errors
    #[arg(long, short, env = "HOIST_QUIET", value_parser = FalseyValueParser::new(), global = true)]
    quiet: bool,

    /// What is logged at least
    #[arg(
        long,
        env = "HOIST_LOG_LEVEL",
        value_enum,
        value_name = "LEVEL",
        default_value = "info",
        global = true
    )]
    log_level: LevelFlag,

    #[command(flatten)]
    permissions: permissions::Permissions,
}

impl Global {
    /// What it takes for this program to have the same settings once more, besides the store; what the environment says it says again.
    fn flags(&self, rules: &Rules) -> Vec<OsString> {
        let pair = |flag: &str, value: &std::ffi::OsStr| [flag.into(), value.to_owned()];
        let files = [("--config", &self.config), ("--audit", &self.permissions.audit)];
        let files = files
            .into_iter()
            .filter_map(|(flag, file)| Some(pair(flag, file.as_ref()?.as_os_str())));
        let limits = self.limit.iter().map(|limit| pair("--limit", limit.as_ref()));
        let trash = self
            .trash
            .map(|trash| pair("--trash", format!("{}us", trash.as_micros()).as_ref()));
        let allowed = rules
            .allow
            .iter()
            .flatten()
            .map(|rule| format!("--allow-{}", rule.text()));
        let denied = rules.deny.iter().map(|rule| format!("--deny-{}", rule.text()));
        let nothing = rules.allow.as_ref().map(|_| "--allow-read".to_owned());
        let rules = nothing.into_iter().chain(allowed).chain(denied).map(OsString::from);
        files.chain(limits).chain(trash).flatten().chain(rules).collect()
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatFlag {
    Table,
    Json,
    Jsonl,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ErrorFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum LevelFlag {
    #[value(alias = "debug")]
    Trace,
    Info,
    #[value(alias = "warning")]
    Warn,
    Error,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Eval(eval::Eval),
    Check(check::Check),
    #[command(name = "fmt")]
    Format(format::Format),
    Lsp(lsp::Lsp),
    Plan(plan::Plan),
    Apply(plan::Apply),
    Repl(ReplCommand),
    Doc(doc::Doc),
    Test(test::Test),
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    #[command(subcommand)]
    Serve(serve::Serve),
    Oci(OciCommand),
    Docker(DockerCommand),
    Completions(complete::Completions),
    #[command(name = "__complete", hide = true)]
    Complete(complete::Complete),
    #[command(name = "__run", hide = true)]
    Process(jobs::Process),
    Undo(undo::Undo),
    /// `hoist FILE ARGS…`
    #[command(external_subcommand)]
    Script(Vec<OsString>),
}

/// Try things out: reads a line, evaluates it, prints the value
///
/// Variables and functions stay from line to line. `help` explains what there is.
#[derive(Args)]
struct ReplCommand {}

/// Run containers for other engines, as an OCI runtime: see `hoist oci --help`
///
/// Under the name `hoist-oci`, as of a link, the program is nothing else.
#[derive(Args)]
struct OciCommand {
    /// The command line of an OCI runtime
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Take Docker's own command line: `hoist docker run -it --rm debian`
///
/// Under the name `docker`, as of a link, the program is nothing else.
#[derive(Args)]
struct DockerCommand {
    /// What would come after `docker`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

fn duration(text: &str) -> std::result::Result<std::time::Duration, String> {
    parse_duration(text).map_err(|error| match error.way_out() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    })
}

/// Runs the program; the exit codes are those of [`Kind::exit_code`], and 2 for a wrong command line.
pub fn main() -> ExitCode {
    if let Some(words) = oci::words() {
        return oci::main(words);
    }
    let words = as_docker(std::env::args_os());
    let mut line = match CommandLine::read(&words) {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    if let Command::Oci(OciCommand { words }) = line.command {
        return oci::main(std::iter::once("hoist oci".into()).chain(words).collect());
    }
    let called = line.command.called();
    if let (Ok(Called::Ready(ready)), Command::Script(own)) = (&called, &line.command)
        && !ready.global.is_empty()
    {
        match anywhere::read(&words, own.len(), &ready.global) {
            Ok(global) => line.global = global,
            Err(error) => return usage(&error),
        }
    }
    let terminal = Arc::new(Terminal::new(line.global.error_format == ErrorFormat::Json));
    let converses = matches!(&called, Ok(Called::Ready(ready)) if ready.converses());
    let result = called.and_then(|called| {
        let is_own = matches!(&line.command, Command::Serve(serve) if serve.hears_signals());
        let interrupt = match converses || is_own {
            true => signals::Interrupt::default(),
            false => signals::watch()?,
        };
        let app = App {
            global: line.global,
            terminal: terminal.clone(),
            interrupt,
        };
        match called {
            Called::Ready(ready) => ready.execute(&app),
            Called::Said(said) => Ok(said.show(&*app.terminal)),
            Called::Nothing => app.dispatch(line.command),
        }
    });
    ExitCode::from(result.unwrap_or_else(|error| {
        terminal.error(&error);
        if error.kind() == Kind::Invalid {
            2
        } else {
            error.kind().exit_code()
        }
    }))
}

/// The command line, where the program's name is `docker` as if that had been said.
fn as_docker(mut words: std::env::ArgsOs) -> Vec<OsString> {
    let name = words.next().unwrap_or_default();
    let is_docker = std::path::Path::new(&name)
        .file_name()
        .is_some_and(|name| name == "docker");
    let docker = is_docker.then(|| OsString::from("docker"));
    std::iter::once(name).chain(docker).chain(words).collect()
}

/// Prints help or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is no error: `hoist --help | head -1`.
    let _ = error.print();
    let is_whole = error.to_string().contains("\nCommands:\n  run ");
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) && is_whole
    {
        let overview = format!("\n{}", command::overview());
        let _ = match error.use_stderr() {
            true => std::io::stderr().lock().write_all(overview.as_bytes()),
            false => std::io::stdout().lock().write_all(overview.as_bytes()),
        };
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What the commands share.
struct App {
    global: Global,
    terminal: Arc<Terminal>,
    interrupt: signals::Interrupt,
}

impl App {
    fn dispatch(&self, command: Command) -> Result<u8> {
        match command {
            Command::Run(run) => run.execute(self),
            Command::Eval(eval) => eval.execute(self),
            Command::Check(check) => check.execute(self),
            Command::Format(format) => format.execute(self),
            Command::Lsp(lsp) => lsp.execute(self),
            Command::Plan(plan) => plan.execute(self),
            Command::Apply(apply) => apply.execute(self),
            Command::Repl(_) => self.converse(),
            Command::Doc(doc) => doc.execute(self),
            Command::Jobs(jobs) => jobs.execute(self),
            Command::Process(process) => process.execute(self),
            Command::Test(test) => test.execute(self),
            Command::Serve(serve) => serve.execute(self),
            Command::Oci(_) => Err(Error::internal(
                "an OCI runtime was to be this process, and nothing else",
            )),
            Command::Undo(undo) => undo.execute(self),
            Command::Completions(completions) => completions.execute(self),
            Command::Complete(complete) => complete.execute(self),
            Command::Docker(_) => Err(Error::internal("Docker's command line was to be taken apart before")),
            Command::Script(words) => self.run_script(&words),
        }
    }

    fn converse(&self) -> Result<u8> {
        let session = self.session(Told::default())?;
        let code = crate::repl::run(&session, &|context| self.interrupt.set(context))?;
        if let Some(plan) = session.plan() {
            self.terminal.show_plan(plan);
        }
        Ok(code)
    }

    fn run_script(&self, words: &[OsString]) -> Result<u8> {
        let mut words = texts(words)?;
        let first = words.remove(0);
        if !names_script(&first) {
            return Err(unknown_command(&first));
        }
        run::Run::new(first, words).execute(self)
    }

    /// A session for a command that is a script.
    fn command_session(&self, told: Told, invoked: Invoked) -> Result<Session> {
        self.session_on(self.config()?, told, Some(invoked), false)
    }

    /// A session for a command, with Ctrl-C wired to it.
    fn session(&self, told: Told) -> Result<Session> {
        self.session_on(self.config()?, told, None, false)
    }

    /// A session in which a script's changes are written down instead of made.
    fn planning_session(&self, told: Told) -> Result<Session> {
        let mut config = self.config()?;
        config.dry_run = true;
        self.session_on(config, told, None, true)
    }

    fn session_on(&self, config: Config, told: Told, command: Option<Invoked>, planning: bool) -> Result<Session> {
        let global = &self.global;
        let root = Context::new();
        let context = global.timeout.map_or(root.clone(), |limit| root.with_timeout(limit));
        self.interrupt.set(context.clone());
        let console: Arc<dyn Console> = self.terminal.clone();
        Ok(Session::new(Settings {
            config,
            context,
            console,
            format: global.format.into(),
            level: if global.quiet {
                Level::Error
            } else {
                global.log_level.into()
            },
            args: told.words,
            told: told.values,
            command,
            audit: global
                .permissions
                .audit
                .as_deref()
                .map(Audit::open)
                .transpose()?
                .map(Arc::new),
            ask: global.permissions.ask,
            planning,
            world: None,
        }))
    }

    /// The settings: the file's over the defaults, the flags' over both.
    fn config(&self) -> Result<Config> {
        let global = &self.global;
        let mut config = Config::new(global.root.clone(), global.run_root.clone(), global.dry_run)?;
        config.apply_file(global.config.as_deref())?;
        global.limit.iter().try_for_each(|limit| config.limits.assign(limit))?;
        config.trash.keep = global.trash.unwrap_or(config.trash.keep);
        config.permissions.line = global.permissions.rules()?;
        config.flags.extend(global.flags(&config.permissions.line));
        Ok(config)
    }

    /// Tells what went wrong and, after a dry run, what would have been done; returns the exit code.
    fn conclude(&self, session: &Session, finished: &Finished) -> u8 {
        self.terminal.report(finished);
        if let Some(plan) = session.plan() {
            self.terminal.show_plan(plan);
        }
        finished.code
    }
}

impl Command {
    /// The command that is a script, if it is one.
    fn called(&self) -> Result<Called> {
        match self {
            Command::Docker(DockerCommand { words }) => command::docker(&texts(words)?),
            // What is in a file of this name is meant by its path.
            Command::Script(words) => command::call("hoist", &texts(words)?),
            _ => Ok(Called::Nothing),
        }
    }
}

fn texts(words: &[OsString]) -> Result<Vec<String>> {
    let text = |word: &OsString| {
        let text = word.to_str().map(str::to_owned);
        text.ok_or_else(|| Error::invalid(format!("the argument {word:?} is not valid UTF-8")))
    };
    words.iter().map(text).collect()
}

fn unknown_command(name: &str) -> Error {
    let line = CommandLine::command();
    let own = command::own_names();
    let built = line
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .map(clap::Command::get_name);
    let scripts = COMMANDS
        .iter()
        .filter(|command| !command.section.is_empty())
        .map(|command| command.name);
    let groups = GROUPS.iter().map(|(name, _)| *name);
    let names: Vec<&str> = built
        .chain(scripts)
        .chain(groups)
        .chain(own.iter().map(String::as_str))
        .collect();
    let error = Error::invalid(format!("`{name}` is neither a command nor a script")).target(name);
    if let Some(other) = elsewhere::command(name) {
        return error.hint(other);
    }
    match suggest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `hoist {near}`?")),
        None => error.hint("`hoist --help` lists commands; a script is a file, or a name that ends in `.rhai`"),
    }
}

impl From<FormatFlag> for Format {
    fn from(flag: FormatFlag) -> Format {
        match flag {
            FormatFlag::Table => Format::Table,
            FormatFlag::Json => Format::Json,
            FormatFlag::Jsonl => Format::JsonLines,
        }
    }
}

impl From<LevelFlag> for Level {
    fn from(flag: LevelFlag) -> Level {
        match flag {
            LevelFlag::Trace => Level::Trace,
            LevelFlag::Info => Level::Info,
            LevelFlag::Warn => Level::Warn,
            LevelFlag::Error => Level::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_command_is_in_the_short_line_or_in_the_long_one() {
        let names = |command: clap::Command| {
            let names = command.get_subcommands().map(|command| command.get_name().to_owned());
            names.collect::<Vec<_>>()
        };
        let long: Vec<String> = LONG.map(str::to_owned).to_vec();
        assert_eq!(
            [names(ShortLine::command()), long].concat(),
            names(CommandLine::command())
        );
        for name in LONG {
            let read = CommandLine::read(&["hoist", name, "--help"].map(OsString::from));
            let Err(error) = read else {
                assert!(matches!(name, "oci" | "docker" | "__complete" | "__run"), "{name}");
                continue;
            };
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{name}: {error}");
        }
    }

    #[test]
    fn flags_after_the_script_are_its_own() {
        for words in [
            ["hoist", "run", "x.rhai", "--yes"],
            ["hoist", "--dry-run", "x.rhai", "--dry-run"],
        ] {
            match CommandLine::read(&words.map(OsString::from)).unwrap().command {
                Command::Run(run) => assert_eq!(run.words(), ["x.rhai", "--yes"]),
                Command::Script(script) => assert_eq!(script, ["x.rhai", "--dry-run"]),
                _ => panic!("{words:?}"),
            }
        }
    }

    #[test]
    fn a_mistyped_command_is_told_from_a_script() {
        assert_eq!(unknown_command("evla").way_out(), Some("did you mean `hoist eval`?"));
        let build = unknown_command("build");
        assert!(build.way_out().unwrap().contains("`hoist commit`"), "{build:?}");
    }
}
