//! Secrets that programs of this machine keep.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::images::registry::credentials::program;
use crate::model::{Context, Secret};

/// What a program prints: a name to be found in PATH, or a path, and its arguments.
///
/// Errors: `invalid` without a program, `not_found`; `exit_status` if it fails, `timeout` after a minute.
pub fn secret_of(ctx: &Context, words: &[String]) -> Result<Secret> {
    let Some((name, arguments)) = words.split_first() else {
        return Err(Error::invalid("there is no program in an empty array"));
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let named = format!("`{name}`");
    let said = program::ask(ctx, &named, Path::new(name), &arguments, None).map_err(|error| error.target(name))?;
    match said.is_success {
        true => Ok(Secret::new(said.words)),
        // What it said may be secret all the same.
        false => Err(Error::new(Kind::ExitStatus, format!("{named} failed: {}", said.status)).target(name)),
    }
}
