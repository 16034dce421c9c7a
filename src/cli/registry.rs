//! `hoist registry …`.

use clap::Subcommand;

use super::App;
use super::run::Told;
use crate::bindings::Console;
use crate::error::{Error, Result};
use crate::model::{Context, Secret};

/// Registries, and who we are to them
#[derive(Subcommand)]
pub(super) enum Registry {
    /// Show a user and a password to a registry, and keep them if it takes them
    ///
    /// They are kept where Docker and Podman keep theirs. The password is asked for, or read from standard input.
    Login(Login),
    /// Forget who we are to a registry
    Logout {
        /// The registry's host
        #[arg(value_name = "HOST", default_value = "docker.io")]
        host: String,
    },
}

/// What `login` takes.
#[derive(clap::Args)]
pub(super) struct Login {
    /// The registry's host, perhaps with a path that alone is meant
    #[arg(value_name = "HOST", default_value = "docker.io")]
    host: String,

    /// The user; asked for otherwise
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,

    /// Take the password from standard input
    #[arg(long)]
    password_stdin: bool,

    /// Whether the registry's certificate must be right; without this flag it must, but for registries on this machine
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_verify: Option<bool>,
}

impl Registry {
    pub(super) fn execute(self, app: &App) -> Result<u8> {
        let session = app.session(Told::default())?;
        let (host, ctx) = (session.host()?, session.context());
        match self {
            Registry::Login(login) => {
                let user = login.user(app)?;
                let password = login.password(app, &ctx, &user)?;
                let kept = session.perform("registry::login", &[login.host.as_str().into()], || {
                    host.login(&ctx, &login.host, &user, password, login.tls_verify)
                })?;
                app.terminal
                    .talk(&format!("logged in to `{}` as `{user}`: kept in {kept}", login.host));
            }
            Registry::Logout { host: name } => {
                let erase = || host.logout(&ctx, &name);
                match session
                    .perform("registry::logout", &[name.as_str().into()], erase)?
                    .as_slice()
                {
                    [] if session.plan().is_none() => app.terminal.talk(&format!("there was no login to `{name}`")),
                    places => places
                        .iter()
                        .for_each(|place| app.terminal.talk(&format!("removed from {place}"))),
                }
            }
        }
        if let Some(plan) = session.plan() {
            app.terminal.show_plan(plan);
        }
        Ok(0)
    }
}

impl Login {
    fn user(&self, app: &App) -> Result<String> {
        if let Some(user) = &self.username {
            return Ok(user.clone());
        }
        let asked = match self.password_stdin {
            true => None,
            false => app.terminal.ask("user: ").ok().flatten(),
        };
        let asked = asked.map(|user| user.trim().to_owned());
        asked.ok_or_else(|| Error::invalid("there is nobody to ask for the user").hint("name the user by `--username`"))
    }

    fn password(&self, app: &App, ctx: &Context, user: &str) -> Result<Secret> {
        if self.password_stdin {
            return app.terminal.piped_secret();
        }
        let asked = app.terminal.ask_secret(ctx, &format!("password of {user}: "))?;
        asked.ok_or_else(|| {
            Error::invalid("there is nobody to ask for the password")
                .hint("write it to standard input, and say `--password-stdin`")
        })
    }
}
