//! `hoist fmt FILE…`.

use std::io::Read;
use std::path::Path;

use clap::Args;

use super::App;
use crate::bindings::Console;
use crate::error::{Context as _, Error, Result};
use crate::script::format::format;

/// Bring scripts into the form that all scripts have
///
/// Indentation, spaces and commas before closing brackets change; comments, blank lines and what the script does stay. A script that
/// does not parse is refused.
#[derive(Args)]
pub(super) struct Format {
    /// Write nothing: name the scripts that have another form, with exit code 1 if there are any
    #[arg(long)]
    check: bool,

    /// The scripts; - takes one from standard input to standard output
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
}

/// The exit code where a script has another form.
const DIFFERENT: u8 = 1;

impl Format {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let mut code = 0;
        for file in &self.files {
            let text = read(file).during(|| format!("read the script `{file}`"))?;
            let formatted = format(file, &text)?;
            match file.as_str() {
                _ if self.check && text != formatted => {
                    // A reader that has seen enough is no error.
                    let _ = app.terminal.data(&format!("{file}\n"));
                    code = DIFFERENT;
                }
                _ if self.check => {}
                "-" => drop(app.terminal.data(&formatted)),
                file if text != formatted => write(Path::new(file), &formatted)?,
                _ => {}
            }
        }
        Ok(code)
    }
}

fn read(file: &str) -> std::io::Result<String> {
    let mut text = String::new();
    match file {
        "-" => std::io::stdin().lock().read_to_string(&mut text)?,
        file => std::fs::File::open(file)?.read_to_string(&mut text)?,
    };
    Ok(text)
}

/// Whole or not at all, with the mode it has; a link stays one.
fn write(path: &Path, text: &str) -> Result<()> {
    let what = || format!("write the script `{}`", path.display());
    let path = path.canonicalize().during(what)?;
    let directory = path
        .parent()
        .ok_or_else(|| Error::internal("a file has a directory"))
        .during(what)?;
    let mode = std::fs::metadata(&path).during(what)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(directory).during(what)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).during(what)?;
    file.as_file().set_permissions(mode).during(what)?;
    file.persist(&path).map_err(|error| error.error).during(what)?;
    Ok(())
}
