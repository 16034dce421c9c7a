//! `hoist image …`.

mod pull;

use clap::Subcommand;

use super::App;
use crate::error::Result;
pub(super) use pull::Pull;

/// Images
#[derive(Subcommand)]
pub(super) enum Images {
    Pull(Pull),
}

impl Images {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        match self {
            Images::Pull(pull) => pull.execute(app),
        }
    }
}
