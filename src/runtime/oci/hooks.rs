//! Programs that an engine has run at points of a container's life (runtime-spec, `config.md#posix-platform-hooks`).

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::Hook;

use super::container::State;
use crate::error::{Context, Error, Result};
use crate::runtime::launch;
use crate::sys::pidfd;

/// How much of what a failed hook says is told.
const MOST_WORDS: usize = 4096;

/// Runs hooks in their order, each with the state on its standard input, until one fails. One that has no variables of its own gets
/// `env`, or those of this process.
pub(super) fn run(name: &str, hooks: &[Hook], state: &State, env: Option<&[String]>) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let text =
        serde_json::to_vec(state).map_err(|cause| Error::internal(format!("failed to write a state: {cause}")))?;
    for (at, hook) in hooks.iter().enumerate() {
        run_one(hook, &text, env).during(|| format!("run {name} hook {at} (`{}`)", hook.path().display()))?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &[u8], env: Option<&[String]>) -> Result<()> {
    let path = hook.path();
    if !path.is_absolute() {
        return Err(Error::invalid("its path is not absolute"));
    }
    let limit = match hook.timeout() {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(seconds) => return Err(Error::invalid(format!("its timeout of {seconds} is not above zero"))),
    };
    let said = launch::in_memory(b"")?;
    let mut child = command(hook, path, state, env, &said)?.spawn().during(|| "start it")?;
    let ended = wait(&child, limit);
    if !matches!(ended, Ok(true)) {
        let _ = child.kill();
    }
    let status = child.wait().during(|| "wait for it")?;
    match (ended?, status.code(), status.signal()) {
        (false, ..) => Err(Error::timeout(format!(
            "it took longer than {} seconds",
            limit.unwrap_or_default().as_secs()
        ))),
        (true, Some(0), _) => Ok(()),
        (true, Some(code), _) => Err(Error::internal(format!("it ended with {code}{}", words(said)))),
        (true, None, signal) => Err(Error::internal(format!(
            "it was killed by signal {}{}",
            signal.unwrap_or_default(),
            words(said)
        ))),
    }
}

fn command(hook: &Hook, path: &Path, state: &[u8], env: Option<&[String]>, said: &File) -> Result<Command> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an engine's own program, which its configuration names"
    )]
    let mut command = Command::new(path);
    let args = hook.args().as_deref().unwrap_or_default();
    if let [name, rest @ ..] = args {
        command.arg0(name).args(rest);
    }
    if let Some(env) = hook.env().as_deref().or(env) {
        command.env_clear();
        command.envs(env.iter().filter_map(|variable| variable.split_once('=')));
    }
    let said = said.try_clone().during(|| "prepare for what it says")?;
    command
        .stdin(Stdio::from(launch::in_memory(state)?))
        .stdout(Stdio::null())
        .stderr(Stdio::from(said));
    Ok(command)
}

/// Whether it ended in time.
fn wait(child: &Child, limit: Option<Duration>) -> Result<bool> {
    let process = pidfd::open(child.id().cast_signed()).during(|| "wait for it")?;
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let left = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], left) {
            Ok(1..) => return Ok(true),
            Ok(_) if end.is_some_and(|end| Instant::now() >= end) => return Ok(false),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).during(|| "wait for it"),
        }
    }
}

fn words(mut said: File) -> String {
    use std::io::{Read, Seek};
    let mut text = Vec::new();
    let read = said
        .rewind()
        .and_then(|()| said.take(MOST_WORDS as u64).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match (read, text.trim()) {
        (Ok(_), text) if !text.is_empty() => format!(": {text}"),
        _ => String::new(),
    }
}
