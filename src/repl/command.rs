//! Words of the prompt that are not of the language: `help`, and those with a colon.

use crate::error::{Error, Result};
use crate::model::unknown;

/// The commands: name, what comes behind it, and what it does.
pub(super) const NAMES: [(&str, &str, &str); 8] = [
    (
        ":help",
        "[NAME]",
        "what there is, or one module, function or type; `help(NAME)` is the same",
    ),
    (":doc", "NAME", "the manual of a module, a function or a type"),
    (":time", "LINE", "run a line and tell how long it took"),
    (
        ":plan",
        "on|off",
        "tell what lines would do instead of doing it, and end that",
    ),
    (":save", "FILE", "write the lines that worked to a script"),
    (":load", "FILE", "run a script as if it were typed here"),
    (":reset", "", "forget all variables and functions"),
    (":quit", "", "leave; so do `exit`, `quit` and Ctrl-D"),
];

/// What a line orders.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Help for a name; the overview for none.
    Help(String),
    Time(String),
    Plan(bool),
    Save(String),
    Load(String),
    Reset,
    Quit,
}

/// The order that a line is; `None` for one of the language.
pub(super) fn parse(line: &str) -> Option<Result<Order>> {
    let line = line.trim();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    match (name, argument) {
        ("exit" | "quit", "") => return Some(Ok(Order::Quit)),
        ("help", word) if !word.contains(char::is_whitespace) && !word.starts_with(['=', '.']) => {
            return Some(Ok(Order::Help(bare(word))));
        }
        _ => {}
    }
    if let Some(name) = called(line) {
        return Some(Ok(Order::Help(bare(name))));
    }
    name.starts_with(':').then(|| colon(name, argument))
}

/// The name in `help(name)`, which may stand in quotes.
fn called(line: &str) -> Option<&str> {
    let inside = line.strip_prefix("help")?.trim_start().strip_prefix('(')?;
    let name = inside.trim_end_matches(';').trim_end().strip_suffix(')')?.trim();
    let is_name = |letter: char| letter.is_alphanumeric() || "_:.\"'`()".contains(letter);
    name.chars().all(is_name).then_some(name)
}

/// A name without quotes, dots in front, and the brackets of a call.
fn bare(name: &str) -> String {
    let name = name.trim_matches(['"', '\'', '`', ';']);
    name.split('(').next().unwrap_or_default().to_owned()
}

fn colon(name: &str, argument: &str) -> Result<Order> {
    let named = |argument: &str| match argument {
        "" => Err(Error::invalid(format!("`{name}` takes something behind it")).hint(usage(name))),
        argument => Ok(argument.to_owned()),
    };
    Ok(match (name, argument) {
        (":help" | ":h" | ":?", topic) => Order::Help(bare(topic)),
        (":doc", topic) => Order::Help(bare(&named(topic)?)),
        (":time", line) => Order::Time(named(line)?),
        (":plan", "on") => Order::Plan(true),
        (":plan", "off") => Order::Plan(false),
        (":plan", _) => return Err(Error::invalid("`:plan` is followed by `on` or `off`")),
        (":save", file) => Order::Save(named(file)?),
        (":load", file) => Order::Load(named(file)?),
        (":reset", "") => Order::Reset,
        (":quit" | ":q" | ":exit", "") => Order::Quit,
        (":reset" | ":quit", _) => return Err(Error::invalid(format!("`{name}` stands alone"))),
        _ => return Err(unknown("command", name, &NAMES.map(|row| row.0))),
    })
}

fn usage(name: &str) -> String {
    let row = NAMES.iter().find(|row| row.0 == name);
    row.map_or_else(String::new, |(name, argument, summary)| {
        format!("`{name} {argument}`: {summary}")
    })
}

/// The commands, one a line.
pub(super) fn list() -> String {
    let rows = NAMES.map(|(name, argument, summary)| format!("  {:<14} {summary}\n", format!("{name} {argument}")));
    format!(
        "At the prompt\n{}  {:<14} the value of the last line that had one\n  {:<14} what Docker's words are here\n",
        rows.concat(),
        "_",
        "help docker"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_told_from_lines_of_the_language() {
        let help = |name: &str| Some(Order::Help(name.to_owned()));
        for (line, order) in [
            ("help", help("")),
            (" help  image::prune ", help("image::prune")),
            ("help(image::prune)", help("image::prune")),
            ("help(\"Image.tag\");", help("Image.tag")),
            ("help()", help("")),
            ("help image::prune()", help("image::prune")),
            (":help", help("")),
            (":doc image::list", help("image::list")),
            (":time 1 + 1", Some(Order::Time("1 + 1".to_owned()))),
            (":plan on", Some(Order::Plan(true))),
            (":plan off", Some(Order::Plan(false))),
            (":save /tmp/a b.rhai", Some(Order::Save("/tmp/a b.rhai".to_owned()))),
            (":q", Some(Order::Quit)),
            ("exit", Some(Order::Quit)),
            ("exit(3)", None),
            ("help = 3", None),
            ("let help = 3", None),
            ("helper(1)", None),
            ("1 + 1", None),
        ] {
            assert_eq!(parse(line).map(|order| order.unwrap()), order, "{line}");
        }
    }

    #[test]
    fn wrong_commands_are_told_what_is_right() {
        let error = |line: &str| parse(line).unwrap().unwrap_err();
        assert!(
            error(":plann on")
                .way_out()
                .unwrap()
                .starts_with("did you mean `:plan`?")
        );
        assert!(error(":save").way_out().unwrap().starts_with("`:save FILE`"));
        assert_eq!(error(":plan maybe").message(), "`:plan` is followed by `on` or `off`");
        assert_eq!(error(":reset x").message(), "`:reset` stands alone");
    }
}
