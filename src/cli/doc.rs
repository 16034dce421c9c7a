//! `hoist doc [NAME]`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::App;
use crate::bindings::Console;
use crate::error::{Context as _, Result};
use crate::script::reference;
use crate::script::site::site;

/// Show what scripts can call
///
/// NAME is a module (`fs`), a function (`fs::read`), a type (`Duration`), or words to search for.
#[derive(Args)]
pub(super) struct Doc {
    /// What to explain; without it, an overview
    name: Vec<String>,

    /// Write the reference as a site into a directory; it needs no server and no network
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,

    /// Write the reference and the definitions for editors into a directory
    #[arg(long, value_name = "DIR", hide = true)]
    write: Option<PathBuf>,
}

impl Doc {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        if let Some(directory) = &self.write {
            write(directory, "reference.md", &reference::reference())?;
            write(directory, "hoist.d.rhai", &reference::definitions())?;
            return Ok(0);
        }
        if let Some(directory) = &self.html {
            std::fs::create_dir_all(directory).during(|| format!("make `{}`", directory.display()))?;
            site()
                .iter()
                .try_for_each(|(name, text)| write(directory, name, text))?;
            return Ok(0);
        }
        let text = reference::help(&self.name.join(" "))?;
        // A reader that has seen enough is no error.
        let _ = app.terminal.data(&format!("{text}\n"));
        Ok(0)
    }
}

fn write(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    std::fs::write(&path, text).during(|| format!("write `{}`", path.display()))
}
