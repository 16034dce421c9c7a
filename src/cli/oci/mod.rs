//! `hoist oci …`, or the program under the name `hoist-oci`: the command line of an OCI runtime, as engines drive it. Its words are
//! those of runc.

mod complaint;
mod process;
mod resources;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::bindings::table;
use crate::error::{Context as _, Error, Result};
use crate::runtime::oci::{self, Creation, Place};
use crate::runtime::{Signal, Stats};

/// The name under which the program is this face.
const NAME: &str = "hoist-oci";
/// The code of a failure, as runc has it; of `exec` another one, since 1 may be its program's.
const FAILED: u8 = 1;
const EXEC_FAILED: u8 = 255;

/// Runs containers of other engines, as the OCI runtime specification says
#[derive(Parser)]
#[command(name = "hoist oci", max_term_width = 100, arg_required_else_help = true, version)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    act: Act,
}

#[derive(Args)]
struct Global {
    /// The directory of the state of containers
    #[arg(long, value_name = "DIR", default_value = "/run/hoist-oci")]
    root: PathBuf,
    /// A file for errors
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How errors are written there
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Tell more: on which processors `exec` begins
    #[arg(long)]
    debug: bool,
    /// Refused: control groups are made directly, and never by systemd
    #[arg(long)]
    systemd_cgroup: bool,
    /// Accepted: what can be done is seen where it is done
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rootless: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Subcommand)]
enum Act {
    /// Make a container, whose program waits for `start`
    Create(Create),
    /// Start the program of a container that was created
    Start {
        id: String,
    },
    /// Tell the state of a container, as JSON
    State {
        id: String,
    },
    /// Send a signal to the first process of a container
    Kill {
        /// To all of its processes
        #[arg(long, short)]
        all: bool,
        id: String,
        #[arg(default_value = "SIGTERM")]
        signal: String,
    },
    /// Remove a container that has ended
    Delete {
        /// Kill it first if it has not ended
        #[arg(long, short)]
        force: bool,
        id: String,
    },
    /// Make a container, start it, wait for its end and remove it
    Run(Run),
    Exec(process::Exec),
    /// Stop the processes of a container in their tracks
    Pause {
        id: String,
    },
    /// Let the processes of a paused container go on
    Resume {
        id: String,
    },
    Update(resources::Update),
    /// List the processes of a container
    Ps {
        #[arg(long, short, value_enum, default_value = "table")]
        format: Form,
        id: String,
        /// Accepted: columns are always the same
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        ps_options: Vec<String>,
    },
    /// List all containers
    List {
        #[arg(long, short, value_enum, default_value = "table")]
        format: Form,
        /// Ids only
        #[arg(long, short)]
        quiet: bool,
    },
    /// Tell what a container uses, again and again until it ends
    Events {
        /// Tell it once
        #[arg(long)]
        stats: bool,
        /// The time between two reports, such as 5s
        #[arg(long, default_value = "5s", value_parser = super::duration)]
        interval: std::time::Duration,
        id: String,
    },
    /// Tell what this runtime can do, as JSON
    Features,
    /// Write a `config.json` to start from
    Spec {
        /// Where
        #[arg(long, short, value_name = "DIR", default_value = ".")]
        bundle: PathBuf,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Json,
}

#[derive(Args)]
struct Create {
    /// The directory with `config.json`
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// A file for the number of the first process
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// A socket to which the master of the terminal is sent
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// How many descriptors, from 3 on, the program gets
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Move the root to the top instead of pivoting to it
    #[arg(long)]
    no_pivot: bool,
    /// Keep the session keyring of the caller
    #[arg(long)]
    no_new_keyring: bool,
    id: String,
}

#[derive(Args)]
struct Run {
    /// Return when the program runs
    #[arg(long, short)]
    detach: bool,
    /// Do not remove the container at its end
    #[arg(long)]
    keep: bool,
    /// Accepted: orphans are no matter of this process
    #[arg(long)]
    no_subreaper: bool,
    #[command(flatten)]
    create: Create,
}

/// The command line, if the program was called as this face.
pub(super) fn words() -> Option<Vec<OsString>> {
    let mut words = std::env::args_os();
    let name = words.next()?;
    if Path::new(&name).file_name().is_some_and(|name| name == NAME) {
        return Some(std::iter::once(name).chain(words).collect());
    }
    let second = words.next()?;
    (second == "oci").then(|| std::iter::once(second).chain(words).collect())
}

/// Runs it. Nothing may have started a thread: this process is copied.
pub(super) fn main(words: Vec<OsString>) -> ExitCode {
    let line = match Line::try_parse_from(words) {
        Ok(line) => line,
        Err(error) => return super::usage(&error),
    };
    let failed = match line.act {
        Act::Exec(_) => EXEC_FAILED,
        _ => FAILED,
    };
    let code = line.act.perform(&line.global).unwrap_or_else(|error| {
        complaint::tell(&line.global, &error);
        failed
    });
    ExitCode::from(code)
}

impl Act {
    fn perform(self, global: &Global) -> Result<u8> {
        if global.systemd_cgroup {
            return Err(Error::unsupported("control groups cannot be made by systemd")
                .hint("leave `--systemd-cgroup` out; engines call it the cgroup driver, or manager, `cgroupfs`"));
        }
        let place = |id: &str| Place::new(&global.root, id);
        let warn = |text: &str| complaint::warn(global, text);
        match self {
            Act::Create(create) => {
                let (id, creation) = create.split();
                seal()?;
                oci::create(&place(&id)?, &creation, &warn)
            }
            Act::Run(run) => {
                let (id, creation) = run.create.split();
                seal()?;
                return oci::run(&place(&id)?, &creation, run.detach, run.keep, &warn);
            }
            Act::Exec(exec) => return exec.perform(global),
            Act::Start { id } => oci::start(&place(&id)?),
            Act::State { id } => print(&oci::state(&place(&id)?)?),
            Act::Kill { all, id, signal } => oci::kill(&place(&id)?, signal.parse::<Signal>()?, all),
            Act::Delete { force, id } => oci::delete(&place(&id)?, force),
            Act::Pause { id } => oci::pause(&place(&id)?),
            Act::Resume { id } => oci::resume(&place(&id)?),
            Act::Update(update) => update.perform(global),
            Act::Ps { format, id, .. } => ps(&place(&id)?, format),
            Act::List { format, quiet } => list(&global.root, format, quiet),
            Act::Events { stats, interval, id } => events(&place(&id)?, stats, interval),
            Act::Features => print(&oci::features()?),
            Act::Spec { bundle } => spec(&bundle),
        }
        .map(|()| 0)
    }
}

/// What makes processes in containers runs from where they cannot change it.
fn seal() -> Result<()> {
    crate::runtime::seal_self()
}

impl Create {
    fn split(self) -> (String, Creation) {
        let creation = Creation {
            bundle: self.bundle,
            pid_file: self.pid_file,
            console_socket: self.console_socket,
            preserve_fds: self.preserve_fds,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
        };
        (self.id, creation)
    }
}

fn print(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|cause| Error::internal(format!("failed to write JSON: {cause}")))?;
    say(&text)
}

fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").during(|| "write to standard output")
}

fn ps(place: &Place, format: Form) -> Result<()> {
    let processes = oci::processes(place)?;
    if format == Form::Json {
        return print(&processes.iter().map(|process| process.pid).collect::<Vec<_>>());
    }
    let rows = processes.iter().map(|process| {
        vec![
            process.uid.to_string(),
            process.pid.to_string(),
            process.parent.to_string(),
            process.state.to_string(),
            process.command.join(" "),
        ]
    });
    say(table::grid(&["UID", "PID", "PPID", "S", "CMD"], rows.collect()).trim_end())
}

fn list(root: &Path, format: Form, quiet: bool) -> Result<()> {
    let states = oci::list(root)?;
    if quiet {
        return states.iter().try_for_each(|state| say(&state.id));
    }
    if format == Form::Json {
        return print(&states);
    }
    let rows = states.iter().map(|state| {
        vec![
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_string(),
            state.bundle.display().to_string(),
            state.created.to_string(),
            state.owner.clone(),
        ]
    });
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    say(table::grid(&header, rows.collect()).trim_end())
}

fn events(place: &Place, once: bool, interval: std::time::Duration) -> Result<()> {
    let ctx = crate::model::Context::new();
    loop {
        let event = json!({"type": "stats", "id": oci::state(place)?.id, "data": data(&oci::stats(place)?)});
        say(&event.to_string())?;
        if once {
            return Ok(());
        }
        ctx.sleep(interval)?;
        if oci::state(place).map_or(true, |state| state.status == oci::Status::Stopped) {
            return Ok(());
        }
    }
}

/// As runc arranges it.
fn data(stats: &Stats) -> Value {
    let nanos =
        |time: Option<std::time::Duration>| time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let bytes = |op: &str, value: Option<u64>| json!({"op": op, "value": value.unwrap_or(0)});
    json!({
        "cpu": {
            "usage": {"total": nanos(stats.cpu)},
            "throttling": {"throttledTime": nanos(stats.throttled)},
        },
        "memory": {"usage": {
            "usage": stats.memory.unwrap_or(0),
            "max": stats.memory_peak.unwrap_or(0),
            "limit": stats.memory_limit.unwrap_or(u64::MAX),
        }},
        "pids": {"current": stats.pids.unwrap_or(0), "limit": stats.pids_limit.unwrap_or(0)},
        "blkio": {"ioServiceBytesRecursive": [bytes("Read", stats.read), bytes("Write", stats.written)]},
    })
}

fn spec(bundle: &Path) -> Result<()> {
    let path = bundle.join("config.json");
    let show = || format!("write `{}`", path.display());
    let mut file = std::fs::File::create_new(&path).during(show)?;
    let text = serde_json::to_string_pretty(&oci::template())
        .map_err(|cause| Error::internal(format!("failed to write JSON: {cause}")))?;
    writeln!(file, "{text}").during(show)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn options_come_before_or_after_the_id() {
        for words in [
            &["create", "--bundle", "/b", "--pid-file", "/p", "x"][..],
            &["create", "x", "--bundle", "/b", "--pid-file", "/p"],
            &["create", "--bundle", "/b", "x", "--pid-file=/p"],
        ] {
            let line = Line::try_parse_from([&["hoist-oci", "--root", "/r"], words].concat()).unwrap();
            let Act::Create(create) = line.act else {
                panic!("{words:?}")
            };
            assert_eq!((create.id.as_str(), create.bundle.as_path()), ("x", Path::new("/b")));
            assert_eq!(create.pid_file.as_deref(), Some(Path::new("/p")));
        }
    }

    #[test]
    fn a_program_keeps_its_own_options() {
        let words = ["hoist-oci", "exec", "-e", "A=1", "x", "ls", "-l", "--user", "7"];
        let line = Line::try_parse_from(words).unwrap();
        let Act::Exec(exec) = line.act else { panic!() };
        assert_eq!(exec.command(), ["ls", "-l", "--user", "7"]);
        let words = ["hoist-oci", "kill", "x", "KILL", "--all"];
        assert!(matches!(
            Line::try_parse_from(words).unwrap().act,
            Act::Kill { all: true, .. }
        ));
    }
}
