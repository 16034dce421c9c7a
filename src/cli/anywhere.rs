//! The flags of every command, behind a command that is a script: `hoist ps --root DIR` as well as `hoist --root DIR ps`.

use std::ffi::OsString;

use clap::error::Error;

use super::{CommandLine, Global};
use crate::model::Effect;

/// Flags without a value.
const SWITCHES: [&str; 4] = ["allow-read", "ask", "dry-run", "quiet"];
/// Flags whose value may be the next word.
const VALUED: [&str; 10] = [
    "audit",
    "config",
    "error-format",
    "format",
    "limit",
    "log-level",
    "root",
    "run-root",
    "timeout",
    "trash",
];

/// Whether the next word is the value of this flag; `None` for one that not every command has.
pub(super) fn takes_word(flag: &str) -> Option<bool> {
    let rule = flag.strip_prefix("allow-").or_else(|| flag.strip_prefix("deny-"));
    // What they are about stands behind `=`.
    let is_rule = rule
        .and_then(Effect::parse)
        .is_some_and(|effect| effect != Effect::Read);
    match is_rule || SWITCHES.contains(&flag) {
        true => Some(false),
        false => VALUED.contains(&flag).then_some(true),
    }
}

/// What a command line says with flags that stood behind its command, which count for more than those before it. `words` is all of it, the
/// last `own` words from the command on.
pub(super) fn read(words: &[OsString], own: usize, behind: &[String]) -> Result<Global, Error> {
    let (before, command) = words.split_at(words.len().saturating_sub(own));
    let before = without(before, behind);
    let behind = behind.iter().map(OsString::from);
    let all: Vec<OsString> = before
        .into_iter()
        .chain(behind)
        .chain(command.first().cloned())
        .collect();
    CommandLine::read(&all).map(|line| line.global)
}

fn name_of(word: &str) -> Option<&str> {
    word.strip_prefix("--")?.split('=').next()
}

/// Words without the flags that are said again, of which there can be only one.
fn without(words: &[OsString], again: &[String]) -> Vec<OsString> {
    let is_single = |name: &str| name == "dry-run" || takes_word(name) == Some(true) && name != "limit";
    let again: Vec<&str> = again
        .iter()
        .filter_map(|word| name_of(word))
        .filter(|name| is_single(name))
        .collect();
    let (mut left, mut rest) = (Vec::new(), words.iter());
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        match name_of(&text).filter(|name| again.contains(name)) {
            Some(name) if takes_word(name) == Some(true) && !text.contains('=') => drop(rest.next()),
            Some(_) => {}
            None => left.push(word.clone()),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_of_every_command_is_known() {
        let line = CommandLine::command();
        let mut count = 0;
        for flag in line.get_arguments().filter(|flag| flag.is_global_set()) {
            let name = flag.get_long().unwrap();
            let takes = flag.get_action().takes_values() && !flag.is_require_equals_set();
            assert_eq!(takes_word(name), Some(takes), "--{name}");
            count += 1;
        }
        assert_eq!(count, SWITCHES.len() + VALUED.len() + 2 * (Effect::ALL.len() - 1));
        assert_eq!(takes_word("filter"), None);
    }

    #[test]
    fn what_stands_behind_counts_as_what_stands_before() {
        let words = ["hoist", "--root", "/a", "ps", "-a"].map(OsString::from);
        let global =
            read(&words, 2, &["--dry-run".to_owned(), "--run-root=/b".to_owned()]).unwrap_or_else(|_| panic!());
        assert!(global.dry_run);
        assert_eq!((global.root, global.run_root), (Some("/a".into()), Some("/b".into())));
        let again = read(&words, 2, &["--root".to_owned(), "/c".to_owned()]).unwrap_or_else(|_| panic!());
        assert_eq!(again.root, Some("/c".into()));
        assert!(read(&words, 2, &["--format=nope".to_owned()]).is_err());
    }
}
