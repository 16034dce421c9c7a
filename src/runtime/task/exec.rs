//! A further process in a running container.
//!
//! A helper watches it from outside, as the supervisor watches the first process. Between them stands a process that enters the
//! container's control groups and namespaces and makes the program's process there, as a child of the helper.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use jiff::Timestamp;
use nix::fcntl::OFlag;
use oci_spec::runtime::Spec;

use crate::error::{Context, Error, Result};
use crate::model;
use crate::runtime::bundle::Bundle;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::channel::{Channel, Failure, Message};
use crate::runtime::enter::{self, Entered};
use crate::runtime::exit::{self, Exit, NOT_STARTED};
use crate::runtime::launch::{self, Helper, Output, Stdin};
use crate::runtime::program::Program;
use crate::runtime::pump::{Listener, Pump};
use crate::runtime::seccomp::Filter;
use crate::runtime::settings::Settings;
use crate::runtime::state::{Act, check};
use crate::runtime::streams::{self, Ends, Streams};
use crate::runtime::supervise::{self, Assignment, Hearers, Manner};
use crate::runtime::{
    Conversation, ExecRequest, IdMaps, Outcome, Signal, console, id_maps, kill as stop, namespaces, program, spec, user,
};
use crate::sys::{file, pidfd, pty};

/// Runs a further process in a running container, to its end. `conflict` if the container is not running or paused.
///
/// If the context ends first, the process is killed; what it started itself stays, as with Docker.
pub fn exec(
    ctx: &model::Context,
    bundle: &Bundle,
    request: &ExecRequest,
    stdin: Stdin,
    output: Output<'_>,
) -> Result<Exit> {
    let (exit, remains) = spawn(bundle, request, Manner::Attached, stdin)?.attach(ctx, output)?;
    remains.wait();
    Ok(exit)
}

/// The same with a conversation in place of input and output. If the person leaves, it goes on.
pub fn exec_in_front(
    ctx: &model::Context,
    bundle: &Bundle,
    mut request: ExecRequest,
    conversation: &Conversation,
) -> Result<Outcome> {
    request.size = conversation.size();
    spawn(bundle, &request, Manner::InFront, Stdin::Null)?.converse(ctx, conversation, false)
}

/// Starts a further command and returns once it runs; it goes on without this process, and what it writes is heard by nobody.
pub fn exec_detached(ctx: &model::Context, bundle: &Bundle, request: &ExecRequest) -> Result<()> {
    spawn(bundle, request, Manner::Detached, Stdin::Null)?.detach(ctx)
}

fn spawn(bundle: &Bundle, request: &ExecRequest, mode: Manner, stdin: Stdin) -> Result<Helper> {
    check(bundle, Act::Exec)?;
    if request.args.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("there is no command to run"));
    }
    let text = serde_json::to_vec(request)
        .map_err(|cause| Error::internal(format!("failed to pass a command on: {cause}")))?;
    Helper::spawn(launch::EXEC, bundle, mode, stdin, Some(&launch::in_memory(&text)?))
}

/// The helper's whole life; returns its exit code.
pub(in crate::runtime) fn main(caller: OwnedFd, args: Vec<OsString>) -> u8 {
    let Ok(assignment) = Assignment::accept(caller, args) else {
        return 2;
    };
    u8::from(run(&assignment.bundle, assignment.caller, assignment.manner).is_err())
}

fn run(bundle: &Bundle, caller: Channel, manner: Manner) -> Result<()> {
    let started = Timestamp::now();
    let (Made { child, ends, .. }, told) = match start(bundle, &caller) {
        Ok(started) => started,
        Err(failure) => return supervise::refuse(&caller, &failure),
    };
    // One that was killed before it became the program may have nothing that can be watched.
    let (mut input, outputs) = ends.connect().unwrap_or_default();
    if let Some(input) = &mut input {
        input.lasts = false;
    }
    let listener = match manner {
        Manner::Detached => {
            let _ = caller.send(&Message::Started(std::process::id().cast_signed()));
            None
        }
        _ => Some(Listener {
            channel: caller,
            is_needed: true,
        }),
    };
    let pump = Pump {
        process: child.as_fd(),
        outputs,
        input,
        hearers: Hearers {
            listener,
            ..Hearers::default()
        },
        deadline: None,
        kill: &|| kill(&child),
        errand: None,
    };
    let ended = pump.run()?;
    let (code, signal) = exit::reap(&child)?;
    told.tell("exec_die", false, &[("exitCode", code.to_string())]);
    let _ = ended.tell(&Exit {
        code,
        signal,
        oom_killed: false,
        timed_out: false,
        started,
        finished: Timestamp::now(),
        error: None,
        restarts: 0,
    });
    Ok(())
}

/// Makes the process and waits until it has become the program.
fn start<'a>(bundle: &'a Bundle, caller: &Channel) -> std::result::Result<(Made, Told<'a>), Failure> {
    let not_started = |error: Error| Failure::new(&error, NOT_STARTED);
    let entry = Entry::read(bundle).map_err(not_started)?;
    let told = Told::of(bundle, &entry);
    let made = entry.make().map_err(not_started)?;
    let awaited = made.setup.let_go();
    let failure = match awaited.and_then(|()| supervise::await_program(&made.setup, Some(caller))) {
        Ok(None) => {
            told.tell("exec_start", true, &[]);
            return Ok((made, told));
        }
        Ok(Some(failure)) => failure,
        Err(error) => not_started(error),
    };
    kill(&made.child);
    let _ = exit::reap(&made.child);
    Err(failure)
}

fn kill(child: &OwnedFd) {
    let _ = pidfd::send_signal(child, Signal::KILL.number());
}

/// A command, as events tell of it.
struct Told<'a> {
    bundle: &'a Bundle,
    attributes: BTreeMap<String, String>,
    command: String,
}

impl Told<'_> {
    fn of<'a>(bundle: &'a Bundle, entry: &Entry) -> Told<'a> {
        let mut attributes = entry.settings.attributes.clone();
        if let Ok(id) = model::ContainerId::generate() {
            attributes.insert("execID".to_owned(), id.to_string());
        }
        let told = Told {
            bundle,
            attributes,
            command: entry.request.args.join(" "),
        };
        told.tell("exec_create", true, &[]);
        told
    }

    fn tell(&self, action: &str, with_command: bool, facts: &[(&str, String)]) {
        let whole = format!("{action}: {}", self.command);
        let action = if with_command { &whole } else { action };
        self.bundle.tell(action, &self.attributes, facts);
    }
}

/// Makes a process in a container for its supervisor; it waits to be let go.
pub(in crate::runtime) fn make(bundle: &Bundle, request: ExecRequest) -> Result<Made> {
    Entry::of(bundle, request)?.make()
}

/// A process in the container that waits to be let go.
pub(in crate::runtime) struct Made {
    /// Its number, and that of its group.
    pub(in crate::runtime) pid: i32,
    pub(in crate::runtime) child: OwnedFd,
    pub(in crate::runtime) ends: Ends,
    pub(in crate::runtime) setup: Channel,
}

/// All that is needed to enter.
struct Entry {
    request: ExecRequest,
    spec: Spec,
    settings: Settings,
    cgroup: Cgroup,
    init: OwnedFd,
    filter: Option<Filter>,
}

impl Entry {
    fn read(bundle: &Bundle) -> Result<Entry> {
        Entry::of(bundle, read_request()?)
    }

    fn of(bundle: &Bundle, request: ExecRequest) -> Result<Entry> {
        let (spec, settings) = (spec::read(bundle)?, Settings::read(bundle)?);
        Ok(Entry {
            request,
            cgroup: Cgroup::open(bundle.id.as_str())?,
            init: stop::program(bundle)?.ok_or_else(|| stop::ended(bundle))?,
            filter: supervise::filter(&settings.seccomp, &spec)?,
            spec,
            settings,
        })
    }

    /// The process, before it becomes the program; it waits to be let go.
    fn make(mut self) -> Result<Made> {
        let (streams, ends) = streams::make(self.terminal(), self.request.interactive)?;
        if let Some(maps) = IdMaps::of(&self.spec) {
            streams.hand_over(&maps)?;
            program::raise_rlimits(spec::process_of(&self.spec)?)?;
        }
        let filter = self.filter.take();
        let flags = namespaces::all(&self.spec, &self.settings.joins);
        let entered = enter::make(&self.cgroup, &self.init, flags, |parent| {
            self.become_program(filter, &streams, parent)
        });
        let Entered { pid, child, setup } = entered?;
        nix::unistd::dup2_stdin(supervise::null()?).during(|| "let go of standard input")?;
        Ok(Made {
            pid,
            child,
            ends,
            setup,
        })
    }

    fn become_program(&self, filter: Option<Filter>, streams: &Streams, parent: &Channel) -> i32 {
        let failure = match self.program(filter, streams, parent) {
            Ok(program) => program.become_it(|_| Ok(())),
            Err(error) => Failure::new(&error, NOT_STARTED),
        };
        let code = failure.code;
        let _ = parent.send(&Message::Failed(failure));
        code
    }

    fn program(&self, filter: Option<Filter>, streams: &Streams, parent: &Channel) -> Result<Program<'_>> {
        nix::unistd::setsid().during(|| "start a session")?;
        if IdMaps::of(&self.spec).is_some() {
            id_maps::become_root()?;
        }
        let process = spec::process_of(&self.spec)?;
        let root = file::open("/", OFlag::O_PATH).during(|| "open the root")?;
        let request = &self.request;
        let user = if request.user.is_empty() {
            &self.settings.user
        } else {
            &request.user
        };
        let identity = user::resolve(&root, user)?;
        streams.install(&root, identity.uid, false)?;
        parent
            .receive()?
            .ok_or_else(|| Error::cancelled("the caller went away"))?;
        Ok(Program {
            process,
            args: &request.args,
            env: self.environment(process),
            cwd: if request.cwd.is_empty() {
                process.cwd().to_str().unwrap_or("/")
            } else {
                &request.cwd
            },
            identity,
            capabilities: spec::capabilities(process)?,
            no_new_privileges: request.no_new_privileges || process.no_new_privileges().unwrap_or(false),
            filter,
            kept: 0,
            maker: None,
        })
    }

    fn terminal(&self) -> Option<pty::Size> {
        let size = self.request.size.map(|(rows, columns)| pty::Size { rows, columns });
        self.request.tty.then(|| size.unwrap_or(console::USUAL_SIZE))
    }

    /// The container's variables, those of a terminal, those asked for.
    fn environment(&self, process: &oci_spec::runtime::Process) -> Vec<String> {
        let more = match self.request.tty {
            true => [&[spec::TERM.to_owned()], self.request.env.as_slice()].concat(),
            false => self.request.env.clone(),
        };
        spec::merge_environment(process.env().as_deref().unwrap_or_default(), &more)
    }
}

/// The request was handed over as the file that is this process's standard error.
fn read_request() -> Result<ExecRequest> {
    let fd = std::io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .during(|| "take the request")?;
    let mut file = File::from(fd);
    let mut text = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut text))
        .during(|| "read the request")?;
    nix::unistd::dup2_stderr(supervise::null()?).during(|| "let go of standard error")?;
    serde_json::from_slice(&text).map_err(|cause| Error::internal(format!("failed to read the request: {cause}")))
}
