//! `hoist run FILE [ARGS…]`, `hoist FILE`, `hoist -`.

use std::path::Path;

use clap::Args;

use super::App;
use crate::bindings::Console;
use crate::config::{Given, Header, Misuse, read_words};
use crate::error::{Error, Kind, Result};
use crate::model::Reference;
use crate::script::runner::{self, Source};

/// Run a script
///
/// What follows FILE is the script's own: what its header declares is checked before it runs, and `--help` shows it. FILE may be `-`
/// for standard input.
#[derive(Args)]
pub(super) struct Run {
    /// The script and its arguments
    #[arg(
        value_name = "FILE [ARGS]",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

impl Run {
    pub(super) fn new(file: String, args: Vec<String>) -> Run {
        Run {
            words: std::iter::once(file).chain(args).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let mut args = self.words;
        let file = args.remove(0);
        let source = match file.as_str() {
            flag if flag.starts_with("--") || flag.starts_with('-') && flag.len() > 1 => return Err(no_flag(flag)),
            "-" => Source::read("<stdin>", std::io::stdin().lock())?,
            file => Source::file(Path::new(file)).map_err(|error| or_image(error, file))?,
        };
        let Some(told) = Told::read(app, &source, &format!("hoist run {file}"), args)? else {
            return Ok(0);
        };
        let session = app.session(told)?;
        let finished = runner::run(&session, &source);
        Ok(app.conclude(&session, &finished))
    }
}

/// `hoist run -it debian`, as Docker has it.
fn no_flag(flag: &str) -> Error {
    let flag = flag.escape_debug();
    Error::invalid(format!("`hoist run` runs scripts, and has no flag `{flag}`")).hint(
        "containers are run by `hoist container run …` or `hoist docker run …`, with Docker's flags; a script's own flags come after its file",
    )
}

/// The error with another thing that was maybe meant: Docker's `run` takes an image.
fn or_image(error: Error, file: &str) -> Error {
    let is_image = !file.ends_with(".rhai") && file.parse::<Reference>().is_ok();
    match error.kind() {
        Kind::NotFound if is_image => error.hint(format!(
            "`hoist container run {file}` makes a container of an image and runs it"
        )),
        _ => error,
    }
}

/// What a script is told.
#[derive(Default)]
pub(super) struct Told {
    /// As it was typed.
    pub(super) words: Vec<String>,
    /// As the header declares it.
    pub(super) values: Vec<(String, Given)>,
}

impl Told {
    /// What the words tell a script, before any of it runs; `None` once help was shown. `call` is what stands before the words.
    ///
    /// Errors: `invalid` for a header that is wrong, and for words that it does not declare.
    pub(super) fn read(app: &App, source: &Source, call: &str, words: Vec<String>) -> Result<Option<Told>> {
        let header = source.header()?;
        let help = || {
            // A reader that has seen enough is no error.
            let _ = app.terminal.data(&header.help(call));
            Ok(None)
        };
        if !header.declares() {
            // A script that reads its words by itself keeps them, but for those that can mean nothing else.
            let asks = matches!(words.as_slice(), [word] if word == "--help" || word == "-h");
            return match asks && !header.about.is_empty() {
                true => help(),
                false => Ok(Some(Told {
                    words,
                    ..Told::default()
                })),
            };
        }
        match read_words(&header, &words) {
            Ok(values) => Ok(Some(Told { words, values })),
            Err(Misuse::Help) => help(),
            Err(misuse) => Err(refused(&header, &misuse, call)),
        }
    }
}

fn refused(header: &Header, misuse: &Misuse, call: &str) -> Error {
    let (message, hint) = misuse.words(header);
    let usage = format!("{call} {}", header.synopsis());
    Error::invalid(message).hint(format!("{hint}\nusage: {}", usage.trim_end()))
}
