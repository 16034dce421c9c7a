//! `hoist push IMAGE [NAME]`.

use std::time::Duration;

use clap::{ArgAction, Args};
use serde_json::{Value, json};

use super::App;
use super::run::Told;
use crate::error::Result;
use crate::host::PushOptions;
use crate::model::TimeSpan;

/// Send an image to a registry
///
/// Under its own name, or under another one. Who you are there, `hoist registry login` says, or Docker's or Podman's.
#[derive(Args)]
pub(super) struct Push {
    /// Every tag of the repository
    #[arg(long, short)]
    all_tags: bool,

    /// What layers that are not compressed become
    #[arg(long, value_name = "HOW", value_parser = ["gzip", "zstd", "none"])]
    compression: Option<String>,

    /// Layers that are compressed otherwise become that, too
    #[arg(long)]
    force_compression: bool,

    /// How often what fails is tried again
    #[arg(long, value_name = "TIMES")]
    retries: Option<u32>,

    /// How long it may take
    #[arg(long = "within", value_name = "TIME", value_parser = super::duration)]
    within: Option<Duration>,

    /// Whether the registry's certificate must be right; without this flag it must, but for registries on this machine
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        default_missing_value = "true"
    )]
    tls_verify: Option<bool>,

    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The name it is to have there
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Push {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let options = PushOptions {
            compression: self.compression,
            force_compression: self.force_compression,
            all_tags: self.all_tags,
            retries: self.retries,
            timeout: self.within.map(TimeSpan),
            tls_verify: self.tls_verify,
            ..PushOptions::default()
        };
        let name = self.name.as_deref();
        let mut call = vec![self.image.as_str().into()];
        call.extend(name.map(Value::from));
        call.push(json!({ "all_tags": self.all_tags }));
        let pushed = session.perform("image::push", &call, || {
            session.watched("push", name.unwrap_or(&self.image), |ctx| {
                session.host()?.push_image(ctx, &self.image, name, &options)
            })
        })?;
        for pushed in pushed {
            session.print(&format!("{}@{}\n", pushed.reference.familiar(), pushed.digest));
        }
        if let Some(plan) = session.plan() {
            app.terminal.show_plan(plan);
        }
        Ok(0)
    }
}
