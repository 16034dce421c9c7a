//! `hoist search TERM`, which is `hoist image search` as well.

use clap::Args;
use serde_json::json;

use crate::bindings::{found, table};
use crate::cli::App;
use crate::cli::run::Told;
use crate::error::Result;
use crate::host::SearchOptions;

/// Find images of a registry by a word
///
/// Docker Hub is searched unless another registry is named. One that has no search of its own is asked for its repositories.
#[derive(Args)]
pub(in crate::cli) struct Search {
    /// Another registry than Docker Hub
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,

    /// The most that is listed
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 25)]
    count: usize,

    /// Whether the registry's certificate must be right; if not, plain HTTP will do, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    tls_verify: Option<bool>,

    /// A part of the name; a registry may stand before it
    #[arg(value_name = "TERM")]
    term: String,
}

impl Search {
    pub(in crate::cli) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let call = [self.term.as_str().into(), json!({ "registry": self.registry })];
        let options = SearchOptions {
            registry: self.registry,
            limit: Some(self.count),
            tls_verify: self.tls_verify,
            ..SearchOptions::default()
        };
        let hits = session.perform("image::search", &call, || found(&session, &self.term, &options))?;
        let columns = ["name", "description", "stars", "official"].map(str::to_owned);
        let shown = table::show_columns(&hits, &columns, session.settings().format)?;
        session.print(&shown);
        Ok(0)
    }
}
