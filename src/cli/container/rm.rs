//! `hoist container rm CONTAINER…`.

use clap::Args;

use crate::cli::App;
use crate::cli::run::Told;
use crate::error::Result;
use crate::host::RemoveContainer;

/// Remove containers with everything they wrote
#[derive(Args)]
pub(super) struct Remove {
    /// Kill those that run
    #[arg(long, short)]
    force: bool,

    /// Remove their volumes that nothing else uses, too
    #[arg(long, short)]
    volumes: bool,

    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    names: Vec<String>,
}

impl Remove {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let options = RemoveContainer {
            force: self.force,
            volumes: self.volumes,
        };
        let mut code = 0;
        for name in &self.names {
            let removed = session.perform("Container.remove", &[name.as_str().into()], || {
                session.host()?.container(name)?.remove(&options)
            });
            if let Err(error) = removed {
                app.terminal.error(&error);
                code = error.kind().exit_code().max(1);
            }
        }
        if let Some(plan) = session.plan() {
            app.terminal.show_plan(plan);
        }
        Ok(code)
    }
}
