//! An error, told where engines look for it: in the file they named, and on standard error.

use std::fs::OpenOptions;
use std::io::Write;

use jiff::Timestamp;
use serde_json::json;

use super::{Global, LogFormat};
use crate::error::{Error, Kind};
use crate::runtime::NotExecuted;

/// Tells it. What goes wrong in that is told nobody.
pub(super) fn tell(global: &Global, error: &Error) {
    let message = in_words_of_engines(error);
    let _ = writeln!(std::io::stderr().lock(), "error: {message}");
    if let Some(hint) = error.way_out() {
        let _ = writeln!(std::io::stderr().lock(), "help: {hint}");
    }
    log(global, "error", &message);
}

/// Tells what was done without. Only in the file, if there is one: what is said on standard error is taken for the program's.
pub(super) fn warn(global: &Global, message: &str) {
    match &global.log {
        Some(_) => log(global, "warning", message),
        None => {
            let _ = writeln!(std::io::stderr().lock(), "warning: {message}");
        }
    }
}

/// Tells what only those want to know who look for a fault.
pub(super) fn detail(global: &Global, message: &str) {
    match &global.log {
        _ if !global.debug => {}
        Some(_) => log(global, "debug", message),
        None => {
            let _ = writeln!(std::io::stderr().lock(), "debug: {message}");
        }
    }
}

fn log(global: &Global, level: &str, message: &str) {
    let Some(path) = &global.log else { return };
    let time = Timestamp::now().to_string();
    let line = match global.log_format {
        LogFormat::Json => json!({"level": level, "msg": message, "time": time}).to_string(),
        LogFormat::Text => format!("time={time:?} level={level} msg={message:?}"),
    };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let _ = file.and_then(|mut file| writeln!(file, "{line}"));
}

/// Engines find out from the words of an error whether the program was missing, and make it their own exit code.
fn in_words_of_engines(error: &Error) -> String {
    let message = error.message();
    let is_missing = NotExecuted::of(error).is_some() && error.kind() == Kind::NotFound;
    match is_missing && !message.contains("no such file or directory") {
        true => format!("{message}: executable file not found in $PATH"),
        false => message.to_owned(),
    }
}
