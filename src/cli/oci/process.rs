//! `hoist oci exec`.

use std::path::PathBuf;

use clap::Args;

use super::{Global, complaint, seal};
use crate::error::{Error, Result};
use crate::runtime::oci::{self, Execution, Place};

/// Run a further process in a container
#[derive(Args)]
pub(super) struct Exec {
    /// A file with the `process` of a configuration, instead of a command
    #[arg(long, short, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Where it starts
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// A variable more, as NAME=VALUE
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Its user, as UID or UID:GID
    #[arg(long, short, value_name = "UID[:GID]")]
    user: Option<String>,
    /// A group more, as a number
    #[arg(long, short = 'g', value_name = "GID")]
    additional_gids: Vec<u32>,
    /// A capability more
    #[arg(long, short, value_name = "NAME")]
    cap: Vec<String>,
    /// Give it a terminal
    #[arg(long, short)]
    tty: bool,
    /// A socket to which the master of the terminal is sent
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// A control group below the container's, in which it is to be
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Let it never gain rights
    #[arg(long)]
    no_new_privs: bool,
    /// Return when it runs
    #[arg(long, short)]
    detach: bool,
    /// Run it in a paused container, where it waits
    #[arg(long)]
    ignore_paused: bool,
    /// A file for its number
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// How many descriptors, from 3 on, it gets
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// The container, and the command
    #[arg(
        value_name = "ID [COMMAND]",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

impl Exec {
    #[cfg(test)]
    pub(super) fn command(&self) -> &[String] {
        &self.words[1..]
    }

    pub(super) fn perform(self, global: &Global) -> Result<u8> {
        let [id, args @ ..] = self.words.as_slice() else {
            return Err(Error::invalid("no container is named"));
        };
        if args.is_empty() && self.process.is_none() {
            return Err(Error::invalid("there is no command to run").hint("name one, or a file by `--process`"));
        }
        let (place, args) = (Place::new(&global.root, id)?, args.to_vec());
        seal()?;
        let execution = Execution {
            process: self.process,
            args,
            cwd: self.cwd,
            env: self.env,
            user: self.user,
            additional_gids: self.additional_gids,
            caps: self.cap,
            cgroup: self.cgroup,
            no_new_privileges: self.no_new_privs,
            terminal: self.tty,
            console_socket: self.console_socket,
            detached: self.detach,
            ignore_paused: self.ignore_paused,
            pid_file: self.pid_file,
            preserve_fds: self.preserve_fds,
        };
        oci::exec(&place, &execution, &|text| complaint::detail(global, text))
    }
}
