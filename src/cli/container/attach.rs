//! `hoist attach CONTAINER`.

use clap::Args;

use super::{Signals, Talk, conclude};
use crate::cli::App;
use crate::error::Result;

/// Talk with the program of a container that runs
///
/// What it writes from now on is shown, what is typed goes to it, beside whoever else is attached. The exit code is the
/// program's, if it ends meanwhile.
#[derive(Args)]
pub(in crate::cli) struct Attach {
    /// Show only what it writes
    #[arg(long)]
    no_stdin: bool,

    #[command(flatten)]
    talk: Talk,

    #[command(flatten)]
    signals: Signals,

    /// The container
    #[arg(value_name = "CONTAINER")]
    name: String,
}

impl Attach {
    pub(in crate::cli) fn execute(self, app: &App) -> Result<u8> {
        conclude(
            app,
            &("Container.exec", vec![self.name.as_str().into()]),
            |host, ctx| {
                let mut talk = self.talk.begin(false, false)?;
                talk.proxy = self.signals.sig_proxy;
                host.container(&self.name)?.attach(ctx, talk, !self.no_stdin)
            },
        )
    }
}
