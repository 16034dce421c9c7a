//! `hoist pull IMAGE…`, which is `hoist image pull` as well.

use clap::{ArgAction, Args};
use serde_json::json;

use crate::bindings::pull_from;
use crate::cli::App;
use crate::cli::run::Told;
use crate::error::Result;
use crate::host::{Policy, PullOptions};
use crate::model::Reference;

/// Bring images from a registry
///
/// The registry is always asked; what is here already is not fetched again. Prints the whole name of each image.
#[derive(Args)]
pub(in crate::cli) struct Pull {
    /// Every tag of the repository
    #[arg(long, short)]
    all_tags: bool,

    /// Another platform than this machine's, such as linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,

    /// Whether layers are unpacked at once; if not, when their files are first wanted
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    unpack: Option<bool>,

    /// How often what fails is tried again
    #[arg(long, value_name = "TIMES")]
    retries: Option<u32>,

    /// Whether the registry's certificate must be right; if not, plain HTTP will do, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    tls_verify: Option<bool>,

    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    names: Vec<String>,
}

impl Pull {
    pub(in crate::cli) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let options = PullOptions {
            policy: Policy::Always,
            platform: self.platform,
            all_tags: self.all_tags,
            unpack: self.unpack,
            retries: self.retries,
            tls_verify: self.tls_verify,
            ..PullOptions::default()
        };
        let mut code = 0;
        for name in &self.names {
            let call = [name.as_str().into(), json!({ "all_tags": self.all_tags })];
            let pulled = session.perform("image::pull", &call, || pull_from(&session, name, &options));
            let pulled = pulled.and_then(|_| name.parse::<Reference>());
            match pulled {
                Ok(reference) => session.print(&format!("{reference}\n")),
                Err(error) => {
                    app.terminal.error(&error);
                    code = error.kind().exit_code().max(1);
                }
            }
        }
        if let Some(plan) = session.plan() {
            app.terminal.show_plan(plan);
        }
        Ok(code)
    }
}
