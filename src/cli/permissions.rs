//! `--allow-…`, `--deny-…`, `--ask` and `--audit`: what scripts and commands may do, and where it is told.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::config::{Rule, Rules};
use crate::error::Result;

/// What scripts may do
#[derive(Args, Default)]
#[command(next_help_heading = "Permissions")]
pub(super) struct Permissions {
    /// Allow nothing but reading the store, and what other --allow-… add
    ///
    /// Without any --allow-… everything is allowed that no --deny-… forbids. For scripts that nobody looks at while they run.
    #[arg(long, env = "HOIST_ALLOW_READ", value_parser = FalseyValueParser::new(), global = true)]
    allow_read: bool,

    /// Allow bringing images from registries, or these alone, such as docker.io/library/*
    #[arg(long, env = "HOIST_ALLOW_PULL", value_name = "IMAGE", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_pull: Vec<String>,

    /// Allow sending images to registries and moving names there, or these alone
    #[arg(long, env = "HOIST_ALLOW_PUSH", value_name = "IMAGE", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_push: Vec<String>,

    /// Allow making and starting containers, or of these images alone
    #[arg(long, env = "HOIST_ALLOW_RUN", value_name = "IMAGE", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_run: Vec<String>,

    /// Allow adding to the store and changing it: names, loaded and committed images, files in containers, or these names alone
    #[arg(long, env = "HOIST_ALLOW_WRITE", value_name = "NAME", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_write: Vec<String>,

    /// Allow removing images, containers and tags, or these alone, such as app/*:pr-*
    #[arg(long, env = "HOIST_ALLOW_DELETE", value_name = "NAME", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_delete: Vec<String>,

    /// Allow commands in containers, stopping and signalling them, or in these alone; without a name also containers that reach the
    /// machine, as privileged ones do
    #[arg(long, env = "HOIST_ALLOW_EXEC", value_name = "CONTAINER", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_exec: Vec<String>,

    /// Allow asking other machines and listening, or these alone, such as ghcr.io; --allow-pull and --allow-push need it not
    #[arg(long, env = "HOIST_ALLOW_NET", value_name = "HOST", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_net: Vec<String>,

    /// Allow reading and changing files of this machine, or those in these directories alone
    #[arg(long, env = "HOIST_ALLOW_FS", value_name = "PATH", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    allow_fs: Vec<String>,

    /// Forbid it, whatever is allowed; as are the other --deny-…
    #[arg(long, env = "HOIST_DENY_PULL", value_name = "IMAGE", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_pull: Vec<String>,

    /// Forbid pushes
    #[arg(long, env = "HOIST_DENY_PUSH", value_name = "IMAGE", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_push: Vec<String>,

    /// Forbid containers of images
    #[arg(long, env = "HOIST_DENY_RUN", value_name = "IMAGE", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_run: Vec<String>,

    /// Forbid changes
    #[arg(long, env = "HOIST_DENY_WRITE", value_name = "NAME", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_write: Vec<String>,

    /// Forbid removals
    #[arg(long, env = "HOIST_DENY_DELETE", value_name = "NAME", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_delete: Vec<String>,

    /// Forbid commands in containers
    #[arg(long, env = "HOIST_DENY_EXEC", value_name = "CONTAINER", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_exec: Vec<String>,

    /// Forbid connections
    #[arg(long, env = "HOIST_DENY_NET", value_name = "HOST", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_net: Vec<String>,

    /// Forbid files
    #[arg(long, env = "HOIST_DENY_FS", value_name = "PATH", num_args = 0..=1, require_equals = true,
        default_missing_value = "*", value_delimiter = ',', global = true)]
    deny_fs: Vec<String>,

    /// Ask at the terminal for what is not allowed, instead of refusing it
    #[arg(long, env = "HOIST_ASK", value_parser = FalseyValueParser::new(), global = true)]
    pub(super) ask: bool,

    /// Add a line of JSON to this file for every effect: before it is begun, and when it has ended
    ///
    /// Nothing is done that cannot be told. Each line has time, pid, function, effect, target, outcome, script, line and column.
    #[arg(long, env = "HOIST_AUDIT", value_name = "FILE", global = true)]
    pub(super) audit: Option<PathBuf>,
}

impl Permissions {
    /// The rules that the flags make. Errors: `invalid` for what is no pattern.
    pub(super) fn rules(&self) -> Result<Rules> {
        let allow = rules(&[
            ("pull", &self.allow_pull),
            ("push", &self.allow_push),
            ("run", &self.allow_run),
            ("write", &self.allow_write),
            ("delete", &self.allow_delete),
            ("exec", &self.allow_exec),
            ("net", &self.allow_net),
            ("fs", &self.allow_fs),
        ])?;
        let deny = rules(&[
            ("pull", &self.deny_pull),
            ("push", &self.deny_push),
            ("run", &self.deny_run),
            ("write", &self.deny_write),
            ("delete", &self.deny_delete),
            ("exec", &self.deny_exec),
            ("net", &self.deny_net),
            ("fs", &self.deny_fs),
        ])?;
        let is_limited = self.allow_read || !allow.is_empty();
        Ok(Rules {
            allow: is_limited.then_some(allow),
            deny,
        })
    }
}

fn rules(flags: &[(&str, &Vec<String>)]) -> Result<Vec<Rule>> {
    let texts = flags
        .iter()
        .flat_map(|(effect, scopes)| scopes.iter().map(move |scope| format!("{effect}={scope}")));
    texts.map(|text| Rule::parse(&text)).collect()
}
