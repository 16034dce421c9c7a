//! `hoist container run IMAGE [COMMAND…]`.

use clap::Args;

use super::flags::OptionFlags;
use super::{Signals, Talk, conclude};
use crate::bindings::Console;
use crate::cli::App;
use crate::error::Result;
use crate::host::Talked;
use crate::model::Command;

/// Run a command in a new container
///
/// What it writes is shown as it comes, and the exit code is the command's: 125 if Hoist failed, 126 if the command cannot be
/// executed, 127 if it is not there, 128 + N if signal N ended it. Without `--rm` the container stays afterwards.
#[derive(Args)]
pub(super) struct Run {
    /// Leave it running, and print its id
    #[arg(long, short)]
    detach: bool,

    #[command(flatten)]
    talk: Talk,

    #[command(flatten)]
    signals: Signals,

    #[command(flatten)]
    options: OptionFlags,

    /// The image, and the command in place of the image's own
    #[arg(
        value_name = "IMAGE [COMMAND]",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

impl Run {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let mut words = self.words;
        let image = words.remove(0);
        let command = (!words.is_empty()).then_some(Command::Words(words));
        let OptionFlags { options, given } = self.options;
        let call = ("container::run", vec![image.as_str().into(), given]);
        conclude(app, &call, |host, ctx| match self.detach {
            true => {
                let container = host.run_container_detached(ctx, &image, command, &options)?;
                // Who does not read the id has started it all the same.
                let _ = app.terminal.data(&format!("{}\n", container.id()));
                Ok(Talked::Ended(0))
            }
            false => {
                let mut talk = self.talk.begin(options.tty, options.interactive)?;
                talk.proxy = self.signals.sig_proxy;
                host.run_container_in_front(ctx, &image, command, &options, talk)
            }
        })
    }
}
