//! `hoist exec CONTAINER COMMAND…`.

use clap::Args;

use super::{Talk, conclude};
use crate::cli::App;
use crate::config;
use crate::error::Result;
use crate::host::ExecOptions;
use crate::model::{Command, Pairs};

/// Run a further command in a running container
///
/// What it writes is shown as it comes, and the exit code is the command's, as with `hoist container run`.
#[derive(Args)]
pub(in crate::cli) struct Exec {
    /// Pass standard input on
    #[arg(long, short)]
    interactive: bool,

    /// Give the command a terminal
    #[arg(long, short)]
    tty: bool,

    /// Set a variable; without a value, as it is here
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Whose command it is
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,

    /// The directory it starts in
    #[arg(long, short, value_name = "PATH")]
    workdir: Option<String>,

    #[command(flatten)]
    talk: Talk,

    /// The container, and the command
    #[arg(
        value_names = ["CONTAINER", "COMMAND"],
        required = true,
        num_args = 2..,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

impl Exec {
    pub(in crate::cli) fn execute(self, app: &App) -> Result<u8> {
        let mut words = self.words;
        let name = words.remove(0);
        let options = ExecOptions {
            env: Pairs::of(self.env.iter().filter_map(|word| config::setting(word))),
            user: self.user,
            workdir: self.workdir,
            tty: self.tty,
            ..ExecOptions::default()
        };
        conclude(app, &("Container.exec", vec![name.as_str().into()]), |host, ctx| {
            let talk = self.talk.begin(self.tty, self.interactive)?;
            let container = host.container(&name)?;
            container.exec_in_front(ctx, &Command::Words(words), &options, talk, self.interactive)
        })
    }
}
