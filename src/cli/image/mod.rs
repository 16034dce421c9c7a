//! `hoist image …`.

mod pull;
mod search;

use clap::Subcommand;

use super::App;
use crate::error::Result;
pub(super) use pull::Pull;
pub(super) use search::Search;

/// Images
#[derive(Subcommand)]
pub(super) enum Images {
    Pull(Pull),
    Search(Search),
}

impl Images {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        match self {
            Images::Pull(pull) => pull.execute(app),
            Images::Search(search) => search.execute(app),
        }
    }
}
