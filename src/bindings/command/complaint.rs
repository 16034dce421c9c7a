//! What goes wrong, in the words that people and programs know from Docker.

use rhai::{Dynamic, EvalAltResult, Position};

use crate::bindings::failure::{Failure, Scripted, is_unwinding};
use crate::bindings::session::Session;
use crate::error::{Error, Kind, Result};
use crate::runtime::NotExecuted;

/// The code of a command that failed before the program it is about was reached, as Docker has it.
pub(super) const NOT_REACHED: u8 = 125;

/// Our messages and Docker's for the same, where `{}` is a name. Others are said as they are.
const WORDS: &[(&str, &str)] = &[
    (
        "container `{}` is running",
        "cannot remove container \"{}\": container is running: stop the container before removing or force remove",
    ),
    ("`{}` is not a signal", "invalid signal: {}"),
    (
        "failed to run `{}`: there is no such program in the container",
        "exec: \"{}\": executable file not found in $PATH",
    ),
    (
        "failed to run `{}`: permission denied",
        "exec: \"{}\": permission denied",
    ),
    ("container `{}` does not exist", "No such container: {}"),
    ("image `{}` is not in the store", "No such image: {}"),
    ("volume `{}` does not exist", "get {}: no such volume"),
    (
        "`{}` is no name of a volume",
        "create {}: \"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you \
         intended to pass a host directory, use absolute path",
    ),
    (
        "cannot remove container `{}`: it is running",
        "cannot remove container \"{}\": container is running: stop the container before removing or force remove",
    ),
    (
        "cannot remove container `{}`: it is paused",
        "cannot remove container \"{}\": container is paused and must be unpaused first",
    ),
    (
        "cannot kill container `{}`: it is exited",
        "cannot kill container: {}: container {} is not running",
    ),
    (
        "cannot kill container `{}`: it is created",
        "cannot kill container: {}: container {} is not running",
    ),
    (
        "cannot run a command in container `{}`: it is exited",
        "container {} is not running",
    ),
    (
        "cannot run a command in container `{}`: it is created",
        "container {} is not running",
    ),
    (
        "cannot run a command in container `{}`: it is paused",
        "Container {} is paused, unpause the container before exec",
    ),
    (
        "container `{}` has no processes: it is exited",
        "container {} is not running",
    ),
    (
        "container `{}` has no processes: it is created",
        "container {} is not running",
    ),
    (
        "cannot pause container `{}`: it is paused",
        "Container {} is already paused",
    ),
    (
        "cannot pause container `{}`: it is exited",
        "Container {} is not running",
    ),
    (
        "cannot pause container `{}`: it is created",
        "Container {} is not running",
    ),
    (
        "cannot unpause container `{}`: it is running",
        "Container {} is not paused",
    ),
    (
        "cannot unpause container `{}`: it is exited",
        "Container {} is not paused",
    ),
    (
        "cannot attach to container `{}`: it is exited",
        "You cannot attach to a stopped container, start it first",
    ),
    (
        "cannot attach to container `{}`: it is created",
        "You cannot attach to a stopped container, start it first",
    ),
    (
        "cannot attach to container `{}`: it is paused",
        "You cannot attach to a paused container, unpause it first",
    ),
];

/// Docker's message for an error.
pub fn said(error: &Error) -> String {
    let message = error.message();
    if let Some((name, owner)) = taken(message) {
        return format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that \
             container to be able to reuse that name."
        );
    }
    if let Some((name, users)) = used(message) {
        return format!("remove {name}: volume is in use - [{}]", users.replace("`, `", ", "));
    }
    for (ours, theirs) in WORDS {
        let (before, after) = ours.split_once("{}").unwrap_or((ours, ""));
        let name = message.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        if let Some(name) = name.filter(|name| !name.contains('`')) {
            let name = match theirs.starts_with("No such image") && !name.contains([':', '@']) {
                true => format!("{name}:latest"),
                false => name.to_owned(),
            };
            return theirs.replace("{}", &name);
        }
    }
    error.to_string()
}

/// The name of a container that is to be made, and whose it is.
fn taken(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("the name `")?.strip_suffix('`')?;
    rest.split_once("` is taken by container `")
}

/// The volume that is to go, and the containers that use it.
fn used(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("volume `")?.strip_suffix('`')?;
    rest.split_once("` is used by container `")
}

/// The error as a person is to read it.
pub(super) fn complain(session: &Session, thrown: &Dynamic) {
    complain_of(session, thrown, false);
}

/// The same, where it may be an error of the program that was to run: as Docker does, it is said whose it is.
fn complain_of(session: &Session, thrown: &Dynamic, is_run: bool) {
    let console = &session.settings().console;
    let is_docker = session.invoked().is_ok_and(|invoked| invoked.is_docker());
    let Some(failure) = thrown.read_lock::<Failure>() else {
        console.talk(&format!("Error: {thrown}"));
        return;
    };
    let error = failure.error();
    if console.tells(error) {
        return;
    }
    let prefix = match is_docker {
        _ if error.message().contains(" template: template: ") => "",
        true if is_run => "docker: Error response from daemon: ",
        true => "Error response from daemon: ",
        false => "Error: ",
    };
    console.talk(&format!("{prefix}{}", said(error)));
    if let Some(hint) = error.way_out().filter(|_| !is_docker) {
        console.talk(&format!("help: {hint}"));
    }
    if is_docker && is_run {
        console.talk("\nRun 'docker run --help' for more information");
    }
}

/// Says what was thrown, unless the script is being ended.
pub(super) fn or_unwind(session: &Session, thrown: Box<EvalAltResult>, is_run: bool) -> Scripted<()> {
    if is_unwinding(&thrown) {
        return Err(thrown);
    }
    match thrown.unwrap_inner() {
        EvalAltResult::ErrorRuntime(value, _) => complain_of(session, value, is_run),
        // A fault of the command itself: with its place.
        _ => return Err(thrown),
    }
    Ok(())
}

/// Docker's exit code for it.
pub(super) fn code(thrown: &EvalAltResult, usual: u8) -> u8 {
    let failure = Failure::of(thrown);
    let error = failure.error();
    match NotExecuted::of(error).map(|cause| cause.code) {
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
        None if matches!(error.kind(), Kind::Timeout | Kind::Cancelled | Kind::Denied) => error.kind().exit_code(),
        None => usual,
    }
}

/// Ends the command.
pub(super) fn end(session: &Session, code: u8) -> Box<EvalAltResult> {
    session.set_exit(code);
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))
}

/// As Docker asks; nobody to answer is a no.
pub(super) fn confirm(session: &Session, warning: &str, already: bool) -> Result<bool> {
    if already || session.plan().is_some() {
        return Ok(true);
    }
    session.print(&format!(
        "WARNING! {warning}\nAre you sure you want to continue? [y/N] "
    ));
    let answer = session.settings().console.ask("").ok().flatten().unwrap_or_default();
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

pub(super) fn ask(session: &Session, question: &str) -> Result<String> {
    let answer = session.settings().console.ask(question).ok().flatten();
    let answer = answer.map(|answer| answer.trim().to_owned());
    answer.ok_or_else(|| {
        Error::invalid("Cannot perform an interactive login from a non TTY device")
            .hint("name the user by `--username`, and give the password with `--password-stdin`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_has_words_for_is_said_in_them() {
        for (ours, theirs) in [
            ("container `nope` does not exist", "No such container: nope"),
            ("image `nope` is not in the store", "No such image: nope:latest"),
            ("image `nope:1` is not in the store", "No such image: nope:1"),
            (
                "cannot remove container `web`: it is running",
                "cannot remove container \"web\": container is running: stop the container before removing or force remove",
            ),
            (
                "cannot kill container `web`: it is exited",
                "cannot kill container: web: container web is not running",
            ),
            ("something else of `web`", "something else of `web`"),
        ] {
            assert_eq!(said(&Error::conflict(ours)), theirs);
        }
    }
}
